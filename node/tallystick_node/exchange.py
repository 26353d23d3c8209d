"""One bounded exchange with a host that may be slow, dead or hostile: so many seconds, so many bytes, no redirect.

Source: DESIGN P13 and P15 (every wait and every answer has a bound).
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import httpx

from tallystick.bounded import PLAIN, chunks_of, until

WAIT_TIMEOUT_S = 2.0
EXCHANGE_DEADLINE_S = 4.0
"""How long one exchange may take in all."""

ANSWER_SIZE_MAX_BYTES = 64 * 1024


class Answer(NamedTuple):
    """What came back."""

    status_code: int
    content: bytes


def exchange(
    http: httpx.Client,
    method: str,
    url: str,
    content: bytes = b"",
    *,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> Answer | None:
    """Return what a host answers; None where it does not: in time, of a bounded size.

    Args:
        http: one of `tallystick.bounded.client`, so that headers that drip are bounded as well.
        method, url, content: what to ask.
        monotonic_s: for the deadline alone.
    """
    until_s = monotonic_s() + EXCHANGE_DEADLINE_S
    try:
        with (
            until(until_s, monotonic_s=monotonic_s),
            http.stream(method, url, content=content, headers=PLAIN, timeout=WAIT_TIMEOUT_S) as response,
        ):
            received = bytearray()
            for chunk in chunks_of(response):
                received += chunk
                if len(received) > ANSWER_SIZE_MAX_BYTES:
                    return None
            return Answer(response.status_code, bytes(received))
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
