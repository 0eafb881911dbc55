"""A platform in memory with a service behind it, for tests of the stages: OLD has served since long."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import httpx

from scripts import bake, deploy, plan, promote, recover, rollback, verify
from scripts.client import Client
from scripts.config import Config, parse
from scripts.console import Console
from scripts.errors import SlipwayError
from scripts.journal import NAME
from scripts.probe import Witness
from scripts.rehearsal.simulated.moments import BEGIN, NEW, OLD, OLDER, Cut, CutJournal, StillClock, StraightLine
from scripts.rehearsal.simulated.render import URL, Cloud
from scripts.release import STAGES, Baseline, Release, Stage
from scripts.report import Result, judge_result
from scripts.stage import Ports, Target, Verdicts, run_stage
from scripts.state import RunState, TargetState
from scripts.verdict import Verdict

BODIES: dict[Stage, Callable[[Ports], Verdicts]] = {
    Stage.DEPLOY: deploy.deploy,
    Stage.VERIFY: verify.verify,
    Stage.PROMOTE: promote.promote,
    Stage.BAKE: bake.bake,
    Stage.ROLLBACK: rollback.roll_back,
    Stage.RECOVER: recover.recover,
}


class World:
    """A cloud where OLD has served since long, a release of NEW, and the real stages between them."""

    def __init__(self, folder: Path, *, on_unproven: str = "roll_back", instances: int = 1) -> None:
        self.cut = Cut()
        self.clock = StillClock(self.cut)
        self.cloud = Cloud(self.clock, self.cut, instances=instances)
        self.folder = folder / "state"
        self.config = make_config(on_unproven)
        self.configured_instances = instances
        self.release = Release(NEW, "run-1", BEGIN, ("render",))
        self.verdicts: dict[Stage, Verdict] = {}
        self.told = io.StringIO()
        self._kept = b""

    def ports(self) -> Ports:
        """Wire the stages to the cloud."""
        client = Client(self.clock, httpx.MockTransport(self.cloud.answer))
        checks = self.config.checks_with({})
        witness = Witness(client, self.clock, checks, self.config.probe.rate_per_s, spawn=lambda work: work())
        return Ports(
            config=self.config,
            targets=(Target("render", self.cloud, URL, self.configured_instances, witness),),
            journal=CutJournal(self.folder, self.clock, self.cut),
            clock=self.clock,
            console=Console(err=self.told, out=self.told),
            checkout=StraightLine(self.folder),
            folder=self.folder,
        )

    def run(self, stage: Stage, *, again: bool = False) -> int:
        """Run a stage as the command line does, and give its exit code."""
        try:
            body = BODIES.get(stage, lambda given: plan.plan(given, self.release, again=again))
            if stage is Stage.PLAN:
                plan.prepare_folder(self.ports(), self.release)
            self.verdicts[stage] = run_stage(self.ports(), stage, body)
        except SlipwayError as error:
            return error.exit_code
        except KeyboardInterrupt:
            return 130
        return self.verdicts[stage].exit_code

    def run_forward(self, *, until: Stage = Stage.BAKE) -> int:
        """Run the stages of a release up to one of them; stop at the first that does not pass and give its code."""
        for stage in STAGES[: STAGES.index(until) + 1]:
            code = self.run(stage)
            if stage is Stage.PLAN:
                self._kept = (self.folder / NAME).read_bytes()
            if code != 0:
                return code
        return 0

    def run_release(self) -> int:
        """Run the stages as the workflow does: the rollback step follows a stage that did not pass."""
        code = self.run_forward()
        return self.run(Stage.ROLLBACK) if code else 0

    def lose_machine(self, *, keep_journal: bool) -> None:
        """Continue on another machine, with the whole journal or with the copy that was made right after plan."""
        if not keep_journal:
            (self.folder / NAME).write_bytes(self._kept)

    @property
    def state(self) -> RunState:
        """What the journal adds up to."""
        return self.ports().state()

    @property
    def target(self) -> TargetState:
        """What the journal says of the target."""
        return self.state.targets["render"]

    @property
    def baseline(self) -> Baseline:
        """What the plan wrote down."""
        assert self.target.baseline is not None
        return self.target.baseline

    @property
    def result(self) -> Result:
        """What the report says."""
        return judge_result(self.state)


def make_config(on_unproven: str = "roll_back") -> Config:
    """Give a configuration with short windows; the number of probes that a pass needs is the real one."""
    return parse(
        {
            "version": 1,
            "release": {"on_unproven": on_unproven},
            "render": {"url": URL},
            "baseline": {"duration_s": 2},
            "deploy": {"deadline_s": 300, "poll_s": 5},
            "verify": {"deadline_s": 30},
            "bake": {"least_s": 5, "most_s": 40},
            "rollback": {"deadline_s": 120},
            "checks": [{"name": "ready", "path": "/health/ready", "expect": {"status": "ready"}}],
        }
    )


def old_and_new(folder: Path, *, instances: int = 1, on_unproven: str = "roll_back") -> World:
    """Give a world in which OLDER and then OLD were live."""
    world = World(folder, instances=instances, on_unproven=on_unproven)
    world.cloud.serve_since_long(OLDER, OLD)
    return world
