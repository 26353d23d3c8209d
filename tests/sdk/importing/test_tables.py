"""Tables of steps and purchases: read whole or refused, with the row's number and never what stands in it."""

import random
from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import shared

from tallystick.importing import TableUnreadable
from tallystick.importing.tables import (
    DateOrder,
    StepsReport,
    purchase_events,
    purchase_key,
    read_everyones_steps,
    read_purchases,
    read_steps,
    steps_events,
    steps_key,
)
from tallystick.importing.tables import reading as reading_module
from tallystick.importing.tables.reading import COLUMNS_MAX
from tallystick_consent.events import EventRefused

DAYS = "Id,ActivityDate,TotalSteps\nana,4/12/2016,13162\nana,4/13/2016,10735\nana,4/15/2016,0\n"
HOURS = (
    "Id,ActivityHour,StepTotal\n"
    "ana,2016-04-12 00:00:00,3162\nana,2016-04-12 23:00:00,10000\nana,2016-04-13 10:00:00,1\n"
)


def steps(text: str, **more: object) -> StepsReport:
    return read_steps(text.encode(), **more)  # type: ignore[arg-type]


def refused(read: Callable[[], object]) -> tuple[str, int | None]:
    with pytest.raises(TableUnreadable) as error:
        read()
    return error.value.reason, error.value.row


def why(text: str, **more: object) -> tuple[str, int | None]:
    return refused(lambda: steps(text, **more))


# Days and hours


def test_days_are_told_and_held_against_their_hours() -> None:
    found = steps(DAYS, hours=HOURS.encode())
    assert [(each.day.day, each.steps, each.agrees) for each in found.days] == [
        (12, 13_162, True),
        (13, 10_735, False),
        (15, 0, None),
    ]
    assert (found.order, found.missing_count, found.zero_count, found.disagreeing_count) == ("month_first", 1, 1, 1)


def test_a_day_that_disagrees_stays_as_it_was_told_and_is_graded_lower() -> None:
    events = steps_events(steps(DAYS, hours=HOURS.encode()).days, zone="America/New_York", source="watch")
    assert [(data["steps"], data["assurance"]) for _, data in events] == [
        (13_162, "device"),
        (10_735, "device_inconsistent"),
        (0, "device"),
    ]
    assert events[0][1]["started_at"] == "2016-04-12T00:00:00-04:00"


def test_a_day_on_which_clocks_change_ends_at_the_next_midnight() -> None:
    (_, data), *_ = steps_events(steps("date,steps\n2027-03-14,1\n").days, zone="America/New_York", source="watch")
    assert (data["started_at"], data["ended_at"]) == ("2027-03-14T00:00:00-05:00", "2027-03-15T00:00:00-04:00")


def test_a_source_is_a_short_name() -> None:
    with pytest.raises(EventRefused):
        steps_events(steps(DAYS).days, zone="UTC", source="Ana's watch")


def test_the_same_day_has_the_same_key_and_another_total_another() -> None:
    first, again = (steps("date,steps\n2027-03-14,1\n").days[0] for _ in range(2))
    other = steps("date,steps\n2027-03-14,2\n").days[0]
    assert steps_key(first, "ana", source="watch") == steps_key(again, "ana", source="watch")
    keys = {steps_key(first, "ana", source="watch"), steps_key(other, "ana", source="watch")}
    keys |= {steps_key(first, "ben", source="watch"), steps_key(first, "ana", source="phone")}
    assert len(keys) == 4


@pytest.mark.parametrize(
    "header",
    ["Id,ActivityDate,TotalSteps", "user_id;Date;Steps", "participant\tday\tstep count", "subject,date,StepTotal"],
)
def test_trackers_name_their_columns_as_they_like(header: str) -> None:
    part = next(each for each in ",;\t" if each in header)
    row = part.join(["ana", "2027-03-05", "8000"])
    assert steps(f"{header}\n{row}\n").days[0].steps == 8_000


def test_what_was_entered_by_hand_is_told_apart() -> None:
    found = steps("date,steps,manual_steps\n2027-03-05,8000,500\n")
    assert found.days[0].manual_steps == 500
    assert why("date,steps,manual_steps\n2027-03-05,8000,8001\n") == ("contradiction", 2)


def test_a_row_told_again_is_one_and_told_otherwise_is_refused() -> None:
    found = steps("date,steps\n2027-03-05,8000\n2027-03-05,8000\n")
    assert (len(found.days), found.repeated_count) == (1, 1)
    assert why("date,steps\n2027-03-05,8000\n2027-03-05,8001\n") == ("contradiction", 3)
    twice = "hour,steps\n2027-03-05 10:00,1\n2027-03-05 10:00,2\n"
    assert why("date,steps\n2027-03-05,8000\n", hours=twice.encode()) == ("contradiction", 3)


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        ("-1", "count_negative"),
        ("1000001", "count_too_high"),
        ("", "count_invalid"),
        ("8.5", "count_invalid"),
        ("8,000", "not_a_table"),
        ("８", "count_invalid"),
        ("many", "count_invalid"),
        ("-", "count_invalid"),
        ("9" * 13, "count_invalid"),
    ],
)
def test_a_count_is_a_whole_number_from_nothing_to_a_million(count: str, reason: str) -> None:
    assert why(f"date,steps\n2027-03-04,1000000\n2027-03-05,{count}\n") == (reason, 3)


def test_whose_rows_are_meant_is_said_where_there_are_several() -> None:
    table = "id,date,steps\nana,2027-03-05,1\nben,2027-03-05,2\n"
    assert why(table) == ("several_people", None)
    assert why(table, person="cleo") == ("person_unknown", None)
    assert steps(table, person="ben").days[0].steps == 2
    assert steps("date,steps\n2027-03-05,1\n", person="ana").days[0].steps == 1
    assert why("id,date,steps\n,2027-03-05,1\n", person="ana") == ("person_unknown", None)


def test_another_persons_bad_row_does_not_touch_ours() -> None:
    table = "id,date,steps\nana,2027-03-05,1\nben,2027-03-05,-2\n"
    assert steps(table, person="ana").days[0].steps == 1
    assert refused(lambda: read_everyones_steps(table.encode())) == ("count_negative", 3)


def test_a_refusal_says_nothing_of_what_stood_there() -> None:
    with pytest.raises(TableUnreadable) as error:
        steps("id,date,steps\nana@home.example,2027-03-05,-77\n")
    assert "(row 2)" in str(error.value)
    assert not any(each in str(error.value) for each in ("ana", "77", "2027"))


# The order of dates


@pytest.mark.parametrize(
    ("texts", "order", "found"),
    [
        (["4/12/2016", "4/13/2016"], None, "month_first"),
        (["12/4/2016", "13/4/2016"], None, "day_first"),
        (["04.12.2016", "13.12.2016"], None, "day_first"),
        (["4/12/2016", "5/12/2016"], "day_first", "day_first"),
        (["4/12/2016", "5/12/2016"], "month_first", "month_first"),
        (["4/4/2016", "5/5/2016"], None, "day_first"),  # both ways the same dates
        (["2016-04-12"], None, "year_first"),
        (["2016/4/12"], None, "year_first"),
        (["20160412"], None, "year_first"),
        (["2016-04-12T00:00:00"], None, "year_first"),
        (["4/12/2016 12:00:00 AM", "4/13/2016 12:00:00 AM"], None, "month_first"),
    ],
)
def test_the_order_of_dates_follows_from_all_of_them(texts: list[str], order: DateOrder | None, found: str) -> None:
    table = "date,steps\n" + "".join(f"{text},1\n" for text in texts)
    assert steps(table, order=order).order == found


@pytest.mark.parametrize(
    ("texts", "order", "reason"),
    [
        (["4/12/2016", "5/12/2016"], None, "dates_ambiguous"),
        (["4/13/2016"], "day_first", "date_order_wrong"),
        (["13/4/2016"], "month_first", "date_order_wrong"),
        (["2016-04-12"], "day_first", "date_order_wrong"),
        (["4/13/2016", "13/4/2016"], None, "dates_inconsistent"),
        # A spreadsheet turned those it could, and left the others: zeros, seconds or marks give it away.
        (["12/04/2016", "4/13/2016"], None, "dates_inconsistent"),
        (["12/04/2016 12:00 AM", "4/13/2016 12:00:00 AM"], "month_first", "dates_inconsistent"),
        (["4/13/2016", "4-14-2016"], None, "dates_inconsistent"),
        (["4/13/2016", "2016-04-14"], None, "dates_inconsistent"),
        (["04/5/2016"], None, "dates_inconsistent"),
        (["4/13/16"], None, "date_invalid"),
        (["yesterday"], None, "date_invalid"),
        (["2016-02-30"], None, "date_invalid"),
        (["13:00"], None, "date_invalid"),
        (["4/13/2016 13:00 PM"], None, "date_invalid"),
        (["٢٠١٦-٠٤-١٢"], None, "date_invalid"),
        ([""], None, "date_invalid"),
    ],
)
def test_dates_that_cannot_be_relied_on_are_refused(texts: list[str], order: DateOrder | None, reason: str) -> None:
    table = "date,steps\n" + "".join(f"{text},1\n" for text in texts)
    assert why(table, order=order)[0] == reason


@settings(max_examples=40, deadline=None)
@given(days=st.lists(st.dates(date(2000, 1, 1), date(2040, 12, 31)), min_size=1, max_size=30, unique=True))
def test_dates_are_read_as_they_were_written_or_refused(days: list[date]) -> None:
    """Written day first: read day first, or refused as readable both ways; never read the other way."""
    table = "date,steps\n" + "".join(f"{day.day}/{day.month}/{day.year},1\n" for day in days)
    try:
        found = steps(table)
    except TableUnreadable as error:
        assert error.reason == "dates_ambiguous"  # noqa: PT017  # either is right
        assert all(day.day <= 12 for day in days)
    else:
        assert [each.day for each in found.days] == sorted(days)
    assert [each.day for each in steps(table, order="day_first").days] == sorted(days)


# What is no table


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not_a_table"),
        (b"\n\n", "not_a_table"),
        (b"steps\n1\n", "not_a_table"),
        (b"date,\n2027-03-05,1\n", "not_a_table"),
        (b"date,steps\n2027-03-05,1\0\n", "not_a_table"),
        (b"date,steps\n2027-03-05,1,2\n", "not_a_table"),
        (b"date,steps\n2027-03-05\n", "not_a_table"),
        (b'date,steps\n"2027-03-05,1\n', "not_a_table"),
        (b"date,steps\n", "not_a_table"),
        (b"date,steps\n2027-03-05," + b"1" * 1_001 + b"\n", "not_a_table"),
        (b"date,steps\n\xff,1\n", "encoding"),
        (b"date,kilometres\n2027-03-05,1\n", "column_missing"),
        (b"date,steps,step_count\n2027-03-05,1,1\n", "column_ambiguous"),
        (b"a," * COLUMNS_MAX + b"b\n", "too_many_rows"),
    ],
)
def test_what_is_no_table_is_refused(raw: bytes, reason: str) -> None:
    assert refused(lambda: read_steps(raw))[0] == reason


def test_a_byte_order_mark_blank_lines_and_quotes_are_no_harm() -> None:
    assert steps('\ufeff"date","steps"\r\n\r\n"2027-03-05","1"\r\n').days[0].steps == 1


def test_rows_and_bytes_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    table = b"date,steps\n2027-03-05,1\n2027-03-06,1\n"
    monkeypatch.setattr(reading_module, "ROWS_MAX", 3)
    read_steps(table)
    assert refused(lambda: read_steps(table + b"2027-03-07,1\n"))[0] == "too_many_rows"
    monkeypatch.setattr(reading_module, "FILE_SIZE_BYTES_MAX", len(table) - 1)
    assert refused(lambda: read_steps(table))[0] == "too_large"


def test_a_table_of_hours_tells_hours() -> None:
    assert why(DAYS, hours=b"Id,ActivityHour,StepTotal\nana,2016-04-12,1\n") == ("hours_without_time", None)


# Purchases

SHOP = (
    "customer_id date number dollar_value\n 00001 19970101 1 11.77\n 00002 19970112 1 12.00\n 00002 19970112 5 77.00\n"
)


def test_purchases_are_read_for_one_customer_to_the_cent() -> None:
    found = read_purchases(SHOP.encode(), asset="USD/2", person="00002")
    assert [(each.purchase, each.amount) for each in found.purchases] == [
        ("1997-01-12-1", 1_200),
        ("1997-01-12-2", 7_700),
    ]
    assert found.total == 8_900
    (_, data), _ = purchase_events(found.purchases, zone="America/New_York", store="web", asset="USD/2")
    assert data["at"] == "1997-01-12T12:00:00-05:00"


@pytest.mark.parametrize(
    ("amount", "asset", "reason"),
    [
        ("11.775", "USD/2", "amount_invalid"),
        ("-1.00", "USD/2", "count_negative"),
        ("1e3", "USD/2", "amount_invalid"),
        ("1.5", "JPY/0", "amount_invalid"),
        ("", "USD/2", "amount_invalid"),
        ("1.00", "dollars", "amount_invalid"),
        (".5", "USD/2", "amount_invalid"),
    ],
)
def test_an_amount_is_a_decimal_of_its_currency(amount: str, asset: str, reason: str) -> None:
    table = f"date,amount\n2027-03-05,{amount}\n".encode()
    assert refused(lambda: read_purchases(table, asset=asset))[0] == reason


@settings(max_examples=40, deadline=None)
@given(minor=st.integers(0, 10**13), scale=st.integers(0, 4))
def test_money_is_read_exactly(minor: int, scale: int) -> None:
    digits = f"{minor:0{scale + 1}}"
    text = digits if scale == 0 else f"{digits[:-scale]}.{digits[-scale:]}"
    if len(text.partition(".")[0]) > 12:
        return
    table = f"date,amount\n2027-03-05,{text}\n".encode()
    assert read_purchases(table, asset=f"XTS/{scale}").total == minor


def test_a_shops_own_ids_are_kept_and_told_again_once() -> None:
    table = b"date,amount,order_id\n2027-03-05,1.00,a\n2027-03-05,1.00,a\n2027-03-05,1.00,b\n"
    found = read_purchases(table, asset="USD/2")
    assert ([each.purchase for each in found.purchases], found.repeated_count) == (["a", "b"], 1)
    other = table + b"2027-03-05,2.00,b\n"
    assert refused(lambda: read_purchases(other, asset="USD/2")) == ("contradiction", 5)
    keys = {purchase_key(each, "ana", store=store) for each in found.purchases for store in ("web", "shop")}
    assert len(keys) == 4


# Real tables


def test_real_days_are_all_told_and_a_sixth_disagree_with_their_hours() -> None:
    folder = shared("data/fitbit_furberg2016")
    days, hours = ((folder / name).read_bytes() for name in ("dailyActivity_merged.csv", "hourlySteps_merged.csv"))
    found = read_everyones_steps(days, hours=hours)
    told = [day for report in found.values() for day in report.days]
    assert (len(found), len(told)) == (33, 940)
    assert sum(day.agrees is True for day in told) == 775
    assert sum(day.steps == 0 for day in told) == 77
    assert sum(day.steps >= 10_000 for day in told) == 303
    assert {report.order for report in found.values()} == {"month_first"}
    one = random.Random(7).choice(sorted(found))  # noqa: S311  # the same person in each run
    assert read_steps(days, person=one, hours=hours) == found[one]


def test_a_real_column_of_two_orders_is_refused_whatever_is_told() -> None:
    raw = (shared("data/fitbit_furberg2016") / "sleepDay_merged.csv").read_text()
    table = raw.replace("SleepDay", "date").replace("TotalMinutesAsleep", "steps")
    for order in (None, "day_first", "month_first"):
        assert why(table, order=order, person="1503960366")[0] == "dates_inconsistent"


def test_real_purchases_add_up() -> None:
    raw = (shared("data/cdnow_lifetimes") / "CDNOW_master.txt").read_bytes()
    found = read_purchases(raw, asset="USD/2", person="00003")
    assert [each.amount for each in found.purchases] == [2_076, 2_076, 1_954, 5_745, 2_096, 1_699]
