"""Rules as data: from the events of a period to one answer, with what was counted and what was not.

Pure. A rule is a document both partners hold; nothing in it is code.

periods      names of periods, their days, their close
comparing    which events a rule keeps, and which outcome a figure has
measures     what a rule measures: events, made days, made one figure
language     the documents: what a rule may say
first        the first form of a rule, a short way to write one of them
days         from events to days: each thing once, on its day
evaluate     the answer, and why
late         what late evidence and corrections change of what was told
dry_run      a rule tried on past periods
conjunction  claims of different issuers, concluded at the recipient
cost         what a rule tells, in words a customer reads
linter       what all rules of one recipient over one source tell together
words        why an input did not count, for people
"""

from tallystick_consent.rules.conjunction import (
    Accepted,
    Conclusion,
    Conjunction,
    conclude,
    parse_conjunction,
    require_sound,
)
from tallystick_consent.rules.cost import PrivacyCost, privacy_cost
from tallystick_consent.rules.days import NO_ZONES, Zones, days_touched, home_zone_name
from tallystick_consent.rules.dry_run import PastPeriod, dry_run
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
from tallystick_consent.rules.late import Because, Outcome, follows, with_late
from tallystick_consent.rules.linter import (
    AskedFigure,
    ByBand,
    Flat,
    PerUnit,
    Question,
    RewardShape,
    Telling,
    figures_of,
    figures_together,
    require_within,
    told_together,
)
from tallystick_consent.rules.periods import (
    FIRST_ZONE,
    LAST_ZONE,
    Period,
    dates_of,
    name_of,
    period_after,
    period_named,
    span_of,
)
from tallystick_consent.rules.words import why_not
from tallystick_ledger.times import DAY_S

MARGIN_S = 2 * DAY_S
"""How far beyond a period events are read: days are local to a place, and visits merge over the edge."""

__all__ = [
    "FIRST_ZONE",
    "LAST_ZONE",
    "MARGIN_S",
    "NO_ZONES",
    "Accepted",
    "AnyRule",
    "AskedFigure",
    "Because",
    "ByBand",
    "Conclusion",
    "Conjunction",
    "Evaluation",
    "Filter",
    "Flat",
    "Heard",
    "Outcome",
    "PastPeriod",
    "PerUnit",
    "Period",
    "PrivacyCost",
    "Question",
    "RewardShape",
    "Rule",
    "RuleRejected",
    "RulesTellTooMuch",
    "Telling",
    "VisitDays",
    "Zones",
    "conclude",
    "dates_of",
    "days_touched",
    "dry_run",
    "evaluate",
    "figures_of",
    "figures_together",
    "follows",
    "home_zone_name",
    "name_of",
    "parse_conjunction",
    "period_after",
    "period_named",
    "privacy_cost",
    "read_statement",
    "require_sound",
    "require_within",
    "slots_of",
    "span_of",
    "statement_of",
    "told_together",
    "why_not",
    "with_late",
]
