"""Benchmarks of the ledger: auditing it, and proving that an entry is in it."""

import multiprocessing
import random
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench import logs
from bench.harness import Contest, Size, benchmark, rate, require
from bench.peers import hashing
from tallystick.audit import DirectorySource
from tallystick.audit.findings import Findings
from tallystick.audit.integrity import TreeCheck, check_head
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.merkle import prove_inclusion
from tallystick_ledger.tlog.proof import InclusionProof, check_entry
from tallystick_ledger.tlog.tiles import BundlePath, paths_for

PROOFS = 5_000
"""How many leaves a turn proves or checks, whatever the size of the log."""


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


@benchmark("ledger.prove_warm", unit="proofs/s", count=100_000)
def prove_warm(size: Size) -> Generator[Contest]:
    """Prove random entries of a log from its tiles, all of which the reader has parsed before."""
    with logs.folder() as path:
        raws = logs.entries(size.count)
        reader = logs.write_log(path, raws)
        levels = hashing.levels_of(raws)
        indexes = _some_indexes(size.count)

        def ours() -> list[list[bytes]]:
            return [prove_inclusion(index, size=size.count, read=reader) for index in indexes]

        def theirs() -> list[list[bytes]]:
            return [hashing.path_of(levels, index) for index in indexes]

        require(ours() == theirs(), "The floor proves otherwise.")
        yield Contest(
            lambda: rate(PROOFS, ours),
            "levels in memory",
            lambda: rate(PROOFS, theirs),
            {"proofs": PROOFS, "theirs": "a floor: every hash of the tree in lists, indexed without a check"},
        )


@benchmark("ledger.verify", unit="proofs/s", count=100_000)
def verify(size: Size) -> Generator[Contest]:
    """Check inclusion proofs under a checkpoint whose signature was checked once."""
    raws = logs.entries(size.count)
    levels = hashing.levels_of(raws)
    root = levels[-1][0]
    checkpoint = Checkpoint(logs.ORIGIN, size.count, root)
    indexes = _some_indexes(size.count)
    proofs = [InclusionProof(index, tuple(hashing.path_of(levels, index)), b"-", None) for index in indexes]
    sides = [hashing.sides_of(levels, index) for index in indexes]
    shown = [raws[index] for index in indexes]

    def ours() -> None:
        for proof, raw in zip(proofs, shown, strict=True):
            check_entry(proof, entry=raw, checkpoint=checkpoint)

    def theirs() -> None:
        for proof, raw, lefts in zip(proofs, shown, sides, strict=True):
            require(hashing.leads_to(root, raw, proof.hashes, lefts), "The floor rejects a proof.")

    yield Contest(
        lambda: rate(PROOFS, ours),
        "bare hashing",
        lambda: rate(PROOFS, theirs),
        {
            "proofs": PROOFS,
            "entry_bytes": len(raws[0]),
            "ours": "leaf hash, shape and root; the proof parsed and its checkpoint opened before",
            "theirs": "a floor: the same hashes, no check of shape",
        },
    )


def _some_indexes(count: int) -> list[int]:
    chosen = random.Random(7)  # noqa: S311  # the same leaves in each run; no secret is made of it
    return [chosen.randrange(count) for _ in range(PROOFS)]


BENCHMARKS = (audit, prove_warm, verify)
