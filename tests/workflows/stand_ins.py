"""Small local actions in place of the remote ones: composite, offline, and failing where the real one would.

They read from the environment where the repository and the artifacts are, and which interpreter a job gets. Without a
folder with `node` and `npm` in `NODE_AND_NPM` the checks get ones that do nothing, and no other job gets any.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.workflows.rules import INSTALL_CLI

# By action: its inputs with their defaults, and what it runs.
STAND_INS: Mapping[str, tuple[Mapping[str, str], str]] = {
    # act itself copies the repository for a checkout that names no commit, and asks nobody.
    "actions/checkout": (
        {"ref": "", "fetch-depth": "1", "persist-credentials": "true"},
        """\
        [ "$PERSIST_CREDENTIALS" = false ]
        depth=(--depth "$FETCH_DEPTH")
        [ "$FETCH_DEPTH" != 0 ] || depth=()
        git init --quiet .
        git fetch --quiet "${depth[@]}" "file://$REPOSITORY" "${REF:-$GITHUB_SHA}"
        git checkout --quiet --detach FETCH_HEAD
        """,
    ),
    "actions/setup-python": (
        {"python-version-file": "", "cache": "", "cache-dependency-path": ""},
        """\
        test -f "$PYTHON_VERSION_FILE"
        case " $JOBS_ON_RELEASE_LOCK " in
          *" $GITHUB_JOB "*) folder="$PYTHON_BESIDE_SECRETS"; [ -z "$CACHE" ] ;;
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
        folder="${NODE_AND_NPM:-}"
        if [ -z "$folder" ]; then
          case " $JOBS_ON_RELEASE_LOCK " in *" $GITHUB_JOB "*) exit 1 ;; esac
          folder="$(mktemp -d)"
          printf '#!/bin/sh\\n' | tee "$folder/node" > "$folder/npm"
          chmod +x "$folder"/*
        fi
        "$folder/node" --version
        echo "$folder" >> "$GITHUB_PATH"
        """,
    ),
    "actions/upload-artifact": (
        {"name": "", "path": "", "include-hidden-files": "false", "if-no-files-found": "warn", "overwrite": "false"},
        """\
        found=()
        while read -r path; do
          case "$INCLUDE_HIDDEN_FILES $(basename "$path")" in
            "false ."*) ;;
            *) [ ! -e "$path" ] || found+=("$path") ;;
          esac
        done <<< "$SOURCE"
        if [ -z "$(find "${found[@]:-/nonexistent}" -type f 2> /dev/null)" ]; then
          [ "$IF_NO_FILES_FOUND" != error ]
          exit
        fi
        [ "$OVERWRITE" = true ] || [ ! -e "$ARTIFACTS/$NAME" ]
        rm -rf "${ARTIFACTS:?}/${NAME:?}"
        mkdir -p "$ARTIFACTS/$NAME"
        if [ -d "$SOURCE" ]; then
          cp -R "$SOURCE/." "$ARTIFACTS/$NAME"
        else
          cp --parents "${found[@]}" "$ARTIFACTS/$NAME"
        fi
        """,
    ),
    "actions/download-artifact": (
        {"name": "", "pattern": "", "path": ""},
        """\
        mkdir -p "$SOURCE"
        if [ -n "$NAME" ]; then
          cp -R "$ARTIFACTS/$NAME/." "$SOURCE"
        else
          shopt -s nullglob
          found=("$ARTIFACTS"/${PATTERN:?})
          case "${#found[@]}" in
            0) ;;
            1) cp -R "${found[0]}/." "$SOURCE" ;;
            *) cp -R "${found[@]}" "$SOURCE" ;;
          esac
        fi
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
        inputs, script = STAND_INS[action]
        path = folder / use
        path.mkdir(parents=True)
        (path / "action.yml").write_text(yaml.safe_dump(_composite(action, inputs, textwrap.dedent(script))))
        yield f"--local-repository={use}={path}"


def _composite(action: str, inputs: Mapping[str, str], script: str) -> dict[str, Any]:
    # The input `path` would otherwise replace the shell's PATH.
    names = {name: "SOURCE" if name == "path" else name.upper().replace("-", "_") for name in inputs}
    step = {
        "if": "always()",  # whether it runs is said where it is used; by itself it would not run after a cancel
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
