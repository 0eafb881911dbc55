"""The only voice: progress and annotations on stderr, the result on stdout. Every line is redacted."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Literal, TextIO

from scripts.redaction import Redactor, Secret, keys_in_url, redact_values

WORDS = {"pass": "ok", "fail": "fail", "inconclusive": "unsure", "error": "error", "skip": "skip"}


class Console:
    """Print for a person, and for the runner when `actions` is set."""

    def __init__(
        self,
        redact: Redactor | None = None,
        *,
        actions: bool = False,
        err: TextIO | None = None,
        out: TextIO | None = None,
    ) -> None:
        self.redact = redact or Redactor()
        self._actions = actions
        self._err = err or sys.stderr
        self._out = out or sys.stdout

    def say(self, text: str) -> None:
        """Print one line of progress."""
        print(self._harmless(self.redact(text)), file=self._err, flush=True)

    def state(self, subject: str, text: str) -> None:
        """Print that something changed."""
        self.say(f"  {subject:<8} {text}")

    def end(self, title: str, outcome: str, reason: str, duration_s: float) -> None:
        """Print how a stage ended, as an annotation too when it did not pass."""
        self.say(f"{WORDS.get(outcome, outcome):<6} {title}: {reason} ({duration_s:.1f} s)")
        if outcome != "pass":
            self._command("error", reason, title=f"{title}: {outcome}")

    def warn(self, text: str) -> None:
        """Print something that does not stop the release but that a person should know."""
        self.say(f"warn   {text}")
        self._command("warning", text)

    def fail(self, text: str) -> None:
        """Print an error's beats."""
        self.say(f"error  {text}")
        self._command("error", text)

    def annotate(
        self,
        level: Literal["error", "warning", "notice"],
        message: str,
        *,
        path: str,
        line: int,
        end_line: int | None = None,
        title: str = "",
    ) -> None:
        """Mark lines of a file in the pull request, where this runs in Actions; elsewhere nothing is to be marked."""
        self._command(
            level, message, file=path, line=str(line), endLine=str(end_line or line), title=title or "slipway"
        )

    def mask(self, secrets: Mapping[str, Secret]) -> None:
        """Tell the runner what to hide: it knows the secrets it was given, but not the key inside a hook's URL."""
        if not self._actions:
            return
        for secret in secrets.values():
            for key in keys_in_url(secret.reveal()):
                print(f"::add-mask::{_escape(key)}", file=self._err, flush=True)

    def result(self, value: object) -> None:
        """Print a stage's result on stdout: text as it is, anything else as one JSON object."""
        told = redact_values(value, self.redact)
        text = told if isinstance(told, str) else json.dumps(told, default=lambda part: self.redact(str(part)))
        print(self._harmless(text), file=self._out, flush=True)

    def _harmless(self, text: str) -> str:
        return _disarm(text) if self._actions else text

    def _command(self, level: str, text: str, **properties: str) -> None:
        if self._actions:
            named = {"title": "slipway", **properties}
            told = ",".join(f"{name}={_escape_property(self.redact(value))}" for name, value in named.items())
            print(f"::{level} {told}::{_escape(self.redact(text))}", file=self._err, flush=True)


def _disarm(text: str) -> str:
    """Keep foreign text from being a workflow command.

    The runner takes `::name::` at the start of a line, after any blanks, and the older `##[name]` anywhere in it:
    https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
    """
    return re.sub(r"(^|[\r\n])(\s*)::", r"\1\2: :", text).replace("##[", "# #[")


def _escape(text: str) -> str:
    """Keep a text from ending its workflow command or starting another one (GitHub's workflow-command encoding)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
