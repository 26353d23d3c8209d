"""The journey events that rules understand: their types, their data, and the envelope they are sealed in.

Pure. Types are strict: `false` is not 0, an unknown member is refused, a time without its UTC offset is no time.

Source: CloudEvents 1.0 (envelope), RFC 3339 (times), SCENARIOS section 1 (events of journey 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tallystick_consent.errors import places_in
from tallystick_ledger.encoding import canonical_json, parse_json_object
from tallystick_ledger.errors import BadInput

MEDIA_TYPE = "application/cloudevents+json"
VISIT_ELAPSED_MAX_S = 24 * 3600
TRACK_POINTS_MAX = 5_000


class EventRefused(BadInput):
    """An event does not match its type's schema."""

    code = "event_invalid"


def _offset_time(text: str) -> str:
    """Refuse a time that names no UTC offset: local days cannot be told from it."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or moment.isoformat() != text:
        raise ValueError("a time must be RFC 3339 with a numeric UTC offset, in its one spelling")
    return text


Moment = Annotated[str, Field(max_length=25), AfterValidator(_offset_time)]
"""A time as RFC 3339 with its numeric offset, such as `2027-03-05T18:02:00-05:00`; its length leaves whole seconds."""

Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,79}$")]
"""A short name of the source's own: a facility, a device class, a zone."""


class _Data(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class VisitEnded(_Data):
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


class MembershipActivated(_Data):
    """The source confirms that the subject is its member from a time on."""

    since: Moment


class MembershipEnded(_Data):
    """The subject is no member any more from a time on."""

    since: Moment


SCHEMAS: dict[str, type[VisitEnded] | type[MembershipActivated] | type[MembershipEnded]] = {
    "visit.ended": VisitEnded,
    "membership.activated": MembershipActivated,
    "membership.ended": MembershipEnded,
}


@dataclass(frozen=True, slots=True)
class JourneyEvent:
    """One event, as rules read it.

    Attributes:
        id: the entry that carries its commitment.
        type: such as `visit.ended`.
        started_at: when it began, with the offset of the place.
        ended_at: when it ended; the same where it has no length.
        data: its typed data, as plain values.
    """

    id: str
    type: str
    started_at: datetime
    ended_at: datetime
    data: Mapping[str, Any]

    @property
    def data_class(self) -> str:
        """What a receipt names to permit events of this type: the word before the dot."""
        return data_class_of(self.type)


def data_class_of(event_type: str) -> str:
    """Return the data class of an event type: `visit` of `visit.ended`."""
    return event_type.partition(".")[0]


def parse_event(event_type: str, data: Mapping[str, Any], *, event_id: str) -> JourneyEvent:
    """Return the event, its data checked against its type's schema.

    Raises:
        EventRefused: unknown type, wrong data, an end before its start, or a stay of more than a day.
        BadInput: the data has no canonical JSON.
    """
    schema = SCHEMAS.get(event_type)
    if schema is None:
        raise EventRefused("An event's type is not known here.", remedy=f"Use one of {', '.join(sorted(SCHEMAS))}.")
    try:
        # By its JSON, since strictness means the types of JSON and not those of Python.
        typed = schema.model_validate_json(canonical_json(dict(data)))
    except ValidationError as error:
        raise EventRefused(
            f"An event's data does not match its schema, at {places_in(error)}.",
            remedy=f"Send the members of {schema.__name__}, each of its type.",
        ) from error
    if not isinstance(typed, VisitEnded):
        moment = datetime.fromisoformat(typed.since)
        return JourneyEvent(event_id, event_type, moment, moment, dict(data))
    started_at, ended_at = datetime.fromisoformat(typed.started_at), datetime.fromisoformat(typed.ended_at)
    elapsed_s = (ended_at - started_at).total_seconds()
    if not 0 <= elapsed_s <= VISIT_ELAPSED_MAX_S:
        raise EventRefused(
            "A visit ends before it starts, or lasts more than a day.", remedy="Send both times with their offsets."
        )
    return JourneyEvent(event_id, event_type, started_at, ended_at, dict(data))


def event_payload(event: JourneyEvent, *, source: str, subject: str, receipt: str) -> bytes:
    """Return the event in the envelope that is sealed and committed to: canonical JSON of a CloudEvent.

    Args:
        event: the event.
        source: host name of the partner that records it.
        subject: the partner's own id of the customer; it stays inside the seal.
        receipt: id of the receipt under which it is kept.
    """
    return canonical_json(
        {
            "specversion": "1.0",
            "id": event.id,
            "source": f"//{source}",
            "type": event.type,
            "time": event.started_at.isoformat(),
            "subject": subject,
            "datacontenttype": "application/json",
            "tallyreceipt": receipt,
            "data": dict(event.data),
        }
    )


def parse_payload(payload: bytes) -> JourneyEvent:
    """Return the event in an opened payload.

    Raises:
        BadInput: the payload is not one that `event_payload` wrote.
    """
    envelope = parse_json_object(payload)
    match envelope:
        case {
            "id": str(event_id),
            "source": str(source),
            "type": str(event_type),
            "subject": str(subject),
            "tallyreceipt": str(receipt),
            "data": dict(),
        }:
            event = parse_event(event_type, envelope["data"], event_id=event_id)
            # All else in the envelope follows from these, so writing it again checks the rest, its spelling included.
            if event_payload(event, source=source.removeprefix("//"), subject=subject, receipt=receipt) == payload:
                return event
        case _:
            pass
    raise BadInput("A payload is not an event's envelope.", remedy="Record events with this version's node.")
