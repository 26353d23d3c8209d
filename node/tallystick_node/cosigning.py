"""Ask witnesses to cosign a head before it is published.

Which witnesses, and how many of them must have signed, stands in a trust policy file. Where the policy is not met the
head waits, or is published without, as the settings say. A witness that shows a head, signed by our own key, which this
log does not continue stops publication for good: both heads are kept as evidence, and an operator decides. A refusal
alone stops nothing: it is not signed, and anybody on the way could have made it.

Source: c2sp.org/tlog-witness (client), c2sp.org/tlog-policy, DESIGN P1 and P12.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx

from tallystick_ledger.errors import BadInput, NoteMalformed, PolicyUnmet, SignatureRejected
from tallystick_ledger.tlog.checkpoint import open_checkpoint
from tallystick_ledger.tlog.head import Checkpoint, parse_decimal
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import HashReader, prove_consistency, root_at
from tallystick_ledger.tlog.note import SignatureLine, add_lines, parse_lines
from tallystick_ledger.tlog.policy import Policy
from tallystick_ledger.tlog.witness import AddCheckpoint
from tallystick_node.errors import ForkSuspected
from tallystick_node.exchange import Answer, exchange

SILENT_FOR_S = 15.0
"""How long a witness that did not answer is not asked again, so that a dead one does not slow every head."""

ATTEMPTS_MAX = 2
"""The first attempt may meet a witness that has seen another size than we remember; it says which."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Witness:
    """One witness, and what we remember of it.

    Attributes:
        seen_size: the size it cosigned last, as far as we know.
        silent_until_s: monotonic seconds before which it is not asked.
    """

    key: VerifierKey
    url: str
    seen_size: int = 0
    silent_until_s: float = field(default=0.0)


class Cosigners:
    """The witnesses of one log."""

    def __init__(
        self,
        policy: Policy,
        *,
        http: httpx.Client,
        waits: bool,
        keep_evidence: Callable[[str, bytes], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask the witnesses of `policy`.

        Args:
            policy: the witnesses that have a URL in it are asked.
            http: closed by whoever opened it.
            waits: whether a head that the policy does not accept yet stays unpublished.
            keep_evidence: keeps, under a name, two heads that our key signed and that are not of one log.
            monotonic_s: for pauses alone; nothing signed comes from it.
        """
        self._policy = policy
        self._http = http
        self._waits = waits
        self._keep_evidence = keep_evidence
        self._monotonic_s = monotonic_s
        self._witnesses = [_Witness(each.key, each.url) for each in policy.witnesses if each.url is not None]
        self._alarm: ForkSuspected | None = None

    def gather(self, head: Checkpoint, note: bytes, *, read: HashReader) -> bytes:
        """Return the note with the cosignatures that came.

        Args:
            head: what the note says.
            note: signed by the log.
            read: the log's hashes, for proofs.

        Raises:
            ForkSuspected: a witness has seen what this log does not continue; from now on, always.
            PolicyUnmet: too few have signed, and the settings say to wait.
        """
        if self._alarm is not None:
            raise self._alarm
        with ThreadPoolExecutor(max_workers=max(1, len(self._witnesses))) as pool:
            asked = [pool.submit(self._ask, witness, head, note, read) for witness in self._witnesses]
            lines = [line for each in asked if (line := each.result()) is not None]
        if self._alarm is not None:
            raise self._alarm
        cosigned = add_lines(note, lines) if lines else note
        try:
            self._policy.check(cosigned, head.origin)
        except PolicyUnmet:
            if self._waits:
                raise
            log.warning("a head is published without the cosignatures that the policy asks for")
        return cosigned

    def _ask(self, witness: _Witness, head: Checkpoint, note: bytes, read: HashReader) -> SignatureLine | None:
        """Return one witness's line; None where it does not answer, or not with a line that verifies."""
        if self._monotonic_s() < witness.silent_until_s:
            return None
        for _ in range(ATTEMPTS_MAX):
            asked = _request(witness.seen_size, head, note, read)
            answer = self._exchange("POST", f"{witness.url.rstrip('/')}/add-checkpoint", asked.encode())
            if answer is None:
                break
            if answer.status_code == HTTPStatus.OK:
                line = _verified_line(witness.key, head, answer.content)
                if line is None:
                    break
                witness.seen_size = head.size
                return line
            if answer.status_code not in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
                break
            seen_size = _seen_size(answer)
            if seen_size is None or seen_size == asked.old_size or seen_size > head.size:
                self._look_for_fork(witness, head, read)
                break
            witness.seen_size = seen_size
        witness.silent_until_s = self._monotonic_s() + SILENT_FOR_S
        return None

    def _exchange(self, method: str, url: str, content: bytes = b"") -> Answer | None:
        return exchange(self._http, method, url, content, monotonic_s=self._monotonic_s)

    def _look_for_fork(self, witness: _Witness, head: Checkpoint, read: HashReader) -> None:
        """A witness refuses to go on from our log: believe it only if it shows another head that our own key signed."""
        digest = hashlib.sha256(head.origin.encode()).hexdigest()
        answer = self._exchange("GET", f"{witness.url.rstrip('/')}/{digest}/checkpoint")
        log_keys = [each.key for each in self._policy.logs]
        shown = b"" if answer is None else answer.content
        try:
            seen, _ = open_checkpoint(shown, origin=head.origin, keys=log_keys)
        except (NoteMalformed, SignatureRejected):
            log.warning("a witness refuses a head, and shows no other that this log signed")
            return
        if seen.size == 0 or (seen.size <= head.size and root_at(seen.size, read) == seen.root):
            return
        self._keep_evidence("two-heads.txt", shown + b"\n" + head.body())
        log.critical("a witness has seen a log that this one does not continue; nothing is published any more")
        self._alarm = ForkSuspected(
            "A witness has seen a head of this log that it does not continue.",
            remedy="Keep the evidence file, restore the newest backup, or begin a successor log.",
        )

    @property
    def keys(self) -> Sequence[VerifierKey]:
        """The keys of every witness that the policy names."""
        return [each.key for each in self._policy.witnesses]


def _request(seen_size: int, head: Checkpoint, note: bytes, read: HashReader) -> AddCheckpoint:
    proof = prove_consistency(seen_size, new_size=head.size, read=read) if 0 < seen_size < head.size else []
    return AddCheckpoint(seen_size, tuple(proof), note)


def _verified_line(key: VerifierKey, head: Checkpoint, answer: bytes) -> SignatureLine | None:
    """Return the witness's own line of an answer, if it verifies; other lines mean nothing."""
    try:
        for line in parse_lines(answer):
            if (line.name, line.key_id) == (key.name, key.key_id):
                key.check(head.body(), line.payload)
                return line
    except (BadInput, SignatureRejected):
        log.warning("a witness answered with a line that does not verify")
    return None


def _seen_size(answer: Answer) -> int | None:
    """Return the size in a 409, None where there is none."""
    if answer.status_code != HTTPStatus.CONFLICT:
        return None
    try:
        return parse_decimal(answer.content.removesuffix(b"\n"))
    except BadInput:
        return None
