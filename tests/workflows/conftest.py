"""The machine on which act runs the workflows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.rehearsal.supervisor import REACHING_PACKAGES, SYSTEM_PATH
from tests.package_index import read_locks
from tests.workflows.act import Machine
from tests.workflows.pushes import RELEASE_LOCK, RUNTIME_LOCK, SERVICE_LOCK

INSTALL = ["-I", "-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "--no-deps", "--requirement"]


@pytest.fixture(scope="session")
def python_beside_secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with what the jobs with secrets may install, and nothing else; give its `bin`."""
    folder = tmp_path_factory.mktemp("beside-secrets") / "venv"
    subprocess.run([sys.executable, "-I", "-m", "venv", folder], check=True)
    reaching = {name: os.environ[name] for name in REACHING_PACKAGES if name in os.environ}
    made = subprocess.run(
        [folder / "bin" / "python", *INSTALL, RELEASE_LOCK],
        env={"PATH": SYSTEM_PATH, "HOME": str(folder), **reaching},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"the release lock cannot be installed here: {made.stderr.strip()[-300:]}")
    return folder / "bin"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch what the builder asks an index for: what the service's lock names, its own runtime, and pip itself."""
    folder = tmp_path_factory.mktemp("wheels")
    (pip,) = read_locks()["pip"]
    reaching = {name: os.environ[name] for name in REACHING_PACKAGES if name in os.environ}
    wanted = (["--requirement", str(SERVICE_LOCK)], ["--requirement", str(RUNTIME_LOCK)], [f"pip=={pip}"])
    for words in wanted:
        options = ["--disable-pip-version-check", "--only-binary", ":all:", "--no-deps", "--dest", str(folder)]
        fetched = subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, *words],
            env={"PATH": SYSTEM_PATH, "HOME": os.environ.get("HOME", str(folder)), **reaching},
            capture_output=True,
            text=True,
            check=False,
        )
        if fetched.returncode != 0:
            pytest.skip(f"what the builder needs cannot be fetched here: {fetched.stderr.strip()[-300:]}")
    return folder


@pytest.fixture
def machine(tmp_path: Path, python_beside_secrets: Path) -> Machine:
    """Give a machine on which workflows can run."""
    return Machine(tmp_path / "machine", python_beside_secrets, Path(sys.executable).parent)
