"""Who does the work of an audit: this process, others beside it, or a cluster.

Source: `concurrent.futures.Executor` (PEP 3148), which dask.distributed's client speaks as well.
"""

import os
from collections.abc import Generator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from typing import Any

from tallystick.audit.collecting import without_collecting
from tallystick.audit.integrity.span import Checked, Span, check_span
from tallystick.audit.integrity.turns import short_turns
from tallystick.audit.source import CHECKPOINT, AuditNotRun, Files
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES

REPLAYED_MIN = 50_000
HASHED_MIN = 2_000_000
"""A log shorter than this is done before the first process has started: where entries are replayed, or only hashed."""

WORKERS_MAX = 1024

CONNECT_TIMEOUT_S = 20

BEHIND = 5
"""How much less urgent than the auditor's process its workers are, in steps of POSIX `nice`."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Who checks the spans of a log.

    Attributes:
        executor: gets them; None where the auditor's process does all of it.
        ahead: how many spans may be on their way at once, so that memory has a bound.
        replayed_min: the shortest log that is worth it, where its entries are replayed.
        hashed_min: the shortest, where they are only hashed.
        lost: what the executor raises where whoever had a span is gone.
    """

    executor: Executor | None = None
    ahead: int = 1
    replayed_min: int = 0
    hashed_min: int = 0
    lost: tuple[type[Exception], ...] = (BrokenExecutor, CancelledError, OSError)

    def start(self, files: Files, span: Span) -> "Future[Checked]":
        """Give a span away.

        Raises:
            AuditNotRun: there is nobody left to do it; or, where this process does it, the files cannot be read.
        """
        if self.executor is None:
            done: Future[Checked] = Future()
            done.set_result(check_span(files, span))
            return done
        try:
            return self.executor.submit(check_elsewhere, files, span)
        except self.lost as error:
            raise _left(error) from error
        except RuntimeError as error:  # it was shut down
            raise _left(error) from error

    def finish(self, started: "Future[Checked]") -> Checked:
        """Return what came of a span that was given away.

        Raises:
            AuditNotRun: the files could not be read, or whoever had the span is gone.
        """
        try:
            return started.result()
        except self.lost as error:
            raise _left(error) from error


class FolderNotSeen(OSError):
    """Whoever does a part of an audit has no such folder as the auditor: that accuses no log."""


def check_elsewhere(files: Files, span: Span) -> Checked:
    """Return what `check_span` does, in another process, perhaps on another machine.

    Raises:
        FolderNotSeen: the log's files are not to be seen from there.
    """
    if files.read(CHECKPOINT, size_max_bytes=NOTE_SIZE_MAX_BYTES) is None:
        raise FolderNotSeen
    with without_collecting():
        return check_span(files, span)


ALONE = Crew()
"""The auditor's process does all the work itself."""


@contextmanager
def open_crew(*, workers: int | None = None, dask: str | None = None) -> Generator[Crew]:
    """Give the crew that does an audit's work, and send it home afterwards, whatever is left undone.

    Args:
        workers: processes beside this one, 0 for none; None for one a core, where a log is long enough to be worth it.
        dask: address of a Dask scheduler, such as `tcp://10.0.0.1:8786`; its workers must see the logs' folders under
            the same paths, and run this version.

    Raises:
        AuditNotRun: there are too many workers to be meant, or the scheduler cannot be reached.
    """
    if dask is not None:
        with _dask_crew(dask) as crew, short_turns():
            yield crew
        return
    count = (os.cpu_count() or 1) if workers is None else workers
    if not 0 <= count <= WORKERS_MAX:
        raise AuditNotRun("There are too many workers, or fewer than none.", remedy=f"Give 0 to {WORKERS_MAX}.")
    if count < 1 or (workers is None and count < 2):
        yield ALONE
        return
    # Begun anew and not forked: a fork would copy the threads' locks of whoever audits, in whatever state they are.
    executor = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_step_back)
    try:
        with short_turns():
            if workers is None:
                yield Crew(executor, ahead=3 * count, replayed_min=REPLAYED_MIN, hashed_min=HASHED_MIN)
            else:
                yield Crew(executor, ahead=3 * count)
    finally:
        executor.shutdown(cancel_futures=True)


def _step_back() -> None:
    """Leave the processor to the auditor's process where there is not one for each: all wait for what it replays."""
    if hasattr(os, "nice"):
        os.nice(BEHIND)


@contextmanager
def _dask_crew(address: str) -> Generator[Crew]:
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise AuditNotRun(
            "Dask is not installed.", remedy="Install it with: pip install 'tallystick[scale]'"
        ) from error
    try:
        client = distributed.Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:  # how `distributed` refuses an address it cannot use
        raise AuditNotRun(
            f"A Dask scheduler cannot be reached ({type(error).__name__}).",
            remedy="Check its address, and that it runs.",
        ) from error
    with client:
        count = len(client.nthreads())
        if count == 0:
            raise AuditNotRun("A Dask cluster has no workers.", remedy="Start some, then audit again.")
        with client.get_executor(pure=False) as executor:
            yield Crew(executor, ahead=3 * count, lost=(*ALONE.lost, distributed.KilledWorker))


def _left(error: BaseException) -> AuditNotRun:
    return AuditNotRun(
        f"Whoever did a part of the audit is gone ({type(error).__name__}).",
        remedy="Look what became of the workers, then audit again; with --since it goes on where it was saved.",
    )
