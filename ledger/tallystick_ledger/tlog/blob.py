"""Entries side by side, each behind its length: the form of an entry bundle, for as many as are written at once.

Pure: bytes in, bytes out.

Source: c2sp.org/tlog-tiles ("Log entries"), which bundles 256; a commit may hold fewer or more.
"""

from collections.abc import Sequence

from tallystick_ledger.errors import TileMalformed
from tallystick_ledger.tlog.tiles import ENTRY_SIZE_MAX_BYTES

_LENGTH_SIZE_BYTES = 2


def join_entries(entries: Sequence[bytes]) -> bytes:
    """Return the entries side by side, each behind its length as two big-endian bytes.

    Raises:
        TileMalformed: an entry is longer than `ENTRY_SIZE_MAX_BYTES`.
    """
    lengths = [len(entry) for entry in entries]
    if max(lengths, default=0) > ENTRY_SIZE_MAX_BYTES:
        raise TileMalformed("An entry is longer than 65,535 bytes.", remedy="Split it, or keep its content elsewhere.")
    pieces = [b""] * (2 * len(entries))
    pieces[0::2] = [length.to_bytes(_LENGTH_SIZE_BYTES, "big") for length in lengths]
    pieces[1::2] = entries
    return b"".join(pieces)


def split_entries(raw: bytes, *, count: int) -> list[bytes]:
    """Return the `count` entries that stand side by side.

    Raises:
        TileMalformed: the bytes are not exactly that many entries.
    """
    entries: list[bytes] = []
    position, end = 0, len(raw)
    while position < end:
        start = position + _LENGTH_SIZE_BYTES
        position = start + int.from_bytes(raw[position:start], "big")
        entries.append(raw[start:position])
    if position != end or len(entries) != count:
        raise TileMalformed("The bytes are not the entries they are said to be.", remedy="Restore the newest backup.")
    return entries
