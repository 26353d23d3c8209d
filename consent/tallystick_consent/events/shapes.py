"""The data of each event type: its members, their types and bounds, and nothing else.

Pure. Types are strict: `false` is not 0, an unknown member is refused, a time without its UTC offset is no time, and
money is an integer of the asset's minor unit.

Source: SCENARIOS sections 1 to 5 (events of the journeys), RFC 3339 (times), ISO 8601 (dates).
"""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tallystick_consent.fields import Asset, Strict

TRACK_POINTS_MAX = 5_000
STEPS_DAY_MAX = 1_000_000
"""A day's steps a file may state; what is plausible is for a rule's cap to say."""

DAY_ELAPSED_MIN_S, DAY_ELAPSED_MAX_S = 22 * 3_600, 26 * 3_600
"""How long a local day may last: clocks change by an hour as a rule, and by two at most."""

DATE_SPREAD_DAYS_MAX = 1
"""How far a date that a bank or hotel writes may lie from the day of the moment it stands beside."""


def _offset_time(text: str) -> str:
    """Refuse a time that names no UTC offset: local days cannot be told from it."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or moment.isoformat() != text:
        raise ValueError("a time must be RFC 3339 with a numeric UTC offset, in its one spelling")
    return text


def _plain_date(text: str) -> str:
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError("a date is written YYYY-MM-DD")
    return text


Moment = Annotated[str, Field(max_length=25), AfterValidator(_offset_time)]
"""A time as RFC 3339 with its numeric offset, such as `2027-03-05T18:02:00-05:00`; its length leaves whole seconds."""

Day = Annotated[str, Field(max_length=10), AfterValidator(_plain_date)]
"""A date as ISO 8601, such as `2027-03-05`."""

Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,79}$")]
"""A short name of the source's own: a facility, a device class, a zone."""

"""An asset with its scale, such as `USD/2`."""

Minor = Annotated[int, Field(ge=0, lt=2**53)]
SignedMinor = Annotated[int, Field(gt=-(2**53), lt=2**53)]
Revision = Annotated[int, Field(ge=1, le=10_000)]
"""Which telling of the same thing this is, after the first; the highest holds."""

Ordinal = Annotated[int, Field(ge=0, le=1_000_000)]
"""The number of a segment or stay within its trip, from 0: the slot of its answer."""


class Data(Strict):
    """What all event data has in common: strict, closed, frozen."""


class VisitEnded(Data):
    """A stay at a facility that has ended.

    Attributes:
        facility: the source's own id of the place.
        time_zone: IANA name of the facility's zone.
        source: what saw it.
        assurance: how sure the source is of it.
        track: where it was seen: seconds since the start, latitude and longitude in microdegrees; off by default.
    """

    facility: Token
    started_at: Moment
    ended_at: Moment
    time_zone: Token
    source: Literal["turnstile", "geofence"]
    assurance: Literal["operator", "device", "device_attested"]
    track: Annotated[list[tuple[int, int, int]], Field(max_length=TRACK_POINTS_MAX)] | None = None


class Since(Data):
    """Something holds from a time on: a membership, or its end."""

    since: Moment


class HomeSet(Data):
    """The zone the subject lives in, from a time on."""

    since: Moment
    time_zone: Token


class TierSet(Data):
    """The subject's standing with a partner, from a time on."""

    since: Moment
    tier: Token


class StepsDay(Data):
    """The steps of one local day from one source, the source's own doubles already out.

    Attributes:
        started_at, ended_at: local midnights, each with its offset.
        source: the source's own name of the device or app class; it never leaves the node.
        steps: all of them, those entered by hand included.
        manual_steps: those entered by hand.
        assurance: `device_inconsistent` where the day's total disagrees with the hours it is made of.
    """

    started_at: Moment
    ended_at: Moment
    time_zone: Token
    source: Token
    steps: Annotated[int, Field(ge=0, le=STEPS_DAY_MAX)]
    manual_steps: Annotated[int, Field(ge=0, le=STEPS_DAY_MAX)]
    assurance: Literal["device", "device_attested", "device_inconsistent"]

    @model_validator(mode="after")
    def _sound(self) -> "StepsDay":
        if self.manual_steps > self.steps:
            raise ValueError("more steps were entered by hand than there are")
        elapsed_s = (datetime.fromisoformat(self.ended_at) - datetime.fromisoformat(self.started_at)).total_seconds()
        if not DAY_ELAPSED_MIN_S <= elapsed_s <= DAY_ELAPSED_MAX_S:
            raise ValueError("a day lasts from one local midnight to the next")
        return self


class StepsDayCorrected(StepsDay):
    """Another total for a day that was told before."""

    revision: Revision


class BalanceDay(Data):
    """What an account held at the end of a posting day."""

    account: Token
    on: Day
    closed_at: Moment
    amount: SignedMinor
    asset: Asset

    @model_validator(mode="after")
    def _sound(self) -> "BalanceDay":
        require_near(self.on, self.closed_at)
        return self


class BankLine(Data):
    """A line of a statement.

    Attributes:
        line: the bank's own stable id of it.
        on: the posting date, which a rule counts by.
        amount: what came in; what went out is negative.
        category: the bank's own word for what it was, such as `card`.
    """

    line: Token
    account: Token
    on: Day
    posted_at: Moment
    amount: SignedMinor
    asset: Asset
    category: Token

    @model_validator(mode="after")
    def _sound(self) -> "BankLine":
        require_near(self.on, self.posted_at)
        return self


class BankLineSuperseded(BankLine):
    """A line as it stands now, in place of what was told before."""

    revision: Revision


class BankLineRemoved(Data):
    """A line that is not there any more."""

    line: Token
    removed_at: Moment
    revision: Revision


class PeriodReconciled(Data):
    """How far books are reconciled, and how many lines found no match."""

    at: Moment
    through: Day
    unmatched: Annotated[int, Field(ge=0, le=1_000_000)]


class Purchase(Data):
    """Something bought in a shop.

    Attributes:
        purchase: the shop's own id of it.
        at: when, with the offset of the store.
        time_zone: IANA name of the store's zone.
        store: the shop's own id of the store.
    """

    purchase: Token
    at: Moment
    time_zone: Token
    store: Token
    amount: Minor
    asset: Asset


class PurchaseCorrected(Purchase):
    """A purchase as it stands now, after part of it came back for example."""

    revision: Revision


class PurchaseReturned(Data):
    """A purchase that came back as a whole."""

    purchase: Token
    at: Moment
    revision: Revision


class Order(Data):
    """A journey's segment that was bought.

    Attributes:
        segment: its number within the trip, from 0.
        booked_at: when it was bought.
        scheduled_at: its departure as it was first scheduled, with the offset of the departure airport.
        departs_at: its departure as it is known now, likewise.
        time_zone: IANA name of the departure airport's zone.
    """

    segment: Ordinal
    booked_at: Moment
    scheduled_at: Moment
    departs_at: Moment
    time_zone: Token


class OrderChanged(Order):
    """A segment as it stands now."""

    revision: Revision


class ArrivalDelayed(Data):
    """A segment that arrived, and when it should have; each with the offset of the arrival airport."""

    segment: Ordinal
    scheduled_at: Moment
    actual_at: Moment


class ArrivalExpected(Data):
    """When a guest is expected: the local day of the stay's first night, and the moment with the place's offset."""

    segment: Ordinal
    told_at: Moment
    on: Day
    expected_at: Moment


class StayMoment(Data):
    """A stay that began or ended."""

    stay: Ordinal
    at: Moment


class StayNight(Data):
    """A night of a stay, and what it cost."""

    stay: Ordinal
    on: Day
    at: Moment
    amount: Minor
    asset: Asset

    @model_validator(mode="after")
    def _sound(self) -> "StayNight":
        require_near(self.on, self.at)
        return self


def require_near(on: str, at: str) -> None:
    """Refuse a date that is not of the moment beside it: it would move an event into another period.

    Raises:
        ValueError: they are more than a day apart.
    """
    if abs((date.fromisoformat(on) - datetime.fromisoformat(at).date()).days) > DATE_SPREAD_DAYS_MAX:
        raise ValueError("a date and the moment beside it are of different days")
