"""When a claim leaves: at the release slot of its period, at a time that is its recipient's alone.

Pure. Two partners that share no link must not match a subject by when claims arrive or by their order (P6). So each
recipient has a slot of its own for a period, and within it each claim a time of its own, both drawn with a key that
never leaves the node. The same key gives the same times again, so that a restart draws no second sample to compare.

Source: DESIGN flow 4 and P6, CONSTRUCTIONS (between nodes).
"""

import hashlib
import hmac
from typing import NamedTuple

from tallystick_ledger.encoding import length_prefixed
from tallystick_ledger.errors import BadInput

KEY_SIZE_BYTES = 32
WINDOW_S = 24 * 3_600
SLOT_S = 6 * 3_600
"""A day for slots to lie in, and a quarter of it for each: slots of two recipients overlap as often as not."""


class Slot(NamedTuple):
    """When the claims of a period leave for one recipient: from `opens_s`, before `closes_s`."""

    opens_s: int
    closes_s: int


def slot_of(close_s: int, *, key: bytes, recipient: str, period: str, ready_s: int = 0) -> Slot:
    """Return the release slot of a period for a recipient: the first that opens at or after the close and `ready_s`.

    Slots come back every day at the same offset, so that a claim which was late leaves with the next one.

    Args:
        close_s: the period's close, seconds since 1970-01-01 UTC.
        key: 32 random bytes of this node, for nothing else.
        recipient: host name of the partner.
        period: name of the period.
        ready_s: when the claim was ready; 0 where it was at the close.

    Raises:
        BadInput: the key is not 32 bytes.
    """
    opens_s = close_s + _drawn(key, WINDOW_S - SLOT_S, "slot", recipient, period)
    if ready_s > opens_s:
        opens_s += -(-(ready_s - opens_s) // WINDOW_S) * WINDOW_S
    return Slot(opens_s, opens_s + SLOT_S)


def leaving_at_s(claim: str, *, key: bytes, recipient: str, period: str, slot: Slot) -> int:
    """Return when a claim leaves; it follows from nothing that the recipient, or another one, knows.

    Args:
        claim: its id.
        key: as for `slot_of`.
        recipient: host name of the partner.
        period: name of the period.
        slot: from `slot_of`.

    Raises:
        BadInput: the key is not 32 bytes.
    """
    return slot.opens_s + _drawn(key, slot.closes_s - slot.opens_s, "time", recipient, period, claim)


def _drawn(key: bytes, below: int, *about: str) -> int:
    """Return a number from 0 to `below` - 1 that follows from the key; the bias of 256 bits over 63 is nothing."""
    if len(key) != KEY_SIZE_BYTES:
        raise BadInput("A release key is not 32 bytes.", remedy="Draw 32 random bytes.")
    drawn = hmac.new(key, length_prefixed("tallystick/release/v1", *about), hashlib.sha256).digest()
    return int.from_bytes(drawn) % below
