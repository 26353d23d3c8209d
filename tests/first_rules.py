"""The first evaluation of a rule, as it was before there was a language: a second opinion on every answer.

Kept whole and apart, so that the language can be shown to answer the first form's documents as they always were.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from tallystick_consent.events import JourneyEvent
from tallystick_consent.rules import Evaluation, Period, VisitDays


def first_evaluation(rule: VisitDays, events: Sequence[JourneyEvent], *, period: Period) -> Evaluation:
    """Return the answer that was given before."""
    not_counted: Counter[str] = Counter()
    chosen: list[JourneyEvent] = []
    for event in events:
        if event.type != rule.events:
            continue
        if all(event.data.get(each.member) in each.one_of for each in rule.where):
            chosen.append(event)
        else:
            not_counted["filtered_out"] += 1
    qualifying: dict[date, list[_Visit]] = {}
    for visit in _merged(chosen, within_s=rule.merge_within_s):
        if f"{visit.started_at.year:04}-{visit.started_at.month:02}" != period.name:
            not_counted["outside_period"] += len(visit.events)
        elif visit.present_s < rule.day_min_elapsed_s:
            not_counted["too_short"] += len(visit.events)
        else:
            qualifying.setdefault(visit.started_at.date(), []).append(visit)
    behind = [event for visits in qualifying.values() for visit in visits for event in visit.events]
    active = _is_active(rule, events, period)
    if not active and behind:
        not_counted["membership_not_active"] += len(behind)
    return Evaluation(
        satisfied=active and len(qualifying) >= rule.at_least,
        figure=len(qualifying),
        assurance=_assurance(behind),
        counted=len(behind) if active else 0,
        not_counted=dict(not_counted),
    )


@dataclass(slots=True)
class _Visit:
    started_at: datetime
    until: datetime
    present_s: float
    events: list[JourneyEvent]


def _merged(events: Sequence[JourneyEvent], *, within_s: int) -> list[_Visit]:
    visits: list[_Visit] = []
    for event in sorted(events, key=lambda each: (each.started_at, each.ended_at, each.id)):
        last = visits[-1] if visits else None
        if last is None or (event.started_at - last.until).total_seconds() >= within_s:
            elapsed_s = (event.ended_at - event.started_at).total_seconds()
            visits.append(_Visit(event.started_at, event.ended_at, elapsed_s, [event]))
            continue
        seen_from = max(event.started_at, last.until)
        last.present_s += max(0.0, (event.ended_at - seen_from).total_seconds())
        last.until = max(last.until, event.ended_at)
        last.events.append(event)
    return visits


def _is_active(rule: VisitDays, events: Sequence[JourneyEvent], period: Period) -> bool:
    if rule.requires_active is None:
        return True
    words = [
        (event.started_at, event.type)
        for event in events
        if event.data_class == rule.requires_active and event.started_at.timestamp() < period.end_s
    ]
    return bool(words) and max(words)[1] == f"{rule.requires_active}.activated"


def _assurance(events: Sequence[JourneyEvent]) -> str:
    sources = {str(event.data["source"]) for event in events}
    return sources.pop() if len(sources) == 1 else "mixed" if sources else ""
