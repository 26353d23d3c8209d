"""Witnessing: what a log asks a witness, and whether the witness may cosign.

Pure: the request and what the witness cosigned last go in; the checkpoint to cosign comes out, or the refusal with its
HTTP status. Who stores the last checkpoint must do so, durably and in one transaction with this judgement, before it
answers: two racing requests could otherwise roll it back.

Source: c2sp.org/tlog-witness (add-checkpoint).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tallystick_ledger.encoding import from_base64, to_base64
from tallystick_ledger.errors import BadInput, NoteMalformed, ProofRejected, SignatureRejected, TallyError
from tallystick_ledger.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.head import parse_decimal
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import EMPTY_ROOT, HASH_SIZE_BYTES, PROOF_HASHES_MAX, check_consistency
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES, unchecked_text

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
        hashes = "".join(f"{to_base64(each)}\n" for each in self.proof)
        return f"old {self.old_size}\n{hashes}\n".encode() + self.note


def parse_add_checkpoint(raw: bytes) -> AddCheckpoint:
    """Return the request in a body.

    Raises:
        WitnessRefused: 400, the body is not one.
    """
    if len(raw) > REQUEST_SIZE_MAX_BYTES:
        raise WitnessRefused(400, "A request is larger than any can be.")
    head, separator, note = raw.partition(b"\n\n")
    lines = head.split(b"\n")
    if not separator or not lines[0].startswith(b"old ") or len(lines) - 1 > PROOF_HASHES_MAX:
        raise WitnessRefused(400, "A request does not begin with the old size and at most 63 hashes.")
    try:
        old_size = parse_decimal(lines[0].removeprefix(b"old "))
        proof = tuple(from_base64(line) for line in lines[1:])
    except BadInput as error:
        raise WitnessRefused(400, error.problem) from error
    if any(len(each) != HASH_SIZE_BYTES for each in proof):
        raise WitnessRefused(400, "A hash of a proof is not 32 bytes.")
    return AddCheckpoint(old_size, proof, note)


def judge(
    request: AddCheckpoint, *, keys: Mapping[str, Sequence[VerifierKey]], seen: Mapping[str, Checkpoint]
) -> Checkpoint:
    """Return the checkpoint that the witness may cosign.

    Args:
        request: what a log asks.
        keys: the keys of each log that the witness knows, by origin.
        seen: the checkpoint that the witness cosigned last, by origin.

    Raises:
        WitnessRefused: as c2sp.org/tlog-witness orders it: 404 unknown log, 403 not signed by it, 400 the old size
            exceeds the new one, 409 the witness has seen another size, 422 the two cannot be one log's.
    """
    checkpoint = _signed_checkpoint(request.note, keys)
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


def _signed_checkpoint(note: bytes, keys: Mapping[str, Sequence[VerifierKey]]) -> Checkpoint:
    """Return the checkpoint in a note that a known log signed."""
    try:
        origin = parse_checkpoint_body(unchecked_text(note)).origin
        if origin not in keys:
            raise WitnessRefused(404, "The witness does not know this log.")
        checkpoint, _ = open_checkpoint(note, origin=origin, keys=keys[origin])
    except NoteMalformed as error:
        raise WitnessRefused(400, error.problem) from error
    except SignatureRejected as error:
        raise WitnessRefused(403, error.problem) from error
    return checkpoint
