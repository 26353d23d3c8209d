"""Audit one log: its head, its files, and every rule over its entries."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tallystick.audit.findings import Findings
from tallystick.audit.integrity import Head, Progress, TreeCheck, check_head
from tallystick.audit.rewards import RewardReplay
from tallystick.audit.source import CHECKPOINT, Source
from tallystick_consent.replay import ConsentReplay
from tallystick_ledger.replay import LedgerReplay


@dataclass(slots=True)
class AuditedLog:
    """A log after its audit, with the state that its entries lead to.

    Attributes:
        origin: the log's origin, `HOST/log/YEAR`.
        host: the partner whose log it is.
        whole: whether every entry was replayed; only then does absence in it mean something.
    """

    source: Source
    found: Findings
    head: Head
    origin: str
    host: str
    ledger: LedgerReplay
    consent: ConsentReplay
    rewards: RewardReplay
    kinds: Counter[str]
    whole: bool = False

    @property
    def where(self) -> str:
        """How the caller named the log."""
        return self.source.where

    def take(self, entries: Sequence[bytes]) -> None:
        """Replay the next entries."""
        for raw in entries:
            try:
                self._take(raw)
            except RecursionError:  # how deep an entry may nest depends on whose stack reads it
                self.found.add("entry.malformed", f"entry {self.ledger.size - 1}", "An entry is nested too deep.")

    def _take(self, raw: bytes) -> None:
        index = self.ledger.size
        entry = self.ledger.take(raw)
        if entry is not None:
            self.kinds[entry.kind] += 1
            self.consent.take(entry, index)
            if not self.ledger.findings:
                self.rewards.take(entry, index, books=self.ledger.books, consent=self.consent)
        for findings in (self.ledger.findings, self.consent.findings, self.rewards.findings):
            self.found.drain(findings)


def audit_log(source: Source, found: Findings, progress: Progress) -> AuditedLog | None:
    """Return the log at `source` after its audit; None where it has no head that can be read.

    Raises:
        AuditNotRun: the source cannot be read to its end.
    """
    found.drain(list(source.keys.findings))
    head = check_head(source, found)
    if head is None:
        return None
    origin, size = head.checkpoint.origin, head.checkpoint.size
    host, _, _ = origin.partition("/log/")
    log = AuditedLog(
        source, found, head, origin, host, LedgerReplay(origin), ConsentReplay(host), RewardReplay(), Counter()
    )
    root = TreeCheck(source, size, found).run(log.take, progress)
    if root is not None and root != head.checkpoint.root:
        found.add("log.checkpoint", CHECKPOINT, "The entries lead to another root than the one that is signed.")
    log.ledger.finish()
    found.drain(log.ledger.findings)
    log.whole = log.ledger.size == size
    return log
