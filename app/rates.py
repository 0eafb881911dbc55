"""What a euro is worth elsewhere: asked of an upstream that may be slow, wrong or gone, with a limit for each wait.

A wait for it is answered with 504, a wrong answer with 502. A quote that was not made costs its owner nothing.
"""

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from app.settings import Settings

if TYPE_CHECKING:
    from httpx import AsyncClient

Currency = Literal["EUR", "USD", "GBP", "CHF", "JPY"]
HOME: Currency = "EUR"
CONNECT_S, READ_S, WRITE_S, POOL_S = 1.0, 2.0, 1.0, 0.5
TOTAL_S = 3.0  # an upstream that sends a byte now and then keeps every single limit
MOST_BYTES = 4096
MOST_CONNECTIONS = 20


class Rate(BaseModel):
    """What the upstream answers: how much of a currency one euro buys."""

    per_euro: Annotated[Decimal, Field(gt=0, le=1_000_000)]


class NoRates(Exception):
    """This service has no upstream for rates."""


class RateTooLate(Exception):
    """The upstream did not answer in time."""


class RateWrong(Exception):
    """The upstream could not be reached, or what it answered is no rate."""


class Rates:
    """The client of the upstream: a resource of the lifecycle, with connections that are kept."""

    name = "rates"

    def __init__(self, settings: Settings) -> None:
        self._url = settings.rates_url.get_secret_value().rstrip("/") if settings.rates_url else ""
        self._client: AsyncClient | None = None

    async def open(self) -> None:
        """Make nothing: the first use does, so that a service that never needs it does not load it."""

    async def close(self) -> None:
        """Close the connections."""
        if self._client:
            await self._client.aclose()
            self._client = None

    async def ask(self, currency: Currency) -> Decimal:
        """Give how much of a currency one euro buys.

        Raises:
            NoRates: there is no upstream, and the currency is not the euro.
            RateTooLate: it did not answer in time.
            RateWrong: it cannot be reached, or its answer is no rate.
        """
        if currency == HOME:
            return Decimal(1)
        if not self._url:
            raise NoRates
        import httpx

        try:
            async with asyncio.timeout(TOTAL_S):
                return Rate.model_validate_json(await self._fetch(currency)).per_euro
        except (TimeoutError, httpx.TimeoutException) as error:
            raise RateTooLate from error
        except (httpx.HTTPError, ValidationError) as error:
            raise RateWrong from error

    async def _fetch(self, currency: Currency) -> bytes:
        place = f"{self._url}/rates/{currency}"
        async with self._get_client().stream("GET", place, headers={"Accept-Encoding": "identity"}) as answer:
            answer.raise_for_status()
            content = b""
            async for part in answer.aiter_raw():  # unpacked, a little could be very much
                content += part
                if len(content) > MOST_BYTES:
                    raise RateWrong(f"more than {MOST_BYTES} bytes")
        return content

    def _get_client(self) -> "AsyncClient":
        if self._client is None:
            import httpx

            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(connect=CONNECT_S, read=READ_S, write=WRITE_S, pool=POOL_S),
                limits=httpx.Limits(max_connections=MOST_CONNECTIONS),
                trust_env=False,  # a proxy for other things is none for this
            )
        return self._client
