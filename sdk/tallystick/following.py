"""Follow a log: remember its last head, and let no later one pass that does not continue it.

`follow` is the rule, and pure: what is remembered and what was shown go in, what to remember comes out, or evidence.
`Follower` is the thin rest: it fetches the head and the few tiles that show its growth, and keeps what it remembers in
a file that the caller names. No entry is read, so a partner's log is followed without an auditor's key.

    follower = Follower("https://gym.example/log/2027", origin="gym.example/log/2027", keys=keys,
                        file=Path("gym.head"), http=http)
    head = follower.look()   # raises LedgerForked, with the evidence, where the gym shows another history

Source: c2sp.org/tlog-tiles, RFC 9162 section 2.1.4.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx

from tallystick.bounded import PLAIN, chunks_of, until
from tallystick.errors import NodeUnreachable, ReplyForged
from tallystick.evidence import EvidenceRejected, TwoHeads, two_heads
from tallystick_ledger.errors import BadInput, ProofRejected, SignatureRejected, TallyError
from tallystick_ledger.tlog.checkpoint import open_checkpoint
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import HASH_SIZE_BYTES, HashReader, check_consistency, prove_consistency
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES
from tallystick_ledger.tlog.reader import TileReader
from tallystick_ledger.tlog.tiles import TILE_WIDTH

READ_TIMEOUT_S = 5.0
"""How long a connection, and then each read, may take."""

LOOK_DEADLINE_S = 30.0
"""How long one look may take in all."""

REQUESTS_A_LOOK_MAX = 300
"""More than any consistency proof needs: two sizes, each with one tile a level and few beside them."""

SIGNED_BY = b"\n# signed by\n"
"""What stands in a follower's file between a head and the keys that it was signed with."""

MEMORY_SIZE_MAX_BYTES = 2 * NOTE_SIZE_MAX_BYTES

TILE_SIZE_MAX_BYTES = TILE_WIDTH * HASH_SIZE_BYTES


class LedgerForked(ReplyForged):
    """A log has signed two heads that no one history has.

    Attributes:
        proof: the evidence, for `tally verify` and for everybody; `proof.encode()` is the file.
        note: the head that was shown now.
    """

    def __init__(self, proof: TwoHeads, note: bytes) -> None:
        super().__init__(
            "A log has signed two histories.",
            remedy="Keep the evidence, stop relying on this log, and show both heads to its auditor.",
            code="ledger_forked",
            evidence=(proof.older, proof.newer),
        )
        self.proof = proof
        self.note = note


@dataclass(frozen=True, slots=True)
class SeenHead:
    """The last head that was seen of a log.

    Attributes:
        checkpoint: what it says.
        note: as it was signed.
        keys: those of the log that had signed it when it was seen, and may be revoked since. What a log has signed
            stays signed by it, or a liar could revoke the key of its first history.
    """

    checkpoint: Checkpoint
    note: bytes
    keys: tuple[VerifierKey, ...] = ()


def open_seen(note: bytes, *, origin: str, keys: Sequence[VerifierKey]) -> SeenHead:
    """Return a head that the log has signed.

    Raises:
        NoteMalformed, SignatureRejected: it is none.
    """
    checkpoint, opened = open_checkpoint(note, origin=origin, keys=keys)
    return SeenHead(checkpoint, note, tuple(each.key for each in opened.verified))


def follow(
    last: SeenHead | None,
    note: bytes,
    *,
    origin: str,
    keys: Sequence[VerifierKey],
    reader: Callable[[int], HashReader],
) -> SeenHead:
    """Return the head to remember: the one in `note` if it continues `last`, and `last` where it is older.

    Args:
        last: what is remembered; None where nothing is.
        note: what the log shows now.
        origin: of the log.
        keys: the log's keys as they are now; what is shown must be signed with one of these.
        reader: the hashes of the log's tree at a size, as the log serves them; what they say is believed once it
            leads to a signed head. Raises `LookupError` or a `TallyError` where there are none.

    Raises:
        LedgerForked: the two heads contradict each other; the evidence is in the error.
        ReplyForged: what is shown is not signed by the log, or the log cannot show how it continues what is
            remembered (code `growth_unproven`), or shows a smaller head that it cannot show to be part of it (code
            `log_rolled_back`).
        NodeUnreachable: the hashes did not come.
    """
    try:
        now = open_seen(note, origin=origin, keys=keys)
    except (BadInput, SignatureRejected) as error:
        raise ReplyForged(
            "A log shows a head that it has not signed.", remedy="Check its keys; if they are right, ask its operator."
        ) from error
    if last is None or last.checkpoint.size == 0:
        return now  # every log continues the empty one, and none of its heads shows anything
    if now.checkpoint.size == 0:
        raise _unproven(is_back=True)
    ever = tuple(dict.fromkeys((*keys, *last.keys)))
    older, newer = (last, now) if last.checkpoint.size <= now.checkpoint.size else (now, last)
    if older.checkpoint.size == newer.checkpoint.size:
        if older.checkpoint.root != newer.checkpoint.root:
            raise LedgerForked(TwoHeads(ever, last.note, note, now.checkpoint.root, ()), note)
        return last
    _require_growth(older, newer, note, keys=ever, reader=reader, is_back=newer is last)
    return newer


def _require_growth(
    older: SeenHead,
    newer: SeenHead,
    note: bytes,
    *,
    keys: Sequence[VerifierKey],
    reader: Callable[[int], HashReader],
    is_back: bool,
) -> None:
    """Raise unless the newer head is shown to continue the older one."""
    small, large = older.checkpoint, newer.checkpoint
    read = reader(large.size)
    try:
        proof = prove_consistency(small.size, new_size=large.size, read=read)
        check_consistency(proof, old_size=small.size, old_root=small.root, new_size=large.size, new_root=large.root)
    except ProofRejected:
        found = _fork(older, newer, keys=keys, read=read)
        if found is not None:
            raise LedgerForked(found, note) from None
        raise _unproven(is_back) from None
    except NodeUnreachable:
        raise
    except (LookupError, TallyError) as error:
        raise _unproven(is_back) from error


def _fork(older: SeenHead, newer: SeenHead, *, keys: Sequence[VerifierKey], read: HashReader) -> TwoHeads | None:
    """Return the evidence of a fork, None where the hashes lead to no signed head and so show nothing."""
    try:
        found = two_heads(older.note, newer.note, keys=keys, read=read)
        found.check(keys)
    except (LookupError, BadInput, EvidenceRejected):
        return None
    return found


def _unproven(is_back: bool) -> ReplyForged:
    if is_back:
        return ReplyForged(
            "A log shows a smaller head than before, and not how that is part of it.",
            remedy="Ask its operator whether it was restored from a backup; keep both heads.",
            code="log_rolled_back",
        )
    return ReplyForged(
        "A log's tiles do not show how its head continues the one before.",
        remedy="Look again; if it stays so, keep both heads, and ask its operator for a consistency proof.",
        code="growth_unproven",
    )


class LogSite:
    """A log as it is served at an address, for one look: every answer, their number and their time are bounded."""

    def __init__(self, url: str, *, http: httpx.Client, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """Read the log at `url`, without a trailing slash.

        `http` is one of `tallystick.bounded.client`, which bounds headers that drip too; closed by who opened it.
        """
        self._url = url
        self._http = http
        self._monotonic_s = monotonic_s
        self._until_s = monotonic_s() + LOOK_DEADLINE_S
        self._requests_left = REQUESTS_A_LOOK_MAX

    def checkpoint(self) -> bytes | None:
        """Return the head that is served, unchecked; None where there is no log.

        Raises:
            NodeUnreachable: no answer, or none within the bounds.
        """
        return self._get("checkpoint", NOTE_SIZE_MAX_BYTES)

    def reader(self, size: int) -> HashReader:
        """Return the hashes that are served of the tree of `size` leaves."""
        return TileReader(self._tile, size)

    def _tile(self, path: str) -> bytes:
        raw = self._get(path, TILE_SIZE_MAX_BYTES)
        if raw is None:
            raise LookupError(path)
        return raw

    def _get(self, path: str, size_max_bytes: int) -> bytes | None:
        self._requests_left -= 1
        if self._requests_left < 0 or self._monotonic_s() > self._until_s:
            raise _unreachable("A log makes its reader ask too often, or for too long.")
        try:
            with (
                until(self._until_s, monotonic_s=self._monotonic_s),
                self._http.stream(
                    "GET", f"{self._url}/{path}", headers=PLAIN, timeout=READ_TIMEOUT_S, follow_redirects=False
                ) as answer,
            ):
                if answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                    return None
                if answer.status_code != HTTPStatus.OK:
                    raise _unreachable(f"A log answers with status {answer.status_code}.")
                return self._bounded(answer, size_max_bytes)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(f"A log cannot be reached ({type(error).__name__}).") from error

    def _bounded(self, answer: httpx.Response, size_max_bytes: int) -> bytes:
        received = bytearray()
        for chunk in chunks_of(answer):
            received += chunk
            if len(received) > size_max_bytes:
                raise _unreachable("A log answers with more than any file of it can have.")
        return bytes(received)


class Follower:
    """Follows one log, and remembers its last head in a file."""

    def __init__(self, url: str, *, origin: str, keys: Sequence[VerifierKey], file: Path, http: httpx.Client) -> None:
        """Follow the log at `url`.

        Args:
            url: of the log, such as `https://gym.example/log/2027`.
            origin: its name, such as `gym.example/log/2027`.
            keys: its keys, from its owner: the files `log.vkey` and `log-pq.vkey`, or `Descriptor.log_keys`.
            file: where the last head is remembered as it was signed, and with which keys; made when there is one.
            http: one of `tallystick.bounded.client`; closed by whoever opened it.
        """
        self._url = url.rstrip("/")
        self._origin = origin
        self._keys = tuple(keys)
        self._file = file
        self._http = http

    def last(self) -> SeenHead | None:
        """Return the head that is remembered, None where none is.

        Raises:
            NoteMalformed, SignatureRejected: the file holds something else; without it a fork would go unseen, so
                nothing is put in its place.
        """
        try:
            with self._file.open("rb") as file:
                raw = file.read(MEMORY_SIZE_MAX_BYTES)
        except FileNotFoundError:
            return None
        note, _, signed = raw.rpartition(SIGNED_BY) if SIGNED_BY in raw else (raw, b"", b"")
        keys = [VerifierKey.parse(line.decode(errors="replace")) for line in signed.splitlines()]
        return open_seen(note, origin=self._origin, keys=list(dict.fromkeys((*self._keys, *keys))))

    def look(self) -> SeenHead:
        """Return the log's head, shown to continue the last one, once it is remembered.

        Raises:
            NodeUnreachable: the log cannot be read now; what is remembered stays.
            LedgerForked, ReplyForged: see `follow`; what is remembered stays.
            NoteMalformed, SignatureRejected: see `last`.
        """
        last, site = self.last(), LogSite(self._url, http=self._http)
        note = site.checkpoint()
        if note is None:
            raise _unreachable("There is no log at this address.")
        head = follow(last, note, origin=self._origin, keys=self._keys, reader=site.reader)
        if head is not last:
            self._remember(head)
        return head

    def _remember(self, head: SeenHead) -> None:
        """Put the new head in the place of the old one; if the power fails here, one of the two is whole."""
        beside = self._file.with_name(f".{self._file.name}.new")
        with beside.open("wb") as file:
            file.write(head.note + SIGNED_BY + "".join(f"{key.text}\n" for key in head.keys).encode())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._file)


def _unreachable(problem: str) -> NodeUnreachable:
    return NodeUnreachable(problem, remedy="Look again later.", code="peer_unavailable")
