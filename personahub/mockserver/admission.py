"""Who is let in to the mock server: keys, and limits of requests a minute and at once."""

import math
import time
from collections import deque
from collections.abc import Mapping

from personahub.mockserver.problems import Problem
from personahub.mockserver.profiles import Limit, Profile
from personahub.mockserver.settings import Settings
from personahub.mockserver.stats import MINUTE


class Refusal(Exception):
    """An error response that no fault caused."""

    def __init__(self, why: str, problem: Problem) -> None:
        self.why, self.problem = why, problem


class Admission:
    def __init__(self, settings: Settings, profile: Profile) -> None:
        self._settings, self._profile = settings, profile
        self._admitted: deque[float] = deque()

    def admit(self, headers: Mapping[str, str], busy: int) -> None:
        """busy: places that are taken. Raises Refusal: key, rate, places; in this order, as endpoints do."""
        problem = self.key_problem(headers)
        if problem:
            raise Refusal("key", problem)
        limit, settings = self._limit(), self._settings
        if self._profile.limits:
            if limit is not None and not limit.remaining:
                said = "Requests per minute exceeded. (simulated)"
                raise Refusal("rpm", Problem(429, said, "rate_limit_exceeded", retry_after=limit.reset))
            if settings.overflow == "429" and busy >= settings.capacity:
                said = "Too many requests at once. (simulated)"
                raise Refusal("capacity", Problem(429, said, "rate_limit_exceeded", retry_after=1))
        if limit is not None:
            self._admitted.append(time.monotonic())

    def key_problem(self, headers: Mapping[str, str]) -> Problem | None:
        given = headers.get(self._profile.key_header or "") or headers.get("Authorization", "").removeprefix("Bearer ")
        if self._settings.key in (None, given):
            return None
        # real endpoints echo the key, or parts of it: a client must not pass that on
        return Problem(401, f"Incorrect API key provided: {given}. (simulated)", "invalid_api_key")

    def headers(self) -> dict[str, str]:
        """What a response tells of the limit."""
        limit = self._limit()
        return {} if limit is None else self._profile.headers(limit)

    def forget(self) -> None:
        self._admitted.clear()

    def _limit(self) -> Limit | None:
        """Of the requests admitted in the last 60 s."""
        now, rpm = time.monotonic(), self._settings.rpm
        if rpm is None:
            return None
        while self._admitted and self._admitted[0] <= now - MINUTE:
            self._admitted.popleft()
        reset = max(1, math.ceil(self._admitted[0] + MINUTE - now)) if self._admitted else 0
        return Limit(rpm, max(0, rpm - len(self._admitted)), reset)
