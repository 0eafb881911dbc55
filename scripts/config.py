"""slipway.toml as validated values.

What is wrong is said with file, key, value and what is allowed. Secrets are never in the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from scripts.errors import ConfigError
from scripts.misconfiguration import explain
from scripts.redaction import Secret
from scripts.verdict import Check

Target = Literal["render", "vercel"]
TARGETS: tuple[str, ...] = get_args(Target)
SECRET_IN_HEADER = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
NEVER_IN_URL = re.compile(r"[\s\x00-\x1f\x7f?#@]")
PLACEHOLDER = "CHANGE-ME"
PLAIN_URL = "a plain URL is needed, such as https://api.example.com"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def _checked_url(value: str) -> str:
    if PLACEHOLDER in value:
        raise ValueError("still the placeholder: put the public URL of your service here")
    # Before urlsplit, whose errors may repeat the part of the URL that holds a password.
    if NEVER_IN_URL.search(value):
        raise ValueError(PLAIN_URL)
    parts = urlsplit(value)
    if not parts.scheme or not parts.hostname or not _has_possible_port(parts):
        raise ValueError(PLAIN_URL)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK):
        raise ValueError("only https URLs are allowed, except on loopback")
    return value.rstrip("/")


def _has_possible_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _checked_id(value: str) -> str:
    if PLACEHOLDER in value:
        raise ValueError("still the placeholder: copy it from the project's settings")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", value):
        raise ValueError("an id of letters, digits, - and _ is needed")
    return value


def _checked_path(value: str) -> str:
    parts = value.split("/")
    if value.startswith(("/", "-", ":")) or not all(parts) or {".", ".."} & set(parts):
        raise ValueError("a path inside the repository is needed, such as app")
    if any(part.startswith(".env") for part in parts):
        raise ValueError("a .env file would be uploaded with the function: secrets belong in the project's settings")
    return value


def _checked_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if "${" in SECRET_IN_HEADER.sub(" ", value):
            raise ValueError(f"{name}: a secret is named as ${{NAME}}, in capitals, digits and underscores")
    return headers


Url = Annotated[str, AfterValidator(_checked_url)]
Seconds = Annotated[float, Field(gt=0, le=7200, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
Path_ = Annotated[str, Field(pattern=r"^/[^\s#]*$")]
Id = Annotated[str, AfterValidator(_checked_id)]
Slug = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]*$"), AfterValidator(_checked_id)]
IncludedPath = Annotated[str, AfterValidator(_checked_path)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ReleaseSection(_Section):
    """What a release is and when it goes back; `together`: what fails on one target takes back all that moved.

    `migrations` is the folder of the database's migrations; empty where there are none.
    """

    targets: tuple[Target, ...] = Field(default=("render",), strict=False, min_length=1)
    together: bool = True
    on_unproven: Literal["roll_back", "hold"] = "roll_back"
    migrations: IncludedPath | Literal[""] = "app/migrations/versions"

    @field_validator("targets")
    @classmethod
    def _once_each(cls, value: tuple[Target, ...]) -> tuple[Target, ...]:
        if len(set(value)) != len(value):
            raise ValueError("each target once")
        return value


class RenderSection(_Section):
    """The Render service; `instances` is how many answer behind the URL, where no API key can tell."""

    url: Url
    instances: int = Field(default=1, ge=1, le=100)
    api_url: Url = "https://api.render.com/v1"


class VercelSection(_Section):
    """The Vercel project: ids as in its settings, `team` as in its URL; the function is built from `include`."""

    url: Url
    team: Slug
    org_id: Id
    project_id: Id
    include: tuple[IncludedPath, ...] = Field(
        default=("app", "requirements.txt", "vercel.json", ".python-version"), strict=False, min_length=1
    )
    api_url: Url = "https://api.vercel.com"


class BaselineSection(_Section):
    """How `plan` looks at the release that serves now."""

    duration_s: Seconds = 60


class DeploySection(_Section):
    """How long a platform may take to build and start, and how often it is asked."""

    deadline_s: Seconds = 1500
    poll_s: Seconds = 5


class VerifySection(_Section):
    """How long the candidate may take to be the one that answers, healthy."""

    deadline_s: Seconds = 180


class BakeSection(_Section):
    """How long the candidate is watched once users are on it: a pass from `least_s`, an end at `most_s`."""

    least_s: Seconds = 60
    most_s: Seconds = 120

    @model_validator(mode="after")
    def _in_order(self) -> BakeSection:
        if self.most_s < self.least_s:
            raise ValueError(f"most_s ({self.most_s:g}) must not be under least_s ({self.least_s:g})")
        return self


class RollbackSection(_Section):
    """How long going back may take, to the proof that the old release answers."""

    deadline_s: Seconds = 900


class ProbeSection(_Section):
    """How often the service is asked in baseline, verify and bake, all checks together."""

    rate_per_s: Rate = 10


class ObjectivesSection(_Section):
    """What users are promised: the share of requests that may fail."""

    error_rate: float = Field(default=0.001, gt=0, lt=0.5)


class LoadSection(_Section):
    """The load that `load` puts on the service of a checkout, and what it must keep; users start over `warmup_s`."""

    users: int = Field(default=20, ge=1, le=10_000)
    duration_s: Seconds = 10
    warmup_s: float = Field(default=2, ge=0, le=600, allow_inf_nan=False)
    p95_ms: float = Field(default=500, gt=0, le=60_000, allow_inf_nan=False)
    error_rate: float = Field(default=0.001, ge=0, lt=0.5)
    least_per_s: float = Field(default=20, gt=0, le=1_000_000, allow_inf_nan=False)
    compare: bool = True


class CoverageSection(_Section):
    """What the tests must cover, in per cent of lines and branches, and of the lines that a change adds."""

    floor: int = Field(default=80, ge=0, le=100)
    changed_floor: int = Field(default=80, ge=0, le=100)


class CheckSection(_Section):
    """One request with its expectation."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    path: Path_
    method: Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    status: int = Field(default=200, ge=100, le=599)
    expect: dict[str, str | int | float | bool] = Field(default_factory=dict)
    headers: Annotated[dict[str, str], AfterValidator(_checked_headers)] = Field(default_factory=dict)
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5
    critical: bool = True


class Config(_Section):
    """The whole file."""

    version: Literal[1]
    release: ReleaseSection = ReleaseSection()
    render: RenderSection | None = None
    vercel: VercelSection | None = None
    baseline: BaselineSection = BaselineSection()
    deploy: DeploySection = DeploySection()
    verify: VerifySection = VerifySection()
    bake: BakeSection = BakeSection()
    rollback: RollbackSection = RollbackSection()
    probe: ProbeSection = ProbeSection()
    objectives: ObjectivesSection = ObjectivesSection()
    load: LoadSection = LoadSection()
    coverage: CoverageSection = CoverageSection()
    checks: tuple[CheckSection, ...] = Field(strict=False)

    @field_validator("render", "vercel", mode="before")
    @classmethod
    def _filled_in(cls, value: object, info: ValidationInfo) -> object:
        """Leave out what still has a placeholder and is not released; `release` comes first, so it is known here."""
        release = info.data.get("release")
        if release is None or info.field_name in release.targets or not isinstance(value, Mapping):
            return value
        return None if any(PLACEHOLDER in str(part) for part in value.values()) else value

    @model_validator(mode="after")
    def _whole(self) -> Config:
        names = [check.name for check in self.checks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two checks are named {twice[0]!r}: each needs a name of its own")
        if not any(check.critical for check in self.checks):
            raise ValueError("no check is critical: without one no release could ever fail")
        for target in self.release.targets:
            if getattr(self, target) is None:
                raise ValueError(f"release.targets names {target!r}, but no [{target}] section is filled in")
        return self

    def with_targets(self, text: str, name: str = "SLIPWAY_TARGETS") -> Config:
        """Give the same with the targets that a comma-separated list names; `name` says where the list is from.

        Raises:
            ConfigError: a target that does not exist or has no section.
        """
        names = tuple(part.strip() for part in text.split(",") if part.strip())
        release = {**self.release.model_dump(), "targets": names}
        return parse({**self.model_dump(exclude_none=True), "release": release}, name)

    def secret_names(self) -> Iterator[str]:
        """Give the environment variables that the checks' headers name."""
        for check in self.checks:
            for value in check.headers.values():
                yield from SECRET_IN_HEADER.findall(value)

    def checks_with(self, secrets: Mapping[str, Secret]) -> tuple[Check, ...]:
        """Give the checks as values, secrets put into their headers."""
        return tuple(_check(section, secrets) for section in self.checks)


def _check(section: CheckSection, secrets: Mapping[str, Secret]) -> Check:
    headers = {
        name: SECRET_IN_HEADER.sub(lambda match: secrets[match[1]].reveal(), value)
        for name, value in section.headers.items()
    }
    return Check(
        name=section.name,
        path=section.path,
        method=section.method,
        status=section.status,
        json=section.expect,
        headers=headers,
        timeout_s=section.timeout_s,
        critical=section.critical,
    )


def load(path: Path) -> Config:
    """Read and validate a slipway.toml.

    Raises:
        ConfigError: the file is missing, not TOML, or says something that is not allowed.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise ConfigError(
            message, next_step="name the file with --config, or copy slipway.toml of the template"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", next_step=f"mend {path}") from error
    return parse(table, path.name)


def parse(table: Mapping[str, object], name: str = "slipway.toml") -> Config:
    """Validate the table of a slipway.toml; every fault is in the one error.

    Raises:
        ConfigError: with a line for each fault.
    """
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        lines = [explain(name, fault, _known_keys) for fault in error.errors(include_url=False)]
        raise ConfigError("\n".join(lines), means="Nothing was started.", next_step=f"mend {name}") from error


def _known_keys(where: list[str | int]) -> list[str]:
    model: type[BaseModel] = Config
    for part in where:
        if isinstance(part, str):
            model = SECTIONS.get(part, model)
    return list(model.model_fields)


SECTIONS: Mapping[str, type[BaseModel]] = {
    "release": ReleaseSection,
    "render": RenderSection,
    "vercel": VercelSection,
    "baseline": BaselineSection,
    "deploy": DeploySection,
    "verify": VerifySection,
    "bake": BakeSection,
    "rollback": RollbackSection,
    "probe": ProbeSection,
    "objectives": ObjectivesSection,
    "load": LoadSection,
    "coverage": CoverageSection,
    "checks": CheckSection,
}
