"""What the probes showed: parted into watches, put beside their stages, counted."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts import evidence
from scripts.evidence import Answered, Counts, Evidence, Latency, Watch, part, quantile, read_evidence, read_lines
from scripts.journal import Kind
from scripts.redaction import Redactor, Secret
from scripts.release import Stage
from scripts.samples import PROOFS, append_samples
from scripts.samples import SAMPLES as SAMPLE_LINES
from scripts.state import replay
from scripts.verdict import BASELINE, CANDIDATE, CURRENT, Outcome, Sample
from tests.unit import journals
from tests.unit.journals import NEW, OLD, Story

FEW = settings(max_examples=25)


def read(story: Story) -> list[Evidence]:
    """Read the evidence of a release."""
    return read_evidence(story.folder, story.events, replay(story.events))


def stages(row: Evidence) -> list[tuple[str, int]]:
    """Give the stage and the size of each watch."""
    return [(watch.stage, len(watch.samples)) for watch in row.watches]


def test_each_watch_has_its_stage(tmp_path: Path) -> None:
    """The baseline, the proof in verify, the bake and the proof of the way back are told apart, for each target."""
    render, vercel = read(journals.bad(tmp_path, "render", "vercel"))
    parts = [("baseline", 200), ("verify", 60), ("bake", 140), ("rollback", 36)]
    assert (stages(render), stages(vercel)) == (parts, parts)
    assert [watch.span_s for watch in render.watches[:2]] == [(-20.0, 0.0), (0.0, pytest.approx(1.95))]


def test_a_promotion_is_a_watch_of_its_own(tmp_path: Path) -> None:
    """Where promote proved the candidate once more, that proof is its own, and not the way back's."""
    story = Story(tmp_path)
    story.plan(2)
    story.begin(Stage.VERIFY)
    story.prove("render", NEW, rounds=20)
    story.end(Stage.VERIFY)
    story.begin(Stage.PROMOTE, 1)
    story.prove("render", NEW, rounds=3)
    story.end(Stage.PROMOTE)
    story.watch(3)
    story.end(Stage.BAKE)
    assert stages(read(story)[0]) == [("baseline", 20), ("verify", 60), ("promote", 9), ("bake", 30)]


def test_a_promotion_that_asked_nothing_is_passed_over(tmp_path: Path) -> None:
    """Where promote had nothing to prove and no bake began, the next proof is the way back's."""
    story = Story(tmp_path)
    story.plan(2)
    story.verify(before=0)
    story.begin(Stage.PROMOTE, 30)  # the other target's
    story.end(Stage.PROMOTE)
    story.go_back(["render"])
    assert [name for name, _ in stages(read(story)[0])] == ["baseline", "verify", "rollback"]


def test_a_lost_run_and_its_recovery(tmp_path: Path) -> None:
    """The probes of a bake that was lost are the bake's, and those after it the recovery's."""
    (row,) = read(journals.lost(tmp_path))
    assert [name for name, _ in stages(row)] == ["baseline", "verify", "bake", "recover"]
    assert row.counts(*evidence.WAY_BACK) == Counts(24, 0)


def test_a_verify_that_proved_nothing(tmp_path: Path) -> None:
    """Where the candidate never answered, every probe came before it did, and none counts as its own."""
    story = Story(tmp_path)
    story.plan(2)
    story.begin(Stage.VERIFY)
    append_samples(
        tmp_path, "render", [Sample(n / 10, "version", CURRENT, 0.0, ok=True) for n in range(50)], kind=PROOFS
    )
    story.clock.advance(5)
    story.end(Stage.VERIFY, {"render": Outcome.FAIL}, "it did not answer")
    (row,) = read(story)
    assert row.counts(Stage.VERIFY) == Counts(0, 0, 50)
    assert (row.answered, row.latency(Stage.VERIFY), row.worst(Stage.VERIFY)) == (None, None, None)


def test_a_proof_of_no_known_stage_is_named_a_proof() -> None:
    """Where the journal has no stage for a proof, it is not put beside another one."""
    rows = part([Sample(0.1, "version", CANDIDATE, 0.0, ok=True)])
    assert [watch.stage for watch in evidence.name_proofs(rows, [], [])] == ["proof"]


def test_what_verify_saw_is_not_the_bakes() -> None:
    """What was judged begins with what `verify` had counted: those seconds are not the bake's own probes."""
    rows = [Sample(t, "ready", CANDIDATE, 9.0, ok=True) for t in (0.0, 1.0, 2.0, 2.5, 6.0)]
    before = [Sample(-1.0, "ready", BASELINE, 9.0, ok=True)]
    watches = evidence.judged_watches([*before, *rows], verified_s=2)
    assert [(watch.stage, len(watch.samples)) for watch in watches] == [("baseline", 1), ("bake", 3)]


def test_the_bake_begins_with_the_proof_before_it(tmp_path: Path) -> None:
    """How long `verify` saw the candidate is told by the last proof before the bake, whatever the way back counted."""
    story = journals.bad(tmp_path)
    story.journal.append(Kind.PROOF, "render", commit=OLD, staged=False, answers=3, instances=[], seconds=[{}] * 30)
    (row,) = read(story)
    assert row.counts(Stage.BAKE) == Counts(140, 23)


def test_two_proofs_are_parted_where_time_begins_anew() -> None:
    """A proof's rounds go forward; where they go back, another proof began."""
    rows = [Sample(t, "version", CANDIDATE, 0.0, ok=True) for t in (0.1, 0.2, 0.3, 0.1, 0.2)]
    assert [len(found) for found in part(rows)] == [3, 2]


def test_what_answered(tmp_path: Path) -> None:
    """The last proof of a target says which commit answered, how often, and from which instances."""
    (row,) = read(journals.bad(tmp_path))
    assert row.answered == Answered(OLD, 8, ("srv-2-x7k9q",))


def test_without_probes_the_journal_tells(tmp_path: Path) -> None:
    """Without the file of probes, baseline and proofs are counted by the journal, and the rest is not known."""
    story = journals.bad(tmp_path)
    for kind in (SAMPLE_LINES, PROOFS):
        (tmp_path / f"{kind}-render.jsonl").unlink()
    (row,) = read(story)
    assert row.watches == ()
    assert row.counts(BASELINE) == Counts(200, 0)
    assert row.counts(Stage.VERIFY) == Counts(16, 0)
    assert row.counts(Stage.BAKE) is None
    assert row.counts(Stage.ROLLBACK, Stage.RECOVER) == Counts(16, 0)


def test_counts_latency_and_the_worst_endpoint() -> None:
    """Failures count by endpoint, the largest share first; what was not timed, or failed, has no latency."""
    bad = [Sample(1, "items", CANDIDATE, 5000, ok=False), Sample(2, "items", CANDIDATE, 30, ok=True)]
    many = [Sample(n, "ready", CANDIDATE, 10, ok=n > 0) for n in range(9)]
    untimed = [Sample(3, "version", CANDIDATE, 0, ok=True)] * 20
    row = Evidence("render", (Watch("bake", (*bad, *many, *untimed)),))
    assert row.counts("bake") == Counts(31, 2)
    assert row.worst("bake") == ("items", Counts(2, 1))
    assert row.latency("bake") == Latency(10, 30)
    assert row.latency("verify") is None
    assert Evidence("render", (Watch("bake", tuple(untimed)),)).worst("bake") is None


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [
        ([7.0], 0.5, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([*map(float, range(1, 101))], 0.95, 95.0),
    ],
)
def test_a_quantile(values: Sequence[float], share: float, found: float) -> None:
    """The nearest rank, of values in any order."""
    assert quantile(values, share) == found


NUMBERLESS = [
    b'"t_s": NaN, "ms": 1, "ok": true}',
    b'"t_s": Infinity, "ms": 1, "ok": true}',
    b'"t_s": 1, "ms": 1e999, "ok": true}',
    b'"t_s": 1' + b"0" * 400 + b', "ms": 1, "ok": true}',
    b'"t_s": 1' + b"0" * 5000 + b', "ms": 1, "ok": true}',
    b'"t_s": "1", "ms": 1, "ok": true}',
    b'"t_s": true, "ms": 1, "ok": true}',
    b'"t_s": 1, "ms": null, "ok": true}',
    b'"t_s": 1, "ms": 1, "ok": "yes"}',
]
SPOILT = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"17",
    b'"text"',
    b"\xff\xfe",
    b"[" * 100_000,
    *(b'{"endpoint": "ready", "arm": "candidate", ' + row for row in NUMBERLESS),
    b'{"t_s": 1, "ms": 1, "endpoint": "ready", "arm": "candidate"}',
    b'{"t_s": 1, "ms": 1, "ok": true}',
    b'{"t_s": 1, "ms": 1, "ok": true, "endpoint": "ready", "arm": 1}',
]


def test_what_is_no_probe_is_passed_over(tmp_path: Path) -> None:
    """Torn lines, wrong types and numbers that are none are left out; what is whole beside them is read."""
    good = json.dumps({"t_s": 1, "endpoint": "ready", "arm": CANDIDATE, "ms": 2.5, "ok": True}).encode()
    (tmp_path / "samples-render.jsonl").write_bytes(b"\n".join([*SPOILT, good, good[:20]]))
    assert read_lines(tmp_path, "render") == ([Sample(1.0, "ready", CANDIDATE, 2.5, ok=True)], False)


@pytest.mark.parametrize("name", ["../render", "a/b", "", ".", "x" * 41, "a b", "a\0b", "nothing"])
def test_only_a_target_has_probes(tmp_path: Path, name: str) -> None:
    """A name that is none of a target opens no file."""
    folder = tmp_path / "state"
    folder.mkdir()
    for path in (tmp_path / "render.jsonl", folder / "samples-.jsonl", folder / "samples-a b.jsonl"):
        path.write_text(json.dumps({"t_s": 1, "ms": 1, "ok": True, "endpoint": "ready", "arm": CANDIDATE}))
    assert read_lines(folder, name) == ([], False)


def test_a_file_of_probes_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder in its place is no file of probes."""
    (tmp_path / "samples-render.jsonl").mkdir()
    assert read_lines(tmp_path, "render") == ([], False)


@pytest.mark.parametrize(("more", "cut"), [(0, False), (1, True)])
def test_too_many_probes_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int, cut: bool) -> None:
    """A file with more lines than are read is read up to there, and it is said."""
    monkeypatch.setattr(evidence, "MOST_LINES", 30)
    append_samples(tmp_path, "render", [Sample(n, "ready", CANDIDATE, 1, ok=True) for n in range(30 + more)])
    samples, was_cut = read_lines(tmp_path, "render")
    assert (len(samples), was_cut) == (30, cut)


NUMBERS = st.floats(-1e3, 1e3) | st.sampled_from([0.0, 0.05])
SAMPLES = st.builds(
    Sample,
    NUMBERS,
    st.sampled_from(["version", "ready", "<b>"]),
    st.sampled_from([CANDIDATE, CURRENT, BASELINE, "?"]),
    st.sampled_from([0.0, 1.0, 1e8]),
    ok=st.booleans(),
)


@FEW
@given(st.lists(SAMPLES, max_size=40))
def test_no_probe_is_lost_or_moved(rows: list[Sample]) -> None:
    """However the lines lie, parting them keeps each of them, in its order, and every count adds up."""
    watches = part(rows)
    assert [row for watch in watches for row in watch] == rows
    assert all(watches)
    told = Evidence("render", tuple(Watch("verify", tuple(watch)) for watch in watches)).counts("verify")
    assert told is None if not rows else told is not None and told.sent + told.before == len(rows)
    assert all(math.isfinite(moment) for watch in watches for moment in Watch("x", tuple(watch)).span_s)


def test_samples_hold_no_secret(tmp_path: Path) -> None:
    """What a service echoes of a secret is not kept in the release's artifact."""
    redact = Redactor([Secret("s3cret-of-a-check")])
    told = Sample(0.1, "ready", CANDIDATE, 1.0, ok=False, reason="expected a = 'b', got 's3cret-of-a-check'")
    append_samples(tmp_path, "render", [told], redact)
    assert "s3cret-of-a-check" not in (tmp_path / "samples-render.jsonl").read_text()
