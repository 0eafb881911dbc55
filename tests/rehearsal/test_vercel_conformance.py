"""The emulated Vercel, held against the real CLI, unmodified behind a guard that keeps it on loopback."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.building.indexes import index_settings
from scripts.platforms.vercel_cli import cli_environment, run_cli
from scripts.rehearsal.clouds.vercel import ApiErrors, Kind, State, VercelCloud, VercelFaults
from tests.rehearsal.tiny_vercel import (
    BYPASS,
    GUARD,
    NEW,
    OLD,
    QUICK,
    ROOT,
    TinyVercel,
    command,
    real_cli,
    tiny_vercel,
    write_output,
)

USER, TEAMS = "GET /v2/user", "GET /v1/teams"
PROJECT, DEPLOYMENT = "GET /v9/projects/P", "GET /v13/deployments/D"
DEPLOY = [USER, TEAMS, PROJECT, "POST /v13/deployments", "POST /v2/files"]
MOVE = [USER, TEAMS, DEPLOYMENT, PROJECT]
EVENTS = "GET /v3/now/deployments/D/events"


def asked(cloud: VercelCloud, since: int = 0) -> list[str]:
    """List what the CLI asked, each request once, ids left out."""
    project = cloud.settings.project_id
    ids = "|".join(re.escape(name) for row in cloud.deployments for name in (row.id, row.host)) or "$^"
    paths = (f"{row.method} {row.path.replace(project, 'P')}" for row in cloud.requests[since:])
    return sorted({re.sub(ids, "D", path) for path in paths})


def test_a_whole_journey(tmp_path: Path) -> None:
    """The real CLI deploys without the domain, promotes and rolls back, and asks for nothing unserved."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            cli = real_cli(tiny)
            first = await tiny.first()
            ended = await cli.deploy("--no-wait", "--meta", "slipwayBytes=7")
            assert ended.exit_code == 0, ended.stderr
            assert asked(tiny.cloud) == sorted(DEPLOY)
            deployment = await tiny.cloud.ended(tiny.cloud.deployments[-1].id)
            assert ended.stdout.strip() == f"https://{deployment.host}"
            assert (deployment.meta, deployment.commit) == ({"slipwayCommit": NEW, "slipwayBytes": "7"}, NEW)
            assert (deployment.state, deployment.takes_domain, await tiny.version()) == (State.READY, False, OLD)
            assert await tiny.version(deployment.host) == NEW
            for words, then in ((("promote", deployment.id), NEW), (("rollback", first.host), OLD)):
                before = len(tiny.cloud.requests)
                ended = await cli.run(*words, "--yes", "--timeout=0")
                assert ended.exit_code == 0, ended.stderr
                version = "v10" if words[0] == "promote" else "v9"
                assert asked(tiny.cloud, before) == sorted([*MOVE, f"POST /{version}/projects/P/{words[0]}/D"])
                await tiny.until(lambda: tiny.cloud.jobs[-1].ended_s is not None)
                assert await tiny.version() == then
            assert tiny.cloud.pinned
            assert tiny.cloud.unknown_requests == ()

    asyncio.run(rehearse())


@pytest.mark.slow
def test_commands_that_wait(tmp_path: Path) -> None:
    """Without --no-wait and --timeout=0 the CLI follows deployment and job to the end; inspect and list work."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            cli = real_cli(tiny)
            first = await tiny.first()
            ended = await cli.deploy()
            assert ended.exit_code == 0, ended.stderr
            assert asked(tiny.cloud) == sorted([*DEPLOY, EVENTS, DEPLOYMENT])
            deployment = tiny.cloud.deployments[-1]
            assert (await cli.run("promote", deployment.host, "--yes")).exit_code == 0
            assert await tiny.version() == NEW
            ended = await cli.run("rollback", first.id, "--yes")
            assert (ended.exit_code, "was rolled back" in ended.stderr) == (0, True)
            assert await tiny.version() == OLD
            assert "Ready" in (await cli.run("inspect", deployment.host, "--wait")).stderr
            listed = (await cli.run("list", "--prod")).stdout.split()
            assert listed == [f"https://{deployment.host}", f"https://{first.host}"]
            assert tiny.cloud.unknown_requests == ()

    asyncio.run(rehearse())


@pytest.mark.slow
def test_without_skip_domain(tmp_path: Path) -> None:
    """A plain production deployment by the real CLI, file by file, has the domain when the CLI says so."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            cli = real_cli(tiny)
            ended = await cli.run("deploy", "--prebuilt", "--prod")
            assert ended.exit_code == 0, ended.stderr
            assert await tiny.version() == NEW
            assert tiny.cloud.unknown_requests == ()

    asyncio.run(rehearse())


@pytest.mark.slow
def test_a_failed_deployment_exits_0(tmp_path: Path) -> None:
    """The CLI ends with 0 after a deployment that failed, so its exit code is never taken for a verdict."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path, faults=VercelFaults(deploy_ends_in_error=True)) as tiny:
            ended = await real_cli(tiny).deploy()
            assert tiny.cloud.deployments[-1].state is State.ERROR
            assert "Error: Command failed" in ended.stderr
            assert ended.exit_code == 0
            assert tiny.cloud.unknown_requests == ()

    asyncio.run(rehearse())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "faults", "exit_code"),
    [
        ("promote", VercelFaults(promote_refused=True), 1),
        ("promote", VercelFaults(promote_fails=True), 1),
        ("promote", VercelFaults(promote_queued=True), 0),
        ("promote", VercelFaults(promote_skipped=True), 0),
        ("promote", VercelFaults(promote_without_traffic=True), 0),
        ("promote", VercelFaults(api_errors=ApiErrors(pattern="POST /v10")), 1),
        ("rollback", VercelFaults(rollback_refused=True), 1),
    ],
)
def test_moves_that_move_nothing(tmp_path: Path, verb: str, faults: VercelFaults, exit_code: int) -> None:
    """The users stay where they are, whatever the CLI's exit code, and all it asks about the failure is served."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            cli = real_cli(tiny)
            first, second = await tiny.first(), await tiny.deploy()
            if verb == "rollback":
                await tiny.move("promote", second)
            serving = await tiny.version()
            tiny.cloud.faults = faults
            ended = await cli.run(verb, (first if verb == "rollback" else second).id, "--yes")
            assert ended.exit_code == exit_code, ended.stderr
            assert await tiny.version() == serving
            assert tiny.cloud.unknown_requests == ()

    asyncio.run(rehearse())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "faults"),
    [
        ((), VercelFaults(stuck_in_queue=True)),
        ((), VercelFaults(alias_never_assigned=True)),
        (("promote",), VercelFaults(alias_never_assigned=True)),
        (("promote", "--timeout=1s"), VercelFaults(rolling_release=True)),
    ],
)
def test_commands_that_hang(tmp_path: Path, words: Sequence[str], faults: VercelFaults) -> None:
    """A deployment stuck in the queue, an alias that never comes, a rolling release without a stage hang it."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            cli = real_cli(tiny)
            await tiny.first()
            deployment = await tiny.deploy()
            tiny.cloud.faults = faults
            if words:
                ended = await cli.run(words[0], deployment.id, "--yes", *words[1:], limit_s=6)
            else:
                ended = await cli.deploy(limit_s=6)
            assert ended.exit_code is None, ended.stderr[-500:]
            assert tiny.cloud.unknown_requests == ()

    asyncio.run(rehearse())


@pytest.mark.slow
def test_a_wrong_token_is_refused(tmp_path: Path) -> None:
    """The CLI ends with 1 on a wrong token and on a team that is not ours, and nothing is deployed."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            cli = real_cli(tiny, token="wrong")
            assert (await cli.deploy("--no-wait")).exit_code == 1
            strange = replace(cli, environment=cli.environment | {"VERCEL_TOKEN": "vtok"}, team="strange")
            assert (await strange.deploy("--no-wait")).exit_code == 1
            assert (tiny.cloud.deployments, tiny.cloud.unknown_requests) == ((), ())

    asyncio.run(rehearse())


@pytest.mark.slow
def test_the_guard_refuses_the_cli(tmp_path: Path) -> None:
    """The CLI, told to use an API that is not on loopback, fails before any name is looked up."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            ended = await real_cli(tiny, api_url="https://vercel.example").run("list", "--prod")
            assert ended.exit_code == 1
            assert "loopback_only: refused a connection to vercel.example: only loopback may be reached" in ended.stderr
            assert "look up" not in ended.stderr
            assert tiny.cloud.requests == ()

    asyncio.run(rehearse())


TRY = """
const net = require('node:net'), dns = require('node:dns'), tls = require('node:tls'), dgram = require('node:dgram');
const https = require('node:https'), http2 = require('node:http2'), { Worker } = require('node:worker_threads');
const { execFile } = require('node:child_process');
const socket = (made) => new Promise((ok, no) => made.on('connect', ok).on('response', ok).on('error', no));
const udp = (what) => new Promise((ok, no) => {
  const made = dgram.createSocket('udp4').on('error', (e) => { made.close(); no(e); });
  const done = (e) => { made.close(); e ? no(e) : ok('sent'); };
  what === 'connect' ? made.connect(53, HOST, done) : made.send('x', 53, HOST, done);
});
const inWorker = () => new Promise((ok, no) => new Worker(
  `require('net').connect(9, '${HOST}').on('error', (e) => require('worker_threads').parentPort.postMessage(e.code))`,
  { eval: true }).on('message', (code) => no({ code })).on('error', no));
const inChild = () => new Promise((ok, no) => execFile(process.execPath,
  ['-e', `require('net').connect(9, '${HOST}').on('error', (e) => process.stdout.write(e.code))`],
  (_, out) => no({ code: out })));
const TRIED = {
  tcp: () => socket(net.connect(9, HOST)),
  socket: () => socket(new net.Socket().connect({ port: 9, host: HOST })),
  tls: () => socket(tls.connect(9, HOST)),
  https: () => socket(https.get(`https://${HOST}:9/`)),
  http2: () => socket(http2.connect(`https://${HOST}:9`)),
  fetch: () => fetch(`http://${HOST}:4000/`).catch((e) => { throw e.cause; }),
  lookup: () => new Promise((ok, no) => dns.lookup('vercel.example', (e, a) => (e ? no(e) : ok(a)))),
  resolve: () => dns.promises.resolve4('vercel.example'),
  resolver: () => new dns.promises.Resolver().resolve('vercel.example'),
  datagram: () => udp('send'),
  datagrams: () => udp('connect'),
  worker: inWorker,
  child: inChild,
};
(async () => {
  const { lookup } = await import('node:dns/promises');
  TRIED.imported = () => lookup('vercel.example');
  const seen = {};
  for (const [name, go] of Object.entries(TRIED)) seen[name] = await go().then(() => 'reached', (e) => e.code);
  const server = require('node:http').createServer((_, answer) => answer.end('here')).listen(0, '127.0.0.1');
  await new Promise((ok) => server.on('listening', ok));
  for (const host of ['127.0.0.1', 'localhost'])
    seen[host] = await fetch(`http://${host}:${server.address().port}/`).then((answer) => answer.text());
  server.closeAllConnections();
  server.close();
  seen.native = process.env.VERCEL_CLI_USE_NATIVE_BINARY;
  console.log(JSON.stringify(seen));
})();
"""


@pytest.mark.parametrize("host", ["192.0.2.1", "vercel.example", "::ffff:192.0.2.1"])
def test_the_guard_refuses_all_ways_out(host: str) -> None:
    """The guard refuses TCP, TLS, HTTP, UDP and look-ups to all but loopback, in workers and children too."""
    node = command()[0]
    tried = TRY.replace("HOST", f"'{host}'").replace("${'" + host + "'}", f"[{host}]" if ":" in host else host)
    environment = {"PATH": os.environ["PATH"], "NODE_OPTIONS": f"--require={GUARD}"}
    ended = subprocess.run([node, "-e", tried], env=environment, capture_output=True, text=True, timeout=30, check=True)
    seen = json.loads(ended.stdout)
    assert {seen.pop("127.0.0.1"), seen.pop("localhost")} == {"here"}
    assert seen.pop("native") == "0"
    assert len(seen) == 14
    assert set(seen.values()) == {"ELOOPBACKONLY"}
    assert "loopback_only: refused a datagram to" in ended.stderr


MAIN = """
import os
from pathlib import Path

from fastapi import FastAPI

app = FastAPI()


@app.get("/version")
def version() -> dict:
    return {"commit": os.environ.get("COMMIT", ""), "pid": os.getpid(), "env": dict(os.environ)}


@app.post("/echo/{rest:path}")
def echo(rest: str, query: str, body: dict) -> dict:
    return {"rest": rest, "query": query, "body": body}


@app.get("/die")
def die() -> None:
    os._exit(3)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a tiny FastAPI service with the real builder, and return its `.vercel/output`."""
    folder = tmp_path_factory.mktemp("function")
    (folder / "app").mkdir()
    (folder / "app" / "main.py").write_text(MAIN)
    pinned = re.search(r"^fastapi==\S+", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned
    (folder / "requirements.txt").write_text(f"{pinned[0]}\n")
    shutil.copy(ROOT / ".python-version", folder)
    (folder / "vercel.json").write_text('{"framework": "fastapi"}')
    (folder / ".vercel").mkdir()
    settings = {"projectId": "prj_x", "orgId": "team_x", "settings": {"framework": "fastapi"}}
    (folder / ".vercel" / "project.json").write_text(json.dumps(settings))
    home = tmp_path_factory.mktemp("home")
    reaching = index_settings(sys.executable, os.environ)  # uv looks for packages where pip finds them
    environment = cli_environment(os.environ, home) | reaching | {"NODE_OPTIONS": f"--require={GUARD}"}
    environment["PATH"] = f"{ROOT / '.venv' / 'bin'}:{environment['PATH']}"
    words = ("build", "--prod", "--standalone")
    ended = run_cli(command(), words, folder=folder, environment=environment, limit_s=100)
    assert ended.exit_code == 0, ended.stderr
    return folder / ".vercel" / "output"


def pid_runs(pid: int) -> bool:
    """Tell whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_function_is_served(tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real function deployed by the real CLI starts by its first request, sees only Vercel's variables, ends."""
    monkeypatch.setenv("OURS", "secret")

    async def rehearse() -> int:
        async with tiny_vercel(tmp_path, bypass=BYPASS) as tiny:
            cli = real_cli(tiny)
            shutil.rmtree(cli.folder)
            shutil.copytree(built, cli.folder / ".vercel" / "output", symlinks=True)
            first = await tiny.cloud.first_deploy(built, OLD)
            assert tiny.cloud.running_functions == 0
            ended = await cli.deploy("--no-wait")
            assert ended.exit_code == 0, ended.stderr
            deployment = await tiny.cloud.ended(tiny.cloud.deployments[-1].id)
            assert deployment.output == first.output
            staged = await tiny.client.get(f"http://{deployment.host}/version?x=1", headers=BYPASSED)
            environment = staged.json()["env"]
            assert {name: environment.get(name) for name in ("VERCEL", "VERCEL_ENV", "VERCEL_URL", "OURS")} == {
                "VERCEL": "1",
                "VERCEL_ENV": "production",
                "VERCEL_URL": deployment.host,
                "OURS": None,
            }
            assert environment["VERCEL_REGION"]
            assert staged.headers["x-vercel-id"]
            await tiny.move("promote", deployment)
            promoted = await tiny.client.get(f"{tiny.edge.url}/version")
            assert promoted.json()["pid"] == staged.json()["pid"]
            path = "/echo/a%20b/c?query=%26"
            echoed = await tiny.client.post(f"{tiny.edge.url}{path}", json={"x": 1})
            assert echoed.json() == {"rest": "a b/c", "query": "&", "body": {"x": 1}}
            assert tiny.cloud.running_functions == 1
            return int(promoted.json()["pid"])

    assert not pid_runs(asyncio.run(rehearse()))


BYPASSED = {"x-vercel-protection-bypass": BYPASS}


@pytest.mark.slow
def test_a_function_that_died_starts_again(tmp_path: Path, built: Path) -> None:
    """The request in which a function dies gets Vercel's 500; the next ones together a new instance."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            await tiny.cloud.first_deploy(built, OLD)
            url = f"{tiny.edge.url}/version"
            before = (await tiny.client.get(url)).json()["pid"]
            died = await tiny.client.get(f"{tiny.edge.url}/die")
            assert (died.status_code, died.headers["x-vercel-error"]) == (500, "FUNCTION_INVOCATION_FAILED")
            answers = await asyncio.gather(*(tiny.client.get(url) for _ in range(8)))
            assert [answer.status_code for answer in answers] == [200] * 8
            assert len({answer.json()["pid"] for answer in answers} | {before}) == 2
            assert tiny.kinds(OLD).count(Kind.INSTANCE_STARTED) == 2

    asyncio.run(rehearse())


@pytest.mark.slow
def test_a_function_that_cannot_start(tmp_path: Path, built: Path) -> None:
    """A function whose import fails is answered with Vercel's 500, and the reason is among the events."""
    broken = tmp_path / "broken"
    shutil.copytree(built, broken, symlinks=True)
    (broken / "functions" / "fastapi.func" / "app" / "main.py").write_text("import nothing_of_this_name\n")

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            deployment = await tiny.cloud.first_deploy(broken, NEW)
            assert deployment.state is State.READY
            for _ in range(2):
                answer = await tiny.client.get(f"http://{deployment.host}/version")
                assert (answer.status_code, answer.headers["x-vercel-error"]) == (500, "FUNCTION_INVOCATION_FAILED")
            assert any("nothing_of_this_name" in event.detail for event in tiny.cloud.events)
            assert tiny.cloud.running_functions == 0

    asyncio.run(rehearse())


@pytest.mark.slow
def test_few_functions_run(tmp_path: Path, built: Path) -> None:
    """Functions that were not asked for long are stopped when there are too many, and start again when asked."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path, most_functions=2) as tiny:
            made = [await tiny.cloud.first_deploy(built, f"{number:040x}") for number in range(4)]
            for deployment in made:
                assert (await tiny.client.get(f"http://{deployment.host}/version")).status_code == 200
            await tiny.until(lambda: tiny.cloud.running_functions == 2)
            assert (await tiny.client.get(f"http://{made[0].host}/version")).status_code == 200

    asyncio.run(rehearse())


@pytest.mark.slow
def test_an_idle_function_is_stopped(tmp_path: Path, built: Path) -> None:
    """A function that nobody asks for a while is stopped, as on the platform."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path, times=replace(QUICK, function_idle_s=0.5)) as tiny:
            await tiny.cloud.first_deploy(built, OLD)
            assert (await _status(tiny, "/version"), tiny.cloud.running_functions) == (200, 1)
            await tiny.until(lambda: tiny.cloud.running_functions == 0)
            assert await _status(tiny, "/version") == 200

    asyncio.run(rehearse())


async def _status(tiny: TinyVercel, path: str) -> Any:
    return (await tiny.client.get(f"{tiny.edge.url}{path}")).status_code


def test_the_archive_is_a_source_too(tmp_path: Path) -> None:
    """The first release can be brought up from an archive that holds the output."""
    output = write_output(tmp_path / "built", OLD)
    archive = shutil.make_archive(str(tmp_path / "vercel"), "gztar", output.parents[1], ".vercel")

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            deployment = await tiny.cloud.first_deploy(Path(archive), OLD)
            assert deployment.has_served
            assert await tiny.version() == OLD

    asyncio.run(rehearse())
