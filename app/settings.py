"""What the environment asks of the service, as checked values; a wrong one stops the start, and is named.

Read once. Who this process is (commit, instance) is in `app.identity`.
"""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=300)]


class SettingsError(SystemExit):
    """The environment is wrong. It ends the process with a message and no traceback, whoever imports the service."""


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
    def bind_host(self) -> str:
        """Where to listen: what HOST says, else every address on Render, and this machine alone anywhere else."""
        return self.host or ("0.0.0.0" if self.render else "127.0.0.1")  # noqa: S104 - Render's proxy comes from outside

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
