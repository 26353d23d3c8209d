"""The end: every ledger audited, alone and against the other; heads, books and private values looked at once more.

From the published files and the recording alone, as an outsider would; only `check_stores` looks into the companies'
own data, since an outsider cannot.
"""

from collections.abc import Iterable, Iterator, Sequence

from tallystick.audit import DirectorySource, Report, audit
from tallystick_ledger.books import Transfer, TransferState, parse_transfer
from tallystick_ledger.entry import parse_entry
from tallystick_ledger.tlog.merkle import root_at
from tallystick_ledger.tlog.reader import TileReader
from tallystick_node.demo.leaks import exchanged, find_leaks, holds_plain, published, stored
from tallystick_node.demo.screen import Screen
from tallystick_node.demo.town import Company, Town


def run_audits(town: Town, screen: Screen) -> list[Report]:
    """Audit each log, then both against each other; return the reports."""
    reports = [_audited([company]) for company in (town.issuer, town.payer)]
    both = _audited([town.issuer, town.payer])
    for company, report in zip((town.issuer, town.payer), reports, strict=True):
        (source,) = report.sources
        screen.check(
            "P1",
            f"The audit of {company.host} holds: {source.size} entries, {len(report.rules)} rules of one log, "
            f"{len(report.findings)} findings.",
            report.holds,
        )
    cross = [rule for rule in both.rules if rule not in reports[0].rules]
    for promise, what in (("P4", "answers"), ("P7", "claims and rewards"), ("P8", "transfers")):
        broken = [each for each in both.findings if each.rule.startswith((promise, "X."))]
        rules = [rule for rule in both.rules if rule.startswith(promise)]
        screen.check(
            promise, f"Of {what}: {len(rules)} rules hold in both ledgers, {len(cross)} between them.", not broken
        )
    return [*reports, both]


def check_heads(town: Town, screen: Screen) -> None:
    """Check that every head that was ever seen is one of the tree that stands now."""
    for company in (town.issuer, town.payer):
        reader = _reader(company)
        held = all(root_at(head.size, reader) == head.root for head in company.heads)
        screen.check(
            "P1", f"All {len(company.heads)} heads that {company.host} signed on the way are of one tree.", held
        )


def check_fees(town: Town, screen: Screen, *, claim_count: int, fee_minor: int) -> None:
    """Check that both books name the same fees, one for each claim that was taken."""
    owed = _fees(town.payer, credit=f"payable/{town.issuer.host}")
    earned = _fees(town.issuer, debit=f"receivable/{town.payer.host}")
    owed_minor = claim_count * fee_minor
    screen.check(
        "P8",
        f"Both books agree, transfer by transfer: the {town.payer.called} owes the {town.issuer.called} "
        f"${owed_minor / 100:.2f}, ${fee_minor / 100:.2f} a claim.",
        owed == earned and sum(owed.values()) == owed_minor,
    )


def check_leaks(town: Town, screen: Screen, *, agreed: Sequence[str]) -> None:
    """Look for every private value on the wire and in both published logs; what both agreed on may stand there."""
    private = town.private
    values = private.issuer | private.payer | private.hints
    exchanges = town.wire.exchanges(since=town.began)
    crossed = exchanged(exchanges)
    logs = {**published(town.issuer.log), **published(town.payer.log)}
    found = find_leaks(values, {**crossed, **logs}, agreed=agreed)
    screen.check(
        "P3",
        f"None of {len(values)} private values in {len(exchanges)} exchanges and {len(logs)} pieces of the logs"
        + (f"; FOUND IN {', '.join(found[:3])}" if found else "."),
        not found,
    )
    paid = {each.id for each in _transfers(town.payer) if not each.counterparty}
    screen.check(
        "P3",
        f"Of the {town.payer.called}'s own transfers, its rewards among them, nothing crosses.",
        bool(paid) and not holds_plain(paid, crossed),
    )


def check_stores(town: Town, screen: Screen) -> None:
    """Look for one company's private values in all that the other keeps: database, keys, logs, everything."""
    at_payer = holds_plain(town.private.issuer - town.private.payer, stored(town.payer.folder))
    at_issuer = holds_plain(town.private.payer - town.private.issuer, stored(town.issuer.folder))
    issuer, payer = town.issuer.called, town.payer.called
    screen.check("P3", f"The {payer}'s data hold no private value of the {issuer}'s.", not at_payer)
    screen.check("P3", f"The {issuer}'s data hold no private value of the {payer}'s.", not at_issuer)


def check_erased(town: Town, screen: Screen) -> None:
    """Look for who was erased in all that each company keeps."""
    for name, values in town.private.erased.items():
        company = town.companies[name]
        found = holds_plain(values, stored(company.folder))
        screen.check("P9", f"No file of the {company.called}'s names Ana any more.", not found)


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
