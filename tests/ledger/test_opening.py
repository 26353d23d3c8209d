"""How a log begins: one part where it continues no other; else numbered parts that carry what the other led to."""

from dataclasses import replace
from typing import Any

import pytest
from logs import digest, entry_of, identifier
from signers import ed25519_key

from tallystick_ledger.books import Transfer, TransferState
from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.key_history import KeyChange, KeyState
from tallystick_ledger.opening import (
    PART_SIZE_MAX_BYTES,
    PARTS_MAX,
    REMEMBERED_S,
    Carried,
    Opening,
    OpeningDraft,
    Records,
    parse_opening,
)
from tallystick_ledger.replay import LedgerReplay
from tallystick_ledger.tlog.head import Checkpoint

LAST_YEAR, THIS_YEAR = "insurer.example/log/2027", "insurer.example/log/2028"
HEAD = Checkpoint(LAST_YEAR, 4711, bytes(range(32)))
NEW_YEAR_S = 1_830_297_600
BUDGET = "budget/ins-fit/2027-12"


def test_a_log_that_continues_none_says_its_name_and_nothing_else() -> None:
    assert Opening(THIS_YEAR).body() == {"log": THIS_YEAR}
    assert parse_opening({"log": THIS_YEAR}) == Opening(THIS_YEAR)


def test_a_part_is_read_as_it_was_written() -> None:
    carried = (Carried("balance", {"account": "funds/a"}), Carried("of another floor", {"any": ["thing"]}))
    for abandoned in (None, Checkpoint(LAST_YEAR, 4712, bytes(32))):
        part = Opening(THIS_YEAR, HEAD, abandoned, 1, 3, carried)
        assert parse_opening(part.body()) == part


def a_part(**changes: object) -> dict[str, Any]:
    return {**Opening(THIS_YEAR, HEAD, None, 0, 1, ()).body(), **changes}


HEAD_BODY = {"log": LAST_YEAR, "size": 1, "root": digest("root")}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"log": 1},
        {"log": ""},
        {"log": "x" * 256},
        {"log": THIS_YEAR, "more": 1},
        a_part(more=1),
        a_part(part=1),
        a_part(part=-1),
        a_part(part=True, parts=2),
        a_part(parts=True),
        a_part(parts=PARTS_MAX + 1),
        a_part(carried={}),
        a_part(carried=[1]),
        a_part(carried=[{"kind": "balance"}]),
        a_part(carried=[{"kind": 1, "body": {}}]),
        a_part(carried=[{"kind": "balance", "body": []}]),
        a_part(predecessor=None),
        a_part(predecessor={}),
        a_part(predecessor={**HEAD_BODY, "size": True}),
        a_part(predecessor={**HEAD_BODY, "size": -1}),
        a_part(predecessor={**HEAD_BODY, "root": "AAAA"}),
        a_part(predecessor={**HEAD_BODY, "root": "not base64url!"}),
        a_part(predecessor={**HEAD_BODY, "log": "two\nlines"}),
        a_part(abandoned={}),
    ],
)
def test_what_is_no_part_of_an_opening_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(EntryMalformed):
        parse_opening(body)


def record(size_bytes: int, name: str = "a") -> Carried:
    """Return a record whose canonical JSON has just that many bytes."""
    empty = len(Carried("x", {name: ""}).encode())
    return Carried("x", {name: "y" * (size_bytes - empty)})


def test_records_fill_one_part_after_the_other_and_each_part_is_an_entry() -> None:
    draft = OpeningDraft(THIS_YEAR, HEAD)
    half = PART_SIZE_MAX_BYTES // 2 - 1
    assert [draft.add(record(half)) for _ in range(5)] == [0, 0, 1, 1, 2]
    parts = draft.parts()
    assert [(part.part, part.parts, len(part.carried)) for part in parts] == [(0, 3, 2), (1, 3, 2), (2, 3, 1)]
    for part in parts:
        assert len(entry_of("opening", part.body(), name="part").raw) <= 65_535
    assert OpeningDraft(THIS_YEAR, HEAD).parts() == [Opening(THIS_YEAR, HEAD)]


def test_a_record_that_fits_no_part_is_refused() -> None:
    draft = OpeningDraft(THIS_YEAR, HEAD, HEAD)
    draft.add(record(PART_SIZE_MAX_BYTES - 1))
    assert len(entry_of("opening", draft.parts()[0].body(), name="part").raw) <= 65_535
    with pytest.raises(EntryMalformed):
        draft.add(record(PART_SIZE_MAX_BYTES))


def test_what_is_missing_is_named_by_its_kind() -> None:
    one, two = Carried("balance", {"a": 1}), Carried("paid", {"a": 1})
    assert list(Records([one, two]).missing_in(Records([two]))) == ["balance"]
    assert list(Records([two]).missing_in(Records([one, two]))) == []
    assert Records([one, one]).count == 2


def moved(name: str, debit: str, credit: str, amount: int, state: str = "posted", unique: str = "") -> bytes:
    step = Transfer(
        identifier("trf", name), TransferState(state), debit, credit, "USD/2", amount, digest("terms"),
        unique=digest(unique) if unique else "",
    )  # fmt: skip
    return entry_of("transfer", step.body(), name=f"{name} {state}", at_s=NEW_YEAR_S - 86_400).raw


def last_year() -> LedgerReplay:
    """Return the insurer's books as a year ends: of a budget of 100, 60 are paid, and 30 reserved for another."""
    replay = LedgerReplay(LAST_YEAR)
    for raw in (
        entry_of("opening", {"log": LAST_YEAR}, name="opening").raw,
        moved("funding", "funds/ins-fit", BUDGET, 100),
        moved("ana", BUDGET, "member/ana", 60, unique="ana"),
        moved("ben", BUDGET, "member/ben", 30, "reserved", unique="ben"),
    ):
        replay.take(raw)
    assert replay.findings == []
    return replay


def opened(records: list[Carried], *, at_s: int = NEW_YEAR_S) -> LedgerReplay:
    """Return this year's books, opened with these records."""
    draft = OpeningDraft(THIS_YEAR, HEAD)
    for each in records:
        draft.add(each)
    replay = LedgerReplay(THIS_YEAR)
    for part in draft.parts():
        replay.take(entry_of("opening", part.body(), name=f"part {part.part}", at_s=at_s).raw)
    return replay


def continued() -> LedgerReplay:
    replay = opened(list(last_year().carries(NEW_YEAR_S)))
    assert replay.findings == []
    return replay


def rules(replay: LedgerReplay, *more: bytes) -> list[str]:
    for raw in more:
        replay.take(raw)
    replay.finish()
    return [finding.rule for finding in replay.findings]


def test_the_books_go_on_where_they_stopped() -> None:
    new = continued()
    assert new.books.balances == last_year().books.balances
    assert list(new.carries(NEW_YEAR_S)) == list(last_year().carries(NEW_YEAR_S))
    assert new.opening is not None
    assert new.opening.predecessor == HEAD
    assert rules(new, moved("ben", BUDGET, "member/ben", 30, unique="ben")) == []


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (moved("cleo", BUDGET, "member/cleo", 11, unique="cleo"), "P8.overdrawn"),
        (moved("ben", BUDGET, "member/ben", 29, unique="ben"), "P8.state"),
        (moved("ben", BUDGET, "member/ben", 30, "reserved", unique="ben"), "P8.state"),
        (moved("other", BUDGET, "member/ana", 10, unique="ana"), "P7.paid_twice"),
        (moved("ana", BUDGET, "member/ana", 10, unique="ana"), "P7.paid_twice"),
    ],
)
def test_what_last_year_forbids_is_forbidden_this_year(wrong: bytes, rule: str) -> None:
    assert rules(continued(), wrong) == [rule]


def test_what_last_year_paid_is_taken_back_once_and_may_be_paid_anew() -> None:
    back = entry_of("transfer", _taking_back("ana").body(), name="back", at_s=NEW_YEAR_S).raw
    again = entry_of("transfer", _taking_back("ana", name="again").body(), name="again", at_s=NEW_YEAR_S).raw
    never = entry_of("transfer", _taking_back("cleo").body(), name="never", at_s=NEW_YEAR_S).raw
    anew = moved("anew", BUDGET, "member/ana", 60, unique="ana")
    new = continued()
    assert rules(new, back, anew) == []
    assert rules(new, moved("more", BUDGET, "member/ana", 1, unique="ana")) == ["P7.paid_twice"]
    assert rules(continued(), back, again) == ["P8.state"]
    assert rules(continued(), never) == ["P8.state"]


def _taking_back(paid: str, *, name: str = "back") -> Transfer:
    """Return the reversal of what was paid last year, which only the opening tells of."""
    return Transfer(
        identifier("trf", name),
        TransferState.POSTED,
        f"member/{paid}",
        BUDGET,
        "USD/2",
        60,
        digest("terms"),
        reverses=identifier("trf", paid),
    )


def test_what_was_paid_long_ago_is_carried_no_further() -> None:
    def paid(at_s: int) -> int:
        return sum(each.kind == "paid" for each in last_year().carries(at_s))

    assert paid(NEW_YEAR_S - 86_400 + REMEMBERED_S - 1) == 1
    assert paid(NEW_YEAR_S - 86_400 + REMEMBERED_S) == 0


OLD_KEY = KeyChange("log", ed25519_key("old").public_key().public_bytes_raw(), 1, None, KeyState.ADDED, 1)


def test_a_key_that_was_revoked_last_year_does_not_come_back() -> None:
    old = last_year()
    revoked = replace(OLD_KEY, state=KeyState.REVOKED, since_s=2, reason="compromised")
    for at, change in enumerate((OLD_KEY, revoked)):
        old.take(entry_of("key", change.body(), name=f"key {at}").raw)
    new = opened(list(old.carries(NEW_YEAR_S)))
    assert new.keys.changes == old.keys.changes
    assert rules(new, entry_of("key", OLD_KEY.body(), name="again").raw) == ["P1.key_state"]


def test_a_weak_key_in_an_opening_is_a_finding() -> None:
    weak = replace(OLD_KEY, public=bytes(32))
    assert [finding.rule for finding in opened([Carried("key", weak.body())]).findings] == ["P1.key_weak"]


BALANCE = {"debits_posted": 0, "debits_pending": 0, "credits_posted": 0, "credits_pending": 0}
FUNDS = Carried("balance", {"account": "funds/a", "asset": "USD/2", **BALANCE})
PAID = Carried("paid", {"unique": digest("p"), "transfer": "trf", "at": 1})
RESERVED = Carried(
    "transfer",
    Transfer(identifier("trf", "x"), TransferState.RESERVED, "a", "b", "USD/2", 1, digest("terms")).body(),
)


def changed(record: Carried, **changes: object) -> Carried:
    return Carried(record.kind, {**record.body, **changes})


@pytest.mark.parametrize(
    "records",
    [
        [FUNDS, FUNDS],
        [PAID, PAID],
        [PAID, changed(PAID, unique=digest("q"))],
        [RESERVED, RESERVED],
        [Carried("key", OLD_KEY.body())] * 2,
        [changed(RESERVED, state="posted")],
        [changed(RESERVED, amount=0)],
        [changed(FUNDS, more=1)],
        [changed(FUNDS, asset=1)],
        [changed(FUNDS, asset="dollars")],
        [changed(FUNDS, account="NOT ONE")],
        [changed(FUNDS, credits_posted=-1)],
        [changed(FUNDS, credits_posted=True)],
        [changed(PAID, more=1)],
        [changed(PAID, at=True)],
        [changed(PAID, at=-1)],
        [changed(PAID, transfer=1)],
        [changed(PAID, unique="AAAA")],
    ],
)
def test_a_record_that_is_none_is_a_finding(records: list[Carried]) -> None:
    assert [finding.rule for finding in opened(records).findings] == ["entry.malformed"]


def parts(*numbers: tuple[int, int], **changes: object) -> list[bytes]:
    return [
        entry_of("opening", {**a_part(part=part, parts=of), **changes}, name=f"{at} {part}").raw
        for at, (part, of) in enumerate(numbers)
    ]


EVENT = entry_of("event", {"commitment": digest("visit")}, name="visit").raw


@pytest.mark.parametrize(
    "entries",
    [
        parts((0, 2), (0, 2)),
        parts((1, 2)),
        parts((0, 2), (1, 3))[:2],
        [*parts((0, 1)), *parts((0, 1))],
        [*parts((0, 2)), EVENT],
        [*parts((0, 2)), *parts((0, 2), (1, 2), predecessor={**HEAD_BODY, "size": 2})[1:]],
        parts((0, 1), log="gym.example/log/2028"),
        parts((0, 1), parts=0),
    ],
)
def test_an_opening_that_is_not_whole_and_in_order_is_a_finding(entries: list[bytes]) -> None:
    replay = LedgerReplay(THIS_YEAR)
    for raw in entries:
        replay.take(raw)
    assert [finding.rule for finding in replay.findings] == ["P1.opening"]


def test_a_log_whose_opening_is_cut_short_is_a_finding_at_its_end() -> None:
    replay = LedgerReplay(THIS_YEAR)
    replay.take(parts((0, 2))[0])
    assert rules(replay) == ["P1.opening"]
