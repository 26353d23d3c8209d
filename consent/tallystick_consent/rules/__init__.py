"""Rules as data: from the events of a period to one answer, with what was counted and what was not.

Pure. A rule is a document both partners hold; nothing in it is code.

periods      names of periods, their days, their close
language     the documents: what a rule may say
first        the first form of a rule, a short way to write one of them
days         from events to days: each thing once, on its day
evaluate     the answer, and why
"""

from tallystick_consent.rules.days import NO_ZONES, Zones, day_on, home_zone_name
from tallystick_consent.rules.errors import RuleRejected, RulesTellTooMuch
from tallystick_consent.rules.evaluate import (
    Evaluation,
    Heard,
    evaluate,
    read_statement,
    slots_of,
    statement_of,
)
from tallystick_consent.rules.first import AnyRule, Filter, VisitDays
from tallystick_consent.rules.language import Rule
from tallystick_consent.rules.periods import Period, dates_of, month_of, name_of, period_after, period_named, span_of

MARGIN_S = 2 * 86_400
"""How far beyond a period events are read: days are local to a place, and visits merge over the edge."""

__all__ = [
    "MARGIN_S",
    "NO_ZONES",
    "AnyRule",
    "Evaluation",
    "Filter",
    "Heard",
    "Period",
    "Rule",
    "RuleRejected",
    "RulesTellTooMuch",
    "VisitDays",
    "Zones",
    "dates_of",
    "day_on",
    "evaluate",
    "home_zone_name",
    "month_of",
    "name_of",
    "period_after",
    "period_named",
    "read_statement",
    "slots_of",
    "span_of",
    "statement_of",
]
