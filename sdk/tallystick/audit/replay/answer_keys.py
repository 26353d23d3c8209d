"""Does every answer, and every acceptance of one, name a key that counts at that place in the log?

A log that tells of no keys is not held against any: it was begun before logs did.

Source: CONSTRUCTIONS (keys), DESIGN section 4 (`key`).
"""

from dataclasses import dataclass, field

from tallystick_ledger.entry import Entry
from tallystick_ledger.key_history import KeyHistory
from tallystick_ledger.replay import Finding

_SIGNED_BY = {"disclosure": "claim", "acceptance": "receipt"}
"""Which role signs what an entry of a kind is about."""


@dataclass(slots=True)
class AnswerKeys:
    """What did not hold of the entries so far."""

    findings: list[Finding] = field(default_factory=list[Finding])

    def take(self, entry: Entry, index: int, history: KeyHistory) -> None:
        """Check one entry against what the log tells of keys up to there."""
        role, named = _SIGNED_BY.get(entry.kind), entry.body.get("key")
        if role is None or not named or not history.changes or entry.body.get("state", "issued") != "issued":
            return
        change = history.named(str(named))
        if change is None or change.role != role:
            self._report(index, f"A {entry.kind} names a {role} key that the log does not tell of.")
        elif not change.is_good_at(entry.at_s):
            self._report(index, f"A {entry.kind} names a {role} key that was {change.state}.")

    def _report(self, index: int, problem: str) -> None:
        self.findings.append(Finding("P1.key_use", f"entry {index}", problem))
