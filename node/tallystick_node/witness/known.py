"""What every witness goes by: its name, the logs of companies it knows, and what it tells its operator."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from tallystick.descriptor import Descriptor
from tallystick_consent.places import host_of_log
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.witness import WitnessRefused
from tallystick_node.errors import PartnerUnknown

log = logging.getLogger(__name__)


FIRST_YEAR = 2000

YEARS_AHEAD_MAX = 9
"""By how much a log's year may be ahead of the clock here: those of sandboxes differ by years."""

IN_PLACE_MAX = 99
"""How many logs of one year may take each other's place."""


def keys_by_host(origin: str, find: Callable[[str], Descriptor], *, now_s: int) -> dict[str, list[VerifierKey]]:
    """Return the keys of the log `origin`, by its origin; nothing where it is nobody's that `find` knows.

    What is cosigned of a log is remembered for good, so a company has no more logs than it can have begun: whoever has
    its key could have any number of them remembered else.

    Args:
        origin: what a note claims.
        find: a company's descriptor by its host; raises `PartnerUnknown`.
        now_s: seconds since 1970-01-01 UTC.
    """
    host = host_of_log(origin)
    if host is None:
        return {}
    year, _, number = origin.rpartition("/")[2].partition("-")
    last_year = datetime.fromtimestamp(now_s, UTC).year + YEARS_AHEAD_MAX
    if not FIRST_YEAR <= int(year) <= last_year or int(number or 1) > IN_PLACE_MAX:
        return {}
    try:
        return {origin: find(host).log_keys(origin)}
    except PartnerUnknown:
        return {}


def witness_name(host: str) -> str:
    """Return the name under which a node cosigns."""
    return f"{host}/witness"


def report_refusal(error: WitnessRefused, origin: str) -> None:
    """Tell the operator of a log that is not what it was; other refusals are the log's own affair.

    The origin is that of a known log: the others are refused before anything can be said of their growth.
    """
    if error.status == 422:
        log.error("the log %s does not grow from what was cosigned here: %s", origin, error.problem)
