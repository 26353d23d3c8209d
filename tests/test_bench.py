"""Benchmarks: no time is asserted, only that what is said of the figures is true."""

from bench.__main__ import BENCHMARKS
from bench.goals import GOALS, missed


def line(bench: str, *, value: float, ratio: float | None) -> dict[str, object]:
    return {"bench": bench, "value": value, "unit": "entries/s", "against": "another", "ratio": ratio}


def test_every_goal_is_of_a_benchmark_that_there_is() -> None:
    assert GOALS.keys() <= {each.name for each in BENCHMARKS}


def test_the_figures_below_their_goals_are_named_and_no_others() -> None:
    lines = [
        line("consent.audit", value=149_999, ratio=9.0),
        line("consent.decide", value=500_000, ratio=49.9),
        line("ledger.append", value=1.0, ratio=0.6),
        line("ledger.append_hypercore", value=1.0, ratio=None),  # npm's is not installed
        line("ledger.memory", value=1.0, ratio=1.1),
        line("consent.month_end", value=1.0, ratio=0.1),  # which has no goal
    ]
    assert missed(lines) == [
        "consent.audit: 149,999 entries/s, goal at least 150,000",
        "consent.decide: 49.9 of another, goal at least 50",
        "ledger.memory: 1.1 of another, goal at most 1",
    ]
