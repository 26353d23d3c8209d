"""Ask witnesses to cosign a head before it is published.

Which witnesses, and how many of them must have signed, stands in a trust policy file. Where the policy is not met the
head waits, or is published without, as the settings say; either way the node says so.

A witness that answers 422, or 409 with the size it was asked from, says that this log does not grow from what it
cosigned: nothing is published from then on, and what it answered is kept as evidence. Its answer is not signed, so how
long that lasts depends on what it can show:

- a head that our own key signed and that this log does not continue convicts the log. Publication has stopped for good,
  over restarts too, until an operator takes the evidence away.
- nothing of the kind: publication stands still until this witness cosigns again, or an operator takes it out of the
  policy. A hostile witness, or anybody on the way to one without TLS, can so hold up what is published, and nothing
  else: the node records, answers and delivers as before. That is the price of stopping when an honest one cries fork.

Source: c2sp.org/tlog-witness (client), c2sp.org/tlog-policy, DESIGN P1, P12 and P13.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path

import httpx

from tallystick.evidence import ANSWER_SIZE_MAX_BYTES, EvidenceRejected, Refusal, two_heads
from tallystick_ledger.errors import BadInput, PolicyUnmet, SignatureRejected
from tallystick_ledger.tlog.checkpoint import open_checkpoint
from tallystick_ledger.tlog.head import Checkpoint, parse_decimal
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import HashReader, prove_consistency
from tallystick_ledger.tlog.note import SignatureLine, add_lines, parse_lines
from tallystick_ledger.tlog.policy import POLICY_SIZE_MAX_BYTES, Policy, TrustedLog, parse_policy
from tallystick_ledger.tlog.witness import AddCheckpoint
from tallystick_node.errors import ForkSuspected, SettingsInvalid
from tallystick_node.exchange import EXCHANGE_DEADLINE_S, Answer, exchange
from tallystick_node.log.evidence_room import EvidenceRoom

SILENT_FOR_S = 15.0
"""How long a witness that refused, or kept us waiting in vain, is not asked again, so that it does not slow every
head."""

SOON_S, AT_ONCE_S = 1.0, 0.5
"""How long one that failed at once, within the second of these, is not asked: it is being started, perhaps."""

ATTEMPTS_MAX = 2
"""The first attempt may meet a witness that has seen another size than we remember; it says which."""

ASKED_MAX_S = (ATTEMPTS_MAX + 1) * EXCHANGE_DEADLINE_S
"""How long the exchanges with one witness take at most: its attempts, and one look at what it shows."""

PATIENCE_S = 1.0
"""How long a head that has its quorum waits for the other witnesses."""

log = logging.getLogger(__name__)


class Publication(StrEnum):
    """What the node says of its own publication."""

    NOT_WITNESSED = "not_witnessed"
    COSIGNED = "cosigned"
    WITHOUT_QUORUM = "without_quorum"
    WAITING = "waiting"
    STOPPED = "stopped"


@dataclass(slots=True)
class _Witness:
    """One witness, and what we remember of it.

    Attributes:
        url: its prefix.
        keys: the keys that the policy lists for it, of one kind or both.
        seen_size: the size it cosigned last, as far as we know.
        silent_until_s: monotonic seconds before which it is not asked.
        busy: whether it is being asked.
        body: the head it cosigned last for us, and `lines` its lines for that.
        refusal: how it refused our log, until it cosigns again.
    """

    url: str
    keys: list[VerifierKey]
    seen_size: int = 0
    silent_until_s: float = 0.0
    busy: bool = False
    body: bytes = b""
    lines: list[SignatureLine] = field(default_factory=list[SignatureLine])
    refusal: ForkSuspected | None = None


class Cosigners:
    """The witnesses of one log. `gather` is for one thread at a time."""

    def __init__(
        self,
        policy: Policy,
        *,
        origin: str,
        http: httpx.Client,
        waits: bool,
        evidence: EvidenceRoom,
        log_keys: Callable[[], Sequence[VerifierKey]],
        monotonic_s: Callable[[], float] = time.monotonic,
        heed_time: Callable[[str, int], None] = lambda _of, _at_s: None,
        pool: Executor | None = None,
    ) -> None:
        """Ask the witnesses of `policy`.

        Args:
            policy: the witnesses that have a URL in it are asked.
            origin: of the log.
            http: closed by whoever opened it.
            waits: whether a head that the policy does not accept yet stays unpublished.
            evidence: keeps what a witness refused, and why.
            log_keys: the log's own keys that are not revoked, as they are when it is called: they may change at any
                time, whatever lines `log` the policy was written with.
            monotonic_s: for pauses alone; nothing signed comes from it.
            heed_time: is told of each time that a witness has just signed, seconds since 1970-01-01 UTC.
            pool: in which they are asked; one of threads of its own, where there is none.
        """
        self._heed_time = heed_time
        self._policy = policy
        self._log_keys = log_keys
        self._http = http
        self._waits = waits
        self._evidence = evidence
        self._monotonic_s = monotonic_s
        self._witnesses = _witnesses_in(policy)
        workers = max(1, len(self._witnesses))
        self._pool = pool or ThreadPoolExecutor(max_workers=workers, thread_name_prefix="cosigning")
        self._convicted = _convicted() if evidence.convicts(origin, log_keys()) else None
        self.publication = Publication.STOPPED if self._convicted else Publication.WAITING

    def close(self) -> None:
        """Ask nobody any more; what is under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def gather(self, head: Checkpoint, note: bytes, *, read: HashReader) -> bytes:
        """Return the note with the cosignatures that came.

        Args:
            head: what the note says.
            note: signed by the log.
            read: the log's hashes, for proofs.

        Raises:
            ForkSuspected: a witness has seen what this log does not continue, or says so.
            PolicyUnmet: too few have signed, and the settings say to wait.
        """
        try:
            cosigned, is_met = self._gather(head, note, _one_at_a_time(read))
        except ForkSuspected:
            self.publication = Publication.STOPPED
            raise
        if not is_met:
            self._stand(Publication.WAITING if self._waits else Publication.WITHOUT_QUORUM)
            if self._waits:
                self._own_policy().check(cosigned, head.origin)
            return cosigned
        self._stand(Publication.COSIGNED)
        return cosigned

    def _gather(self, head: Checkpoint, note: bytes, read: HashReader) -> tuple[bytes, bool]:
        """Return the note with what came, and whether the policy is met."""
        self._require_unrefused(self._convicted)
        asked: list[Future[None]] = []
        for witness in self._witnesses:
            if not witness.busy and self._monotonic_s() >= witness.silent_until_s:
                witness.busy = True
                asked.append(self._pool.submit(self._ask, witness, head, note, read))
        wait(asked, timeout=PATIENCE_S)
        cosigned, is_met = self._so_far(head, note)
        if not is_met:
            wait(asked, timeout=ASKED_MAX_S)
            cosigned, is_met = self._so_far(head, note)
        for done in asked:
            if done.done():
                done.result()  # a mistake of ours shows here
        self._require_unrefused(self._convicted, *(witness.refusal for witness in self._witnesses))
        return cosigned, is_met

    def _so_far(self, head: Checkpoint, note: bytes) -> tuple[bytes, bool]:
        body = head.body()
        lines = [line for witness in self._witnesses if witness.body == body for line in witness.lines]
        cosigned = add_lines(note, lines) if lines else note
        try:
            self._own_policy().check(cosigned, head.origin)
        except PolicyUnmet:
            return cosigned, False
        return cosigned, True

    def _own_policy(self) -> Policy:
        """Return the policy for this log under its own keys as they are now."""
        return replace(self._policy, logs=tuple(TrustedLog(key, None) for key in self._log_keys()))

    def _require_unrefused(self, *refusals: ForkSuspected | None) -> None:
        for refusal in refusals:
            if refusal is not None:
                raise refusal

    def _stand(self, publication: Publication) -> None:
        """Say how publication stands, once for each change."""
        if publication is self.publication:
            return
        self.publication = publication
        if publication is Publication.COSIGNED:
            log.warning("heads are published with the cosignatures that the policy asks for")
        elif publication is Publication.WAITING:
            log.warning("a head waits: too few of the witnesses that the policy asks for have cosigned it")
        else:
            log.warning("heads are PUBLISHED WITHOUT the cosignatures that the policy asks for, as the settings say")

    def _ask(self, witness: _Witness, head: Checkpoint, note: bytes, read: HashReader) -> None:
        """Ask one witness for its lines, unless it gave them for this head."""
        asked_at_s = self._monotonic_s()
        try:
            if witness.body == head.body() or self._has_cosigned(witness, head, note, read):
                if witness.refusal is not None:
                    log.warning("the witness %s cosigns again", witness.keys[0].name)
                witness.refusal = None
            else:
                now_s = self._monotonic_s()
                is_quick = now_s - asked_at_s < AT_ONCE_S and witness.refusal is None
                witness.silent_until_s = now_s + (SOON_S if is_quick else SILENT_FOR_S)
        finally:
            witness.busy = False

    def _has_cosigned(self, witness: _Witness, head: Checkpoint, note: bytes, read: HashReader) -> bool:
        for _ in range(ATTEMPTS_MAX):
            asked = _request(witness.seen_size, head, note, read)
            answer = self._exchange("POST", f"{witness.url}/add-checkpoint", asked.encode())
            if answer is None:
                return False
            if answer.status_code == HTTPStatus.OK:
                lines = self._verified_lines(witness.keys, head, answer.content)
                if not lines:
                    return False
                witness.seen_size, witness.lines, witness.body = head.size, lines, head.body()
                return True
            seen_size = _seen_size(answer)
            if answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY or (
                seen_size is not None and (seen_size == asked.old_size or seen_size > head.size)
            ):
                self._refused(witness, head, note, answer, read)
                return False
            if seen_size is None:
                return False
            witness.seen_size = seen_size
        return False

    def _refused(self, witness: _Witness, head: Checkpoint, note: bytes, answer: Answer, read: HashReader) -> None:
        """A witness says that our log is not what it was: look at what it can show, keep it, and stop."""
        shown, seen_size = self._shown(witness, head.origin)
        if 0 < seen_size <= head.size:
            keys = self._log_keys()
            found = two_heads(shown, note, keys=keys, read=read)
            with suppress(EvidenceRejected):  # our log continues that head: only the witness's word is against it
                found.check(keys)
                self._convicted = _convicted(shown)  # before anything that may fail
                self._evidence.keep(found, even_full=True)
                log.critical("a witness has seen a log that this one does not continue; nothing is published")
                return
        if witness.refusal is None:
            witness.refusal = _refusal(witness.keys[0].name, answer.status_code, shown)
            name, text = witness.keys[0].name, answer.content.decode(errors="replace")[:ANSWER_SIZE_MAX_BYTES]
            self._evidence.keep(Refusal(tuple(self._log_keys()), note, name, answer.status_code, text, shown))
            log.critical("the witness %s refuses this log with %d; nothing is published", name, answer.status_code)

    def _shown(self, witness: _Witness, origin: str) -> tuple[bytes, int]:
        """Return the head that a witness shows as the last it cosigned, and its size; nothing where it is not ours."""
        digest = hashlib.sha256(origin.encode()).hexdigest()
        answer = self._exchange("GET", f"{witness.url}/{digest}/checkpoint")
        try:
            if answer is not None:
                seen, _ = open_checkpoint(answer.content, origin=origin, keys=self._log_keys())
                return answer.content, seen.size
        except (BadInput, SignatureRejected):
            pass
        return b"", 0

    def _verified_lines(self, keys: Sequence[VerifierKey], head: Checkpoint, answer: bytes) -> list[SignatureLine]:
        """Return the witness's own lines of an answer, where each verifies; other lines mean nothing."""
        known = {(key.name, key.key_id): key for key in keys}
        try:
            lines = {(line.name, line.key_id): line for line in parse_lines(answer)}
            own = [lines[name] for name in known if name in lines]
            for line in own:
                signed_at_s = known[line.name, line.key_id].check(head.body(), line.payload)
                if signed_at_s:  # one of ML-DSA-44 may state none
                    self._heed_time(keys[0].name, signed_at_s)
        except (BadInput, SignatureRejected):
            log.warning("the witness %s answered with a line that does not verify", keys[0].name)
            return []
        return own

    def _exchange(self, method: str, url: str, content: bytes = b"") -> Answer | None:
        return exchange(self._http, method, url, content, monotonic_s=self._monotonic_s)

    @property
    def keys(self) -> Sequence[VerifierKey]:
        """The keys of every witness that the policy names."""
        return [each.key for each in self._policy.witnesses]


def load_policy(path: Path, *, log_keys: Sequence[VerifierKey], waits: bool) -> Policy:
    """Return the trust policy in a file, by which this node publishes its own log.

    Args:
        path: of the file.
        log_keys: every key that this log was ever signed with.
        waits: whether a head waits for the quorum.

    Raises:
        SettingsInvalid: it cannot be read, is none, does not list the log, or has a quorum that nobody who can be
            asked could make.
    """
    try:
        with path.open("rb") as file:
            policy = parse_policy(file.read(POLICY_SIZE_MAX_BYTES + 1))
    except OSError as error:
        raise SettingsInvalid(
            "The witness policy cannot be read.", remedy="Put the file that node.toml names into the data folder."
        ) from error
    except BadInput as error:
        raise SettingsInvalid(f"The witness policy is none. {error.problem}", remedy=error.remedy) from error
    if not {each.key for each in policy.logs} & set(log_keys):
        raise SettingsInvalid(
            "The witness policy does not list this node's log.", remedy="Add a line `log` with the key in log.vkey."
        )
    if waits and not policy.is_met_by({each.key for each in policy.witnesses if each.url is not None}):
        raise SettingsInvalid(
            "The witnesses that have an address cannot make the quorum, and publication waits for it.",
            remedy="Give each witness of the policy its URL, or ask for fewer.",
        )
    return policy


def _witnesses_in(policy: Policy) -> list[_Witness]:
    """Return those that have an address; one with two keys is asked once for both."""
    by_url: dict[str, list[VerifierKey]] = {}
    for each in policy.witnesses:
        if each.url is not None:
            by_url.setdefault(each.url.rstrip("/"), []).append(each.key)
    return [_Witness(url, keys) for url, keys in by_url.items()]


def _one_at_a_time(read: HashReader) -> HashReader:
    """Return a reader that several threads may use: one of tiles keeps those it read last, for one thread."""
    lock = threading.Lock()

    def locked(level: int, index: int) -> bytes:
        with lock:
            return read(level, index)

    return locked


def _request(seen_size: int, head: Checkpoint, note: bytes, read: HashReader) -> AddCheckpoint:
    proof = prove_consistency(seen_size, new_size=head.size, read=read) if 0 < seen_size < head.size else []
    return AddCheckpoint(seen_size, tuple(proof), note)


def _seen_size(answer: Answer) -> int | None:
    """Return the size in a 409, None where there is none."""
    if answer.status_code != HTTPStatus.CONFLICT:
        return None
    try:
        return parse_decimal(answer.content.removesuffix(b"\n"))
    except BadInput:
        return None


def _convicted(shown: bytes = b"") -> ForkSuspected:
    return ForkSuspected(
        "This log has signed two histories, as a witness shows; nothing is published any more.",
        remedy="Look into the folder evidence; restore the newest backup, or begin a successor log.",
        note=shown,
    )


def _refusal(name: str, status: int, shown: bytes) -> ForkSuspected:
    return ForkSuspected(
        f"The witness {name} refuses this log with status {status}; nothing is published until it cosigns again.",
        remedy="Look into the folder evidence, ask the witness's operator, or take it out of the policy.",
        note=shown,
    )
