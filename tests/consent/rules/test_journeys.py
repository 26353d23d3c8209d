"""The journeys' rules, each as the data in docs/examples/rules, over the months of the scenarios."""

from datetime import date, datetime
from pathlib import Path

import pytest
from rulebook import (
    ANA_STEPS,
    AT_HOME,
    EXAMPLES,
    LISBON,
    NEW_YORK,
    ana_march,
    balance,
    conjunction_named,
    document,
    line,
    march_days,
    measured,
    over,
    parsed,
    purchase,
    rule_named,
    steps,
    told,
)

from tallystick_consent.events import JourneyEvent
from tallystick_consent.rules import (
    Accepted,
    Conclusion,
    Evaluation,
    Heard,
    Zones,
    conclude,
    days_touched,
    evaluate,
    follows,
    home_zone_name,
    read_statement,
    require_sound,
    slots_of,
    statement_of,
    with_late,
)
from tallystick_ledger.errors import BadInput

TRIP = "2027-05-08/2027-05-12"
TIER = rule_named("steps-tier")
MARCH = over(TIER, "2027-03")


def tier(events: list[JourneyEvent]) -> Evaluation:
    return evaluate(TIER, events, period=MARCH, zones=AT_HOME)


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("rules/*.json")), ids=lambda path: path.stem)
def test_every_example_is_a_rule_and_reads_back(path: Path) -> None:
    found = rule_named(path.stem)
    assert parsed(found.model_dump(mode="json")) == found


# Journey 3: a monthly average


def test_3_01_ana_is_in_band_4() -> None:
    assert sum(ANA_STEPS.values()) == 348_440
    found = tier(ana_march())
    assert found == Evaluation(True, 11_240, "device", 31, {}, band=4)
    assert statement_of(TIER, "2027-03", found) == "steps.average(2027-03) in band 4"


def test_3_01_march_closes_at_the_end_of_3_april_at_home() -> None:
    assert seconds("2027-04-04T00:00:00-04:00") == MARCH.close_s


@pytest.mark.parametrize(
    ("a_day", "band"),
    [(4_999, 1), (5_000, 2), (7_499, 2), (7_500, 3), (9_999, 3), (10_000, 4), (12_499, 4), (12_500, 5)],
)
def test_an_average_lies_in_one_band(a_day: int, band: int) -> None:
    found = tier([steps(day, a_day) for day in march_days()])
    assert (found.satisfied, found.band) == ((True, band) if band > 1 else (False, None))


def test_an_average_is_never_rounded_up_to_a_band() -> None:
    """One step short over the whole month: 9,999.97 a day."""
    days = [steps(day, 10_000) for day in march_days()[1:]]
    assert tier([steps("2027-03-01", 9_999), *days]).band == 3
    assert tier([steps("2027-03-01", 10_000), *days]).band == 4


def test_3_03_what_was_entered_by_hand_does_not_count() -> None:
    by_hand = [steps(day, count + 4_000, manual=4_000) for day, count in ANA_STEPS.items()]
    assert tier(by_hand) == tier(ana_march())
    counted = measured("steps-tier", day={**document("steps-tier")["measures"][0]["day"], "without_manual": False})
    assert evaluate(counted, by_hand, period=MARCH, zones=AT_HOME).band == 5


def test_3_04_an_implausible_day_counts_for_no_more_than_the_cap() -> None:
    wild = dict.fromkeys(march_days()[:4], 85000)
    quiet = dict.fromkeys(march_days()[4:], 1000)
    found = tier([steps(day, count) for day, count in (wild | quiet).items()])
    assert found.flags == {"implausible": 4}
    assert found.figure == (4 * 60_000 + 27 * 1_000) // 31
    assert (found.band, found.counted) == (3, 31)


def test_3_04_a_day_at_the_cap_is_not_over_it() -> None:
    assert tier([steps(day, 60_000) for day in march_days()]).flags == {}
    assert tier([steps(day, 60_001) for day in march_days()]).flags == {"implausible": 31}


def test_3_04_four_days_alone_are_no_month() -> None:
    found = tier([steps(day, 85_000) for day in march_days()[:4]])
    assert found == Evaluation(False, 0, "", 0, {"coverage_too_low": 4}, flags={"implausible": 4})


def test_3_06_a_day_of_april_that_comes_after_march_has_closed_came_too_late_for_nothing() -> None:
    """It is read with March, whose home may be in another zone; its own close is a month away."""
    late = [steps(f"2027-{day}", 9_000, recorded="2027-04-05T08:00:00-04:00") for day in ("03-31", "04-01")]
    assert tier(late).not_counted == {"after_close": 1, "outside_period": 1}


def test_a_line_that_is_posted_anew_after_the_close_and_on_another_day_came_too_late() -> None:
    """Had it come in time, March had one payment less."""
    cards = rule_named("card-purchases")
    anew = line("2027-04-01", -900, "card", what="l-1", revision=1, recorded="2027-04-05T08:00:00-04:00")
    found = evaluate(cards, [line("2027-03-31", -900, "card", what="l-1"), anew], period=over(cards, "2027-03"))
    assert (found.counted, found.not_counted) == (1, {"after_close": 1})


def test_3_06_a_sync_before_the_close_counts_and_one_after_it_is_a_true_up() -> None:
    early = [steps(day, 9_990) for day in march_days()[:-1]]
    in_time = steps("2027-03-31", 25_000, recorded="2027-04-02T08:00:00-04:00")
    too_late = steps("2027-03-31", 25_000, recorded="2027-04-05T08:00:00-04:00")
    assert tier([*early, in_time]).band == 4
    at_midnight = steps("2027-03-31", 25_000, recorded="2027-04-04T00:00:00-04:00")
    assert tier([*early, at_midnight]).not_counted == {"after_close": 1}
    assert tier([*early, steps("2027-03-31", 25_000, recorded="2027-04-03T23:59:59-04:00")]).band == 4
    at_close = tier([*early, too_late])
    assert (at_close.band, at_close.not_counted) == (3, {"after_close": 1})
    again = tier(with_late([*early, too_late]))
    assert again.band == 4
    sixty_days_s = MARCH.close_s + 60 * 86_400
    told = statement_of(TIER, MARCH.name, at_close)
    for now_s, then in {sixty_days_s - 1: "superseded", sixty_days_s: "too_late"}.items():
        assert follows(TIER, told, again, because="late", period=MARCH, now_s=now_s) == then


def test_3_19_a_correction_downward_is_for_the_future_only() -> None:
    before = tier(ana_march())
    after = tier([*ana_march(), *(steps(day, 100, revision=1) for day in march_days()[:11])])
    assert (before.band, after.band) == (4, 2)
    told = statement_of(TIER, MARCH.name, before)
    assert follows(TIER, told, after, because="late", period=MARCH, now_s=MARCH.close_s) == "future_only"


def test_3_06_a_rule_that_takes_no_late_evidence_stays_as_it_was() -> None:
    plain = rule_named("steps-ten-thousand")
    yes, no = Evaluation(True, 1, "", 1, {}), Evaluation(False, 0, "", 0, {})
    told = statement_of(plain, MARCH.name, yes)
    for statement, found, then in (
        (None, yes, "not_taken"),
        (told, no, "not_taken"),
        (told, yes, "stands"),
        (None, no, "not_reached"),
    ):
        assert follows(plain, statement, found, because="late", period=MARCH, now_s=0) == then


def test_3_10_fourteen_days_are_too_few_for_an_answer() -> None:
    found = tier([steps(day, 20_000) for day in march_days()[:14]])
    assert (found.satisfied, found.band, found.not_counted) == (False, None, {"coverage_too_low": 14})
    assert not tier([steps(day, 20_000) for day in march_days()[:27]]).satisfied
    assert tier([steps(day, 20_000) for day in march_days()[:28]]).band == 5


def test_3_11_two_trackers_of_one_day_are_never_added() -> None:
    """The watch comes first in the rule; the phone fills the days on which the watch lay in a drawer."""
    phone = [steps(day, 30_000, source="phone") for day in march_days()]
    found = tier([*phone, *ana_march()[1:]])
    assert found.figure == (30_000 + sum(list(ANA_STEPS.values())[1:])) // 31
    assert (found.counted, found.not_counted) == (31, {"other_source": 30})


def test_3_11_a_tracker_that_the_rule_does_not_name_counts_nothing() -> None:
    stranger = [steps(day, 30_000, source="pedometer") for day in march_days()]
    assert tier(stranger) == Evaluation(False, 0, "", 0, {"other_source": 31})
    assert tier([*stranger, *ana_march()]).band == 4


def test_3_17_a_childs_rule_tells_a_band_and_nothing_else() -> None:
    found = tier(ana_march())
    assert TIER.rung == "band"
    assert TIER.measured_classes == {"steps"}
    assert TIER.data_classes == {"home", "steps"}  # where she lives, by its zone alone, says when her days begin
    assert "11240" not in statement_of(TIER, "2027-03", found)


def test_3_08_dov_is_asked_for_ten_thousand_and_his_age_stays_at_the_bank() -> None:
    asked = rule_named("steps-ten-thousand")
    found = evaluate(asked, [steps(day, 10_900) for day in march_days()], period=MARCH, zones=AT_HOME)
    assert (found.satisfied, found.band) == (True, None)
    assert statement_of(asked, "2027-03", found) == "steps.average(2027-03) >= 10000"


def test_a_zero_day_may_be_a_device_in_a_drawer() -> None:
    days = [steps(day, 0 if at < 4 else 20_000) for at, day in enumerate(march_days())]
    assert evaluate(TIER, days, period=MARCH, zones=AT_HOME).satisfied
    strict = measured("steps-tier", zero_is="not_told")
    found = evaluate(strict, days, period=MARCH, zones=AT_HOME)
    assert (found.satisfied, found.not_counted) == (False, {"not_told": 4, "coverage_too_low": 27})


# Journey 3: daily, and streaks


def test_3b_each_day_has_its_band_and_a_day_below_is_silent() -> None:
    daily = rule_named("steps-each-day")
    events = [*ana_march(), steps("2027-04-01", 4_999)]
    bands = [
        evaluate(daily, events, period=over(daily, day), zones=AT_HOME).band for day in [*march_days(), "2027-04-01"]
    ]
    assert [bands.count(each) for each in (3, 2, None)] == [11, 20, 1]


@pytest.mark.parametrize(
    ("missed", "kept"),
    [
        ((), True),
        ((5, 6), True),
        ((5, 6, 7), False),
        ((5, 6, 8, 9), True),
        ((30, 31), True),
    ],
)
def test_3c_three_missed_days_in_a_row_drop_the_rate(missed: tuple[int, ...], kept: bool) -> None:
    streak = rule_named("steps-streak")
    days = [steps(day, 9_999 if int(day[-2:]) in missed else 10_000) for day in march_days()]
    assert evaluate(streak, days, period=MARCH, zones=AT_HOME).satisfied == kept


def test_3c_days_missed_before_the_month_count_where_they_were_told() -> None:
    streak = rule_named("steps-streak")
    days = [steps(day, 0 if day == "2027-03-01" else 10_000) for day in march_days()]
    before = [steps("2027-02-27", 0), steps("2027-02-28", 0)]
    assert evaluate(streak, days, period=MARCH, zones=AT_HOME).satisfied
    assert not evaluate(streak, [*days, *before], period=MARCH, zones=AT_HOME).satisfied


def test_3c_a_streak_in_the_days_before_alone_is_no_streak_of_the_month() -> None:
    longest = measured("steps-streak", measure="longest_streak", outcome={"at_least": 3})
    before = [steps(day, 10_000) for day in ("2027-02-27", "2027-02-28")]
    assert evaluate(longest, before, period=MARCH, zones=AT_HOME).figure == 0
    assert evaluate(longest, [*before, steps("2027-03-01", 10_000)], period=MARCH, zones=AT_HOME).figure == 3


# Journey 3: claims of different issuers


def accepted(program: str, issuer: str, *, band: int | None = None, period: str = "2027-03") -> Accepted:
    return Accepted(f"clm {program} {issuer}", program, 1, issuer, period, band)


RATES = require_sound([conjunction_named("headline-rate"), conjunction_named("tier-by-age")])
STEPS = accepted("steps-tier", "track.example", band=4)
CARDS = accepted("card-purchases", "cards.example")
BALANCE = accepted("average-balance", "bank.example")


@pytest.mark.parametrize(
    ("claims", "outcome"),
    [
        ([], "base"),
        ([STEPS], "savings"),
        ([STEPS, CARDS], "savings"),
        ([STEPS, CARDS, BALANCE], "savings-and-checking"),
        ([CARDS, BALANCE], "base"),
        ([accepted("steps-tier", "track.example", band=3), CARDS, BALANCE], "base"),
        # Cards and balance by one bank are not by different issuers.
        ([STEPS, accepted("card-purchases", "bank.example"), BALANCE], "savings"),
        ([STEPS, accepted("card-purchases", "bank.example"), CARDS, BALANCE], "savings-and-checking"),
        ([accepted("steps-tier", "cafe.example", band=5)], "base"),
        ([accepted("steps-tier", "track.example", band=5, period="2027-02")], "base"),
    ],
)
def test_a_headline_rate_stands_on_claims_of_different_issuers(claims: list[Accepted], outcome: str) -> None:
    for order in (claims, claims[::-1]):
        assert conclude("headline-rate", RATES, accepted=order, facts={}, period="2027-03").outcome == outcome


def test_3_08_the_bank_alone_applies_an_age() -> None:
    of = {
        age: conclude("tier-by-age", RATES, accepted=[STEPS], facts={"age_years": age}, period="2027-03")
        for age in (64, 65)
    }
    assert of[65] == Conclusion("tier-5", 1, (STEPS.claim,))
    assert of[64] == Conclusion("tier-4", 2, (STEPS.claim,))
    assert conclude("tier-by-age", RATES, accepted=[STEPS], facts={}, period="2027-03").outcome == "tier-4"


def test_fifteen_card_purchases_by_posting_date() -> None:
    cards = rule_named("card-purchases")
    month = over(cards, "2027-03")
    bought = [line("2027-03-05", -1_000 - each, "card") for each in range(14)]
    refund, cash = line("2027-03-06", 1_000, "card"), line("2027-03-06", -1_000, "cash")
    assert not evaluate(cards, [*bought, refund, cash], period=month).satisfied
    assert evaluate(cards, [*bought, line("2027-03-31", -5, "card")], period=month).satisfied
    assert not evaluate(cards, [*bought, line("2027-04-01", -5, "card")], period=month).satisfied


def test_an_event_touches_the_days_on_which_its_rule_may_count_it() -> None:
    card = line("2027-03-31", -5, "card")
    assert days_touched(card, rule_named("card-purchases"), zone=NEW_YORK) == (date(2027, 3, 31), date(2027, 3, 31))
    late = purchase("2027-04-01T03:30:00-04:00", 500)
    of_home = measured("ten-stamps", basis="subject_home")
    assert days_touched(late, of_home, zone=NEW_YORK) == (date(2027, 3, 31), date(2027, 4, 1)), "until a home is known"


def test_an_average_balance_is_over_the_days_told() -> None:
    asked = rule_named("average-balance")
    month = over(asked, "2027-03")
    days = [balance(day, 600_000 if at % 2 else 400_000) for at, day in enumerate(march_days()[:20])]
    assert evaluate(asked, days, period=month).satisfied
    assert not evaluate(asked, [*days[:-1], balance("2027-03-20", 599_999)], period=month).satisfied


# Journey 2: books and taxes


def reconciled(at: str, through: str, unmatched: int) -> JourneyEvent:
    return told("period.reconciled", f"{at} {through}", {"at": at, "through": through, "unmatched": unmatched})


@pytest.mark.parametrize(
    ("words", "yes"),
    [
        ([("2027-04-03T10:00:00-04:00", "2027-03-31", 0)], True),
        ([("2027-04-03T10:00:00-04:00", "2027-03-30", 0)], False),
        ([("2027-04-03T10:00:00-04:00", "2027-03-31", 1)], False),
        # Reopened before the close: the last word holds, though an earlier one was enough.
        ([("2027-04-03T10:00:00-04:00", "2027-03-31", 0), ("2027-04-09T10:00:00-04:00", "2027-02-28", 0)], False),
        ([("2027-04-03T10:00:00-04:00", "2027-03-31", 2), ("2027-04-09T10:00:00-04:00", "2027-03-31", 0)], True),
        ([("2027-04-11T00:00:00-04:00", "2027-03-31", 0)], False),
        ([], False),
    ],
)
def test_books_are_reconciled_by_the_last_word_before_the_close(words: list[tuple[str, str, int]], yes: bool) -> None:
    asked = rule_named("books-reconciled")
    assert evaluate(asked, [reconciled(*word) for word in words], period=over(asked, "2027-03")).satisfied == yes


def test_2_rent_of_the_year_is_one_figure_and_no_line() -> None:
    asked = rule_named("rent-of-the-year")
    year = over(asked, "2027")
    rent = [line(f"2027-{month:02}-01", -115_000, "rent") for month in range(1, 13)]
    found = evaluate(asked, [*rent, line("2027-05-02", -999, "card"), line("2028-01-01", -1, "rent")], period=year)
    assert statement_of(asked, "2027", found) == "line.sum(2027) = -1380000"
    assert (found.counted, found.not_counted) == (12, {"filtered_out": 1, "outside_period": 1})


def test_2_06_a_line_that_was_removed_or_superseded_counts_as_it_stands() -> None:
    asked = rule_named("rent-of-the-year")
    year = over(asked, "2027")
    first, second = line("2027-01-01", -115_000, "rent", what="a"), line("2027-02-01", -115_000, "rent", what="b")
    gone = told("line.removed", "a", {"line": "a", "removed_at": "2027-03-01T09:00:00-05:00"}, revision=1)
    less = line("2027-02-01", -100_000, "rent", what="b", revision=1)
    found = evaluate(asked, [less, gone, first, second], period=year)
    assert (found.figure, found.counted) == (-100_000, 1)
    assert found.not_counted == {"removed": 2, "superseded": 1}


@pytest.mark.parametrize(
    ("name", "outcome", "period"),
    [
        ("rent-of-the-year", {"reveals": "figure"}, "2027"),
        ("rent-of-the-year", {"at_most": 5}, "2027"),
        ("rent-of-the-year", {"equals": 0}, "2027"),
        ("regular-guest", {"at_most": 5}, "2027-03"),
        ("regular-guest", {"bands": [5], "sent_from": 1}, "2027-03"),
        ("late-arrival", {"at_most": 60}, TRIP),
    ],
)
def test_where_nothing_was_told_nothing_is_answered(name: str, outcome: dict[str, object], period: str) -> None:
    asked = measured(name, outcome=outcome)
    found = evaluate(asked, [], period=over(asked, period))
    assert (found.satisfied, found.band) == (False, None)


# Journey 4: the bookshop


def member(word: str, since: str) -> JourneyEvent:
    return told(f"membership.{word}", since, {"since": since})


@pytest.mark.parametrize(
    ("words", "march", "april"),
    [
        ([], False, False),
        ([("paid", "2027-02-10T09:00:00-05:00")], True, True),
        # 4.10: lapsed on 20 March: March holds, April does not.
        ([("paid", "2027-02-10T09:00:00-05:00"), ("lapsed", "2027-03-20T09:00:00-04:00")], True, False),
        # 4.09: refunded on day 10 after issue.
        ([("paid", "2027-02-28T09:00:00-05:00"), ("refunded", "2027-03-10T09:00:00-05:00")], True, False),
        ([("paid", "2027-03-01T00:00:00-05:00")], True, True),
        ([("paid", "2027-03-01T00:00:01-05:00")], False, True),
    ],
)
def test_4_a_paid_member_when_the_month_begins(words: list[tuple[str, str]], march: bool, april: bool) -> None:
    asked = rule_named("paid-member")
    events = [member(*word) for word in words]
    found = [evaluate(asked, events, period=over(asked, month)) for month in ("2027-03", "2027-04")]
    assert [each.satisfied for each in found] == [march, april]
    assert [each.counted for each in found] == [int(march), int(april)]


def test_4_a_stamp_for_each_full_ten_dollars_of_one_purchase() -> None:
    asked = rule_named("ten-stamps")
    month = over(asked, "2027-03")
    small = [purchase(f"2027-03-{day:02}T10:00:00-05:00", 999) for day in range(1, 13)]
    assert evaluate(asked, small, period=month).figure == 0
    large = [purchase("2027-03-13T10:00:00-05:00", 9_999), purchase("2027-03-14T10:00:00-04:00", 1_000)]
    assert evaluate(asked, [*small, *large], period=month).figure == 10


def test_4_a_purchase_that_came_back_earns_no_stamp() -> None:
    asked = rule_named("ten-stamps")
    month = over(asked, "2027-03")
    bought = purchase("2027-03-30T10:00:00-04:00", 10_000, what="p")
    back = told("purchase.returned", "p", {"purchase": "p", "at": "2027-04-02T10:00:00-04:00"}, revision=1)
    part = purchase("2027-03-30T10:00:00-04:00", 4_000, what="p", revision=1)
    assert evaluate(asked, [bought], period=month).satisfied
    assert evaluate(asked, [bought, back], period=month).not_counted == {"removed": 2}
    assert evaluate(asked, [bought, part], period=month).figure == 4


# Journey 5: the trip


def arrival(segment: int, scheduled: str, actual: str) -> JourneyEvent:
    data = {"segment": segment, "scheduled_at": scheduled, "actual_at": actual}
    return told("arrival.delayed", f"{segment}", data)


def test_5_01_a_delay_is_elapsed_and_of_the_covered_segment() -> None:
    asked = rule_named("late-arrival")
    trip = over(asked, TRIP)
    out = arrival(0, "2027-05-08T20:10:00+01:00", "2027-05-08T23:35:00+01:00")
    back = arrival(1, "2027-05-12T20:10:00-04:00", "2027-05-12T20:30:00-04:00")
    assert slots_of(asked, [back, out]) == (0, 1)
    found = [evaluate(asked, [out, back], period=trip, slot=slot) for slot in (0, 1)]
    assert [(each.satisfied, each.figure) for each in found] == [(True, 205 * 60), (False, 20 * 60)]
    assert found[0].not_counted == {"other_slot": 1}


def test_a_segment_that_was_only_heard_of_as_changed_has_an_answer_of_its_own() -> None:
    """It was booked before the consent began, so that its first telling is not there to be read."""
    asked = parsed({**document("departure-day"), "slot_by": "segment"})
    data = {
        "segment": 3,
        "booked_at": "2027-04-01T09:00:00-04:00",
        "scheduled_at": "2027-05-08T18:00:00-04:00",
        "departs_at": "2027-05-08T20:00:00-04:00",
        "time_zone": "America/New_York",
    }
    assert slots_of(asked, [told("order.changed", "3", data, revision=1)]) == (3,)


def test_5_01_a_delay_over_a_change_of_clocks_is_elapsed() -> None:
    """Due at 0:30, arrived at 3:31 on the night that spring leaves an hour out: two hours and a minute."""
    asked = rule_named("late-arrival")
    late = arrival(0, "2027-03-14T00:30:00-05:00", "2027-03-14T03:31:00-04:00")
    assert evaluate(asked, [late], period=over(asked, "2027-03-13/2027-03-15")).figure == 121 * 60


@pytest.mark.parametrize(
    ("expected", "yes"),
    [
        ("2027-05-08T22:59:00+01:00", False),
        ("2027-05-08T23:00:00+01:00", True),
        ("2027-05-09T00:35:00+01:00", True),  # past midnight is later, not earlier
    ],
)
def test_5_03_a_guest_who_arrives_at_night_keeps_the_room(expected: str, yes: bool) -> None:
    asked = rule_named("arrives-at-night")
    first = {
        "segment": 0,
        "told_at": "2027-05-01T10:00:00-04:00",
        "on": "2027-05-08",
        "expected_at": "2027-05-08T20:10:00+01:00",
    }
    then = {**first, "told_at": "2027-05-08T15:00:00-04:00", "expected_at": expected}
    events = [told("arrival.expected", "then", then), told("arrival.expected", "first", first)]
    found = evaluate(asked, events, period=over(asked, TRIP), slot=0)
    assert (found.satisfied, found.not_counted) == (yes, {"not_the_last": 1})


def test_5_gold_or_better_is_the_last_word() -> None:
    asked = rule_named("gold-or-better")
    trip = over(asked, TRIP)
    gold = told("tier.set", "gold", {"since": "2027-01-10T09:00:00-05:00", "tier": "gold"})
    basic = told("tier.set", "basic", {"since": "2027-04-10T09:00:00-04:00", "tier": "basic"})
    assert evaluate(asked, [gold], period=trip).satisfied
    assert not evaluate(asked, [gold, basic], period=trip).satisfied


def test_5_a_guest_tonight() -> None:
    asked = rule_named("guest-tonight")
    came = told("stay.started", "came", {"stay": 0, "at": "2027-05-08T23:50:00+01:00"})
    went = told("stay.ended", "went", {"stay": 0, "at": "2027-05-12T11:00:00+01:00"})
    nights = {
        day: evaluate(asked, [went, came], period=over(asked, f"2027-05-{day:02}", LISBON)).satisfied
        for day in (7, 8, 11, 12)
    }
    assert nights == {7: False, 8: True, 11: True, 12: False}


def test_5_06_a_coffee_counts_by_the_departure_airport_or_by_the_store() -> None:
    """19:30 on 8 May in New York is 00:30 on 9 May in Lisbon, where it is drunk."""
    by_airport = rule_named("coffee-on-departure-day")
    by_store = measured("coffee-on-departure-day", basis="store_local")
    morning = purchase("2027-05-08T06:50:00-04:00", 640)
    night = purchase("2027-05-09T00:30:00+01:00", 640)
    zones = Zones(departure=NEW_YORK)
    day = over(by_airport, "2027-05-08")
    assert evaluate(by_airport, [morning, night], period=day, zones=zones).figure == 2
    assert evaluate(by_store, [morning, night], period=day, zones=zones).figure == 1
    assert evaluate(by_airport, [night], period=day).not_counted == {"zone_unknown": 1}


def order(booked: str, scheduled: str, departs: str, **more: int) -> JourneyEvent:
    data = {"segment": 0, "booked_at": booked, "scheduled_at": scheduled, "departs_at": departs}
    event_type = "order.changed" if more else "order.confirmed"
    return told(event_type, booked, {**data, "time_zone": "America/New_York"}, **more)


def test_5_07_a_departure_that_moved_counts_on_either_day() -> None:
    asked = rule_named("departure-day")
    scheduled = "2027-05-08T08:00:00-04:00"
    booked = order("2027-03-01T10:00:00-05:00", scheduled, scheduled)
    moved = order("2027-03-01T10:00:00-05:00", scheduled, "2027-05-09T08:00:00-04:00", revision=1)
    days = ["2027-05-07", "2027-05-08", "2027-05-09"]
    assert [evaluate(asked, [booked], period=over(asked, day)).satisfied for day in days] == [False, True, False]
    assert [evaluate(asked, [booked, moved], period=over(asked, day)).satisfied for day in days] == [False, True, True]
    actual = measured("departure-day", basis="departure_airport")
    assert [evaluate(actual, [booked, moved], period=over(actual, day)).satisfied for day in days] == [
        False,
        False,
        True,
    ]


def test_5_a_flight_bought_the_day_before_earns_nothing() -> None:
    asked = rule_named("departure-day")
    late = order("2027-05-06T08:00:01-04:00", "2027-05-08T08:00:00-04:00", "2027-05-08T08:00:00-04:00")
    assert not evaluate(asked, [late], period=over(asked, "2027-05-08")).satisfied


def test_5_14_each_stay_has_an_answer_of_its_own() -> None:
    asked = rule_named("hotel-miles")
    trip = over(asked, TRIP)
    nights = [
        told(
            "stay.night",
            f"{stay} {day}",
            {
                "stay": stay,
                "on": f"2027-05-{day:02}",
                "at": f"2027-05-{day:02}T15:00:00+01:00",
                "amount": 18_000,
                "asset": "USD/2",
            },
        )
        for stay, day in ((0, 8), (0, 9), (0, 10), (1, 11))
    ]
    assert [evaluate(asked, nights, period=trip, slot=slot).band for slot in slots_of(asked, nights)] == [3, None]
    twice = [
        *nights,
        JourneyEvent(
            "another entry", *(getattr(nights[0], name) for name in ("type", "started_at", "ended_at", "data"))
        ),
    ]
    assert evaluate(asked, twice, period=trip, slot=0).figure == evaluate(asked, nights, period=trip, slot=0).figure


# What a recipient takes from a claim's words


@pytest.mark.parametrize(
    ("name", "period", "statement", "heard"),
    [
        ("steps-tier", "2027-03", "steps.average(2027-03) in band 2", Heard(band=2)),
        ("steps-tier", "2027-03", "steps.average(2027-03) in band 5", Heard(band=5)),
        ("steps-ten-thousand", "2027-03", "steps.average(2027-03) >= 10000", Heard()),
        ("rent-of-the-year", "2027", "line.sum(2027) = -1380000", Heard(figure=-1_380_000)),
        ("rent-of-the-year", "2027", "line.sum(2027) = 0", Heard(figure=0)),
        ("paid-member", "2027-03", "membership.active(2027-03)", Heard()),
    ],
)
def test_a_recipient_reads_what_the_rule_can_say(name: str, period: str, statement: str, heard: Heard) -> None:
    assert read_statement(rule_named(name), period, statement) == heard


@pytest.mark.parametrize(
    ("name", "period", "statement"),
    [
        ("steps-tier", "2027-03", "steps.average(2027-03) in band 1"),  # below what is sent
        ("steps-tier", "2027-03", "steps.average(2027-03) in band 6"),
        ("steps-tier", "2027-04", "steps.average(2027-03) in band 4"),
        ("steps-tier", "2027-03", "steps.average(2027-03) >= 10000"),
        ("steps-ten-thousand", "2027-03", "steps.average(2027-03) >= 9999"),
        *(
            ("rent-of-the-year", "2027", f"line.sum(2027) = {text}")
            for text in ("", "-", "007", "-0", "1.5", "1e3", "٧")
        ),
        ("rent-of-the-year", "2027", "7"),
        ("rent-of-the-year", "2027", "line.sum(2027) = " + "9" * 17),
    ],
)
def test_what_a_rule_cannot_say_is_not_heard(name: str, period: str, statement: str) -> None:
    with pytest.raises(BadInput, match="rule can say"):
        read_statement(rule_named(name), period, statement)


def test_what_is_not_so_is_not_said() -> None:
    with pytest.raises(BadInput, match="says nothing"):
        statement_of(TIER, "2027-03", tier([]))


# Where the subject lives


def test_home_is_frozen_when_the_period_begins() -> None:
    moves = [
        told("home.set", "a", {"since": "2026-01-01T00:00:00-05:00", "time_zone": "America/New_York"}),
        told("home.set", "b", {"since": "2027-03-10T00:00:00+00:00", "time_zone": "Europe/Lisbon"}),
    ]
    april = over(TIER, "2027-04")
    for events in (moves, moves[::-1]):
        assert home_zone_name(events, at_s=MARCH.start_s) == "America/New_York"
        assert home_zone_name(events, at_s=april.start_s) == "Europe/Lisbon"
    assert home_zone_name([], at_s=MARCH.start_s) is None
    moved_s = seconds("2027-03-10T00:00:00+00:00")
    assert home_zone_name(moves, at_s=moved_s - 1) == "America/New_York"
    assert home_zone_name(moves, at_s=moved_s) == "Europe/Lisbon"


def test_a_day_away_from_home_is_the_home_day_that_holds_most_of_it() -> None:
    abroad = [steps("2027-03-01", 9_000, zone=LISBON)]
    found = evaluate(TIER, [*ana_march()[1:], *abroad], period=MARCH, zones=AT_HOME)
    assert (found.counted, found.not_counted) == (31, {})


def test_without_a_home_no_day_is_known() -> None:
    assert evaluate(TIER, ana_march(), period=MARCH).not_counted == {"zone_unknown": 31}
