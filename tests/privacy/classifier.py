"""How well something measured tells two kinds apart: the area under the ROC curve, and what can be learned.

Source: Hanley and McNeil 1982 (the area as the Mann-Whitney statistic, and its standard error).
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

BINS = 12
Z_95 = 1.96

Row = Sequence[float]
"""What was measured of one thing: one number a feature, the same features in the same order in every row."""


@dataclass(frozen=True, slots=True)
class Area:
    """An area under the ROC curve: 0.5 tells nothing, 1.0 everything.

    Attributes:
        value: how often a thing of the one kind scores above one of the other, ties counting half.
        half_width: of its 95 % confidence interval.
    """

    value: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.value:.3f} \N{PLUS-MINUS SIGN} {self.half_width:.3f}"


def area(positives: Sequence[float], negatives: Sequence[float]) -> Area:
    """Return how well scores tell two kinds apart.

    Args:
        positives: scores of the kind that should score higher; at least one.
        negatives: scores of the other; at least one.
    """
    ranked = sorted([(score, True) for score in positives] + [(score, False) for score in negatives])
    ranks, at = 0.0, 0
    while at < len(ranked):
        until = at
        while until < len(ranked) and ranked[until][0] == ranked[at][0]:
            until += 1
        shared = (at + 1 + until) / 2  # ranks count from 1; equal scores share the mean of theirs
        ranks += shared * sum(positive for _, positive in ranked[at:until])
        at = until
    m, n = len(positives), len(negatives)
    value = (ranks - m * (m + 1) / 2) / (m * n)
    q1, q2 = value / (2 - value), 2 * value * value / (1 + value)
    variance = (value * (1 - value) + (m - 1) * (q1 - value * value) + (n - 1) * (q2 - value * value)) / (m * n)
    return Area(value, Z_95 * math.sqrt(max(variance, 0.0)))


def spread_area(positives: Sequence[float], negatives: Sequence[float]) -> Area:
    """Return an area that is at least 0.5: who guesses the wrong way round may turn the guess."""
    found = area(positives, negatives)
    return Area(max(found.value, 1 - found.value), found.half_width)


class Learned:
    """A classifier that learned how each feature is distributed in two kinds, and adds up what each one says.

    It sees any difference in the distribution of a feature, not only in its mean: each is cut at its quantiles, and
    each cut scores the logarithm of how much likelier it is in the one kind than in the other.
    """

    def __init__(self, positives: Sequence[Row], negatives: Sequence[Row], *, bins: int = BINS) -> None:
        """Learn from rows of both kinds; at least one of each."""
        self._cuts: list[list[float]] = []
        self._scores: list[list[float]] = []
        for feature in range(len(positives[0])):
            everything = sorted(row[feature] for row in (*positives, *negatives))
            cuts = sorted({everything[len(everything) * each // bins] for each in range(1, bins)})
            counts = [[1.0] * (len(cuts) + 1) for _ in range(2)]
            for kind, rows in enumerate((negatives, positives)):
                for row in rows:
                    counts[kind][bisect_right(cuts, row[feature])] += 1
            totals = [sum(each) for each in counts]
            self._cuts.append(cuts)
            self._scores.append(
                [math.log(yes / totals[1]) - math.log(no / totals[0]) for no, yes in zip(*counts, strict=True)]
            )

    def score(self, row: Row) -> float:
        """Return how much more a row looks like a positive than like a negative."""
        return sum(
            scores[bisect_right(cuts, value)] for value, cuts, scores in zip(row, self._cuts, self._scores, strict=True)
        )


def learned_area(positives: Sequence[Row], negatives: Sequence[Row]) -> Area:
    """Return how well a classifier tells rows apart that it did not learn from: each half by what the other taught."""
    scores: list[list[float]] = [[], []]
    for taught in (0, 1):
        learned = Learned(positives[taught::2], negatives[taught::2])
        for found, rows in zip(scores, (positives, negatives), strict=True):
            found += [learned.score(row) for row in rows[1 - taught :: 2]]
    return area(*scores)
