"""Follow a log: remember its last head, and let no later one pass that does not continue it.

The rule is `growth.follow`. `Follower` is the thin rest: it fetches the head and the few tiles that show its growth,
and keeps what it remembers in a file that the caller names. No entry is read, so a partner's log is followed without an
auditor's key.

    follower = Follower("https://gym.example/log/2027", origin="gym.example/log/2027", keys=keys,
                        file=Path("gym.head"), http=http)
    head = follower.look()   # raises LedgerForked, with the evidence, where the gym shows another history

Source: c2sp.org/tlog-tiles, RFC 9162 section 2.1.4.
"""

import os
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path

import httpx

from tallystick.bounded import PLAIN, chunks_of, until
from tallystick.errors import NodeUnreachable
from tallystick.growth import SeenHead, follow, open_seen
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import HASH_SIZE_BYTES, HashReader
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES
from tallystick_ledger.tlog.reader import TileReader
from tallystick_ledger.tlog.tiles import CHECKPOINT, TILE_WIDTH

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
        return self._get(CHECKPOINT, NOTE_SIZE_MAX_BYTES)

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
