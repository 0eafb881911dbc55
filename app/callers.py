"""Who may use what is metered: whoever has an API key, as often in a minute as its plan allows."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.admin import unauthorized
from app.counters import Counters
from app.keys import Keys, get_keys
from app.limits import Allowance, LimitExceeded, TooManyRequests, tell_limits
from app.plans import MINUTE_S, Plan
from app.problems import describe_problem

bearer = HTTPBearer(auto_error=False, scheme_name="API key", description="`slip_…`, as it was issued.")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]


@dataclass(frozen=True)
class Caller:
    """Who asks, by which key; how much of the minute is used."""

    key_id: str
    plan: Plan
    minute: Allowance


async def admit(
    request: Request, response: Response, store: Annotated[Keys, Depends(get_keys)], sent: Bearer
) -> Caller:
    """Let a request in that has a good key and is within its plan's rate.

    Raises:
        HTTPException: 401, the key is missing or not good.
        LimitExceeded: the plan allows no more requests this minute.
        Unavailable: the database does not answer.
    """
    found = await store.find_plan(sent.credentials) if sent else None
    if found is None:
        raise unauthorized("This needs an API key that is good: Authorization: Bearer slip_…")
    counters: Counters = request.app.state.counters
    key_id, plan = found
    count = await counters.count(f"minute:{key_id}", MINUTE_S)
    minute = Allowance("minute", plan.requests_per_minute, count.used, MINUTE_S, count.ends_in_s)
    if minute.exceeded:
        raise LimitExceeded([minute])
    tell_limits(request, response, [minute])
    return Caller(key_id, plan, minute)


Admitted = Annotated[Caller, Depends(admit)]
NEEDS_KEY = {**describe_problem(401), **describe_problem(429, TooManyRequests)}
