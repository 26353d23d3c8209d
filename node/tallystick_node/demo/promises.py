"""Which promises the demo checked, by what, and whether they held. One that was not checked is not there at all."""

from collections import defaultdict
from dataclasses import dataclass, field

PROMISES = tuple(f"P{number}" for number in range(1, 18))
"""Of the whole product; `tally audit --explain` says what each is."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        promise: such as `P5`.
        sentence: what must be so.
        held: whether it was.
    """

    promise: str
    sentence: str
    held: bool


@dataclass
class Promises:
    """The checks, in the order in which they were made.

    Attributes:
        stopped: why the story did not come to its end; "" where it did.
    """

    checks: list[Check] = field(default_factory=list[Check])
    stopped: str = ""

    def check(self, promise: str, sentence: str, held: bool) -> Check:
        """Keep a check."""
        made = Check(promise, sentence, held)
        self.checks.append(made)
        return made

    def verdicts(self) -> dict[str, bool]:
        """Return of each promise that was checked whether every check of it held."""
        held: dict[str, list[bool]] = defaultdict(list)
        for check in self.checks:
            held[check.promise].append(check.held)
        return {promise: all(held[promise]) for promise in sorted(held, key=lambda each: int(each[1:]))}

    @property
    def kept(self) -> bool:
        """Whether the story came to its end, and every check of it held."""
        return not self.stopped and bool(self.checks) and not self.broken()

    def broken(self) -> list[Check]:
        """Return the checks that did not hold."""
        return [check for check in self.checks if not check.held]
