"""Every replay of one log, told of one entry after the other.

Most entries of a log change nothing that a later one depends on. Whether such an entry is well formed is found where it
is hashed, which may be another process; the replay then needs no more of it than its time.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tallystick.audit.findings import Findings
from tallystick.audit.integrity.span import Told
from tallystick.audit.replay.answer_keys import SIGNED_BY, AnswerKeys
from tallystick.audit.replay.peer_heads import PEER_HEAD_KIND, PeerHeads
from tallystick.audit.replay.rewards import RewardReplay
from tallystick.audit.replay.times import TimeReplay
from tallystick_consent.entries import parse_spelled
from tallystick_consent.forms import FORMS
from tallystick_consent.replay import ConsentReplay
from tallystick_ledger.encoding import parse_spelled_object
from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.forms import TRANSFER_FORM, spelled
from tallystick_ledger.replay import LedgerReplay

TRANSFER_KIND, OPENING_KIND = "transfer", "opening"

_NAMED = {"acceptance": "claim", "retraction": "claim", "transfer": "transfer"}
"""Which member of an entry's body the replay of rewards knows it by; of other kinds it wants to know nothing."""

SETTLED_KIND = "event"
"""The kind of entry that no other depends on, and whose form says all that is asked of it."""

_FORMS = {**FORMS, TRANSFER_KIND.encode(): TRANSFER_FORM}


def settle(entries: Sequence[bytes]) -> list[Told]:
    """Return what the replay needs of each entry.

    That is its time (`at`, seconds) where no other depends on it; where it is well spelled, what then need not be
    looked at again; else the entry as it stands, and the replay says what is wrong with it.
    """
    return [_settled(raw) for raw in entries]


def _settled(raw: bytes) -> Told:
    found = spelled(raw, _FORMS)
    if found is None:
        return raw
    return found[3] if found[1] == SETTLED_KIND else found


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
        host, _, name = origin.partition("/log/")
        return cls(origin, host, LedgerReplay(origin), ConsentReplay(host, name))

    def take(self, entries: Sequence[Told], found: Findings) -> None:
        """Replay the next entries, as `settle` left them; tell `found` what does not hold."""
        ledger, times, consent, keys, rewards = self.ledger, self.times, self.consent, self.answer_keys, self.rewards
        for each in entries:
            if isinstance(each, int):
                self.kinds[SETTLED_KIND] += 1
                times.take(each, ledger.size)
                consent.take_event(ledger.size)
                ledger.pass_over()
            elif isinstance(each, bytes) or not self._take_spelled(*each):
                self._take_raw(each if isinstance(each, bytes) else each[0], found)
            if ledger.findings or times.findings or consent.findings or keys.findings or rewards.findings:
                self._drain(found)

    def finish(self, found: Findings) -> None:
        """Check what holds only of the whole."""
        self.ledger.finish()
        self.consent.finish(newest_s=self.times.newest_s)
        self._drain(found)

    def _take_raw(self, raw: bytes, found: Findings) -> None:
        try:
            self._take(raw)
        except RecursionError:  # how deep an entry may nest depends on whose stack reads it
            found.add("entry.malformed", f"entry {self.ledger.size - 1}", "An entry is nested too deep.")

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
        said = entry.body
        history = self.ledger.keys
        self.answer_keys.take(entry.kind, index, entry.at_s, history, key=said.get("key"), state=said.get("state"))
        if entry.kind == OPENING_KIND and self.ledger.opening is not None and not self.ledger.findings:
            self.rewards.carry(self.ledger.opening.carried, self.ledger.books)
        self._reward(entry.kind, entry.id, index, said.get(_NAMED.get(entry.kind, "")))

    def _take_spelled(self, raw: bytes, kind: str, entry_id: str, at_s: int, begin: int, end: int) -> bool:
        """Replay a well spelled entry; return False, and do nothing, where its values are not in their bounds."""
        index, body = self.ledger.size, raw[begin:end]
        if kind == TRANSFER_KIND:
            transfer = parse_spelled_object(body)
            self.ledger.take_transfer(transfer, at_s)
            named: object = transfer["transfer"]
        else:
            try:
                typed = parse_spelled(kind, body)
            except EntryMalformed:
                return False
            self.ledger.pass_over()
            self.consent.take_body(typed, entry_id, index, at_s)
            # By the kind, not by the type: asking a model's class whether it is another's takes as long as parsing it.
            if kind in SIGNED_BY:
                key, state = (
                    getattr(typed, "key", None),
                    getattr(typed, "state", None) if kind == "disclosure" else None,
                )
                self.answer_keys.take(kind, index, at_s, self.ledger.keys, key=key, state=state)
            named = getattr(typed, _NAMED[kind]) if kind in _NAMED else None
        self.kinds[kind] += 1
        self.times.take(at_s, index)
        self._reward(kind, entry_id, index, named)
        return True

    def _reward(self, kind: str, entry_id: str, index: int, named: object) -> None:
        if kind in _NAMED and not self.ledger.findings:
            books = self.ledger.books
            self.rewards.take(kind, entry_id, index, named=named, books=books, consent=self.consent)

    def _drain(self, found: Findings) -> None:
        for replay in (self.ledger, self.times, self.consent, self.answer_keys, self.rewards):
            if replay.findings:
                found.drain(replay.findings)
