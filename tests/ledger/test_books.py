"""Double entry: laws that hold after any steps, and every step that must be refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_ledger.books import Balance, Books, Transfer, TransferState, book, parse_transfer
from tallystick_ledger.errors import BooksRefused, TransferInvalid

RESERVED, POSTED, VOIDED = TransferState.RESERVED, TransferState.POSTED, TransferState.VOIDED
BUDGET = "budget/ins-fit/2027-03"
ACCOUNTS = (BUDGET, "funds/ins-fit", "member/ana/ins-fit", "payable/gym.example")


def transfer(
    number: int = 0,
    state: TransferState = POSTED,
    debit: str = "funds/ins-fit",
    credit: str = BUDGET,
    amount_minor: int = 100,
    asset: str = "USD/2",
) -> Transfer:
    transfer_id = "trf_" + "abcdefghijklmnopqrstuvwxyz"[number] * 26
    return Transfer(transfer_id, state, debit, credit, asset, amount_minor, "t" * 43)


STEP = st.builds(
    transfer,
    st.integers(0, 5),
    st.sampled_from(TransferState),
    st.sampled_from(ACCOUNTS),
    st.sampled_from(ACCOUNTS),
    st.integers(1, 60),
    st.sampled_from(["USD/2", "POINTS/0"]),
).filter(lambda step: step.debit != step.credit)


@given(st.lists(STEP, max_size=40))
def test_laws_hold_after_any_steps(steps: list[Transfer]) -> None:
    books = Books()
    resolved: dict[str, TransferState] = {}
    for step in steps:
        before = (dict(books.balances), dict(books.transfers))
        try:
            books.apply(step)
        except BooksRefused:
            assert (books.balances, books.transfers) == before, "a step that is refused changes nothing"
            continue
        assert step.id not in resolved, "a transfer is resolved once"
        if step.state is not RESERVED:
            resolved[step.id] = step.state
        check_laws(books)


def check_laws(books: Books) -> None:
    assert set(books.sums().values()) <= {0}, "every asset sums to zero"
    for (account, _), balance in books.balances.items():
        assert min(balance.debits_pending, balance.credits_pending, balance.debits_posted, balance.credits_posted) >= 0
        assert balance.available >= 0 or not account.startswith("budget/"), "no budget promises more than it holds"
    for kind in ("posted", "pending"):
        given_sum, received_sum = (
            sum(getattr(balance, f"{side}_{kind}") for balance in books.balances.values())
            for side in ("debits", "credits")
        )
        assert given_sum == received_sum, f"what is {kind} on one side is on the other"


@given(st.lists(STEP, max_size=40))
def test_the_books_are_what_the_steps_taken_say(steps: list[Transfer]) -> None:
    """Balances computed a second way: from the last step of each transfer alone."""
    books = Books()
    for step in steps:
        try:
            books.apply(step)
        except BooksRefused:
            continue
    for (account, asset), balance in books.balances.items():
        of_asset = [each for each in books.transfers.values() if each.asset == asset]
        expected = Balance(
            *(
                sum(each.amount_minor for each in of_asset if getattr(each, side) == account and each.state is state)
                for side in ("debit", "credit")
                for state in (POSTED, RESERVED)
            )
        )
        assert balance == expected


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([transfer(state=VOIDED)], "transfer_unknown"),
        ([transfer(), transfer()], "transfer_already_posted"),
        ([transfer(), transfer(state=RESERVED)], "transfer_already_posted"),
        ([transfer(), transfer(state=VOIDED)], "transfer_already_posted"),
        ([transfer(state=RESERVED), transfer(state=RESERVED)], "transfer_exists"),
        ([transfer(state=RESERVED), transfer(state=VOIDED), transfer()], "transfer_already_voided"),
        ([transfer(state=RESERVED), transfer(amount_minor=99)], "transfer_exists"),
        ([transfer(state=RESERVED), transfer(amount_minor=101, state=VOIDED)], "transfer_exists"),
        ([transfer(state=RESERVED), transfer(credit="member/eve/ins-fit")], "transfer_exists"),
        ([transfer(state=RESERVED), transfer()._replace(unique="u" * 43)], "transfer_exists"),
        ([transfer(1, debit=BUDGET, credit="member/a")], "budget_exhausted"),
        ([transfer(), transfer(1, debit=BUDGET, credit="member/a", amount_minor=101)], "budget_exhausted"),
        (
            [
                transfer(),
                transfer(1, RESERVED, BUDGET, "member/a", 60),
                transfer(2, RESERVED, BUDGET, "member/b", 41),
            ],
            "budget_exhausted",
        ),
        ([transfer(state=RESERVED), transfer(1, debit=BUDGET, credit="member/a", amount_minor=1)], "budget_exhausted"),
        ([transfer(asset="POINTS/0"), transfer(1, debit=BUDGET, credit="member/a")], "budget_exhausted"),
    ],
)
def test_a_step_that_does_not_follow_is_refused(steps: list[Transfer], code: str) -> None:
    books = Books()
    for step in steps[:-1]:
        books.apply(step)
    with pytest.raises(BooksRefused) as refused:
        books.apply(steps[-1])
    assert refused.value.code == code


def test_a_budget_can_be_spent_to_the_last_cent() -> None:
    books = Books()
    books.apply(transfer(amount_minor=100))
    books.apply(transfer(1, RESERVED, BUDGET, "member/a", 60))
    books.apply(transfer(2, RESERVED, BUDGET, "member/b", 40))
    books.apply(transfer(1, POSTED, BUDGET, "member/a", 60))
    books.apply(transfer(2, VOIDED, BUDGET, "member/b", 40))
    assert books.balances[BUDGET, "USD/2"].available == 40
    books.apply(transfer(3, POSTED, BUDGET, "member/c", 40))
    balance = books.balances[BUDGET, "USD/2"]
    assert (balance.posted, balance.available, balance.debits_pending) == (0, 0, 0)


def test_a_cause_may_come_with_the_post() -> None:
    """What a reservation and its post follow from are two things; all else of a transfer stays."""
    books = Books()
    books.apply(transfer(state=RESERVED))
    books.apply(transfer()._replace(cause="acc_" + "a" * 26))
    assert books.transfers[transfer().id].state is POSTED


def test_booking_leaves_the_balances_it_was_given() -> None:
    empty = Balance()
    booked = book(transfer(), earlier=None, debit=empty, credit=empty)
    assert empty == Balance()
    assert (booked.debit.posted, booked.credit.posted) == (-100, 100)


@given(STEP)
def test_a_body_is_read_as_it_was_written(step: Transfer) -> None:
    assert parse_transfer(step.body()) == step


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": 2**53},
        {"amount": True},
        {"amount": 1.0},
        {"amount": "1"},
        {"state": "reversed"},
        {"state": ""},
        {"state": 7},
        {"transfer": "trf_1"},
        {"transfer": "evt_" + "a" * 26},
        {"asset": "USD"},
        {"asset": "usd/2"},
        {"asset": "USD/2\n"},
        {"debit": ""},
        {"debit": "Funds"},
        {"debit": "f" * 201},
        {"debit": "funds x"},
        {"credit": "funds/ins-fit"},
        {"terms": ""},
        {"terms": "t" * 44},
        {"unique": "u"},
        {"cause": None},
        {"counterparty": 1},
        {"more": ""},
    ],
)
def test_a_body_of_another_form_is_invalid(changes: dict[str, object]) -> None:
    with pytest.raises(TransferInvalid):
        parse_transfer({**transfer().body(), **changes})


@pytest.mark.parametrize("member", sorted(transfer().body()))
def test_a_body_without_one_of_its_members_is_invalid(member: str) -> None:
    with pytest.raises(TransferInvalid):
        parse_transfer({name: value for name, value in transfer().body().items() if name != member})
