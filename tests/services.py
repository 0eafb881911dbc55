"""Real services for tests: PostgreSQL, Redis and PgBouncer from the machine's binaries, each in a folder of its own.

They can be stopped, started and frozen, which a service that a runner provides cannot. Nothing outlives the block.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil

START_LIMIT_S = 30.0
DEBIAN = Path("/usr/lib/postgresql")  # Debian and Ubuntu keep the servers there, and not on the PATH


Words = Sequence[str | Path]


class NotHereError(Exception):
    """A service's program is not on this machine."""


@dataclass
class Postgres:
    """A PostgreSQL server of our own: `url` is of its database `postgres`, without a password."""

    programs: Path
    folder: Path
    port: int
    user: str | None  # whom it runs as where we are root: it refuses to be root
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        words: Words = [self.programs / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", self.folder]
        settings = ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=100", "shared_buffers=32MB"]
        options = [word for setting in settings for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*words, *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                user=self.user,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as a crash would: connections are cut, and nobody waits for a client."""
        if self.process:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(10)
            self.process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it hear nothing for a while: connections stay open, and nothing comes back."""
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        everyone = [parent, *parent.children(recursive=True)]  # each backend leads a group of its own
        try:
            for one in everyone:
                with suppress(psutil.NoSuchProcess):
                    one.suspend()
            yield
        finally:
            for one in everyone:
                with suppress(psutil.NoSuchProcess):
                    one.resume()

    def ask(self, statement: str, database: str = "postgres") -> str:
        """Run a statement, and give the first value that it says."""
        return ask(self.url, statement, database)

    def _answers(self) -> bool:
        words: Words = [self.programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        return subprocess.run(words, check=False, timeout=10).returncode == 0


@dataclass(frozen=True)
class GivenPostgres:
    """A PostgreSQL server that somebody else runs: it can be asked, and neither stopped nor frozen."""

    url: str

    def ask(self, statement: str, database: str = "postgres") -> str:
        """Run a statement, and give the first value that it says."""
        return ask(self.url, statement, database)


def ask(url: str, statement: str, database: str) -> str:
    """Run a statement on a database of the server that a URL names, and give the first value that it says."""

    async def play() -> str:
        connection = await asyncpg.connect(urlsplit(url)._replace(path=f"/{database}").geturl(), timeout=10)
        try:
            if statement.lstrip().upper().startswith("SELECT"):
                return str(await connection.fetchval(statement, timeout=30))
            await connection.execute(statement, timeout=30)
        finally:
            await connection.close(timeout=10)
        return ""

    return asyncio.run(play())


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server with an empty cluster.

    Raises:
        NotHereError: this machine has no PostgreSQL.
    """
    programs = find_postgres()
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    try:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        words: Words = [
            programs / "initdb",
            "-D",
            folder / "data",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-N",
        ]
        subprocess.run(words, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, timeout=120)
        server = Postgres(programs, folder, find_free_port(), user)
        try:
            server.start()
            yield server
        finally:
            with suppress(ProcessLookupError):
                server.stop()
    finally:
        shutil.rmtree(folder)


def find_postgres() -> Path:
    """Find the folder of the newest PostgreSQL's programs.

    Raises:
        NotHereError: there is none.
    """
    found = sorted(DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    if not (found or on_path):
        raise NotHereError("PostgreSQL is not on this machine: install Debian's postgresql, or set DATABASE_URL")
    return (found[-1] if found else Path(str(on_path))).parent


@dataclass
class Redis:
    """A Redis server of our own, which keeps nothing."""

    program: str
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        words: Words = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*words, "--save", "", "--appendonly", "no"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        wait_for_port(self.port, self.process, self.folder / "log")

    def stop(self) -> None:
        """Stop it as a crash would."""
        if self.process:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it hear nothing for a while: connections stay open, and nothing comes back."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def running_redis() -> Iterator[Redis]:
    """Run an empty Redis.

    Raises:
        NotHereError: this machine has none.
    """
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if not program:
        raise NotHereError("Redis is not on this machine: install Debian's redis-server")
    with tempfile.TemporaryDirectory(prefix="redis-", dir="/tmp") as folder:
        server = Redis(program, Path(folder), find_free_port())
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def running_pgbouncer(postgres: Postgres, connections: int) -> Iterator[str]:
    """Run a pooler that hands each connection on after each transaction; give its URL, without a database.

    Raises:
        NotHereError: this machine has none.
    """
    program = shutil.which("pgbouncer", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if not program:
        raise NotHereError("PgBouncer is not on this machine: install Debian's pgbouncer")
    port = find_free_port()
    with tempfile.TemporaryDirectory(prefix="pgbouncer-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "users").write_text('"postgres" ""\n')
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": folder / "users",
            "pool_mode": "transaction",
            "default_pool_size": connections,
            "max_client_conn": 200,
        }
        lines = [f"* = host=127.0.0.1 port={postgres.port}", "[pgbouncer]"]
        lines += [f"{key} = {value}" for key, value in settings.items()]
        (folder / "ini").write_text("\n".join(["[databases]", *lines, ""]))
        os.chmod(folder, 0o755)  # noqa: S103, PTH101 - it runs as another user where we are root
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, folder / "ini"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                user=postgres.user,
                start_new_session=True,
            )
        try:
            wait_for_port(port, process, folder / "log")
            yield f"postgresql://postgres@127.0.0.1:{port}/"
        finally:
            process.kill()
            process.wait(10)


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process takes connections."""
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(f"it did not start: {log.read_text()[-2000:]}")
        time.sleep(0.02)


def find_free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
