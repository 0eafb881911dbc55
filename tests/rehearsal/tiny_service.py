"""A service of twenty lines in a git repository of its own, which starts in a tenth of a second."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

SERVICE = '''
import http.server, json, os, signal, sys, time

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        status = 500 if self.path == "/health" and os.path.exists("unhealthy") else 200
        time.sleep(float(os.environ.get("DELAY_S", "0")))
        body = json.dumps({"commit": os.environ["RENDER_GIT_COMMIT"], "env": dict(os.environ)}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

def stop(*_):
    print("SIGTERM", flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
server = http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Answer)
server.daemon_threads = True
server.serve_forever()
'''

RENDER_YAML = """
services:
  - type: web
    name: tiny
    runtime: python
    buildCommand: {build}
    startCommand: {start}
    healthCheckPath: /health
    envVars:
      - key: PLAIN
        value: plain
      - key: PYTHON_VERSION
        value: 3.13.0
      - key: ASKED_FOR
        sync: false
"""


@dataclass(frozen=True)
class TinyRepository:
    """A git repository whose commits are whole services."""

    folder: Path

    def commit(
        self,
        message: str,
        *,
        start: str = "python -I service.py",
        build: str = "'true'",
        requirements: str = "",
        service: str = SERVICE,
    ) -> str:
        """Write a version of the service, commit it and return the full SHA."""
        files = {
            "service.py": service,
            "render.yaml": RENDER_YAML.format(start=start, build=build),
            "requirements.txt": requirements,
        }
        for name, text in files.items():
            (self.folder / name).write_text(text)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", message)
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        identity = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org"}
        identity |= {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org", "GIT_CONFIG_GLOBAL": os.devnull}
        environment = {"PATH": os.environ["PATH"]} | identity
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def make_repository(folder: Path) -> TinyRepository:
    """Make an empty repository whose branch is main."""
    folder.mkdir()
    repository = TinyRepository(folder)
    repository._git("init", "--quiet", "--initial-branch=main")
    return repository
