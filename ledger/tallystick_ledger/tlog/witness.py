"""Witnessing: what a log asks a witness, whether the witness may cosign, and what it then says and remembers.

Pure: the request and what the witness cosigned last go in; what it says and must remember comes out, or the refusal
with its HTTP status. Who stores it must do so, durably and in one transaction with this judgement, before it answers:
two racing requests could otherwise roll it back. A memory restored from a backup is rolled back too: a witness whose
state is lost begins again under another name.

Source: c2sp.org/tlog-witness (add-checkpoint, sign-subtree).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from tallystick_ledger.encoding import from_base64, to_base64
from tallystick_ledger.errors import BadInput, NoteMalformed, ProofRejected, SignatureRejected, TallyError
from tallystick_ledger.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.head import parse_decimal
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import EMPTY_ROOT, HASH_SIZE_BYTES, PROOF_HASHES_MAX, check_consistency
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES, SignatureLine, parse_lines, sign_line, unchecked_text
from tallystick_ledger.tlog.signers import Signer
from tallystick_ledger.tlog.subtree import check_subtree_consistency, is_subtree

REQUEST_SIZE_MAX_BYTES = NOTE_SIZE_MAX_BYTES + 64 * (PROOF_HASHES_MAX + 1)
SIZE_MEDIA_TYPE = "text/x.tlog.size"


class WitnessRefused(TallyError):
    """A witness does not cosign.

    Attributes:
        status: the HTTP status that says why: 400, 403, 404, 409 or 422.
        seen_size: with 409, the size that the witness cosigned last, for the log to prove from.
    """

    code = "witness_refused"

    def __init__(self, status: int, problem: str, *, seen_size: int | None = None) -> None:
        super().__init__(problem, remedy="Send a checkpoint that grew from the last one this witness cosigned.")
        self.status = status
        self.seen_size = seen_size


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A log's request: cosign this checkpoint, which grew from the one you cosigned at `old_size`.

    Attributes:
        old_size: leaves; 0 where the log believes that the witness has seen none.
        proof: the consistency proof from `old_size`, at most 63 hashes.
        note: the signed checkpoint, verbatim.
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        """Return the request's body."""
        return f"old {self.old_size}\n{_proof_lines(self.proof)}\n".encode() + self.note


class SubtreeSigner(Protocol):
    """Whatever can sign a part of a tree: an ML-DSA-44 key in memory, or one in a vault."""

    @property
    def verifier_key(self) -> VerifierKey:
        """The public half."""
        ...

    def sign_subtree(self, *, origin: str, start: int, end: int, root: bytes) -> bytes:
        """Return what follows the key id in the line."""
        ...


@dataclass(frozen=True, slots=True)
class SignSubtree:
    """A request to sign a part of a tree that the witness has cosigned whole.

    Attributes:
        start: the first leaf.
        end: the leaf after the last.
        root: the hash of the part, 32 bytes.
        proof: that it stands in the tree of `note`, at most 63 hashes.
        note: a checkpoint that this witness cosigned, verbatim.
    """

    start: int
    end: int
    root: bytes
    proof: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        """Return the request's body."""
        head = f"subtree {self.start} {self.end}\n{to_base64(self.root)}\n"
        return f"{head}{_proof_lines(self.proof)}\n".encode() + self.note


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint that a witness has cosigned: what it remembers of a log, and what it answers.

    Attributes:
        checkpoint: what it cosigned.
        at_s: the time in its cosignatures, seconds since 1970-01-01 UTC.
        note: the checkpoint with the log's own lines and this witness's, for everybody to read.
        answer: this witness's lines.
    """

    checkpoint: Checkpoint
    at_s: int
    note: bytes
    answer: bytes

    @classmethod
    def recall(cls, note: bytes, *, at_s: int, keys: Sequence[VerifierKey]) -> Self:
        """Return what was remembered as `note` and `at_s`.

        Args:
            note: from `note` above.
            at_s: from `at_s` above.
            keys: this witness's own.
        """
        body = unchecked_text(note)
        answer = _lines_of(note, keys)
        return cls(parse_checkpoint_body(body), at_s, note, b"".join(line.text for line in answer))


def parse_add_checkpoint(raw: bytes) -> AddCheckpoint:
    """Return the request in a body.

    Raises:
        WitnessRefused: 400, the body is not one.
    """
    lines, note = _split_request(raw)
    if not lines[0].startswith(b"old "):
        raise WitnessRefused(400, "A request does not begin with the old size.")
    if len(lines) - 1 > PROOF_HASHES_MAX:
        raise WitnessRefused(400, "A proof has more than 63 hashes.")
    try:
        return AddCheckpoint(parse_decimal(lines[0].removeprefix(b"old ")), _parse_proof(lines[1:]), note)
    except BadInput as error:
        raise WitnessRefused(400, error.problem) from error


def parse_sign_subtree(raw: bytes) -> SignSubtree:
    """Return the request in a body.

    Raises:
        WitnessRefused: 400, the body is not one, or names leaves that are no subtree.
    """
    lines, note = _split_request(raw)
    words = lines[0].split(b" ")
    if len(words) != 3 or words[0] != b"subtree" or len(lines) < 2:
        raise WitnessRefused(400, "A request does not begin with the subtree and its hash.")
    try:
        start, end = parse_decimal(words[1]), parse_decimal(words[2])
        (root, *proof) = _parse_proof(lines[1:])
    except BadInput as error:
        raise WitnessRefused(400, error.problem) from error
    if len(proof) > PROOF_HASHES_MAX or not is_subtree(start, end):
        raise WitnessRefused(400, "The leaves are no subtree, or the proof has more than 63 hashes.")
    return SignSubtree(start, end, root, tuple(proof), note)


def claimed_origin(note: bytes) -> str:
    """Return the origin that a note claims; only a key of that log makes it true.

    Raises:
        WitnessRefused: 400, the note is no checkpoint.
    """
    try:
        return parse_checkpoint_body(unchecked_text(note)).origin
    except NoteMalformed as error:
        raise WitnessRefused(400, error.problem) from error


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request whose checkpoint its log has signed; `open_request` alone makes one.

    Attributes:
        old_size, proof: as the request has them.
        checkpoint: what is to be cosigned.
        lines: the log's own lines of it; anybody can have written the others.
    """

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint
    lines: tuple[SignatureLine, ...]


def open_request(request: AddCheckpoint, *, keys: Mapping[str, Sequence[VerifierKey]]) -> SignedRequest:
    """Return a request once its log's signature is checked; it needs no memory, so nobody has to wait for it.

    Args:
        request: what somebody asks who says to be a log.
        keys: the keys of each log that the witness knows, by origin.

    Raises:
        WitnessRefused: 400 no checkpoint, 404 unknown log, 403 not signed by it.
    """
    checkpoint = _signed_checkpoint(request.note, keys)
    lines = tuple(_lines_of(request.note, keys[checkpoint.origin]))
    return SignedRequest(request.old_size, request.proof, checkpoint, lines)


def cosign(
    request: SignedRequest,
    *,
    last: Cosigned | None,
    signers: Sequence[Signer],
    now_s: int,
) -> Cosigned:
    """Return what the witness says to a log, and must remember before it says it; `last` itself where that says it.

    Asked again within the same second it has nothing new to say, so nobody makes it write more often by asking. Its
    times never go back, since a smaller tree cannot have been the largest seen at a later time.

    Args:
        request: what a log asks.
        last: what it cosigned last of that log; None where it never did.
        signers: the witness's own keys, one line each.
        now_s: seconds since 1970-01-01 UTC.

    Raises:
        WitnessRefused: see `judge`.
    """
    checkpoint = judge(request, seen={} if last is None else {last.checkpoint.origin: last.checkpoint})
    if last is not None:
        now_s = max(now_s, last.at_s)
        if (checkpoint, now_s) == (last.checkpoint, last.at_s) and last.answer:
            return last
    body = checkpoint.body()
    answer = [sign_line(body, signer, now_s=now_s) for signer in signers]
    note = body + b"\n" + b"".join(line.text for line in [*request.lines, *answer])
    return Cosigned(checkpoint, now_s, note, b"".join(line.text for line in answer))


def cosign_subtree(
    request: SignSubtree,
    *,
    keys: Mapping[str, Sequence[VerifierKey]],
    own: Sequence[VerifierKey],
    last: Checkpoint | None,
    signer: SubtreeSigner,
) -> bytes:
    """Return the witness's line over a part of a tree that it has cosigned whole; it remembers nothing of it.

    The note alone would not do: whoever has stolen a key of the witness can write one over any tree, and the line over
    the part that is the whole of it would then say of a fork what only the witness itself may say.

    Args:
        request: what somebody asks.
        keys: the keys of each log that the witness knows, by origin.
        own: the witness's own keys that have neither ended nor been revoked; one of them must have cosigned the whole.
        last: what the witness remembers as the checkpoint of that log that it cosigned last; None where it never did.
        signer: its ML-DSA-44 key; the line has time 0, since a part makes no claim to be the largest seen.

    Raises:
        WitnessRefused: 404 unknown log, 403 not signed by it and by this witness, or not as the witness remembers it,
            400 the part reaches beyond the tree, 422 the proof does not show it there.

    Source: c2sp.org/tlog-witness, "sign-subtree".
    """
    checkpoint = _signed_checkpoint(request.note, keys, own)
    if last is None or checkpoint.size > last.size or (checkpoint.size == last.size and checkpoint != last):
        raise WitnessRefused(403, "This witness remembers no such checkpoint of the log.")
    if request.end > checkpoint.size:
        raise WitnessRefused(400, "The subtree reaches beyond the tree.")
    try:
        check_subtree_consistency(
            request.proof,
            start=request.start,
            end=request.end,
            subtree=request.root,
            size=checkpoint.size,
            root=checkpoint.root,
        )
    except ProofRejected as error:
        raise WitnessRefused(422, "The proof does not show the subtree in the tree.") from error
    signed = signer.sign_subtree(origin=checkpoint.origin, start=request.start, end=request.end, root=request.root)
    return SignatureLine(signer.verifier_key.name, signer.verifier_key.key_id, signed).text


def judge(request: SignedRequest, *, seen: Mapping[str, Checkpoint]) -> Checkpoint:
    """Return the checkpoint that the witness may cosign.

    Args:
        request: what a log asks.
        seen: the checkpoint that the witness cosigned last, by origin.

    Raises:
        WitnessRefused: as c2sp.org/tlog-witness orders it, after what `open_request` refuses: 400 the old size exceeds
            the new one, 409 the witness has seen another size, 422 the two cannot be one log's.
    """
    checkpoint = request.checkpoint
    last = seen.get(checkpoint.origin)
    if request.old_size > checkpoint.size:
        raise WitnessRefused(400, "The old size exceeds the size of the checkpoint.")
    if request.old_size != (last.size if last else 0):
        raise WitnessRefused(409, "The witness has seen another size.", seen_size=last.size if last else 0)
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise WitnessRefused(422, "An empty log has a root that no empty log has.")
    if last is None or last.size == 0:
        if request.proof:
            raise WitnessRefused(422, "A proof from nothing proves nothing.")
        return checkpoint
    try:
        check_consistency(
            request.proof,
            old_size=last.size,
            old_root=last.root,
            new_size=checkpoint.size,
            new_root=checkpoint.root,
        )
    except ProofRejected as error:
        raise WitnessRefused(422, "The checkpoint does not grow from the one this witness cosigned.") from error
    return checkpoint


def _signed_checkpoint(
    note: bytes, keys: Mapping[str, Sequence[VerifierKey]], own: Sequence[VerifierKey] = ()
) -> Checkpoint:
    """Return the checkpoint in a note that a known log signed, and one of `own` where there are any."""
    try:
        origin = parse_checkpoint_body(unchecked_text(note)).origin
        if origin not in keys:
            raise WitnessRefused(404, "The witness does not know this log.")
        checkpoint, opened = open_checkpoint(note, origin=origin, keys=[*keys[origin], *own])
    except NoteMalformed as error:
        raise WitnessRefused(400, error.problem) from error
    except SignatureRejected as error:
        raise WitnessRefused(403, error.problem) from error
    if own and not any(each.key in own for each in opened.verified):
        raise WitnessRefused(403, "This witness has not cosigned the checkpoint.")
    return checkpoint


def _split_request(raw: bytes) -> tuple[list[bytes], bytes]:
    """Return the lines before the first blank one, and the note after it."""
    if len(raw) > REQUEST_SIZE_MAX_BYTES:
        raise WitnessRefused(400, "A request is larger than any can be.")
    head, separator, note = raw.partition(b"\n\n")
    lines = head.split(b"\n", PROOF_HASHES_MAX + 3)
    if not separator:
        raise WitnessRefused(400, "A request has no blank line before its checkpoint.")
    return lines, note


def _parse_proof(lines: Sequence[bytes]) -> tuple[bytes, ...]:
    proof = tuple(from_base64(line) for line in lines)
    if any(len(each) != HASH_SIZE_BYTES for each in proof):
        raise WitnessRefused(400, "A hash of a proof is not 32 bytes.")
    return proof


def _proof_lines(proof: Sequence[bytes]) -> str:
    return "".join(f"{to_base64(each)}\n" for each in proof)


def _lines_of(note: bytes, keys: Sequence[VerifierKey]) -> list[SignatureLine]:
    """Return the signature lines of a note that name one of these keys."""
    names = {(key.name, key.key_id) for key in keys}
    body = unchecked_text(note)
    return [line for line in parse_lines(note[len(body) + 1 :]) if (line.name, line.key_id) in names]
