"""What a journal adds up to, event by event."""

from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.journal import Event, Kind
from scripts.release import STAGES, Baseline, Deployment, DeployState, Release, Sha, Stage
from scripts.state import Change, Ended, RunState, TargetState, replay
from scripts.verdict import EXIT_CODES, Outcome, Verdict
from tests.unit.fakes import START

NEW, OLD = Sha("a" * 40), Sha("b" * 40)


def event(kind: Kind, target: str = "", at_s: float = 0, /, **fields: object) -> Event:
    """Make an event some seconds after the start."""
    return Event(START + timedelta(seconds=at_s), kind, target, fields)


def started(stage: Stage, at_s: float = 0) -> Event:
    """Make the event of a stage's start."""
    return event(Kind.STAGE_STARTED, "", at_s, stage=stage)


def ended(stage: Stage, outcome: Outcome = Outcome.PASS, at_s: float = 0, **fields: object) -> Event:
    """Make the event of a stage's end."""
    row = {"stage": stage, "outcome": outcome, "reason": "why", "exit_code": EXIT_CODES[outcome], **fields}
    return event(Kind.STAGE_ENDED, "", at_s, **{"targets": {"render": dict(row)}, **row})


RELEASE = event(
    Kind.RELEASE, commit=NEW, run_id="7-1", started_at="2026-01-02T03:04:05+00:00", targets=["render", "vercel"]
)
BASELINE = event(
    Kind.BASELINE,
    "render",
    commit=OLD,
    deployment_id="dep-1",
    proven=True,
    instances=2,
    instance_ids=["i1", "i2"],
    healthy=True,
    first=False,
    probes=200,
    failures_by_s=[0, 1],
    known=["dep-1", "dep-0"],
)


def change(kind: Kind, action: str = "deploy", **fields: object) -> Event:
    """Make an event of a change of the one target."""
    return event(kind, "render", action=action, **fields)


def render(*events: Event) -> TargetState:
    """Give the one target after these events."""
    return replay(events).targets["render"]


def test_no_events_are_nothing() -> None:
    """Without events nothing was released, moved, lost or superseded."""
    state = replay([])
    assert state == RunState()
    assert not any([state.moved, state.lost, state.superseded, state.out, state.passed(Stage.PLAN)])


def test_release_is_read() -> None:
    """A release event gives commit, run, time and targets."""
    read = replay([RELEASE]).release
    assert read is not None
    assert (read.commit, read.run_id, read.targets) == (NEW, "7-1", ("render", "vercel"))
    assert read.started_at.isoformat() == "2026-01-02T03:04:05+00:00"
    assert isinstance(read, Release)


def test_baseline_is_read() -> None:
    """A baseline event gives everything that a rollback needs."""
    assert render(BASELINE).baseline == Baseline(
        "render",
        OLD,
        "dep-1",
        proven=True,
        instances=2,
        instance_ids=("i1", "i2"),
        healthy=True,
        first=False,
        probes=200,
        failures_by_s=(0, 1),
        known=("dep-1", "dep-0"),
    )


def test_a_baseline_of_nothing_is_read() -> None:
    """What a baseline does not say counts as not proven, not healthy, one instance and no evidence."""
    empty = event(Kind.BASELINE, "render", commit=None, deployment_id=None, probes=None, failures_by_s=None, first=True)
    assert render(empty).baseline == Baseline("render", None, None, proven=False, healthy=False, first=True)


def test_intent_remembers_what_was_there() -> None:
    """An intent alone means that the platform may be at work, and keeps the deployments from before."""
    target = render(BASELINE, change(Kind.INTENT, known=["dep-9"]))
    assert target.deploy == Change(known=frozenset({"dep-9"}))
    assert target.asked
    assert target.known == {"dep-0", "dep-1", "dep-9"}
    assert target.own_ids == {"dep-1"}


def test_done_and_deployment_name_the_candidate() -> None:
    """What the platform named is kept, and how it ended takes its place; the id survives an event that has none."""
    asked = [BASELINE, change(Kind.INTENT, known=["dep-1"]), change(Kind.DONE, id="dep-2", commit=NEW, state="queued")]
    target = render(*asked)
    assert target.deploy == Change(frozenset({"dep-1"}), Deployment("dep-2", NEW, DeployState.QUEUED))
    assert target.own_ids == {"dep-1", "dep-2"}
    end = render(*asked, change(Kind.DEPLOYMENT, id=None, commit=NEW, state="live", detail="live"))
    assert end.deploy is not None
    assert end.deploy.deployment == Deployment("dep-2", NEW, DeployState.LIVE, detail="live")


def test_a_change_that_was_accepted_without_a_name() -> None:
    """A platform that took the change and named no deployment leaves one without an id."""
    target = render(change(Kind.INTENT), change(Kind.DONE, id=None, commit=NEW, state="queued"))
    assert target.deploy is not None
    assert target.deploy.deployment == Deployment(None, NEW, DeployState.QUEUED)
    assert target.own_ids == frozenset()


@pytest.mark.parametrize(
    ("reason", "refused"), [("no such commit", "no such commit"), ("", "refused"), (None, "refused")]
)
def test_a_refused_change_was_not_made(reason: str | None, refused: str) -> None:
    """A change that the platform refused counts as never asked for, whether or not it gave a reason."""
    state = replay([RELEASE, change(Kind.INTENT), change(Kind.FAILED, reason=reason)])
    deploy = state.targets["render"].deploy
    assert deploy is not None
    assert deploy.refused == refused
    assert not state.targets["render"].asked
    assert not state.moved


def test_a_new_intent_forgets_the_refusal() -> None:
    """A change that is asked for again after a refusal is a new one."""
    target = render(change(Kind.INTENT), change(Kind.FAILED, reason="busy"), change(Kind.INTENT, known=["dep-1"]))
    assert target.deploy == Change(frozenset({"dep-1"}))
    assert target.asked


def test_a_rollback_is_kept_apart() -> None:
    """A rollback is a change of its own beside the deploy, and its deployment is ours too."""
    target = render(
        BASELINE,
        change(Kind.INTENT, known=["dep-1"]),
        change(Kind.DONE, id="dep-2", commit=NEW, state="live"),
        change(Kind.INTENT, "roll_back", commit=OLD, known=["dep-1", "dep-2"]),
        change(Kind.DONE, "roll_back", id="dep-3", commit=OLD, state="queued"),
    )
    assert target.rollback == Change(frozenset({"dep-1", "dep-2"}), Deployment("dep-3", OLD, DeployState.QUEUED))
    assert target.own_ids == {"dep-1", "dep-2", "dep-3"}
    assert target.known == {"dep-0", "dep-1"}


def test_a_refusal_without_an_intent_is_read() -> None:
    """A rollback that failed before it was asked for is a refused one."""
    assert render(change(Kind.FAILED, "roll_back", reason="cannot be read")).rollback == Change(
        refused="cannot be read"
    )


def test_promotion_counts_from_the_intent() -> None:
    """A promotion that was asked for may happen, whatever was heard of it, unless it was refused."""
    asked, refused = change(Kind.INTENT, "promote"), change(Kind.FAILED, "promote", reason="no")
    assert render(BASELINE).promote is None
    assert render(asked).promote == Change()
    assert render(asked, refused).promote == Change(refused="no")
    assert render(asked, refused, asked).promote == Change()


def test_other_actions_change_nothing() -> None:
    """A cancel is journaled for people: the target's deploy and rollback stay as they are."""
    before = [BASELINE, change(Kind.INTENT, known=["dep-1"])]
    assert render(*before, change(Kind.INTENT, "cancel", id="dep-2")) == render(*before)


def test_a_note_is_for_people() -> None:
    """A note adds nothing, not even a target."""
    assert replay([event(Kind.NOTE, "render", text="x")]) == RunState()


def test_the_last_proof_counts() -> None:
    """What was proven last is what is known to serve."""
    assert render(event(Kind.PROOF, "render", commit=NEW)).proven == NEW
    assert render(event(Kind.PROOF, "render", commit=NEW), event(Kind.PROOF, "render", commit=OLD)).proven == OLD


def test_known_falls_back_to_the_plan() -> None:
    """Before a deploy was asked for, the plan's memory says which deployments were there."""
    assert render(BASELINE).known == {"dep-1", "dep-0"}
    assert TargetState().known == frozenset()
    assert TargetState().own_ids == frozenset()


def test_a_stage_that_ended() -> None:
    """A stage's end has its verdict, its times and its exit code."""
    row = replay([started(Stage.VERIFY, 1), ended(Stage.VERIFY, Outcome.FAIL, 5, next_step="look")]).stages[
        Stage.VERIFY
    ]
    verdict = Verdict(Outcome.FAIL, "why", "look")
    own = {"render": verdict}
    assert row == Ended(START + timedelta(seconds=1), START + timedelta(seconds=5), verdict, 10, own)


@pytest.mark.parametrize("flag", ["not_proven", "superseded", "environment"])
def test_flags_of_a_verdict_are_read(flag: str) -> None:
    """What a verdict means beyond its answer survives the journal."""
    verdict = replay([ended(Stage.ROLLBACK, Outcome.FAIL, **{flag: True})]).stages[Stage.ROLLBACK].verdict
    assert verdict is not None
    assert [name for name in ("not_proven", "superseded", "environment") if getattr(verdict, name)] == [flag]


def test_an_exit_code_that_is_missing_is_the_verdicts() -> None:
    """Where no exit code was written, the verdict's own counts; where one was, that."""
    verdict = Verdict(Outcome.FAIL, "why", not_proven=True)
    row = replay([ended(Stage.ROLLBACK, Outcome.FAIL, exit_code=None, not_proven=True)]).stages[Stage.ROLLBACK]
    assert row == Ended(START, START, verdict, 13, {"render": verdict})
    assert replay([ended(Stage.BAKE, Outcome.ERROR, exit_code=130)]).stages[Stage.BAKE].exit_code == 130


def test_a_stage_that_never_ended_did_not_pass() -> None:
    """A stage that was begun and never ended has no verdict, also where it had passed before."""
    state = replay([started(Stage.BAKE), ended(Stage.BAKE), started(Stage.BAKE, 9)])
    assert state.stages[Stage.BAKE] == Ended(START + timedelta(seconds=9))
    assert not state.passed(Stage.BAKE)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_a_pass_has_passed(outcome: Outcome) -> None:
    """Of the four answers only a pass lets the next stage begin."""
    assert replay([ended(Stage.PLAN, outcome)]).passed(Stage.PLAN) is (outcome is Outcome.PASS)


@pytest.mark.parametrize(
    ("events", "superseded"),
    [
        ([ended(Stage.DEPLOY, Outcome.FAIL, superseded=True)], True),
        ([ended(Stage.DEPLOY, Outcome.FAIL, superseded=True), ended(Stage.ROLLBACK)], True),
        ([ended(Stage.DEPLOY, Outcome.FAIL)], False),
        ([ended(Stage.PLAN, Outcome.FAIL, superseded=True), ended(Stage.PLAN)], False),
        ([started(Stage.DEPLOY)], False),
    ],
)
def test_superseded(events: list[Event], superseded: bool) -> None:
    """The run is superseded when the last run of any of its stages was."""
    assert replay(events).superseded == ({"render"} if superseded else frozenset())


@pytest.mark.parametrize(
    ("events", "lost"),
    [
        ([], False),
        ([started(Stage.PLAN)], False),
        ([ended(Stage.PLAN, Outcome.FAIL)], False),
        ([ended(Stage.PLAN)], True),
        ([ended(Stage.PLAN), started(Stage.ROLLBACK)], True),
        ([ended(Stage.PLAN), started(Stage.RECOVER), ended(Stage.ROLLBACK)], True),
        ([ended(Stage.PLAN), started(Stage.DEPLOY)], False),
        ([ended(Stage.PLAN), ended(Stage.BAKE)], False),
    ],
)
def test_lost(events: list[Event], lost: bool) -> None:
    """A journal that ends with a passed plan, or goes on with ways back only, may be all that is left of a lost run."""
    assert replay(events).lost is lost


def test_a_way_back_of_one_target_is_not_the_others() -> None:
    """A way back that only one target went has passed neither for the other one nor for the release."""
    asked = [event(Kind.INTENT, name, action="deploy") for name in ("render", "vercel")]
    state = replay([RELEASE, *asked, ended(Stage.VERIFY), ended(Stage.ROLLBACK)])
    assert not state.passed(Stage.ROLLBACK)
    assert state.only("render").passed(Stage.ROLLBACK)
    assert Stage.ROLLBACK not in state.only("vercel").stages
    assert state.only("vercel").passed(Stage.VERIFY)
    whole = replay(
        [*asked, ended(Stage.ROLLBACK, targets={name: ended(Stage.ROLLBACK).fields for name in state.targets})]
    )
    assert whole.passed(Stage.ROLLBACK)


def test_targets_do_not_mix() -> None:
    """What happens to one target does not change another."""
    state = replay([RELEASE, BASELINE, event(Kind.INTENT, "vercel", action="deploy", known=["dpl-1"])])
    assert not state.targets["render"].asked
    assert state.targets["vercel"].asked
    assert state.moved


# Whatever the stages write, in any order: a run may be killed and started again between any two events.
ACTIONS = st.sampled_from(["deploy", "roll_back", "promote", "cancel"])
COMMITS = st.sampled_from([NEW, OLD, None])
IDS = st.sampled_from([None, "dep-1", "dep-2"])
STAGE_NAMES = st.sampled_from(Stage)
VALID: st.SearchStrategy[Event] = st.one_of(
    st.just(RELEASE),
    st.just(BASELINE),
    st.builds(lambda target: event(Kind.BASELINE, target, commit=None, deployment_id=None), st.just("vercel")),
    st.builds(started, STAGE_NAMES),
    st.builds(
        lambda stage, outcome, flag: ended(stage, outcome, **{flag: True}),
        STAGE_NAMES,
        st.sampled_from(Outcome),
        st.sampled_from(["not_proven", "superseded", "environment", "next_step"]),
    ),
    st.builds(lambda action, row: change(Kind.INTENT, action, known=row), ACTIONS, st.lists(IDS.map(str), max_size=2)),
    st.builds(
        lambda kind, action, row, commit, state: change(kind, action, id=row, commit=commit, state=state),
        st.sampled_from([Kind.DONE, Kind.DEPLOYMENT]),
        ACTIONS,
        IDS,
        COMMITS,
        st.sampled_from(DeployState),
    ),
    st.builds(lambda action: change(Kind.FAILED, action, reason="no"), ACTIONS),
    st.builds(lambda commit: event(Kind.PROOF, "render", commit=commit), COMMITS),
    st.just(event(Kind.NOTE, "render", text="x")),
)


def questions(state: RunState) -> Iterable[object]:
    """Ask everything that a stage may ask."""
    yield from (state.superseded, state.lost, state.moved, *(state.passed(stage) for stage in STAGES))
    for target in state.targets.values():
        yield from (target.asked, target.known, target.own_ids)


@given(st.lists(VALID, max_size=30), st.integers(0, 30))
def test_any_prefix_can_be_replayed(events: list[Event], length: int) -> None:
    """A run that was killed after any event can be continued: replay of what is there never raises."""
    state = replay(events[:length])
    assert all(answer is not None for answer in questions(state))
    assert state.moved == any(target.asked or target.rollback is not None for target in state.targets.values())


@given(st.lists(VALID, max_size=20), st.lists(VALID, max_size=5))
def test_a_replay_can_be_continued(events: list[Event], more: list[Event]) -> None:
    """Events that come later never change what was known of the release that was planned, unless it is planned anew."""
    before, after = replay(events), replay([*events, *more])
    assert set(before.targets) <= set(after.targets)
    assert set(before.stages) - {Stage.ROLLBACK, Stage.RECOVER} <= set(after.stages)
    if RELEASE not in more:
        assert after.release == before.release
