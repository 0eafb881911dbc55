"""Small local actions in place of the remote ones: composite, offline, and failing where the real one would.

They read from the environment where artifacts are kept, and which interpreter a job gets. Without a folder with `node`
and `npm` in `NODE_AND_NPM` nobody gets Node.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.workflows.rules import INSTALL_CLI

DONE_BY_ACT = "actions/checkout"

# By action: its inputs with their defaults, and what it runs.
STAND_INS: Mapping[str, tuple[Mapping[str, str], str]] = {
    "actions/setup-python": (
        {"python-version-file": ""},
        """\
        test -f "$PYTHON_VERSION_FILE"
        case " $JOBS_WITH_SECRETS " in
          *" $GITHUB_JOB "*) folder="$PYTHON_BESIDE_SECRETS" ;;
          *) folder="$PYTHON_OF_CHECKS" ;;
        esac
        "$folder/python" --version
        echo "$folder" >> "$GITHUB_PATH"
        """,
    ),
    "actions/setup-node": (
        {"node-version": "", "package-manager-cache": "true", "cache": ""},
        """\
        [[ "$NODE_VERSION" =~ ^[0-9]+$ ]]
        [ "$PACKAGE_MANAGER_CACHE$CACHE" = false ]
        "$NODE_AND_NPM/node" --version
        echo "$NODE_AND_NPM" >> "$GITHUB_PATH"
        """,
    ),
    "actions/upload-artifact": (
        {"name": "", "path": "", "include-hidden-files": "false", "if-no-files-found": "warn", "overwrite": "false"},
        """\
        case "$INCLUDE_HIDDEN_FILES $(basename "$SOURCE")" in
          "false ."*) found="" ;;
          *) found="$(find "$SOURCE" -type f)" || found="" ;;
        esac
        if [ -z "$found" ]; then
          [ "$IF_NO_FILES_FOUND" != error ]
          exit
        fi
        [ "$OVERWRITE" = true ] || [ ! -e "$ARTIFACTS/$NAME" ]
        rm -rf "${ARTIFACTS:?}/${NAME:?}"
        mkdir -p "$ARTIFACTS/$NAME"
        cp -R "$SOURCE/." "$ARTIFACTS/$NAME"
        """,
    ),
    "actions/download-artifact": (
        {"name": "", "path": ""},
        """\
        mkdir -p "$SOURCE"
        cp -R "$ARTIFACTS/${NAME:?}/." "$SOURCE"
        """,
    ),
}


# The one thing that it is asked for; what the same lock brought to this machine is linked, since a copy takes minutes.
NPM = f"""\
#!/bin/sh
set -eu
[ "$*" = "{INSTALL_CLI.removeprefix("npm ")}" ]
cmp package-lock.json "$INSTALLED_CLI/package-lock.json"
mkdir node_modules
ln -s "$INSTALLED_CLI"/node_modules/* "$INSTALLED_CLI"/node_modules/.[a-z]* node_modules
"""


def write_node(folder: Path, node: str, cli: Path) -> dict[str, str]:
    """Write a folder with Node and a stand-in for npm, and give the variables that lead the jobs to it."""
    folder.mkdir(parents=True)
    (folder / "node").symlink_to(node)
    (folder / "npm").write_text(NPM)
    (folder / "npm").chmod(0o755)
    return {"NODE_AND_NPM": str(folder), "INSTALLED_CLI": str(cli)}


def write_stand_ins(repository: Path, folder: Path) -> Iterator[str]:
    """Write a stand-in for each remote action that the repository uses, and give act's options for them."""
    for use in sorted(_remote_uses(repository)):
        action, _, _ = use.partition("@")
        if action == DONE_BY_ACT:
            continue
        inputs, script = STAND_INS[action]
        path = folder / use
        path.mkdir(parents=True)
        (path / "action.yml").write_text(yaml.safe_dump(_composite(action, inputs, textwrap.dedent(script))))
        yield f"--local-repository={use}={path}"


def _composite(action: str, inputs: Mapping[str, str], script: str) -> dict[str, Any]:
    # The input `path` would otherwise replace the shell's PATH.
    names = {name: "SOURCE" if name == "path" else name.upper().replace("-", "_") for name in inputs}
    step = {
        "shell": "bash",
        "run": script,
        "env": {names[name]: f"${{{{ inputs.{name} }}}}" for name in inputs},
    }
    declared = {name: {"default": default, "description": name} for name, default in inputs.items()}
    return {
        "name": action,
        "description": "A stand-in.",
        "inputs": declared,
        "runs": {"using": "composite", "steps": [step]},
    }


def _remote_uses(repository: Path) -> set[str]:
    files = (repository / ".github").rglob("*.yml")
    return {use for path in files for use in _uses(yaml.safe_load(path.read_text())) if not use.startswith("./")}


def _uses(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield from [use for key, use in node.items() if key == "uses"]
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _uses(child)
