"""Releases as their folders tell them: a journal and every probe, written by the code that also writes real ones."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.journal import Event, Journal, Kind
from scripts.release import Sha, Stage
from scripts.samples import PROOFS, append_samples
from scripts.verdict import BASELINE, CANDIDATE, CURRENT, EXIT_CODES, Outcome, Sample
from tests.unit.fakes import FakeClock

NEW, OLD = Sha("a1b2c3d" + "4" * 33), Sha("0f9e8d7" + "6" * 33)
CHECKS = ("ready", "items")
NASTY = (
    "a | b || c \\| d \\\\|",
    "</td></table><script>alert(1)</script>",
    "```\n# not a title\n```mermaid\ngantt",
    "line\none\r\ntwo\u2028three\x85four\x0bfive\x00six\x1b[31m",
    "%%{init: {'securityLevel': 'loose'}}%%\nclick a href javascript:alert(1)",
    "section x : done, 1, 2; y # z",
    "<!channel> <@U123> @everyone @here <https://evil.example|click> & &lt;",
    "`code` **bold** __it__ ~~gone~~ [x](javascript:y) ![x](https://evil.example) $$x$$ <b onclick=y>",
    "\u202eesrever\u202c \u200f\u200e\u2066 marks",
    "\ud800 lone \udfff",
    "' \" onload='x' style=\"y\" --> ]]> <!-- <![CDATA[",
    "::error::no ##[error]no %0A %0D",
    "x" * 100_000,
    " " * 100_000 + "end",
    "|" * 5_000,
    "",
    "-->|x|",
)
NEXT_STEP = "open the platform's dashboard now"


@dataclass
class Story:
    """A release on its way; what it does is written down as the stages write it."""

    folder: Path
    targets: tuple[str, ...] = ("render",)
    clock: FakeClock = field(default_factory=FakeClock)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    @property
    def journal(self) -> Journal:
        """The journal."""
        return Journal(self.folder, self.clock, str)

    @property
    def events(self) -> list[Event]:
        """What is in it."""
        return self.journal.read()

    def begin(self, stage: Stage, seconds: float = 0.0) -> None:
        """Start a stage."""
        self.journal.append(Kind.STAGE_STARTED, stage=stage)
        self.clock.advance(seconds)

    def end(self, stage: Stage, bad: Mapping[str, Outcome] | None = None, reason: str = "", **flags: object) -> None:
        """End a stage; it passed, but on the targets that are bad."""
        good = {"outcome": Outcome.PASS, "reason": "as it should be"}
        told = {name: {"outcome": outcome, "reason": reason, **flags} for name, outcome in (bad or {}).items()}
        worst = max(told.values(), key=lambda row: Outcome(str(row["outcome"])).badness, default=None)
        row = worst or {**good, "reason": reason or f"{' and '.join(self.targets)}: as it should be"}
        code = 13 if row.get("not_proven") else EXIT_CODES[Outcome(str(row["outcome"]))]
        targets = {name: told.get(name, good) for name in self.targets}
        self.journal.append(Kind.STAGE_ENDED, "", stage=stage, exit_code=code, **row, targets=targets)

    def ms(self, worse: float = 1.0) -> float:
        """Give how long an answer took."""
        return worse * (8 + self.chance.expovariate(1 / 6))

    def plan(self, seconds: float = 20.0) -> None:
        """See what serves."""
        self.begin(Stage.PLAN, 1)
        release = {"commit": NEW, "run_id": "4711-1", "started_at": self.clock.now().isoformat()}
        self.journal.append(Kind.RELEASE, "", **release, targets=list(self.targets), together=True)
        self.clock.advance(seconds)
        count = int(seconds * 10)
        for target in self.targets:
            rows = [
                Sample(n / 10 - seconds, (*CHECKS, "version")[n % 3], BASELINE, self.ms(), ok=True)
                for n in range(count)
            ]
            append_samples(self.folder, target, rows)
            told = {"commit": OLD, "deployment_id": f"dep-{target}-old", "proven": True, "instances": 1}
            seen = {"instance_ids": ["srv-1-old"], "healthy": True, "probes": count, "failures_by_s": [0]}
            self.journal.append(Kind.BASELINE, target, **told, **seen, first=False, known=[f"dep-{target}-old"])
        self.end(Stage.PLAN, reason=f"the way is forward from {OLD[:7]}")

    def deploy(self, seconds: float = 40.0) -> None:
        """Put the commit on each target, one after the other."""
        self.begin(Stage.DEPLOY, 0.2)
        for target in self.targets:
            change = {"action": "deploy", "commit": NEW}
            self.journal.append(Kind.INTENT, target, **change, known=[f"dep-{target}-old"])
            self.clock.advance(0.6)
            self.journal.append(Kind.DONE, target, **change, id=f"dep-{target}-new", state="queued")
            self.clock.advance(seconds / len(self.targets))
            self.journal.append(Kind.DEPLOYMENT, target, **change, id=f"dep-{target}-new", state="live", detail="live")
        self.end(Stage.DEPLOY)

    def prove(self, target: str, commit: Sha, rounds: int = 8, before: int = 0) -> None:
        """Ask until a commit is proven; so many rounds another one answered first."""
        rows = []
        for n in range(rounds + before):
            t_s, arm = 0.05 + n / 10, CANDIDATE if n >= before else CURRENT
            rows.append(Sample(t_s, "version", arm, 0.0, ok=True))
            rows += [Sample(t_s, name, arm, self.ms(1.3), ok=True) for name in CHECKS]
        append_samples(self.folder, target, rows, kind=PROOFS)
        seconds = [{"version": [rounds, 0], "ready": [rounds, 0]}]
        seen = {"answers": rounds, "instances": ["srv-2-x7k9q"], "seconds": seconds}
        self.clock.advance((rounds + before) / 10)
        self.journal.append(Kind.PROOF, target, commit=commit, staged=False, **seen)

    def verify(self, before: int = 12) -> None:
        """Prove the candidate."""
        self.begin(Stage.VERIFY)
        for target in self.targets:
            self.prove(target, NEW, before=before)
        self.end(Stage.VERIFY)
        self.begin(Stage.PROMOTE, 0.1)
        self.end(Stage.PROMOTE)

    def watch(self, seconds: float, sick: Mapping[str, float] | None = None) -> None:
        """Watch each target in the bake; a sick one fails a share of its answers from a third of the time on."""
        self.begin(Stage.BAKE, seconds)
        for target in self.targets:
            share = (sick or {}).get(target, 0.0)
            verified = [Sample(0.0, name, CANDIDATE, 0.0, ok=True) for name in ("version", "ready")] * 8
            rows = [
                self._probe(1 + n / 10, share if n / 10 > seconds / 3 else 0.0, n) for n in range(int(seconds * 10))
            ]
            append_samples(self.folder, target, [*verified, *rows])

    def _probe(self, t_s: float, share: float, number: int) -> Sample:
        name = (*CHECKS, "version")[number % 3]
        if name != "ready" and self.chance.random() < share:
            slow = self.chance.random() < 0.2
            return Sample(t_s, name, CANDIDATE, 5000.0 if slow else self.ms(), ok=False, reason="expected status 200")
        return Sample(t_s, name, CANDIDATE, self.ms(1.2 if share == 0 else 4), ok=True)

    def go_back(self, proven: Sequence[str], seconds: float = 5.0) -> None:
        """Roll back every target; not all are proven."""
        self.begin(Stage.ROLLBACK, 0.3)
        for target in self.targets:
            change = {"action": "roll_back", "commit": OLD}
            self.journal.append(Kind.INTENT, target, **change)
            self.clock.advance(0.5)
            self.journal.append(Kind.DONE, target, **change, id=f"dep-{target}-back", state="queued")
        self.clock.advance(seconds)
        for target in proven:
            self.prove(target, OLD, before=4)
        lost = sorted(set(self.targets) - set(proven))
        told = f"{' and '.join(lost)}: {OLD[:7]} was not proven to answer within 900 s"
        if lost:
            bad = dict.fromkeys(lost, Outcome.FAIL)
            self.end(Stage.ROLLBACK, bad, told, not_proven=True, next_step=NEXT_STEP)
        else:
            self.end(Stage.ROLLBACK, reason=f"{OLD[:7]} answers again")


def good(folder: Path, *targets: str) -> Story:
    """A release that went well."""
    story = Story(folder, targets or ("render",))
    story.plan()
    story.deploy()
    story.verify()
    story.watch(60)
    story.end(Stage.BAKE, reason="0 of 600 probes failed in 60 s")
    return story


def bad(folder: Path, *targets: str, proven: Sequence[str] | None = None) -> Story:
    """A release whose candidate failed in the bake; it went back, and was proven back on some targets or on all."""
    story = Story(folder, targets or ("render",))
    story.plan()
    story.deploy()
    story.verify()
    story.watch(14, {story.targets[-1]: 0.3})
    reason = f"{story.targets[-1]}: items failed 23 of 91 times; that is no accident at 0.1 % (log E = 7.3)"
    story.end(Stage.BAKE, {story.targets[-1]: Outcome.FAIL}, reason)
    story.go_back(story.targets if proven is None else proven)
    return story


def lost(folder: Path) -> Story:
    """A release whose run was lost in the bake, and which `recover` took back."""
    story = Story(folder)
    story.plan()
    story.deploy()
    story.verify()
    story.watch(9)
    story.clock.advance(50)
    story.begin(Stage.RECOVER, 3)
    change = {"action": "roll_back", "commit": OLD}
    story.journal.append(Kind.INTENT, "render", **change)
    story.journal.append(Kind.FAILED, "render", action="roll_back", reason="Render, roll back: answered 500")
    story.journal.append(Kind.INTENT, "render", **change)
    story.journal.append(Kind.DONE, "render", **change, id="dep-render-back", state="queued")
    story.prove("render", OLD)
    story.end(Stage.RECOVER, reason=f"{OLD[:7]} answers again")
    return story


def by_hand(folder: Path, by: str = "kim", why: str = "checkout is slow since noon") -> Story:
    """A rollback that somebody asked for; `vercel` served the old release already."""
    story = Story(folder, ("render", "vercel"))
    story.begin(Stage.PLAN)
    release = {"commit": NEW, "run_id": "4711-1", "started_at": story.clock.now().isoformat(), "by": by, "why": why}
    story.journal.append(Kind.RELEASE, "", **release, targets=["render"], together=True)
    for target in story.targets:
        told = {"commit": OLD, "deployment_id": f"dep-{target}-old", "proven": True, "instances": 1}
        story.journal.append(Kind.BASELINE, target, **told, healthy=False, first=False)
    story.end(Stage.PLAN, reason=f"render: go back from {NEW[:7]}")
    story.begin(Stage.ROLLBACK, 0.3)
    story.journal.append(Kind.INTENT, "render", action="roll_back", commit=OLD)
    story.clock.advance(0.5)
    story.journal.append(Kind.DONE, "render", action="roll_back", commit=OLD, id="dep-render-back", state="queued")
    story.clock.advance(4)
    for target in story.targets:
        story.prove(target, OLD, before=4 if target == "render" else 0)
    story.end(Stage.ROLLBACK, reason=f"{OLD[:7]} answers again")
    return story


FOREIGN = {
    "reason",
    "next_step",
    "text",
    "detail",
    "by",
    "why",
    "run_id",
    "deployment_id",
    "id",
    "instances",
    "instance_ids",
}


def spoil(events: Sequence[Event], told: str) -> list[Event]:
    """Give the events with a text in the place of all that a service, a platform or a person may have written."""
    return [replace(event, fields=_spoil(event.fields, told)) for event in events]


def _spoil(fields: Mapping[str, object], told: str) -> dict[str, object]:
    spoilt: dict[str, object] = {}
    for name, value in fields.items():
        if name in FOREIGN:
            spoilt[name] = [told, told] if isinstance(value, list) else (told or "x") if name == "by" else told
        elif name == "targets" and isinstance(value, dict):
            spoilt[name] = {target: _spoil(row, told) for target, row in value.items()}
        else:
            spoilt[name] = value
    return spoilt


def rename(events: Sequence[Event], old: str, new: str) -> list[Event]:
    """Give the events with another name for a target."""
    return [_rename(event, old, new) for event in events]


def _rename(event: Event, old: str, new: str) -> Event:
    fields = dict(event.fields)
    targets = fields.get("targets")
    if isinstance(targets, list):
        fields["targets"] = [new if name == old else name for name in targets]
    if isinstance(targets, dict):
        fields["targets"] = {new if name == old else name: row for name, row in targets.items()}
    return replace(event, target=new if event.target == old else event.target, fields=fields)
