"""The error tree: each leaf owns its exit code.

An error has three beats: what happened, with the evidence; what it means for the release; the next command.
A failed gate is not here: it is a verdict (`scripts.verdict`). Adapters turn all else into these, with the cause.
"""

from __future__ import annotations

from typing import ClassVar


class SlipwayError(Exception):
    """Something that stops a stage; prints as its three beats, never as a traceback."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, means: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.means = means
        self.next_step = next_step

    def __str__(self) -> str:
        """Give the three beats, a line each."""
        return "\n".join(filter(None, (self.what, self.means, self.next_step and f"next: {self.next_step}")))


class UsageError(SlipwayError):
    """The command line, the checkout or the state folder does not allow what was asked."""

    exit_code = 2


class ConfigError(SlipwayError):
    """slipway.toml, a secret or a platform's setting is wrong; a person has to mend it."""

    exit_code = 2


class PlatformError(SlipwayError):
    """A platform answered nonsense, refused, or is set so that it cannot do what was asked."""

    exit_code = 12


class PlatformUnreachable(PlatformError):
    """A platform could not be reached, or not within the deadline."""


class UnknownState(PlatformError):
    """A deployment is in a state that is not known: waiting on could be waiting for ever."""


class OutcomeUnknown(PlatformUnreachable):
    """A request that changes something got no answer: it may or may not have been carried out."""


class Interrupted(SlipwayError):
    """A signal ended the stage."""

    exit_code = 130
