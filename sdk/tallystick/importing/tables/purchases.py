"""Reads purchases from a shop's table, for one of its customers.

Pure: bytes in, values out; nothing is recorded here. Money is read as the decimal it is, never through a float.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from tallystick.importing.errors import TableUnreadable
from tallystick.importing.tables.dates import DateOrder, read_dates
from tallystick.importing.tables.reading import read_table, rows_by_person, rows_of
from tallystick_consent.events import parse_event
from tallystick_ledger.encoding import length_prefixed, to_base64url

NOON = time(12)
"""The time of a purchase of which only the day is told: far from both midnights, whatever clocks do."""

_DAYS = frozenset({"date", "day", "purchasedate", "orderdate", "transactiondate", "datetime", "timestamp"})
_AMOUNTS = frozenset({"amount", "total", "value", "dollarvalue", "price"})
_IDS = frozenset({"purchase", "purchaseid", "orderid", "transactionid", "invoice", "invoiceid", "receipt"})
_DECIMAL = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?")


@dataclass(frozen=True, slots=True, repr=False)
class FoundPurchase:
    """One purchase.

    Attributes:
        purchase: the shop's own id; where the table has none, the day and its number among that day's.
        at: when, without a zone; noon where only the day is told.
        amount: in the currency's smallest unit.
    """

    purchase: str
    at: datetime
    amount: int


@dataclass(frozen=True, slots=True)
class PurchasesReport:
    """What a table says of one customer; nothing is recorded yet.

    Attributes:
        purchases: each once, in order of their time.
        order: the order its dates are in.
        repeated_count: rows that tell a purchase again, and the same.
        total: all amounts together, in the currency's smallest unit.
    """

    purchases: tuple[FoundPurchase, ...] = field(repr=False)
    order: DateOrder
    repeated_count: int
    total: int = field(repr=False)


def read_purchases(
    raw: bytes, *, asset: str, person: str | None = None, order: DateOrder | None = None
) -> PurchasesReport:
    """Return one customer's purchases from a table.

    Args:
        raw: the table.
        asset: the currency with its scale, such as `USD/2`.
        person: whose rows are meant, where the table is about several.
        order: the order of its dates, where they do not tell themselves.

    Raises:
        TableUnreadable: over a bound, not of its form, ambiguous, or it contradicts itself; nothing of it is used.
    """
    scale = int(asset.rpartition("/")[2]) if re.fullmatch(r"[A-Z]{3,12}/[0-9]", asset) else None
    if scale is None:
        raise TableUnreadable("amount_invalid")
    table = read_table(raw)
    columns = table.columns({"day": _DAYS, "amount": _AMOUNTS})
    id_column = table.column(_IDS)
    rows = list(table.rows())
    own = rows_of(rows_by_person(table, rows), person)
    dates = read_dates([row.cells[columns["day"]] for row in rows], [row.number for row in rows], order=order)
    found: dict[str, FoundPurchase] = {}
    numbered: Counter[date] = Counter()
    repeated_count = 0
    for at in own:
        row, moment = rows[at], dates.moments[at]
        amount = _minor(row.cells[columns["amount"]], scale, row.number)
        # Rows without an id may be equal and yet be two purchases, so each has its number in its day.
        numbered[moment.date()] += 1
        name = f"{moment.date()}-{numbered[moment.date()]}" if id_column is None else row.cells[id_column]
        when = moment if dates.has_time else datetime.combine(moment.date(), NOON)
        purchase = FoundPurchase(name, when, amount)
        if found.setdefault(name, purchase) != purchase:
            raise TableUnreadable("contradiction", row=row.number)
        repeated_count += found[name] is not purchase
    ordered = tuple(sorted(found.values(), key=lambda each: (each.at, each.purchase)))
    return PurchasesReport(ordered, dates.order, repeated_count, sum(each.amount for each in ordered))


def purchase_events(
    purchases: Iterable[FoundPurchase], *, zone: str, store: str, asset: str
) -> list[tuple[str, dict[str, Any]]]:
    """Return type and data of an event for each purchase.

    Args:
        purchases: from a report.
        zone: IANA name of the store's zone.
        store: your own id of the store.
        asset: as it was read with.

    Raises:
        EventRefused: an id, the store or the asset is not of its form.
    """
    place = ZoneInfo(zone)
    events: list[tuple[str, dict[str, Any]]] = []
    for each in purchases:
        data: dict[str, Any] = {
            "purchase": each.purchase,
            "at": each.at.replace(tzinfo=place).isoformat(),
            "time_zone": zone,
            "store": store,
            "amount": each.amount,
            "asset": asset,
        }
        parse_event("purchase.made", data, event_id="")
        events.append(("purchase.made", data))
    return events


def purchase_key(purchase: FoundPurchase, subject: str, *, store: str) -> str:
    """Return the idempotency key to record a purchase under: the same purchase always has the same."""
    parts = (purchase.purchase, purchase.at.isoformat(), str(purchase.amount), store, subject)
    digest = hashlib.sha256(length_prefixed("tallystick/import-purchase/v1", *parts)).digest()
    return "purchase-" + to_base64url(digest)[:32]


def _minor(text: str, scale: int, row: int) -> int:
    """Return a decimal in the smallest unit, exactly.

    Raises:
        TableUnreadable: no decimal, below zero, or finer than the currency.
    """
    found = _DECIMAL.fullmatch(text) if text.isascii() else None
    if found is None:
        raise TableUnreadable("amount_invalid", row=row)
    sign, whole, part = found[1], found[2], found[3] or ""
    if part[scale:].strip("0"):
        raise TableUnreadable("amount_invalid", row=row)
    if sign:
        raise TableUnreadable("count_negative", row=row)
    return int(whole + part[:scale].ljust(scale, "0"))
