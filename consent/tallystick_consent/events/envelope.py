"""The envelope that journey events are sealed in, and the one way in for their data.

Pure. What is refused here never reaches a ledger.

Source: CloudEvents 1.0 (envelope), RFC 3339 (times).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from pydantic import ValidationError

from tallystick_consent.errors import places_in
from tallystick_consent.events.catalogue import CATALOGUE
from tallystick_consent.events.journey import JourneyEvent
from tallystick_ledger.encoding import canonical_json, parse_canonical_json
from tallystick_ledger.errors import BadInput
from tallystick_ledger.times import DAY_S

MEDIA_TYPE = "application/cloudevents+json"
_SPEC_VERSION, _DATA_TYPE = "1.0", "application/json"


class EventRefused(BadInput):
    """An event does not match its type's schema."""

    code = "event_invalid"


def parse_event(event_type: str, data: Mapping[str, Any], *, event_id: str) -> JourneyEvent:
    """Return the event, its data checked against its type's schema.

    Raises:
        EventRefused: unknown type, wrong data, an end before its start, or one that lasts longer than its type may.
        BadInput: the data has no canonical JSON.
    """
    plain = dict(data)
    return _parsed(event_type, plain, canonical_json(plain), event_id=event_id)


def _parsed(
    event_type: str, data: dict[str, Any], raw: bytes, *, event_id: str, recorded_at_s: int | None = None
) -> JourneyEvent:
    """Return the event of data whose JSON these bytes are."""
    kind = CATALOGUE.get(event_type)
    if kind is None:
        raise EventRefused("An event's type is not known here.", remedy=f"Use one of {', '.join(sorted(CATALOGUE))}.")
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
    return JourneyEvent(event_id, event_type, started_at, ended_at, data, recorded_at_s)


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
            "specversion": _SPEC_VERSION,
            "id": event.id,
            "source": f"//{source}",
            "type": event.type,
            "time": event.started_at.isoformat(),
            "subject": subject,
            "datacontenttype": _DATA_TYPE,
            "tallyreceipt": receipt,
            "data": dict(event.data),
        }
    )


def parse_payload(payload: bytes, *, recorded_at_s: int | None = None) -> JourneyEvent:
    """Return the event in an opened payload.

    Args:
        payload: what `event_payload` wrote.
        recorded_at_s: when the node recorded it, where the reader needs to know.

    Raises:
        BadInput: the payload is not one that `event_payload` wrote.
    """
    texts = parse_canonical_json(payload)
    data: object = texts.pop("data", None)
    # By sets: a pattern of so many members takes as long as reading the JSON does.
    if isinstance(data, dict) and texts.keys() == _TEXTS and {str}.issuperset(map(type, texts.values())):
        # The data as it stands there: the first member, since keys are sorted. Within a text no quote follows a comma,
        # so that the last such place is where the envelope's second member begins.
        raw = payload[len(_BEFORE_DATA) : payload.rindex(_BEHIND_DATA)]
        plain = cast("dict[str, Any]", data)
        event = _parsed(texts["type"], plain, raw, event_id=texts["id"], recorded_at_s=recorded_at_s)
        is_ours = texts["specversion"] == _SPEC_VERSION and texts["datacontenttype"] == _DATA_TYPE
        if is_ours and texts["source"].startswith("//") and texts["time"] == event.started_at.isoformat():
            return event
    raise BadInput("A payload is not an event's envelope.", remedy="Record events with this version's node.")


_BEFORE_DATA, _BEHIND_DATA = b'{"data":', b',"datacontenttype":'
_TEXTS = {"datacontenttype", "id", "source", "specversion", "subject", "tallyreceipt", "time", "type"}
