"""The end: every ledger audited, alone and against the other; heads, books and private values looked at once more.

From the published files and the recording alone, as an outsider would; only `check_stores` looks into the companies'
own data, since an outsider cannot.
"""

from collections.abc import Iterable, Iterator

from tallystick.audit import DirectorySource, Report, audit
from tallystick_ledger.books import Transfer, TransferState, parse_transfer
from tallystick_ledger.entry import parse_entry
from tallystick_ledger.tlog.merkle import root_at
from tallystick_ledger.tlog.reader import TileReader
from tallystick_node.demo.leaks import exchanged, find_leaks, holds_plain, published, stored
from tallystick_node.demo.people import AGREED, PROGRAM
from tallystick_node.demo.screen import Screen
from tallystick_node.demo.town import Company, Town

FEE_MINOR = PROGRAM["fee"]["amount"]


def run_audits(town: Town, screen: Screen) -> list[Report]:
    """Audit each log, then both against each other; return the reports."""
    reports = [_audited([company]) for company in (town.gym, town.insurer)]
    both = _audited([town.gym, town.insurer])
    for company, report in zip((town.gym, town.insurer), reports, strict=True):
        (source,) = report.sources
        screen.check(
            "P1",
            f"The audit of {company.host} holds: {source.size} entries, {len(report.rules)} rules, "
            f"{len(report.findings)} findings.",
            report.holds,
        )
    cross = [rule for rule in both.rules if rule.startswith("X.")]
    for promise, what in (("P4", "answers"), ("P7", "claims and rewards"), ("P8", "transfers")):
        broken = [each for each in both.findings if each.rule.startswith((promise, "X."))]
        rules = [rule for rule in both.rules if rule.startswith(promise)]
        screen.check(
            promise, f"Of {what}: {len(rules)} rules hold in both ledgers, {len(cross)} between them.", not broken
        )
    return [*reports, both]


def check_heads(town: Town, screen: Screen) -> None:
    """Check that every head that was ever seen is one of the tree that stands now."""
    for company in (town.gym, town.insurer):
        reader = _reader(company)
        held = all(root_at(head.size, reader) == head.root for head in company.heads)
        screen.check(
            "P1", f"All {len(company.heads)} heads that {company.host} signed on the way are of one tree.", held
        )


def check_fees(town: Town, screen: Screen, *, claim_count: int) -> None:
    """Check that both books name the same fees, one for each claim that was taken."""
    owed = _fees(town.insurer, credit=f"payable/{town.gym.host}")
    earned = _fees(town.gym, debit=f"receivable/{town.insurer.host}")
    dollars = claim_count * FEE_MINOR / 100
    screen.check(
        "P8",
        f"Both books agree, transfer by transfer: the insurer owes the gym ${dollars:.2f}, $1.00 a claim.",
        owed == earned and sum(owed.values()) == claim_count * FEE_MINOR,
    )


def check_leaks(town: Town, screen: Screen) -> None:
    """Look for every private value on the wire and in both published logs."""
    private = town.private
    values = private.gym | private.insurer | private.hints
    crossed = exchanged(town.wire.exchanges())
    logs = {**published(town.gym.log), **published(town.insurer.log)}
    found = find_leaks(values, {**crossed, **logs}, agreed=AGREED)
    screen.check(
        "P3",
        f"None of {len(values)} private values in {town.wire.count()} exchanges and {len(logs)} pieces of the logs"
        + (f"; FOUND IN {', '.join(found[:3])}" if found else "."),
        not found,
    )
    paid = {each.id for each in _transfers(town.insurer) if not each.counterparty}
    screen.check(
        "P3",
        "Of the insurer's own transfers, its credits among them, nothing crosses.",
        bool(paid) and not holds_plain(paid, crossed),
    )


def check_stores(town: Town, screen: Screen) -> None:
    """Look for one company's private values in all that the other keeps: database, keys, logs, everything."""
    at_insurer = holds_plain(town.private.gym - town.private.insurer, stored(town.insurer.folder))
    at_gym = holds_plain(town.private.insurer - town.private.gym, stored(town.gym.folder))
    screen.check("P3", "The insurer's data hold no visit, place, time or member id of the gym's.", not at_insurer)
    screen.check("P3", "The gym's data hold no policy number.", not at_gym)


def _audited(companies: Iterable[Company]) -> Report:
    return audit([DirectorySource(str(company.log)) for company in companies])


def _reader(company: Company) -> TileReader:
    head = company.note_head()
    return TileReader(lambda path: (company.log / path).read_bytes(), head.size)


def _transfers(company: Company) -> Iterator[Transfer]:
    reader = _reader(company)
    for index in range(company.note_head().size):
        entry = parse_entry(reader.entry(index))
        if entry.kind == "transfer":
            yield parse_transfer(entry.body)


def _fees(company: Company, *, debit: str = "", credit: str = "") -> dict[str, int]:
    """Return amount of each posted transfer that takes from `debit`, or gives to `credit`, by its id."""
    return {
        each.id: each.amount_minor
        for each in _transfers(company)
        if each.state is TransferState.POSTED and (each.debit == debit or each.credit == credit)
    }
