"""A rehearsal in a terminal: a screen while it goes on, lines and the result when it has ended, and the page."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120.0
ROWS, COLUMNS = 50, 110
SHOW_CURSOR, HIDE_CURSOR, ERASE_LINE = "\x1b[?25h", "\x1b[?25l", "\x1b[2K"


@dataclass(frozen=True)
class Seen:
    """How it ended, what the terminal got, and what was written to stdout."""

    code: int
    screen: str
    out: str


def in_terminal(words: list[str], folder: Path, act: Callable[[str, int], None] = lambda _, __: None) -> Seen:
    """Run a rehearsal whose stderr is a terminal; `act` sees what it shows as it comes, and the process id."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "GITHUB_ACTIONS", "NO_COLOR"}}
    environment = {**kept, "TERM": "xterm-256color", "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "scripts", "rehearse", "--targets", "render", *words]
    shown: list[str] = []

    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=theirs) as child:
        os.close(theirs)

        def read() -> None:
            while True:
                try:
                    shown.append(os.read(ours, 65536).decode(errors="replace"))
                except OSError:  # the other end is closed
                    return
                act(shown[-1], child.pid)

        reading = threading.Thread(target=read)
        reading.start()
        out, _ = child.communicate(timeout=LIMIT_S)
        reading.join()
    os.close(ours)
    return Seen(child.returncode, "".join(shown), out.decode())


@pytest.mark.slow
def test_two_drills_side_by_side_on_the_screen(tmp_path: Path) -> None:
    """Both are seen at once, each leaves a line, the terminal is as it was, and the page has both."""
    page = tmp_path / "page.html"
    (tmp_path / "work").mkdir()
    seen = in_terminal(["--drill", "good,errors", "--jobs", "2", "--report", str(page)], tmp_path / "work")
    assert seen.code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.screen)
    for words in ("/s, 0 of ", "evidence", "candidate", "0 of 2 drills played, 0 as stated", "1 of 2 drills played"):
        assert words in plain
    assert re.search(r"ok +good: exit 0, candidate serves, 0 of \d+ user requests failed", plain)
    assert re.search(r"ok +errors: exit 10, baseline serves, \d+ of \d+ user requests failed", plain)
    assert seen.screen.count(ERASE_LINE) > 50
    assert seen.screen.rindex(SHOW_CURSOR) > seen.screen.rindex(HIDE_CURSOR)
    assert seen.out.splitlines()[-1] == "2 of 2 drills ended as stated"
    assert "\x1b" not in seen.out
    told = page.read_text(encoding="utf-8")
    assert told.count("<svg") == 2
    assert "2 of 2 drills ended as stated" in told
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.slow
def test_an_interrupted_screen_gives_the_terminal_back(tmp_path: Path) -> None:
    """Exit 130, the cursor is there again, and no half page is left."""
    page = tmp_path / "page.html"
    (tmp_path / "work").mkdir()

    def interrupt(shown: str, process: int) -> None:
        if "deploy" in shown:
            os.kill(process, signal.SIGTERM)  # as SIGINT, which a shell may have switched off

    seen = in_terminal(["--drill", "good", "--report", str(page)], tmp_path / "work", interrupt)
    assert seen.code == 130
    assert "interrupted" in seen.screen
    assert seen.screen.rindex(SHOW_CURSOR) > seen.screen.rindex(HIDE_CURSOR)
    assert not page.exists()
    assert list((tmp_path / "work").iterdir()) == []
