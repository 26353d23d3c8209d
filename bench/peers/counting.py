"""Floors for rules: a month counted, or averaged, without a rule."""

from collections.abc import Sequence

from tallystick_consent.events import JourneyEvent


def days_in(month: str, events: Sequence[JourneyEvent], *, min_elapsed_s: int) -> int:
    """Return on how many days of a month, such as `2027-03`, a visit of some length began."""
    year, number = int(month[:4]), int(month[5:])
    return len(
        {
            event.started_at.day
            for event in events
            if event.started_at.year == year
            and event.started_at.month == number
            and (event.ended_at - event.started_at).total_seconds() >= min_elapsed_s
        }
    )


def average_steps(events: Sequence[JourneyEvent], source: str, *, days: int) -> int:
    """Return what one source's days come to on average, rounded down."""
    return sum(int(event.data["steps"]) for event in events if event.data["source"] == source) // days
