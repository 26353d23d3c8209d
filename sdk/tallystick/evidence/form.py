"""Evidence as a file says it: the members of each kind, strictly, before anything of it is checked."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tallystick.evidence.kinds import (
    ANSWER_SIZE_MAX_BYTES,
    EVIDENCE_SIZE_MAX_BYTES,
    FOUND_SIZE_MAX_BYTES,
    KEYS_MAX,
    SHOWN_SIZE_MAX_BYTES,
    Evidence,
    EvidenceMalformed,
    Refusal,
    TwoHeads,
    Withheld,
    WrongLine,
    WrongTile,
)
from tallystick_ledger.encoding import canonical_json, from_base64, parse_json_object
from tallystick_ledger.errors import BadInput
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import (
    PROOF_HASHES_MAX,
)
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES
from tallystick_ledger.tlog.tiles import parse_path


def parse_evidence(raw: bytes) -> Evidence:
    """Return what an evidence file says; nothing of it is checked yet.

    Raises:
        EvidenceMalformed: the bytes are no evidence file of this version.
    """
    if len(raw) > EVIDENCE_SIZE_MAX_BYTES:
        raise _malformed("An evidence file is too large.")
    try:
        file = _FILE.validate_json(canonical_json(parse_json_object(raw)))
        return file.opened()
    except ValidationError as error:
        raise _malformed("An evidence file has other members than its kind.") from error
    except BadInput as error:
        raise _malformed(error.problem) from error


_Note = Annotated[str, Field(min_length=1, max_length=NOTE_SIZE_MAX_BYTES)]
_Hash = Annotated[str, Field(min_length=44, max_length=44)]
_Seconds = Annotated[int, Field(ge=0, lt=253_402_300_800)]  # to the end of the year 9999
_Proof = Annotated[tuple[_Hash, ...], Field(max_length=PROOF_HASHES_MAX + 1)]


class _File(BaseModel):
    """What stands in every kind of evidence file."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    v: Annotated[int, Field(ge=1, le=1)]  # to a `Literal`, true would be 1
    keys: Annotated[tuple[Annotated[str, Field(max_length=3000)], ...], Field(max_length=KEYS_MAX)]

    def _keys(self) -> tuple[VerifierKey, ...]:
        return tuple(VerifierKey.parse(each) for each in self.keys)


class _TwoHeadsFile(_File):
    evidence: Literal["two_heads"]
    older: _Note
    newer: _Note
    root: _Hash
    proof: _Proof

    def opened(self) -> TwoHeads:
        return TwoHeads(
            self._keys(), self.older.encode(), self.newer.encode(), from_base64(self.root), _hashes(self.proof)
        )


class _WrongTileFile(_File):
    evidence: Literal["wrong_tile"]
    head: _Note
    path: Annotated[str, Field(max_length=100)]
    found: Annotated[str, Field(max_length=(FOUND_SIZE_MAX_BYTES + 2) // 3 * 4)]
    root: _Hash
    proof: _Proof

    def opened(self) -> WrongTile:
        parse_path(self.path)
        found, root = from_base64(self.found), from_base64(self.root)
        return WrongTile(self._keys(), self.head.encode(), self.path, found, root, _hashes(self.proof))


class _WrongLineFile(_File):
    evidence: Literal["wrong_line"]
    head: _Note
    line: Annotated[int, Field(ge=0, le=1000)]

    def opened(self) -> WrongLine:
        return WrongLine(self._keys(), self.head.encode(), self.line)


class _RefusalFile(_File):
    evidence: Literal["refusal"]
    head: _Note
    witness: Annotated[str, Field(max_length=255)]
    status: Annotated[int, Field(ge=100, le=599)]
    answer: Annotated[str, Field(max_length=ANSWER_SIZE_MAX_BYTES)]
    shown: Annotated[str, Field(max_length=NOTE_SIZE_MAX_BYTES)]

    def opened(self) -> Refusal:
        return Refusal(self._keys(), self.head.encode(), self.witness, self.status, self.answer, self.shown.encode())


class _WithheldFile(_File):
    evidence: Literal["withheld"]
    head: _Note
    since: _Seconds
    at: _Seconds
    shown: Annotated[str, Field(max_length=(SHOWN_SIZE_MAX_BYTES + 2) // 3 * 4)]

    def opened(self) -> Withheld:
        return Withheld(self._keys(), self.head.encode(), self.since, self.at, from_base64(self.shown))


_FILE: TypeAdapter[_TwoHeadsFile | _WrongTileFile | _WrongLineFile | _RefusalFile | _WithheldFile] = TypeAdapter(
    Annotated[
        _TwoHeadsFile | _WrongTileFile | _WrongLineFile | _RefusalFile | _WithheldFile,
        Field(discriminator="evidence"),
    ]
)


def _hashes(texts: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(from_base64(each) for each in texts)


def _malformed(problem: str) -> EvidenceMalformed:
    return EvidenceMalformed(problem, remedy="Ask whoever made the file for it again.")
