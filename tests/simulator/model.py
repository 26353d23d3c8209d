"""What must be true of a log, worked out apart from the product: with `hashlib` and the definitions alone.

A history is a list of entries, and a chain of hashes over them, by which two histories are compared at any length.
Every head that the log signed is known by the history it stands for. A head that is of none, or of another one than it
says, is a breach; so is a pair of heads of one log that no one history has.
"""

import base64
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field


class Breach(AssertionError):
    """A promise was broken."""


@dataclass
class History:
    """Entries in order, as far as they were ever committed together."""

    entries: list[bytes] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    chain: list[bytes] = field(default_factory=list)
    _complete: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def extend(self, entries: Sequence[bytes]) -> None:
        """Add entries."""
        for entry in entries:
            leaf = hashlib.sha256(b"\x00" + entry).digest()
            self.entries.append(entry)
            self.leaves.append(leaf)
            self.chain.append(hashlib.sha256((self.chain[-1] if self.chain else b"") + leaf).digest())

    def root(self, size: int) -> bytes:
        """Return the Merkle tree hash of the first `size` entries (RFC 6962, section 2.1)."""
        return self._hash(0, size) if size else hashlib.sha256(b"").digest()

    def complete(self, start: int, end: int) -> bytes:
        """Return the hash of a complete subtree over the leaves [start, end)."""
        return self._hash(start, end)

    def _hash(self, start: int, end: int) -> bytes:
        if end - start == 1:
            return self.leaves[start]
        known = self._complete.get((start, end))
        if known is None:
            split = 1 << (end - start - 1).bit_length() - 1
            known = _node(self._hash(start, start + split), self._hash(start + split, end))
            if split * 2 == end - start:  # a complete subtree never changes
                self._complete[start, end] = known
        return known

    def begins_with(self, other: "History", size: int) -> bool:
        """Whether both have the same first `size` entries."""
        return size == 0 or (
            min(len(self.chain), len(other.chain)) >= size and self.chain[size - 1] == other.chain[size - 1]
        )


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Head:
    """A head that was signed: of which history, and how long it was."""

    size: int
    history: History


def check_one_tree(heads: Sequence[Head], new: Head, *, whose: str) -> None:
    """Return quietly if `new` and every one of `heads` are heads of one tree.

    Raises:
        Breach: they are not.
    """
    for head in heads:
        if not new.history.begins_with(head.history, min(head.size, new.size)):
            raise Breach(f"{whose} has heads of {head.size} and {new.size} entries that no one log has")


def check_published(files: dict[str, bytes], history: History) -> int:
    """Return the size of the published log, once every file that its head covers is shown to be whole.

    Raises:
        Breach: a bundle or a tile of leaves is missing, or is not what the history has.
    """
    note = files.get("checkpoint")
    if note is None:
        return 0
    _, size_text, root_text, *_ = note.split(b"\n")
    size = int(size_text)
    if size > len(history.entries):
        raise Breach("a head is published of more than was committed")
    for first in range(0, size, 256):
        index, width = first // 256, min(256, size - first)
        name = f"{index:03}" if width == 256 else f"{index:03}.p/{width}"
        full = f"{index:03}"
        bundle = files.get(f"tile/entries/{name}", files.get(f"tile/entries/{full}", b""))
        tile = files.get(f"tile/0/{name}", files.get(f"tile/0/{full}", b""))
        expected = b"".join(struct.pack(">H", len(each)) + each for each in history.entries[first : first + width])
        if bundle[: len(expected)] != expected:
            raise Breach(f"the bundle {index} of a published head is not whole")
        if tile[: 32 * width] != b"".join(history.leaves[first : first + width]):
            raise Breach(f"the tile {index} of a published head is not whole")
    for index in range(size // 256):
        width = size // 256
        above = files.get(f"tile/1/000.p/{width}", b"")
        if above[32 * index : 32 * index + 32] != history.complete(256 * index, 256 * index + 256):
            raise Breach("the tile above the leaves of a published head is not whole")
    if root_text != base64.b64encode(history.root(size)):
        raise Breach("a published head has another root than its entries lead to")
    return size
