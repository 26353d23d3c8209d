"""Benchmarks of writing a log: how fast, how that changes as it grows, and what it takes in memory and on disk.

Finished entries are handed over, each commit is durable with its head signed before the next, and the log is published
meanwhile, every 200 ms, and at the end. Proofs are made when they are asked for.
"""

import sys
from collections.abc import Generator
from itertools import cycle, islice

from bench import logs, resident, servers
from bench.harness import Contest, Size, benchmark, rate, require
from bench.peers import copies, hypercore, rows
from tallystick_ledger.tlog.blob import join_entries

DISTINCT_MAX = 50_000
"""Entries that differ; a longer log holds them again, since nothing here depends on what they say."""

SMALL = 10_000
"""Entries of the log that a large one's growth is held against."""

GROWN_BY = 50_000
"""Entries that a turn appends: enough for several publications to fall into it."""

MEMORY_MAX_MB = 200
BYTES_MAX = 48

MODULES = logs.ROOT / "build" / "bench-peers"

OURS = "finished entries; a blob and a signed head a commit; published every 200 ms and at the end"


@benchmark("ledger.append", unit="entries/s", count=100_000)
def append(size: Size) -> Generator[Contest]:
    """Append in batches, each durable before the next; the log published at the end."""
    raws = _entries(size.count)

    def theirs() -> float:
        with logs.folder() as path, rows.open_rows(path / "rows.db") as connection:
            return rate(size.count, lambda: _insert(connection, raws, size))

    yield Contest(
        lambda: _append(raws, size),
        "sqlite3",
        theirs,
        {
            "entry_bytes": len(raws[0]),
            "batch": size.batch,
            "ours": OURS,
            "theirs": "rows of the same bytes, WAL, synchronous=FULL",
        },
    )


@benchmark("ledger.append_hypercore", unit="entries/s", count=100_000)
def append_hypercore(size: Size) -> Generator[Contest]:
    """Append in batches, against hypercore's own batches."""
    raws, version = _entries(size.count), hypercore.version(MODULES)
    with logs.folder() as path:
        blocks = path / "blocks"
        blocks.write_bytes(join_entries(raws))
        turns = iter(range(sys.maxsize))

        def theirs() -> float:
            took_s = hypercore.append(MODULES, path / f"core-{next(turns)}", blocks, count=size.count, batch=size.batch)
            return size.count / took_s

        yield Contest(
            lambda: _append(raws, size),
            "npm hypercore" if version is None else f"npm hypercore {version}",
            None if version is None else theirs,
            {
                "entry_bytes": len(raws[0]),
                "batch": size.batch,
                "ours": OURS,
                "theirs": "blocks of the same bytes; it does not wait for the disk",
            },
        )


@benchmark("ledger.append_single", unit="entries/s", count=2_000)
def append_single(size: Size) -> Generator[Contest]:
    """Append one entry at a time, each acknowledged before the next is asked for."""
    raws = logs.entries(size.count)

    def ours() -> float:
        with logs.node_log() as log, log.publishing():
            return rate(size.count, lambda: [log.append_one(raw) for raw in raws])

    def theirs() -> float:
        with logs.folder() as path, rows.open_rows(path / "rows.db") as connection:
            return rate(size.count, lambda: rows.insert_rows(connection, raws, batch=1))

    yield Contest(
        ours,
        "sqlite3",
        theirs,
        {
            "entry_bytes": len(raws[0]),
            "ours": "acknowledged with its proof, one fsync each; published every 200 ms and at the end",
            "theirs": "one row a commit, WAL, synchronous=FULL",
        },
    )


@benchmark("ledger.append_postgres", unit="entries/s", count=100_000)
def append_postgres(size: Size) -> Generator[Contest]:
    """Append in batches on PostgreSQL, against plain binary COPY of the same rows."""
    raws = _entries(size.count)
    with servers.postgres() as server:
        if server is None:
            raise RuntimeError(f"No PostgreSQL: install its server, or name one in {servers.SERVER_VARIABLE}.")

        def ours() -> float:
            url = servers.fresh(server)
            try:
                return _append(raws, size, database=url)
            finally:
                servers.drop(server, url)

        def theirs() -> float:
            url = servers.fresh(server)
            try:
                with copies.open_rows(url) as connection:
                    copy = lambda: copies.copy_rows(connection, raws, count=size.count, batch=size.batch)  # noqa: E731
                    return rate(size.count, copy)
            finally:
                servers.drop(server, url)

        yield Contest(
            ours,
            "binary COPY",
            theirs,
            {
                "entry_bytes": len(raws[0]),
                "batch": size.batch,
                "ours": OURS,
                "theirs": "COPY of numbered rows of the same bytes, synchronous_commit=on",
            },
        )


@benchmark("ledger.append_growth", unit="entries/s", count=200_000)
def append_growth(size: Size) -> Generator[Contest]:
    """Append to a log of `count` entries, against one of 10,000: a ratio of 0.91 is a cost of 1.1."""
    raws = _entries(size.count)
    some = Size(GROWN_BY, size.batch)
    with logs.node_log(keeps_published=False) as large, large.publishing():
        _fill(large, raws, Size(size.count, size.batch))

        def theirs() -> float:
            with logs.node_log(keeps_published=False) as small, small.publishing():
                _fill(small, raws, Size(SMALL, size.batch))
                return rate(GROWN_BY, lambda: _fill(small, raws, some))

        yield Contest(
            lambda: rate(GROWN_BY, lambda: _fill(large, raws, some)),
            f"the same on {SMALL:,} entries",
            theirs,
            {
                "entry_bytes": len(raws[0]),
                "batch": size.batch,
                "appended": GROWN_BY,
                "ours": "finished entries; blobs dropped once they are published; published every 200 ms",
            },
        )


@benchmark("ledger.memory", unit="MB", count=200_000)
def memory(size: Size) -> Generator[Contest]:
    """Measure what a process that writes and publishes a log of `count` entries holds in memory at most."""

    def ours() -> float:
        with logs.folder() as path:
            told = resident.told("bench.measured", path, size.count, size.batch, 0)
            return float(told["resident_max_bytes"]) / 1e6

    yield Contest(
        ours,
        f"a limit of {MEMORY_MAX_MB} MB",
        lambda: MEMORY_MAX_MB,
        {"batch": size.batch, "ours": "resident at its highest, of a process that writes and publishes"},
    )


@benchmark("ledger.bytes", unit="bytes/entry", count=100_000)
def size_on_disk(size: Size) -> Generator[Contest]:
    """Measure what the published files take on disk for each entry, above the entry's own bytes."""

    def ours() -> float:
        with logs.folder() as path:
            told = resident.told("bench.measured", path, size.count, size.batch, size.count // 50)
            files = [file.stat() for file in (path / "log").rglob("*") if file.is_file()]
            return (sum(each.st_blocks * 512 for each in files) - float(told["entries_bytes"])) / float(told["entries"])

    yield Contest(
        ours,
        f"a limit of {BYTES_MAX} bytes",
        lambda: BYTES_MAX,
        {
            "batch": size.batch,
            "ours": "blocks of all published files; one entry in fifty appended alone, published every 200 ms",
        },
    )


def _append(raws: list[bytes], size: Size, *, database: str | None = None) -> float:
    with logs.node_log(database=database) as log:

        def work() -> None:
            with log.publishing():
                _fill(log, raws, size)

        measured = rate(size.count, work)
        require(log.publisher.published_size == size.count, "Not all that was appended is published.")
        return measured


def _fill(log: logs.NodeLog, raws: list[bytes], size: Size) -> None:
    """Append entries in batches, each durable before the next; begun anew where the count is larger."""
    endless = cycle(raws)
    for start in range(0, size.count, size.batch):
        log.append_finished(list(islice(endless, min(size.batch, size.count - start))))


def _insert(connection: rows.Connection, raws: list[bytes], size: Size) -> None:
    endless = cycle(raws)
    for start in range(0, size.count, size.batch):
        batch = list(islice(endless, min(size.batch, size.count - start)))
        rows.insert_rows(connection, batch, batch=len(batch))


def _entries(count: int) -> list[bytes]:
    return logs.entries(min(count, DISTINCT_MAX))


BENCHMARKS = (append, append_hypercore, append_single, append_postgres, append_growth, memory, size_on_disk)
