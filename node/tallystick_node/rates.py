"""How often one caller may call: an app by its key, a partner by its host name.

A bucket for each caller: a minute's calls at most, refilled evenly. It lives in memory and is each process's own: it
keeps a caller that has gone wrong from the others, and counts nothing for a bill. Whoever is not known by a key or a
signature has no bucket; what such callers may do is for whatever stands in front of the node to say.

Source: DESIGN P15 (rate), API sections 2 and 10, RFC 6585 section 4 (429), RFC 9110 section 10.2.3 (Retry-After).
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

from tallystick_node.errors import TooManyRequests

CALLERS_MAX = 10_000
"""Whose calls are counted at once; of more, who has not called for longest begins anew."""

MINUTE_S = 60


class _Bucket(NamedTuple):
    """What a caller may still do.

    Attributes:
        left: sixtieths of a call, so that every second adds a whole number.
        at_s: when that was so.
    """

    left: int
    at_s: int


class Rates:
    """Counts the calls of each caller of one kind."""

    def __init__(self, calls_a_minute_max: int, *, now_s: Callable[[], int]) -> None:
        """Let every caller call so often; 0: as often as it likes.

        Args:
            calls_a_minute_max: how often.
            now_s: seconds since 1970-01-01 UTC.
        """
        self._max = calls_a_minute_max
        self._now_s = now_s
        self._buckets: dict[str, _Bucket] = {}
        self._lock = threading.Lock()

    def count(self, caller: str) -> None:
        """Count one call.

        Raises:
            TooManyRequests: the caller has none left; it says when it has one again. It costs nothing to be told so.
        """
        if self._max == 0:
            return
        with self._lock:
            now_s = self._now_s()
            before = self._buckets.pop(caller, _Bucket(self._max * MINUTE_S, now_s))
            # A clock that was set back gives nothing, and takes nothing.
            left = min(self._max * MINUTE_S, before.left + self._max * max(0, now_s - before.at_s))
            is_allowed = left >= MINUTE_S
            self._buckets[caller] = _Bucket(left - MINUTE_S if is_allowed else left, now_s)
            if len(self._buckets) > CALLERS_MAX:
                self._buckets.pop(next(iter(self._buckets)))
        if not is_allowed:
            raise TooManyRequests(
                "This caller calls more often than it may.",
                remedy="Send it again after the seconds in Retry-After, with the same idempotency key.",
                retry_after_s=-(-(MINUTE_S - left) // self._max),
            )
