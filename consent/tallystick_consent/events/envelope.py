"""The envelope that journey events are sealed in, and the one way in for their data.

Pure. What is refused here never reaches a ledger.

Source: CloudEvents 1.0 (envelope), RFC 3339 (times).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from tallystick_consent.errors import places_in
from tallystick_consent.events.catalogue import CATALOGUE
from tallystick_consent.events.journey import JourneyEvent
from tallystick_ledger.encoding import canonical_json, parse_json_object
from tallystick_ledger.errors import BadInput
from tallystick_ledger.times import DAY_S

MEDIA_TYPE = "application/cloudevents+json"


class EventRefused(BadInput):
    """An event does not match its type's schema."""

    code = "event_invalid"


def parse_event(event_type: str, data: Mapping[str, Any], *, event_id: str) -> JourneyEvent:
    """Return the event, its data checked against its type's schema.

    Raises:
        EventRefused: unknown type, wrong data, an end before its start, or one that lasts longer than its type may.
        BadInput: the data has no canonical JSON.
    """
    return _parsed(event_type, dict(data), event_id=event_id)[0]


def _parsed(event_type: str, data: dict[str, Any], *, event_id: str) -> tuple[JourneyEvent, bytes]:
    """Return the event, and the canonical JSON of its data."""
    kind = CATALOGUE.get(event_type)
    if kind is None:
        raise EventRefused("An event's type is not known here.", remedy=f"Use one of {', '.join(sorted(CATALOGUE))}.")
    raw = canonical_json(data)
    try:
        # By its JSON, since strictness means the types of JSON and not those of Python.
        typed = kind.schema.model_validate_json(raw)
    except ValidationError as error:
        raise EventRefused(
            f"An event's data does not match its schema, at {places_in(error)}.",
            remedy=f"Send the members of {kind.schema.__name__}, each of its type.",
        ) from error
    started_at, ended_at = (datetime.fromisoformat(getattr(typed, name)) for name in (kind.starts, kind.ends))
    if kind.lasts_max_s is not None and not 0 <= (ended_at - started_at).total_seconds() <= kind.lasts_max_s:
        days = kind.lasts_max_s // DAY_S
        raise EventRefused(
            f"An event ends before it starts, or lasts more than {'a day' if days == 1 else f'{days} days'}.",
            remedy="Send both times with their offsets.",
        )
    return JourneyEvent(event_id, event_type, started_at, ended_at, data), raw


def event_payload(event: JourneyEvent, *, source: str, subject: str, receipt: str) -> bytes:
    """Return the event in the envelope that is sealed and committed to: canonical JSON of a CloudEvent.

    Args:
        event: the event.
        source: host name of the partner that records it.
        subject: the partner's own id of the customer; it stays inside the seal.
        receipt: id of the receipt under which it is kept.
    """
    return _payload(event, canonical_json(dict(event.data)), source=f"//{source}", subject=subject, receipt=receipt)


def _payload(event: JourneyEvent, raw: bytes, *, source: str, subject: str, receipt: str) -> bytes:
    """Return the envelope of an event whose data are these bytes; data is its first member, since keys are sorted."""
    around = canonical_json(
        {
            "specversion": "1.0",
            "id": event.id,
            "source": source,
            "type": event.type,
            "time": event.started_at.isoformat(),
            "subject": subject,
            "datacontenttype": "application/json",
            "tallyreceipt": receipt,
        }
    )
    return b'{"data":' + raw + b"," + around[1:]


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
            event, raw = _parsed(event_type, envelope["data"], event_id=event_id)
            source = f"//{source.removeprefix('//')}"
            # All else in the envelope follows from these, so writing it again checks the rest, its spelling included.
            if _payload(event, raw, source=source, subject=subject, receipt=receipt) == payload:
                return event
        case _:
            pass
    raise BadInput("A payload is not an event's envelope.", remedy="Record events with this version's node.")
