"""See, before a release, whether the accounts are set up so that a release and a rollback can work.

Changes nothing: every request is a GET. What cannot be seen is said to be so, and is never called well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.clock import Clock, SystemClock
from scripts.config import RenderSection, VercelSection
from scripts.doctoring.files import read_blueprint, read_vercel_json
from scripts.doctoring.finding import Finding, as_json, count, is_well
from scripts.doctoring.github import GitHubAccount
from scripts.doctoring.machine import examine_cli
from scripts.doctoring.reading import Budget
from scripts.doctoring.render import RenderAccount
from scripts.doctoring.render_service import Expected as ExpectedService
from scripts.doctoring.service import Live, Service
from scripts.doctoring.telling import render_heading, render_lines, render_markdown, tidy
from scripts.doctoring.vercel import VercelAccount
from scripts.doctoring.vercel_project import Expected as ExpectedProject
from scripts.foreign import plain
from scripts.platforms.vercel import BYPASS, bypass_headers
from scripts.wiring import CLI, GITHUB_TOKEN, Given

FAILED = 10


def doctor(given: Given) -> int:
    """Look at every account and tell what was found; the exit code is 10 where something must be mended."""
    return run(Doctor(given, SystemClock(), CLI))


@dataclass(frozen=True)
class Doctor:
    """What is looked at, on which clock; `cli` is the folder that pins the Vercel CLI."""

    given: Given
    clock: Clock
    cli: Path

    @property
    def environment_name(self) -> str:
        """The GitHub environment whose secrets these are, where the job says so."""
        return self.given.environment.get("SLIPWAY_ENVIRONMENT", "").strip()

    @property
    def _where(self) -> str:
        return f" in the environment {self.environment_name}" if self.environment_name else ""

    @property
    def _folder(self) -> Path:
        folder: Path = self.given.arguments.config.parent
        return folder

    def examine(self) -> Iterator[list[Finding]]:
        """Look at one account after the other, and give what was found in each."""
        config = self.given.config
        if "render" in config.release.targets and config.render is not None:
            account = self._render(config.render)
            yield list(account.examine())
            yield list(self._service("render", config.render.url, account.live).examine())
        if "vercel" in config.release.targets and config.vercel is not None:
            project = self._vercel(config.vercel)
            yield [*project.examine(), *examine_cli(self.cli, self.given.environment)]
            yield list(self._service("vercel", config.vercel.url, project.live).examine())
        token = self.given.secrets.get(GITHUB_TOKEN)
        yield list(GitHubAccount(self.given.client, Budget(self.clock), token, self.given.environment).examine())

    def _render(self, settings: RenderSection) -> RenderAccount:
        given = self.given
        expected = ExpectedService(
            url=settings.url,
            instances=settings.instances,
            critical_paths=tuple(check.path.partition("?")[0] for check in given.config.checks if check.critical),
            blueprint=read_blueprint(self._folder),
            repository=given.environment.get("GITHUB_REPOSITORY", "").strip(),
            server_url=given.environment.get("GITHUB_SERVER_URL", "").strip() or "https://github.com",
        )
        return RenderAccount(
            given.client, Budget(self.clock), given.secrets, settings.api_url, expected, where=self._where
        )

    def _vercel(self, settings: VercelSection) -> VercelAccount:
        given = self.given
        expected = ExpectedProject(settings, read_vercel_json(self._folder), BYPASS in given.secrets, self._where)
        return VercelAccount(given.client, Budget(self.clock), given.secrets, expected)

    def _service(self, target: str, url: str, live: Live) -> Service:
        given = self.given
        headers = bypass_headers(given.secrets) if target == "vercel" else {}
        return Service(
            given.client, Budget(self.clock), given.config, given.secrets, target, url, live, headers, self._where
        )


def run(patient: Doctor) -> int:
    """Tell the findings of each account as they come, then all of them where a run's summary or a tool wants them."""
    given, start_s = patient.given, patient.clock.monotonic()
    console = given.console
    heading = plain(render_heading(given.config.release.targets, patient.environment_name))
    console.say(heading)
    findings: list[Finding] = []
    for found in patient.examine():
        told = [tidy(finding, console.redact) for finding in found]
        findings += told
        if told and not given.arguments.json:
            console.result(render_lines(told))
    if given.arguments.json:
        console.result(as_json(findings))
    _summarise(given, findings, heading)
    well = is_well(findings)
    console.end("doctor", "pass" if well else "fail", count(findings), patient.clock.monotonic() - start_s)
    return 0 if well else FAILED


def _summarise(given: Given, findings: list[Finding], heading: str) -> None:
    """Add the table to the run's summary; that it cannot be written there changes no finding."""
    file = given.environment.get("GITHUB_STEP_SUMMARY")
    if not file:
        return
    try:
        with Path(file).open("a", encoding="utf-8") as summary:
            summary.write(render_markdown(findings, heading))
    except OSError as error:
        given.console.warn(f"the summary could not be written: {error.strerror}")
