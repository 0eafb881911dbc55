"""What `load` is to measure: the service of a checkout, how it is started, and what tells that it is ready."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from scripts.config import SECRET_IN_HEADER, TARGETS, Config, LoadSection, parse
from scripts.errors import ConfigError
from scripts.redaction import Secret
from scripts.rehearsal.blueprint import Blueprint, BlueprintError, read_blueprint
from scripts.verdict import Check

PROGRAMS = Path(sys.executable).parent
READY_LIMIT_S = 60.0
READY_TIMEOUT_S = 5.0
NOWHERE = "http://127.0.0.1:1"

# What the service does not get: this machine's places and proxies, what measures, and what the pipeline works with.
WITHHELD = re.compile(
    r"PATH|HOME|PWD|(LOCUST|COV|COVERAGE|GITHUB|ACTIONS|RUNNER|RENDER|VERCEL|SLIPWAY)_.*|PYTHON.*|.*_PROXY"
)
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASS|KEY|CREDENTIAL|_(URL|URI|DSN)$")


@dataclass(frozen=True)
class Order:
    """What is measured, and with what; `environment` is what the service and locust get beside their own."""

    root: Path
    blueprint: Blueprint
    check: Check
    load: LoadSection
    environment: Mapping[str, str]
    say: Callable[[str], None]
    programs: Path = PROGRAMS
    ready_limit_s: float = READY_LIMIT_S
    workers: int = 1


def read_config(path: Path) -> Config:
    """Read a slipway.toml for a service on this machine: where releases go is not asked, and may be a placeholder.

    Raises:
        ConfigError: the file cannot be read, or says something else that is not allowed.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", next_step=f"mend {path}, or name it with --config"
        ) from error
    rest = {name: value for name, value in table.items() if name not in {"release", *TARGETS}}
    return parse({**rest, "render": {"url": NOWHERE}}, path.name)


def plan_order(root: Path, config: Config, environment: Mapping[str, str], say: Callable[[str], None]) -> Order:
    """Give what is to be measured, from the checkout's render.yaml and the configuration.

    Raises:
        ConfigError: render.yaml has no web service, or nothing tells when it is ready.
    """
    try:
        blueprint = read_blueprint((root / "render.yaml").read_text(encoding="utf-8"))
    except (OSError, BlueprintError, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"render.yaml cannot be read: {error}",
            means="It says how the service is started; nothing was started.",
            next_step="mend render.yaml, and run this in the repository's root",
        ) from error
    return Order(
        root,
        blueprint,
        choose_check(config, blueprint),
        config.load,
        _passed_on(environment),
        say,
    )


def _passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    rest = {name: value for name, value in environment.items() if not WITHHELD.fullmatch(name.upper())}
    return {**rest, "PATH": f"{PROGRAMS}{os.pathsep}{environment.get('PATH', os.defpath)}"}


def choose_check(config: Config, blueprint: Blueprint) -> Check:
    """Give the check that tells when the service is ready: a critical one that needs no secret, else Render's own.

    Raises:
        ConfigError: there is neither.
    """
    for section in config.checks:
        if section.critical and not any(SECRET_IN_HEADER.search(value) for value in section.headers.values()):
            (check,) = config.model_copy(update={"checks": (section,)}).checks_with({})
            return replace(check, timeout_s=min(check.timeout_s, READY_TIMEOUT_S))
    if blueprint.health_check_path:
        return Check("health", blueprint.health_check_path)
    raise ConfigError(
        "no critical check can be asked without a secret, and render.yaml has no healthCheckPath",
        means="Nobody could tell when the service is ready; nothing was started.",
        next_step="add a check without a secret to slipway.toml",
    )


def secrets_in(environment: Mapping[str, str]) -> list[Secret]:
    """Give what the service was told and may repeat in its log: values whose names say so, and passwords in URLs."""
    values = [value for name, value in environment.items() if SECRET_NAME.search(name.upper())]
    return [Secret(part) for value in values for part in (value, _password(value)) if part]


def _password(value: str) -> str:
    try:
        return urlsplit(value).password or ""
    except ValueError:
        return ""
