"""What late evidence changes: nothing, something that is made good, or only what comes after.

Pure. A period is answered once, at its close. Where a rule takes late evidence, the period is evaluated again with it,
and the two answers are set side by side; what was told is never edited.

Source: SCENARIOS 3.06 (correction path, true-up in the next period), 3.19 (no downward retro).
"""

from dataclasses import replace
from typing import Literal

from tallystick_consent.events import JourneyEvent
from tallystick_consent.rules.evaluate import Evaluation
from tallystick_consent.rules.first import AnyRule
from tallystick_consent.rules.periods import Period
from tallystick_ledger.times import DAY_S

TrueUp = Literal["same", "better", "better_too_late", "worse_future_only", "worse_reversed", "not_taken"]


def true_up(rule: AnyRule, told: Evaluation, found: Evaluation, *, period: Period, now_s: int) -> TrueUp:
    """Return what follows where a closed period is evaluated again.

    `better` is made good in the next period by a new, linked claim; `worse_reversed` takes back what was given;
    `worse_future_only` stands as it was told; `not_taken` is a rule whose closed periods stay closed.

    Args:
        rule: the rule, for its terms on late evidence.
        told: the answer at the close.
        found: the answer with what came since (`with_late`).
        period: the period.
        now_s: seconds since 1970-01-01 UTC, from the caller's clock.
    """
    late = rule.spelled_out().late
    before, after = _standing(told), _standing(found)
    if before == after:
        return "same"
    if late.evidence == "refused":
        return "not_taken"
    if after > before:
        return "better" if now_s < period.close_s + late.up_within_days * DAY_S else "better_too_late"
    return "worse_reversed" if late.down == "reversed" else "worse_future_only"


def with_late(events: list[JourneyEvent]) -> list[JourneyEvent]:
    """Return the events as if all had come in time, to evaluate a closed period again."""
    return [replace(event, recorded_at_s=None) for event in events]


def _standing(found: Evaluation) -> tuple[bool, int]:
    """Return how good an answer is for the subject: a yes before a no, and a higher band before a lower."""
    return found.satisfied, found.band or 0
