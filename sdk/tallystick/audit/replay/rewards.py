"""Replay what the two lower floors cannot see alone: money that follows from consent.

The ledger floor knows transfers and not why; the consent floor knows acceptances and not what they pay. Here a reward
is held against its acceptance and its program, and a budget against the program that caps it.

What a transfer's members may say of a person is held here too: the ledger floor takes any name of an account.

Source: DESIGN section 5 (P3, P4, P7, P8, P14).
"""

import re
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from functools import lru_cache

from tallystick_consent.entries import AcceptanceBody
from tallystick_consent.replay import ConsentReplay
from tallystick_ledger.books import BUDGET_PREFIX, Books, Transfer, TransferState
from tallystick_ledger.opening import Carried
from tallystick_ledger.replay import Finding

FUNDS_PREFIX = "funds/"

MEMBER_PREFIX = "member/"
"""Accounts of the payer's own customers."""

FEES_PREFIX = "expense/fees/"

RECEIVABLE_PREFIX = "receivable/"
"""Accounts of what other partners owe."""

_PROGRAM = r"[a-z0-9][a-z0-9-]{0,39}"
_HOST = r"[a-z0-9][a-z0-9.-]{0,252}(?::[0-9]{1,5})?"
_ACCOUNT = re.compile(
    rf"funds/{_PROGRAM}|budget/{_PROGRAM}(?:/[0-9A-Z.-]{{1,40}})?|member/lnk_[a-z2-7]{{26}}/{_PROGRAM}"
    rf"|(?:expense|income)/[a-z-]{{1,20}}(?:/{_PROGRAM})?|(?:payable|receivable)/{_HOST}"
)
"""Every name that an account may have: what it is for, the partner it is with, or the pseudonym of a link."""

_Report = Callable[[str, str], None]


@lru_cache(maxsize=1_024)
def _is_account(name: str) -> bool:
    """Return whether a name is one that an account may have; budgets and fees are asked about again and again."""
    return _ACCOUNT.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Half:
    """This ledger's half of a transfer between partners, after its last step, and where that step stands."""

    transfer: Transfer
    index: int


@dataclass(slots=True)
class RewardReplay:
    """The state of rewards in one ledger after the entries it was told of.

    Attributes:
        acceptances: each acceptance, by the id of its entry, which is what a reward names as its cause.
        rewarded: the transfer that was posted for each acceptance, by the same id.
        funded: what was posted to each budget account.
        halves: transfers that another partner books too, by id.
        retracted: the claim that each retraction is of, by the id of its entry.
        findings: what did not hold, in order.
    """

    acceptances: MutableMapping[str, AcceptanceBody] = field(default_factory=dict[str, AcceptanceBody])
    rewarded: MutableMapping[str, str] = field(default_factory=dict[str, str])
    funded: dict[str, int] = field(default_factory=dict[str, int])
    halves: MutableMapping[str, Half] = field(default_factory=dict[str, Half])
    retracted: MutableMapping[str, str] = field(default_factory=dict[str, str])
    findings: list[Finding] = field(default_factory=list[Finding])

    def take(
        self, kind: str, entry_id: str, index: int, *, named: object, books: Books, consent: ConsentReplay
    ) -> None:
        """Replay the entry at `index`, which the consent replay has taken, and which the books have not refused.

        Args:
            named: the `claim` of an acceptance or retraction, the id of a transfer; nothing is asked of other kinds.
        """
        if kind == "acceptance":
            accepted = consent.acceptances.get(named) if isinstance(named, str) else None
            if accepted is not None and accepted[1] == index:
                self.acceptances[entry_id] = accepted[0]
        elif kind == "retraction" and isinstance(named, str):
            self.retracted[entry_id] = named
        elif kind == "transfer" and isinstance(named, str):
            transfer = books.transfers[named]
            report = self._reporter(index)
            self._check_names(transfer, consent, report)
            if transfer.counterparty:
                self.halves[transfer.id] = Half(transfer, index)
            if transfer.state is TransferState.POSTED:
                self._posted(transfer, books, consent, report)

    def carry(self, records: Iterable[Carried], books: Books) -> None:
        """Take what budgets were funded with from a part of the log's opening, which the books have taken."""
        for each in records:
            account, asset = each.body.get("account"), each.body.get("asset")
            if each.kind == "balance" and isinstance(account, str) and account.startswith(BUDGET_PREFIX):
                known = books.balances.get((account, str(asset)))
                self.funded[account] = 0 if known is None else known.credits_posted

    def _check_names(self, transfer: Transfer, consent: ConsentReplay, report: _Report) -> None:
        if not (_is_account(transfer.debit) and _is_account(transfer.credit)):
            report("P3.account", "An account is named by other than its purpose, a partner, or a link's pseudonym.")
        if transfer.unique and (transfer.unique in consent.accepted or transfer.unique in consent.acceptances):
            report("P3.unique", "A payment's unique value is one that the claim's issuer knows.")

    def _posted(self, transfer: Transfer, books: Books, consent: ConsentReplay, report: _Report) -> None:
        if transfer.reverses:
            self._check_reversal(transfer, books, report)
            return
        if transfer.credit.startswith(BUDGET_PREFIX):
            self._check_funding(transfer, consent, report)
        if transfer.debit.startswith(FEES_PREFIX):
            self._check_terms(transfer, consent, report)
        if transfer.unique:
            self._check_reward(transfer, consent, report)
        elif transfer.credit.startswith(MEMBER_PREFIX) or (
            transfer.debit.startswith(BUDGET_PREFIX) and transfer.credit != _funds_of(transfer.debit)
        ):
            report(
                "P7.unique", "A payment to a member or from a budget carries no unique value: it could be made twice."
            )

    def _check_reversal(self, reversal: Transfer, books: Books, report: _Report) -> None:
        """The claim that was retracted must be the one that paid, where this ledger has seen it paid."""
        claim, posted = self.retracted.get(reversal.cause), books.transfers.get(reversal.reverses)
        paid_for = None if posted is None else self.acceptances.get(posted.cause)
        if claim is None or (posted is not None and (paid_for is None or paid_for.claim != claim)):
            report("P14.reversal", "A reward is taken back, and no claim that it was paid for was retracted.")
        if posted is not None and self.rewarded.get(posted.cause) == posted.id:
            del self.rewarded[posted.cause]

    def _check_funding(self, transfer: Transfer, consent: ConsentReplay, report: _Report) -> None:
        """A version that raises a budget may fund the difference; so what counts is the sum, after each funding."""
        total = self.funded[transfer.credit] = self.funded.get(transfer.credit, 0) + transfer.amount_minor
        name = transfer.credit.split("/")[1]
        programs = [
            body for (payer, program, _), body in consent.programs.items() if (payer, program) == (consent.host, name)
        ]
        if transfer.debit != _funds_of(transfer.credit):
            report("P8.budget", "A budget is funded from another account than its program's funds.")
        elif not any((body.asset, body.budget) == (transfer.asset, total) for body in programs):
            report("P8.budget", "A budget is funded by another sum than its program says.")

    def _check_reward(self, transfer: Transfer, consent: ConsentReplay, report: _Report) -> None:
        accepted = self.acceptances.get(transfer.cause)
        if accepted is None:
            report("P4.reward", "A reward follows from no acceptance before it in this ledger.")
            return
        if self.rewarded.setdefault(transfer.cause, transfer.id) != transfer.id:
            report("P4.reward", "A second reward follows from one acceptance.")
        program = consent.programs.get((consent.host, accepted.program, accepted.program_version))
        if program is None:
            report("P8.reward", "A reward is paid for a program that is not in this ledger.")
        elif transfer.debit != f"{BUDGET_PREFIX}{accepted.program}/{accepted.period}":
            report("P8.reward", "A reward is not paid from its program's budget of the accepted period.")
        elif (transfer.asset, transfer.amount_minor) != (program.asset, program.reward):
            report("P8.reward", "A reward is not what its program pays.")
        else:
            self._check_terms(transfer, consent, report)

    def _check_terms(self, transfer: Transfer, consent: ConsentReplay, report: _Report) -> None:
        """What was paid is explained by a version of a program: the one of the acceptance it follows from."""
        accepted = self.acceptances.get(transfer.cause)
        if accepted is None:
            return
        program = consent.programs.get((consent.host, accepted.program, accepted.program_version))
        if program is not None and transfer.terms != program.digest:
            report("P14.terms", "A reward or fee names other terms than the program it is paid by.")

    def _reporter(self, index: int) -> _Report:
        def report(rule: str, problem: str) -> None:
            self.findings.append(Finding(rule, f"entry {index}", problem))

        return report


def _funds_of(budget: str) -> str:
    """Return the account that a budget account is funded from, and where what is left goes back to."""
    return FUNDS_PREFIX + budget.split("/")[1]
