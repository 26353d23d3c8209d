"""What a rule costs in privacy, in words a customer reads: what the recipient learns, and what silence tells.

Pure and deterministic: the same rule gives the same words, so that what a screen shows can be bound by a digest and
checked against the rule by anybody who holds it.

Source: DESIGN flow 3 (exact wording, what silence tells), API section 6, UX.
"""

from dataclasses import dataclass
from itertools import pairwise

from tallystick_consent.fields import Rung
from tallystick_consent.rules.comparing import (
    AtLeast,
    AtMost,
    Bands,
    Equals,
    IsOneOf,
    OneOf,
    OnOrAfter,
    Reveals,
    Within,
)
from tallystick_consent.rules.first import AnyRule
from tallystick_consent.rules.language import Requirement, Rule
from tallystick_consent.rules.measures import (
    Average,
    Last,
    LongestMiss,
    LongestStreak,
    Max,
    Measure,
    MissedDays,
    QualifiedDays,
    Sum,
)
from tallystick_ledger.times import DAY_S

_SPAN = {
    "calendar_day": "on a day",
    "iso_week": "in a week",
    "calendar_month": "in a calendar month",
    "calendar_year": "in a calendar year",
    "window": "in the days you are shown",
}

_ONE_AND_MANY = {
    "visit": ("visit", "visits"),
    "membership": ("membership", "memberships"),
    "home": ("change of home", "changes of home"),
    "tier": ("change of status", "changes of status"),
    "steps": ("day of steps", "days of steps"),
    "balance": ("balance", "balances"),
    "line": ("bank line", "bank lines"),
    "period": ("reconciliation", "reconciliations"),
    "purchase": ("purchase", "purchases"),
    "order": ("booking", "bookings"),
    "arrival": ("arrival", "arrivals"),
    "stay": ("stay", "stays"),
}

_FIGURES = {
    ("steps", "steps"): "steps",
    ("steps", "manual_steps"): "steps entered by hand",
    ("visit", "elapsed_s"): "time on visits",
    ("arrival", "delay_s"): "delay",
    ("order", "lead_s"): "time between booking and departure",
    ("balance", "amount"): "balance",
    ("line", "amount"): "amount of bank lines",
    ("purchase", "amount"): "amount of purchases",
    ("stay", "amount"): "price of the stay",
}

_TOTALS = {
    ("steps", "steps"): "the total of your steps",
    ("line", "amount"): "the total of these bank lines",
    ("purchase", "amount"): "the total of your purchases",
    ("stay", "amount"): "the price of your stay",
}

_LAST = {
    "unmatched": "the number of lines without a match in your last reconciliation",
    "minutes_into_day": "the time you are expected to arrive",
    "tier": "your status",
}

_HOLDS = {"membership": "your membership is active", "stay": "your stay is going on"}

_SECONDS = frozenset({"elapsed_s", "delay_s", "lead_s"})


@dataclass(frozen=True, slots=True)
class PrivacyCost:
    """What a rule tells, for the consent screen.

    Attributes:
        rung: how revealing one answer is.
        learns: what the recipient learns, a sentence each.
        silence: what the recipient can tell from no answer.
        hidden: what the recipient does not learn from this rule.
    """

    rung: Rung
    learns: tuple[str, ...]
    silence: str
    hidden: str


def privacy_cost(rule: AnyRule) -> PrivacyCost:
    """Return what a rule costs, in words a customer reads."""
    plan = rule.spelled_out()
    span = _SPAN[plan.span]
    learns = [_learnt(measure, span) for measure in plan.measures]
    also = "An answer also tells that" if plan.measures else "They learn whether"
    learns += [f"{also} {_required(each, plan)}." for each in plan.requires]
    learns += [
        f"An answer also tells that it reaches the {each.on_or_after.replace('_', ' ')} of it."
        for measure in plan.measures
        for each in (measure.also if isinstance(measure, Last) else ())
        if isinstance(each, OnOrAfter)
    ]
    if plan.slot_by is not None:
        learns.append(f"There is an answer for each {plan.slot_by} of the trip, with its number.")
    kinds = [_where(each, _ONE_AND_MANY[measure.data_class][1]) for measure in plan.measures for each in measure.where]
    learns += [kind for kind in kinds if kind is not None]
    if plan.span == "calendar_day":
        learns.append("Each answer is about one day, so all of them together tell on which days.")
    return PrivacyCost(plan.rung, tuple(dict.fromkeys(learns)), _silence(plan), _hidden(plan))


def _learnt(measure: Measure, span: str) -> str:
    what = _figure(measure)
    match measure.outcome:
        case AtLeast(at_least=bound):
            return f"They learn whether, {span}, {what} is at least {_amount(measure, bound)}."
        case AtMost(at_most=bound):
            return f"They learn whether, {span}, {what} is at most {_amount(measure, bound)}."
        case Equals(equals=bound):
            return f"They learn whether, {span}, {what} is exactly {_amount(measure, bound)}."
        case IsOneOf(one_of=words):
            return f"They learn whether, {span}, {what} is {_or(words)}."
        case Bands(bands=bounds):
            return f"They learn in which of {len(bounds) + 1} ranges {what} lies {span}: {_ranges(measure, bounds)}."
        case Reveals():
            return f"They learn {what} {span}: the exact figure."


def _figure(measure: Measure) -> str:
    one, many = _ONE_AND_MANY[measure.data_class]
    if isinstance(measure, Last):
        return _LAST.get(measure.of, f"the {measure.of.replace('_', ' ')} of your last {one}")
    of = measure.day.of
    thing = f"number of {many}" if of is None else _named(measure.data_class, of)
    match measure:
        case QualifiedDays():
            return f"the number of days with {_condition(measure)}"
        case MissedDays():
            return f"the number of days without {_condition(measure)}"
        case LongestStreak():
            return f"the longest run of days with {_condition(measure)}"
        case LongestMiss():
            return f"the longest run of days without {_condition(measure)}"
        case Sum(day=day) if day.per_full is not None:
            each = _amount(measure, day.per_full, of_figure=True)
            return f"the number of times that {each} is full in a {one}, over all {many},"
        case Sum():
            return _TOTALS.get((measure.data_class, of), f"the total {thing}") if of is not None else f"the {thing}"
        case Max():
            return f"the largest {thing}"
        case Average():
            return f"your average {thing} a day"


def _named(data_class: str, of: str) -> str:
    return _FIGURES.get((data_class, of), of.replace("_", " "))


def _condition(measure: QualifiedDays | MissedDays | LongestStreak | LongestMiss) -> str:
    one, many = _ONE_AND_MANY[measure.data_class]
    if measure.day.of is not None:
        return f"at least {_amount(measure, measure.day_at_least, of_figure=True)} {_unit(measure)}".strip()
    lasting = measure.sessions.elapsed_at_least_s if measure.sessions is not None else 0
    long = f" of at least {_duration(lasting)}" if lasting else ""
    return f"a {one}{long}" if measure.day_at_least == 1 else f"at least {measure.day_at_least} {many}{long}"


def _unit(measure: QualifiedDays | MissedDays | LongestStreak | LongestMiss) -> str:
    assert measure.day.of is not None, "what is counted has its own words"
    if measure.day.of == "amount":
        return f"in {_ONE_AND_MANY[measure.data_class][1]}"
    return "" if measure.day.of in _SECONDS else _named(measure.data_class, measure.day.of)


def _amount(measure: Measure, bound: int, *, of_figure: bool = False) -> str:
    """Return a bound in the unit of what it is held against."""
    is_days = isinstance(measure, QualifiedDays | MissedDays | LongestStreak | LongestMiss) and not of_figure
    of = measure.of if isinstance(measure, Last) else measure.day.of
    divided = not isinstance(measure, Last) and measure.day.per_full is not None and not of_figure
    if is_days or divided or of is None:
        return f"{bound:,}"
    if of in _SECONDS:
        return _duration(bound)
    if of == "minutes_into_day":
        return f"{bound // 60:02}:{bound % 60:02}"
    return _money(measure, bound) if of == "amount" else f"{bound:,}"


def _money(measure: Measure, minor: int) -> str:
    assets = [each.one_of for each in measure.where if isinstance(each, OneOf) and each.member == "asset"]
    if len(assets) != 1 or len(assets[0]) != 1:
        return f"{minor:,} (in the smallest unit of the currency)"
    currency, _, scale = assets[0][0].partition("/")
    digits = int(scale) if scale.isdigit() else 0
    whole, part = divmod(abs(minor), 10**digits)
    sign = "-" if minor < 0 else ""
    return f"{sign}{whole:,}.{part:0{digits}} {currency}" if digits else f"{sign}{whole:,} {currency}"


def _duration(seconds: int) -> str:
    for size, name in ((DAY_S, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {name}{'' if seconds == size else 's'}"
    return f"{seconds:,} seconds"


def _ranges(measure: Measure, bounds: tuple[int, ...]) -> str:
    first = f"below {_amount(measure, bounds[0])}"
    inner = [f"{_amount(measure, low)} to below {_amount(measure, high)}" for low, high in pairwise(bounds)]
    return "; ".join([first, *inner, f"{_amount(measure, bounds[-1])} or more"])


def _where(each: OneOf | Within | OnOrAfter, many: str) -> str | None:
    """Return what a filter tells besides: that there was something of its kind."""
    if not isinstance(each, OneOf) or each.member in ("asset", "time_zone"):
        return None
    named = _or(tuple(word.replace("_", " ") for word in each.one_of)) if len(each.one_of) <= 4 else ""
    match each.member:
        case "source":
            return f"Only {many} seen by {named or 'named sources'} count."
        case "assurance":
            return f"Only {many} with evidence of the kind {named} count."
        case _:
            kinds = f"the {each.member} {named}" if named else f"one of {len(each.one_of)} named {each.member} values"
            return f"Only {many} with {kinds} count, so an answer tells that there were some."


def _or(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _required(each: Requirement, plan: Rule) -> str:
    holds = _HOLDS.get(each.data_class, f"your {_ONE_AND_MANY[each.data_class][0]} holds")
    when = "begins" if each.at == "period_start" else "ends"
    span = {"calendar_day": "day", "iso_week": "week", "calendar_month": "month", "calendar_year": "year"}
    return f"{holds} when the {span.get(plan.span, 'time you are shown')} {when}"


def _silence(plan: Rule) -> str:
    """Return what no answer tells: never more than that one of the ordinary reasons is so."""
    told: list[str] = []
    for measure in plan.measures:
        if isinstance(measure.outcome, Bands) and measure.outcome.sent_from > 1:
            bound = _amount(measure, measure.outcome.bands[measure.outcome.sent_from - 2])
            told.append(f"{_figure(measure)} is below {bound}")
        elif not isinstance(measure.outcome, Bands | Reveals):
            told.append("it is not so")
        if isinstance(measure, Average):
            told.append(f"fewer than {measure.coverage_at_least} days were recorded")
    told += ["it is not so"] * bool(plan.requires)
    reasons = [f"that {each}" for each in (*dict.fromkeys(told), "nothing was recorded", "you stopped")]
    return f"If no answer comes, they can take it {', '.join(reasons[:-1])}, or {reasons[-1]}."


def _hidden(plan: Rule) -> str:
    many = dict.fromkeys(_ONE_AND_MANY[each.data_class][1] for each in plan.measures)
    what = [f"single {each}" for each in many]
    what.append("times" if plan.span == "calendar_day" else "days and times")
    if plan.rung != "aggregate":
        what.append("exact figures")
    return f"Not told: {'; '.join(what)}."
