"""What every witness goes by: its name, the logs of companies it knows, and what it tells its operator."""

import logging
from collections.abc import Callable

from tallystick.descriptor import Descriptor
from tallystick_consent.places import host_of_log
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.witness import WitnessRefused
from tallystick_node.errors import PartnerUnknown

log = logging.getLogger(__name__)


def keys_by_host(origin: str, find: Callable[[str], Descriptor]) -> dict[str, list[VerifierKey]]:
    """Return the keys of the log `origin`, by its origin; nothing where it is nobody's that `find` knows.

    Args:
        origin: what a note claims.
        find: a company's descriptor by its host; raises `PartnerUnknown`.
    """
    host = host_of_log(origin)
    try:
        return {} if host is None else {origin: find(host).log_keys(origin)}
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
