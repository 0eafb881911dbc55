"""What a built `.vercel/output` says about a request: a static file, a function, or nothing.

This is the part of the Build Output API (vercel.com/docs/build-output-api/configuration) that a Python function
and static files need. A key that is not known here is an error when the deployment is made: a route that was silently
ignored would answer otherwise than on the platform.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GROUP = re.compile(r"\$(\d+)")
KNOWN_KEYS = frozenset({"src", "dest", "headers", "methods", "status", "continue", "check", "transforms", "handle"})
PHASES = frozenset({"", "filesystem", "rewrite", "error", "hit", "miss", "resource"})
BEFORE, FILES, REWRITES, ERRORS = "", "filesystem", "rewrite", "error"


class BadOutputError(Exception):
    """A `.vercel/output` that cannot be served."""


@dataclass(frozen=True)
class Found:
    """What answers a request; without file and function it is `status` and `headers` alone."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None
    function: Path | None = None
    path: str = "/"


@dataclass(frozen=True)
class _Route:
    src: re.Pattern[str]
    dest: str | None
    status: int | None
    headers: Mapping[str, str]
    methods: frozenset[str]
    goes_on: bool
    sets_path: str | None

    def matches(self, method: str, path: str) -> re.Match[str] | None:
        return self.src.match(path) if not self.methods or method in self.methods else None


class Output:
    """A built deployment; raises BadOutputError if it is not one that can be served here."""

    def __init__(self, folder: Path) -> None:
        self._phases = _read_phases(folder / "config.json")
        files = [path for path in (folder / "static").rglob("*") if path.is_file()]
        self._files = {path.relative_to(folder / "static").as_posix(): path for path in files}
        functions = (folder / "functions").rglob("*.func")
        self.functions = {str(path.relative_to(folder / "functions").with_suffix("")): path for path in functions}

    def find(self, method: str, path: str) -> Found:
        """Decide what answers a request for a path (without its query)."""
        headers: dict[str, str] = {}
        for phase in (BEFORE, FILES, REWRITES):
            for route, matched in self._matching(phase, method, path):
                headers |= {name.lower(): _filled(value, matched) for name, value in route.headers.items()}
                if route.goes_on and route.dest is None:
                    continue
                if found := self._take(route, matched, path, headers):
                    return found
            if phase == BEFORE and (found := self._at(path, path, headers)):
                return found
        return self._missing(method, path, headers)

    def _take(self, route: _Route, matched: re.Match[str], path: str, headers: Mapping[str, str]) -> Found | None:
        if route.dest is None:
            return Found(route.status, headers) if route.status else None
        dest = _filled(route.dest, matched)
        sent = _filled(route.sets_path, matched) if route.sets_path else path
        return self._at(dest, sent, headers, route.status)

    def _at(self, where: str, sent: str, headers: Mapping[str, str], status: int | None = None) -> Found | None:
        """Look for a static file, then for a function."""
        name = where.partition("?")[0].strip("/")
        for file in (name, f"{name}/index.html".lstrip("/")):
            if path := self._files.get(file):
                return Found(status, headers, file=path)
        for function in (name or "index", f"{name}/index".lstrip("/")):
            if function in self.functions:
                return Found(status, headers, function=self.functions[function], path=sent)
        return None

    def _missing(self, method: str, path: str, headers: Mapping[str, str]) -> Found:
        for route, matched in self._matching(ERRORS, method, path):
            page = self._at(_filled(route.dest, matched), path, headers, 404) if route.dest else None
            if page:
                return page
        return Found(404, headers)

    def _matching(self, phase: str, method: str, path: str) -> Iterator[tuple[_Route, re.Match[str]]]:
        matches = ((route, route.matches(method, path)) for route in self._phases.get(phase, ()))
        return ((route, matched) for route, matched in matches if matched)


def _read_phases(config: Path) -> dict[str, list[_Route]]:
    try:
        table = json.loads(config.read_text(encoding="utf-8"))
        if table["version"] != 3:
            raise BadOutputError(f"config.json has version {table['version']}, not 3")
        return _split(table.get("routes") or [])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, re.error) as error:
        raise BadOutputError(f"config.json cannot be read: {type(error).__name__} {error}") from error


def _split(routes: Sequence[Mapping[str, Any]]) -> dict[str, list[_Route]]:
    phases: dict[str, list[_Route]] = {}
    phase = BEFORE
    for route in routes:
        if unknown := set(route) - KNOWN_KEYS:
            raise BadOutputError(f"routes with {', '.join(sorted(unknown))} are not known to this emulator")
        if "handle" in route:
            phase = route["handle"]
            if phase not in PHASES:
                raise BadOutputError(f"the phase {phase} is not known to this emulator")
        else:
            phases.setdefault(phase, []).append(_read_route(route))
    return phases


def _read_route(route: Mapping[str, Any]) -> _Route:
    return _Route(
        src=re.compile(route["src"]),
        dest=route.get("dest"),
        status=route.get("status"),
        headers=route.get("headers", {}),
        methods=frozenset(route.get("methods", ())),
        goes_on=bool(route.get("continue")),
        sets_path=_path_set_by(route.get("transforms", [])),
    )


def _path_set_by(transforms: Sequence[Mapping[str, Any]]) -> str | None:
    """Tell which path the function is to see instead of the one that was asked for."""
    path = None
    for each in transforms:
        if (each.get("type"), each.get("op")) != ("request.path", "set"):
            raise BadOutputError(f"the transform {each.get('type')} {each.get('op')} is not known to this emulator")
        path = str(each["args"])
    return path


def _filled(text: str, matched: re.Match[str]) -> str:
    return GROUP.sub(lambda group: matched.group(int(group[1])) or "", text)
