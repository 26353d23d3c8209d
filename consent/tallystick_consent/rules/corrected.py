"""What follows for an answer that was told, where an event it rested on is corrected.

Pure. A correction is its company's own word that a record was wrong, or missing. What was told because of a wrong
record was never so; unless the rule says that nothing is taken back, it is. What is better now is late evidence, and
made good where the rule takes that.

Source: SCENARIOS 1.07 (correction path), 3.06, 3.19 (no downward retro).
"""

from typing import Literal

from tallystick_consent.rules.evaluate import Evaluation, read_statement, statement_of
from tallystick_consent.rules.first import AnyRule
from tallystick_consent.rules.periods import Period
from tallystick_ledger.times import DAY_S

Outcome = Literal["stands", "not_reached", "issued", "superseded", "revoked", "not_taken", "too_late", "future_only"]


def follows(
    rule: AnyRule, told: str | None, found: Evaluation, *, was_wrong: bool, period: Period, now_s: int
) -> Outcome:
    """Return what becomes of an answer.

    `stands` and `not_reached` are as before; `issued`, `superseded` and `revoked` are what the claim becomes;
    `not_taken`, `too_late` and `future_only` say why what has changed changes nothing.

    Args:
        rule: the rule, for its terms on late evidence.
        told: the statement of the claim that stands for the period; None where none does.
        found: the answer as it is with the correction.
        was_wrong: the correction takes an event out, or puts another in its place; False: it only adds one.
        period: the period.
        now_s: seconds since 1970-01-01 UTC, from the caller's clock.

    Raises:
        BadInput: the rule cannot have told that.
    """
    now = statement_of(rule, period.name, found) if found.satisfied else None
    if now == told:
        return "not_reached" if told is None else "stands"
    late = rule.spelled_out().late
    if told is None or (now is not None and _band(rule, period, now) > _band(rule, period, told)):
        if late.evidence == "refused":
            return "not_taken"
        if now_s >= period.close_s + late.up_within_days * DAY_S:
            return "too_late"
        return "issued" if told is None else "superseded"
    if late.evidence == "refused" and not was_wrong:
        return "not_taken"
    if late.evidence == "true_up" and late.down == "future_only":
        return "future_only"
    return "revoked" if now is None else "superseded"


def _band(rule: AnyRule, period: Period, statement: str) -> int:
    return read_statement(rule, period.name, statement).band or 0
