"""What an audit says: which logs, under whose keys, what was found, what was not looked at."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tallystick.audit.exhibits import Exhibit
from tallystick.audit.rules import LIMITS, RULES
from tallystick_ledger.replay import Finding


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A key that a checkpoint was checked under.

    Attributes:
        key: name and key id, as signature lines have them.
        source: where the auditor has the key from.
        signed: whether its line is there and right.
        signed_at: when it signed by its own clock, seconds since 1970-01-01 UTC; None where the kind has no time.
    """

    key: str
    source: str
    signed: bool
    signed_at: int | None


@dataclass(frozen=True, slots=True)
class LogReport:
    """One source of an audit.

    Attributes:
        where: how the caller named it.
        origin: the log's origin; "" where it has no head that can be read, and size is 0 then.
        size: entries of the signed head.
        since: of these, how many an earlier audit had checked, and this one did not read again.
        replayed: whether what entries mean was checked, and not only that they are the log's.
        root: base64 of its root hash.
        keys: every key it was checked under.
        entries: how many entries of each kind.
        unchecked: of these, the kinds for which there is no rule yet.
        grades: how many receipts were given, by the grade of the evidence that was seen of it.
        notes: what else a reader must know, such as whose word the keys are.
    """

    where: str
    origin: str
    size: int
    root: str
    keys: tuple[KeyUse, ...]
    entries: Mapping[str, int]
    unchecked: Mapping[str, int]
    notes: tuple[str, ...]
    since: int = 0
    replayed: bool = True
    grades: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit of one or more logs found.

    Attributes:
        rules: ids of the rules that were checked.
        notes: what could not be held against another source, a sentence each.
        limits: what no audit of a log can say.
        exhibits: the evidence, for whoever asks to keep it.
    """

    sources: tuple[LogReport, ...]
    findings: tuple[Finding, ...]
    rules: tuple[str, ...]
    notes: tuple[str, ...] = ()
    limits: str = LIMITS
    exhibits: tuple[Exhibit, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "holds": self.holds,
            "sources": [asdict(source) for source in self.sources],
            "findings": [asdict(finding) for finding in self.findings],
            "rules": {rule: RULES[rule] for rule in self.rules},
            "notes": list(self.notes),
            "limits": self.limits,
            "evidence": [exhibit.name for exhibit in self.exhibits],
        }
