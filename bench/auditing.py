"""Benchmarks of the audit: a local log's integrity, by two processes, with the batch-hashing library and without."""

import multiprocessing
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench import logs
from bench.harness import Contest, Size, benchmark, rate, require
from bench.peers import hashing as floor
from tallystick.audit import Crew, DirectorySource
from tallystick.audit.findings import Findings
from tallystick.audit.integrity import TreeCheck, check_head
from tallystick_ledger.tlog import hashing
from tallystick_ledger.tlog.hashing import HASHLIB, SIDE_BY_SIDE, Hasher
from tallystick_ledger.tlog.tiles import BundlePath, paths_for

PROCESSES = 2


@benchmark("ledger.audit", unit="entries/s", count=1_000_000)
def audit(size: Size) -> Generator[Contest]:
    """Audit a log's integrity from its files: signatures, every bundle, every tile, the root, no file more."""
    require(SIDE_BY_SIDE is not None, "The batch-hashing library is not installed; ledger.audit_hashlib does without.")
    yield from _contest(size, SIDE_BY_SIDE or HASHLIB)


@benchmark("ledger.audit_hashlib", unit="entries/s", count=1_000_000)
def audit_hashlib(size: Size) -> Generator[Contest]:
    """Audit the same with the standard library's hashing alone."""
    yield from _contest(size, HASHLIB)


def _contest(size: Size, hasher: Hasher) -> Generator[Contest]:
    fork = multiprocessing.get_context("fork")
    with (
        logs.folder() as path,
        ProcessPoolExecutor(PROCESSES, mp_context=fork) as theirs,
        ProcessPoolExecutor(PROCESSES, mp_context=fork, initializer=hashing.use, initargs=(hasher,)) as ours,
    ):
        raws = logs.entries(size.count)
        logs.write_log(path, raws)
        log, root, entry_size_bytes = path / "log", floor.levels_of(raws)[-1][0], len(raws[0])
        del raws
        bundles = [log / place.path for place in paths_for(size.count) if isinstance(place, BundlePath)]
        crew = Crew(ours, ahead=3 * PROCESSES)

        def stream() -> None:
            found = floor.root_of_files(bundles, theirs, processes=PROCESSES)
            require(found == root, "The floor finds another root.")

        def check() -> None:
            _check_integrity(log, size=size.count, root=root, crew=crew)

        for warm in (stream, check):  # the pools' processes start before anything is measured
            warm()
        yield Contest(
            lambda: rate(size.count, check),
            "hashing floor, two processes",
            lambda: rate(size.count, stream),
            {
                "entry_bytes": entry_size_bytes,
                "hashing": hasher.name,
                "ours": "two processes and the one that waits for them; rules over the entries are not replayed",
                "theirs": "bundles read and hashed to the root with hashlib; no tile, no signature",
                "files": "in the page cache",
            },
        )


def _check_integrity(log: Path, *, size: int, root: bytes, crew: Crew) -> None:
    source = DirectorySource(str(log))
    found = Findings(source.where)
    head = check_head(source, found)
    require(head is not None and head.checkpoint.root == root, "The log has another head.")
    reached = TreeCheck(source, size, found, crew=crew).run(lambda _: None, lambda *_: None)
    require(reached == root and not found.all(), "The audit finds something wrong with a log that holds.")


BENCHMARKS = (audit, audit_hashlib)
