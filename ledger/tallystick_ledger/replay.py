"""Replay a log from its entries alone: the tree, the envelope, the opening, the books, and the history of keys.

Pure, and told of one entry at a time, so that a log of any length is replayed in the memory its state needs.
What an entry means for consent is the next floor's replay.

Source: DESIGN sections 4 and 5 (P1, P7, P8), LEDGER-FORMATS section 10.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tallystick_ledger.books import Books, Transfer, TransferState, parse_transfer
from tallystick_ledger.entry import Entry, parse_entry
from tallystick_ledger.errors import BooksRefused, EntryMalformed, KeyHistoryRefused, TransferInvalid, WeakKey
from tallystick_ledger.key_history import KeyHistory, parse_key_change


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold.

    Attributes:
        rule: stable id of the rule, such as `P8.overdrawn`.
        where: the place: `entry 12`, a file's path, a pair of logs.
        problem: one sentence; never a person's data.
    """

    rule: str
    where: str
    problem: str


@dataclass(slots=True)
class LedgerReplay:
    """The state of one log after the entries it was told of.

    Attributes:
        origin: the log's origin, `HOST/log/YEAR`.
        books: every account and transfer.
        keys: what the log tells of its owner's keys.
        paid: the transfer that posted each unique value (`p`), by that value.
        findings: what did not hold, in order.
    """

    origin: str
    books: Books = field(default_factory=Books)
    keys: KeyHistory = field(default_factory=KeyHistory)
    paid: dict[str, str] = field(default_factory=dict[str, str])
    findings: list[Finding] = field(default_factory=list[Finding])
    size: int = 0

    def take(self, raw: bytes) -> Entry | None:
        """Replay the next entry; return it parsed, or None where it cannot be read (which is a finding)."""
        index, self.size = self.size, self.size + 1
        report = self._reporter(f"entry {index}")
        try:
            entry = parse_entry(raw)
        except EntryMalformed as error:
            report("entry.malformed", error.problem)
            return None
        if (entry.kind == "opening") != (index == 0):
            report("P1.opening", "A log's first entry, and no other, is its opening.")
        elif index == 0 and entry.body.get("log") != self.origin:
            report("P1.opening", "The opening names another log than the one it stands in.")
        if entry.kind == "transfer":
            self._book(entry, report)
        elif entry.kind == "key":
            self._key(entry, report)
        return entry

    def finish(self) -> None:
        """Check what holds only of the whole: every asset sums to zero."""
        for asset, total in self.books.sums().items():
            if total != 0:
                self.findings.append(Finding("P8.sum", "the books", f"{asset} does not sum to zero."))

    def _book(self, entry: Entry, report: Callable[[str, str], None]) -> None:
        try:
            transfer = parse_transfer(entry.body)
            self.books.apply(transfer)
        except TransferInvalid as error:
            report("entry.malformed", error.problem)
        except BooksRefused as error:
            rule = "P8.overdrawn" if error.code == "budget_exhausted" else "P8.state"
            report(rule, error.problem)
        else:
            self._check_paid_once(transfer, report)

    def _key(self, entry: Entry, report: Callable[[str, str], None]) -> None:
        try:
            self.keys.apply(parse_key_change(entry.body), at_s=entry.at_s)
        except EntryMalformed as error:
            report("entry.malformed", error.problem)
        except WeakKey as error:
            report("P1.key_weak", error.problem)
        except KeyHistoryRefused as error:
            report("P1.key_state", error.problem)

    def _check_paid_once(self, transfer: Transfer, report: Callable[[str, str], None]) -> None:
        if transfer.state is not TransferState.POSTED or not transfer.unique:
            return
        if self.paid.setdefault(transfer.unique, transfer.id) != transfer.id:
            report("P7.paid_twice", "A second reward is posted for one subject, program, period and slot.")

    def _reporter(self, where: str) -> Callable[[str, str], None]:
        def report(rule: str, problem: str) -> None:
            self.findings.append(Finding(rule, where, problem))

        return report
