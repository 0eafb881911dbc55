"""A finding: what was seen of one setting, why it matters and how to mend it. Pure values."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass


class Level(enum.StrEnum):
    """How a setting is: well, to be looked at or not to be seen, or to be mended before a release."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's; `why` and `mend` are empty where all is well. `name` and `says` read as a sentence."""

    area: str
    name: str
    level: Level
    says: str
    why: str = ""
    mend: str = ""


@dataclass(frozen=True)
class Subject:
    """A setting that is looked at, with the reason to, and with how to mend it."""

    area: str
    name: str
    why: str
    mend: str

    def ok(self, says: str) -> Finding:
        """Say that it is well."""
        return Finding(self.area, self.name, Level.OK, says)

    def warn(self, says: str, mend: str = "") -> Finding:
        """Say that a person should look at it."""
        return Finding(self.area, self.name, Level.WARN, says, self.why, mend or self.mend)

    def fail(self, says: str, mend: str = "") -> Finding:
        """Say that it must be mended."""
        return Finding(self.area, self.name, Level.FAIL, says, self.why, mend or self.mend)

    def unseen(self, reason: str) -> Finding:
        """Say that it cannot be seen, which is never well."""
        return self.warn(f"cannot be seen: {reason}")

    def judge(self, well: bool, says: str, but: str = "") -> Finding:
        """Say that it is well, or that it must be mended; `but` is what was expected instead."""
        return self.ok(says) if well else self.fail(says + but)


def is_well(findings: Sequence[Finding]) -> bool:
    """Tell whether nothing must be mended; without a finding nothing was looked at."""
    return bool(findings) and all(finding.level is not Level.FAIL for finding in findings)


def count(findings: Sequence[Finding]) -> str:
    """Say how many there are of each kind."""
    levels = [finding.level for finding in findings]
    bad = f"{levels.count(Level.FAIL)} of {len(levels)} must be mended"
    return f"{bad}, {levels.count(Level.WARN)} to look at"


def as_json(findings: Sequence[Finding]) -> dict[str, object]:
    """Give all findings as one versioned object."""
    return {"version": 1, "findings": [asdict(finding) for finding in findings], "ok": is_well(findings)}
