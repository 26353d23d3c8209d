"""Every replay of one log, told of one entry after the other.

Most entries of a log change nothing that a later one depends on. Whether such an entry is well formed is found where it
is hashed, which may be another process; the replay then needs no more of it than its time.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tallystick.audit.findings import Findings
from tallystick.audit.replay.answer_keys import AnswerKeys
from tallystick.audit.replay.peer_heads import PEER_HEAD_KIND, PeerHeads
from tallystick.audit.replay.rewards import RewardReplay
from tallystick.audit.replay.times import TimeReplay
from tallystick_consent.entries import parse_body
from tallystick_consent.replay import ConsentReplay
from tallystick_ledger.entry import parse_entry
from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.replay import LedgerReplay

SETTLED_KIND = "event"
"""The kind of entry that no other depends on."""

_SPELLED = b'"kind":"event"'
"""How canonical JSON has that; an entry without it is of another kind."""


def settle(entries: Sequence[bytes]) -> list[bytes | int]:
    """Return for each entry its time (`at`, seconds) if it is well formed and no other depends on it, else itself."""
    return [_settled(raw) if _SPELLED in raw else raw for raw in entries]


def _settled(raw: bytes) -> bytes | int:
    try:
        entry = parse_entry(raw)
        if entry.kind != SETTLED_KIND:
            return raw
        parse_body(entry.kind, entry.body)
    except (EntryMalformed, RecursionError):  # the replay says what is wrong with it
        return raw
    return entry.at_s


@dataclass(slots=True)
class LogReplay:
    """The state of one log after the entries it was told of.

    Attributes:
        origin: the log's origin, `HOST/log/YEAR`.
        host: the partner whose log it is.
        kinds: how many entries of each kind.
    """

    origin: str
    host: str
    ledger: LedgerReplay
    consent: ConsentReplay
    rewards: RewardReplay = field(default_factory=RewardReplay)
    times: TimeReplay = field(default_factory=TimeReplay)
    peer_heads: PeerHeads = field(default_factory=PeerHeads)
    answer_keys: AnswerKeys = field(default_factory=AnswerKeys)
    kinds: Counter[str] = field(default_factory=Counter[str])

    @classmethod
    def of(cls, origin: str) -> "LogReplay":
        """Return the replay of the log `origin` before its first entry."""
        host, _, _ = origin.partition("/log/")
        return cls(origin, host, LedgerReplay(origin), ConsentReplay(host))

    def take(self, entries: Sequence[bytes | int], found: Findings) -> None:
        """Replay the next entries, as `settle` left them; tell `found` what does not hold."""
        for each in entries:
            if isinstance(each, int):
                self.kinds[SETTLED_KIND] += 1
                self.times.take(each, self.ledger.size)
                self.ledger.pass_over()
                if self.times.findings or self.ledger.findings:
                    self._drain(found)
                continue
            try:
                self._take(each)
            except RecursionError:  # how deep an entry may nest depends on whose stack reads it
                found.add("entry.malformed", f"entry {self.ledger.size - 1}", "An entry is nested too deep.")
            self._drain(found)

    def finish(self, found: Findings) -> None:
        """Check what holds only of the whole."""
        self.ledger.finish()
        self.consent.finish(newest_s=self.times.newest_s)
        self._drain(found)

    def _take(self, raw: bytes) -> None:
        index = self.ledger.size
        entry = self.ledger.take(raw)
        if entry is None:
            return
        self.kinds[entry.kind] += 1
        self.times.take(entry.at_s, index)
        if entry.kind == PEER_HEAD_KIND:
            self.peer_heads.take(entry.body, index=index, at_s=entry.at_s)
            return
        self.consent.take(entry, index)
        self.answer_keys.take(entry, index, self.ledger.keys)
        if not self.ledger.findings:
            self.rewards.take(entry, index, books=self.ledger.books, consent=self.consent)

    def _drain(self, found: Findings) -> None:
        for replay in (self.ledger, self.times, self.consent, self.answer_keys, self.rewards):
            found.drain(replay.findings)
