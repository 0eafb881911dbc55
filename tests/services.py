"""Real services for tests: PostgreSQL from the machine's binaries, on a free port and in a folder of its own.

They can be stopped, started and frozen, which a service that a runner provides cannot. Nothing outlives the block.
"""

from __future__ import annotations

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
        for one in everyone:
            one.suspend()
        try:
            yield
        finally:
            for one in everyone:
                one.resume()

    def ask(self, statement: str, database: str = "postgres") -> str:
        """Run a statement by psql, and give what it says, a row in a line."""
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database]
        words: Words = [self.programs / "psql", *place, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    def _answers(self) -> bool:
        words: Words = [self.programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        return subprocess.run(words, check=False, timeout=10).returncode == 0


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


def find_free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
