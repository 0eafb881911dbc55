"""Releases of this service with a migration between them, on the emulated Render and its database."""

import asyncio
import sqlite3
from pathlib import Path

import httpx

from scripts.rehearsal.clone import ENTRY, commit_change, make_clone
from scripts.rehearsal.clouds.render import Faults, RenderCloud, Status, Times
from scripts.rehearsal.commits import git
from scripts.rehearsal.edge import Edge

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = Path("app") / "migrations" / "versions"
EXPANDS = '''"""Something may be in stock."""

import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = "{before}"


def upgrade() -> None:
    """Add a column that may be empty: the release before does not know of it."""
    op.add_column("items", sa.Column("stock", sa.Integer))
'''
FAILS = EXPANDS.replace('"items"', '"no_such_table"')


async def add_migration(folder: Path, text: str) -> str:
    """Commit one more migration; give the full SHA."""
    before = max(path.name[:4] for path in (folder / VERSIONS).glob("[0-9]*.py"))
    number = f"{int(before) + 1:04}"
    (folder / VERSIONS / f"{number}_more.py").write_text(text.format(number=number, before=before))
    await git("-C", str(folder), "add", "--all")
    return await commit_change(folder, "more", lambda source: source + "\n")


def test_the_previous_release_serves_on_the_newer_schema(tmp_path: Path) -> None:
    """A deploy migrates the database; one that cannot is stopped; after a rollback the old release is ready on it."""

    async def rehearse() -> None:
        clone = tmp_path / "clone"
        old = await make_clone(ROOT, clone)
        new = await add_migration(clone, EXPANDS)
        bad = await add_migration(clone, FAILS)
        assert (clone / ENTRY).is_file()
        async with (
            Edge() as edge,
            RenderCloud(
                repository=clone,
                folder=tmp_path / "work",
                edge=edge,
                times=Times().scaled(1 / 120),
                faults=Faults(),
                api_key="key",
                hook_key="hook",
                requirements=(ROOT / "requirements.txt").read_text(),
            ) as cloud,
            httpx.AsyncClient(trust_env=False, base_url=edge.url) as client,
        ):
            first = await cloud.first_deploy(old)
            assert first.status is Status.LIVE
            before = columns(tmp_path)
            kept = add_item(tmp_path, "Sextant")
            cloud.service.request(await cloud.service.find_commit(new), first.trigger)
            assert (await cloud.ended(cloud.deploys[-1].id)).status is Status.LIVE
            assert columns(tmp_path) - before == {"stock"}
            cloud.service.request(await cloud.service.find_commit(bad), first.trigger)
            failed = await cloud.ended(cloud.deploys[-1].id)
            assert failed.status is Status.PRE_DEPLOY_FAILED
            assert (await client.get("/version")).json()["commit"] == new
            cloud.service.roll_back(first.id)
            assert (await cloud.ended(cloud.deploys[-1].id)).status is Status.LIVE
            assert (await client.get("/version")).json()["commit"] == old
            assert (await client.get("/health/ready")).json()["checks"]["database"] == "ok"
            assert columns(tmp_path) - before == {"stock"}
            assert (await client.get(f"/api/items/{kept}")).json()["name"] == "Sextant"

    asyncio.run(rehearse())


def columns(folder: Path) -> set[str]:
    """Give the columns of the items."""
    (file,) = (folder / "work").glob("*.db")
    with sqlite3.connect(file) as connection:
        found = {str(row[1]) for row in connection.execute("PRAGMA table_info(items)")}
    connection.close()
    return found


def add_item(folder: Path, name: str) -> int:
    """Add an item to the database; give its id."""
    (file,) = (folder / "work").glob("*.db")
    with sqlite3.connect(file) as connection:
        added = connection.execute("INSERT INTO items (name, price_cents) VALUES (?, 1)", (name,)).lastrowid
    connection.close()
    assert added
    return added
