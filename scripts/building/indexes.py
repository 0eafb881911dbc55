"""How uv finds the packages that pip finds: pip's settings of this machine, in uv's words.

uv reads neither pip.conf nor PIP_ variables. Where uv is set up itself, nothing is translated.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

LIMIT_S = 30
OWN = (
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"),
    *("UV_CONFIG_FILE", "UV_NO_CONFIG"),
)
SETTING = re.compile(r"(global|install|:env:)\.([a-z-]+)=(.+)")
ORDER = ("global", "install", ":env:")  # the later wins


def index_settings(python: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Give the UV_ variables with which uv finds what pip finds; none where uv has settings of its own."""
    if any(environment.get(name) for name in OWN):
        return {}
    file = own_file(environment)
    if file is not None:
        return {"UV_CONFIG_FILE": str(file)}
    return translate(read_pip_settings(python, environment))


def own_file(environment: Mapping[str, str]) -> Path | None:
    """Give the user's uv.toml, which uv would look for in the HOME that the builder is not given."""
    folder = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '/')}/.config"
    file = Path(folder) / "uv" / "uv.toml"
    return file if file.is_file() else None


def read_pip_settings(python: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Ask pip for its settings, those of the environment included; empty where there is no pip."""
    try:
        told = subprocess.run(
            [python, "-m", "pip", "config", "list"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return parse_pip_settings(told.stdout if told.returncode == 0 else "")


def parse_pip_settings(text: str) -> dict[str, str]:
    """Parse the answer of `pip config list`: a variable goes before a command's setting, that before a global one."""
    found: dict[str, dict[str, str]] = {section: {} for section in ORDER}
    for match in filter(None, map(SETTING.fullmatch, text.splitlines())):
        found[match[1]][match[2]] = str(ast.literal_eval(match[3]))
    return {name: value for section in ORDER for name, value in found[section].items()}


def translate(settings: Mapping[str, str]) -> dict[str, str]:
    """Give pip's settings as UV_ variables, without folders that do not exist: pip ignores them, and uv fails."""
    extra = _places(settings.get("extra-index-url", ""))
    told = {
        "UV_DEFAULT_INDEX": settings.get("index-url", "").strip(),
        "UV_INDEX": " ".join(extra),
        "UV_FIND_LINKS": ",".join(_places(settings.get("find-links", ""))),
        "UV_INSECURE_HOST": " ".join(settings.get("trusted-host", "").split()),
        "SSL_CERT_FILE": settings.get("cert", "").strip(),
        # pip takes the best version of all indexes; uv stops at the first that knows the package.
        "UV_INDEX_STRATEGY": "unsafe-best-match" if extra else "",
    }
    return {name: value for name, value in told.items() if value}


def _places(text: str) -> list[str]:
    return [place for place in text.split() if _may_exist(place)]


def _may_exist(place: str) -> bool:
    parts = urlsplit(place)
    return parts.scheme not in {"", "file"} or Path(unquote(parts.path)).exists()
