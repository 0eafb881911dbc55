"""What is changed in a rehearsed commit: a bad release is a bad commit, never a switch in production code.

Each takes the text of a file and gives the changed one; without another word the file is the service's entry module.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

type Change = Callable[[str], str]

HARMLESS = "\n# Rehearsal: a commit that changes nothing.\n"

RAISES = '\nraise RuntimeError("rehearsal: this commit cannot start")\n'

CRASHES_ON_VERCEL = """
import os

if os.environ.get("VERCEL"):
    raise RuntimeError("rehearsal: this commit cannot start as a function")
"""

SICK = '''

class _Sick:
    """Rehearsal: some answers are 500.

    Spread by the golden ratio and not by dice: whoever asks, and however regularly, meets the share, so that a drill's
    figures do not hang on a lucky second.
    """

    def __init__(self, app):
        import os
        import pathlib
        import time

        self.app, self.phase, self.asked = app, 0.0, 0
        self.environ, self.path, self.clock, self.began_s = os.environ, pathlib.Path, time.monotonic, time.monotonic()

    @property
    def age_s(self):
        return self.clock() - self.began_s

    def share(self, path):
        return SHARE

    async def __call__(self, scope, receive, send):
        share = self.share(scope.get("path", "")) if scope["type"] == "http" else 0.0
        if not share:
            return await self.app(scope, receive, send)
        self.phase = (self.phase + 0.6180339887498949) % 1
        self.asked += 1
        if self.phase >= share or self.asked <= WELL:
            return await self.app(scope, receive, send)
        ANSWER


app = _Sick(app)
'''
ANSWERS_500 = """await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"sick"})"""
NEVER_ANSWERS = """import asyncio

        await asyncio.sleep(3600)"""
ANSWERS_ELSE = """json = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": json})
        await send({"type": "http.response.body", "body": b'{"status": "maintenance"}'})"""
NOT_HEALTH = 'not path.startswith("/health")'
FIRST_WELL = 150  # answers: proofs of a few seconds pass what is only partly sick, and the watch has to see it


def sick(share: str, where: str = NOT_HEALTH, *, well: int = FIRST_WELL, answer: str = ANSWERS_500) -> Change:
    """Wrap the application so that a share of the answers is sick: `share` and `where` are Python on `self` and `path`.

    `well`: so many of the answers that could be sick are well at first, in each process.
    """

    def change(source: str) -> str:
        text = SICK.replace("SHARE", f"({share}) if {where} else 0.0").replace("WELL", str(well))
        return source + text.replace("ANSWER", answer)

    return change


def _on(variable: str) -> str:
    return f'{NOT_HEALTH} and self.environ.get("{variable}")'


fails_a_fifth = sick("0.2")
fails_a_fifth_on_render = sick("0.2", _on("RENDER"))
fails_a_fifth_on_vercel = sick("0.2", _on("VERCEL"))
fails_on_vercel = sick("1.0", 'path.startswith("/api") and self.environ.get("VERCEL")', well=0)
hangs = sick("0.3", answer=NEVER_ANSWERS)
answers_wrongly = sick("1.0", 'path == "/health/ready"', well=80, answer=ANSWERS_ELSE)
leaks = sick("min(1.0, max(0.0, self.age_s - 3) / 30)", well=0)
flaps = sick("1.0 if self.age_s > 4 and self.age_s % 3 < 1 else 0.0", 'path == "/health/ready"', well=0)


def fails_a_fifth_after(seconds: float) -> Change:
    """Do so from that long after its start."""
    return sick(f"0.2 if self.age_s >= {seconds} else 0.0", well=0)


def fails_while_there_is(file: Path) -> Change:
    """Answer 500 to everything but `/version` and the health check's path while a file exists: a shared dependency."""
    return _while_there_is(file, NOT_HEALTH)


def fails_on_vercel_while_there_is(file: Path) -> Change:
    """Do the same, but only where Vercel's own variable is set."""
    return _while_there_is(file, _on("VERCEL"))


def _while_there_is(file: Path, where: str) -> Change:
    return sick(f"1.0 if self.path({str(file)!r}).exists() else 0.0", f'{where} and path != "/version"', well=0)


def harmless(source: str) -> str:
    """Change the entry module without changing what it does."""
    return source + HARMLESS


def crashes_at_start(source: str) -> str:
    """Make the entry module fail on import."""
    return source + RAISES


def crashes_on_vercel(source: str) -> str:
    """Make the entry module fail on import, where Vercel's own variable is set."""
    return source + CRASHES_ON_VERCEL


def starts_after(seconds: float) -> Change:
    """Make the import of the entry module take that long, on Render."""
    return lambda source: (
        source + f'\nimport os\nimport time\n\nif os.environ.get("RENDER"):\n    time.sleep({seconds})\n'
    )


def ends_after(seconds: float) -> Change:
    """End the process that long after its import, again and again, on Render."""
    text = "\nimport os\nimport threading\n\n"
    ends = f'if os.environ.get("RENDER_INSTANCE_ID"):\n    threading.Timer({seconds}, os._exit, [1]).start()\n'
    return lambda source: source + text + ends


def one_instance_is_bad(source: str) -> str:
    """Make the first process that gets there, of all that run this build, fail half of what it is asked."""
    taken = """

def _is_first():
    import os

    try:
        os.close(os.open("first-instance", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


_FIRST = _is_first()
"""
    return sick("0.5 if _FIRST else 0.0")(source + taken)


def names_no_package(source: str) -> str:
    """Pin a version in requirements.txt that no package index has."""
    return re.sub(r"^fastapi==\S+", "fastapi==0.0.0.1", source, flags=re.MULTILINE)
