"""The replay of a log's own rules: the opening, the envelope, the books, and one reward for each unique value."""

from collections.abc import Iterable

import pytest
from logs import digest, entry_of, identifier

from tallystick_ledger.books import Transfer, TransferState
from tallystick_ledger.replay import Finding, LedgerReplay

ORIGIN = "insurer.example/log/2027"
BUDGET = "budget/ins-fit/2027-03"
OPENING = entry_of("opening", {"log": ORIGIN}, name="opening").raw
EVENT = entry_of("event", {"commitment": digest("visit")}, name="visit").raw


def moved(
    name: str, debit: str, credit: str, amount_minor: int, *, state: str = "posted", unique: str = "", at: int = 0
) -> bytes:
    """Return a transfer entry; `at` tells two entries of one transfer apart."""
    terms, p = digest("terms"), digest(unique) if unique else ""
    step = Transfer(
        identifier("trf", name), TransferState(state), debit, credit, "USD/2", amount_minor, terms, unique=p
    )
    return entry_of("transfer", step.body(), name=f"{name} {state} {at}").raw


FUNDING = moved("funding", "funds/ins-fit", BUDGET, 100)


def found(entries: Iterable[bytes]) -> list[Finding]:
    replay = LedgerReplay(ORIGIN)
    for raw in entries:
        replay.take(raw)
    replay.finish()
    return replay.findings


def rules(*entries: bytes) -> list[tuple[str, str]]:
    return [(finding.rule, finding.where) for finding in found(entries)]


def test_a_log_that_holds_has_no_findings() -> None:
    assert rules(OPENING, EVENT, FUNDING, moved("one", BUDGET, "member/a", 60, unique="a")) == []


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([EVENT], [("P1.opening", "entry 0")]),
        ([OPENING, EVENT, OPENING], [("P1.opening", "entry 2")]),
        ([entry_of("opening", {"log": "gym.example/log/2027"}, name="x").raw], [("P1.opening", "entry 0")]),
        ([entry_of("opening", {}, name="x").raw], [("P1.opening", "entry 0")]),
        ([OPENING, b"{}"], [("entry.malformed", "entry 1")]),
        ([OPENING, EVENT + b" "], [("entry.malformed", "entry 1")]),
        ([OPENING, entry_of("transfer", {}, name="x").raw], [("entry.malformed", "entry 1")]),
        ([OPENING, FUNDING, moved("one", BUDGET, "member/a", 101)], [("P8.overdrawn", "entry 2")]),
        ([OPENING, FUNDING, FUNDING], [("P8.state", "entry 2")]),
        ([OPENING, moved("one", "funds/a", "funds/b", 1, state="voided")], [("P8.state", "entry 1")]),
        (
            [
                OPENING,
                FUNDING,
                moved("one", BUDGET, "member/a", 10, unique="march"),
                moved("two", BUDGET, "member/a", 10, unique="march"),
            ],
            [("P7.paid_twice", "entry 3")],
        ),
    ],
)
def test_one_wrong_entry_is_one_finding_at_its_place(entries: list[bytes], expected: list[tuple[str, str]]) -> None:
    assert rules(*entries) == expected


def test_a_reward_that_was_reserved_and_posted_is_paid_once() -> None:
    reserved, posted = (
        moved("one", BUDGET, "member/a", 10, state=state, unique="a") for state in ("reserved", "posted")
    )
    assert rules(OPENING, FUNDING, reserved, posted) == []


def test_a_reward_that_was_voided_may_be_paid_by_another() -> None:
    reserved, voided = (
        moved("one", BUDGET, "member/a", 10, state=state, unique="a") for state in ("reserved", "voided")
    )
    assert rules(OPENING, FUNDING, reserved, voided, moved("two", BUDGET, "member/a", 10, unique="a")) == []


def test_replaying_goes_on_behind_a_finding() -> None:
    replay = LedgerReplay(ORIGIN)
    assert replay.take(OPENING) is not None
    assert replay.take(b"\xff") is None
    entry = replay.take(FUNDING)
    assert entry is not None
    assert (entry.kind, replay.size) == ("transfer", 3)
    assert replay.books.balances[BUDGET, "USD/2"].posted == 100


def test_a_problem_names_no_value_of_an_entry() -> None:
    name = "ana@example.com"
    entries = [OPENING, entry_of("transfer", {"transfer": name}, name="x").raw, f'{{"name":"{name}"}}'.encode()]
    assert all(name not in finding.problem for finding in found(entries))
