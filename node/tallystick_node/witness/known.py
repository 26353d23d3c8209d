"""What every witness goes by: its name, the logs of companies it knows, and what it tells its operator."""

import logging
import re
from collections.abc import Callable

from tallystick.descriptor import Descriptor
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.witness import WitnessRefused
from tallystick_node.errors import PartnerUnknown

_LOG_ORIGIN = re.compile(r"([a-z0-9.:-]{1,250})/log/[0-9]{4}(-[0-9]{1,3})?")

log = logging.getLogger(__name__)


def keys_by_host(origin: str, find: Callable[[str], Descriptor]) -> dict[str, list[VerifierKey]]:
    """Return the keys of the log `origin`, by its origin; nothing where it is nobody's that `find` knows.

    Args:
        origin: what a note claims.
        find: a company's descriptor by its host; raises `PartnerUnknown`.
    """
    named = _LOG_ORIGIN.fullmatch(origin)
    try:
        return {origin: find(named[1]).log_keys(origin)} if named else {}
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
