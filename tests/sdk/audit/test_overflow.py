"""What an audit remembers and memory has no room for: it says the same, wherever that lies."""

import sqlite3
from collections.abc import Callable, MutableMapping, MutableSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bench import logs, months
from hypothesis import given
from hypothesis import strategies as st

from tallystick.audit import Asked, AuditNotRun, DirectorySource, Overflow, audit, read_state, write_state
from tallystick.audit.findings import Findings
from tallystick.audit.integrity import Point
from tallystick.audit.replay import LogReplay, settle
from tallystick.audit.replay.records import records_of
from tallystick.audit.state import SavedAudit

MEMBERS = 40
"""Customers of the gym, of whose months the two ledgers are."""


@dataclass
class Counter:
    """Something that is changed where it lies, as a receipt's life is."""

    count: int = 0


@dataclass
class State:
    """A replay's state with a member of each kind that grows."""

    texts: MutableMapping[str, str] = field(default_factory=dict[str, str])
    counters: MutableMapping[str, Counter] = field(default_factory=dict[str, Counter])
    sums: MutableMapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    erased: MutableSet[str] = field(default_factory=set[str])


KEYS = st.sampled_from([f"receipt {number}" for number in range(12)])
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "drop", "count", "look", "relieve", "all"]), KEYS, st.integers(0, 9)), max_size=60
)


@given(STEPS, st.integers(0, 2_000))
def test_a_mapping_is_the_same_wherever_its_items_lie(steps: list[tuple[str, str, int]], room: int) -> None:
    here, there = State(), State()
    with Overflow(held_max_bytes=room, kept_min=0) as overflow:
        for step, key, number in steps:
            if step == "relieve":
                overflow.relieve(there)
                continue
            for state in (here, there):
                _take(state, step, key, number)
            assert _told(here, key) == _told(there, key)
        assert _all(here) == _all(there), "in the order in which the keys first came"
        overflow.settle(there)
        assert _all(here) == _all(there)
        assert _told(here, "receipt 1") == _told(there, "receipt 1")


def _all(state: State) -> tuple[object, ...]:
    mappings = [list(each.items()) for each in (state.texts, state.counters, state.sums)]
    return mappings, sorted(state.erased), len(state.texts), len(state.erased), bool(state.sums)


def _take(state: State, step: str, key: str, number: int) -> None:
    if step == "put":
        state.texts[key], state.sums[key, "USD/2"] = str(number), number
        state.erased |= {key}
    elif step == "drop":
        state.texts.pop(key, None)
        state.erased.discard(key)
        if (key, "USD/2") in state.sums:
            del state.sums[key, "USD/2"]
    elif step == "count":
        state.counters.setdefault(key, Counter()).count += number
    elif step == "all":
        assert sum(number for _, number in state.sums.items()) == sum(state.sums.values())


def _told(state: State, key: str) -> tuple[object, ...]:
    place = key, "USD/2"
    return key in state.texts, state.texts.get(key), state.counters.get(key), state.sums.get(place), key in state.erased


@dataclass(frozen=True)
class Month:
    """The ledgers of a month, as entries and as published."""

    entries: dict[str, list[bytes]]
    folders: list[Path]

    def sources(self) -> list[DirectorySource]:
        return [DirectorySource(str(folder / "log")) for folder in self.folders]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Month:
    path = tmp_path_factory.mktemp("month")
    entries, folders = dict(months.month(MEMBERS)), list[Path]()
    for origin, raws in entries.items():
        folders.append(path / origin.partition("/")[0])
        logs.write_log(folders[-1], raws, origin=origin, now_s=months.SIGNED_S)
    return Month(entries, folders)


def _replay(origin: str, raws: list[bytes], after: Callable[[LogReplay], None]) -> tuple[LogReplay, Findings]:
    replay, found = LogReplay.of(origin), Findings(origin)
    for raw in raws:
        replay.take(settle([raw]), found)
        after(replay)
    replay.finish(found)
    return replay, found


@pytest.mark.parametrize("spoilt", [False, True], ids=["as it was", "an answer twice, and a reward"])
def test_a_ledger_means_the_same_when_nothing_of_it_stays_in_memory(month: Month, spoilt: bool) -> None:
    """After each entry everything is put away, and every later entry finds it again, also to report what is wrong."""
    for origin, raws in month.entries.items():
        entries = [*raws, *raws[-3:]] if spoilt else raws
        plain, found_plainly = _replay(origin, entries, lambda _: None)
        with Overflow(held_max_bytes=0, kept_min=0) as overflow:
            away, found = _replay(origin, entries, overflow.relieve)
            assert not isinstance(away.consent.receipts, dict), "it was put away at all"
            assert found.all() == found_plainly.all()
            assert bool(found.all()) == spoilt
            assert list(records_of(away)) == list(records_of(plain))


def test_the_report_of_two_companies_is_the_same_in_little_memory(month: Month) -> None:
    plain = audit(month.sources(), asked=Asked())
    with Overflow(held_max_bytes=0, kept_min=0) as overflow:
        assert audit(month.sources(), asked=Asked(overflow=overflow)).document() == plain.document()
    assert plain.holds


def test_a_saved_audit_goes_on_in_little_memory(month: Month, tmp_path: Path) -> None:
    """Half of the gym's ledger is replayed and saved with nothing in memory, and read again the same way."""
    origin, raws = next(iter(month.entries.items()))
    whole, _ = _replay(origin, raws, lambda _: None)
    with Overflow(held_max_bytes=0, kept_min=0) as overflow:
        half, _ = _replay(origin, raws[: len(raws) // 2], overflow.relieve)
        write_state(tmp_path / "half", SavedAudit(origin, Point(len(raws) // 2, bytes(32)), replay=half))
        later = read_state(tmp_path / "half", overflow=overflow).replay
        assert later is not None
        overflow.relieve(later)
        for raw in raws[len(raws) // 2 :]:
            later.take(settle([raw]), Findings(origin))
            overflow.relieve(later)
        later.finish(Findings(origin))
        assert list(records_of(later)) == list(records_of(whole))


def test_what_lies_in_memory_is_bounded_and_the_newest(month: Month) -> None:
    origin, raws = next(iter(month.entries.items()))
    most: list[int] = []

    def relieve(replay: LogReplay) -> None:
        overflow.relieve(replay)
        most.append(len(_in_memory(replay)))

    with Overflow(held_max_bytes=20_000, kept_min=4) as overflow:
        away, _ = _replay(origin, raws, relieve)
        assert list(_in_memory(away))[-1] == list(away.consent.receipts)[-1]
    assert 3 < max(most) < MEMBERS


def test_a_log_whose_last_entries_are_small_stays_within_its_bound() -> None:
    """Of every hundred entries a hostile log makes all large but the last; and has too few of them to be many."""
    state = State()
    with Overflow(held_max_bytes=1_000_000, kept_min=1_000) as overflow:
        for number in range(900):
            state.texts[f"receipt {number}"] = "" if number % 100 == 99 else "x" * 10_000
            if number % 100 == 99:
                overflow.relieve(state)
        assert not isinstance(state.texts, dict)
        assert len(state.texts.newest) < 400  # type: ignore[attr-defined]
        assert len(state.texts) == 900


def _in_memory(replay: LogReplay) -> dict[str, object]:
    """Return the receipts that are in memory."""
    receipts = replay.consent.receipts
    return receipts if isinstance(receipts, dict) else receipts.newest  # type: ignore[attr-defined]


@pytest.mark.parametrize("pages", [1, 3], ids=["not for a table", "not for what goes there"])
def test_a_disk_without_room_is_said_and_is_no_finding(
    month: Month, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    """The databases that SQLite gives us are ones that may hold few pages, as on a disk that is full."""
    connect, given = sqlite3.connect, list[sqlite3.Connection]()

    def small(*args: Any, **settings: Any) -> sqlite3.Connection:
        given.append(connect(*args, **settings))
        given[-1].execute(f"PRAGMA max_page_count = {pages}")
        return given[-1]

    monkeypatch.setattr(sqlite3, "connect", small)
    with Overflow(held_max_bytes=0, kept_min=0) as overflow, pytest.raises(AuditNotRun) as refused:
        audit(month.sources(), asked=Asked(overflow=overflow))
    assert "no room" in refused.value.problem
    assert "SQLITE_TMPDIR" in refused.value.remedy
    for database in given:
        with pytest.raises(sqlite3.ProgrammingError):  # it is closed
            database.execute("SELECT 1")


def test_an_audit_may_be_begun_by_one_thread_and_ended_by_another() -> None:
    """As where each step is handed to whichever thread of a pool is free."""
    state = State(texts={"receipt 1": "given"})
    with Overflow(held_max_bytes=0, kept_min=0) as overflow, ThreadPoolExecutor(1) as other:
        other.submit(overflow.relieve, state).result()
        assert not isinstance(state.texts, dict)
        assert state.texts["receipt 1"] == "given"
