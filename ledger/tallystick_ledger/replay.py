"""Replay a log from its entries alone: the tree, the envelope, the opening, the books, and the history of keys.

Pure, and told of one entry at a time, so that a log of any length is replayed in the memory its state needs.
What an entry means for consent is the next floor's replay.

Source: DESIGN sections 4 and 5 (P1, P7, P8), LEDGER-FORMATS section 10.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, MutableSet
from dataclasses import dataclass, field
from typing import Any

from tallystick_ledger.books import Books, Transfer, TransferState, parse_balance, parse_transfer, spelled_transfer
from tallystick_ledger.encoding import from_base64url
from tallystick_ledger.entry import Entry, parse_entry
from tallystick_ledger.errors import (
    BadInput,
    BooksRefused,
    EntryMalformed,
    KeyHistoryRefused,
    TransferInvalid,
    WeakKey,
)
from tallystick_ledger.key_history import KeyHistory, parse_key_change
from tallystick_ledger.opening import REMEMBERED_S, Carried, Opening, parse_opening
from tallystick_ledger.peer_head import parse_peer_head

CARRIED_KINDS = frozenset({"balance", "transfer", "paid", "key"})
"""Records of an opening that this floor replays."""

_MISPLACED = "A log's first entries, and no others, are the parts of its opening."


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

    What grows with customers is a mapping or a set of any kind: who replays more than memory holds keeps it elsewhere.

    Attributes:
        origin: the log's origin, `HOST/log/YEAR`.
        books: every account and transfer.
        keys: what the log tells of its owner's keys.
        opening: the part of its opening that came last, None before any did.
        opened_at_s: when that part was written.
        carried: every record of its opening, of every floor.
        paid: the transfer that posted each unique value (`p`), by that value.
        paid_at_s: when that was, by the same value.
        findings: what did not hold, in order.
    """

    origin: str
    books: Books = field(default_factory=Books)
    keys: KeyHistory = field(default_factory=KeyHistory)
    opening: Opening | None = None
    opened_at_s: int = 0
    carried: list[Carried] = field(default_factory=list[Carried])
    paid: MutableMapping[str, str] = field(default_factory=dict[str, str])
    paid_at_s: MutableMapping[str, int] = field(default_factory=dict[str, int])
    findings: list[Finding] = field(default_factory=list[Finding])
    size: int = 0
    _paid_before: MutableSet[str] = field(default_factory=set[str])

    def take(self, raw: bytes) -> Entry | None:
        """Replay the next entry; return it parsed, or None where it cannot be read (which is a finding)."""
        index, self.size = self.size, self.size + 1
        report = self._reporter(index)
        try:
            entry = parse_entry(raw)
        except EntryMalformed as error:
            report("entry.malformed", error.problem)
            return None
        if (entry.kind == "opening") != (index < self._opening_parts()):
            report("P1.opening", _MISPLACED)
        elif entry.kind == "opening":
            self._open(entry, index, report)
        if entry.kind == "transfer":
            self._book(parse_transfer, entry.body, entry.at_s, report)
        elif entry.kind == "key":
            self._key(entry, report)
        elif entry.kind == "peer_head":
            self._see(entry, report)
        return entry

    def pass_over(self) -> None:
        """Replay the next entry, which is known to be well formed, and of a kind that changes nothing here."""
        opening = self.opening
        if self.size < (1 if opening is None else opening.parts):
            self._reporter(self.size)("P1.opening", _MISPLACED)
        self.size += 1

    def take_transfer(self, body: Mapping[str, Any], at_s: int) -> None:
        """Replay the next entry, a `transfer` whose body is known to have its form, recorded at `at_s`."""
        self.pass_over()
        self._book(spelled_transfer, body, at_s, self._reporter(self.size - 1))

    def carries(self, at_s: int) -> Iterator[Carried]:
        """Yield the records of this floor that the opening of the next log must carry, if it is written at `at_s`."""
        for (account, asset), balance in self.books.balances.items():
            yield Carried("balance", {"account": account, "asset": asset, **balance.document()})
        for transfer in self.books.transfers.values():
            if transfer.state is TransferState.RESERVED:
                yield Carried("transfer", transfer.body())
        for unique, transfer_id in self.paid.items():
            if at_s - self.paid_at_s[unique] < REMEMBERED_S:
                yield paid_record(unique, transfer_id, self.paid_at_s[unique])
        for change in self.keys.changes.values():
            yield Carried("key", change.body())

    def finish(self) -> None:
        """Check what holds only of the whole: the opening is whole, and every asset sums to zero."""
        if 0 < self.size < self._opening_parts():
            self.findings.append(Finding("P1.opening", "the end", "The log ends before its opening does."))
        for asset, total in self.books.sums().items():
            if total != 0:
                self.findings.append(Finding("P8.sum", "the books", f"{asset} does not sum to zero."))

    def _opening_parts(self) -> int:
        return 1 if self.opening is None else self.opening.parts

    def _open(self, entry: Entry, index: int, report: Callable[[str, str], None]) -> None:
        try:
            opening = parse_opening(entry.body)
        except EntryMalformed as error:
            report("P1.opening", error.problem)
            return
        begun, self.opening, self.opened_at_s = self.opening, opening, entry.at_s
        named = (opening.log, opening.predecessor, opening.abandoned, opening.parts)
        if opening.log != self.origin:
            report("P1.opening", "The opening names another log than the one it stands in.")
        elif opening.part != index or (
            begun is not None and named != (begun.log, begun.predecessor, begun.abandoned, begun.parts)
        ):
            report("P1.opening", "The parts of the opening are not of one opening, in order.")
        for record in opening.carried:
            self.carried.append(record)
            try:
                self._carry(record)
            except WeakKey as error:
                report("P1.key_weak", error.problem)
            except BadInput as error:
                report("entry.malformed", error.problem)

    def _carry(self, record: Carried) -> None:
        if record.kind == "balance":
            account, asset, balance = parse_balance(record.body)
            if (account, asset) in self.books.balances:
                raise _malformed("An opening carries the balance of an account twice.")
            self.books.balances[account, asset] = balance
        elif record.kind == "transfer":
            transfer = parse_transfer(record.body)
            if transfer.state is not TransferState.RESERVED or transfer.id in self.books.transfers:
                raise _malformed("An opening carries a transfer that is not reserved, or one twice.")
            self.books.transfers[transfer.id] = transfer
        elif record.kind == "paid":
            unique, transfer_id, at_s = _parse_paid(record)
            if unique in self.paid:
                raise _malformed("An opening carries a value that was paid twice.")
            self.paid[unique], self.paid_at_s[unique] = transfer_id, at_s
            self._paid_before.add(unique)
        elif record.kind == "key":
            change = parse_key_change(record.body)
            if change.public in self.keys.changes:
                raise _malformed("An opening carries a key twice.")
            self.keys.changes[change.public] = change

    def _book(
        self,
        parse: Callable[[Mapping[str, Any]], Transfer],
        body: Mapping[str, Any],
        at_s: int,
        report: Callable[[str, str], None],
    ) -> None:
        try:
            transfer = parse(body)
            self.books.apply(transfer)
        except TransferInvalid as error:
            report("entry.malformed", error.problem)
        except BooksRefused as error:
            rule = "P8.overdrawn" if error.code == "budget_exhausted" else "P8.state"
            report(rule, error.problem)
        else:
            self._check_paid_once(transfer, at_s, report)

    def _key(self, entry: Entry, report: Callable[[str, str], None]) -> None:
        try:
            self.keys.apply(parse_key_change(entry.body), at_s=entry.at_s)
        except EntryMalformed as error:
            report("entry.malformed", error.problem)
        except WeakKey as error:
            report("P1.key_weak", error.problem)
        except KeyHistoryRefused as error:
            report("P1.key_state", error.problem)

    def _see(self, entry: Entry, report: Callable[[str, str], None]) -> None:
        """Only the form: whether the head is that of the other log, whoever audits both can say."""
        try:
            parse_peer_head(entry.body)
        except EntryMalformed as error:
            report("entry.malformed", error.problem)

    def _check_paid_once(self, transfer: Transfer, at_s: int, report: Callable[[str, str], None]) -> None:
        if transfer.reverses:
            self._take_back(transfer, report)
        if transfer.state is not TransferState.POSTED or not transfer.unique:
            return
        first = self.paid.setdefault(transfer.unique, transfer.id)
        if first != transfer.id or transfer.unique in self._paid_before:
            report("P7.paid_twice", "A second reward is posted for one subject, program, period and slot.")
        self.paid_at_s.setdefault(transfer.unique, at_s)

    def _take_back(self, reversal: Transfer, report: Callable[[str, str], None]) -> None:
        """What was paid and taken back may be paid again; what nobody here has posted cannot be taken back."""
        posted = self.books.transfers.get(reversal.reverses)
        if posted is not None:
            unique = posted.unique
        else:  # of an older log, whose opening carries it
            unique = next((each for each, paid_by in self.paid.items() if paid_by == reversal.reverses), "")
        if self.paid.get(unique) == reversal.reverses:
            del self.paid[unique], self.paid_at_s[unique]
            self._paid_before.discard(unique)
        elif posted is None:
            report("P8.state", "A transfer takes back what was never posted here.")

    def _reporter(self, index: int) -> Callable[[str, str], None]:
        def report(rule: str, problem: str) -> None:
            self.findings.append(Finding(rule, f"entry {index}", problem))

        return report


def paid_record(unique: str, transfer_id: str, at_s: int) -> Carried:
    """Return the record of a unique value (`p`) that was paid, by which transfer, and when."""
    return Carried("paid", {"unique": unique, "transfer": transfer_id, "at": at_s})


def _parse_paid(record: Carried) -> tuple[str, str, int]:
    if set(record.body) != {"unique", "transfer", "at"}:
        raise _malformed("A paid value in an opening has other members than it must have.")
    unique, transfer_id, at_s = record.body["unique"], record.body["transfer"], record.body["at"]
    if not isinstance(unique, str) or not isinstance(transfer_id, str) or type(at_s) is not int:
        raise _malformed("A paid value in an opening is not of its form.")
    if len(from_base64url(unique)) != 32 or at_s < 0:
        raise _malformed("A paid value in an opening is out of its bounds.")
    return unique, transfer_id, at_s


def _malformed(problem: str) -> EntryMalformed:
    return EntryMalformed(problem, remedy="Build openings with tallystick_ledger.opening.")
