"""The verb `lint`: every linter is called, and what one finds is red."""

import subprocess
import sys
from pathlib import Path

from scripts.gates.lint import LINTERS

ROOT = Path(__file__).resolve().parents[2]


def test_every_linter_is_installed() -> None:
    """Each linter comes from the lock, not from the machine."""
    for tool in LINTERS:
        assert (Path(sys.executable).parent / tool.command[0]).exists()


def test_a_finding_is_red(tmp_path: Path) -> None:
    """`lint` in a tree with a lint error names the linter and exits 10."""
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(tmp_path / "tree")], check=True)
    tree = tmp_path / "tree"
    (tree / "app" / "bad.py").write_text("import os\n")
    ran = subprocess.run(
        [sys.executable, str(tree / "scripts"), "lint"], cwd=tree, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 10
    assert "fail   ruff check" in ran.stderr
