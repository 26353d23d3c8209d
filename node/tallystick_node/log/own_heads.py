"""Ask others what they have seen of this node's own log, before it signs a head of it.

A database from an old backup looks like any other to the node that opens it. Its witnesses and partners know better: a
witness serves the head of our log that it cosigned last, a partner also what it saw when it followed us. If one of
those, signed with our own key, is not a head of what our database holds, then another history of this log is out in the
world, and to write on would fork it.

All are asked at once, and each for a bounded time: whoever is dead holds up nobody. What nobody signed means nothing,
since anybody on the way could have written it: a head counts that our own key signed, and "I have seen none" only where
whoever says so then cosigns the head that we have. A head under a key that we have revoked counts where a witness that
we chose has cosigned it before that time, and nowhere else: whoever has stolen the key can make any other.

Source: DESIGN P1 (a node restored from an old backup), c2sp.org/tlog-witness (monitoring).
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from tallystick_ledger.errors import NoteMalformed, SignatureRejected
from tallystick_ledger.tlog.checkpoint import open_checkpoint
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import EMPTY_ROOT
from tallystick_ledger.tlog.note import add_lines, open_note, parse_lines
from tallystick_ledger.tlog.witness import AddCheckpoint
from tallystick_node.exchange import EXCHANGE_DEADLINE_S, exchange
from tallystick_node.log.publisher import Publisher

ASKED_AT_ONCE_MAX = 32
ASK_DEADLINE_S = 2 * EXCHANGE_DEADLINE_S
"""How long it may take in all, however many are asked; who has not answered by then is taken for silent."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seer:
    """Somebody who may have seen our log: a witness, or a partner, since every node witnesses its partners.

    Attributes:
        name: for logs and messages.
        url: its witness prefix; `URL/<hex SHA-256 of the origin>/checkpoint` is what it cosigned last.
        follows: whether it follows our log as well: `URL/<the same>/seen` is the largest head that it knows then.
        keys: with which it cosigns; from them alone it is believed when it did.
        is_chosen: whether the node's own policy names it as a witness: then it is believed when that was before a key
            was revoked.
    """

    name: str
    url: str
    keys: tuple[VerifierKey, ...]
    is_chosen: bool = False
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """What one of them says it has seen.

    Attributes:
        of: its name.
        head: a head that our own key signed; of size 0 where it has seen none.
        note: the head as it was signed, the evidence; empty where nobody signed that it has seen none.
        cosigned_at_s: when it cosigned that head, by its own clock and signature; None where it does not say.
        keys: with which it cosigns.
    """

    of: str
    head: Checkpoint
    note: bytes = b""
    cosigned_at_s: int | None = None
    keys: tuple[VerifierKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """What all of them say."""

    heard: tuple[Word, ...]
    silent: tuple[str, ...]

    @property
    def signed(self) -> tuple[Word, ...]:
        """Those words that stand on a signature: ours under a head that is shown, or theirs under the head we have."""
        return tuple(each for each in self.heard if each.note)


def ask_all(
    seers: Sequence[Seer],
    origin: str,
    *,
    log_keys: Sequence[VerifierKey],
    revoked: Mapping[VerifierKey, int],
    http: httpx.Client,
    pool: Executor | None = None,
) -> Words:
    """Return what `seers` have seen of the log `origin`.

    Args:
        seers: whom to ask.
        origin: of our log.
        log_keys: our own keys; only a head that one of them signed counts.
        revoked: those of them that are revoked, each with the time since when nothing under it counts, in seconds.
        http: follows no redirect; closed by whoever opened it.
        pool: in which they are asked, shut down afterwards; one of threads of its own, where there is none.
    """
    return _asked(seers, lambda seer: _ask(seer, origin, log_keys, revoked, http), pool)


def ask_to_cosign(seers: Sequence[Seer], head: Checkpoint, note: bytes, *, http: httpx.Client) -> Words:
    """Return the words of those who cosign a head of ours as the first one that they see of its log.

    Args:
        seers: who say that they have seen none.
        head: what we have.
        note: that head, signed by us.
        http: follows no redirect; closed by whoever opened it.
    """
    return _asked(seers, lambda seer: _cosigned(seer, head, note, http), None)


def _asked(seers: Sequence[Seer], ask: Callable[[Seer], Word | None], pool: Executor | None) -> Words:
    """Ask everybody at once, until the deadline."""
    if not seers:
        return Words((), ())
    if pool is None:
        pool = ThreadPoolExecutor(max_workers=min(ASKED_AT_ONCE_MAX, len(seers)), thread_name_prefix="own-heads")
    asked = [pool.submit(ask, seer) for seer in seers]
    wait(asked, timeout=ASK_DEADLINE_S)
    pool.shutdown(wait=False, cancel_futures=True)
    heard = [each.result() if each.done() and not each.cancelled() else None for each in asked]
    return Words(
        heard=tuple(word for word in heard if word is not None),
        silent=tuple(seer.name for seer, word in zip(seers, heard, strict=True) if word is None),
    )


def contradicting(words: Words, *, size: int, root_at: Callable[[int], bytes]) -> Word | None:
    """Return the word of the largest head that our log does not lead to: a larger one, or another; None where all fit.

    Args:
        words: what others have seen.
        size: how many entries our log has.
        root_at: the root of its first entries, for as many as that.
    """
    others = [
        word
        for word in words.heard
        if word.head.size > size or (word.head.size > 0 and root_at(word.head.size) != word.head.root)
    ]
    return max(others, key=lambda word: word.head.size, default=None)


def ask_before_first_head(
    publisher: Publisher, seers: Sequence[Seer], *, http: httpx.Client, pool: Executor | None = None
) -> tuple[Words, Word | None]:
    """Return what others have seen of a log, and the word that it does not lead to; None where it leads to all.

    Raises:
        LogNotContinued: the database does not hold all that is committed.
        OSError: the published files cannot be read now.
    """
    keys, revoked = publisher.log_keys, publisher.revoked_keys
    words = ask_all(seers, publisher.origin, log_keys=keys, revoked=revoked, http=http, pool=pool)
    return words, contradicting(words, size=publisher.committed().size, root_at=publisher.root_at)


def _ask(
    seer: Seer,
    origin: str,
    log_keys: Sequence[VerifierKey],
    revoked: Mapping[VerifierKey, int],
    http: httpx.Client,
) -> Word | None:
    known = f"{seer.url.rstrip('/')}/{hashlib.sha256(origin.encode()).hexdigest()}"
    answer = exchange(http, "GET", f"{known}/seen") if seer.follows else None
    if answer is None or answer.status_code == HTTPStatus.NOT_FOUND:
        answer = exchange(http, "GET", f"{known}/checkpoint")  # a node of before this was asked shows that alone
    if answer is not None and answer.status_code == HTTPStatus.NOT_FOUND:
        return Word(seer.name, Checkpoint(origin, 0, EMPTY_ROOT), keys=seer.keys)
    if answer is None or answer.status_code != HTTPStatus.OK:
        return None
    try:
        head, opened = open_checkpoint(answer.content, origin=origin, keys=log_keys)
    except (NoteMalformed, SignatureRejected):
        log.warning("%s shows a head of this log that this log did not sign", seer.name)
        return None
    at_s = _cosigned_at_s(answer.content, seer.keys)
    before_s = at_s if seer.is_chosen else None
    signed = [each.key for each in opened.verified]
    if not any(key not in revoked or (before_s is not None and before_s < revoked[key]) for key in signed):
        log.error("%s shows a head of this log under a key that is revoked; it counts for nothing", seer.name)
        return None
    return Word(seer.name, head, answer.content, at_s, seer.keys)


def _cosigned(seer: Seer, head: Checkpoint, note: bytes, http: httpx.Client) -> Word | None:
    answer = exchange(http, "POST", f"{seer.url.rstrip('/')}/add-checkpoint", AddCheckpoint(0, (), note).encode())
    if answer is None or answer.status_code != HTTPStatus.OK:
        return None
    try:
        cosigned = add_lines(note, parse_lines(answer.content))
    except NoteMalformed:
        return None
    at_s = _cosigned_at_s(cosigned, seer.keys)
    return None if at_s is None else Word(seer.name, head, cosigned, at_s, seer.keys)


def _cosigned_at_s(note: bytes, keys: Sequence[VerifierKey]) -> int | None:
    with suppress(NoteMalformed, SignatureRejected):
        return max((each.timestamp_s or 0 for each in open_note(note, keys).verified), default=None)
    return None
