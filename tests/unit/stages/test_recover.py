"""`recover`: from whatever journal is left, production ends on a proven release, or the exit says that it does not."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from scripts.journal import NAME
from scripts.preview import preview
from scripts.recover import recover
from scripts.rehearsal.simulated.moments import NEW, NEWER, OLD, Killed
from scripts.release import Stage
from scripts.report import Result
from scripts.verdict import worst
from tests.unit.stages.clouds import World, old_and_new


def killed_in_deploy(folder: Path, *, key: bool = True) -> World:
    """Give a world whose run was killed while it waited for its deploy."""
    world = old_and_new(folder)
    world.cloud.has_key = key
    assert world.run_forward(until=Stage.PLAN) == 0
    world.cut.arm(16, Killed)
    with pytest.raises(Killed):
        world.run(Stage.DEPLOY)
    assert world.cloud.mutations == [("deploy", NEW)]
    return world


@pytest.mark.parametrize("keep_journal", [True, False])
def test_deploy_on_its_way_is_cancelled(tmp_path: Path, keep_journal: bool) -> None:
    """A deploy that a lost run left on its way is cancelled, and the old release is proven."""
    world = killed_in_deploy(tmp_path)
    world.lose_machine(keep_journal=keep_journal)
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.mutations == [("deploy", NEW), ("cancel", "dep-3")]
    assert world.cloud.commits_later() == {OLD}


@pytest.mark.parametrize("keep_journal", [True, False])
def test_candidate_that_went_live_goes_back(tmp_path: Path, keep_journal: bool) -> None:
    """A candidate that went live after its run was lost is rolled back, once."""
    world = killed_in_deploy(tmp_path)
    world.clock.sleep(60)
    world.lose_machine(keep_journal=keep_journal)
    assert [world.run(Stage.RECOVER), world.run(Stage.RECOVER)] == [0, 0]
    assert world.cloud.mutations == [("deploy", NEW), ("roll_back", OLD)]
    assert world.result is Result.ROLLED_BACK
    assert world.cloud.commits_later() == {OLD}


@pytest.mark.parametrize("keep_journal", [True, False])
def test_without_a_key_the_old_commit_is_hooked(tmp_path: Path, keep_journal: bool) -> None:
    """Without a key the old commit is hooked, and only a new instance of it proves the recovery."""
    world = killed_in_deploy(tmp_path, key=False)
    world.lose_machine(keep_journal=keep_journal)
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.mutations == [("deploy", NEW), ("deploy", OLD)]
    assert world.cloud.commits_later() == {OLD}


def test_without_a_key_a_lost_rollback_is_reported(tmp_path: Path) -> None:
    """A release that was recovered from the plan's copy alone, without a key, is reported as rolled back."""
    world = killed_in_deploy(tmp_path, key=False)
    world.clock.sleep(60)
    assert world.cloud.commits() == {NEW}
    world.lose_machine(keep_journal=False)
    assert world.run(Stage.RECOVER) == 0
    assert world.result is Result.ROLLED_BACK


def test_same_commit_is_never_rolled_back_without_a_key(tmp_path: Path) -> None:
    """A lost run of a commit that served already changes nothing, with no key either."""
    world = old_and_new(tmp_path)
    world.cloud.has_key = False
    world.cloud.serve_since_long(NEW)
    assert world.run_forward(until=Stage.PLAN) == 0
    world.lose_machine(keep_journal=False)
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.mutations == []


def test_without_a_journal_nothing_is_proven(tmp_path: Path) -> None:
    """Without any journal what served before is not known: 13."""
    world = old_and_new(tmp_path)
    assert world.run(Stage.RECOVER) == 13
    assert world.cloud.mutations == []


def test_preview_without_a_journal(tmp_path: Path) -> None:
    """`--dry-run` of a recover without a journal does not promise that all is well."""
    world = old_and_new(tmp_path)
    assert "no release was planned" in preview("recover", world.state, "roll_back")


def test_passed_release_is_proven_again(tmp_path: Path) -> None:
    """After a release that passed, recover proves the candidate and leaves it."""
    world = old_and_new(tmp_path)
    assert world.run_forward() == 0
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.mutations == [("deploy", NEW)]
    assert world.result is Result.ROLLED_OUT


def test_passed_release_that_fell_sick_is_not_proven(tmp_path: Path) -> None:
    """After a release that passed, a candidate that fails its checks now means 13."""
    world = old_and_new(tmp_path)
    assert world.run_forward() == 0
    world.cloud.sick = {NEW}
    assert world.run(Stage.RECOVER) == 13
    assert world.result is Result.STILL_BROKEN


@pytest.mark.parametrize("commit", [OLD, NEWER])
def test_move_after_a_passed_release_stands(tmp_path: Path, commit: str) -> None:
    """Someone who moved production after the release passed supersedes it; recover raises no alarm about that."""
    world = old_and_new(tmp_path)
    assert world.run_forward() == 0
    world.cloud.someone_deploys(NEWER if commit == NEWER else OLD)
    world.clock.sleep(60)
    assert world.run(Stage.RECOVER) == 10
    assert world.verdicts[Stage.RECOVER].superseded
    assert world.cloud.mutations == [("deploy", NEW)]


@pytest.mark.parametrize("keep_journal", [True, False])
def test_next_release_is_never_undone(tmp_path: Path, keep_journal: bool) -> None:
    """A later release that serves now is never touched by the recover of an earlier run."""
    world = killed_in_deploy(tmp_path)
    world.clock.sleep(60)
    world.cloud.someone_deploys(NEWER)
    world.clock.sleep(60)
    world.lose_machine(keep_journal=keep_journal)
    assert world.run(Stage.RECOVER) == 10
    assert world.verdicts[Stage.RECOVER].superseded
    assert world.cloud.mutations == [("deploy", NEW)]
    assert world.cloud.commits_later() == {NEWER}


def test_rollback_of_a_lost_run_is_recognized(tmp_path: Path) -> None:
    """A recover with the plan's copy alone, after the lost run rolled back by itself, proves the baseline: no alarm."""
    world = old_and_new(tmp_path)
    world.cloud.sick = {NEW}
    assert world.run_release() == 0
    world.lose_machine(keep_journal=False)
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.asked("roll_back") == [OLD]


def test_plan_that_did_not_pass_leaves_nothing_to_recover(tmp_path: Path) -> None:
    """After a refused plan nothing is asked for."""
    world = old_and_new(tmp_path)
    world.cloud.someone_deploys(NEWER)
    assert world.run(Stage.PLAN) == 10
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.mutations == []


def test_torn_last_line_is_survived(tmp_path: Path) -> None:
    """A journal whose last line was torn by the kill is continued."""
    world = killed_in_deploy(tmp_path)
    path = world.folder / NAME
    path.write_bytes(path.read_bytes()[:-20])
    assert world.run(Stage.RECOVER) == 0
    assert world.cloud.commits_later() == {OLD}


def test_preview_of_a_lost_run(tmp_path: Path) -> None:
    """`--dry-run` says that the candidate would be cancelled or rolled back, and touches nothing."""
    world = killed_in_deploy(tmp_path)
    assert "would cancel or roll back the candidate" in preview("recover", world.state, "roll_back")
    assert world.cloud.mutations == [("deploy", NEW)]


def lost_with_its_journal(folder: Path, *, sick: bool, key: bool = True) -> World:
    """Give a world whose run was lost after the candidate went live, together with everything that it wrote."""
    world = old_and_new(folder)
    world.cloud.has_key = key
    world.cloud.sick = {NEW} if sick else set()
    assert world.run_forward(until=Stage.DEPLOY) == 0
    (world.folder / NAME).unlink()
    return world


@pytest.mark.parametrize("sick", [True, False])
def test_lost_journal_is_rebuilt_from_the_platform(tmp_path: Path, sick: bool) -> None:
    """Without a journal, `recover` finds by the platform what was shipped and what served before."""
    world = lost_with_its_journal(tmp_path, sick=sick)
    assert worst(recover(world.ports(), world.release).values()).exit_code == 0
    assert world.cloud.commits_later() == {OLD}
    assert worst(recover(world.ports(), world.release).values()).exit_code == 0
    assert world.cloud.asked("roll_back") == [OLD]


def test_lost_journal_without_a_key_needs_a_person(tmp_path: Path) -> None:
    """With neither a journal nor an API key nobody can say what served before: 13, and nothing is changed."""
    world = lost_with_its_journal(tmp_path, sick=True, key=False)
    before = list(world.cloud.mutations)
    assert worst(recover(world.ports(), world.release).values()).exit_code == 13
    assert world.cloud.mutations == before


def test_lost_journal_of_a_run_that_deployed_nothing(tmp_path: Path) -> None:
    """Without a journal, a deploy of the same commit from before the run is not this run's to undo."""
    world = lost_with_its_journal(tmp_path, sick=True)
    later = replace(world.release, started_at=world.clock.now() + timedelta(seconds=1))
    assert worst(recover(world.ports(), later).values()).exit_code == 0
    assert world.cloud.commits() == {NEW}
