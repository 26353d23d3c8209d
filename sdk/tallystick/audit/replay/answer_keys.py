"""Does every answer, and every acceptance of one, name a key that counts at that place in the log?

A log that tells of no keys is not held against any: it was begun before logs did.

Source: CONSTRUCTIONS (keys), DESIGN section 4 (`key`).
"""

from dataclasses import dataclass, field

from tallystick_ledger.key_history import KeyHistory
from tallystick_ledger.replay import Finding

SIGNED_BY = {"disclosure": "claim", "acceptance": "receipt"}
"""Which role signs what an entry of a kind is about."""


@dataclass(slots=True)
class AnswerKeys:
    """What did not hold of the entries so far."""

    findings: list[Finding] = field(default_factory=list[Finding])

    def take(self, kind: str, index: int, at_s: int, history: KeyHistory, *, key: object, state: object) -> None:
        """Check the entry at `index` against what the log tells of keys up to there.

        Args:
            key, state: members of its body of these names, None where it has none.
        """
        role = SIGNED_BY.get(kind)
        if role is None or not key or not history.changes or state not in (None, "issued"):
            return
        change = history.named(str(key))
        if change is None or change.role != role:
            self._report(index, f"A {kind} names a {role} key that the log does not tell of.")
        elif not change.is_good_at(at_s):
            self._report(index, f"A {kind} names a {role} key that was {change.state}.")

    def _report(self, index: int, problem: str) -> None:
        self.findings.append(Finding("P1.key_use", f"entry {index}", problem))
