"""Signed notes: a text, a blank line, and signature lines.

Pure: bytes in, bytes out; the time is passed in. Parsing works on bytes and splits at LF alone, since
`str.splitlines` also breaks at characters that a signer may have put inside a line.

Source: c2sp.org/signed-note.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tallystick_ledger.encoding import from_base64, to_base64
from tallystick_ledger.errors import BadInput, NoteMalformed, SignatureRejected
from tallystick_ledger.tlog.keys import (
    COSIGNATURE_ED25519,
    COSIGNATURE_ML_DSA_44,
    ED25519,
    KEY_ID_SIZE_BYTES,
    SignatureKind,
    VerifierKey,
    is_key_name,
    key_id,
)
from tallystick_ledger.tlog.signers import CosignatureSigner, NoteSigner, Signer

__all__ = [
    "COSIGNATURE_ED25519",
    "COSIGNATURE_ML_DSA_44",
    "ED25519",
    "NOTE_SIZE_MAX_BYTES",
    "SIGNATURES_MAX",
    "CosignatureSigner",
    "NoteSigner",
    "OpenedNote",
    "SignatureKind",
    "SignatureLine",
    "Signer",
    "Verified",
    "VerifierKey",
    "add_lines",
    "key_id",
    "open_note",
    "parse_lines",
    "sign_line",
    "sign_note",
    "unchecked_text",
]

SIGNATURES_MAX = 100
"""Lines a note may have; the specification asks for at least 16, and Go's implementation stops here too."""

NOTE_SIZE_MAX_BYTES = 512 * 1024
"""Room for `SIGNATURES_MAX` ML-DSA-44 lines, each about 3.3 KiB, and a text."""

_DASH = "\N{EM DASH} ".encode()
_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature line, checked or not.

    Attributes:
        name: key name.
        key_id: 4 bytes; with the name they identify the key.
        payload: the rest, 1 byte or more; what it means depends on the key.
    """

    name: str
    key_id: bytes
    payload: bytes

    @property
    def text(self) -> bytes:
        """The line as it stands in a note, with its newline."""
        return _DASH + f"{self.name} {to_base64(self.key_id + self.payload)}\n".encode()


@dataclass(frozen=True, slots=True)
class Verified:
    """A key whose line was checked.

    Attributes:
        key: the key, from those the caller trusts.
        timestamp_s: when it signed, by its own clock, in seconds since 1970-01-01 UTC; None for a kind without time,
            0 for an ML-DSA-44 cosigner that makes no claim of having seen no larger tree.
    """

    key: VerifierKey
    timestamp_s: int | None


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A note that at least one trusted key has signed.

    Attributes:
        body: the signed text, with its final newline.
        lines: every signature line, in order.
        verified: the trusted keys among them, each once, in order.
        unknown: the lines of other keys, unchecked: they mean nothing.
    """

    body: bytes
    lines: tuple[SignatureLine, ...]
    verified: tuple[Verified, ...]
    unknown: tuple[SignatureLine, ...]


def sign_note(body: bytes, signers: Sequence[Signer], *, now_s: int) -> bytes:
    """Return the note with the text `body` and one line of each signer, in order.

    Args:
        body: UTF-8 text with a final newline and no other control character.
        signers: one or more, of any kind; cosigners take only the text of a checkpoint.
        now_s: seconds since 1970-01-01 UTC, for the kinds that carry a time.

    Raises:
        NoteMalformed: no note can have that text.
    """
    note = body + b"\n" + b"".join(sign_line(body, signer, now_s=now_s).text for signer in signers)
    if _split(note)[0] != body:
        raise _malformed("A text cannot be signed as a note: it does not end in a newline.")
    return note


def sign_line(body: bytes, signer: Signer, *, now_s: int) -> SignatureLine:
    """Return one signer's line for the text `body`, as a witness gives it to a log.

    Raises:
        NoteMalformed: the signer is a cosigner, and the text is no checkpoint.
    """
    key = signer.verifier_key
    return SignatureLine(key.name, key.key_id, signer.sign(body, now_s=now_s))


def add_lines(note: bytes, lines: Sequence[SignatureLine]) -> bytes:
    """Return the note with `lines` after its own; where both have a line of one key, the given one stays.

    A cosigner that signs again at a later time so replaces its line: a note with two of them would be rejected.

    Raises:
        NoteMalformed: the note is not one, or would be too large.
    """
    body, standing = _split(note)
    keys = {(line.name, line.key_id) for line in lines}
    kept = [line for line in standing if (line.name, line.key_id) not in keys]
    longer = body + b"\n" + b"".join(line.text for line in (*kept, *lines))
    _split(longer)
    return longer


def parse_lines(raw: bytes) -> tuple[SignatureLine, ...]:
    """Return the signature lines in `raw`, one or more and nothing else, as a witness answers; they are not checked.

    Raises:
        NoteMalformed: a line is not written as the specification says, or there are none or too many.
    """
    if len(raw) > NOTE_SIZE_MAX_BYTES:
        raise _malformed("A note is too large.")
    *lines, rest = raw.split(b"\n", SIGNATURES_MAX)
    if rest or not lines:
        raise _malformed("A note has no signature line, too many, or one that does not end.")
    return tuple(_parse_line(line) for line in lines)


def open_note(raw: bytes, keys: Sequence[VerifierKey]) -> OpenedNote:
    """Return the note's text and who signed it, once at least one of `keys` is shown to have.

    Lines of unknown keys are left unchecked, even where the name or the key id alone is that of a known one.

    Args:
        raw: the whole note.
        keys: the keys to trust.

    Raises:
        NoteMalformed: the bytes are not a note.
        SignatureRejected: no line is of a key in `keys`, or a line of such a key is wrong or stands twice.
    """
    body, lines = _split(raw)
    known = {(key.name, key.key_id): key for key in keys}
    verified: list[Verified] = []
    unknown: list[SignatureLine] = []
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is None:
            unknown.append(line)
        elif any(each.key == key for each in verified):
            raise _rejected("A note has two lines of one known key.")
        else:
            verified.append(Verified(key, key.check(body, line.payload)))
    if not verified:
        raise _rejected("No known key has signed the note.")
    return OpenedNote(body, lines, tuple(verified), tuple(unknown))


def unchecked_text(raw: bytes) -> bytes:
    """Return the text of a note that nobody has vouched for yet: only to find whose keys to check it under.

    Raises:
        NoteMalformed: the bytes are not a note.
    """
    return _split(raw)[0]


def _split(raw: bytes) -> tuple[bytes, tuple[SignatureLine, ...]]:
    """Return text and lines, of which none is checked."""
    if len(raw) > NOTE_SIZE_MAX_BYTES:
        raise _malformed("A note is too large.")
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise _malformed("A note is not UTF-8.") from error
    if _CONTROL.search(raw):
        raise _malformed("A note holds a control character.")
    # The text may hold blank lines itself, so the last one is the separator.
    text, blank, block = raw.rpartition(b"\n\n")
    if not blank:
        raise _malformed("A note has no blank line between text and signatures.")
    return text + b"\n", parse_lines(block)


def _parse_line(line: bytes) -> SignatureLine:
    if not line.startswith(_DASH):
        raise _malformed("A signature line does not begin with a dash.")
    name, _, coded = line.removeprefix(_DASH).partition(b" ")
    try:
        raw = from_base64(coded)
        parsed = SignatureLine(name.decode(), raw[:KEY_ID_SIZE_BYTES], raw[KEY_ID_SIZE_BYTES:])
    except (UnicodeDecodeError, BadInput) as error:
        raise _malformed("A signature line is not UTF-8, or its base64 is not canonical.") from error
    if not is_key_name(parsed.name):
        raise _malformed("A signature line has no key name, or one with a space or a plus.")
    if not parsed.payload:
        raise _malformed("A signature line is too short to hold a key id and a signature.")
    return parsed


def _malformed(problem: str) -> NoteMalformed:
    return NoteMalformed(problem, remedy="Write notes as c2sp.org/signed-note says.")


def _rejected(problem: str) -> SignatureRejected:
    return SignatureRejected(problem, remedy="Trust nothing in the note; ask its signer for it, or check the keys.")
