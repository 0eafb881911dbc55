"""The service's settings: what the environment may say, and what is told about what it may not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.settings import EMBEDDED, EMBEDDED_ON_VERCEL, Settings, SettingsError

SECRET = "hunter2-hunter2-hunter2"
Said = Callable[..., Settings]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Said:
    """Give settings read from an environment that says this and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", ".env.local")
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def read(**variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Settings.from_environment()

    return read


def refusal(said: Said, **variables: str) -> str:
    """Give what is told about an environment that is refused."""
    with pytest.raises(SettingsError) as caught:
        said(**variables)
    return str(caught.value)


def test_nothing_has_to_be_said(said: Said) -> None:
    """On a laptop the service starts as it is: an embedded database, and for this machine alone."""
    settings = said()
    assert (settings.database, settings.embedded, settings.bind_host) == (EMBEDDED, True, "127.0.0.1")
    assert (settings.port, settings.web_concurrency) == (8000, 1)


def test_a_variable_without_a_value_says_nothing(said: Said) -> None:
    """A form on a platform that was left empty is no wrong value."""
    assert said(DATABASE_URL="", PORT="").port == 8000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("PORT", value) for value in ("0", "65536", "http")],
        *[("WEB_CONCURRENCY", value) for value in ("0", "65", "two")],
        *[
            ("DATABASE_URL", value)
            for value in (f"mysql://user:{SECRET}@db/x", SECRET, f"postgres://x?sslmode={SECRET}")
        ],
        *[("REQUEST_LIMIT_S", value) for value in ("0", "-1", "301", "nan", "inf")],
        *[("CORS_ORIGINS", value) for value in ("example.org", "https://example.org/", "ftp://example.org", "null")],
        ("LOG_LEVEL", "loud"),
        *[("REDIS_URL", value) for value in (SECRET, f"http://:{SECRET}@cache:6379")],
        *[(name, "short-hunter2") for name in ("ADMIN_TOKEN", "WEBHOOK_SECRET", "METRICS_TOKEN")],
        *[("RATES_URL", value) for value in (f"ftp://{SECRET}", "https://", f"https://:{SECRET}@rates:x")],
        *[("DATABASE_URL", f"postgresql://u:{value}") for value in (f"{SECRET}@db:54x/x", f"{SECRET}\uff0fs@db/x")],
    ],
)
def test_a_wrong_value_stops_the_start(said: Said, name: str, value: str) -> None:
    """A wrong value ends the process with the variable's name, and without what a secret holds."""
    told = refusal(said, **{name: value})
    assert f"  {name}" in told
    assert "hunter2" not in told


def test_all_mistakes_are_told_at_once(said: Said) -> None:
    """Who mends one variable does not meet the next one only afterwards."""
    told = refusal(said, PORT="http", WEB_CONCURRENCY="two")
    assert ("PORT" in told, "WEB_CONCURRENCY" in told) == (True, True)


def test_no_site_at_all_may_act_as_its_user(said: Said) -> None:
    """Any origin together with credentials is refused; each alone is a choice."""
    assert "CORS_ORIGINS" in refusal(said, CORS_ORIGINS="*", CORS_CREDENTIALS="true")
    assert said(CORS_CREDENTIALS="false").cors_origins == ("*",)
    assert said(CORS_ORIGINS="https://a.example, http://localhost:3000").cors_origins == (
        "https://a.example",
        "http://localhost:3000",
    )


@pytest.mark.parametrize(
    ("url", "database", "ssl"),
    [
        ("postgres://u:p%40@db:5432/x", "postgresql+asyncpg://u:p%40@db:5432/x", None),
        ("postgresql://u@db/x?sslmode=require&channel_binding=require", "postgresql+asyncpg://u@db/x", "require"),
        ("postgresql://u@db/x?application_name=a&supa=pooler", "postgresql+asyncpg://u@db/x", None),
        (
            "postgresql://u@db/x?target_session_attrs=read-write",
            "postgresql+asyncpg://u@db/x?target_session_attrs=read-write",
            None,
        ),
        ("sqlite:///here.db?timeout=3", "sqlite+aiosqlite:///here.db?timeout=3", None),
        ("sqlite:///here.db", "sqlite+aiosqlite:///here.db", None),
        ("sqlite:////there/x.db", "sqlite+aiosqlite:////there/x.db", None),
    ],
)
def test_urls_of_databases_as_platforms_give_them(said: Said, url: str, database: str, ssl: str | None) -> None:
    """A URL gets the driver that the service uses, and loses the words that this driver refuses."""
    settings = said(DATABASE_URL=url)
    assert (settings.database, settings.database_ssl) == (database, ssl)


def test_where_the_service_runs(said: Said) -> None:
    """On Render every address is listened on; on Vercel instances are many, and only one folder can be written."""
    assert said(RENDER="true").bind_host == "0.0.0.0"  # noqa: S104 - read here, not bound
    assert said(HOST="127.0.0.1").bind_host == "127.0.0.1"
    vercel = said(VERCEL="1")
    assert (vercel.serverless, vercel.database) == (True, EMBEDDED_ON_VERCEL)


def test_who_migrates(said: Said) -> None:
    """An embedded database is migrated by the service; a shared one is not, unless it is asked for."""
    assert said().migrates_on_start
    assert not said(DATABASE_URL="postgresql://db/x").migrates_on_start
    assert said(MIGRATE_ON_START="true").migrates_on_start


def test_a_file_for_a_laptop(said: Said, tmp_path: Path) -> None:
    """What `.env.local` says holds where the environment says nothing; what it says to others is none of ours."""
    (tmp_path / ".env.local").write_text("PORT=9000\nHOST=::1\nSOMEBODY_ELSES=1\n")
    settings = said(HOST="127.0.0.1")
    assert (settings.port, settings.host) == (9000, "127.0.0.1")
