"""`rehearse --keep`: the platforms stay up, can be talked to by hand, and are gone after Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60


def wait_for(path: Path, text: str) -> str:
    """Wait until a file says something, and give all that it says."""
    end_s = time.monotonic() + LIMIT_S
    while time.monotonic() < end_s:
        said = path.read_text()
        if text in said:
            return said
        time.sleep(0.1)
    raise TimeoutError(path.read_text())


@pytest.mark.slow
def test_what_is_kept_can_be_released_to(tmp_path: Path) -> None:
    """The script ships the commit that is ready, and after SIGINT nothing is left: no process, no file; exit 0."""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "kept")}
    (tmp_path / "kept").mkdir()
    said = tmp_path / "said"
    command = [sys.executable, "-m", "scripts", "rehearse", "--keep", "--targets", "render"]
    with (
        said.open("w") as file,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.DEVNULL) as kept,
    ):
        try:
            text = wait_for(said, "Ctrl-C")
            url = re.search(r"render +(http://\S+)", text)
            script = re.search(r"release +(\S+)", text)
            ready = re.search(r"serves +(\w+); (\w+) is ready", text)
            assert url
            assert script
            assert ready
            assert httpx.get(f"{url[1]}/version").json()["commit"].startswith(ready[1])
            ran = subprocess.run([script[1]], capture_output=True, text=True, timeout=120, check=False)
            assert ran.returncode == 0, ran.stderr
            assert httpx.get(f"{url[1]}/version").json()["commit"].startswith(ready[2])
            assert (Path(script[1]).parent / "secrets.env").stat().st_mode & 0o077 == 0
        finally:
            kept.send_signal(signal.SIGINT)
        assert kept.wait(timeout=30) == 0
    assert list((tmp_path / "kept").iterdir()) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(url[1])
