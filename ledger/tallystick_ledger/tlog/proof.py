"""Proof files: an entry's place in a log, its inclusion proof and the signed checkpoint, checked without the log.

Pure: bytes in, values out. Such a file is as good as a signature by the log and its witnesses over the entry.

Source: c2sp.org/tlog-proof.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tallystick_ledger.encoding import from_base64, to_base64
from tallystick_ledger.errors import BadInput, ProofMalformed
from tallystick_ledger.tlog.checkpoint import Checkpoint, open_checkpoint
from tallystick_ledger.tlog.hashing import HASH_SIZE_BYTES, leaf_hash
from tallystick_ledger.tlog.head import parse_decimal
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import PROOF_HASHES_MAX, SIZE_MAX, check_inclusion
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES

EXTRA_SIZE_MAX_BYTES = 64 * 1024

PROOF_SIZE_MAX_BYTES = NOTE_SIZE_MAX_BYTES + 2 * EXTRA_SIZE_MAX_BYTES
"""Room for the largest note, the largest extra in base64, and all the hashes."""

PROOF_HEADER = b"c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """What a proof file says; nothing of it is checked yet.

    Attributes:
        index: zero-based position of the entry in the log.
        hashes: sibling hashes, leaf side first, at most 63.
        checkpoint: the signed checkpoint, byte for byte as its log and witnesses signed it.
        extra: 1 byte to 64 KiB for the application, or None; nobody signs it, so believe nothing in it.

    Raises:
        ProofMalformed: no proof file can say that.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index <= SIZE_MAX:
            raise _malformed("The index of a proof is 2^63 or more.")
        if len(self.hashes) > PROOF_HASHES_MAX:
            raise _malformed("A proof has more than 63 hashes.")
        if any(len(each) != HASH_SIZE_BYTES for each in self.hashes):
            raise _malformed("A hash of a proof is not 32 bytes.")
        if not 1 <= len(self.checkpoint) <= NOTE_SIZE_MAX_BYTES:
            raise _malformed("A proof has no checkpoint, or one that is too large.")
        if self.extra is not None and not 1 <= len(self.extra) <= EXTRA_SIZE_MAX_BYTES:
            raise _malformed("The extra of a proof is empty or larger than 64 KiB.")

    def encode(self) -> bytes:
        """Return the proof as a `.tlog-proof` file."""
        extra = [] if self.extra is None else [f"extra {to_base64(self.extra)}"]
        lines = [*extra, f"index {self.index}", *map(to_base64, self.hashes)]
        return PROOF_HEADER + b"\n" + "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint


def parse_proof(raw: bytes) -> InclusionProof:
    """Return what a `.tlog-proof` file says, unchecked.

    Raises:
        ProofMalformed: the bytes are not the one spelling of any proof.
    """
    if len(raw) > PROOF_SIZE_MAX_BYTES:
        raise _malformed("A proof file is too large.")
    # The first blank line ends the proof; those in the checkpoint come later.
    head, blank, checkpoint = raw.partition(b"\n\n")
    header, *lines = head.split(b"\n")
    if not blank or header != PROOF_HEADER:
        raise _malformed("A proof does not begin with its header, or has no blank line before its checkpoint.")
    try:
        extra = from_base64(lines.pop(0)[6:]) if lines and lines[0].startswith(b"extra ") else None
        if not lines or not lines[0].startswith(b"index "):
            raise _malformed("A proof has no index where it must stand.")
        index = parse_decimal(lines.pop(0)[6:])
        return InclusionProof(index, tuple(from_base64(line) for line in lines), checkpoint, extra)
    except BadInput as error:
        raise _malformed(error.problem) from error


def check_proof(proof: InclusionProof, *, entry: bytes, origin: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Return the checkpoint that holds `entry`, once its signature and the proof are checked.

    How many witnesses must have signed is for a policy to say: `Policy.check` opens the checkpoint under one, and
    `check_entry` does the rest.

    Args:
        proof: from `parse_proof`.
        entry: the exact bytes in question, which the caller has from elsewhere.
        origin: the log that must hold it.
        keys: keys of the log, and of the cosigners whose lines are to be checked as well.

    Raises:
        NoteMalformed: the checkpoint is none.
        SignatureRejected: the checkpoint is not signed by that log, or a line of a given key is wrong.
        ProofRejected: the entry is not at that place in that tree.

    Source: c2sp.org/tlog-proof.
    """
    checkpoint, _ = open_checkpoint(proof.checkpoint, origin=origin, keys=keys)
    check_entry(proof, entry=entry, checkpoint=checkpoint)
    return checkpoint


def check_entry(proof: InclusionProof, *, entry: bytes, checkpoint: Checkpoint) -> None:
    """Return quietly if the proof shows that the tree of `checkpoint` holds `entry`; raise if it does not.

    Args:
        proof: from `parse_proof`.
        entry: the exact bytes in question.
        checkpoint: opened under keys or a policy the caller trusts, from `proof.checkpoint`.

    Raises:
        ProofRejected: the entry is not at that place in that tree.
    """
    check_inclusion(
        proof.hashes, leaf_hash=leaf_hash(entry), index=proof.index, size=checkpoint.size, root=checkpoint.root
    )


def _malformed(problem: str) -> ProofMalformed:
    return ProofMalformed(problem, remedy="Write proof files as c2sp.org/tlog-proof says.")
