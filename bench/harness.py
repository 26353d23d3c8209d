"""Run a benchmark: our side and the other one in turns, medians of both, one JSON line.

A shared machine is now fast and now slow, so a figure alone says little. The two sides take turns within each round,
and who begins changes from round to round; what is worth keeping is the ratio.

Source: DESIGN section 7 (form of a line).
"""

import gc
import os
import platform
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from statistics import median

ROUNDS_MIN = 5

MISSING = " (missing)"

Run = Callable[[], float]
"""One turn of one side: returns its rate, whatever it had to prepare left out of it."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much work a turn is.

    Attributes:
        count: how many of what the benchmark counts.
        batch: entries a commit, where something is committed in batches.
    """

    count: int
    batch: int


@dataclass(frozen=True, slots=True)
class Contest:
    """Two sides that are ready to run.

    Attributes:
        ours: our side.
        against: what the other side is.
        theirs: the other side; None where it is not installed.
        conditions: what a reader must know to read the figure.
    """

    ours: Run
    against: str
    theirs: Run | None
    conditions: dict[str, object] = field(default_factory=dict[str, object])


Prepare = Callable[[Size], AbstractContextManager[Contest]]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark under its fixed name.

    Attributes:
        name: as DESIGN section 7 lists it.
        unit: of both values.
        count: how much work a turn is, where nobody says.
        prepare: makes both sides ready, and clears up after them.
    """

    name: str
    unit: str
    count: int
    prepare: Prepare

    def line(self, *, count: int | None, batch: int, rounds: int) -> dict[str, object]:
        """Return the figures of this benchmark, as they are printed."""
        size = Size(count or self.count, batch)
        with self.prepare(size) as contest:
            ours, theirs = _take_turns(contest, rounds)
        value, against_value = median(ours), median(theirs) if theirs else None
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)] if theirs else []
        return {
            "bench": self.name,
            "value": _rounded(value),
            "unit": self.unit,
            "against": contest.against + ("" if theirs else MISSING),
            "against_value": None if against_value is None else _rounded(against_value),
            "ratio": None if against_value is None else _rounded(value / against_value),
            "rounds": rounds,
            "conditions": {
                "count": size.count,
                **contest.conditions,
                **({"ratio_lowest": _rounded(min(ratios)), "ratio_highest": _rounded(max(ratios))} if ratios else {}),
                "python": platform.python_version(),
                "cores": os.cpu_count(),
            },
        }

    def failed(self, error: BaseException, *, rounds: int) -> dict[str, object]:
        """Return the line of a benchmark that did not run to its end: no figure, and why."""
        why = {"failed": f"{type(error).__name__}: {error}"[:300]}
        nothing = {"value": None, "unit": self.unit, "against": None, "against_value": None, "ratio": None}
        return {"bench": self.name, **nothing, "rounds": rounds, "conditions": why}


def benchmark(name: str, *, unit: str, count: int) -> Callable[[Callable[[Size], Generator[Contest]]], Benchmark]:
    """Make a benchmark of a generator that yields its contest once, and clears up behind that."""

    def named(prepare: Callable[[Size], Generator[Contest]]) -> Benchmark:
        return Benchmark(name, unit, count, contextmanager(prepare))

    return named


class WrongAnswer(Exception):
    """A side did not do the work it was timed for, so its time means nothing."""


def require(is_so: bool, problem: str) -> None:
    """Return quietly if a side did its work.

    Raises:
        WrongAnswer: it did not.
    """
    if not is_so:
        raise WrongAnswer(problem)


def rate(count: int, work: Callable[[], object]) -> float:
    """Return how many a second `work` does, of which it does `count`."""
    gc.collect()
    started_s = time.perf_counter()
    work()
    return count / (time.perf_counter() - started_s)


def _take_turns(contest: Contest, rounds: int) -> tuple[list[float], list[float]]:
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        turns = [(contest.ours, ours)] if contest.theirs is None else [(contest.ours, ours), (contest.theirs, theirs)]
        for run, rates in turns if number % 2 == 0 else reversed(turns):
            rates.append(run())
    return ours, theirs


def _rounded(value: float) -> float:
    """Return four digits of a figure; more would claim more than a shared machine can tell."""
    return float(f"{value:.4g}")
