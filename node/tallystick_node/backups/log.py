"""The entries of a node's logs in its backup: all of them, also those that lie in the published files alone.

A node that keeps no published entries (`keeps_published_entries = false`) has the older ones in its bundles and nowhere
else. They go into the backup as rows like the others, and are put back as such: the published files are then made of
them where they are missing, and the node drops them again once it has published them.

Whoever writes a backup, and whoever puts one back, hashes every entry and holds them to the head's own peaks: one that
is lost, or was changed, is found while the original may still be mended.

Source: LEDGER-FORMATS (bundles), RFC 6962 section 2.1, docs/formats.md, "Data backups".
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tallystick_ledger.errors import TallyError
from tallystick_ledger.tlog.blob import join_entries, split_entries
from tallystick_ledger.tlog.hashing import leaf_hashes
from tallystick_ledger.tlog.head import parse_checkpoint_body
from tallystick_ledger.tlog.merkle import Frontier
from tallystick_ledger.tlog.note import unchecked_text
from tallystick_ledger.tlog.tiles import CHECKPOINT, TILE_WIDTH, BundlePath, decode_bundle
from tallystick_node.errors import BackupRefused
from tallystick_node.log.rows import frontier_of
from tallystick_node.log.store import LogStore
from tallystick_node.storage.tables import BLOBS, HEADS

READS_MAX = 8
"""How often a bundle is looked for: while the node publishes, its last one becomes wider and goes by another name."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries side by side, as a row of `blob` has them."""

    first: int
    count: int
    raw: bytes


def published_entries(store: LogStore, end: int) -> Iterator[Entries]:
    """Yield the entries [0, end) of a log from its published files, a bundle at a time.

    Raises:
        BackupRefused: they are not there.
        OSError: the files cannot be read.
    """
    size = 0
    for first in range(0, end, TILE_WIDTH):
        index, count = first // TILE_WIDTH, min(TILE_WIDTH, end - first)
        for _ in range(READS_MAX):
            if size < first + TILE_WIDTH:
                size = _published_size(store)
            entries = _bundle(store, index, min(TILE_WIDTH, size - first)) if size >= first + count else None
            if entries is not None:
                break
        else:
            raise _damaged("")
        yield Entries(first, count, join_entries(entries[:count]))


class WholeLogs:
    """Looks at the rows of a database as they go by, in order; says at the end whether all entries were among them."""

    def __init__(self) -> None:
        """Begin with no entry."""
        self._seen: dict[str, Frontier] = {}
        self._heads: dict[str, Frontier] = {}

    def look(self, table: str, row: Mapping[str, Any]) -> None:
        """Look at a row.

        Raises:
            BackupRefused: it holds entries that do not follow those before.
        """
        if table == BLOBS.name:
            log = row.get("log", "")  # it had no name in the first version
            before = self._seen.get(log, Frontier.empty())
            if row["first"] != before.size:
                raise _damaged(log)
            try:
                entries = split_entries(row["entries"], count=row["count"])
            except TallyError as error:
                raise _damaged(log) from error
            self._seen[log] = before.extend(leaf_hashes(entries))
        elif table == HEADS.name:
            self._heads[row.get("log", "")] = frontier_of(row["size"], row["peaks"])

    def require(self) -> None:
        """Return quietly if every entry of every log was there, as it was committed.

        Raises:
            BackupRefused: one was not.
        """
        for log, head in self._heads.items():
            if self._seen.get(log, Frontier.empty()) != head:
                raise _damaged(log)


Look: TypeAlias = Callable[[str, dict[str, Any]], None]
"""Takes the name of a table and a row of it, which it may change before it goes on."""


def _published_size(store: LogStore) -> int:
    """Return how many entries the published files hold by now; what lies beyond may not be whole."""
    try:
        return parse_checkpoint_body(unchecked_text(store.read(CHECKPOINT))).size
    except LookupError:
        return 0


def _bundle(store: LogStore, index: int, width: int) -> list[bytes] | None:
    """Return the entries of a bundle; None where it is none, or not there any more since a wider one is."""
    try:
        return decode_bundle(store.read(BundlePath(index, width).path), count=width)
    except (LookupError, TallyError):
        return None


def _damaged(log: str) -> BackupRefused:
    return BackupRefused(
        "backup_log_damaged",
        f"Entries of the log {log} are missing, or are not what was committed."
        if log
        else "Entries that lie in the published files alone are missing there.",
        remedy="Mend the log's files from a copy (tally audit says which), or take or use another backup.",
    )
