"""What the environment asks of the service, as checked values; a wrong one stops the start, and is named.

Read once. Who this process is (commit, instance) is in `app.identity`. A secret has no default, and no value of one is
ever told: an error names the variable alone.
"""

import tempfile
from functools import cached_property
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

EMBEDDED = "sqlite+aiosqlite:///slipway.db"
EMBEDDED_ON_VERCEL = f"sqlite+aiosqlite:///{tempfile.gettempdir()}/slipway.db"  # a function may write nowhere else
DRIVERS = {
    "postgres": "postgresql+asyncpg",  # as Heroku, Neon and Supabase spell it
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}
# What asyncpg takes of a URL's query; it fails on the rest, which is for libpq or the platform. sslmode is taken
# as `ssl`.
ASYNCPG_TAKES = {"target_session_attrs", "krbsrvname", "gsslib", "direct_tls"}
SSL_MODES = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

REDIS_SCHEMES = {"redis", "rediss", "unix"}

Seconds = Annotated[float, Field(gt=0, le=300)]
Token = Annotated[SecretStr, Field(min_length=16)]


class SettingsError(SystemExit):
    """The environment is wrong. It ends the process with a message and no traceback, whoever imports the service."""


def _split(url: SecretStr) -> SplitResult:
    """Take a URL apart, without telling any of it."""
    try:
        parts = urlsplit(url.get_secret_value())
        _ = parts.port
    except ValueError:
        raise ValueError("it is no URL, or its port is no number") from None
    return parts


def _check_redis(url: SecretStr) -> SecretStr:
    if _split(url).scheme not in REDIS_SCHEMES:
        raise ValueError("it is no URL of Redis: redis://…, rediss://… or unix://…")
    return url


def _check_rates(url: SecretStr) -> SecretStr:
    parts = _split(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it is no URL: https://…")
    return url


class Settings(BaseSettings):
    """Every variable that the service reads; `.env.example` says what each is for."""

    model_config = SettingsConfigDict(
        env_file=".env.local",
        env_ignore_empty=True,  # a variable without a value, as a platform's form leaves it, is no value
        extra="ignore",  # .env.local is read by other tools too
        frozen=True,
        hide_input_in_errors=True,  # a secret in the wrong variable would be shown
    )

    host: str = ""
    port: int = Field(8000, ge=1, le=65535)
    web_concurrency: int = Field(1, ge=1, le=64)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    database_url: SecretStr = SecretStr("")
    database_pool_size: int = Field(5, ge=1, le=200)
    database_wait_s: Seconds = 2.0  # for a connection: of the pool, or to the server
    database_statement_s: Seconds = 5.0
    migrate_on_start: bool | None = None  # None: where the database is embedded

    redis_url: Annotated[SecretStr, AfterValidator(_check_redis)] | None = None
    redis_required: bool = True  # whether an instance that cannot reach it is taken out of the traffic

    # Each opens a part of the service that is closed without it.
    admin_token: Token | None = None
    webhook_secret: Token | None = None
    metrics_token: Token | None = None
    sentry_dsn: SecretStr | None = None
    rates_url: Annotated[SecretStr, AfterValidator(_check_rates)] | None = None  # it may hold a key

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    cors_credentials: bool = False

    request_limit_s: Seconds = 15.0
    shutdown_limit_s: Seconds = 20.0  # Render kills 30 s after SIGTERM unless it is told otherwise
    max_body_bytes: int = Field(64 * 1024, ge=1024, le=16 * 1024 * 1024)

    # What the platforms set themselves.
    render: bool = False
    vercel: bool = False

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment and `.env.local`.

        Raises:
            SettingsError: a variable is wrong or does not go with another; each is named, and no value is.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("\n".join(("The service cannot start:", *_explain(error)))) from None

    @property
    def serverless(self) -> bool:
        """Whether instances come and go with requests, so that a pool of their own would exhaust the database."""
        return self.vercel

    @property
    def bind_host(self) -> str:
        """Where to listen: what HOST says, else every address on Render, and this machine alone anywhere else."""
        return self.host or ("0.0.0.0" if self.render else "127.0.0.1")  # noqa: S104 - Render's proxy comes from outside

    @cached_property
    def database(self) -> str:
        """The URL for SQLAlchemy, with an async driver and without the words that only libpq knows."""
        url = self.database_url.get_secret_value()
        if not url:
            return EMBEDDED_ON_VERCEL if self.vercel else EMBEDDED
        parts = urlsplit(url)
        words = parse_qsl(parts.query)
        query = urlencode([word for word in words if parts.scheme.startswith("sqlite") or word[0] in ASYNCPG_TAKES])
        # Not parts._replace(...).geturl(): it drops two slashes of sqlite:///file.
        return f"{DRIVERS[parts.scheme]}://{parts.netloc}{parts.path}{query and f'?{query}'}"

    @property
    def database_ssl(self) -> str | None:
        """The sslmode that the URL asks for, None where it says nothing."""
        return dict(parse_qsl(urlsplit(self.database_url.get_secret_value()).query)).get("sslmode")

    @property
    def embedded(self) -> bool:
        """Whether the database is a file of this machine."""
        return self.database.startswith("sqlite")

    @property
    def migrates_on_start(self) -> bool:
        """Whether the service brings the schema up to date itself: for a shared database that is the deploy's work."""
        return self.embedded if self.migrate_on_start is None else self.migrate_on_start

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, url: SecretStr) -> SecretStr:
        parts = _split(url)
        if url.get_secret_value() and parts.scheme not in DRIVERS:
            raise ValueError("it is no URL of PostgreSQL or SQLite: postgresql://…, sqlite:///file")
        mode = dict(parse_qsl(parts.query)).get("sslmode", "prefer")
        if mode not in SSL_MODES:
            raise ValueError(f"its sslmode is none of {', '.join(sorted(SSL_MODES))}")
        return url

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            if origin != "*" and (
                parts.scheme not in {"http", "https"} or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(
                    f"{origin!r} is no origin: scheme://host[:port], without a path, with commas between them"
                )
        return origins

    @model_validator(mode="after")
    def _check_cors(self) -> Self:
        if self.cors_credentials and "*" in self.cors_origins:
            raise ValueError(
                "CORS_ORIGINS: any site could act as a signed-in user: name the sites, or CORS_CREDENTIALS=false"
            )
        return self


def _explain(error: ValidationError) -> list[str]:
    """Give a line for each mistake: the variable, and what is wrong with it."""
    return [_line(".".join(map(str, found["loc"])).upper(), str(found["msg"])) for found in error.errors()]


def _line(name: str, message: str) -> str:
    told = message.removeprefix("Value error, ")
    return f"  {name}: {told}" if name else f"  {told}"
