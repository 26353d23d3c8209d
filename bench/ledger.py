"""Benchmarks of the ledger: auditing it."""

import multiprocessing
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench import logs
from bench.harness import Contest, Size, benchmark, rate, require
from bench.peers import hashing
from tallystick.audit import DirectorySource
from tallystick.audit.findings import Findings
from tallystick.audit.integrity import TreeCheck, check_head
from tallystick_ledger.tlog.tiles import BundlePath, paths_for


@benchmark("ledger.audit", unit="entries/s", count=100_000)
def audit(size: Size) -> Generator[Contest]:
    """Audit a log's integrity from its files: signatures, every bundle, every tile, the root, no file more."""
    with logs.folder() as path:
        raws = logs.entries(size.count)
        logs.write_log(path, raws)
        log, root = path / "log", hashing.levels_of(raws)[-1][0]
        entry_size_bytes = len(raws[0])
        del raws
        bundles = [log / place.path for place in paths_for(size.count) if isinstance(place, BundlePath)]
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:

            def floor() -> None:
                found = hashing.root_of_files(bundles, pool, processes=2)
                require(found == root, "The floor finds another root.")

            floor()  # the pool's processes start before anything is measured
            yield Contest(
                lambda: rate(size.count, lambda: _check_integrity(log, size=size.count, root=root)),
                "hashing floor, two processes",
                lambda: rate(size.count, floor),
                {
                    "entry_bytes": entry_size_bytes,
                    "ours": "one process; rules over the entries are not replayed",
                    "theirs": "bundles read and hashed to the root; no tile, no signature",
                    "files": "in the page cache",
                },
            )


def _check_integrity(log: Path, *, size: int, root: bytes) -> None:
    source = DirectorySource(str(log))
    found = Findings(source.where)
    head = check_head(source, found)
    require(head is not None and head.checkpoint.root == root, "The log has another head.")
    reached = TreeCheck(source, size, found).run(lambda _: None, lambda *_: None)
    require(reached == root and not found.all(), "The audit finds something wrong with a log that holds.")


BENCHMARKS = (audit,)
