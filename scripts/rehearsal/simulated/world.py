"""A world with two targets, one of which stages: the real stages between them, run as the command line runs them."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import httpx

from scripts.cli import _stage
from scripts.client import Client
from scripts.config import Config, parse
from scripts.console import Console
from scripts.errors import SlipwayError
from scripts.journal import NAME
from scripts.platforms import Platform
from scripts.probe import Witness
from scripts.rehearsal.simulated.moments import BEGIN, NEW, OLD, OLDER, CutJournal, DeadlyCut, Line, StillClock
from scripts.rehearsal.simulated.render import URL, Cloud
from scripts.rehearsal.simulated.vercel import PRODUCTION, STAGED_HOST, StagedCloud
from scripts.release import STAGES, Sha, Stage
from scripts.report import Result, as_json, judge_result
from scripts.stage import Ports, Target
from scripts.state import RunState, TargetState
from scripts.summary import render_markdown
from scripts.verdict import Verdict

RUN = {"SLIPWAY_RUN_STARTED": BEGIN.isoformat(), "GITHUB_SHA": NEW, "GITHUB_RUN_ID": "7"}
SERVES_NEW, WENT_BACK, KEPT, UNTOUCHED, UNKNOWN, LEFT = (
    "serves the new release",
    "went back",
    "kept the old release",
    "untouched",
    "not known",
    "left to someone else",
)
IS_OLD = {WENT_BACK, KEPT, UNTOUCHED}


class PairWorld:
    """Two clouds on one clock where OLD has served since long, and a release of NEW to some of them."""

    def __init__(
        self,
        folder: Path,
        *targets: str,
        together: bool = True,
        on_unproven: str = "roll_back",
        environment: dict[str, str] | None = None,
    ) -> None:
        self.cut = DeadlyCut()
        self.clock = StillClock(self.cut)
        self.render = Cloud(self.clock, self.cut, build_s=12)
        self.vercel = StagedCloud(self.clock, self.cut)
        self.names = targets or ("render", "vercel")
        self.clouds: dict[str, Cloud | StagedCloud] = {"render": self.render, "vercel": self.vercel}
        self.folder = folder / "state"
        self.config = pair_config(self.names, together=together, on_unproven=on_unproven)
        self.environment = RUN if environment is None else environment
        self.verdicts: dict[Stage, Verdict] = {}
        self.unverified: list[str] = []
        self.told = io.StringIO()
        self._kept = b""
        self.vercel.when_moved = self._watch_users

    def _watch_users(self, commit: Sha) -> None:
        """Note users that were put on a candidate which was not verified."""
        verified = self.verdicts.get(Stage.VERIFY)
        if commit == NEW and not (verified and verified.passed):
            self.unverified.append(commit)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Send a request where its host says."""
        host = request.url.host
        if host == httpx.URL(URL).host:
            return self.render.answer(request)
        if host == httpx.URL(PRODUCTION).host or host.endswith(STAGED_HOST):
            return self.vercel.answer(request)
        raise httpx.UnsupportedProtocol(f"nobody is at {host}")

    def ports(self) -> Ports:
        """Wire the stages to the clouds; targets take turns instead of being side by side."""
        return Ports(
            config=self.config,
            targets=tuple(self._target(name) for name in self.names),
            journal=CutJournal(self.folder, self.clock, self.cut),
            clock=self.clock,
            console=Console(err=self.told, out=self.told),
            checkout=Line(self.folder),
            folder=self.folder,
            spawn=lambda work: work(),
        )

    def _target(self, name: str) -> Target:
        client = Client(self.clock, httpx.MockTransport(self.answer))
        checks, rate_per_s = self.config.checks_with({}), self.config.probe.rate_per_s
        witness = Witness(client, self.clock, checks, rate_per_s, spawn=lambda work: work())
        platform: Platform = self.render if name == "render" else self.vercel
        return Target(name, platform, URL if name == "render" else PRODUCTION, 1, witness)

    def run(self, stage: Stage, *, again: bool = False) -> int:
        """Run a stage as the command line does, and give its exit code."""
        arguments = argparse.Namespace(verb=str(stage), commit=NEW, again=again, kept=None)
        try:
            self.verdicts[stage] = _stage(arguments, self.environment, self.ports())
        except SlipwayError as error:
            return error.exit_code
        except KeyboardInterrupt:
            return 130
        return self.verdicts[stage].exit_code

    def run_forward(self, *, until: Stage = Stage.BAKE) -> int:
        """Run the stages of a release up to one of them; stop at the first that does not pass and give its code."""
        return next(filter(None, map(self.run_and_keep, STAGES[: STAGES.index(until) + 1])), 0)

    def run_and_keep(self, stage: Stage) -> int:
        """Run a stage, and after the plan keep what the workflow uploads."""
        code = self.run(stage)
        if stage is Stage.PLAN:
            self._kept = (self.folder / NAME).read_bytes() if (self.folder / NAME).exists() else b""
        return code

    def run_release(self) -> int:
        """Run the stages as the workflow does: the rollback step follows a stage that did not pass."""
        code = self.run_forward()
        return self.run(Stage.ROLLBACK) if code else 0

    def lose_machine(self, keeps: str) -> None:
        """Go on elsewhere: with the whole `journal`, with the `copy` made right after plan, or with `nothing`."""
        if keeps == "copy" and self._kept:
            (self.folder / NAME).write_bytes(self._kept)
        elif keeps != "journal":
            (self.folder / NAME).unlink(missing_ok=True)

    @property
    def state(self) -> RunState:
        """What the journal adds up to."""
        return self.ports().state()

    def target(self, name: str) -> TargetState:
        """What the journal says of a target."""
        return self.state.targets[name]

    @property
    def result(self) -> Result:
        """What the report says."""
        return judge_result(self.state)

    @property
    def states(self) -> dict[str, str]:
        """What the report says of each target."""
        told = json.loads(json.dumps(as_json(self.state)))["targets"]
        return {name: str(row["state"]) for name, row in told.items()}

    @property
    def summary(self) -> str:
        """What the step summary says."""
        return render_markdown(self.ports().journal.read())

    @property
    def users(self) -> dict[str, set[Sha]]:
        """What users of each target get now."""
        return {name: self.clouds[name].commits() for name in self.names}

    @property
    def mutations(self) -> dict[str, list[tuple[str, str]]]:
        """What each platform was asked for."""
        return {name: list(self.clouds[name].mutations) for name in self.names}

    def users_later(self) -> dict[str, set[Sha]]:
        """What users of each target get from now until all that was begun has ended."""
        return {name: self.clouds[name].commits_later() for name in self.names}


def pair_config(targets: tuple[str, ...], *, together: bool, on_unproven: str) -> Config:
    """Give a configuration with short windows; the number of probes that a pass needs is the real one."""
    sections = {
        "render": {"url": URL},
        "vercel": {"url": PRODUCTION, "team": "team", "org_id": "team_1", "project_id": "prj_1"},
    }
    return parse(
        {
            "version": 1,
            "release": {"on_unproven": on_unproven, "targets": targets, "together": together},
            **{name: sections[name] for name in targets},
            "baseline": {"duration_s": 2},
            "deploy": {"deadline_s": 300, "poll_s": 5},
            "verify": {"deadline_s": 12},
            "bake": {"least_s": 5, "most_s": 40},
            "rollback": {"deadline_s": 90},
            "checks": [{"name": "ready", "path": "/health/ready", "expect": {"status": "ready"}}],
        }
    )


def pair(
    folder: Path, *targets: str, together: bool = True, on_unproven: str = "roll_back", of: type[PairWorld] = PairWorld
) -> PairWorld:
    """Give a world in which OLDER and then OLD had the users of every target."""
    world = of(folder, *targets, together=together, on_unproven=on_unproven)
    for cloud in world.clouds.values():
        cloud.serve_since_long(OLDER, OLD)
    return world
