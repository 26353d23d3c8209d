"""Entries side by side, each behind its length: the form of an entry bundle, for as many as are written at once.

Pure: bytes in, bytes out.

Source: c2sp.org/tlog-tiles ("Log entries"), which bundles 256; a commit may hold fewer or more.
"""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from tallystick_ledger.errors import TileMalformed

LENGTH_SIZE_BYTES = 2

ENTRY_SIZE_MAX_BYTES = (1 << 8 * LENGTH_SIZE_BYTES) - 1
"""65,535: what a length of two bytes can say."""

_FEW = 3
"""Up to so many entries are taken apart sooner one by one than at once."""


def join_entries(entries: Sequence[bytes]) -> bytes:
    """Return the entries side by side, each behind its length as two big-endian bytes.

    Raises:
        TileMalformed: an entry is longer than `ENTRY_SIZE_MAX_BYTES`.
    """
    pieces = [b""] * (2 * len(entries))
    try:
        pieces[0::2] = [len(entry).to_bytes(LENGTH_SIZE_BYTES, "big") for entry in entries]
    except OverflowError as error:
        raise TileMalformed(
            "An entry is longer than 65,535 bytes.", remedy="Split it, or keep its content elsewhere."
        ) from error
    pieces[1::2] = entries
    return b"".join(pieces)


def split_entries(raw: bytes, *, count: int) -> list[bytes]:
    """Return the `count` entries that stand side by side.

    Raises:
        TileMalformed: the bytes are not exactly that many entries.
    """
    if count > _FEW:
        # Most entries of a log are events, all of one length: then one comparison checks all lengths at once.
        stride = LENGTH_SIZE_BYTES + int.from_bytes(raw[:LENGTH_SIZE_BYTES], "big")
        if len(raw) == count * stride and raw[::stride] == raw[:1] * count and raw[1::stride] == raw[1:2] * count:
            return list(_strides(count, stride).unpack(raw))
    entries: list[bytes] = []
    position = 0
    try:
        for _ in range(count):
            start = position + LENGTH_SIZE_BYTES
            position = start + (raw[position] << 8 | raw[position + 1])
            entries.append(raw[start:position])
    except IndexError:
        position = len(raw) + 1
    if position > len(raw):
        raise _malformed("A bundle ends before its last entry does.")
    if position < len(raw):
        raise _malformed("A bundle goes on after its last entry.")
    return entries


@lru_cache(maxsize=64)
def _strides(count: int, stride: int) -> Struct:
    """Return what takes entries of one length apart in one call."""
    return Struct(f"{LENGTH_SIZE_BYTES}x{stride - LENGTH_SIZE_BYTES}s" * count)


def _malformed(problem: str) -> TileMalformed:
    return TileMalformed(problem, remedy="Write entries as c2sp.org/tlog-tiles says, or restore them from a copy.")
