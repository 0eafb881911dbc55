"""What a commit's render.yaml says about its web service, as far as an instance needs it."""

import contextlib
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

NOT_PLAIN = frozenset({"PYTHON_VERSION"})  # picks the interpreter of the build, and is nothing the service reads
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
MORE_THAN_ONE_COMMAND = re.compile(r"[;|&(){}`]")
URLS = frozenset({"connectionString", "connectionPoolString"})


@dataclass(frozen=True)
class Blueprint:
    """The commands, the health check path and the variables of one web service.

    `databases` names the database behind each variable that holds a database's URL.
    """

    start_command: str = ""
    build_command: str = ""
    pre_deploy_command: str = ""
    health_check_path: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    databases: Mapping[str, str] = field(default_factory=dict)


class BlueprintError(ValueError):
    """A render.yaml without a usable web service."""


def read_blueprint(text: str) -> Blueprint:
    """Read the first web service of a render.yaml; raises BlueprintError.

    Only `key` with `value` is a plain variable: groups and secrets asked for in the dashboard are not here.
    """
    service = _first_web_service(_load(text))
    start_command = str(service.get("startCommand") or "")
    if not start_command:
        raise BlueprintError("render.yaml: the web service has no startCommand")
    return Blueprint(
        start_command=start_command,
        build_command=str(service.get("buildCommand") or ""),
        pre_deploy_command=str(service.get("preDeployCommand") or ""),
        health_check_path=str(service.get("healthCheckPath") or ""),
        variables=dict(_plain(service.get("envVars") or [])),
        databases=dict(_databases(service.get("envVars") or [])),
    )


def _load(text: str) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BlueprintError(f"render.yaml is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise BlueprintError("render.yaml is not a mapping")
    return content


def _first_web_service(content: Mapping[str, Any]) -> Mapping[str, Any]:
    for service in content.get("services") or []:
        if isinstance(service, dict) and service.get("type") == "web":
            return service
    raise BlueprintError("render.yaml has no service of type web")


def _plain(variables: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for variable in variables:
        if "key" in variable and "value" in variable and variable["key"] not in NOT_PLAIN:
            yield str(variable["key"]), _as_text(variable["value"])


def _databases(variables: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for variable in variables:
        source = variable.get("fromDatabase")
        if isinstance(source, dict) and source.get("property") in URLS:
            yield str(variable["key"]), str(source.get("name"))


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def with_exec(command: str) -> str:
    """Let the last command of `a && b` replace the shell, which would otherwise get SIGTERM and keep it to itself.

    A last command that is more than one plain command is left to the shell. `env` is there for `NAME=value command`.
    """
    before, last = _split_last(command)
    if MORE_THAN_ONE_COMMAND.search(QUOTED.sub("", last)) or last.split(maxsplit=1)[:1] in ([], ["exec"]):
        return command
    return f"{before}exec env {last.strip()}"


def _split_last(command: str) -> tuple[str, str]:
    """Split at the last `&&` that is not inside quotes."""
    position = len(command)
    while (position := command.rfind("&&", 0, position)) >= 0:
        last = command[position + 2 :]
        with contextlib.suppress(ValueError):  # an odd number of quotes: this && is inside a pair
            shlex.split(last)
            return command[: position + 2] + " ", last
    return "", command
