"""Functions of a few lines, started as Vercel would start them: real processes that speak the runtime's protocol."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scripts.errors import ConfigError
from scripts.function import Function, FunctionFailedError, find_python, read_settings, serve_function

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
SETTINGS = {
    "runtime": f"python{HERE}",
    "handler": "vc__handler__python.vc_handler",
    "environment": {"PYTHONPATH": "_vendor", "PYTHONDONTWRITEBYTECODE": "1"},
}

SPEAKS = """
import base64, http.server, json, os, signal, socket, sys, time

channel = socket.socket(socket.AF_UNIX)
channel.connect(os.environ["VERCEL_IPC_PATH"])


def tell(kind, **payload):
    channel.sendall(json.dumps({"type": kind, "payload": payload}).encode() + b"\\0")


def log(text):
    tell("log", message=base64.b64encode(text.encode()).decode(), level="info")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"pid": os.getpid(), "variables": dict(os.environ), "path": sys.path}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve():
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    tell("server-started", httpPort=server.server_address[1])
    server.serve_forever()

"""


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give sockets a place of the test's own, and see that it is empty at the end."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def make_function(folder: Path, code: str, **settings: object) -> Path:
    """Make a function whose handler is that code."""
    function = folder / "some.func"
    function.mkdir()
    (function / ".vc-config.json").write_text(json.dumps(SETTINGS | settings))
    (function / "vc__handler__python.py").write_text(code)
    return function


async def ask(url: str) -> dict[str, object]:
    """Ask a function who it is."""
    async with httpx.AsyncClient(trust_env=False) as client:
        told = (await client.get(url)).json()
    assert isinstance(told, dict)
    return told


def is_gone(pid: object) -> bool:
    """Whether there is no such process."""
    try:
        os.kill(int(str(pid)), 0)
    except ProcessLookupError:
        return True
    return False


def test_a_function_answers_at_its_url_and_leaves_nothing(tmp_path: Path) -> None:
    """A started function answers at the port that it told, and no process of it is left at the end."""

    async def play() -> object:
        function = make_function(tmp_path, SPEAKS + "serve()")
        async with serve_function(function, tmp_path / "log") as running:
            pid = (await ask(running.url))["pid"]
        assert running.url == ""
        return pid

    assert is_gone(asyncio.run(play()))


def test_a_function_finds_what_it_would_find_on_vercel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees Vercel's variables, its own settings and the project's, and nothing of the one who started it."""
    monkeypatch.setenv("RENDER_API_KEY", "not for a function")

    async def play() -> dict[str, object]:
        function = make_function(tmp_path, SPEAKS + "serve()")
        async with serve_function(function, tmp_path / "log", {"VERCEL_REGION": "fra1", "MINE": "1"}) as running:
            return await ask(running.url)

    told = asyncio.run(play())["variables"]
    assert isinstance(told, dict)
    assert (told["VERCEL"], told["VERCEL_ENV"], told["VERCEL_REGION"], told["MINE"]) == ("1", "production", "fra1", "1")
    assert told["PYTHONPATH"] == "_vendor"
    assert "RENDER_API_KEY" not in told
    assert told["HOME"] != os.environ.get("HOME")


def test_packages_of_this_machine_are_out_of_reach(tmp_path: Path) -> None:
    """A package that the function lacks is missing, also where the machine's Python has it."""

    async def play() -> object:
        function = make_function(tmp_path, SPEAKS + "serve()")
        async with serve_function(function, tmp_path / "log") as running:
            return (await ask(running.url))["path"]

    told = asyncio.run(play())
    assert isinstance(told, list)
    assert told
    assert not [entry for entry in told if "site-packages" in entry or "dist-packages" in entry]


def test_a_failed_import_is_told_with_its_last_lines(tmp_path: Path) -> None:
    """Where the import fails, the error holds the function's own traceback."""
    function = make_function(tmp_path, "import no_such_package")
    with pytest.raises(FunctionFailedError, match=r"ended with 1 before it listened[\s\S]*named 'no_such_package'"):
        asyncio.run(Function(function, tmp_path / "log").start())


def test_a_silent_function_is_given_up(tmp_path: Path) -> None:
    """A function that says nothing is killed at the limit."""
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); print('hm', flush=True); time.sleep(60)"
    function = make_function(tmp_path, code)
    with pytest.raises(FunctionFailedError, match=r"said nothing for 1 s:\nhm"):
        asyncio.run(Function(function, tmp_path / "log", limit_s=1).start())
    assert is_gone((function / "pid").read_text())


def test_a_dead_function_is_noticed_and_started_again(tmp_path: Path) -> None:
    """After its process died a function is not alive, and the next start gives a new one."""

    async def play() -> None:
        running = Function(make_function(tmp_path, SPEAKS + "serve()"), tmp_path / "log")
        try:
            first = (await ask(await running.start()))["pid"]
            os.kill(int(str(first)), 9)
            while running.alive:  # noqa: ASYNC110  # the process sets no event that a user could see
                await asyncio.sleep(0.01)
            assert (await ask(await running.start()))["pid"] != first
        finally:
            await running.stop()

    asyncio.run(play())


def test_callers_at_the_same_time_share_one_start(tmp_path: Path) -> None:
    """Requests that meet a sleeping function start one process."""

    async def play() -> list[str]:
        running = Function(make_function(tmp_path, SPEAKS + "serve()"), tmp_path / "log")
        try:
            return await asyncio.gather(*(running.start() for _ in range(5)))
        finally:
            await running.stop()

    assert len(set(asyncio.run(play()))) == 1


def test_a_function_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    """A function that does not end at SIGTERM is killed after the grace."""
    code = SPEAKS + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nserve()"

    async def play() -> object:
        running = Function(make_function(tmp_path, code), tmp_path / "log")
        pid = (await ask(await running.start()))["pid"]
        await running.stop(0.2)
        return pid

    assert is_gone(asyncio.run(play()))


def test_what_a_function_says_is_in_its_log(tmp_path: Path) -> None:
    """Messages over the socket, unreadable ones included, and plain output end in the log; none of them stops it."""
    code = SPEAKS + "print('plain', flush=True); log('told'); channel.sendall(b'{]\\0[1]\\0'); log('later'); serve()"

    async def play() -> str:
        async with serve_function(make_function(tmp_path, code), tmp_path / "log") as running:
            await ask(running.url)
            return running.last_lines()

    told = asyncio.run(play())
    assert sorted(told.splitlines()) == [
        "later",
        "plain",
        "told",
        "unreadable message of the runtime: b'[1]'",
        "unreadable message of the runtime: b'{]'",
    ]


def test_a_deep_temporary_folder_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path is short enough wherever temporary files are."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    async def play() -> None:
        async with serve_function(make_function(tmp_path, SPEAKS + "serve()"), tmp_path / "log") as running:
            assert await ask(running.url)

    asyncio.run(play())
    assert list(deep.iterdir()) == []


@pytest.mark.parametrize(
    "settings", [{"runtime": "nodejs22.x"}, {"runtime": None}, {"handler": "a b"}, {"environment": 3}]
)
def test_what_is_no_python_function_is_not_started(tmp_path: Path, settings: dict[str, object]) -> None:
    """Settings of another runtime, or broken ones, are refused."""
    with pytest.raises(FunctionFailedError, match=r"some\.func"):
        read_settings(make_function(tmp_path, "", **settings))


def test_a_folder_without_settings_is_not_started(tmp_path: Path) -> None:
    """A folder that is no function is refused."""
    with pytest.raises(FunctionFailedError, match="cannot be read"):
        read_settings(tmp_path)


def test_a_python_that_is_not_here_is_named() -> None:
    """Where the version of the function is missing, the error says which, and how to get it."""
    with pytest.raises(ConfigError, match=r"no Python 3\.99[\s\S]*uv python install 3\.99"):
        find_python("3.99")
