"""Where entries stand in logs.

Pure. Source: DESIGN section 4.
"""

import re
from typing import Annotated

from pydantic import Field

from tallystick_consent.fields import Strict

Index = Annotated[int, Field(ge=0, lt=2**53)]
LOG_NAME_PATTERN = r"[0-9]{4}(-[1-9][0-9]{0,2})?"
"""How a log is named behind its company's host: its year, and where that has more than one, its number in the year."""

LogOrigin = Annotated[
    str, Field(pattern=rf"^[a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?(:[0-9]{{1,5}})?/log/{LOG_NAME_PATTERN}$")
]


def host_of_log(origin: str) -> str | None:
    """Return the host of the company whose log an origin names, None where it names no log."""
    host, _, name = origin.partition("/log/")
    return host if re.fullmatch(LOG_NAME_PATTERN, name) else None


def begun_as(origin: str) -> tuple[int, int]:
    """Return the year of a log and its number in that year, by which one company's logs stand in order.

    Args:
        origin: of a log, its name as LOG_NAME_PATTERN has it.
    """
    year, _, number = origin.rpartition("/log/")[2].partition("-")
    return int(year), int(number or 1)


class EventPlace(Strict):
    """Where the entry of an event stands: its index in a log of this company, by the log's origin."""

    log: LogOrigin
    leaf: Index
