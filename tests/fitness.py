"""The program of journey 1 as data, and the events it reads (SCENARIOS section 1)."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from story import GYM, INSURER

from tallystick_consent.events import JourneyEvent, parse_event
from tallystick_consent.rules import VisitDays

NEW_YORK = ZoneInfo("America/New_York")

ANA_MARCH = {1: 55, 2: 48, 4: 61, 5: 40, 8: 52, 9: 35, 11: 70, 12: 44, 15: 58, 18: 22, 19: 47, 22: 65, 25: 51}
"""Day of March 2027 and minutes of each visit: 13 visits, 12 qualifying days."""

RULE_DOCUMENT: Mapping[str, Any] = {
    "events": "visit.ended",
    "where": [{"member": "source", "one_of": ["geofence", "turnstile"]}],
    "merge_within_s": 8 * 3600,
    "day_basis": "facility_local",
    "day_min_elapsed_s": 30 * 60,
    "measure": "qualified_days",
    "at_least": 12,
    "period": "calendar_month",
    "zone": "America/New_York",
    "close_day": 15,
    "requires_active": "membership",
}

PROGRAM_DOCUMENT: Mapping[str, Any] = {
    "program": "ins-fit",
    "version": 1,
    "title": "Twelve active days a month",
    "payer": INSURER,
    "issuers": [GYM],
    "purpose": "dpv:PersonalisedBenefits",
    "rung": "predicate",
    "data_classes": ["membership", "visit"],
    "rule": RULE_DOCUMENT,
    "claim_valid_days": 30,
    "consent_days": 365,
    "retention_days": 90,
    "reward": {"asset": "USD/2", "amount": 2000},
    "budget": {"asset": "USD/2", "amount": 10000},
    "fee": {"asset": "USD/2", "amount": 100},
    "notice": {
        "statement": "Your gym tells your insurer whether you trained on at least 12 days in a month.",
        "example": "They see: at least 12 days in March: yes.",
        "silence": "If nothing comes, they can take it that you did not reach 12 days.",
        "hidden": "Never: how often, when, where, how long, or what you did.",
        "reward": "$20.00 off your premium for each such month.",
    },
}


def rule(**changes: object) -> VisitDays:
    """Return the rule of journey 1 with other values for some members; membership is not asked for unless said."""
    return VisitDays.model_validate_json(json.dumps({**RULE_DOCUMENT, "where": [], "requires_active": None, **changes}))


def visit_between(start: str, end: str, *, name: str = "", **data: object) -> JourneyEvent:
    """Return a visit between two times with their offsets."""
    typed = {
        "facility": "club-7",
        "started_at": start,
        "ended_at": end,
        "time_zone": "America/New_York",
        "source": "turnstile",
        "assurance": "operator",
        **data,
    }
    return parse_event("visit.ended", typed, event_id=name or f"evt {start} {end} {typed['source']}")


def visit(start: str, minutes: float, **data: object) -> JourneyEvent:
    """Return a visit from a local time in New York, such as `2027-03-05 18:00`."""
    started = datetime.fromisoformat(start).replace(tzinfo=NEW_YORK)
    ended = (started.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(NEW_YORK)
    return visit_between(started.isoformat(), ended.isoformat(), **data)


def march(without: tuple[int, ...] = ()) -> list[JourneyEvent]:
    """Return Ana's visits in March 2027, each at 18:00."""
    return [visit(f"2027-03-{day:02} 18:00", each) for day, each in ANA_MARCH.items() if day not in without]


def membership(word: str, since: str) -> JourneyEvent:
    """Return `activated` or `ended`, from a time with its offset on."""
    return parse_event(f"membership.{word}", {"since": since}, event_id=f"evt {word} {since}")
