"""Rules as data: Ana's month, the edges of days, months and merging, and the same answer in whatever order."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from fitness import NEW_YORK, RULE_DOCUMENT, march, membership, rule, visit, visit_between
from hypothesis import given
from hypothesis import strategies as st

from tallystick_consent.events import JourneyEvent
from tallystick_consent.rules import Evaluation, Period, VisitDays, evaluate, name_of, period_named
from tallystick_ledger.errors import BadInput

MARCH = period_named("2027-03", rule=rule(), zone=NEW_YORK)
HALF_AN_HOUR = rule(at_least=1)
ACTIVE = rule(at_least=1, requires_active="membership")


def answer(events: list[JourneyEvent], asked: VisitDays | None = None, *, period: Period = MARCH) -> Evaluation:
    return evaluate(asked or rule(), events, period=period)


def days(events: list[JourneyEvent], *, period: Period = MARCH) -> int:
    return answer(events, HALF_AN_HOUR, period=period).figure


# Ana's month


def test_1_01_ana_has_twelve_days_of_thirteen_visits() -> None:
    assert answer(march()) == Evaluation(True, 12, "turnstile", 12, {"too_short": 1})


def test_1_02_two_swipes_and_a_geofence_record_are_one_day() -> None:
    more = [
        visit("2027-03-22 19:10", 20),
        visit("2027-03-22 17:55", 75, source="geofence", assurance="device"),
    ]
    assert answer(march() + more) == Evaluation(True, 12, "mixed", 14, {"too_short": 1})


def test_1_03_eleven_days_are_not_enough() -> None:
    found = answer(march(without=(25,)))
    assert (found.satisfied, found.figure) == (False, 11)


def test_1_05_a_visit_belongs_to_the_day_and_month_on_which_it_starts() -> None:
    for late in (visit("2027-03-31 23:10", 40), visit("2027-03-31 23:45", 35)):
        assert answer([*march(without=(25,)), late]).satisfied
        assert days([late], period=period_named("2027-04", rule=rule(), zone=NEW_YORK)) == 0


def test_one_day_below_the_threshold_and_at_it() -> None:
    visits = [visit("2027-03-01 18:00", 30), visit("2027-03-02 18:00", 30)]
    assert answer(visits, rule(at_least=2)).satisfied
    assert not answer(visits, rule(at_least=3)).satisfied


def test_a_month_without_visits_has_no_days() -> None:
    assert answer([]) == Evaluation(False, 0, "", 0, {})


def test_the_statement_is_in_words_of_the_rule() -> None:
    assert rule().statement("2027-03") == "visit.qualified_days(2027-03) >= 12"


def test_the_rule_names_the_data_classes_it_reads() -> None:
    assert rule().data_classes == {"visit"}
    assert ACTIVE.data_classes == {"visit", "membership"}


# How long, and what is one visit


def test_a_second_below_half_an_hour_and_at_it() -> None:
    assert answer([visit("2027-03-05 18:00", 30 - 1 / 60)]).not_counted == {"too_short": 1}
    assert days([visit("2027-03-05 18:00", 30)]) == 1


def test_visits_less_than_eight_hours_apart_are_one() -> None:
    """Each alone is too short: only together do they make a day."""
    morning = visit_between("2027-03-05T08:00:00-05:00", "2027-03-05T08:20:00-05:00")
    near = visit_between("2027-03-05T16:19:59-05:00", "2027-03-05T16:35:00-05:00")
    apart = visit_between("2027-03-05T16:20:00-05:00", "2027-03-05T16:35:00-05:00")
    assert days([morning, near]) == 1
    assert days([morning, apart]) == 0


def test_merging_over_midnight_leaves_one_day() -> None:
    evening, morning = visit("2027-03-05 23:00", 40), visit("2027-03-06 05:00", 40)
    assert days([evening, morning]) == 1
    assert days([evening, visit("2027-03-06 07:40", 40)]) == 2


def test_what_merges_with_last_months_visit_belongs_to_last_month() -> None:
    found = answer([visit("2027-02-28 23:00", 40), visit("2027-03-01 05:00", 40)])
    assert (found.figure, found.not_counted) == (0, {"outside_period": 2})


def test_a_short_visit_does_not_lengthen_the_gap() -> None:
    """A long visit holds a short one; the gap is counted from the end of the long one."""
    long = visit_between("2027-03-05T08:00:00-05:00", "2027-03-05T08:20:00-05:00")
    short = visit_between("2027-03-05T08:01:00-05:00", "2027-03-05T08:02:00-05:00")
    later = visit_between("2027-03-05T16:19:00-05:00", "2027-03-05T16:29:00-05:00")
    assert days([long, short, later]) == 1


def test_presence_that_two_devices_saw_counts_once() -> None:
    seen_twice = [
        visit("2027-03-05 18:00", 20),
        visit("2027-03-05 18:00", 20, source="geofence", assurance="device"),
        visit("2027-03-05 18:05", 10, source="geofence", assurance="device"),
    ]
    assert days(seen_twice) == 0
    assert days([*seen_twice, visit("2027-03-05 18:15", 15)]) == 1


def test_time_between_merged_visits_does_not_count() -> None:
    first = visit_between("2027-03-05T18:00:00-05:00", "2027-03-05T18:15:00-05:00")
    assert days([first, visit_between("2027-03-05T19:00:00-05:00", "2027-03-05T19:14:59-05:00")]) == 0
    assert days([first, visit_between("2027-03-05T19:00:00-05:00", "2027-03-05T19:15:00-05:00")]) == 1


def test_two_short_visits_far_apart_on_one_day_are_no_day() -> None:
    """A day's longest visit counts, not the sum of its visits."""
    assert days([visit("2027-03-05 06:00", 20), visit("2027-03-05 20:00", 20)]) == 0


def test_two_good_visits_on_one_day_are_one_day() -> None:
    found = answer([visit("2027-03-05 06:00", 40), visit("2027-03-05 20:00", 40)], HALF_AN_HOUR)
    assert (found.figure, found.counted) == (1, 2)


# Clocks that change


@pytest.mark.parametrize(("end", "counted"), [("03:10:00", 0), ("03:14:59", 0), ("03:15:00", 1)])
def test_the_hour_that_spring_leaves_out_does_not_count(end: str, counted: int) -> None:
    """On 14 March 2027 it is 3:00 a second after 1:59:59 in New York: 1:45 to 3:10 is 25 minutes."""
    assert days([visit_between("2027-03-14T01:45:00-05:00", f"2027-03-14T{end}-04:00")]) == counted


def test_the_hour_that_autumn_repeats_counts() -> None:
    """On 7 November 2027 it is 1:00 again after 1:59:59: 1:45 to 1:15 is half an hour."""
    november = period_named("2027-11", rule=rule(), zone=NEW_YORK)
    assert days([visit_between("2027-11-07T01:45:00-04:00", "2027-11-07T01:15:00-05:00")], period=november) == 1
    assert days([visit_between("2027-11-07T01:45:00-04:00", "2027-11-07T01:14:59-05:00")], period=november) == 0


def test_a_gap_over_the_change_is_elapsed_time() -> None:
    """From 22:00 to 7:00 the clock shows nine hours; eight have gone, so the visits are two."""
    evening = visit_between("2027-03-13T21:40:00-05:00", "2027-03-13T22:00:00-05:00")
    assert days([evening, visit_between("2027-03-14T06:59:59-04:00", "2027-03-14T07:14:59-04:00")]) == 1
    assert days([evening, visit_between("2027-03-14T07:00:00-04:00", "2027-03-14T07:15:00-04:00")]) == 0


def test_a_day_is_that_of_the_place() -> None:
    """Half past eleven on 31 March in Honolulu is April in New York already: the place says March."""
    honolulu = visit_between("2027-03-31T23:30:00-10:00", "2027-04-01T00:10:00-10:00", time_zone="Pacific/Honolulu")
    assert days([honolulu]) == 1
    tokyo = visit_between("2027-04-01T00:30:00+09:00", "2027-04-01T01:10:00+09:00", time_zone="Asia/Tokyo")
    assert days([tokyo]) == 0


# What does not count


def test_a_visit_of_another_month_is_left_out_with_a_reason() -> None:
    found = answer([visit("2027-02-28 18:00", 40), visit("2027-04-01 18:00", 40)])
    assert (found.figure, found.counted, found.not_counted) == (0, 0, {"outside_period": 2})


def test_a_filter_leaves_out_what_it_does_not_name() -> None:
    only_club_7 = rule(at_least=1, where=[{"member": "facility", "one_of": ["club-7"]}])
    found = answer([visit("2027-03-05 18:00", 40), visit("2027-03-06 18:00", 40, facility="club-8")], only_club_7)
    assert (found.figure, found.not_counted) == (1, {"filtered_out": 1})


def test_all_filters_must_hold() -> None:
    both = [{"member": "facility", "one_of": ["club-7"]}, {"member": "source", "one_of": ["turnstile"]}]
    at_club = visit("2027-03-05 18:00", 40, source="geofence", assurance="device")
    assert answer([at_club], rule(at_least=1, where=both)).figure == 0
    assert answer([visit("2027-03-05 18:00", 40)], rule(at_least=1, where=both)).figure == 1


def test_1_20_evidence_below_the_programs_minimum_counts_nothing() -> None:
    attested = rule(at_least=1, where=[{"member": "assurance", "one_of": ["operator", "device_attested"]}])
    spoofed = visit("2027-03-05 18:00", 40, source="geofence", assurance="device")
    assert answer([spoofed], attested).not_counted == {"filtered_out": 1}


@pytest.mark.parametrize(
    ("words", "active"),
    [
        ([], False),
        ([("activated", "2027-03-31T23:59:59-04:00")], True),
        ([("activated", "2027-04-01T00:00:00-04:00")], False),  # after the month
        ([("activated", "2025-01-01T00:00:00-05:00")], True),  # long before it
        ([("activated", "2027-03-01T09:00:00-05:00"), ("ended", "2027-03-31T23:59:59-04:00")], False),
        ([("activated", "2027-03-01T09:00:00-05:00"), ("ended", "2027-04-01T00:00:00-04:00")], True),
        ([("ended", "2027-03-01T09:00:00-05:00")], False),
        (
            [
                ("activated", "2027-01-01T09:00:00-05:00"),
                ("ended", "2027-03-10T09:00:00-05:00"),
                ("activated", "2027-03-20T09:00:00-04:00"),
            ],
            True,
        ),
        ([("activated", "2027-03-01T09:00:00-05:00"), ("ended", "2027-03-01T09:00:00-05:00")], False),  # both at once
        # The later moment has the earlier clock time: it is moments that are compared.
        ([("activated", "2027-03-10T23:00:00+09:00"), ("ended", "2027-03-10T20:00:00-05:00")], False),
    ],
)
def test_the_last_word_on_membership_before_the_month_ends_decides(words: list[tuple[str, str]], active: bool) -> None:
    told = [membership(word, since) for word, since in words]
    for events in ([visit("2027-03-05 18:00", 40), *told], [*reversed(told), visit("2027-03-05 18:00", 40)]):
        found = answer(events, ACTIVE)
        assert (found.satisfied, found.counted) == (active, int(active))
        assert found.not_counted == ({} if active else {"membership_not_active": 1})


@pytest.mark.parametrize(
    ("sources", "assurance"),
    [
        (("turnstile", "turnstile"), "turnstile"),
        (("geofence", "geofence"), "geofence"),
        (("turnstile", "geofence"), "mixed"),
    ],
)
def test_the_answer_says_what_saw_the_visits(sources: tuple[str, str], assurance: str) -> None:
    visits = [visit(f"2027-03-{day:02} 18:00", 40, source=source) for day, source in enumerate(sources, 1)]
    assert answer(visits).assurance == assurance


def test_what_does_not_count_says_nothing_of_assurance() -> None:
    short = visit("2027-03-06 18:00", 10, source="geofence", assurance="device")
    assert answer([visit("2027-03-05 18:00", 40), short]).assurance == "turnstile"


# The same events, however they come

visits = st.builds(
    lambda minute, length_s, source: visit_between(
        (datetime(2027, 2, 28, 12, tzinfo=UTC) + timedelta(minutes=minute)).isoformat(),
        (datetime(2027, 2, 28, 12, tzinfo=UTC) + timedelta(minutes=minute, seconds=length_s)).isoformat(),
        source=source,
        name=f"evt {minute} {length_s} {source}",
    ),
    minute=st.integers(0, 4 * 24 * 60),
    length_s=st.integers(0, 7_200),
    source=st.sampled_from(["turnstile", "geofence"]),
)


@given(events=st.lists(visits, max_size=12, unique_by=lambda each: each.id), data=st.data())
def test_order_does_not_matter(events: list[JourneyEvent], data: st.DataObject) -> None:
    told = [membership("activated", "2027-03-01T09:00:00-05:00"), membership("ended", "2027-03-20T09:00:00-04:00")]
    shuffled = data.draw(st.permutations(events + told))
    for asked in (HALF_AN_HOUR, ACTIVE):
        assert answer(shuffled, asked) == answer(events + told, asked)


def test_order_does_not_matter_between_two_devices_of_other_offsets() -> None:
    """One moment, the last of March at the door and the first of April on the phone: some one order has to decide."""
    door = visit_between("2027-03-31T23:30:00-04:00", "2027-04-01T00:10:00-04:00")
    phone = visit_between("2027-04-01T03:30:00+00:00", "2027-04-01T04:10:00+00:00", source="geofence")
    assert answer([door, phone]) == answer([phone, door])


@given(events=st.lists(visits, max_size=12, unique_by=lambda each: each.id))
def test_the_same_event_twice_is_no_more_presence(events: list[JourneyEvent]) -> None:
    once, twice = answer(events, HALF_AN_HOUR), answer(events + events, HALF_AN_HOUR)
    assert (once.satisfied, once.figure, once.assurance) == (twice.satisfied, twice.figure, twice.assurance)


@given(events=st.lists(visits, max_size=12, unique_by=lambda each: each.id))
def test_every_event_is_accounted_for(events: list[JourneyEvent]) -> None:
    for asked in (HALF_AN_HOUR, ACTIVE):
        found = answer(events, asked)
        assert found.counted + sum(found.not_counted.values()) == len(events)


# Periods


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("name", "start", "end", "close"),
    [
        ("2027-03", "2027-03-01T00:00:00-05:00", "2027-04-01T00:00:00-04:00", "2027-04-16T00:00:00-04:00"),
        ("2027-12", "2027-12-01T00:00:00-05:00", "2028-01-01T00:00:00-05:00", "2028-01-16T00:00:00-05:00"),
        ("2028-02", "2028-02-01T00:00:00-05:00", "2028-03-01T00:00:00-05:00", "2028-03-16T00:00:00-04:00"),
        ("2100-02", "2100-02-01T00:00:00-05:00", "2100-03-01T00:00:00-05:00", "2100-03-16T00:00:00-04:00"),
        ("2027-11", "2027-11-01T00:00:00-04:00", "2027-12-01T00:00:00-05:00", "2027-12-16T00:00:00-05:00"),
        ("1970-01", "1970-01-01T00:00:00-05:00", "1970-02-01T00:00:00-05:00", "1970-02-16T00:00:00-05:00"),
        ("9998-12", "9998-12-01T00:00:00-05:00", "9999-01-01T00:00:00-05:00", "9999-01-16T00:00:00-05:00"),
    ],
)
def test_a_month_starts_ends_and_closes_at_local_midnight(name: str, start: str, end: str, close: str) -> None:
    period = period_named(name, rule=rule(close_day=15), zone=NEW_YORK)
    assert period == Period(name, seconds(start), seconds(end), seconds(close))


@pytest.mark.parametrize(
    ("close_day", "close"),
    [
        (1, "2027-03-02T00:00:00-05:00"),
        (13, "2027-03-14T00:00:00-05:00"),  # the night before the clocks change
        (14, "2027-03-15T00:00:00-04:00"),  # and the one after
        (28, "2027-03-29T00:00:00-04:00"),
    ],
)
def test_february_closes_at_the_end_of_the_rules_day(close_day: int, close: str) -> None:
    assert period_named("2027-02", rule=rule(close_day=close_day), zone=NEW_YORK).close_s == seconds(close)


@given(year=st.integers(1970, 9997), month=st.integers(1, 12), zone=st.sampled_from(["UTC", "America/New_York"]))
def test_months_follow_each_other_without_a_gap(year: int, month: int, zone: str) -> None:
    name, following = f"{year:04}-{month:02}", f"{year + month // 12:04}-{month % 12 + 1:02}"
    first, second = (period_named(each, rule=rule(), zone=ZoneInfo(zone)) for each in (name, following))
    assert first.end_s == second.start_s
    assert first.end_s < first.close_s < second.close_s
    assert name_of(datetime.fromtimestamp(first.start_s, ZoneInfo(zone)).date(), "calendar_month") == name


@pytest.mark.parametrize(
    "name",
    [
        "2027-13",
        "2027-00",
        "2027-3",
        "2027-003",
        "２０２７-03",
        "2027-0３",
        "0000-01",
        "1969-12",
        "9999-01",
        "12027-03",
        "20270-3",
        "+027-03",
        " 2027-03",
        "2027-03 ",
        "2027-03\n",
        "2027/03",
        "2027-03-01",
        "2027-W03",
        "March",
        "",
    ],
)
def test_what_names_no_month_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="a month as 2027-03"):
        period_named(name, rule=rule(), zone=NEW_YORK)


# What a rule may say


@pytest.mark.parametrize(
    "changes",
    [
        {"events": "visit.started"},
        {"where": [{"member": "started_at", "one_of": ["x"]}]},
        {"where": [{"member": "source", "one_of": []}]},
        {"where": [{"member": "source", "one_of": ["x"]}] * 9},
        {"merge_within_s": -1},
        {"merge_within_s": 86_401},
        {"merge_within_s": True},
        {"day_basis": "subject_home"},
        {"day_min_elapsed_s": 86_401},
        {"measure": "steps"},
        {"at_least": 0},
        {"at_least": 32},
        {"period": "week"},
        {"zone": "../../etc/passwd"},
        {"zone": "/etc/localtime"},
        {"close_day": 0},
        {"close_day": 29},
        {"requires_active": "visit"},
        {"script": "1"},
    ],
)
def test_a_rule_has_bounds(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        VisitDays.model_validate_json(json.dumps({**RULE_DOCUMENT, **changes}))
