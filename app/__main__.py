"""Serve, as `python -m app`: every setting is checked before a port is opened or a worker is started.

`uvicorn app.main:app` serves too; what differs is that here the settings say where, with how many workers and for how
long, that workers which cannot start are told once instead of being started for ever, that logs are JSON, and that a
second signal ends the workers too.
"""

import contextlib
import importlib
import os
import tempfile
from collections.abc import Iterator

import uvicorn
from uvicorn.supervisors import Multiprocess

from app.identity import Identity
from app.metrics import FILES
from app.settings import Settings

KEEP_ALIVE_S = 120  # longer than proxies keep an idle connection; with uvicorn's 5 s, who meets the close gets a 502
POLL_S = 0.1


def main() -> None:
    """Serve until a signal ends it.

    Raises:
        SettingsError: the environment is wrong.
    """
    settings = Settings.from_environment()
    importlib.import_module("app.main")  # what cannot be imported is told here, not by each worker again and again
    config = make_config(settings, Identity.from_environment(os.environ).commit)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises Ctrl-C once more when it has stopped in order
        if config.workers > 1:
            with shared_metrics(settings):
                Workers(config, sockets=[config.bind_socket()]).run()
        else:
            uvicorn.Server(config).run()


def make_config(settings: Settings, release: str | None) -> uvicorn.Config:
    """Give uvicorn's configuration."""
    return uvicorn.Config(
        "app.main:app",
        host=settings.bind_host,
        port=settings.port,
        workers=settings.web_concurrency,
        loop="uvloop",
        http="httptools",
        access_log=False,  # the service writes its own, with more in it
        log_config=make_log_config(settings.log_level, release),
        server_header=False,
        forwarded_allow_ips="*" if settings.render else None,  # there nothing comes in but through Render's proxy
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_limit_s)),  # uvicorn takes whole seconds
    )


def make_log_config(level: str, release: str | None) -> dict[str, object]:
    """Give logging's configuration, a value that workers can be sent: everything to stdout, as JSON.

    The format: https://docs.python.org/3/library/logging.config.html#logging-config-dictschema
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "app.logs.AsJson", "release": release}},
        "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
        "root": {"level": level.upper(), "handlers": ["out"]},
        "loggers": {name: {"level": "WARNING"} for name in ("httpx", "httpcore")},  # they tell whole URLs, keys and all
    }


@contextlib.contextmanager
def shared_metrics(settings: Settings) -> Iterator[None]:
    """Give workers a folder to count in together; what was counted goes with it."""
    if settings.metrics_token is None or FILES in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="slipway-metrics-") as folder:
        os.environ[FILES] = folder  # workers are made with it
        yield


class Workers(Multiprocess):
    """uvicorn's workers, with an end that leaves nobody waiting.

    uvicorn's own parent keeps the port open while its workers finish, so that whoever connects meanwhile is taken and
    never answered; and it does not pass on a second signal.
    """

    def terminate_all(self) -> None:
        """Take no more connections, and tell the workers to finish."""
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait until all have ended; a second signal ends them at once."""
        self.signal_queue.clear()
        while going := [worker for worker in self.processes if worker.process.is_alive()]:
            going[0].process.join(POLL_S)
            if self.signal_queue:
                self.signal_queue.clear()
                for worker in going:
                    worker.terminate()  # its second SIGTERM (app.lifecycle)
        super().join_all()


if __name__ == "__main__":
    main()
