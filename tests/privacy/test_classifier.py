"""The instrument: it finds a difference that is there, and none where there is none; all draws are seeded."""

import random
from collections.abc import Sequence

import pytest

from privacy.classifier import area, learned_area, spread_area


def draws(seed: str, count: int, *, mean: float = 0.0, deviation: float = 1.0) -> list[float]:
    drawn = random.Random(seed)  # noqa: S311  # the same in each run
    return [drawn.gauss(mean, deviation) for _ in range(count)]


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [([3, 4], [1, 2], 1.0), ([1, 2], [3, 4], 0.0), ([1, 1], [1, 1], 0.5), ([2, 3], [1, 2], 0.875)],
)
def test_the_area_counts_pairs_in_the_right_order_and_ties_half(
    positives: Sequence[float], negatives: Sequence[float], expected: float
) -> None:
    assert area(positives, negatives).value == expected


def test_two_samples_of_one_kind_are_not_told_apart() -> None:
    found = spread_area(draws("one", 2_000), draws("other", 2_000))
    assert found.value <= 0.55
    assert 0.01 < found.half_width < 0.03


def test_a_shift_of_a_quarter_of_the_noise_is_told_either_way_round() -> None:
    one, other = draws("one", 2_000), draws("other", 2_000, mean=0.25)
    assert spread_area(one, other).value > 0.55
    assert spread_area(other, one).value > 0.55


def test_a_learned_classifier_tells_another_spread_with_the_same_mean() -> None:
    one, other = draws("one", 2_000), draws("other", 2_000, deviation=1.5)
    assert spread_area(one, other).value <= 0.55
    assert learned_area([(each,) for each in one], [(each,) for each in other]).value > 0.55


def test_a_learned_classifier_is_asked_about_rows_it_has_not_learned_from() -> None:
    """Enough useless features to learn every row by heart."""
    one, other = ([tuple(draws(f"{name}/{row}", 40)) for row in range(200)] for name in ("one", "other"))
    assert 0.4 < learned_area(one, other).value < 0.6
