"""What makes a node's reply believable: proofs under its log's key, and a ledger that says what the reply says.

Pure. Each check raises; none returns whether. What is checked is what an app can check alone: that the entry is in
the log that the node signed, that this log has one history as far as this client saw, and that the entry is of the
thing in the reply. That no two clients are shown two histories is for witnesses and audits.

Source: DESIGN sections 3 and 4, docs/protocol.md.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tallystick.descriptor import Descriptor
from tallystick.errors import ReplyForged, forged
from tallystick.evidence import TwoHeads
from tallystick.growth import LedgerForked, SeenHead
from tallystick.wire import Act, Correction, EntryProof, Event, Program, Receipt, RecordEvent
from tallystick_consent.events import MEDIA_TYPE
from tallystick_consent.places import host_of_log
from tallystick_consent.program import parse_program
from tallystick_consent.receipts.evidence import RECORD_MEDIA_TYPE
from tallystick_consent.receipts.receipt import parse_terms
from tallystick_ledger.encoding import canonical_json, from_base64url, parse_canonical_json
from tallystick_ledger.entry import Entry, parse_entry
from tallystick_ledger.errors import TallyError
from tallystick_ledger.tlog.checkpoint import Checkpoint, open_checkpoint
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.proof import check_entry, parse_proof
from tallystick_ledger.vault import Opening, check_commitment

HEADS_MAX = 64
"""Logs whose heads a client remembers: one a year."""

PROOFS_MAX = 1_000
"""Proofs that one reply may hold."""


class HeadMemory:
    """The largest head seen of each log, so that a log which shows two of one size is caught."""

    def __init__(self) -> None:
        """Begin without having seen any."""
        self._heads: dict[str, SeenHead] = {}

    def see(self, checkpoint: Checkpoint, *, note: bytes, keys: Sequence[VerifierKey] = ()) -> None:
        """Remember a head whose signature is checked. A smaller one is no lie: replies overtake each other.

        How a larger one continues it, a reply does not show; `following.Follower` asks for that.

        Args:
            checkpoint: what the head says.
            note: as it was signed.
            keys: the log's keys, for the evidence.

        Raises:
            LedgerForked: the log has signed another root for the same size; the evidence is in the error.
            ReplyForged: it is of one log more than are remembered.
        """
        known = self._heads.get(checkpoint.origin)
        if known is None and len(self._heads) >= HEADS_MAX:
            raise ReplyForged(
                "A node shows heads of more logs than any company has.",
                remedy="Take it up with the node's operator; none that was seen is forgotten for a new one.",
            )
        if known is None or checkpoint.size > known.checkpoint.size:
            self._heads[checkpoint.origin] = SeenHead(checkpoint, note)
        elif known.checkpoint.size == checkpoint.size and known.checkpoint.root != checkpoint.root:
            raise LedgerForked(TwoHeads(tuple(keys), known.note, note, checkpoint.root, ()), note)


class Verifier:
    """Checks replies of one node under the keys of its descriptor."""

    def __init__(self, descriptor: Descriptor, heads: HeadMemory) -> None:
        """Believe the node of this descriptor as far as it proves what it says."""
        self._descriptor = descriptor
        self._heads = heads
        self._opened: dict[bytes, Checkpoint] = {}  # the proofs of one reply nearly always lead to one head

    def check_head(self, note: bytes) -> Checkpoint:
        """Return a head that one of the node's logs signed; its signatures are checked once, however often it stands.

        Raises:
            ReplyForged: it is of somebody else's log, or the log has signed another root for the same size.
            NoteMalformed, SignatureRejected: it is no checkpoint, or not signed by that log.
        """
        checkpoint = self._opened.get(note)
        if checkpoint is None:
            origin = self._origin(note)
            keys = self._descriptor.log_keys(origin)
            checkpoint, _ = open_checkpoint(note, origin=origin, keys=keys)
            self._heads.see(checkpoint, note=note, keys=keys)
            if len(self._opened) < HEADS_MAX:
                self._opened[note] = checkpoint
        return checkpoint

    def check_proofs(self, proofs: Sequence[EntryProof]) -> list[Entry]:
        """Return the entries, each shown to stand in the node's log; as many as there are proofs.

        Raises:
            ReplyForged: one of them is not shown to.
        """
        if len(proofs) > PROOFS_MAX:
            raise forged("A reply has more proofs than a write can need.")
        return [self._check_proof(each) for each in proofs]

    def check_recorded(self, event: Event, sent: RecordEvent) -> None:
        """Return quietly if the ledger holds this event, just as it was sent.

        Raises:
            ReplyForged: it does not.
        """
        _require_proofs(event.proofs)
        payload = self.check_event(event)
        said = {"type": sent.type, "subject": sent.subject, "data": sent.data}
        if sent.receipt is not None:
            said["tallyreceipt"] = sent.receipt
        _require_same(said, payload, "The node recorded another event than the one it was sent.")

    def check_event(self, event: Event) -> Mapping[str, Any]:
        """Return the event's payload, shown to be what the ledger committed to as far as the reply has proofs.

        Raises:
            ReplyForged: the payload is of another event, or no proven entry commits to it.
        """
        opening = event.opening
        try:
            opened = Opening(from_base64url(opening.salt), from_base64url(opening.payload))
            payload = parse_canonical_json(opened.payload)
        except TallyError as error:
            raise forged("An event's payload is not one that a node seals.") from error
        said = {
            "id": event.event,
            "type": event.type,
            "tallyreceipt": event.receipt,
            "source": f"//{self._descriptor.host}",
        }
        _require_same(said, payload, "An event's payload is of another event than the reply says.")
        if opening.media_type != MEDIA_TYPE:
            raise forged("An event's payload is of another media type.")
        if event.proofs:
            entry = _require_one(
                self.check_proofs(event.proofs),
                lambda each: each.kind == "event" and each.id == event.event and each.at_s == event.recorded_at,
                "No proven entry is of the event in the reply.",
            )
            self._check_commitment(entry, opened)
        return payload

    def check_act(self, act: Act) -> None:
        """Return quietly if an opened record is the one that its commitment stands for.

        Raises:
            ReplyForged: it is not.
        """
        try:
            check_commitment(
                from_base64url(act.commitment),
                Opening(from_base64url(act.opening.salt), from_base64url(act.opening.payload)),
                origin=self._descriptor.host,
                entry_id=act.act,
                media_type=RECORD_MEDIA_TYPE,
            )
        except TallyError as error:
            raise forged("A record does not open its commitment.") from error

    def check_receipt(self, receipt: Receipt) -> None:
        """Return quietly if a receipt is whole: its notice and its terms are those that it names, its proofs hold.

        Raises:
            ReplyForged: it is not.
        """
        self._proven_receipt(receipt)

    def check_receipt_written(self, receipt: Receipt, *, state: str) -> None:
        """Return quietly if the ledger says that the receipt is now in `state`, with these very terms.

        Raises:
            ReplyForged: it does not.
        """
        if receipt.state != state:
            raise forged("A receipt is in another state than the one it was to be in.")
        _require_proofs(receipt.proofs)
        entries = self._proven_receipt(receipt)
        said = {
            "receipt": receipt.receipt,
            "version": receipt.version,
            "state": receipt.state,
            "terms": parse_terms(receipt.terms).digest(),
        }
        _require_one(
            entries,
            lambda each: each.kind == "receipt" and _says(each.body, said),
            "No proven entry is of the receipt and state in the reply.",
        )

    def check_program(self, program: Program) -> None:
        """Return quietly if a program's digest is that of its text, and its proofs hold.

        Raises:
            ReplyForged: not so.
        """
        self._proven_program(program)

    def check_program_written(self, program: Program) -> None:
        """Return quietly if the ledger holds this version of the program, or the agreement to it.

        Raises:
            ReplyForged: it does not.
        """
        _require_proofs(program.proofs)
        entries = self._proven_program(program)
        said = {
            "program": program.program["program"],
            "program_version": program.program["version"],
            "digest": program.digest,
        }
        _require_one(
            entries,
            lambda each: each.kind in ("program", "agreement") and _says(each.body, said),
            "No proven entry is of the program in the reply.",
        )

    def check_correction_written(self, correction: Correction) -> None:
        """Return quietly if the ledger holds this correction.

        Raises:
            ReplyForged: it does not.
        """
        _require_proofs(correction.proofs)
        _require_one(
            self.check_proofs(correction.proofs),
            lambda each: each.kind == "correction" and each.id == correction.correction,
            "No proven entry is of the correction in the reply.",
        )

    def _check_proof(self, stated: EntryProof) -> Entry:
        try:
            raw = stated.entry.encode()
            proof = parse_proof(stated.proof.encode())
            if proof.index != stated.index:
                raise forged("A proof is of another place in the ledger than the reply says.")
            check_entry(proof, entry=raw, checkpoint=self.check_head(proof.checkpoint))
            entry = parse_entry(raw)
        except ReplyForged:
            raise
        except (TallyError, UnicodeError) as error:
            raise forged("A reply's proof does not show its entry in the node's ledger.") from error
        return entry

    def _origin(self, note: bytes) -> str:
        """Return the origin that a checkpoint states, once it is one of this node's logs."""
        origin = note.partition(b"\n")[0].decode()
        if host_of_log(origin) != self._descriptor.host:
            raise forged("A proof is against the log of somebody else.")
        return origin

    def _check_commitment(self, entry: Entry, opening: Opening) -> None:
        try:
            check_commitment(
                from_base64url(str(entry.body.get("commitment"))),
                opening,
                origin=self._descriptor.host,
                entry_id=entry.id,
                media_type=MEDIA_TYPE,
            )
        except TallyError as error:
            raise forged("An event's payload does not open the commitment in the ledger.") from error

    def _proven_receipt(self, receipt: Receipt) -> list[Entry]:
        try:
            terms = parse_terms(receipt.terms)
        except TallyError as error:
            raise forged("A receipt's terms are not of their form.") from error
        if (terms.receipt, terms.version) != (receipt.receipt, receipt.version):
            raise forged("A receipt's terms are of another receipt.")
        if terms.notice != receipt.notice.digest():
            raise forged("A receipt's notice is not the one that its terms bind.")
        return self.check_proofs(receipt.proofs)

    def _proven_program(self, program: Program) -> list[Entry]:
        try:
            digest = parse_program(program.program).digest()
        except TallyError as error:
            raise forged("A program is not of its form.") from error
        if digest != program.digest:
            raise forged("A program's digest is not that of its text.")
        return self.check_proofs(program.proofs)


def _require_proofs(proofs: Sequence[EntryProof]) -> None:
    if not proofs:
        raise forged("A node says that it wrote, and proves nothing.")


def _require_one(entries: Iterable[Entry], is_it: Callable[[Entry], bool], problem: str) -> Entry:
    for entry in entries:
        if is_it(entry):
            return entry
    raise forged(problem)


def _require_same(said: Mapping[str, object], found: Mapping[str, Any], problem: str) -> None:
    if not _says(found, said):
        raise forged(problem)


def _says(found: Mapping[str, Any], said: Mapping[str, object]) -> bool:
    """Compare by canonical JSON, since Python takes 1 for True; members that nothing was said of may be there."""
    there = {name: found[name] for name in said if name in found}
    return canonical_json(there) == canonical_json(dict(said))
