"""Benchmarks of proofs: that an entry is in a log, proven from its tiles, and checked under its head.

The logs here have tiles and no bundles: proofs read hashes alone. Only the entries that are shown have 400 bytes.
"""

import hashlib
import random
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from bench import logs
from bench.harness import Contest, Size, benchmark, rate, require
from bench.peers import hashing as floor
from tallystick_ledger.tlog import hashing
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.merkle import Prover
from tallystick_ledger.tlog.proof import InclusionProof, check_entry
from tallystick_ledger.tlog.reader import TileCache, TileReader
from tallystick_ledger.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, TilePath, paths_for

PROOFS = 5_000
"""How many leaves a turn proves or checks, whatever the size of the log."""

PROOFS_COLD = 500

CACHE_SIZE_BYTES = 96 * 1024 * 1024
"""What a node keeps of its tiles; those of a log of 1,000,000 take 70 MB of it."""

GROWN_FROM = 10_000

Levels = list[list[bytes]]


@benchmark("ledger.prove_warm", unit="proofs/s", count=100_000)
def prove_warm(size: Size) -> Generator[Contest]:
    """Prove random entries of a log from its tiles, with those used last kept in memory."""
    levels, indexes = _levels(size.count), _some_indexes(size.count, PROOFS)
    with _log(levels) as fetch:
        cache = TileCache(CACHE_SIZE_BYTES, lock=threading.Lock())  # as a node has it
        prover = Prover(size.count, TileReader(fetch, size.count, cache=cache))

        def theirs() -> list[list[bytes]]:
            return [floor.path_of(levels, index) for index in indexes]

        require(_prove(prover, indexes) == theirs(), "The floor proves otherwise.")
        yield Contest(
            lambda: rate(PROOFS, lambda: _prove(prover, indexes)),
            "levels in memory",
            lambda: rate(PROOFS, theirs),
            {
                "proofs": PROOFS,
                "ours": "every tile was read before; the cache is bounded in bytes",
                "cache_bytes": cache.size_bytes,
                "cache_bytes_max": CACHE_SIZE_BYTES,
                "theirs": "a floor: every hash of the tree in lists, indexed without a check",
                "hashing": hashing.in_use().name,
            },
        )


@benchmark("ledger.prove_cold", unit="proofs/s", count=100_000)
def prove_cold(size: Size) -> Generator[Contest]:
    """Prove random entries of a log from its tiles, nothing kept from one proof to the next."""
    levels, indexes = _levels(size.count), _some_indexes(size.count, PROOFS_COLD)
    with _log(levels) as fetch:

        def ours() -> list[list[bytes]]:
            return [Prover(size.count, TileReader(fetch, size.count)).inclusion(index) for index in indexes]

        def theirs() -> None:
            for index in indexes:
                for level in range(0, len(levels), TILE_HEIGHT):
                    at = index >> level + TILE_HEIGHT
                    width = min(TILE_WIDTH, (size.count >> level) - at * TILE_WIDTH)
                    if width > 0:
                        floor.levels_above(floor.split(fetch(TilePath(level // TILE_HEIGHT, at, width).path)))

        require(ours() == [floor.path_of(levels, index) for index in indexes], "The floor proves otherwise.")
        yield Contest(
            lambda: rate(PROOFS_COLD, ours),
            "bare reading and hashing",
            lambda: rate(PROOFS_COLD, theirs),
            {
                "proofs": PROOFS_COLD,
                "ours": "each proof reads its tiles and folds them anew",
                "theirs": "a floor: the leaf's own tile of each level read and folded by hashlib, no proof made",
                "files": "in the page cache",
                "hashing": hashing.in_use().name,
            },
        )


@benchmark("ledger.prove_growth", unit="proofs/s", count=1_000_000)
def prove_growth(size: Size) -> Generator[Contest]:
    """Prove random entries of a large log as of a small one, both warm, each with a cache of the same bound."""
    with _warm(size.count) as (large, in_large), _warm(GROWN_FROM) as (small, in_small):
        yield Contest(
            lambda: rate(PROOFS, lambda: _prove(large, in_large)),
            f"the same at {GROWN_FROM:,} entries",
            lambda: rate(PROOFS, lambda: _prove(small, in_small)),
            {"proofs": PROOFS, "cache_bytes_max": CACHE_SIZE_BYTES, "hashing": hashing.in_use().name},
        )


@benchmark("ledger.verify", unit="proofs/s", count=1_000_000)
def verify(size: Size) -> Generator[Contest]:
    """Check inclusion proofs under a checkpoint whose signature was checked once, with the library if it is here."""
    yield _checking(size, hashing.SIDE_BY_SIDE or hashing.HASHLIB)


@benchmark("ledger.verify_hashlib", unit="proofs/s", count=1_000_000)
def verify_hashlib(size: Size) -> Generator[Contest]:
    """The same, as where the library is not installed."""
    yield _checking(size, hashing.HASHLIB)


def _checking(size: Size, hasher: hashing.Hasher) -> Contest:
    indexes = _some_indexes(size.count, PROOFS)
    entries = dict(zip(indexes, logs.entries(PROOFS), strict=True))
    shown = [entries[index] for index in indexes]
    levels = _levels(size.count, entries)
    checkpoint = Checkpoint(logs.ORIGIN, size.count, levels[-1][0])
    proofs = [InclusionProof(index, tuple(floor.path_of(levels, index)), b"-", None) for index in indexes]
    sides = [floor.sides_of(levels, index) for index in indexes]

    def check() -> None:
        for proof, raw in zip(proofs, shown, strict=True):
            check_entry(proof, entry=raw, checkpoint=checkpoint)

    def ours() -> float:
        before = hashing.in_use()
        hashing.use(hasher)
        try:
            return rate(PROOFS, check)
        finally:
            hashing.use(before)

    def theirs() -> None:
        for proof, raw, lefts in zip(proofs, shown, sides, strict=True):
            require(floor.leads_to(checkpoint.root, raw, proof.hashes, lefts), "The floor rejects a proof.")

    return Contest(
        ours,
        "bare hashing",
        lambda: rate(PROOFS, theirs),
        {
            "proofs": PROOFS,
            "entry_bytes": len(shown[0]),
            "ours": "leaf hash, shape and root; the proof parsed and its checkpoint opened before",
            "theirs": "a floor: the same hashes by hashlib, no check of shape",
            "hashing": hasher.name,
        },
    )


def _prove(prover: Prover, indexes: list[int]) -> list[list[bytes]]:
    return [prover.inclusion(index) for index in indexes]


@contextmanager
def _warm(count: int) -> Generator[tuple[Prover, list[int]]]:
    indexes = _some_indexes(count, PROOFS)
    with _log(_levels(count)) as fetch:
        prover = Prover(count, TileReader(fetch, count, cache=TileCache(CACHE_SIZE_BYTES, lock=threading.Lock())))
        # Every tile once: random leaves alone would leave some of a large log unread.
        for index in (*range(0, count, TILE_WIDTH), *indexes):
            prover.inclusion(index)
        yield prover, indexes


@contextmanager
def _log(levels: Levels) -> Generator[Callable[[str], bytes]]:
    """Write the tiles of a tree; give what reads them."""
    with logs.folder() as path:
        for place in paths_for(len(levels[0])):
            if isinstance(place, TilePath):
                start = place.index * TILE_WIDTH
                file = path / place.path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"".join(levels[TILE_HEIGHT * place.level][start : start + place.width]))
        yield lambda name: Path(path, name).read_bytes()


def _levels(count: int, entries: dict[int, bytes] | None = None) -> Levels:
    """Return every level of a tree: these entries at their places, and leaves without any at all others."""
    leaves = [hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(count)]
    for index, raw in (entries or {}).items():
        leaves[index] = hashing.leaf_hash(raw)
    return floor.levels_above(leaves)


def _some_indexes(count: int, proofs: int) -> list[int]:
    chosen = random.Random(7)  # noqa: S311  # the same leaves in each run; no secret is made of it
    return [chosen.randrange(count) for _ in range(proofs)]


BENCHMARKS = (prove_warm, prove_cold, prove_growth, verify, verify_hashlib)
