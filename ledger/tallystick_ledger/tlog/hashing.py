"""Hashes of leaves and nodes: one, or many in one call.

A log hashes millions of messages of a few hundred bytes, and there a call costs more than the hashing in it. PyPI's
`stringzilla` hashes many messages side by side in the lanes of the processor's vectors; where it is installed (extra
`[fast]`) it is used, and hashlib elsewhere. Both give the same hashes: a library that fails to at import is left alone.

Pure: bytes in, bytes out. Which way is used is all this file remembers, and changes no result.

Source: FIPS 180-4 (SHA-256); RFC 6962, section 2.1 (what stands before a leaf, and before the two halves of a node).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from struct import Struct
from typing import Protocol, Self, cast

HASH_SIZE_BYTES = 32

EMPTY_ROOT = hashlib.sha256(b"").digest()

LEAF_PREFIX = b"\x00"

NODE_PREFIX = b"\x01"

_PAIR_SIZE_BYTES = 2 * HASH_SIZE_BYTES

_LANES = 256
"""Messages a call: as many as a tile is wide. Measured: more gain nothing, and fall out of the processor's cache."""

_LANES_MIN = 8
"""Below this, to set the lanes up costs more than they save."""


@dataclass(frozen=True, slots=True)
class Hasher:
    """One way to compute the same hashes.

    Attributes:
        name: of the library that does it.
        sha256: a message -> its SHA-256.
        leaves: entries -> the leaf hash of each, in order.
        nodes: one tree level, its hashes side by side -> the hashes above them.
    """

    name: str
    sha256: Callable[[bytes], bytes]
    leaves: Callable[[Sequence[bytes | memoryview]], list[bytes]]
    nodes: Callable[[bytes], list[bytes]]


def in_use() -> Hasher:
    """Return what this process hashes with."""
    return _in_use


def use(hasher: Hasher) -> None:
    """Hash with `hasher` from now on, in this process; for tests and benchmarks, since every way gives the same."""
    global _in_use  # chosen at import; no result depends on it
    _in_use = hasher


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one entry: SHA-256(0x00 || entry), 32 bytes.

    Source: RFC 6962, section 2.1.
    """
    return _in_use.sha256(LEAF_PREFIX + entry)


def leaf_hashes(entries: Sequence[bytes | memoryview]) -> list[bytes]:
    """Return `leaf_hash` of each entry, in order; the hot path of writing and of auditing."""
    return _in_use.leaves(entries)


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash over two neighbours: SHA-256(0x01 || left || right), 32 bytes.

    Source: RFC 6962, section 2.1.
    """
    return _in_use.sha256(NODE_PREFIX + left + right)


def node_hashes(level: bytes | Sequence[bytes]) -> list[bytes]:
    """Return the hashes one tree level up: `node_hash` of each two neighbours, in order.

    Args:
        level: hashes of 32 bytes each, side by side (which is faster) or in a sequence; a last one without a right
            neighbour is left out.
    """
    return _in_use.nodes(level if isinstance(level, bytes) else b"".join(level))


def _hashlib_sha256(message: bytes) -> bytes:
    return hashlib.sha256(message).digest()


def _hashlib_all(prefix: bytes, messages: Iterable[bytes | memoryview]) -> list[bytes]:
    """Return the hash of the prefix and each message.

    A copy of a running hash costs less than a new one, and no message is joined to its prefix. One copy lives at a
    time, so the next takes its place in memory: for nodes a tenth quicker than all copies side by side, in C's loops.
    """
    begun = hashlib.sha256(prefix).copy
    hashes: list[bytes] = []
    for message in messages:
        running = begun()
        running.update(message)
        hashes.append(running.digest())
    return hashes


def _hashlib_leaves(entries: Sequence[bytes | memoryview]) -> list[bytes]:
    return _hashlib_all(LEAF_PREFIX, entries)


def _hashlib_nodes(level: bytes) -> list[bytes]:
    hashes: list[bytes] = []
    count = len(level) // _PAIR_SIZE_BYTES
    for start in range(0, count, _LANES):
        hashes += _hashlib_all(NODE_PREFIX, _pairs(min(_LANES, count - start))(level, start * _PAIR_SIZE_BYTES))
    return hashes


@lru_cache(maxsize=_LANES)
def _pairs(count: int) -> Callable[[bytes, int], tuple[bytes, ...]]:
    """Return what takes `count` pairs of hashes out of a level at an offset, in one call."""
    return Struct(f"{_PAIR_SIZE_BYTES}s" * count).unpack_from


class _Lanes(Protocol):
    """`stringzilla.Sha256s`: a running SHA-256 in each of several lanes."""

    def update(self, chunks: Sequence[bytes | memoryview]) -> Self: ...
    def copy(self) -> Self: ...
    def digest(self) -> list[bytes]: ...


class _Library(Protocol):
    """What is used of `stringzilla`."""

    def sha256(self, text: bytes) -> bytes: ...
    def Sha256s(self, lanes: int) -> _Lanes: ...  # noqa: N802  # the library's name


def _side_by_side(library: _Library) -> Hasher:
    sha256 = library.sha256

    @lru_cache(maxsize=32)  # the prefix is hashed once for every width in use; a batch then begins with a copy
    def begun(prefix: bytes, lanes: int) -> _Lanes:
        return library.Sha256s(lanes).update([prefix] * lanes)

    def leaves(entries: Sequence[bytes | memoryview]) -> list[bytes]:
        hashes: list[bytes] = []
        for start in range(0, len(entries), _LANES):
            some = entries[start : start + _LANES]
            if len(some) < _LANES_MIN:
                hashes += [sha256(LEAF_PREFIX + entry) for entry in some]
            else:
                hashes += begun(LEAF_PREFIX, len(some)).copy().update(some).digest()
        return hashes

    def nodes(level: bytes) -> list[bytes]:
        hashes: list[bytes] = []
        count = len(level) // _PAIR_SIZE_BYTES
        for start in range(0, count, _LANES):
            width = min(_LANES, count - start)
            some = _pairs(width)(level, start * _PAIR_SIZE_BYTES)
            if width < _LANES_MIN:
                hashes += [sha256(NODE_PREFIX + pair) for pair in some]
            else:
                hashes += begun(NODE_PREFIX, width).copy().update(some).digest()
        return hashes

    return Hasher("stringzilla", sha256, leaves, nodes)


def _agree(one: Hasher, other: Hasher) -> bool:
    """Return whether both give the same around the borders of SHA-256's 64-byte blocks.

    The library picks its code by the processor it finds. A wrong hash would be signed before anybody saw it.
    """
    messages = [bytes(range(size)) for size in (0, 1, *range(52, 68), *range(116, 132), 200)]
    level = b"".join(other.leaves(messages))
    return (
        [one.sha256(message) for message in messages] == [other.sha256(message) for message in messages]
        and one.leaves(messages) == other.leaves(messages)
        and one.nodes(level) == other.nodes(level)
    )


def _installed() -> Hasher | None:
    try:
        library = cast(_Library, import_module("stringzilla"))
        found = _side_by_side(library)
        return found if _agree(found, HASHLIB) else None
    except (ImportError, AttributeError):  # absent, or older than its lanes
        return None


HASHLIB = Hasher("hashlib", _hashlib_sha256, _hashlib_leaves, _hashlib_nodes)
"""The standard library's way, always there."""

SIDE_BY_SIDE = _installed()
"""The library's way, or None where it is not installed or does not agree with hashlib."""

_in_use = SIDE_BY_SIDE or HASHLIB
