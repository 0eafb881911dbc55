"""What a journal may hold, event by event: every end that a release can have, and every place where it can be cut."""

from collections.abc import Sequence
from datetime import timedelta

from scripts.journal import Event, Kind
from scripts.release import Sha, Stage
from scripts.report import Result
from scripts.verdict import EXIT_CODES, Outcome
from tests.unit.fakes import START

NEW, OLD = Sha("a" * 40), Sha("b" * 40)


def event(kind: Kind, target: str = "", at_s: float = 0, /, **fields: object) -> Event:
    """Make an event some seconds after the start."""
    return Event(START + timedelta(seconds=at_s), kind, target, fields)


def stage(name: Stage, outcome: Outcome = Outcome.PASS, at_s: float = 0, /, **fields: object) -> list[Event]:
    """Make the start of a stage and its end two seconds later."""
    row = {"stage": name, "outcome": outcome, "reason": "why", "exit_code": EXIT_CODES[outcome], **fields}
    row["targets"] = {"render": dict(row)}
    return [event(Kind.STAGE_STARTED, "", at_s, stage=name), event(Kind.STAGE_ENDED, "", at_s + 2, **row)]


RELEASE = event(Kind.RELEASE, commit=NEW, run_id="7-1", started_at=START.isoformat(), targets=["render"])
BASELINE = event(Kind.BASELINE, "render", commit=OLD, deployment_id="dep-1", proven=True, healthy=True)
PLANNED = [*stage(Stage.PLAN), RELEASE, BASELINE]
ASKED = event(Kind.INTENT, "render", action="deploy", commit=NEW, known=["dep-1"])
ACCEPTED = event(Kind.DONE, "render", action="deploy", id="dep-2", commit=NEW, state="queued")
REFUSED = event(Kind.FAILED, "render", action="deploy", reason="no such commit")
BACK = [
    event(Kind.INTENT, "render", action="roll_back", commit=OLD, known=["dep-1", "dep-2"]),
    event(Kind.DONE, "render", action="roll_back", id="dep-3", commit=OLD, state="queued"),
]


def ended_as(state: str) -> Event:
    """Make the platform's end of the candidate."""
    return event(Kind.DEPLOYMENT, "render", action="deploy", id="dep-2", commit=NEW, state=state, detail=state)


def proven(commit: Sha) -> Event:
    """Make the proof that a commit serves."""
    return event(Kind.PROOF, "render", commit=commit)


LIVE = [*PLANNED, ASKED, ACCEPTED, ended_as("live"), *stage(Stage.DEPLOY)]
VERIFIED = [*LIVE, proven(NEW), *stage(Stage.VERIFY), *stage(Stage.PROMOTE)]
BAD = [*VERIFIED, *stage(Stage.BAKE, Outcome.FAIL)]
UNPROVEN = {"not_proven": True, "exit_code": 13}

STORIES: dict[str, tuple[Sequence[Event], Result]] = {
    "nothing": ([], Result.NEVER_STARTED),
    "planned": (PLANNED, Result.NEVER_STARTED),
    "plan failed": ([*stage(Stage.PLAN, Outcome.FAIL), RELEASE, BASELINE], Result.NEVER_STARTED),
    "refused": ([*PLANNED, ASKED, REFUSED, *stage(Stage.DEPLOY, Outcome.ERROR)], Result.NEVER_STARTED),
    "asked and lost": ([*PLANNED, ASKED], Result.STILL_BROKEN),
    "live and lost": (LIVE, Result.STILL_BROKEN),
    "verified and lost": (VERIFIED, Result.STILL_BROKEN),
    "bake lost": ([*VERIFIED, event(Kind.STAGE_STARTED, stage=Stage.BAKE)], Result.STILL_BROKEN),
    "baked": ([*VERIFIED, *stage(Stage.BAKE)], Result.ROLLED_OUT),
    "baked and recovered": ([*VERIFIED, *stage(Stage.BAKE), *stage(Stage.RECOVER)], Result.ROLLED_OUT),
    "baked, then found not to serve": (
        [*VERIFIED, *stage(Stage.BAKE), *stage(Stage.RECOVER, Outcome.FAIL, 9, **UNPROVEN)],
        Result.STILL_BROKEN,
    ),
    "bad": (BAD, Result.STILL_BROKEN),
    "rolled back": ([*BAD, *BACK, proven(OLD), *stage(Stage.ROLLBACK)], Result.ROLLED_BACK),
    "rolled back by recover": ([*BAD, *BACK, proven(OLD), *stage(Stage.RECOVER)], Result.ROLLED_BACK),
    "rollback not proven": ([*BAD, *BACK, *stage(Stage.ROLLBACK, Outcome.FAIL, 9, **UNPROVEN)], Result.STILL_BROKEN),
    "rollback lost": ([*BAD, *BACK, event(Kind.STAGE_STARTED, stage=Stage.ROLLBACK)], Result.STILL_BROKEN),
    "rollback passed without proof": ([*BAD, *BACK, *stage(Stage.ROLLBACK)], Result.STILL_BROKEN),
    "not proven, then recovered": (
        [
            *[*BAD, *BACK, *stage(Stage.ROLLBACK, Outcome.FAIL, 9, **UNPROVEN)],
            *[proven(OLD), *stage(Stage.RECOVER, Outcome.PASS, 20)],
        ],
        Result.ROLLED_BACK,
    ),
    "recovered, then not proven": (
        [
            *[*BAD, *BACK, proven(OLD), *stage(Stage.RECOVER, Outcome.PASS, 9)],
            *stage(Stage.ROLLBACK, Outcome.FAIL, 20, **UNPROVEN),
        ],
        Result.STILL_BROKEN,
    ),
    "build failed": (
        [
            *[*PLANNED, ASKED, ACCEPTED, ended_as("failed"), *stage(Stage.DEPLOY, Outcome.FAIL)],
            *[proven(OLD), *stage(Stage.ROLLBACK)],
        ],
        Result.NEVER_STARTED,
    ),
    "cancelled, old one nameless": (
        [*PLANNED, ASKED, ACCEPTED, ended_as("canceled"), *stage(Stage.ROLLBACK)],
        Result.NEVER_STARTED,
    ),
    "held": ([*VERIFIED, *stage(Stage.BAKE, Outcome.INCONCLUSIVE), *stage(Stage.ROLLBACK)], Result.STILL_BROKEN),
    "superseded": ([*LIVE, *stage(Stage.VERIFY, Outcome.FAIL, 5, superseded=True)], Result.SUPERSEDED),
    "superseded, then nothing to do": (
        [*LIVE, *stage(Stage.VERIFY, Outcome.FAIL, 5, superseded=True), *stage(Stage.RECOVER)],
        Result.SUPERSEDED,
    ),
}


STANDS: dict[str, tuple[Sequence[Event], str]] = {
    "planned": (PLANNED, "untouched"),
    "nothing written down": ([RELEASE], "untouched"),
    "refused": ([*PLANNED, ASKED, REFUSED], "untouched"),
    "asked and lost": ([*PLANNED, ASKED], "not known"),
    "build failed": ([*PLANNED, ASKED, ended_as("failed")], "kept the old release"),
    "staged": ([*PLANNED, ASKED, ended_as("staged")], "kept the old release"),
    "staged, promotion refused": (
        [
            *[*PLANNED, ASKED, ended_as("staged"), event(Kind.INTENT, "render", action="promote")],
            event(Kind.FAILED, "render", action="promote", reason="no"),
        ],
        "kept the old release",
    ),
    "staged, promotion asked": (
        [*PLANNED, ASKED, ended_as("staged"), event(Kind.INTENT, "render", action="promote")],
        "not known",
    ),
    "proven at a URL of its own": (
        [*PLANNED, ASKED, ended_as("staged"), event(Kind.PROOF, "render", commit=NEW, staged=True)],
        "kept the old release",
    ),
    "serves": (VERIFIED, "serves the new release"),
    "superseded": ([*VERIFIED, *stage(Stage.BAKE, Outcome.FAIL, superseded=True)], "left to someone else"),
    "going back": ([*BAD, *BACK], "not known"),
    "went back": ([*BAD, *BACK, proven(OLD), *stage(Stage.ROLLBACK)], "went back"),
    "not proven back": ([*BAD, *BACK, *stage(Stage.ROLLBACK, Outcome.FAIL, 9, **UNPROVEN)], "not known"),
    "never looked at": ([RELEASE, *stage(Stage.RECOVER, Outcome.FAIL, 9, **UNPROVEN)], "not known"),
    "no longer serves": ([*VERIFIED, *stage(Stage.RECOVER, Outcome.FAIL, 9, **UNPROVEN)], "not known"),
}
