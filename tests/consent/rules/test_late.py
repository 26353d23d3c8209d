"""What late evidence and corrections do to what was told: it is taken back, told anew, or left, by the rule's terms."""

from typing import Any

import pytest
from rulebook import document, over, parsed

from tallystick_consent.rules import Because, Evaluation, Outcome, Rule, follows, statement_of
from tallystick_ledger.errors import BadInput
from tallystick_ledger.times import DAY_S

REFUSED = {"evidence": "refused"}
FUTURE_ONLY = {"evidence": "true_up", "up_within_days": 60, "down": "future_only"}
REVERSED = {"evidence": "true_up", "up_within_days": 60, "down": "reversed"}


def rule(late: dict[str, Any]) -> Rule:
    """Return the rule of journey 3 with other terms on late evidence: bands from 1, told from band 2 on."""
    return parsed({**document("steps-tier"), "late": late})


def answer(band: int) -> Evaluation:
    """Return an answer that lies in a band; the first is not told."""
    return Evaluation(satisfied=band >= 2, figure=0, assurance="device", counted=31, not_counted={}, band=band)


def outcome(late: dict[str, Any], told: int, found: int, *, because: Because, days_later: int = 10) -> Outcome:
    """Return what follows where one band was told, and another is found."""
    plan = rule(late)
    march = over(plan, "2027-03")
    statement = statement_of(plan, march.name, answer(told)) if told >= 2 else None
    now_s = march.close_s + days_later * DAY_S
    return follows(plan, statement, answer(found), because=because, period=march, now_s=now_s)


@pytest.mark.parametrize("late", [REFUSED, FUTURE_ONLY, REVERSED])
@pytest.mark.parametrize("because", ["late", "missing", "wrong"])
def test_what_is_still_so_stands(late: dict[str, Any], because: Because) -> None:
    assert outcome(late, 4, 4, because=because) == "stands"
    assert outcome(late, 1, 1, because=because) == "not_reached"


@pytest.mark.parametrize(
    ("late", "told", "found", "because", "follows_then"),
    [
        (REFUSED, 4, 1, "wrong", "revoked"),  # it was never so
        (REFUSED, 4, 3, "wrong", "superseded"),
        (REFUSED, 4, 3, "missing", "not_taken"),  # only late, and nothing late is taken
        (REFUSED, 3, 4, "wrong", "not_taken"),
        (REFUSED, 1, 4, "missing", "not_taken"),
        (FUTURE_ONLY, 4, 1, "wrong", "future_only"),
        (FUTURE_ONLY, 4, 3, "missing", "future_only"),
        (FUTURE_ONLY, 3, 4, "missing", "superseded"),
        (FUTURE_ONLY, 1, 4, "wrong", "issued"),
        (REVERSED, 4, 1, "missing", "revoked"),
        (REVERSED, 4, 3, "wrong", "superseded"),
        (REVERSED, 3, 4, "wrong", "superseded"),
        (REVERSED, 1, 2, "missing", "issued"),
        (REFUSED, 4, 3, "late", "not_taken"),
        (FUTURE_ONLY, 4, 3, "late", "future_only"),
        (REVERSED, 4, 3, "late", "needs_correction"),  # evidence alone takes nothing back
        (REVERSED, 4, 1, "late", "needs_correction"),
        (REVERSED, 3, 4, "late", "superseded"),
        (REVERSED, 1, 2, "late", "issued"),
    ],
)
def test_what_is_not_so_any_more_follows_the_rules_terms(
    late: dict[str, Any], told: int, found: int, because: Because, follows_then: Outcome
) -> None:
    assert outcome(late, told, found, because=because) == follows_then


def test_what_is_better_is_made_good_for_so_many_days_and_what_is_worse_is_taken_back_whenever() -> None:
    for told, then in ((1, "issued"), (3, "superseded")):
        assert outcome(REVERSED, told, 4, because="missing", days_later=59) == then
        assert outcome(REVERSED, told, 4, because="missing", days_later=60) == "too_late"
    assert outcome(REVERSED, 4, 1, because="wrong", days_later=300) == "revoked"


def test_what_the_rule_cannot_have_told_is_refused() -> None:
    plan = rule(REVERSED)
    march = over(plan, "2027-03")
    with pytest.raises(BadInput):
        follows(plan, "steps.average(2027-03) in band 9", answer(4), because="wrong", period=march, now_s=march.close_s)
