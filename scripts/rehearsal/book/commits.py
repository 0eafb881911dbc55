"""Drills in which the commit itself is bad, or only looks so."""

from scripts.rehearsal.book.drill import Drill, Expected, Setting, never_started, shipped, went_back
from scripts.rehearsal.changes import (
    answers_wrongly,
    crashes_at_start,
    ends_after,
    fails_a_fifth,
    fails_a_fifth_after,
    flaps,
    hangs,
    leaks,
    one_instance_is_bad,
    starts_after,
)
from scripts.release import Stage
from scripts.report import Result

COMMITS: tuple[Drill, ...] = (
    Drill("good", "a good commit", shipped(), everywhere=True),
    Drill("crashes-at-start", "the commit fails on import", never_started(Stage.DEPLOY), crashes_at_start),
    Drill(
        "errors",
        "a fifth of the answers are 500, the health check stays well",
        went_back(Stage.BAKE, user_failures=250, detected_s=10, recovered_s=3),
        fails_a_fifth,
    ),
    Drill(
        "errors-after-20-s",
        "a fifth of the answers are 500 from 20 s after the start on",
        went_back(Stage.BAKE, user_failures=350),
        fails_a_fifth_after(20),
        windows={"bake": {"least_s": 40, "most_s": 60}},
    ),
    Drill(
        "errors-after-60-s",
        "a fifth of the answers are 500 from 60 s after the start on: a bake of 90 s sees it",
        went_back(Stage.BAKE, user_failures=700),
        fails_a_fifth_after(60),
        windows={"bake": {"least_s": 90, "most_s": 110}},
    ),
    Drill(
        "leak",
        "from 3 s after the start on a growing share of the answers are 500, all of them half a minute later",
        went_back(Stage.BAKE, user_failures=400),
        leaks,
        windows={"bake": {"least_s": 20, "most_s": 40}},
    ),
    Drill(
        "hangs",
        "three of ten requests are never answered",
        went_back(Stage.BAKE, user_failures=700),
        hangs,
        windows={"bake": {"least_s": 15, "most_s": 30}},
    ),
    Drill(
        "wrong-body",
        "the readiness check answers 200, soon with a body that says maintenance",
        went_back(Stage.BAKE),
        answers_wrongly,
    ),
    Drill(
        "readiness-flaps",
        "the readiness check fails a second of every three",
        went_back(Stage.BAKE, user_failures=600),
        flaps,
        windows={"bake": {"least_s": 15, "most_s": 30}},
    ),
    Drill(
        "dies",
        "the process ends 6 s after each start",
        went_back(Stage.BAKE, user_failures=900),
        ends_after(6),
        windows={"bake": {"least_s": 15, "most_s": 30}},
    ),
    Drill(
        "slow-start-inside",
        "the service takes 3 s to start, of the 5 that the platform gives it here",
        shipped(),
        starts_after(3),
    ),
    Drill(
        "slow-start-outside",
        "the service takes 7 s to start, of the 5 that the platform gives it here",
        never_started(Stage.DEPLOY),
        starts_after(7),
    ),
    Drill(
        "one-of-three-bad",
        "one instance of three fails half of what it is asked",
        went_back(Stage.BAKE, user_failures=400),
        one_instance_is_bad,
        setting=Setting(instances=3),
    ),
    Drill("three-instances", "a good commit on three instances, replaced one by one", shipped(), setting=Setting(3)),
    Drill(
        "first-release",
        "a good commit, and nothing serves yet",
        Expected(None, 0, "candidate", Result.ROLLED_OUT, user_failures=1500),
        setting=Setting(first=True),
    ),
    Drill(
        "first-release-bad",
        "a fifth of the answers are 500, and there is nothing to go back to",
        Expected(Stage.BAKE, 10, "candidate", Result.STILL_BROKEN, user_failures=2500),
        fails_a_fifth,
        setting=Setting(first=True),
    ),
)
