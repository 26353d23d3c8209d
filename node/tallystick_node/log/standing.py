"""How a node's log stands with others: may it go on, who has not been heard yet, and does their time agree with ours.

Before its first head after a start a node asks its witnesses and partners what they have seen of its log
(`own_heads`). Where that is another history the log becomes read-only, in the database, for every process of the node.
Who does not answer is asked again while the node runs; by then it writes, unless the settings say to wait for a word.
Then only a word counts that somebody signed: of the policy's quorum where there is one, else of anybody. Who has seen
nothing of the log yet gives its word by cosigning the head that this node has, so that a new log can begin.

Source: DESIGN P1 and P16.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import httpx

from tallystick.evidence import EvidenceRejected, two_heads
from tallystick_ledger.errors import NoteMalformed, SignatureRejected
from tallystick_ledger.tlog.checkpoint import open_checkpoint
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.merkle import EMPTY_ROOT
from tallystick_ledger.tlog.note import sign_note
from tallystick_ledger.tlog.signers import Signer
from tallystick_node.clock import CLOCK_BACK_MAX_S, Clock
from tallystick_node.errors import LogReadOnly, LogUnasked, SignerUnavailable
from tallystick_node.log.evidence_room import EvidenceRoom
from tallystick_node.log.own_heads import (
    Seer,
    Word,
    Words,
    ask_all,
    ask_before_first_head,
    ask_to_cosign,
    contradicting,
)
from tallystick_node.log.shards import Shard, Shards
from tallystick_node.log.writer import Writer

TIME_COUNTS_FOR_S = 3_600
"""How long a difference between a witness's clock and ours is remembered."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Standing:
    """What this process knows of it; safe to use from several threads.

    Attributes:
        shards: the node's logs.
        writer: of the log that goes on.
        seers: whom to ask; read anew each time, since partners come and go.
        http: follows no redirect.
        evidence: keeps what shows two histories.
        clock: the node's.
        waits_for_word: whether nothing is written before enough have given their word; once they have, this process
            writes on.
        is_enough: whether these signed words are enough for that.
        silent: who has not answered since the start, or not with a word that counts where that is waited for.
    """

    shards: Shards
    writer: Writer
    seers: Callable[[], Sequence[Seer]]
    http: httpx.Client
    evidence: EvidenceRoom
    clock: Clock
    waits_for_word: bool = False
    is_enough: Callable[[Sequence[Word]], bool] = bool
    silent: tuple[str, ...] = ()
    _ahead_s: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_read_only(self) -> bool:
        """Whether the log must not be written any more."""
        return self.shards.contradiction() is not None

    def ask(self) -> None:
        """Ask everybody, for a bounded time, and act on what they say: before the first head, and again for the silent.

        Raises:
            LogNotContinued: the database does not hold what is committed.
            StorageUnavailable: what they say cannot be written down.
            OSError: the published files cannot be read now.
        """
        seers, publisher = self.seers(), self.shards.current.publisher
        words, other = ask_before_first_head(publisher, seers, http=self.http)
        self.silent = words.silent
        self._look_at_times(words)
        if other is None and publisher.is_behind:
            other = Word("the log's own folder", *publisher.published)
        if other is not None and not self.is_read_only:
            self.stop(other)
        if self.waits_for_word:
            self._wait_for_word(seers, words, may_go_on=other is None)
        if self.silent:
            log.warning("%s did not say what they have seen of this log; they are asked again", ", ".join(self.silent))
        self.writer.refuse(_unasked() if self.waits_for_word else None)

    def _look_at_times(self, words: Words) -> None:
        """Say whose signed time is ahead of our clock; it stops nothing, since anybody may sign any time."""
        now_s = self.clock.now_s()
        for word in words.heard:
            if (ahead_s := (word.cosigned_at_s or 0) - now_s) > CLOCK_BACK_MAX_S:
                log.error("%s has signed a head of this log %d seconds ahead of our clock", word.of, ahead_s)

    def _wait_for_word(self, seers: Sequence[Seer], words: Words, *, may_go_on: bool) -> None:
        """Wait no more once enough have given their word; who says that it has seen nothing is asked to cosign."""
        said = list(words.signed)
        if may_go_on:
            heard = {*(word.of for word in said), *words.silent}
            with suppress(SignerUnavailable):  # asked again with the silent
                head, note = self.shards.current.publisher.signed_head()
                unseen = [seer for seer in seers if seer.name not in heard]
                said += ask_to_cosign(unseen, head, note, http=self.http).signed
        if not seers or self.is_enough(said):
            self.waits_for_word = False
        else:
            named = {word.of for word in said}
            self.silent = tuple(seer.name for seer in seers if seer.name not in named)

    def stop(self, word: Word) -> None:
        """Make the log read-only: somebody has seen another history of it."""
        publisher = self.shards.current.publisher
        head, note = publisher.published
        if 0 < word.head.size <= head.size and word.head.origin == head.origin:
            # Two heads that no one log has convict it. One that is merely larger does not: it says that we have lost.
            keys = publisher.counting_keys
            found = two_heads(word.note, note, keys=keys, read=publisher.reader(head.size))
            with suppress(EvidenceRejected):
                found.check(keys)
                self.evidence.keep(found, even_full=True)
        log.critical("%s has seen another history of this log; nothing is written to it any more", word.of)
        self.writer.make_read_only(word.note).result()

    def consider(self, note: bytes) -> None:
        """Take a head that a witness shows in refusing one of ours; stop where our log, as it is by now, does not lead
        to it."""
        publisher = self.shards.current.publisher
        with suppress(NoteMalformed, SignatureRejected):
            head, _ = open_checkpoint(note, origin=publisher.origin, keys=publisher.counting_keys)
            words = Words((Word("a witness", head, note),), ())
            other = contradicting(words, size=publisher.committed().size, root_at=publisher.root_at)
            if other is not None and not self.is_read_only:
                self.stop(other)

    def require_unseen(self, origin: str, shard: Shard) -> None:
        """Return quietly if nobody has seen a head of a log that is to be begun; else make the current one read-only.

        Raises:
            LogReadOnly: somebody has.
        """
        words = self.words_about(origin, shard)
        seen = [word for word in words.heard if word.head.size > 0]
        if seen:
            self.stop(seen[0])
            raise LogReadOnly(
                "Somebody has seen the log that is to be begun, and it was not begun here.",
                remedy="Restore the newest backup, or begin a successor: tally-node successor FOLDER",
            )

    def words_about(self, origin: str, shard: Shard) -> Words:
        """Return what everybody has seen of a log that is signed as `shard` is."""
        keys = [replace(key, name=origin) for key in shard.publisher.log_keys]
        revoked = {replace(key, name=origin): since_s for key, since_s in shard.publisher.revoked_keys.items()}
        return ask_all(self.seers(), origin, log_keys=keys, revoked=revoked, http=self.http)

    def is_known(self, origin: str, shard: Shard, signers: Sequence[Signer]) -> bool:
        """Return whether anybody has seen a head of a log that is to be begun as a successor to `shard`.

        Nobody signs that there is none. So everybody must answer, and be shown to be who it is: by a head of the log
        that ends, or by cosigning the new one while it is empty. Otherwise a partner that is away, or a proxy that
        stands in for it, would let one successor be begun twice.

        Args:
            origin: of the log that is to be begun.
            shard: the log that ends.
            signers: of the new one.

        Raises:
            LogUnasked: somebody did not answer so.
        """
        seers, words = self.seers(), self.words_about(origin, shard)
        if any(word.head.size > 0 for word in words.heard):
            return True
        publisher = shard.publisher
        ending = ask_all(
            seers, publisher.origin, log_keys=publisher.log_keys, revoked=publisher.revoked_keys, http=self.http
        )
        sure = {word.of for word in (*words.signed, *ending.signed)} - set(words.silent)
        unsure = [seer for seer in seers if seer.name not in {*sure, *words.silent}]
        head, now_s = Checkpoint(origin, 0, EMPTY_ROOT), self.clock.now_s()
        note = sign_note(head.body(), signers, now_s=now_s)
        sure |= {word.of for word in ask_to_cosign(unsure, head, note, http=self.http).signed}
        if missing := [seer.name for seer in seers if seer.name not in sure]:
            raise LogUnasked(
                f"Who may know a successor of this log did not say so, signed: {', '.join(missing)}.",
                remedy="Try again when they answer. Whoever is gone for good: take it out of the witness policy, or run"
                " tally-node partner remove.",
            )
        return False

    def heed_time(self, of: str, signed_at_s: int) -> None:
        """Compare a time that somebody has just signed with ours; say so where the two cannot both be right."""
        now_s = self.clock.now_s()
        ahead_s = now_s - signed_at_s
        with self._lock:
            self._ahead_s[of] = now_s, ahead_s
        if abs(ahead_s) > CLOCK_BACK_MAX_S:
            log.error("our clock differs from that of %s by %d seconds, ours minus theirs", of, ahead_s)

    def clock_ahead_s(self) -> int:
        """Return how far our clock is ahead of the witness it differs from most, by what was signed lately; or 0."""
        return max(self._lately_ahead_s(), key=abs, default=0)

    def is_clock_ahead(self) -> bool:
        """Return whether our clock is ahead of more than half of the witnesses that have signed lately, so that it is
        ours that is wrong: a single one among several holds up nothing by its own."""
        lately = self._lately_ahead_s()
        return 2 * sum(ahead_s > CLOCK_BACK_MAX_S for ahead_s in lately) > len(lately)

    def _lately_ahead_s(self) -> list[int]:
        now_s = self.clock.now_s()
        with self._lock:
            return [ahead for at_s, ahead in self._ahead_s.values() if abs(now_s - at_s) < TIME_COUNTS_FOR_S]


def _unasked() -> LogUnasked:
    return LogUnasked(
        "Too few have said yet, signed, what they have seen of this log; nothing is written before.",
        remedy="Try again later; the operator sees to it that its witnesses or a partner can be reached, and know it.",
    )
