"""The log of a new year goes on just where the old one stopped, or the audit says where it does not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from logs import digest, entry_of
from story import GYM, Ledger, receipt, tell

from tallystick_consent.chain import Chain, check_chain
from tallystick_consent.replay import ConsentReplay, without_leaves
from tallystick_ledger.append import plan_append
from tallystick_ledger.opening import Carried, Opening, OpeningDraft
from tallystick_ledger.replay import LedgerReplay
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.merkle import Frontier

NEW_YEAR_S = int(datetime(2028, 1, 1, tzinfo=UTC).timestamp())


def replayed(origin: str, raws: list[bytes]) -> tuple[LedgerReplay, ConsentReplay]:
    ledger, consent = LedgerReplay(origin), ConsentReplay(origin.partition("/")[0])
    for index, raw in enumerate(raws):
        entry = ledger.take(raw)
        assert entry is not None
        consent.take(entry, index)
    return ledger, consent


def head_of(ledger: Ledger) -> Checkpoint:
    after = plan_append(Frontier.empty(), ledger.raws()).after
    return Checkpoint(ledger.origin, after.size, after.root())


def told() -> Ledger:
    """Return a gym's year with something of every kind: money, an open receipt, an answer that is under way."""
    gym, _ = tell()
    april = {"claim": digest("april"), "nullifier": digest("n april"), "use": 2, "state": "issued", "acceptance": ""}
    gym.add("april", "disclosure", {**gym["delivered"].body, "period": "2027-04", **april})
    return gym


def records_of(ledger: Ledger) -> list[Carried]:
    books, consent = replayed(ledger.origin, ledger.raws())
    return list(without_leaves([*books.carries(NEW_YEAR_S), *consent.carries(NEW_YEAR_S)]))


def checked(
    ledger: Ledger, records: list[Carried], *, named: Checkpoint | None = None, parts: int | None = None
) -> Chain:
    draft = OpeningDraft(f"{GYM}/log/2028", named or head_of(ledger))
    for each in records:
        draft.add(each)
    raws = [entry_of("opening", part.body(), name=f"{part.part}", at_s=NEW_YEAR_S).raw for part in draft.parts()]
    later, _ = replayed(f"{GYM}/log/2028", raws[:parts])
    books, consent = replayed(ledger.origin, ledger.raws())
    return check_chain(books, consent, head=head_of(ledger), later=later, where="entry 0")


def test_what_goes_on_where_it_stopped_holds() -> None:
    records = records_of(told())
    assert {each.kind for each in records} == {"balance", "program", "receipt", "disclosure", "answer"}
    assert checked(told(), records) == Chain()


def drop(kind: str) -> Callable[[list[Carried]], list[Carried]]:
    return lambda records: [each for each in records if each.kind != kind]


def change(kind: str, **changes: object) -> Callable[[list[Carried]], list[Carried]]:
    return lambda records: [
        replace(each, body={**each.body, **changes}) if each.kind == kind else each for each in records
    ]


def add(record: Carried) -> Callable[[list[Carried]], list[Carried]]:
    return lambda records: [*records, record]


@pytest.mark.parametrize(
    ("spoil", "findings"),
    [
        (drop("receipt"), 1),
        (drop("answer"), 1),
        (drop("balance"), 1),
        (change("receipt", rung="band"), 2),
        (change("balance", credits_posted=1), 2),
        (change("answer", at=1), 2),
        (change("program", tells={"alone": "token", "figures": []}), 2),
        (change("program", tells=None), 0),
        (change("disclosure", disclosure=None), 2),
        (add(Carried("paid", {"unique": digest("p"), "transfer": "trf", "at": 1})), 1),
        (lambda records: [*records, records[0]], 1),
    ],
)
def test_an_opening_that_carries_anything_else_is_a_finding(
    spoil: Callable[[list[Carried]], list[Carried]], findings: int
) -> None:
    chain = checked(told(), spoil(records_of(told())))
    assert [finding.rule for finding in chain.findings] == ["P1.chain"] * findings


def test_a_receipt_that_was_withdrawn_does_not_come_back() -> None:
    before = records_of(told())
    ended = told()
    ended.cut("fee")
    ended.add("withdrawn", "receipt", receipt("withdrawn"))
    ended.add("acknowledged", "receipt", receipt("withdrawn", acknowledged=True))
    back = [*records_of(ended), *(each for each in before if each.kind == "receipt")]
    (finding,) = checked(ended, back).findings
    assert finding.problem.startswith("A record of kind receipt stands in the opening")


@pytest.mark.parametrize(
    "named",
    [
        lambda head: replace(head, root=bytes(32)),
        lambda head: replace(head, size=head.size - 1),
        lambda head: replace(head, origin=f"{GYM}/log/2026"),
    ],
)
def test_another_head_than_the_last_one_is_a_finding(named: Callable[[Checkpoint], Checkpoint]) -> None:
    (finding,) = checked(told(), records_of(told()), named=named(head_of(told()))).findings
    assert finding.rule == "P1.chain"


def test_a_log_that_continues_none_continues_not_this_one() -> None:
    later, _ = replayed(f"{GYM}/log/2028", [entry_of("opening", Opening(f"{GYM}/log/2028").body(), name="o").raw])
    books, consent = replayed(told().origin, told().raws())
    assert check_chain(books, consent, head=head_of(told()), later=later, where="entry 0").findings


def test_what_cannot_be_held_together_is_said_and_is_no_finding() -> None:
    head = head_of(told())
    ahead = checked(told(), records_of(told()), named=replace(head, size=head.size + 1))
    short = checked(told(), [*records_of(told()), *[Carried("x", {"y": "z" * 50_000})] * 2], parts=1)
    other = checked(told(), [*records_of(told()), Carried("horoscope", {})])
    for chain, words in ((ahead, "entries"), (short, "not read"), (other, "kind horoscope")):
        (sentence,) = chain.unchecked
        assert words in sentence
        assert chain.findings == ()
