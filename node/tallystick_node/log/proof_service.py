"""The proof service: what is asked about the published log, proven against its published head from its own tiles.

Tiles used last are kept in memory, bounded in bytes and shared by all requests; a proof reads no entry but those it
is asked for. Each answer names the head it leads to, so that whoever asks checks one signature however much it got.

Source: RFC 6962 section 2.1 (inclusion, consistency), draft-ietf-plants-merkle-tree-certs (subtrees),
transparency-dev/merkle compact ranges (ranges).
"""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tallystick.wire import (
    PROVEN_MAX,
    Consistency,
    EntryProof,
    EntryRange,
    Inclusion,
    Inclusions,
    SubtreeProof,
)
from tallystick_ledger.encoding import to_base64
from tallystick_ledger.errors import TileMalformed
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.merkle import Prover
from tallystick_ledger.tlog.proof import InclusionProof
from tallystick_ledger.tlog.reader import TileCache, TileReader
from tallystick_ledger.tlog.subtree import prove_subtree_consistency, subtree_hash
from tallystick_node.errors import AskedTooMuch, NotPublished, log_unreadable
from tallystick_node.log.publisher import Publisher

CACHE_SIZE_MAX_BYTES = 64 * 1024 * 1024
"""The memory that kept tiles take, at most; a log of a million entries has tiles of that size."""

ENTRIES_SIZE_MAX_BYTES = 4 * 1024 * 1024
"""The entries of one answer; with what JSON escapes of them it stays within what a client takes."""


@dataclass(frozen=True, slots=True)
class _Served:
    """A head, and what proves against it.

    Attributes:
        note: the head as it is served, signed.
    """

    head: Checkpoint
    note: bytes
    read: TileReader
    prover: Prover


class Pinned:
    """Proofs that all lead to one head, whatever is published meanwhile.

    Attributes:
        size: entries under that head.
        checkpoint: the head as it is served, signed.
    """

    def __init__(self, service: "ProofService", served: _Served) -> None:
        """Prove by `service` against what it served once."""
        self._service, self._served = service, served
        self.size, self.checkpoint = served.head.size, served.note.decode()

    def inclusions(self, indexes: Sequence[int]) -> tuple[Inclusion, ...]:
        """Return entries below `size`, each with its proof; at most 256.

        Raises:
            AskedTooMuch, LogUnreadable: as `ProofService.inclusions`.
        """
        return self._service.inclusions_under(self._served, indexes, with_entries=True).inclusions


class ProofService:
    """Proves against the published head of one log; for any number of threads."""

    def __init__(self, publisher: Publisher, *, cache_size_max_bytes: int = CACHE_SIZE_MAX_BYTES) -> None:
        """Prove what `publisher` has published, and keep tiles of that many bytes."""
        self._publisher = publisher
        self._cache = TileCache(cache_size_max_bytes, lock=threading.Lock())
        self._last: _Served | None = None

    def entry(self, index: int) -> EntryProof | None:
        """Return a published entry with its proof as a file; None before the published head covers it.

        Raises:
            LogUnreadable: a file of the published log is missing or damaged, or its store does not answer.
        """
        served = self._served()
        if not 0 <= index < served.head.size:
            return None
        with _reading():
            (entry,) = self._entries(served, [index])
            proof = InclusionProof(index, tuple(served.prover.inclusion(index)), served.note, None)
        return EntryProof(index=index, entry=entry, proof=proof.encode().decode())

    def inclusions(self, indexes: Sequence[int], *, with_entries: bool) -> Inclusions:
        """Return the inclusion proofs of several leaves, and their entries where these are asked for.

        Raises:
            AskedTooMuch: more leaves than an answer has room for, or larger entries.
            NotPublished: the published head does not cover one of them.
            LogUnreadable: a file of the published log is missing or damaged, or its store does not answer.
        """
        return self.inclusions_under(self._served(), indexes, with_entries=with_entries)

    def pinned(self) -> Pinned:
        """Return what proves against the head that is published now, and goes on with that one."""
        return Pinned(self, self._served())

    def inclusions_under(self, served: _Served, indexes: Sequence[int], *, with_entries: bool) -> Inclusions:
        """Return what `inclusions` does, against a head that was published before."""
        _require_few(len(indexes))
        if not all(0 <= index < served.head.size for index in indexes):
            raise _not_published(served)
        with _reading():
            entries = self._entries(served, indexes) if with_entries else [None] * len(indexes)
            proven = tuple(
                Inclusion(index=index, hashes=_texts(served.prover.inclusion(index)), entry=entry)
                for index, entry in zip(indexes, entries, strict=True)
            )
        return Inclusions(checkpoint=served.note.decode(), inclusions=proven)

    def range(self, start: int, end: int) -> EntryRange:
        """Return the entries [start, end), with one proof for all of them.

        Raises:
            AskedTooMuch: more entries than an answer has room for, or larger ones.
            NotPublished: there are none, or the published head does not cover them.
            LogUnreadable: a file of the published log is missing or damaged, or its store does not answer.
        """
        _require_few(end - start)
        served = self._served()
        if not 0 <= start < end <= served.head.size:
            raise _not_published(served)
        with _reading():
            entries = self._entries(served, range(start, end))
            hashes = _texts(served.prover.range(start, end))
        return EntryRange(checkpoint=served.note.decode(), start=start, entries=tuple(entries), hashes=hashes)

    def consistency(self, old_size: int, new_size: int | None) -> Consistency:
        """Return the proof that the log of one size is the start of it at another, the published one where it is None.

        Raises:
            NotPublished: the sizes are in the wrong order, or beyond the published head.
            LogUnreadable: a file of the published log is missing or damaged, or its store does not answer.
        """
        served = self._served()
        until = served.head.size if new_size is None else new_size
        if not 0 < old_size <= until <= served.head.size:
            raise _not_published(served)
        with _reading():
            prover = served.prover if until == served.head.size else Prover(until, served.read)
            hashes = _texts(prover.consistency(old_size))
        return Consistency(checkpoint=served.note.decode(), old_size=old_size, new_size=until, hashes=hashes)

    def subtree(self, start: int, end: int) -> SubtreeProof:
        """Return the hash of the subtree over leaves [start, end), with the proof that it stands in the tree.

        Raises:
            BadInput: the leaves are no subtree.
            NotPublished: the published head does not cover them.
            LogUnreadable: a file of the published log is missing or damaged, or its store does not answer.
        """
        served = self._served()
        if end > served.head.size:
            raise _not_published(served)
        with _reading():
            subtree = subtree_hash(start, end, served.read)
            hashes = prove_subtree_consistency(start, end, size=served.head.size, read=served.read)
        return SubtreeProof(
            checkpoint=served.note.decode(), start=start, end=end, hash=to_base64(subtree), hashes=_texts(hashes)
        )

    def _served(self) -> _Served:
        """Return the published head as of now; a request works with one, whatever is published meanwhile."""
        head, note = self._publisher.published
        served = self._last
        if served is None or served.note != note:
            read = self._reader(head.size)
            served = self._last = _Served(head, note, read, Prover(head.size, read))
        return served

    def _reader(self, size: int) -> TileReader:
        return TileReader(self._fetch, size, cache=self._cache)

    def _fetch(self, path: str) -> bytes:
        raw = self._publisher.file(path)
        if raw is None:
            raise LookupError(path)
        return raw

    def _entries(self, served: _Served, indexes: Sequence[int]) -> list[str]:
        """Return published entries as text, read bundle by bundle."""
        read, left_bytes = self._reader(served.head.size), ENTRIES_SIZE_MAX_BYTES
        entries: list[str] = []
        for index in indexes:
            raw = read.entry(index)
            left_bytes -= len(raw)
            if left_bytes < 0:
                raise AskedTooMuch("These entries are larger than one answer may be.", remedy="Ask for fewer at once.")
            entries.append(raw.decode())
        return entries


@contextmanager
def _reading() -> Generator[None]:
    """Say what is ours to mend: a published file that is gone, or not what was written, is no mistake of the caller."""
    try:
        yield
    except (LookupError, TileMalformed) as error:
        raise log_unreadable() from error


def _require_few(count: int) -> None:
    if count > PROVEN_MAX:
        raise AskedTooMuch(f"An answer proves {PROVEN_MAX} entries at most.", remedy="Ask for fewer at once.")


def _not_published(served: _Served) -> NotPublished:
    return NotPublished(
        "The published head does not cover what was asked for, or sizes are in the wrong order.",
        remedy=f"The published log has {served.head.size} entries; ask for what is in it, or again when it has grown.",
    )


def _texts(hashes: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(to_base64(each) for each in hashes)
