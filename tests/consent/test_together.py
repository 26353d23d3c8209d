"""Programs of one payer beside each other: what they tell together stays within what was agreed (P17)."""

from typing import Any

import pytest
from fitness import PROGRAM_DOCUMENT, RULE_DOCUMENT
from rulebook import document

from tallystick_consent.program import Program, parse_program
from tallystick_consent.rules import RulesTellTooMuch
from tallystick_consent.together import require_within_beside


def program(name: str, **changes: Any) -> Program:
    return parse_program({**PROGRAM_DOCUMENT, "program": name, **changes})


def at_least(days: int) -> dict[str, Any]:
    return {**RULE_DOCUMENT, "at_least": days}


def steps(name: str, rule: str, rung: str) -> Program:
    return program(name, rule=document(rule), rung=rung, data_classes=["home", "steps"])


TWELVE = program("ins-fit")


def test_two_thresholds_of_one_figure_are_a_band_that_nobody_agreed_to() -> None:
    with pytest.raises(RulesTellTooMuch) as refused:
        require_within_beside(program("ins-more", rule=at_least(8)), [TWELVE])
    assert refused.value.rules == ("ins-fit@1", "ins-more@1")
    assert (refused.value.told, refused.value.permitted) == ("band", "predicate")


def test_the_same_question_twice_and_questions_about_other_events_tell_no_more() -> None:
    require_within_beside(program("ins-again"), [TWELVE])
    require_within_beside(steps("pace-tier", "steps-tier", "band"), [TWELVE])


def test_a_band_about_other_events_does_not_permit_a_band_about_these() -> None:
    with pytest.raises(RulesTellTooMuch):
        require_within_beside(program("ins-more", rule=at_least(8)), [TWELVE, steps("pace-tier", "steps-tier", "band")])


def test_a_program_of_a_higher_rung_permits_itself_and_not_what_two_others_tell_without_it() -> None:
    band = program("ins-band", rung="band")
    require_within_beside(TWELVE, [band])
    with pytest.raises(RulesTellTooMuch) as refused:
        require_within_beside(program("ins-more", rule=at_least(8)), [band, TWELVE])
    assert (refused.value.told, refused.value.permitted) == ("band", "predicate")


def test_a_band_is_not_refused_for_what_those_of_a_lower_rung_tell() -> None:
    """They were held together before; it adds nothing to that."""
    require_within_beside(program("ins-band", rung="band"), [program("ins-more", rule=at_least(8)), TWELVE])


def test_a_question_beside_a_band_of_the_same_events_is_within_the_band_that_was_agreed() -> None:
    require_within_beside(
        steps("pace-high", "steps-ten-thousand", "predicate"), [steps("pace-tier", "steps-tier", "band")]
    )


def test_another_version_of_itself_is_passed_over() -> None:
    require_within_beside(program("ins-fit", version=2, rule=at_least(8)), [TWELVE])


def test_a_question_of_every_day_tells_the_date_though_it_stands_alone() -> None:
    with pytest.raises(RulesTellTooMuch, match="every day"):
        require_within_beside(steps("pace-daily", "steps-each-day", "band"), [])
