"""The kinds of evidence: what each holds, what it shows under a log's keys, and how it is made and written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeAlias

from tallystick_ledger.encoding import to_base64
from tallystick_ledger.errors import BadInput, ProofRejected, SignatureRejected, TallyError
from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.keys import COSIGNATURE_ED25519, VerifierKey
from tallystick_ledger.tlog.merkle import (
    HASH_SIZE_BYTES,
    Frontier,
    HashReader,
    check_consistency,
    prove_consistency,
    root_at,
)
from tallystick_ledger.tlog.note import SignatureLine, parse_lines, unchecked_text
from tallystick_ledger.tlog.subtree import check_subtree_consistency, prove_subtree_consistency, subtree_hash
from tallystick_ledger.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, TilePath, parse_path, split_tile

EVIDENCE_SIZE_MAX_BYTES = 2 * 1024 * 1024
"""Room for two of the largest notes, and keys."""

KEYS_MAX = 64
FOUND_SIZE_MAX_BYTES = TILE_WIDTH * HASH_SIZE_BYTES + 1
"""A tile that was too long is kept up to its first byte too many."""

ANSWER_SIZE_MAX_BYTES = 64 * 1024

SHOWN_SIZE_MAX_BYTES = 64 * 1024
"""More than any head that witnesses have cosigned."""

_MINUTE = "%Y-%m-%d %H:%M"


class EvidenceMalformed(BadInput):
    """A file is not evidence as this version writes it."""

    code = "evidence_malformed"


class EvidenceRejected(TallyError):
    """Evidence does not show what it says, under the keys it was checked with."""

    code = "evidence_rejected"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What evidence shows, once it is checked.

    Attributes:
        origin: the log it is about.
        accuses: whether it convicts the holder of `keys`; where not, it shows a fault and not whose it is.
        keys: the log's keys under which it holds; where they are not the log's, it says nothing about the log.
        cosigners: the witnesses, among the keys it was checked with, that cosigned both of two heads.
        sizes: of the heads in it, leaves.
        problem: what is wrong, one sentence.
    """

    origin: str
    accuses: bool
    keys: tuple[VerifierKey, ...]
    cosigners: tuple[VerifierKey, ...]
    sizes: tuple[int, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class TwoHeads:
    """Two signed heads of which at least one is a lie.

    Attributes:
        keys: the log's keys, as whoever made the file believes; who checks it brings their own.
        older: the note of the smaller head, or of either.
        newer: the note of the larger one.
        root: the root that the newer head's tree has at the older one's size, 32 bytes.
        proof: the consistency proof between the two sizes, from the newer head's tree.
    """

    KIND: ClassVar[str] = "two_heads"

    keys: tuple[VerifierKey, ...]
    older: bytes
    newer: bytes
    root: bytes
    proof: tuple[bytes, ...]

    def check(self, keys: Sequence[VerifierKey], cosigners: Sequence[VerifierKey] = ()) -> Verdict:
        """Return the verdict on the log.

        Args:
            keys: known to be the log's; where one of a witness is among them, it must not bear the log's name.
            cosigners: its witnesses' keys, which convict nobody, whatever name they bear.

        Raises:
            EvidenceRejected: one of the heads is not signed by the log, or one history can have both.
        """
        older, by_older = _open(self.older, keys, cosigners)
        newer, by_newer = _open(self.newer, keys, cosigners)
        if older.origin != newer.origin:
            raise _rejected("The two heads are of two logs.")
        try:
            check_consistency(
                self.proof, old_size=older.size, old_root=self.root, new_size=newer.size, new_root=newer.root
            )
        except ProofRejected as error:
            raise _rejected("Nothing shows that the two heads are not of one history.") from error
        if self.root == older.root:
            raise _rejected("The two heads are of one history.")
        problem = "It has signed two roots for one size."
        if older.size != newer.size:
            problem = "It has signed a head that does not continue an earlier one."
        return Verdict(
            origin=older.origin,
            accuses=True,
            keys=_of_log(by_older | by_newer, older.origin, keys),
            cosigners=_others(by_older & by_newer, older.origin, keys, cosigners),
            sizes=(older.size, newer.size),
            problem=problem,
        )

    def encode(self) -> bytes:
        """Return the evidence file."""
        return _encode(
            self.KIND,
            keys=_texts(self.keys),
            older=self.older.decode(),
            newer=self.newer.decode(),
            root=to_base64(self.root),
            proof=[to_base64(each) for each in self.proof],
        )


@dataclass(frozen=True, slots=True)
class WrongTile:
    """A tile or bundle that is not the one that a signed head covers.

    Attributes:
        keys: as in `TwoHeads`.
        head: the note of the head.
        path: of the tile or bundle below the log's prefix, such as `tile/0/000.p/7`.
        found: the tile's bytes, at most `FOUND_SIZE_MAX_BYTES` of them; of a bundle the leaf hashes of its entries, so
            that no entry travels in evidence, and nothing where it cannot be taken apart.
        root: the hash over what the head covers at that place, 32 bytes.
        proof: the subtree consistency proof from `root` to the head.
    """

    KIND: ClassVar[str] = "wrong_tile"

    keys: tuple[VerifierKey, ...]
    head: bytes
    path: str
    found: bytes
    root: bytes
    proof: tuple[bytes, ...]

    def check(self, keys: Sequence[VerifierKey], cosigners: Sequence[VerifierKey] = ()) -> Verdict:
        """Return the verdict on the bytes; it accuses nobody of having served them.

        Raises:
            EvidenceRejected: the head is not signed by the log, the proof does not lead to it, or the bytes are right.
        """
        head, signed = _open(self.head, keys, cosigners)
        start, end, width = _leaves(self.path)
        try:
            check_subtree_consistency(
                self.proof, start=start, end=end, subtree=self.root, size=head.size, root=head.root
            )
        except ProofRejected as error:
            raise _rejected("Nothing shows what the head covers at that place.") from error
        problem = f"What was served as {self.path} has another width than its place asks for."
        if len(self.found) == width * HASH_SIZE_BYTES:
            if Frontier.empty().extend(split_tile(self.found, width=width)).root() == self.root:
                raise _rejected("What was served is what the head covers.")
            problem = f"What was served as {self.path} is not what the head covers."
        return Verdict(head.origin, False, _of_log(signed, head.origin, keys), (), (head.size,), problem)

    def encode(self) -> bytes:
        """Return the evidence file."""
        return _encode(
            self.KIND,
            keys=_texts(self.keys),
            head=self.head.decode(),
            path=self.path,
            found=to_base64(self.found),
            root=to_base64(self.root),
            proof=[to_base64(each) for each in self.proof],
        )


@dataclass(frozen=True, slots=True)
class WrongLine:
    """A signature line that does not verify.

    Attributes:
        keys: the key that the line names.
        head: the note.
        line: zero-based, which of its signature lines.
    """

    KIND: ClassVar[str] = "wrong_line"

    keys: tuple[VerifierKey, ...]
    head: bytes
    line: int

    def check(self, keys: Sequence[VerifierKey], cosigners: Sequence[VerifierKey] = ()) -> Verdict:
        """Return the verdict on the line; it accuses nobody of having written it.

        Raises:
            EvidenceRejected: there is no such line, it is of another key, or it is right.
        """
        try:
            body = unchecked_text(self.head)
            head, lines = parse_checkpoint_body(body), parse_lines(self.head[len(body) + 1 :])
        except BadInput as error:
            raise _rejected(error.problem) from error
        for line in lines[self.line : self.line + 1]:
            for key in (*keys, *cosigners):
                if (key.name, key.key_id) == (line.name, line.key_id) and not _is_signed(body, line, key):
                    problem = f"Line {self.line} of the head is no signature of {key.name}+{key.key_id.hex()}."
                    return Verdict(head.origin, False, (key,), (), (head.size,), problem)
        raise _rejected("The line verifies, or is of none of the keys.")

    def encode(self) -> bytes:
        """Return the evidence file."""
        return _encode(self.KIND, keys=_texts(self.keys), head=self.head.decode(), line=self.line)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a witness refused a head, kept by the log that it refused.

    Attributes:
        keys: the log's keys.
        head: the note that the log asked to have cosigned.
        witness: the witness's name.
        status: the HTTP status of its answer.
        answer: its body, text of at most `ANSWER_SIZE_MAX_BYTES`, and empty where it was none.
        shown: the note that the witness shows as the last it cosigned, empty where it shows none that is one.
    """

    KIND: ClassVar[str] = "refusal"

    keys: tuple[VerifierKey, ...]
    head: bytes
    witness: str
    status: int
    answer: str
    shown: bytes = b""

    def check(self, keys: Sequence[VerifierKey], cosigners: Sequence[VerifierKey] = ()) -> Verdict:
        """Return the verdict: only that the log had signed what was refused, and what the witness shows.

        Raises:
            EvidenceRejected: one of the heads is not signed by the log.
        """
        head, signed = _open(self.head, keys, cosigners)
        sizes, problem = [head.size], f"The witness {self.witness} refused its head with status {self.status}."
        if self.shown:
            shown, _ = _open(self.shown, keys, cosigners)
            if shown.origin != head.origin:
                raise _rejected("The two heads are of two logs.")
            sizes.append(shown.size)
            problem += f" It shows a head of {shown.size} entries, which the log signed too."
        return Verdict(head.origin, False, _of_log(signed, head.origin, keys), (), tuple(sizes), problem)

    def encode(self) -> bytes:
        """Return the evidence file."""
        return _encode(
            self.KIND,
            keys=_texts(self.keys),
            head=self.head.decode(),
            witness=self.witness,
            status=self.status,
            answer=self.answer,
            shown=self.shown.decode(),
        )


@dataclass(frozen=True, slots=True)
class Withheld:
    """What was shown in the place of a log that had shown more before, kept by who follows it.

    Attributes:
        keys: the log's keys.
        head: the note that the log had signed and shown.
        since_s: when what it had shown was first missed, seconds since 1970-01-01 UTC.
        at_s: when it was looked for last.
        shown: what was shown in its place, its first `SHOWN_SIZE_MAX_BYTES`; empty where there was no log any more.
    """

    KIND: ClassVar[str] = "withheld"

    keys: tuple[VerifierKey, ...]
    head: bytes
    since_s: int
    at_s: int
    shown: bytes = b""

    def check(self, keys: Sequence[VerifierKey], cosigners: Sequence[VerifierKey] = ()) -> Verdict:
        """Return the verdict: that the log has signed the head, and what whoever made the file says it found instead.

        Nobody signs what is not there. Whoever was not there knows from this file only what the log owes: to show
        the head, or one that continues it.

        Raises:
            EvidenceRejected: the head is not signed by the log, or what was shown is a head of it that is no smaller.
        """
        head, signed = _open(self.head, keys, cosigners)
        sizes = [head.size]
        if not self.shown:
            found = "found no log in its place"
        else:
            smaller = _signed_head(self.shown, head.origin, keys, cosigners)
            if smaller is None:
                found = "found something else in its place, which the log has not signed"
            elif smaller.size < head.size:
                found = f"found a head of {smaller.size} entries in its place, which the log has signed too"
                sizes.append(smaller.size)
            else:
                raise _rejected("What was shown is a head of the log that is no smaller.")
        times = " and ".join(datetime.fromtimestamp(each, UTC).strftime(_MINUTE) for each in (self.since_s, self.at_s))
        problem = f"It has signed a head of {head.size} entries. Whoever made this file {found}, at {times} UTC."
        return Verdict(head.origin, False, _of_log(signed, head.origin, keys), (), tuple(sizes), problem)

    def encode(self) -> bytes:
        """Return the evidence file."""
        return _encode(
            self.KIND,
            keys=_texts(self.keys),
            head=self.head.decode(),
            since=self.since_s,
            at=self.at_s,
            shown=to_base64(self.shown),
        )


Evidence: TypeAlias = TwoHeads | WrongTile | WrongLine | Refusal | Withheld


def two_heads(first: bytes, second: bytes, *, keys: Sequence[VerifierKey], read: HashReader) -> TwoHeads:
    """Return the evidence of two heads that contradict each other, in whichever order they came.

    Args:
        first: a signed note.
        second: another one.
        keys: the log's keys.
        read: hashes of the larger head's tree, which lead to its root; not read where both are of one size.

    Raises:
        BadInput: a head is no checkpoint, or the smaller one is of an empty log.
    """
    notes = sorted((first, second), key=lambda note: parse_checkpoint_body(unchecked_text(note)).size)
    older, newer = (parse_checkpoint_body(unchecked_text(note)) for note in notes)
    if older.size == newer.size:
        return TwoHeads(tuple(keys), notes[0], notes[1], newer.root, ())
    proof = prove_consistency(older.size, new_size=newer.size, read=read)
    return TwoHeads(tuple(keys), notes[0], notes[1], root_at(older.size, read), tuple(proof))


def wrong_tile(head: bytes, path: str, found: bytes, *, keys: Sequence[VerifierKey], read: HashReader) -> WrongTile:
    """Return the evidence of a tile or bundle that is not the log's.

    Args:
        head: the signed note.
        path: of the tile or bundle, below the log's prefix.
        found: what `WrongTile.found` says.
        keys: the log's keys.
        read: hashes that lead to the head's root, such as those of the entries.

    Raises:
        BadInput: the path is none, or lies outside of the head's tree.
    """
    size = parse_checkpoint_body(unchecked_text(head)).size
    start, end, _ = _leaves(path)
    proof = prove_subtree_consistency(start, end, size=size, read=read)
    return WrongTile(
        tuple(keys), head, path, found[:FOUND_SIZE_MAX_BYTES], subtree_hash(start, end, read), tuple(proof)
    )


def _encode(kind: str, **members: Any) -> bytes:
    """Return the file, indented for the eye: nothing is signed or hashed over its own bytes."""
    return json.dumps({"v": 1, "evidence": kind, **members}, indent=1, ensure_ascii=False).encode() + b"\n"


def _texts(keys: Sequence[VerifierKey]) -> list[str]:
    return [key.text for key in keys]


def _leaves(path: str) -> tuple[int, int, int]:
    """Return the leaves [start, end) under a tile or bundle, and how many hashes stand for them."""
    place = parse_path(path)
    height = TILE_HEIGHT * place.level if isinstance(place, TilePath) else 0
    first = place.index * TILE_WIDTH
    return first << height, (first + place.width) << height, place.width


def _open(
    note: bytes, keys: Sequence[VerifierKey], cosigners: Sequence[VerifierKey]
) -> tuple[Checkpoint, frozenset[VerifierKey]]:
    """Return a head that the log itself signed, and who of `keys` and `cosigners` signed it.

    Each line is looked at alone: one that is wrong beside a good one must not save who wrote both.
    """
    try:
        body = unchecked_text(note)
        head, lines = parse_checkpoint_body(body), parse_lines(note[len(body) + 1 :])
    except BadInput as error:
        raise _rejected(error.problem) from error
    signed = frozenset(key for key in (*keys, *cosigners) if any(_is_signed(body, line, key) for line in lines))
    if not _of_log(signed, head.origin, keys):
        raise _rejected("A head in it is not signed by the log under these keys.")
    return head, signed


def _signed_head(
    note: bytes, origin: str, keys: Sequence[VerifierKey], cosigners: Sequence[VerifierKey]
) -> Checkpoint | None:
    """Return the head of a log that a note is, None where the log has not signed it."""
    try:
        head, _ = _open(note, keys, cosigners)
    except EvidenceRejected:
        return None
    return head if head.origin == origin else None


def _is_signed(body: bytes, line: SignatureLine, key: VerifierKey) -> bool:
    if (line.name, line.key_id) != (key.name, key.key_id):
        return False
    try:
        key.check(body, line.payload)
    except SignatureRejected:
        return False
    return True


def _of_log(signed: frozenset[VerifierKey], origin: str, keys: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Return those of the signers that are the log itself: it never cosigns as a witness under its own name."""
    return tuple(key for key in keys if key in signed and key.name == origin and key.kind != COSIGNATURE_ED25519)


def _others(
    signed: frozenset[VerifierKey], origin: str, keys: Sequence[VerifierKey], cosigners: Sequence[VerifierKey]
) -> tuple[VerifierKey, ...]:
    """Return those of the signers that are witnesses."""
    return tuple(
        dict.fromkeys(key for key in (*keys, *cosigners) if key in signed and (key.name != origin or key in cosigners))
    )


def _rejected(problem: str) -> EvidenceRejected:
    return EvidenceRejected(problem, remedy="Believe nothing on the strength of this file; check the keys.")
