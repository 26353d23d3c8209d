"""What all rules of one recipient over one source tell together, and what a reward's size tells (P17)."""

import pytest
from fitness import rule
from hypothesis import given, settings
from hypothesis import strategies as st
from rulebook import measured, rule_named

from tallystick_consent.fields import RUNG_HEIGHT
from tallystick_consent.rules import (
    AnyRule,
    ByBand,
    PerUnit,
    Question,
    RuleRejected,
    RulesTellTooMuch,
    Telling,
    require_within,
    told_together,
)


def at_least(*thresholds: int) -> list[Question]:
    return [Question(f"fit-{each}@1", rule(at_least=each)) for each in thresholds]


def test_one_threshold_is_a_predicate() -> None:
    told = require_within(at_least(12), rung="predicate")
    assert (told.rung, told.rules) == ("predicate", ("fit-12@1",))


def test_three_thresholds_of_one_figure_are_a_band_and_are_named() -> None:
    assert told_together(at_least(8, 12, 13)).rung == "band"
    with pytest.raises(RulesTellTooMuch, match="tell a band, and the receipt permits a predicate") as refused:
        require_within(at_least(8, 12, 13), rung="predicate")
    assert refused.value.rules == ("fit-12@1", "fit-13@1", "fit-8@1")
    assert (refused.value.code, refused.value.told, refused.value.permitted) == (
        "combined_minimality",
        "band",
        "predicate",
    )
    require_within(at_least(8, 12, 13), rung="band")


def test_the_same_threshold_twice_tells_nothing_more() -> None:
    same = [Question("a@1", rule(at_least=12)), Question("b@1", rule(at_least=12))]
    assert told_together(same).rung == "predicate"


def test_thresholds_side_by_side_name_the_figure() -> None:
    assert told_together(at_least(11, 12)).rung == "band"
    assert told_together(at_least(11, 12, 13)).rung == "aggregate"
    assert told_together(at_least(11, 12, 13, 20)).rung == "band"


def test_a_band_table_of_single_values_is_the_figure() -> None:
    wide = measured("steps-tier", outcome={"bands": [5_000, 5_002, 5_003], "sent_from": 1})
    narrow = measured("steps-tier", outcome={"bands": [5_000, 5_001, 5_002], "sent_from": 1})
    assert told_together([Question("tier@1", wide)]).rung == "band"
    assert told_together([Question("tier@1", narrow)]).rung == "aggregate"


def test_a_band_beside_a_threshold_of_the_same_average_stays_a_band() -> None:
    both = [Question("tier@1", rule_named("steps-tier")), Question("ten@1", rule_named("steps-ten-thousand"))]
    told = told_together(both)
    assert (told.rung, told.rules) == ("band", ("ten@1", "tier@1"))


def test_two_filters_tell_what_falls_between_them() -> None:
    """Twelve days anywhere, and twelve at one club: the difference is where."""
    here = rule(where=[{"member": "facility", "one_of": ["club-7"]}])
    told = told_together([Question("any@1", rule()), Question("here@1", here)])
    assert (told.rung, told.rules) == ("band", ("any@1", "here@1"))


def test_two_sources_are_not_put_together() -> None:
    both = [Question("fit@1", rule()), Question("steps@1", rule_named("steps-ten-thousand"))]
    assert told_together(both).rung == "predicate"


def test_asking_every_day_tells_the_date() -> None:
    daily = rule_named("steps-each-day")
    with pytest.raises(RulesTellTooMuch, match="every day, which tells the date") as refused:
        require_within([Question("daily@1", daily), *at_least(12)], rung="band")
    assert (refused.value.rules, refused.value.told) == (("daily@1",), "field")
    require_within([Question("daily@1", daily)], rung="field")
    assert told_together([Question("once@1", daily, periods=1)]).rung == "band"


def test_two_moments_of_one_membership_are_more_than_one_answer() -> None:
    start = rule_named("paid-member")
    end = start.model_copy(update={"requires": (start.requires[0].model_copy(update={"at": "period_end"}),)})
    assert told_together([Question("start@1", start)]).rung == "predicate"
    assert told_together([Question("start@1", start), Question("end@1", end)]).rung == "band"


# Rewards


STAMPS = rule_named("ten-stamps")
TIER = rule_named("steps-tier")


@pytest.mark.parametrize(
    ("asked", "reward", "rung"),
    [
        (TIER, ByBand((50, 75, 85, 95, 105)), "band"),
        (TIER, ByBand((50, 50, 50, 50, 50)), "band"),  # the answer itself
        (STAMPS, PerUnit(1), "aggregate"),
        (STAMPS, PerUnit(100), "aggregate"),  # nothing bounds it, so there is no end of buckets
        (STAMPS, PerUnit(1_000, figure_max=15_999), "band"),
        (STAMPS, PerUnit(1_000, figure_max=16_000), "aggregate"),
        (STAMPS, PerUnit(1, figure_max=5), "aggregate"),
        # Points equal to the fare are the fare.
        (STAMPS, PerUnit(100, of="event"), "raw"),
        (rule_named("hotel-miles"), PerUnit(50), "raw"),
    ],
)
def test_a_reward_that_can_be_inverted_counts_as_what_it_reveals(
    asked: AnyRule, reward: ByBand | PerUnit, rung: str
) -> None:
    assert told_together([Question("paid@1", asked, reward)]).rung == rung


def test_points_equal_to_the_fare_are_refused_below_raw() -> None:
    with pytest.raises(RulesTellTooMuch, match="turned back into what it was paid for") as refused:
        require_within([Question("points@1", STAMPS, PerUnit(100, of="event"))], rung="field")
    assert refused.value.rules == ("points@1",)


@pytest.mark.parametrize(
    ("asked", "reward", "problem"),
    [
        (STAMPS, PerUnit(0), "divides by nothing"),
        (STAMPS, PerUnit(-1), "divides by nothing"),
        (TIER, ByBand((1, 2)), "other bands"),
        (STAMPS, ByBand((1, 2)), "other bands"),
    ],
)
def test_a_reward_that_cannot_be_is_refused(asked: AnyRule, reward: ByBand | PerUnit, problem: str) -> None:
    with pytest.raises(RuleRejected, match=problem):
        told_together([Question("paid@1", asked, reward)])


def test_two_questions_of_one_name_are_refused() -> None:
    with pytest.raises(RuleRejected, match="one name"):
        told_together([Question("a@1", rule()), Question("a@1", rule())])


def test_no_question_tells_nothing() -> None:
    assert told_together([]) == Telling("token", (), ())


@settings(max_examples=40, deadline=None)
@given(
    thresholds=st.lists(st.integers(1, 31), min_size=1, max_size=8, unique=True),
    more=st.integers(1, 31),
    data=st.data(),
)
def test_another_question_never_tells_less_unless_the_figure_is_out_anyway(
    thresholds: list[int], more: int, data: st.DataObject
) -> None:
    few = at_least(*thresholds)
    many = [*few, *(at_least(more) if more not in thresholds else [])]
    order = data.draw(st.permutations(many))
    assert told_together(order) == told_together(many)
    if told_together(few).rung != "aggregate":
        assert RUNG_HEIGHT[told_together(few).rung] <= RUNG_HEIGHT[told_together(many).rung]
