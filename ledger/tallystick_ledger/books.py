"""Double entry: accounts, and transfers that are reserved, then posted or voided.

Pure. Money is integers of an asset's minor unit. Every transfer takes from one account what it gives to another, so
every asset sums to zero, always. A budget is an account under `budget/`: it can never promise more than it holds.

Nothing is edited: what was posted is reversed by another transfer, posted at once, that names it and moves the same
amount back. Partial posts and partial reversals are not booked yet: a transfer's amount is settled whole.

Source: DESIGN sections 1 and 5 (P7, P8), SCENARIOS section 0 (transfer states).
"""

import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter, itemgetter
from sys import intern
from typing import Any, NamedTuple

from tallystick_ledger.encoding import INTEGER_MAX
from tallystick_ledger.errors import BooksRefused, TransferInvalid

BUDGET_PREFIX = "budget/"

ACCOUNT, ASSET, ID, DIGEST = (
    r"[a-z0-9][a-z0-9._/@:-]{0,199}",
    r"[A-Z]{3,12}/[0-9]",
    r"trf_[a-z2-7]{26}",
    r"[A-Za-z0-9_-]{43}",
)
"""The patterns of a transfer's texts."""

_ACCOUNT, _ASSET, _ID, _DIGEST = map(re.compile, (ACCOUNT, ASSET, ID, DIGEST))


class TransferState(StrEnum):
    """Where a transfer is in its life."""

    RESERVED = "reserved"
    POSTED = "posted"
    VOIDED = "voided"


class Transfer(NamedTuple):
    """The body of a `transfer` entry: one step in the life of one movement of money.

    A tuple, like `Balance`: an audit makes one for every entry, in a third of the time that a frozen dataclass takes.

    Attributes:
        id: the same in each step, and in both halves where two partners are party to it.
        state: the step.
        debit: account that gives.
        credit: account that receives.
        asset: code and scale, such as `USD/2`.
        amount_minor: positive, in the asset's minor unit.
        terms: base64url SHA-256 of the terms that both sides know; equal in both halves.
        cause: id of the entry this follows from, or "".
        unique: `p` of CONSTRUCTIONS for a reward, base64url: at most one posted for each; else "".
        counterparty: the other partner's host name where it books the other half; else "".
        reverses: id of the posted transfer that this one takes back, whole; else "", and left out of the body.
    """

    id: str
    state: TransferState
    debit: str
    credit: str
    asset: str
    amount_minor: int
    terms: str
    cause: str = ""
    unique: str = ""
    counterparty: str = ""
    reverses: str = ""

    def body(self) -> dict[str, object]:
        """Return the entry body."""
        return {
            "transfer": self.id,
            "state": str(self.state),
            "debit": self.debit,
            "credit": self.credit,
            "asset": self.asset,
            "amount": self.amount_minor,
            "terms": self.terms,
            "cause": self.cause,
            "unique": self.unique,
            "counterparty": self.counterparty,
            **({"reverses": self.reverses} if self.reverses else {}),
        }


_TEXTS = ("transfer", "state", "debit", "credit", "asset", "terms", "cause", "unique", "counterparty")
_texts_of = itemgetter(*_TEXTS)
_MEMBERS = frozenset({*_TEXTS, "amount"})
"""Those that no transfer is without; `reverses` is left out where it says nothing."""
_STATES = {str(state): state for state in TransferState}


def parse_transfer(body: Mapping[str, Any]) -> Transfer:
    """Return the transfer that an entry's body holds.

    Raises:
        TransferInvalid: a member is missing, unknown, of another type, or out of its bounds.
    """
    amount = body.get("amount")
    is_later = "reverses" in body
    if not body.keys() >= _MEMBERS or len(body) != len(_MEMBERS) + is_later or type(amount) is not int:
        raise _invalid("A transfer has other members than it must have.")
    texts = _texts_of(body)
    reverses = body.get("reverses", "")
    if {*map(type, texts), type(reverses)} != {str}:
        raise _invalid("A member of a transfer is not text.")
    transfer_id, name, debit, credit, asset, terms, cause, unique, counterparty = texts
    state = _STATES.get(name)
    if state is None:
        raise _invalid("A transfer is in a state that does not exist.")
    if is_later and not _ID.fullmatch(reverses):
        raise _invalid("A transfer reverses what is no transfer.")
    transfer = Transfer(transfer_id, state, debit, credit, asset, amount, terms, cause, unique, counterparty, reverses)
    _check(transfer)
    return transfer


def spelled_transfer(body: Mapping[str, Any]) -> Transfer:
    """Return the transfer of a body that has the form of one (`forms.TRANSFER_FORM`): its texts are in their bounds.

    Raises:
        TransferInvalid: what its members say together makes no sense.
    """
    # One string each for what most transfers share: an audit remembers them all.
    transfer = Transfer(
        body["transfer"],
        _STATES[body["state"]],
        intern(body["debit"]),
        body["credit"],
        intern(body["asset"]),
        body["amount"],
        intern(body["terms"]),
        body["cause"],
        body["unique"],
        intern(body["counterparty"]),
        body.get("reverses", ""),
    )
    _check_sense(transfer)
    return transfer


def _check(transfer: Transfer) -> None:
    if not _ID.fullmatch(transfer.id) or not _ASSET.fullmatch(transfer.asset):
        raise _invalid("A transfer's id or asset is not of its form.")
    if not (_ACCOUNT.fullmatch(transfer.debit) and _ACCOUNT.fullmatch(transfer.credit)):
        raise _invalid("An account's name is not of its form.")
    if not _DIGEST.fullmatch(transfer.terms):
        raise _invalid("A transfer's terms are not a SHA-256 in base64url.")
    if transfer.unique and not _DIGEST.fullmatch(transfer.unique):
        raise _invalid("A transfer's unique value is not 32 bytes in base64url.")
    _check_sense(transfer)


def _check_sense(transfer: Transfer) -> None:
    if transfer.debit == transfer.credit:
        raise _invalid("A transfer gives to the account it takes from.")
    if not 0 < transfer.amount_minor <= INTEGER_MAX:
        raise _invalid("A transfer's amount is not a positive integer below 2^53.")
    if transfer.reverses and (transfer.state is not TransferState.POSTED or transfer.unique):
        raise _invalid("A reversal is posted at once, and pays nothing that is unique.")


def _invalid(problem: str) -> TransferInvalid:
    return TransferInvalid(problem, remedy="Build transfers with tallystick_ledger.books.Transfer.")


class Balance(NamedTuple):
    """What an account gave and received, in minor units; pending is reserved and neither posted nor voided yet."""

    debits_posted: int = 0
    debits_pending: int = 0
    credits_posted: int = 0
    credits_pending: int = 0

    @property
    def posted(self) -> int:
        """What the account holds, reservations apart."""
        return self.credits_posted - self.debits_posted

    @property
    def available(self) -> int:
        """What the account can still give: what it holds less what it has reserved."""
        return self.posted - self.debits_pending

    def give(self, posted: int = 0, *, pending: int = 0) -> "Balance":
        """Return the account after it gave so much more."""
        return Balance(
            self.debits_posted + posted, self.debits_pending + pending, self.credits_posted, self.credits_pending
        )

    def receive(self, posted: int = 0, *, pending: int = 0) -> "Balance":
        """Return the account after it received so much more."""
        return Balance(
            self.debits_posted, self.debits_pending, self.credits_posted + posted, self.credits_pending + pending
        )

    def document(self) -> dict[str, int]:
        """Return the four sums as JSON values."""
        return self._asdict()


_NOTHING = Balance()


def parse_balance(body: Mapping[str, Any]) -> tuple[str, str, Balance]:
    """Return account, asset and balance of a record that an opening carries.

    Raises:
        TransferInvalid: a member is missing, unknown, of another type, or out of its bounds.
    """
    sums = list(Balance._fields)
    if set(body) != {"account", "asset", *sums}:
        raise _invalid("A balance has other members than it must have.")
    account, asset = body["account"], body["asset"]
    if not isinstance(account, str) or not isinstance(asset, str):
        raise _invalid("An account or asset of a balance is not text.")
    if not _ACCOUNT.fullmatch(account) or not _ASSET.fullmatch(asset):
        raise _invalid("An account's name or an asset is not of its form.")
    # A bool is an int to Python, so the type itself is compared.
    if any(type(body[name]) is not int or body[name] < 0 for name in sums):
        raise _invalid("A sum of a balance is not an integer from 0 on.")
    return account, asset, Balance(**{name: body[name] for name in sums})


class Booked(NamedTuple):
    """Both accounts after one step of a transfer."""

    debit: Balance
    credit: Balance


def book(step: Transfer, *, earlier: Transfer | None, debit: Balance, credit: Balance) -> Booked:
    """Return both accounts after `step`.

    Args:
        step: what happens now.
        earlier: the transfer's last step so far, None where this is its first.
        debit: the giving account before.
        credit: the receiving account before.

    Raises:
        BooksRefused: the step does not follow from the earlier one, or overdraws a budget.
    """
    amount = step.amount_minor
    if earlier is None:
        if step.state is TransferState.VOIDED:
            raise _refused("transfer_unknown", "A transfer that was never reserved cannot be voided.")
        if step.debit.startswith(BUDGET_PREFIX) and debit.available < amount:
            raise _refused("budget_exhausted", "The budget holds less than the transfer needs.")
        if step.state is TransferState.RESERVED:
            return Booked(debit.give(pending=amount), credit.receive(pending=amount))
    else:
        _check_follows(step, earlier)
        if step.state is TransferState.VOIDED:
            return Booked(debit.give(pending=-amount), credit.receive(pending=-amount))
        return Booked(debit.give(amount, pending=-amount), credit.receive(amount, pending=-amount))
    return Booked(debit.give(amount), credit.receive(amount))


_moves = attrgetter(*(name for name in Transfer._fields if name not in ("state", "cause")))
"""What the steps of a transfer may not change."""


def _check_follows(step: Transfer, earlier: Transfer) -> None:
    if earlier.state is not TransferState.RESERVED:
        raise _refused(f"transfer_already_{earlier.state}", "A transfer is resolved once only.")
    if step.state is TransferState.RESERVED:
        raise _refused("transfer_exists", "A transfer is reserved once only.")
    if _moves(step) != _moves(earlier):
        raise _refused("transfer_exists", "A transfer's step changes what it moves.")


def reversal_of(posted: Transfer, *, transfer_id: str, cause: str) -> Transfer:
    """Return the transfer that takes back another one, whole.

    Args:
        posted: the last step of what is taken back.
        transfer_id: a fresh id.
        cause: id of the entry because of which it is taken back.
    """
    return posted._replace(
        id=transfer_id,
        state=TransferState.POSTED,
        debit=posted.credit,
        credit=posted.debit,
        cause=cause,
        unique="",
        reverses=posted.id,
    )


def check_reversal(step: Transfer, posted: Transfer, *, reversed_by: str | None) -> None:
    """Return quietly if `step` may take back a transfer.

    Args:
        step: the reversal.
        posted: the last step of the transfer that it names.
        reversed_by: id of the transfer that took it back before; None where none did.

    Raises:
        BooksRefused: what it names was not posted, was taken back, or is not what it moves back.
    """
    if posted.state is not TransferState.POSTED or posted.reverses:
        raise _refused("transfer_not_posted", "What was not posted cannot be reversed.")
    if reversed_by is not None:
        raise _refused("transfer_already_reversed", "A transfer is reversed once only.")
    if reversal_of(posted, transfer_id=step.id, cause=step.cause) != step:
        raise _refused("transfer_exists", "A reversal moves something else than what it takes back.")


def _refused(reason: str, problem: str) -> BooksRefused:
    return BooksRefused(reason, problem, remedy="Read the transfer's and the account's state, then decide again.")


@dataclass(slots=True)
class Books:
    """Every account and transfer of one ledger: what a replay builds."""

    balances: MutableMapping[tuple[str, str], Balance] = field(default_factory=dict[tuple[str, str], Balance])
    transfers: MutableMapping[str, Transfer] = field(default_factory=dict[str, Transfer])
    reversals: MutableMapping[str, str] = field(default_factory=dict[str, str])
    """The transfer that took back another one, by the other one's id."""

    def apply(self, step: Transfer) -> None:
        """Book one step.

        Raises:
            BooksRefused: as `book` and `check_reversal`; the books are as they were. A reversal of what these books do
                not hold is booked: it may stand in the books that they continue.
        """
        posted = self.transfers.get(step.reverses)
        if posted is not None:
            check_reversal(step, posted, reversed_by=self.reversals.get(step.reverses))
        giving, receiving = (step.debit, step.asset), (step.credit, step.asset)
        booked = book(
            step,
            earlier=self.transfers.get(step.id),
            debit=self.balances.get(giving, _NOTHING),
            credit=self.balances.get(receiving, _NOTHING),
        )
        self.balances[giving], self.balances[receiving] = booked.debit, booked.credit
        self.transfers[step.id] = step
        if step.reverses:
            self.reversals[step.reverses] = step.id

    def sums(self) -> dict[str, int]:
        """Return the sum of all postings of each asset: zero, or the books are wrong."""
        totals: dict[str, int] = {}
        for (_, asset), balance in self.balances.items():
            totals[asset] = totals.get(asset, 0) + balance.posted
        return totals
