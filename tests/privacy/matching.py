"""Two partners pool all that they saw of a gym's customers: who of the one is who of the other (P6)?

They are given more than they have: for half of the people, the truth. From that they learn which of everything they saw
goes together, and then match the other half. Everything counts: each number, time, order, size and index, each text by
its order and its length, and each value that both of them saw.
"""

import math
import random
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from outside import Seen

from privacy.classifier import Area, area
from privacy.month import BANK, INSURER, Pooled, Sight

AREA_MAX = 0.55
HITS_MAX = 0.012
"""The stated margin: the share of people that the best matcher may name right, beside chance (one of all)."""

LEARNED_FROM = 12
"""How many pairs of features a matcher learns from: the ones that go together best."""

ROUNDS, STEP = 300, 0.5
WRONG_EACH = 5
"""How many wrong pairs are shown beside each right one."""

Score = Callable[[int, int], float]
"""How well a person of the insurer's and one of the bank's go together."""


@dataclass(frozen=True, slots=True)
class Found:
    """How well a matcher did on the people whose truth it was not told.

    Attributes:
        by: what the matcher goes by.
        area: how often the right pair scores above a wrong one.
        hits: how many people it named right, ties shared; chance names one.
        people: of how many.
    """

    by: str
    area: Area
    hits: float
    people: int

    def __str__(self) -> str:
        return f"AUC {self.area}, {self.hits:.1f} of {self.people} named right (by {self.by})"

    def within(self) -> bool:
        """Return whether this is chance, and the stated margin."""
        return self.area.value <= AREA_MAX and self.hits <= 1 + HITS_MAX * self.people


Column = list[float]
"""One feature: the rank of each person by it, from 0 to 1."""


def match(pooled: Pooled, *, seed: str, with_texts: bool = True) -> list[Found]:
    """Return how well each matcher does, the best first.

    Args:
        pooled: what the two partners saw.
        seed: which half is known, and which wrong pairs are shown.
        with_texts: whether random texts are tried by their order too; what OpenSSL draws is never the same twice.
    """
    drawn = random.Random(seed)  # noqa: S311  # the same in each run; no secret is made of it
    one, other = (pooled.sights[host] for host in (INSURER, BANK))
    people = sorted(one)
    drawn.shuffle(people)
    known, rest = people[: len(people) // 2], people[len(people) // 2 :]
    columns = [_columns(each, people, with_texts=with_texts) for each in (one, other)]
    pairs = _going_together(*columns, known)
    matchers: dict[str, Score] = {"values that both saw": _shared_values(one, other)}
    if pairs:
        matchers[f"{pairs[0].name}, the pair that fits best"] = pairs[0].closeness
        matchers[f"{len(pairs)} such pairs, learned"] = _learned(pairs, known, drawn)
    found = [_measure(name, score, rest) for name, score in matchers.items()]
    return sorted(found, key=lambda each: (-each.hits, -each.area.value))


def _measure(name: str, score: Score, people: Sequence[int]) -> Found:
    right, wrong, hits = [], [], 0.0
    for person in people:
        scores = {each: score(person, each) for each in people}
        best = max(scores.values())
        right.append(scores.pop(person))
        hits += (right[-1] == best) / (1 + sum(each == best for each in scores.values()))
        wrong += list(scores.values())[:: max(1, len(scores) // 50)]
    return Found(name, area(right, wrong), hits, len(people))


# Features


def _columns(sights: dict[int, list[Sight]], people: Sequence[int], *, with_texts: bool) -> dict[str, Column]:
    """Return every feature in which people differ, as ranks; the same feature has the same name at both partners."""
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for person in people:
        seen = Counter[str]()
        for sight in sights[person]:
            name = f"{sight.path}#{seen[sight.path]}"
            seen[sight.path] += 1
            values[f"{name} order"][person] = sight.order
            values[f"{name} time"][person] = sight.at_s
            for place, value in _leaves(sight.seen):
                if isinstance(value, int):
                    values[f"{name} {place}"][person] = value
                elif isinstance(value, str | bytes):
                    raw = value.encode() if isinstance(value, str) else value
                    values[f"{name} {place} length"][person] = len(raw)
                    if with_texts:
                        values[f"{name} {place} text"][person] = int.from_bytes(raw[:8].ljust(8, b"\0"), "big")
    return {
        name: _ranks(column, people)
        for name, column in values.items()
        if len(column) == len(people) and len(set(column.values())) > 1
    }


def _ranks(column: dict[int, float], people: Sequence[int]) -> Column:
    """Return each person's place among all, from 0 to 1, by the person's number; equal values share the middle one."""
    in_order = sorted(column.values())
    places = dict[float, float]()
    for value, count in Counter(in_order).items():
        places[value] = (bisect_left(in_order, value) + (count - 1) / 2) / max(1, len(in_order) - 1)
    return [places[column[person]] for person in sorted(people)]


def _leaves(seen: Seen, place: str = "") -> Iterator[tuple[str, Seen]]:
    if isinstance(seen, dict):
        for name, each in seen.items():
            yield from _leaves(each, f"{place}/{name}")
    elif isinstance(seen, list):
        yield f"{place}/count", len(seen)
        for index, each in enumerate(seen):
            yield from _leaves(each, f"{place}/{index}")
    else:
        yield place, seen


def texts_of(sights: Sequence[Sight]) -> set[str]:
    """Return every text, hash, id and signature that was seen; the hashes of a proof stand for its place, a number."""
    leaves = (leaf for sight in sights for leaf in _leaves(sight.seen))
    return {str(value) for place, value in leaves if isinstance(value, str | bytes) and "/hashes/" not in place}


# Matchers


@dataclass(frozen=True)
class _Together:
    """A feature of the one and a feature of the other that went together where the truth was known."""

    name: str
    one: Column
    other: Column
    correlation: float

    def closeness(self, person: int, candidate: int) -> float:
        """Return how close two people are by it, 0 for the same place; other way round where they run opposite."""
        there = self.other[candidate] if self.correlation > 0 else 1 - self.other[candidate]
        return -abs(self.one[person] - there)


def _going_together(one: dict[str, Column], other: dict[str, Column], known: Sequence[int]) -> list[_Together]:
    """Return the pairs of features that went together best, each feature of the one in one pair only."""
    lefts, rights = ({name: _standard(column, known) for name, column in each.items()} for each in (one, other))
    best: list[_Together] = []
    for name, left in lefts.items():
        correlations = {each: sum(map(float.__mul__, left, right)) / len(known) for each, right in rights.items()}
        if correlations:
            partner = max(correlations, key=lambda each: abs(correlations[each]))
            names = name if name == partner else f"{name} with {partner}"
            best.append(_Together(names, one[name], other[partner], correlations[partner]))
    return sorted(best, key=lambda each: -abs(each.correlation))[:LEARNED_FROM]


def _standard(column: Column, known: Sequence[int]) -> list[float]:
    """Return a column of the known people with mean 0 and deviation 1; zeros where they do not differ."""
    values = [column[person] for person in known]
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((each - mean) ** 2 for each in values) / len(values))
    return [(each - mean) / deviation if deviation else 0.0 for each in values]


def _learned(pairs: Sequence[_Together], known: Sequence[int], drawn: random.Random) -> Score:
    """Return what a logistic regression over the closeness in each pair has learned from the known people."""

    def row(person: int, candidate: int) -> list[float]:
        return [each.closeness(person, candidate) for each in pairs]

    rows = [(row(person, person), 1.0, float(WRONG_EACH)) for person in known]
    rows += [(row(person, drawn.choice(known)), 0.0, 1.0) for person in known for _ in range(WRONG_EACH)]
    weights, bias = [0.0] * len(pairs), 0.0
    for _ in range(ROUNDS):
        steps, step = [0.0] * len(pairs), 0.0
        for features, label, weight in rows:
            score = bias + sum(map(float.__mul__, weights, features))
            off = weight * (label - 1 / (1 + math.exp(-max(-30.0, min(30.0, score)))))
            step += off
            for at, value in enumerate(features):
                steps[at] += off * value
        rate = STEP * 4 / len(rows)
        weights = [each + rate * of for each, of in zip(weights, steps, strict=True)]
        bias += rate * step
    return lambda person, candidate: sum(map(float.__mul__, weights, row(person, candidate)))


def _shared_values(one: dict[int, list[Sight]], other: dict[int, list[Sight]]) -> Score:
    """Return a score by the values that both partners saw, each the more the fewer people it was seen with."""
    seen = [defaultdict[str, set[int]](set) for _ in range(2)]
    for where, sights in zip(seen, (one, other), strict=True):
        for person, each in sights.items():
            for text in texts_of(each):
                where[text].add(person)
    scores: dict[tuple[int, int], float] = defaultdict(float)
    for value in seen[0].keys() & seen[1].keys():
        weight = 1 / (len(seen[0][value]) * len(seen[1][value]))
        if weight > 1 / max(4, len(one)):  # what nearly everybody shares tells nothing, and is most of it
            for person in seen[0][value]:
                for candidate in seen[1][value]:
                    scores[person, candidate] += weight
    return lambda person, candidate: scores.get((person, candidate), 0.0)
