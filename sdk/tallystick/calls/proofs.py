"""Calls to the proof service."""

from collections.abc import Sequence

from tallystick import proven
from tallystick.calls.base import body_of, get_call, search_call, segment
from tallystick.core import Call
from tallystick.errors import require
from tallystick.verify import Verifier
from tallystick.wire import (
    Consistency,
    EntryProof,
    EntryRange,
    FindConsistency,
    FindInclusions,
    FindRange,
    FindSubtree,
    Inclusions,
    SubtreeProof,
)
from tallystick_ledger.tlog.checkpoint import Checkpoint


class ProofCalls:
    """What stands in the node's published ledger, proven, to keep and to show."""

    def get(self, index: int) -> Call[EntryProof]:
        """Return the entry at a zero-based place in the ledger, proven against a published head."""

        def check(proof: EntryProof, verifier: Verifier) -> None:
            verifier.check_proofs([proof])
            require(proof.index == index, "The node proved another entry than the one it was asked for.")

        return get_call(f"/v1/proofs/{segment(str(index))}", EntryProof, check)

    def entries(self, indexes: Sequence[int]) -> Call[Inclusions]:
        """Return 1 to 256 entries by their zero-based places, each proven, all under one published head."""
        body = body_of(lambda: FindInclusions(indexes=list(indexes)))
        return search_call(
            "/v1/proofs/entries",
            body,
            Inclusions,
            lambda told, verifier: proven.check_inclusions(told, verifier, indexes=indexes),
        )

    def range(self, start: int, end: int) -> Call[EntryRange]:
        """Return the entries [start, end), at most 256, with one proof that all of them stand there."""
        body = body_of(lambda: FindRange(start=start, end=end))
        return search_call(
            "/v1/proofs/range",
            body,
            EntryRange,
            lambda told, verifier: proven.check_entry_range(told, verifier, start=start, end=end),
        )

    def renew(self, proof: EntryProof) -> Call[EntryProof]:
        """Return the proof of an entry in hand against the published head, which its witnesses have signed.

        The proof that comes with the reply to a write leads to a head that only the log has signed.

        Args:
            proof: the entry and its place.
        """
        body = body_of(lambda: FindInclusions(indexes=[proof.index]))

        def parse(raw: bytes) -> EntryProof:
            return proven.proof_file(Inclusions.model_validate_json(raw), stated=proof)

        def check(renewed: EntryProof, verifier: Verifier) -> None:
            verifier.check_proofs([renewed])

        return Call("POST", "/v1/proofs/inclusion", body, parse, check)

    def consistency(self, old: Checkpoint, new: Checkpoint | None = None) -> Call[Consistency]:
        """Return the proof that one head of the ledger is the start of another.

        Args:
            old: a head that the caller has checked.
            new: likewise; None: the published head, which comes with the reply.
        """
        body = body_of(lambda: FindConsistency(old_size=old.size, new_size=None if new is None else new.size))
        return search_call(
            "/v1/proofs/consistency",
            body,
            Consistency,
            lambda told, verifier: proven.check_consistent(told, verifier, old=old, new=new),
        )

    def subtree(self, start: int, end: int) -> Call[SubtreeProof]:
        """Return the hash of the subtree over leaves [start, end), proven to stand in the published tree."""
        body = body_of(lambda: FindSubtree(start=start, end=end))
        return search_call(
            "/v1/proofs/subtree",
            body,
            SubtreeProof,
            lambda told, verifier: proven.check_subtree(told, verifier, start=start, end=end),
        )
