"""The rules of the journeys as data (docs/examples), and the events that they read."""

import json
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from places import ROOT

from tallystick_consent.events import JourneyEvent, parse_event
from tallystick_consent.rules import Period, Rule, Zones, parse_conjunction, period_named
from tallystick_consent.rules.conjunction import Conjunction

EXAMPLES = ROOT / "docs" / "examples"
NEW_YORK, LISBON = ZoneInfo("America/New_York"), ZoneInfo("Europe/Lisbon")
AT_HOME = Zones(home=NEW_YORK)


def rule_file(name: str) -> Path:
    """Return where an example rule lies."""
    return EXAMPLES / "rules" / f"{name}.json"


def document(name: str) -> dict[str, Any]:
    """Return the document of an example rule."""
    return dict(json.loads(rule_file(name).read_text()))


def rule_named(name: str) -> Rule:
    """Return an example rule."""
    return parsed(document(name))


def parsed(value: object) -> Rule:
    """Return the rule of a document."""
    return Rule.model_validate_json(json.dumps(value))


def measured(name: str, **changes: object) -> Rule:
    """Return an example rule with other members of its measure."""
    found = document(name)
    (measure,) = found["measures"]
    return parsed({**found, "measures": [{**measure, **changes}]})


def conjunction_named(name: str) -> Conjunction:
    """Return an example conjunction."""
    return parse_conjunction(json.loads((EXAMPLES / "conjunctions" / f"{name}.json").read_text()))


def over(rule: Rule, name: str, zone: ZoneInfo = NEW_YORK) -> Period:
    """Return a period of a rule."""
    return period_named(name, rule=rule, zone=zone)


def steps(
    day: str, count: int, *, manual: int = 0, source: str = "watch", zone: ZoneInfo = NEW_YORK, **more: Any
) -> JourneyEvent:
    """Return the steps of a local day; `revision` makes it a correction, `recorded` says when it was recorded."""
    first = date.fromisoformat(day)
    started_at, ended_at = (datetime.combine(first + timedelta(days=each), time(), zone) for each in (0, 1))
    data = {
        "started_at": started_at.isoformat(),
        "ended_at": ended_at.isoformat(),
        "time_zone": zone.key,
        "source": source,
        "steps": count,
        "manual_steps": manual,
        "assurance": more.pop("assurance", "device"),
    }
    return told("steps.corrected" if "revision" in more else "steps.day_closed", f"{source} {day}", data, **more)


def told(
    event_type: str, what: str, data: dict[str, Any], *, revision: int = 0, recorded: str = "", name: str = ""
) -> JourneyEvent:
    """Return an event, its data checked; its id is made of what it is about, so that no two tests share one."""
    found = parse_event(
        event_type,
        {**data, "revision": revision} if revision else data,
        event_id=name or f"{event_type} {what} {revision} {recorded}",
    )
    if not recorded:
        return found
    at_s = int(datetime.fromisoformat(recorded).timestamp())
    return JourneyEvent(found.id, found.type, found.started_at, found.ended_at, found.data, recorded_at_s=at_s)


def march_days() -> list[str]:
    """Return the days of March 2027."""
    return [f"2027-03-{day:02}" for day in range(1, 32)]


ANA_STEPS = {day: 14_000 if at < 11 else 9_722 for at, day in enumerate(march_days())}
"""Ana's March: 348,440 steps, 11,240 a day; 11 days of at least 12,000 and 20 of 5,000 to 11,999."""


def ana_march() -> list[JourneyEvent]:
    """Return Ana's steps in March 2027."""
    return [steps(day, count) for day, count in ANA_STEPS.items()]


def purchase(at: str, amount: int, *, what: str = "", store: str = "store-1", **more: Any) -> JourneyEvent:
    """Return a purchase, in cents of a dollar."""
    data = {
        "purchase": what or f"p-{at[:10]}-{amount}",
        "at": at,
        "time_zone": "America/New_York",
        "store": store,
        "amount": amount,
        "asset": "USD/2",
    }
    return told("purchase.corrected" if "revision" in more else "purchase.made", str(data["purchase"]), data, **more)


def line(on: str, amount: int, category: str, *, what: str = "", **more: Any) -> JourneyEvent:
    """Return a bank line, in cents of a dollar; what goes out is negative."""
    data = {
        "line": what or f"l-{on}-{category}-{abs(amount)}",
        "account": "checking-4821",
        "on": on,
        "posted_at": f"{on}T12:00:00-05:00",
        "amount": amount,
        "asset": "USD/2",
        "category": category,
    }
    return told("line.superseded" if "revision" in more else "line.posted", str(data["line"]), data, **more)


def balance(on: str, amount: int) -> JourneyEvent:
    """Return what an account held at the end of a day."""
    data = {"account": "checking-4821", "on": on, "closed_at": f"{on}T23:00:00-05:00", "amount": amount}
    return told("balance.day_closed", on, {**data, "asset": "USD/2"})
