"""Whoever does the work of an audit, one process, several, or a cluster, the report is the same."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from logs import entry_of, plain_entries, publish
from signers import NOW_S

from tallystick.audit import ALONE, Asked, AuditNotRun, Crew, DirectorySource, Report, audit, open_crew
from tallystick.audit.integrity import span, tree

ORIGIN = "gym.example/log/2027"
BIN = Path(sys.executable).parent


@pytest.fixture
def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """A span of one bundle, so that a small log has several."""
    for name in ("SPAN_BUNDLES", "REPLAYED_SPAN_BUNDLES"):
        monkeypatch.setattr(tree, name, 1)


@pytest.fixture
def wrong_all_over(tmp_path: Path) -> Path:
    """A log of eight bundles in which much is wrong, in files and in entries."""
    entries = plain_entries(2_000, origin=ORIGIN)
    entries[300] = b"{}"
    entries[700] = entry_of("event", {"commitment": "hello"}, name="free text").raw
    entries[701] = entry_of("event", {"commitment": "A" * 43}, name="early", at_s=NOW_S - 1_000).raw
    entries[1_000] = entry_of("novelty", {}, name="unknown").raw
    log = publish(tmp_path / "wrong", entries, origin=ORIGIN, sizes=(3, 600))
    (log / "tile/0/001").write_bytes(bytes(8192))
    (log / "tile/0/002.p/88").write_bytes(bytes(88 * 32))
    (log / "tile/0/004").unlink()
    (log / "tile/1/000.p/7").write_bytes(bytes(7 * 32))
    (log / "tile/entries/006").write_bytes(b"\0\7abc")
    (log / "surprise").touch()
    return log


def report_of(log: Path, crew: Crew = ALONE) -> Report:
    return audit([DirectorySource(str(log))], asked=Asked(crew=crew))


@pytest.mark.usefixtures("small_spans")
def test_two_processes_find_what_one_does_in_the_same_order(wrong_all_over: Path) -> None:
    alone = report_of(wrong_all_over)
    assert [finding.rule for finding in alone.findings] == [
        "log.unexpected_file",
        "log.tile",
        "entry.malformed",
        "log.tile",
        "entry.malformed",
        "P16.order",
        "log.missing_file",
        "log.bundle",
        "log.tile",
    ]
    with open_crew(workers=2) as crew:
        assert crew is not ALONE
        assert report_of(wrong_all_over, crew) == alone


@pytest.mark.usefixtures("small_spans")
def test_what_a_span_hands_over_has_a_bound(wrong_all_over: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = report_of(wrong_all_over)
    monkeypatch.setattr(tree, "REPLAYED_SPAN_BUNDLES", 64)
    monkeypatch.setattr(span, "TOLD_MAX_BYTES", 1)
    assert report_of(wrong_all_over) == alone


class AtOnce(Executor):
    """Does each span when it is given away, and keeps the order of what is given away and taken."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done = Taken(self.steps)
        done.set_result(fn(*args, **kwargs))
        self.steps.append("given")
        return done


class Taken(Future[Any]):
    """Says when its result is taken."""

    def __init__(self, steps: list[str]) -> None:
        super().__init__()
        self._steps = steps

    def result(self, timeout: float | None = None) -> Any:
        self._steps.append("taken")
        return super().result(timeout)


@pytest.mark.usefixtures("small_spans")
def test_the_crew_goes_on_with_the_next_log_while_the_end_of_this_one_is_replayed(
    wrong_all_over: Path, tmp_path: Path
) -> None:
    other = publish(tmp_path / "other", plain_entries(1_000, origin="spa.example/log/2027"), origin=ORIGIN)
    headless = publish(tmp_path / "headless", plain_entries(9, origin=ORIGIN), origin=ORIGIN)
    (headless / "checkpoint").write_bytes(b"no head")
    sources = [DirectorySource(str(each)) for each in (wrong_all_over, other, headless, other)]
    alone, crew = audit(sources), AtOnce()
    assert audit(sources, asked=Asked(crew=Crew(crew, ahead=3))) == alone
    # 8 bundles, then 4, no log at all, and 4; of the first two, each bundle is one that somebody else had for a while.
    way = [crew.steps[:at].count("given") - crew.steps[:at].count("taken") for at in range(len(crew.steps))]
    assert max(way) == 3
    assert crew.steps == ["given"] * 3 + ["taken", "given"] * 13 + ["taken"] * 3


def test_turns_are_as_they_were_when_the_crew_has_gone_home() -> None:
    usual_s = sys.getswitchinterval()
    with open_crew(workers=1):
        assert sys.getswitchinterval() < usual_s
    assert sys.getswitchinterval() == usual_s


def test_one_process_more_than_can_be_meant_is_refused() -> None:
    with pytest.raises(AuditNotRun, match="too many"), open_crew(workers=1_025):
        pass
    with open_crew(workers=1_024) as crew:
        assert crew.ahead == 3_072
    with open_crew(workers=0) as crew:
        assert crew is ALONE


def test_a_worker_that_dies_ends_the_audit_without_a_word_against_the_log(tmp_path: Path) -> None:
    log = publish(tmp_path, plain_entries(9, origin=ORIGIN), origin=ORIGIN)
    with open_crew(workers=1) as crew:
        assert crew.executor is not None
        crew.executor.submit(os._exit, 1).exception()
        with pytest.raises(AuditNotRun, match="is gone"):
            report_of(log, crew)


def test_a_worker_that_does_not_see_the_folder_accuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine of a cluster where the folder is mounted elsewhere; here the path is relative."""
    log = publish(tmp_path, plain_entries(9, origin=ORIGIN), origin=ORIGIN)
    with open_crew(workers=1) as crew:
        assert report_of(log, crew).holds  # the worker has begun, and keeps the folder it began in
        monkeypatch.chdir(log.parent)
        with pytest.raises(AuditNotRun, match="FolderNotSeen"):
            report_of(Path(log.name), crew)


def test_a_cluster_finds_what_one_process_does(wrong_all_over: Path) -> None:
    """A real scheduler and two workers, over real sockets; the command prints the report that one process makes."""
    pytest.importorskip("distributed")
    with cluster() as address:
        ran = subprocess.run(
            [BIN / "tally", "audit", wrong_all_over, "--json", "--dask", address],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ran.returncode == 1, ran.stderr
    assert json.loads(ran.stdout) == json.loads(json.dumps(report_of(wrong_all_over).document()))


@contextmanager
def cluster() -> Generator[str]:
    """Run a Dask scheduler and two workers on loopback, in a process of their own; give the scheduler's address."""
    code = (
        "import sys; from distributed import LocalCluster\n"
        "with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, protocol='tcp', host='127.0.0.1',\n"
        "                  dashboard_address=None) as local:\n"
        "    print(local.scheduler_address, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        assert address.startswith("tcp://127.0.0.1:")
        yield address
    finally:
        running.communicate(timeout=60)


def test_a_cluster_that_is_not_there_is_said_to_be_so() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(AuditNotRun, match="cannot be reached"), open_crew(dask="junk://nowhere"):
        pass
