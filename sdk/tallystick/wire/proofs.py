"""Proofs against the published head, on the wire.

Source: C2SP tlog-tiles, tlog-proof.
"""

from typing import Annotated

from pydantic import Field

from tallystick.wire.base import Reply, Request
from tallystick_ledger.tlog.merkle import SIZE_MAX

PROVEN_MAX = 256
"""How many entries one answer proves; a bundle has as many."""

Place = Annotated[int, Field(ge=0, lt=SIZE_MAX)]
"""A zero-based place in the ledger."""

TreeSize = Annotated[int, Field(ge=1, le=SIZE_MAX)]


class FindInclusions(Request):
    """Ask for the proofs of several entries, by their places."""

    indexes: Annotated[list[Place], Field(min_length=1, max_length=PROVEN_MAX)]


class Inclusion(Reply):
    """The proof of one entry.

    Attributes:
        hashes: sibling hashes in base64, leaf side first (RFC 6962, section 2.1.1).
        entry: the exact text that is hashed, where it was asked for.
    """

    index: int
    hashes: tuple[str, ...]
    entry: str | None = None


class Inclusions(Reply):
    """Proofs of several entries, in the order in which they were asked for.

    Attributes:
        checkpoint: the signed head that all of them lead to.
    """

    checkpoint: str
    inclusions: tuple[Inclusion, ...]


class FindRange(Request):
    """Ask for the entries [start, end), with one proof for all."""

    start: Place
    end: TreeSize


class EntryRange(Reply):
    """Entries that stand side by side.

    Attributes:
        checkpoint: the signed head that the proof leads to.
        start: place of the first entry.
        entries: the exact texts that are hashed.
        hashes: as `tallystick_ledger.tlog.ranges` has them, in base64.
    """

    checkpoint: str
    start: int
    entries: tuple[str, ...]
    hashes: tuple[str, ...]


class FindConsistency(Request):
    """Ask for the proof that the log at one size is the start of it at another.

    Attributes:
        new_size: None: the size of the published head.
    """

    old_size: TreeSize
    new_size: TreeSize | None = None


class Consistency(Reply):
    """The proof that the log at one size is the start of it at another.

    Attributes:
        checkpoint: the published, signed head; of `new_size` where no other was asked for.
        hashes: in base64 (RFC 6962, section 2.1.2).
    """

    checkpoint: str
    old_size: int
    new_size: int
    hashes: tuple[str, ...]


class FindSubtree(Request):
    """Ask for the hash of the subtree over leaves [start, end), and that it stands in the tree."""

    start: Place
    end: TreeSize


class SubtreeProof(Reply):
    """A subtree, and the proof that it stands in the tree (draft-ietf-plants-merkle-tree-certs).

    Attributes:
        checkpoint: the signed head that the proof leads to.
        hash: of the subtree, in base64.
        hashes: of the proof, in base64.
    """

    checkpoint: str
    start: int
    end: int
    hash: str
    hashes: tuple[str, ...]
