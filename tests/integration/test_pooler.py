"""The service as it is on Vercel, on a real PgBouncer that hands each connection on after each transaction."""

import asyncio

import httpx
from pydantic import SecretStr
from sqlalchemy import text

from app.database import Database
from app.settings import Settings
from tests.integration.servers import ADMIN, issue_key, migrate, running_service


def test_many_functions_share_few_connections(url: str, pooler: str) -> None:
    """Forty statements at once go through two connections, and none meets a statement of another's."""
    migrate(url)
    settings = Settings(database_url=SecretStr(pooler + url.rpartition("/")[2]), vercel=True)

    async def ask(database: Database, number: int) -> int:
        async with database.begin() as connection:
            told = (await connection.execute(text("SELECT :number + count(*) FROM items"), {"number": number})).scalar()
        return int(told or 0)

    async def play() -> list[int]:
        functions = [Database(settings) for _ in range(4)]
        told = await asyncio.gather(*(ask(functions[number % 4], number) for number in range(40)))
        for function in functions:
            await function.close()
        return told

    assert asyncio.run(play()) == [number + 12 for number in range(40)]


def test_the_service_behind_a_pooler(url: str, pooler: str) -> None:
    """Keys, quotes and the quota work where a connection lasts for one transaction."""
    migrate(url)
    behind = pooler + url.rpartition("/")[2]
    with running_service(DATABASE_URL=behind, ADMIN_TOKEN=ADMIN, VERCEL="1", RENDER="") as service:
        key = issue_key(service.url)
        with httpx.Client(base_url=service.url, headers=key) as client:
            made = [client.post("/api/quotes", json={"lines": [{"item_id": 1, "quantity": 1}]}) for _ in range(10)]
            assert [answer.status_code for answer in made] == [201] * 10
            assert client.get("/api/usage").json()["quotes_used"] == 10
            assert len(client.get("/api/quotes").json()["quotes"]) == 10
