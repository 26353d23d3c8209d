"""What a rule may know of each event type: its times, its identity, and the members it may compare or measure.

Pure. A closed set: a rule that names another member is refused when it is read, not when a month closes.

An identity says when two events tell the same thing (a day of one source, a line of a statement): then the highest
revision holds, and they are never added. An event without one stands for itself.

Source: SCENARIOS sections 1 to 5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache

from tallystick_consent.events import shapes
from tallystick_consent.events.journey import JourneyEvent
from tallystick_consent.events.shapes import Data
from tallystick_ledger.times import DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One type of event.

    Attributes:
        schema: its data.
        starts: the member that says when it began.
        ends: the member that says when it ended; the same where it has no length.
        identity: the members that say what it is about; empty where each event stands for itself.
        of: the type whose identity it shares, where it corrects or removes; its own name else.
        removes: whether what it is about is gone.
        lasts_max_s: how long it may last, None where its schema says.
        texts: members that can be compared with a list of words.
        figures: members, and figures made of members, that can be compared and measured.
        dates: members that can be compared with the first or last day of the period.
    """

    schema: type[Data]
    starts: str
    ends: str
    identity: tuple[str, ...] = ()
    of: str = ""
    removes: bool = False
    lasts_max_s: int | None = None
    texts: frozenset[str] = frozenset()
    figures: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()


VISIT_ELAPSED_MAX_S = 24 * 3600

_MONEY = frozenset({"amount"})
_STEPS = EventType(
    schema=shapes.StepsDay,
    starts="started_at",
    ends="ended_at",
    # By its local date: a source that tells a day twice, after a flight for example, tells it once.
    identity=("source", "started_at"),
    of="steps.day_closed",
    texts=frozenset({"source", "assurance", "time_zone"}),
    figures=frozenset({"steps", "manual_steps"}),
)
_LINE = EventType(
    schema=shapes.BankLine,
    starts="posted_at",
    ends="posted_at",
    identity=("line",),
    of="line.posted",
    texts=frozenset({"account", "asset", "category"}),
    figures=_MONEY,
    dates=frozenset({"on"}),
)
_PURCHASE = EventType(
    schema=shapes.Purchase,
    starts="at",
    ends="at",
    identity=("purchase",),
    of="purchase.made",
    texts=frozenset({"store", "asset", "time_zone"}),
    figures=_MONEY,
)
_ORDER = EventType(
    schema=shapes.Order,
    starts="booked_at",
    ends="booked_at",
    identity=("segment",),
    of="order.confirmed",
    texts=frozenset({"time_zone"}),
    figures=frozenset({"segment", "lead_s"}),
)


def _like(base: EventType, schema: type[Data], *, at: str = "", removes: bool = False) -> EventType:
    """Return the type that corrects another, or removes what it told."""
    return EventType(
        schema=schema,
        starts=at or base.starts,
        ends=at or base.ends,
        identity=base.identity,
        of=base.of,
        removes=removes,
        texts=frozenset() if removes else base.texts,
        figures=frozenset() if removes else base.figures,
        dates=frozenset() if removes else base.dates,
    )


def _since(schema: type[Data] = shapes.Since, texts: frozenset[str] = frozenset()) -> EventType:
    return EventType(schema=schema, starts="since", ends="since", texts=texts)


CATALOGUE: dict[str, EventType] = {
    "visit.ended": EventType(
        schema=shapes.VisitEnded,
        starts="started_at",
        ends="ended_at",
        lasts_max_s=VISIT_ELAPSED_MAX_S,
        texts=frozenset({"facility", "source", "assurance"}),
        figures=frozenset({"elapsed_s"}),
    ),
    "membership.activated": _since(),
    "membership.ended": _since(),
    "membership.paid": _since(),
    "membership.refunded": _since(),
    "membership.lapsed": _since(),
    "home.set": _since(shapes.HomeSet, texts=frozenset({"time_zone"})),
    "tier.set": _since(shapes.TierSet, texts=frozenset({"tier"})),
    "steps.day_closed": _STEPS,
    "steps.corrected": _like(_STEPS, shapes.StepsDayCorrected),
    "balance.day_closed": EventType(
        schema=shapes.BalanceDay,
        starts="closed_at",
        ends="closed_at",
        identity=("account", "on"),
        of="balance.day_closed",
        texts=frozenset({"account", "asset"}),
        figures=_MONEY,
        dates=frozenset({"on"}),
    ),
    "line.posted": _LINE,
    "line.superseded": _like(_LINE, shapes.BankLineSuperseded),
    "line.removed": _like(_LINE, shapes.BankLineRemoved, at="removed_at", removes=True),
    "period.reconciled": EventType(
        schema=shapes.PeriodReconciled,
        starts="at",
        ends="at",
        figures=frozenset({"unmatched"}),
        dates=frozenset({"through"}),
    ),
    "purchase.made": _PURCHASE,
    "purchase.corrected": _like(_PURCHASE, shapes.PurchaseCorrected),
    "purchase.returned": _like(_PURCHASE, shapes.PurchaseReturned, removes=True),
    "order.confirmed": _ORDER,
    "order.changed": _like(_ORDER, shapes.OrderChanged),
    "arrival.delayed": EventType(
        schema=shapes.ArrivalDelayed,
        starts="scheduled_at",
        ends="actual_at",
        figures=frozenset({"segment", "delay_s"}),
        lasts_max_s=30 * DAY_S,
    ),
    "arrival.expected": EventType(
        schema=shapes.ArrivalExpected,
        starts="told_at",
        ends="told_at",
        figures=frozenset({"segment", "minutes_into_day"}),
        dates=frozenset({"on"}),
    ),
    "stay.started": EventType(schema=shapes.StayMoment, starts="at", ends="at", figures=frozenset({"stay"})),
    "stay.ended": EventType(schema=shapes.StayMoment, starts="at", ends="at", figures=frozenset({"stay"})),
    "stay.night": EventType(
        schema=shapes.StayNight,
        starts="at",
        ends="at",
        identity=("stay", "on"),
        of="stay.night",
        texts=frozenset({"asset"}),
        figures=frozenset({"stay", "amount"}),
        dates=frozenset({"on"}),
    ),
}
"""Every type of event there is, by its name."""


@cache
def types_of(event_type: str) -> frozenset[str]:
    """Return a type and those that correct or remove what it tells: `line.posted` and the two beside it."""
    return frozenset({event_type}) | {name for name, each in CATALOGUE.items() if each.of == event_type}


def _elapsed_s(event: JourneyEvent) -> int:
    return int((event.ended_at - event.started_at).total_seconds())


def _lead_s(event: JourneyEvent) -> int:
    booked_at, departs_at = (datetime.fromisoformat(event.data[name]) for name in ("booked_at", "departs_at"))
    return int((departs_at - booked_at).total_seconds())


def _minutes_into_day(event: JourneyEvent) -> int:
    """Return the place's clock at the moment in minutes, counted on past midnight: 00:35 of the night is 1,475."""
    expected_at = datetime.fromisoformat(event.data["expected_at"])
    days = (expected_at.date() - date.fromisoformat(event.data["on"])).days
    return days * 1_440 + expected_at.hour * 60 + expected_at.minute


_DERIVED: dict[str, Callable[[JourneyEvent], int]] = {
    "elapsed_s": _elapsed_s,
    "delay_s": _elapsed_s,
    "lead_s": _lead_s,
    "minutes_into_day": _minutes_into_day,
}


def figure_reader(member: str) -> Callable[[JourneyEvent], int]:
    """Return how a figure is read of an event: a member, or what its members give, such as `delay_s`."""
    return _DERIVED.get(member) or (lambda event: int(event.data[member]))


def figure_of(event: JourneyEvent, member: str) -> int:
    """Return a figure of an event."""
    return figure_reader(member)(event)


def identity_of(event: JourneyEvent) -> tuple[object, ...] | None:
    """Return what an event is about, None where it stands for itself. A moment stands for its local date."""
    names = CATALOGUE[event.type].identity
    if not names:
        return None
    return tuple([event.started_at.date() if name == "started_at" else event.data[name] for name in names])
