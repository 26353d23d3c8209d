"""Type and data of the journey events that rules understand, for `events.record`, made from plain Python values.

Pure but for the time zone database. What a node would refuse for its form is refused here, by the same schema.

Source: `tallystick_consent.events`.
"""

from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tallystick_consent.events import EventRefused, parse_event

_NO_ID = ""
"""An event has an id once a node has recorded it."""


def visit(
    *,
    facility: str,
    started_at: datetime,
    ended_at: datetime,
    time_zone: str,
    source: Literal["turnstile", "geofence"] = "turnstile",
    assurance: Literal["operator", "device", "device_attested"] = "operator",
) -> tuple[str, dict[str, Any]]:
    """Return type and data of a stay that has ended.

    Args:
        facility: the source's own id of the place.
        started_at: with a time zone; written with the offset of the place, fractions of a second left out.
        ended_at: the same.
        time_zone: IANA name of the facility's zone.
        source: what saw it.
        assurance: how sure the source is of it.

    Raises:
        EventRefused: a time without its zone, an unknown zone, an end before its start, a stay of more than a day.
    """
    zone = _zone(time_zone, "A visit's time zone is not known.")
    return _checked(
        "visit.ended",
        {
            "facility": facility,
            "started_at": _moment(started_at, zone),
            "ended_at": _moment(ended_at, zone),
            "time_zone": time_zone,
            "source": source,
            "assurance": assurance,
        },
    )


def membership_activated(*, since: datetime) -> tuple[str, dict[str, Any]]:
    """Return type and data of a membership that holds from a time on.

    Raises:
        EventRefused: the time has no zone.
    """
    return _checked("membership.activated", {"since": _moment(since)})


def membership_ended(*, since: datetime) -> tuple[str, dict[str, Any]]:
    """Return type and data of a membership that holds no more from a time on.

    Raises:
        EventRefused: the time has no zone.
    """
    return _checked("membership.ended", {"since": _moment(since)})


def home_set(*, time_zone: str, since: datetime) -> tuple[str, dict[str, Any]]:
    """Return type and data of where a subject lives from a time on, by its IANA zone and nothing nearer.

    Raises:
        EventRefused: the zone is not known, or the time names no offset.
    """
    _zone(time_zone, "A home's time zone is not known.")
    return _checked("home.set", {"since": _moment(since), "time_zone": time_zone})


def _zone(name: str, problem: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise EventRefused(problem, remedy="Pass its IANA name.") from error


def _moment(at: datetime, zone: ZoneInfo | None = None) -> str:
    if at.utcoffset() is None:
        raise EventRefused("A time names no UTC offset.", remedy="Pass a datetime with a time zone.")
    return (at if zone is None else at.astimezone(zone)).replace(microsecond=0).isoformat()


def _checked(event_type: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    parse_event(event_type, data, event_id=_NO_ID)
    return event_type, data
