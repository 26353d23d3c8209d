"""What is so of every rule: order, repetition and what is beside the point change nothing, and all is accounted for."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulebook import AT_HOME, NEW_YORK, document, measured, over, parsed, purchase, rule_named, steps

from tallystick_consent.events import JourneyEvent
from tallystick_consent.rules import Evaluation, Rule, dates_of, evaluate, name_of, period_after, period_named, span_of
from tallystick_ledger.errors import BadInput

TIER = rule_named("steps-tier")
DAYS = [(date(2027, 2, 25) + timedelta(days=each)).isoformat() for each in range(40)]

step_days = st.builds(
    lambda day, count, manual, source, revision: steps(
        day, count + manual, manual=manual, source=source, **({"revision": revision} if revision else {})
    ),
    day=st.sampled_from(DAYS),
    count=st.integers(0, 90_000),
    manual=st.integers(0, 9_000),
    source=st.sampled_from(["watch", "phone", "pedometer"]),
    revision=st.integers(0, 2),
)
purchases = st.builds(
    lambda day, amount, what: purchase(f"{day}T12:00:00-05:00", amount, what=what, name=f"{day} {amount} {what}"),
    day=st.sampled_from(DAYS),
    amount=st.integers(0, 50_000),
    what=st.sampled_from([f"p-{each}" for each in range(12)]),
)
EASY = {"coverage_at_least": 1, "divide_by": "days_told"}
STEP_RULES = [
    measured("steps-tier", **EASY),
    measured("steps-tier", **EASY, zero_is="not_told"),
    rule_named("steps-streak"),
    measured("steps-streak", measure="longest_streak", outcome={"at_least": 2}),
    measured("steps-streak", measure="qualified_days", outcome={"at_least": 2}),
    measured("steps-streak", measure="missed_days", outcome={"at_most": 20}),
]
SHOP_RULES = [rule_named("ten-stamps"), rule_named("regular-guest")]


def _distinct(event: JourneyEvent) -> tuple[object, ...]:
    return event.id, tuple(sorted(event.data.items()))


step_lists = st.lists(step_days, max_size=25, unique_by=lambda each: each.id)
shop_lists = st.lists(purchases, max_size=15, unique_by=lambda each: each.id)


def answer(rule: Rule, events: list[JourneyEvent]) -> Evaluation:
    return evaluate(rule, events, period=over(rule, "2027-03"), zones=AT_HOME)


@settings(max_examples=40, deadline=None)
@given(events=step_lists, data=st.data(), rule=st.sampled_from(STEP_RULES))
def test_order_never_matters(events: list[JourneyEvent], data: st.DataObject, rule: Rule) -> None:
    assert answer(rule, data.draw(st.permutations(events))) == answer(rule, events)


@settings(max_examples=40, deadline=None)
@given(events=shop_lists, data=st.data(), rule=st.sampled_from(SHOP_RULES))
def test_order_never_matters_in_a_shop(events: list[JourneyEvent], data: st.DataObject, rule: Rule) -> None:
    assert answer(rule, data.draw(st.permutations(events))) == answer(rule, events)


@settings(max_examples=40, deadline=None)
@given(events=step_lists, rule=st.sampled_from(STEP_RULES))
def test_what_is_told_twice_is_told_once(events: list[JourneyEvent], rule: Rule) -> None:
    assert answer(rule, events + events) == answer(rule, events)


@settings(max_examples=40, deadline=None)
@given(events=step_lists, rule=st.sampled_from(STEP_RULES))
def test_a_second_telling_of_the_same_day_is_never_added(events: list[JourneyEvent], rule: Rule) -> None:
    """The same days in other entries: all that counts stays, and nothing is added."""
    again = [JourneyEvent(f"again {each.id}", each.type, each.started_at, each.ended_at, each.data) for each in events]
    once, twice = answer(rule, events), answer(rule, events + again)
    assert (once.satisfied, once.figure, once.band, once.counted) == (
        twice.satisfied,
        twice.figure,
        twice.band,
        twice.counted,
    )


@settings(max_examples=40, deadline=None)
@given(events=step_lists, others=shop_lists, rule=st.sampled_from(STEP_RULES))
def test_what_the_rule_does_not_ask_for_changes_nothing(
    events: list[JourneyEvent], others: list[JourneyEvent], rule: Rule
) -> None:
    assert answer(rule, events + others) == answer(rule, events)


@settings(max_examples=40, deadline=None)
@given(events=shop_lists, others=shop_lists)
def test_what_a_filter_leaves_out_changes_no_answer(events: list[JourneyEvent], others: list[JourneyEvent]) -> None:
    only = measured("ten-stamps", where=[{"member": "store", "one_of": ["store-1"]}])
    elsewhere = [
        purchase(each.data["at"], each.data["amount"], what=f"else-{at}", store="store-2", name=f"else {at}")
        for at, each in enumerate(others)
    ]
    alone, both = answer(only, events), answer(only, events + elsewhere)
    assert (alone.satisfied, alone.figure, alone.counted) == (both.satisfied, both.figure, both.counted)
    assert both.not_counted.get("filtered_out", 0) == len(elsewhere)


@settings(max_examples=40, deadline=None)
@given(events=step_lists, rule=st.sampled_from(STEP_RULES))
def test_every_event_is_accounted_for(events: list[JourneyEvent], rule: Rule) -> None:
    found = answer(rule, events)
    assert found.counted + sum(found.not_counted.values()) == len(events)


@settings(max_examples=40, deadline=None)
@given(events=step_lists, more=st.integers(1, 5_000))
def test_more_steps_never_lower_the_band(events: list[JourneyEvent], more: int) -> None:
    rule = STEP_RULES[0]
    walked = [
        JourneyEvent(
            each.id, each.type, each.started_at, each.ended_at, {**each.data, "steps": each.data["steps"] + more}
        )
        for each in events
    ]
    assert (answer(rule, events).band or 0) <= (answer(rule, walked).band or 0)


@settings(max_examples=40, deadline=None)
@given(bounds=st.lists(st.integers(1, 59_999), min_size=1, max_size=15, unique=True), count=st.integers(0, 59_999))
def test_a_band_table_has_one_band_for_each_figure(bounds: list[int], count: int) -> None:
    table = sorted(bounds)
    rule = measured("steps-tier", **EASY, outcome={"bands": table, "sent_from": 1})
    band = answer(rule, [steps("2027-03-05", count)]).band
    assert band is not None
    assert [each for each in range(1, len(table) + 2) if _lies(count, table, each)] == [band]


def _lies(count: int, table: list[int], band: int) -> bool:
    low = table[band - 2] if band > 1 else -1
    return low <= count and (band > len(table) or count < table[band - 1])


@settings(max_examples=40, deadline=None)
@given(
    day=st.dates(date(2026, 1, 1), date(2028, 12, 31)),
    zone=st.sampled_from(["America/New_York", "Europe/Lisbon", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]),
)
def test_a_day_told_by_a_tracker_is_that_day_at_home_whatever_the_clocks_do(day: date, zone: str) -> None:
    """A day of 23, 23.5, 24, 24.5 or 25 hours is one day, and the one it is called."""
    place = ZoneInfo(zone)
    rule = parsed({**document("steps-each-day"), "period": {**document("steps-each-day")["period"], "zone": zone}})
    found = evaluate(
        rule,
        [steps(day.isoformat(), 8_000, zone=place)],
        period=period_named(day.isoformat(), rule=rule, zone=place),
        zones=AT_HOME.__class__(home=place),
    )
    assert found.band == 2


@pytest.mark.parametrize(
    ("span", "step"),
    [("calendar_day", 1), ("iso_week", 7), ("calendar_month", 31), ("calendar_year", 366)],
)
@settings(max_examples=40, deadline=None)
@given(day=st.dates(date(1970, 1, 8), date(9990, 12, 31)))
def test_periods_follow_each_other_without_a_gap(span: str, step: int, day: date) -> None:
    name = name_of(day, span)  # type: ignore[arg-type]
    first, last = dates_of(name)
    assert span_of(name) == span
    assert first <= day <= last
    assert (last - first).days < step
    assert dates_of(period_after(name))[0] == last + timedelta(days=1)


@pytest.mark.parametrize(
    "name",
    ["2027-W54", "2027-W00", "2027-02-29", "2027-05-12/2027-05-08", "2027-01-01/2028-01-02", "1969", "9999", "2027-W1"],
)
def test_what_names_no_period_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        dates_of(name)


def test_a_window_has_a_year_at_most_and_is_not_named_by_a_day() -> None:
    assert dates_of("2027-01-01/2028-01-01") == (date(2027, 1, 1), date(2028, 1, 1))
    for wrong in (lambda: name_of(date(2027, 1, 1), "window"), lambda: period_after("2027-05-08/2027-05-12")):
        _require_refused(wrong)


def _require_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(BadInput, match="window"):
        wrong()


def test_a_period_is_of_the_rules_own_span() -> None:
    with pytest.raises(BadInput):
        over(TIER, "2027-03-05")


def test_a_close_counts_local_days_over_a_change_of_clocks() -> None:
    """February closes three local days after it, and so does the month in which clocks change."""
    for name, close in (
        ("2027-02", datetime(2027, 3, 4, tzinfo=NEW_YORK)),
        ("2027-10", datetime(2027, 11, 4, tzinfo=NEW_YORK)),
    ):
        assert over(TIER, name).close_s == int(close.timestamp())
    weekly = parsed(
        {
            **document("steps-tier"),
            "period": {**document("steps-tier")["period"], "span": "iso_week"},
            "measures": [{**document("steps-tier")["measures"][0], "coverage_at_least": 5}],
        }
    )
    week = over(weekly, "2027-W10")
    assert week.end_s - week.start_s == 7 * 86_400 - 3_600
    assert datetime.combine(date(2027, 3, 8), time(), NEW_YORK).astimezone(UTC).timestamp() == week.start_s
