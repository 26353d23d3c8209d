"""Benchmarks of the audit: a local log's integrity, by two processes, with the batch-hashing library and without; and
every rule over the entries of a month."""

import multiprocessing
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from bench import logs, months, resident
from bench.harness import Contest, Size, benchmark, rate, require
from bench.peers import hashing as floor
from tallystick.audit import Asked, Crew, DirectorySource, Overflow, open_crew
from tallystick.audit import audit as run_audit
from tallystick.audit.findings import Findings
from tallystick.audit.integrity import TreeCheck, check_head
from tallystick_ledger.tlog import hashing
from tallystick_ledger.tlog.hashing import HASHLIB, SIDE_BY_SIDE, Hasher
from tallystick_ledger.tlog.tiles import BundlePath, paths_for

PROCESSES = 2

MEMORY_MAX_MB = 200

AMPLE_MB = 1_000
"""Room for all that an audit of some months remembers."""


@benchmark("ledger.audit", unit="entries/s", count=1_000_000)
def audit(size: Size) -> Generator[Contest]:
    """Audit a log's integrity from its files: signatures, every bundle, every tile, the root, no file more."""
    require(SIDE_BY_SIDE is not None, "The batch-hashing library is not installed; ledger.audit_hashlib does without.")
    yield from _contest(size, SIDE_BY_SIDE or HASHLIB)


@benchmark("ledger.audit_hashlib", unit="entries/s", count=1_000_000)
def audit_hashlib(size: Size) -> Generator[Contest]:
    """Audit the same with the standard library's hashing alone."""
    yield from _contest(size, HASHLIB)


@benchmark("consent.audit", unit="entries/s", count=400_000)
def audit_consent(size: Size) -> Generator[Contest]:
    """Audit the ledgers of two partners over a month: integrity, every rule replayed, each held against the other.

    The work is done by two processes beside the auditor's own, which waits for them and replays.
    """
    members = max(1, size.count // months.ENTRIES_A_MEMBER)
    kinds: Counter[str] = Counter()
    with logs.folder() as path, open_crew(workers=PROCESSES) as crew:
        folders = _month(path, members)
        # The pool's processes start before anything is measured.
        count = sum(_replayed(folders, Asked(crew=crew), kinds))
        shares = {kind: round(each / count, 3) for kind, each in sorted(kinds.items())}

        def check() -> None:
            require(sum(_replayed(folders, Asked(crew=crew), Counter())) == count, "The audit read other entries.")

        def check_alone() -> None:
            require(sum(_replayed(folders, Asked(), Counter())) == count, "The audit read other entries.")

        conditions: dict[str, object] = {
            "entries": count,
            "shares": shares,
            "ours": "two processes that read, hash and settle entries, and the auditor's own, which replays them",
            "theirs": "the auditor's process does all of it",
            "replayed": "every rule; both ledgers held against each other",
            "remembered": f"all in memory (--memory {AMPLE_MB})",
            "files": "in the page cache",
        }
        yield Contest(
            lambda: rate(count, check), "the same audit, one process", lambda: rate(count, check_alone), conditions
        )


@benchmark("consent.audit_memory", unit="MB", count=1_000_000)
def audit_memory(size: Size) -> Generator[Contest]:
    """Measure what an audit of two partners' ledgers over a month holds in memory at most, in one process.

    It is told to take 200 MB, as `tally audit` does of itself, and puts into a temporary file what has no room.
    """
    with logs.folder() as path:
        folders = _month(path, max(1, size.count // months.ENTRIES_A_MEMBER))

        def ours() -> float:
            return float(resident.told("bench.audited", MEMORY_MAX_MB, *folders)["resident_max_bytes"]) / 1e6

        yield Contest(
            ours,
            f"a limit of {MEMORY_MAX_MB} MB",
            lambda: MEMORY_MAX_MB,
            {"ours": "resident at its highest, of a process that replays every rule over all entries"},
        )


def _month(path: Path, members: int) -> list[Path]:
    """Write the ledgers of two partners over a month below `path`; return their folders."""
    folders: list[Path] = []
    for origin, raws in months.month(members):
        folders.append(path / origin.partition("/")[0])
        logs.write_log(folders[-1], raws, origin=origin, now_s=months.SIGNED_S)
    return folders


def _replayed(folders: Sequence[Path], asked: Asked, kinds: Counter[str]) -> list[int]:
    """Return how many entries of each log were audited; add how many of each kind to `kinds`."""
    with Overflow.within(AMPLE_MB) as overflow:
        sources = [DirectorySource(str(folder / "log")) for folder in folders]
        report = run_audit(sources, asked=replace(asked, overflow=overflow))
    require(report.holds, "The audit finds something wrong with ledgers that hold.")
    require(all(source.replayed and not source.unchecked for source in report.sources), "Entries were not replayed.")
    for source in report.sources:
        kinds.update(source.entries)
    return [sum(source.entries.values()) for source in report.sources]


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


BENCHMARKS = (audit, audit_hashlib, audit_consent, audit_memory)
