"""What each figure is to reach, at the benchmark's default size, and which of them did not.

Nothing fails for it: a shared machine is now fast and now slow. docs/performance.md has the figures of a quiet one.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Goal(NamedTuple):
    """A bound of one figure of a line.

    Attributes:
        figure: `value`, in the benchmark's unit, or `ratio`.
        bound: what it is to reach.
        at_most: whether more is worse.
    """

    figure: str
    bound: float
    at_most: bool = False


GOALS: dict[str, tuple[Goal, ...]] = {
    "ledger.append": (Goal("ratio", 0.6),),
    "ledger.append_hypercore": (Goal("ratio", 2),),
    "ledger.append_single": (Goal("ratio", 0.4),),
    "ledger.append_postgres": (Goal("ratio", 0.5),),
    "ledger.append_growth": (Goal("ratio", 0.91),),
    "ledger.memory": (Goal("ratio", 1, at_most=True),),
    "ledger.bytes": (Goal("ratio", 1, at_most=True),),
    "ledger.audit": (Goal("ratio", 2),),
    "ledger.audit_hashlib": (Goal("ratio", 1.2),),
    "consent.audit": (Goal("value", 150_000),),
    "consent.audit_memory": (Goal("ratio", 1, at_most=True),),
    "ledger.prove_warm": (Goal("value", 30_000),),
    "ledger.prove_cold": (Goal("value", 3_000),),
    "ledger.prove_growth": (Goal("ratio", 0.55),),
    "ledger.verify": (Goal("value", 75_000),),
    "ledger.verify_hashlib": (Goal("value", 35_000),),
    "consent.decide": (Goal("value", 500_000), Goal("ratio", 50)),
    "consent.decide_growth": (Goal("value", 250_000), Goal("ratio", 50)),
    "consent.rule_month": (Goal("value", 1_000),),
    "consent.claim_issue": (Goal("ratio", 3),),
    "consent.claim_verify": (Goal("ratio", 1.6),),
}
"""By benchmark; one that is not in it has no goal."""


def missed(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the figures of these lines that do not reach their goal, each in words.

    A figure that there is none of, for want of a peer for example, is passed over.
    """
    found: list[str] = []
    for line in lines:
        for goal in GOALS.get(line["bench"], ()):
            figure = line[goal.figure]
            if figure is None or (figure <= goal.bound if goal.at_most else figure >= goal.bound):
                continue
            what = line["unit"] if goal.figure == "value" else f"of {line['against']}"
            least = "at most" if goal.at_most else "at least"
            found.append(f"{line['bench']}: {figure:,.10g} {what}, goal {least} {goal.bound:,.10g}")
    return found
