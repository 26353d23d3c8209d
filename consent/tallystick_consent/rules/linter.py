"""What all rules of one recipient over one source tell together, held against the receipt (P17).

Pure. Each rule may be in order by itself and tell too much beside another: `>= 8`, `>= 12` and `>= 13` of one figure
are a band; the same question every day tells the date; a reward that can be inverted tells the figure it was made from.
Rules are put together that read one class of events, since that is one source of knowledge about one subject,
whatever their filters: the difference of two filters tells what falls between them.

Source: CONSTRUCTIONS (rules and rewards), DESIGN P17.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from tallystick_consent.fields import RUNG_HEIGHT, DataClass, Digest, Rung, Strict
from tallystick_consent.rules.comparing import BANDS_MAX, FIGURE_MAX, AtLeast, AtMost, Bands, Equals
from tallystick_consent.rules.errors import RuleRejected, RulesTellTooMuch
from tallystick_consent.rules.first import AnyRule
from tallystick_consent.rules.language import Rule
from tallystick_consent.rules.measures import Measure
from tallystick_ledger.encoding import canonical_json, length_prefixed, to_base64url

EXACT_CUTS_MIN = 3
"""From so many cuts on, ranges of one value each are not ranges any more but the figure."""


@dataclass(frozen=True, slots=True)
class Flat:
    """A reward of one size: it tells no more than the answer it is for."""


@dataclass(frozen=True, slots=True)
class ByBand:
    """A reward whose size follows the band: equal sizes tell nothing apart.

    Attributes:
        amounts: the size for each band, the first band first.
    """

    amounts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PerUnit:
    """A reward that grows with a figure, such as a point for each dollar.

    Attributes:
        unit: how much of the figure earns one more; the rest is dropped.
        of: whether the figure is of one event, such as a fare, or of all of a period.
        figure_max: the most the figure can be; None where nothing bounds it.
    """

    unit: int
    of: Literal["period", "event"] = "period"
    figure_max: int | None = None


RewardShape = Flat | ByBand | PerUnit


@dataclass(frozen=True, slots=True)
class Question:
    """One rule that a recipient asks under a receipt.

    Attributes:
        name: `program@version`.
        rule: the rule.
        reward: how the size of what it pays follows from the answer.
        periods: how many periods the receipt covers.
    """

    name: str
    rule: AnyRule
    reward: RewardShape = field(default_factory=Flat)
    periods: int = 366


@dataclass(frozen=True, slots=True)
class Telling:
    """What questions tell together.

    Attributes:
        rung: how revealing all answers are together.
        why: what makes them so, a sentence each, the most revealing first.
        rules: the names of the rules that reach that rung, sorted.
    """

    rung: Rung
    why: tuple[str, ...]
    rules: tuple[str, ...]


FIGURES_MAX = 64
"""Figures of one rule: it measures and requires fewer."""

_Cut = Annotated[int, Field(ge=-FIGURE_MAX, le=FIGURE_MAX)]


class AskedFigure(Strict):
    """A figure that a rule asks about, as a ledger tells of it: enough to hold one rule beside another.

    Attributes:
        data_class: of the events that it is made of.
        figure: digest of what is measured and how, whatever the outcome: equal where two rules ask about one figure.
        cuts: where an outcome cuts the figures in two: each the first figure above.
    """

    data_class: DataClass
    figure: Digest
    cuts: Annotated[tuple[_Cut, ...], Field(max_length=BANDS_MAX)]


def figures_of(rule: AnyRule) -> tuple[AskedFigure, ...]:
    """Return the figures that a rule asks about."""
    return tuple(
        AskedFigure(
            data_class=each.data_class,
            figure=_figure_digest(each.figure),
            cuts=tuple(cut for cut in each.cuts if abs(cut) <= FIGURE_MAX),
        )
        for each in _asked(Question("", rule))
    )


@lru_cache(maxsize=256)
def figures_together(programs: frozenset[tuple[str, tuple[AskedFigure, ...]]]) -> Telling:
    """Return what programs tell together beyond what each of them does; a token where that is nothing.

    Args:
        programs: the name of each, and the figures it asks about.
    """
    asked = [_Asked(name, each.data_class, each.figure, each.cuts) for name, figures in programs for each in figures]
    return _telling(_together_each(asked))


@dataclass(frozen=True, slots=True)
class _Finding:
    rung: Rung
    why: str
    rules: frozenset[str]


def told_together(questions: Sequence[Question]) -> Telling:
    """Return what all questions of one recipient to one source tell together.

    Raises:
        RuleRejected: two questions of one name, or a reward that divides by nothing.
    """
    if len({each.name for each in questions}) != len(questions):
        raise RuleRejected("Two questions have one name.", remedy="Name each program and version once.")
    found = [each for question in questions for each in _alone(question)]
    found += _together_each([each for question in questions for each in _asked(question)])
    return _telling(found)


def _telling(found: list[_Finding]) -> Telling:
    if not found:
        return Telling("token", (), ())
    found.sort(key=lambda each: (-RUNG_HEIGHT[each.rung], sorted(each.rules), each.why))
    rules = {name for each in found if each.rung == found[0].rung for name in each.rules}
    return Telling(found[0].rung, tuple(dict.fromkeys(each.why for each in found)), tuple(sorted(rules)))


def require_within(questions: Sequence[Question], *, rung: Rung) -> Telling:
    """Return what the questions tell together, once it is no more than a receipt's rung.

    Args:
        questions: every rule of one recipient over one source, the new one among them.
        rung: the receipt's.

    Raises:
        RulesTellTooMuch: together, or by a reward, they tell more; the rules that do are named.
        RuleRejected: as `told_together`.
    """
    told = told_together(questions)
    if RUNG_HEIGHT[told.rung] > RUNG_HEIGHT[rung]:
        raise RulesTellTooMuch(
            f"Together these rules tell a {told.rung}, and the receipt permits a {rung}: {told.why[0]}",
            remedy="Ask for less, pay in buckets, or ask the subject for the rung it takes.",
            rules=told.rules,
            told=told.rung,
            permitted=rung,
        )
    return told


def _alone(question: Question) -> list[_Finding]:
    """Return what one question tells by its outcome, its repetition and its reward."""
    plan = question.rule.spelled_out()
    named = frozenset({question.name})
    found = [_Finding(plan.rung, f"{question.name} answers with a {plan.rung}.", named)]
    found += [
        _Finding("aggregate", f"{question.name} asks for ranges of one value each, which are the figure.", named)
        for measure in plan.measures
        if isinstance(measure.outcome, Bands) and _is_exact(_cuts(measure))
    ]
    if plan.span == "calendar_day" and question.periods > 1:
        found.append(_Finding("field", f"{question.name} is asked every day, which tells the date.", named))
    reward = _reward(question, plan)
    return [*found, reward] if reward is not None else found


@dataclass(frozen=True, slots=True)
class _Asked:
    """One figure that a question asks about: what it is, whatever the outcome, and where the outcome cuts it."""

    name: str
    data_class: str
    figure: str
    cuts: tuple[int, ...]


def _asked(question: Question) -> list[_Asked]:
    plan = question.rule.spelled_out()
    found = [_Asked(question.name, each.data_class, plan.span + _spelled(each), _cuts(each)) for each in plan.measures]
    if found:
        return found
    return [_Asked(question.name, each.data_class, plan.span + each.model_dump_json(), (1,)) for each in plan.requires]


def _together_each(asked: Sequence[_Asked]) -> list[_Finding]:
    found: list[_Finding] = []
    for data_class in sorted({each.data_class for each in asked}):
        found += _together(data_class, [each for each in asked if each.data_class == data_class])
    return found


def _spelled(measure: Measure) -> str:
    return canonical_json(measure.model_dump(mode="json", exclude={"outcome"})).decode()


def _figure_digest(figure: str) -> str:
    return to_base64url(hashlib.sha256(length_prefixed("tallystick/figure/v1", figure)).digest())


def _together(data_class: str, asked: Sequence[_Asked]) -> list[_Finding]:
    """Return what questions about one class of events tell beyond what each of them does."""
    found: list[_Finding] = []
    by_figure: dict[str, list[_Asked]] = {}
    for each in asked:
        by_figure.setdefault(each.figure, []).append(each)
    for alike in by_figure.values():
        cuts = sorted({cut for each in alike for cut in each.cuts})
        named = frozenset(each.name for each in alike)
        if len(named) < 2 or len(cuts) < 2:
            continue
        told = ", ".join(map(str, cuts))
        exact = _is_exact(tuple(cuts))
        words = "name the figure" if exact else "are a band"
        found.append(_Finding("aggregate" if exact else "band", f"Thresholds at {told} of one figure {words}.", named))
    named = frozenset(each.name for each in asked)
    if len(by_figure) > 1 and len(named) > 1:
        why = f"Several questions about {data_class} events tell more than yes or no together."
        found.append(_Finding("band", why, named))
    return found


def _cuts(measure: Measure) -> tuple[int, ...]:
    """Return where an outcome cuts the figures in two: each the first figure above."""
    match measure.outcome:
        case AtLeast(at_least=bound):
            return (bound,)
        case AtMost(at_most=bound):
            return (bound + 1,)
        case Equals(equals=bound):
            return (bound, bound + 1)
        case Bands(bands=bounds, sent_from=lowest):
            return bounds[max(0, lowest - 2) :]
        case _:
            return ()


def _is_exact(cuts: tuple[int, ...]) -> bool:
    return len(cuts) >= EXACT_CUTS_MIN and all(later - earlier == 1 for earlier, later in pairwise(cuts))


def _reward(question: Question, plan: Rule) -> _Finding | None:
    """Return what the size of a reward tells: the rung of its inverse."""
    named = frozenset({question.name})
    match question.reward:
        case Flat():
            return None
        case ByBand(amounts=amounts):
            bands = [each.outcome for each in plan.measures if isinstance(each.outcome, Bands)]
            if not bands or len(amounts) != len(bands[0].bands) + 1:
                raise RuleRejected("A reward names other bands than its rule.", remedy="Name an amount for each band.")
            if len(set(amounts)) < 2:
                return None
            return _Finding("band", f"The size of {question.name}'s reward tells the band.", named)
        case PerUnit(unit=unit, of=of, figure_max=figure_max):
            if unit < 1:
                raise RuleRejected("A reward divides by nothing.", remedy="Say how much of the figure earns one more.")
            if unit > 1 and figure_max is not None and figure_max // unit < BANDS_MAX:
                return _Finding("band", f"The size of {question.name}'s reward tells a range of {unit}.", named)
            raw = of == "event" or plan.slot_by is not None
            what = "what it was paid for" if raw else "the figure it was made of"
            return _Finding(
                "raw" if raw else "aggregate", f"{question.name}'s reward can be turned back into {what}.", named
            )
