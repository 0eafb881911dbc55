"""What the builder runs in: the pinned CLI, uv, one Python of the right version, the user's indexes, and no secret."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.building.indexes import index_settings
from scripts.building.packages import Pin, read_requirements
from scripts.errors import ConfigError
from scripts.function import find_python
from scripts.platforms.vercel_cli import cli_environment, find_cli

CLI_FOLDER = Path(".github") / "vercel-cli"
RUNTIME = "runtime.txt"  # beside the CLI's lock: what @vercel/python of that version adds to every function
WORDS = ("build", "--prod", "--standalone", "--yes")


@dataclass(frozen=True)
class Tools:
    """The programs that build: the CLI's command, uv, and where the runtime's pins are."""

    cli: tuple[str, ...]
    cli_version: str
    uv: Path
    runtime: Path

    def runtime_pins(self) -> tuple[Pin, ...]:
        """Give what the builder itself adds to a function."""
        return read_requirements(self.runtime.read_text(encoding="utf-8"))


def find_tools(root: Path, environment: Mapping[str, str]) -> Tools:
    """Find all that a build needs on this machine.

    Raises:
        ConfigError: something is missing, or the machine is not of the kind that the function is built for.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise ConfigError(
            f"a function is built for Linux on x86-64, and this is {platform.system()} on {platform.machine()}",
            means="It could not be started here, so nothing would be proven; nothing was built.",
            next_step="build in the workflow, or in a Linux container",
        )
    cli = find_cli(root / CLI_FOLDER, environment)
    uv = Path(sys.executable).with_name("uv")
    if not uv.is_file():
        raise ConfigError(
            f"uv is not beside {sys.executable}, and the builder installs with it",
            means="Nothing was built.",
            next_step="python3 -m scripts build in an environment made from requirements-dev.txt",
        )
    return Tools(cli, _version(cli), uv, _runtime(root))


def builder_environment(tools: Tools, environment: Mapping[str, str], python: str, home: Path) -> dict[str, str]:
    """Give the environment of one build: nobody's login, uv and one Python first on PATH, nothing built from source.

    `python` is a version such as 3.13, `home` an empty folder. No token is ever in it.

    Raises:
        ConfigError: there is no such Python on this machine.
    """
    programs = home / "programs"
    programs.mkdir()
    (programs / "uv").symlink_to(tools.uv)
    given = cli_environment(environment, home)
    scratch = home / "scratch"
    scratch.mkdir()
    # The folder of the interpreter itself: uv takes no virtual environment's, and an alias may hide the version.
    path = f"{programs}:{Path(find_python(python)).parent}:{environment.get('PATH', '')}"
    return {
        **index_settings(sys.executable, environment),
        **given,
        "PATH": path.rstrip(":"),
        "TMPDIR": str(scratch),  # uv leaves a lock file there
        "UV_PYTHON_DOWNLOADS": "never",
        # A source distribution runs its code when it is built, and what comes out has no hash to compare.
        "UV_NO_BUILD": "1",
        # The builder installs its runtime without a hash; uv takes those of its constraints.
        "UV_CONSTRAINT": str(tools.runtime),
        "VERCEL_CLI_USE_NATIVE_BINARY": "0",
    }


def _version(cli: tuple[str, ...]) -> str:
    for folder in Path(cli[-1]).parents:
        if (folder / "package.json").is_file():
            return str(json.loads((folder / "package.json").read_text(encoding="utf-8")).get("version", "unknown"))
    return "unknown"


def _runtime(root: Path) -> Path:
    file = root / CLI_FOLDER / RUNTIME
    if not file.is_file():
        raise ConfigError(
            f"{file} is missing: it pins what the builder adds to every function",
            means="Without it that could be any file an index serves; nothing was built.",
            next_step=f"git checkout -- {CLI_FOLDER / RUNTIME}",
        )
    return file
