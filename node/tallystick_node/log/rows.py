"""A log's own rows: its head, and its entries as blobs.

One row of `head` a log, locked by whoever appends until its commit, so that several writers on one database take turns.
One row of `blob` a commit, or a few where it is large.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Engine, bindparam, delete, func, insert, select, update

from tallystick_ledger.tlog.blob import split_entries
from tallystick_ledger.tlog.merkle import HASH_SIZE_BYTES, Frontier
from tallystick_node.storage.database import storage_errors
from tallystick_node.storage.driver import Driver, Prepared
from tallystick_node.storage.tables import BLOBS, HEADS

BLOB_SIZE_MAX_BYTES = 1 << 20
"""A blob is cut at the next border of a tile once it is as long as this."""

DROPPED_ROWS_MAX = 256
DROPPED_SIZE_MAX_BYTES = 1 << 20
"""How much one commit deletes of what is published, so that none takes much longer than others."""

READ_ROWS_MAX = 16
"""Blobs that are read at once."""

_AT = HEADS.c.log == bindparam("log")
_LOCK_HEAD = Prepared(
    select(
        HEADS.c.size,
        HEADS.c.peaks,
        HEADS.c.published_size,
        HEADS.c.successor,
        HEADS.c.last_at_s,
        HEADS.c.contradicted_by,
    )
    .where(_AT)
    .with_for_update()
)
_ADD_HEAD = Prepared(insert(HEADS))
_MOVE_HEAD = Prepared(
    update(HEADS)
    .where(_AT)
    .values({each: bindparam(f"new_{each}") for each in ("size", "peaks", "checkpoint", "published_size", "last_at_s")})
)
_END_LOG = Prepared(update(HEADS).where(_AT).values(successor=bindparam("new_successor")))
_STOP_LOG = Prepared(update(HEADS).where(_AT).values(contradicted_by=bindparam("new_contradicted_by")))
_ADD_BLOB = Prepared(insert(BLOBS))
_OF = BLOBS.c.log == bindparam("log")
_OLDEST = Prepared(
    select(BLOBS.c.first, BLOBS.c["count"], func.length(BLOBS.c.entries))
    .where(_OF, BLOBS.c.first < bindparam("until"))
    .order_by(BLOBS.c.first)
    .limit(DROPPED_ROWS_MAX)
)
_DROP = Prepared(delete(BLOBS).where(_OF, BLOBS.c.first < bindparam("until")))


@dataclass(frozen=True, slots=True)
class LockedHead:
    """What a log's head row says.

    Attributes:
        frontier: the right edge of the log.
        published_size: how many entries its published files held, as far as the database knows.
        successor: the log that goes on where this one ended, if any.
        last_at_s: when the last entry was recorded; 0 before any.
        contradicted_by: a head that others hold of another history of the log: nothing may be appended.
        is_new: there is no row yet.
    """

    frontier: Frontier
    published_size: int = 0
    successor: str | None = None
    last_at_s: int = 0
    contradicted_by: bytes | None = None
    is_new: bool = False


def lock_head(driver: Driver, log: str) -> LockedHead:
    """Return a log's head row, locked until the transaction ends (on databases that lock rows)."""
    row = driver.run(_LOCK_HEAD, {"log": log}).fetchone()
    if row is None:
        return LockedHead(Frontier.empty(), is_new=True)
    size, peaks, published_size, successor, last_at_s, contradicted_by = row
    return LockedHead(frontier_of(size, peaks), published_size, successor, last_at_s, contradicted_by)


def frontier_of(size: int, peaks: bytes) -> Frontier:
    """Return the right edge that a head row says, its hashes side by side."""
    return Frontier(size, tuple(peaks[at : at + HASH_SIZE_BYTES] for at in range(0, len(peaks), HASH_SIZE_BYTES)))


def move_head(
    driver: Driver,
    log: str,
    after: Frontier,
    *,
    checkpoint: bytes,
    published_size: int,
    last_at_s: int,
    is_new: bool = False,
) -> None:
    """Move a log's head to a new right edge, signed; a new log gets its row."""
    moved = {
        "size": after.size,
        "peaks": b"".join(after.peaks),
        "checkpoint": checkpoint,
        "published_size": published_size,
        "last_at_s": last_at_s,
    }
    if is_new:
        driver.run(_ADD_HEAD, {"log": log, "successor": None, "contradicted_by": None, **moved})
    else:
        driver.run(_MOVE_HEAD, {"log": log, **{f"new_{name}": value for name, value in moved.items()}})


def end_log(driver: Driver, log: str, *, successor: str) -> None:
    """Write down that nothing is appended to a log any more, and which one goes on."""
    driver.run(_END_LOG, {"log": log, "new_successor": successor})


def stop_log(driver: Driver, log: str, *, contradicted_by: bytes) -> None:
    """Write down that nothing may be appended to a log any more, and the head by which others hold another history."""
    driver.run(_STOP_LOG, {"log": log, "new_contradicted_by": contradicted_by})


def add_blob(driver: Driver, log: str, *, first: int, count: int, entries: bytes) -> None:
    """Add the entries [first, first + count), side by side."""
    driver.run(_ADD_BLOB, {"log": log, "first": first, "count": count, "entries": entries})


def drop_blobs(driver: Driver, log: str, *, until: int, size_max_bytes: int = DROPPED_SIZE_MAX_BYTES) -> int:
    """Delete the oldest blobs of a log that end at or before `until`, up to a size but at least one.

    Returns:
        How many there were to delete, those that are left for a later commit included: 0 means that none is left.
    """
    oldest = driver.run(_OLDEST, {"log": log, "until": until}).fetchall()
    end, size_bytes = None, 0
    for first, count, length in oldest:
        size_bytes += length
        if first + count > until or (end is not None and size_bytes > size_max_bytes):
            break
        end = first + count
    if end is None:
        return 0
    if driver.dialect.name == "sqlite":
        # What is published is no secret, and to overwrite it with zeros would double what a commit writes.
        (secure,) = driver.run_text("PRAGMA secure_delete").fetchone()
        driver.run_text("PRAGMA secure_delete=OFF")
        try:
            driver.run(_DROP, {"log": log, "until": end})
        finally:  # the connection lives on, and erases people next
            driver.run_text(f"PRAGMA secure_delete={int(secure)}")
    else:
        driver.run(_DROP, {"log": log, "until": end})
    return len(oldest)


def stored_entries(engine: Engine, log: str, start: int, end: int) -> Iterator[bytes]:
    """Yield the committed entries [start, end) of a log, a few blobs at a time.

    Raises:
        LookupError: the database does not hold them all.
        StorageUnavailable: it cannot be read.
    """
    while start < end:
        before = start
        for first, count, raw in _blobs_from(engine, log, start, end):
            if first <= start < first + count:
                entries = split_entries(raw, count=count)[start - first : end - first]
                start += len(entries)
                yield from entries
        if start == before:
            raise LookupError(f"The database does not hold entry {start}.")


def _blobs_from(engine: Engine, log: str, start: int, end: int) -> list[tuple[int, int, bytes]]:
    """Return the blob that holds an entry, and a few behind it; nothing, or others, where none holds it."""
    before = select(func.max(BLOBS.c.first)).where(BLOBS.c.log == log, BLOBS.c.first <= start).scalar_subquery()
    statement = (
        select(BLOBS.c.first, BLOBS.c["count"], BLOBS.c.entries)
        .where(BLOBS.c.log == log, BLOBS.c.first >= func.coalesce(before, start), BLOBS.c.first < end)
        .order_by(BLOBS.c.first)
        .limit(READ_ROWS_MAX)
    )
    with storage_errors(), engine.connect() as connection:
        return [(row[0], row[1], row[2]) for row in connection.execute(statement)]
