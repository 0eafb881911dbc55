"""Refusals of a platform's API itself: which requests, with what status, and how many of them."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class ApiErrors:
    """Refusals of the API itself, of requests whose `METHOD /path` begins as the pattern says.

    The first `after` of them are still answered well, then `count` are refused; None: every one from then on.
    """

    status: int = 503
    pattern: str = ""
    after: int = 0
    count: int | None = None
    retry_after_s: int | None = None


class Refusals:
    """Counts what matches the fault that is set; counting begins anew when another one is."""

    def __init__(self) -> None:
        self._matched = 0
        self._errors: ApiErrors | None = None

    def refused_now(self, errors: ApiErrors | None, method: str, path: str) -> ApiErrors | None:
        """Tell which fault refuses this request."""
        if errors is not self._errors:
            self._errors, self._matched = errors, 0
        if not errors or not re.match(errors.pattern, f"{method} {path}"):
            return None
        self._matched += 1
        last = None if errors.count is None else errors.after + errors.count
        return errors if self._matched > errors.after and (last is None or self._matched <= last) else None
