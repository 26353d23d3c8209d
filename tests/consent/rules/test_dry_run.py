"""A rule tried on past months: counts for an operator, and no subject in them."""

from rulebook import AT_HOME, ana_march, march_days, over, rule_named, steps, told

from tallystick_consent.events import JourneyEvent
from tallystick_consent.rules import PastPeriod, Period, Zones, dry_run

TIER = rule_named("steps-tier")
FEBRUARY, MARCH = (over(TIER, each) for each in ("2027-02", "2027-03"))


def at_home(_events: object, _period: object) -> Zones:
    return AT_HOME


def test_past_months_are_counted_by_band_and_by_reason() -> None:
    slow = [steps(day, 4_000) for day in march_days()]
    short = [steps(day, 20_000) for day in march_days()[:5]]
    people = [ana_march(), slow, short, []]
    february, march = (dry_run(TIER, people, period=each, zones_of=at_home) for each in (FEBRUARY, MARCH))
    assert february == PastPeriod("2027-02", 3, 0, {}, 0, {"outside_period": 67}, {})
    assert march == PastPeriod("2027-03", 3, 1, {4: 1}, 62, {"coverage_too_low": 5}, {})


def test_zones_are_asked_for_each_subject() -> None:
    asked: list[tuple[int, str]] = []

    def zones(events: list[JourneyEvent], period: Period) -> Zones:
        asked.append((len(events), period.name))
        return AT_HOME

    dry_run(TIER, [ana_march(), []], period=MARCH, zones_of=zones)  # type: ignore[arg-type]
    assert asked == [(31, "2027-03"), (0, "2027-03")]


def test_each_slot_of_a_trip_is_an_answer() -> None:
    asked = rule_named("late-arrival")
    arrivals = [
        told(
            "arrival.delayed",
            str(segment),
            {"segment": segment, "scheduled_at": "2027-05-08T20:10:00+01:00", "actual_at": "2027-05-08T23:35:00+01:00"},
        )
        for segment in (0, 1)
    ]
    found = dry_run(asked, [arrivals], period=over(asked, "2027-05-08/2027-05-12"))
    assert (found.subjects, found.answers) == (1, 2)
