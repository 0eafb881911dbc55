"""What a client may still ask for, in the words of HTTP: RateLimit, RateLimit-Policy, Retry-After, and 429.

The fields are those of https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/10/: `q` is the quota, `w`
its window in seconds, `r` what remains of it, `t` the seconds until it is whole again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request, Response
from pydantic import Field

from app.problems import Problem, as_response, tell_headers

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


@dataclass(frozen=True)
class Allowance:
    """A limit and what is left of it: `limit` in any `window_s` seconds, all of it again in `ends_in_s`."""

    policy: str
    limit: int
    used: int
    window_s: int
    ends_in_s: float

    @property
    def exceeded(self) -> bool:
        """Whether this time is one too many."""
        return self.used > self.limit

    @property
    def retry_after_s(self) -> int:
        """Whole seconds, so that who waits for them is not early."""
        return max(1, math.ceil(self.ends_in_s))


class LimitExceeded(Exception):
    """A client asks for more than its plan allows; `allowances` are all that are known, one of them exceeded."""

    def __init__(self, allowances: Sequence[Allowance]) -> None:
        super().__init__(next(one.policy for one in allowances if one.exceeded))
        self.allowances = allowances


class TooManyRequests(Problem):
    """A problem of the type that the draft registers: which policies are violated."""

    type: str = QUOTA_EXCEEDED
    title: str = "Quota exceeded"
    status: int = 429
    violated_policies: list[str] = Field(serialization_alias="violated-policies", examples=[["minute"]])


def describe_limits(allowances: Sequence[Allowance]) -> dict[str, str]:
    """Give the header fields that tell what is left."""
    return {
        "RateLimit-Policy": ", ".join(f'"{one.policy}";q={one.limit};w={one.window_s}' for one in allowances),
        "RateLimit": ", ".join(
            f'"{one.policy}";r={max(0, one.limit - one.used)};t={one.retry_after_s}' for one in allowances
        ),
    }


def tell_limits(request: Request, response: Response, allowances: Sequence[Allowance]) -> None:
    """Tell what is left in the answer, also where it turns out to be an error."""
    tell_headers(request, response, describe_limits(allowances))


async def answer_limit_exceeded(_: Request, error: LimitExceeded) -> Response:
    """Answer 429, with the moment from which on it is worth asking again."""
    violated = [one for one in error.allowances if one.exceeded]
    wait_s = max(one.retry_after_s for one in violated)
    told = " and ".join(f"{one.limit} a {one.policy}" for one in violated)
    problem = TooManyRequests(
        detail=f"The plan allows {told}. Ask again in {wait_s} s.",
        violated_policies=[one.policy for one in violated],
    )
    return as_response(problem, {"Retry-After": str(wait_s), **describe_limits(error.allowances)})
