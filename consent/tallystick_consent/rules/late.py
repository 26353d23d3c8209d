"""What follows for what was told of a closed period that is evaluated again: evidence came late, or was corrected.

Pure. A period is answered once, at its close, and what was told is never edited. What is better now is made good, where
the rule takes late evidence and it comes in time. What is worse now is taken back by a correction alone, which is its
company's own word that a record was wrong, or missing: what was told because of a wrong record was never so, and is
taken back unless the rule says that nothing is.

Source: SCENARIOS 1.07 (correction path), 3.06 (true-up in the next period), 3.19 (no downward retro).
"""

from dataclasses import replace
from typing import Literal

from tallystick_consent.events import JourneyEvent
from tallystick_consent.rules.evaluate import Evaluation, read_statement, statement_of
from tallystick_consent.rules.first import AnyRule
from tallystick_consent.rules.periods import Period
from tallystick_ledger.times import DAY_S

Because = Literal["late", "missing", "wrong"]
"""Why a period is evaluated again: evidence came late; or a correction adds an event that was missing, or takes one out
or puts another in its place."""

Outcome = Literal[
    "stands",
    "not_reached",
    "issued",
    "superseded",
    "revoked",
    "not_taken",
    "too_late",
    "future_only",
    "needs_correction",
]
"""What becomes of an answer; docs/protocol.md, "Corrections", and docs/rules.md say the same to whoever reads them."""


def follows(
    rule: AnyRule, told: str | None, found: Evaluation, *, because: Because, period: Period, now_s: int
) -> Outcome:
    """Return what becomes of an answer.

    `stands` and `not_reached` are as before; `issued`, `superseded` and `revoked` are what the claim becomes;
    `not_taken`, `too_late`, `future_only` and `needs_correction` say why what has changed changes nothing.

    Args:
        rule: the rule, for its terms on late evidence.
        told: the statement of the claim that stands for the period; None where none does.
        found: the answer as it is now, every event counted as if it had come in time (`with_late`).
        because: why it was looked at again.
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
    if late.evidence == "refused" and because != "wrong":
        return "not_taken"
    if late.evidence == "true_up" and late.down == "future_only":
        return "future_only"
    if because == "late":
        return "needs_correction"
    return "revoked" if now is None else "superseded"


def with_late(events: list[JourneyEvent]) -> list[JourneyEvent]:
    """Return the events as if all had come in time, to evaluate a closed period again."""
    return [replace(event, recorded_at_s=None) for event in events]


def _band(rule: AnyRule, period: Period, statement: str) -> int:
    return read_statement(rule, period.name, statement).band or 0
