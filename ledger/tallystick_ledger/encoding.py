"""The few encodings every byte format here is made of.

Pure: bytes and values in, bytes and values out. Strict both ways, since two spellings of one value are two values
to a hash: what decodes must encode to the same text again.

Source: CONSTRUCTIONS (LP, identifiers), RFC 4648 sections 4, 5 and 6, RFC 8259.
"""

import base64
import binascii
import json
from collections.abc import Iterable
from types import NoneType
from typing import Any, cast

from tallystick_ledger.errors import BadInput

INTEGER_MAX = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 8259, section 6)."""

ID_SIZE_BYTES = 16

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
"""What stands in base64url as the decoder knows it; what must not stand there becomes what it refuses."""

_ENDINGS = {0: (b"", b""), 2: (b"==", b"AQgw"), 3: (b"=", b"AEIMQUYcgkosw048")}
"""By how many characters stand behind the last four: the padding, and which of them leave no bit over."""


def length_prefixed(*parts: bytes | str) -> bytes:
    """Return each part behind its length as 4 big-endian bytes, joined; text as UTF-8 (`LP` in CONSTRUCTIONS)."""
    pieces: list[bytes] = []
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        pieces += (len(raw).to_bytes(4, "big"), raw)
    return b"".join(pieces)


def to_base64(raw: bytes) -> str:
    """Return standard base64 with padding (RFC 4648, section 4)."""
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def from_base64(text: str | bytes) -> bytes:
    """Return the bytes of standard base64 with padding.

    Raises:
        BadInput: the text is not the one canonical encoding of any bytes.
    """
    coded = text.encode() if isinstance(text, str) else text
    try:
        raw = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        raw = None
    if raw is None or binascii.b2a_base64(raw, newline=False) != coded:
        raise BadInput("A base64 value is not canonical.", remedy="Encode it by RFC 4648 section 4, padded.")
    return raw


def to_base64url(raw: bytes) -> str:
    """Return base64url without padding, as bytes stand in JSON here (RFC 4648, section 5)."""
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """Return the bytes of base64url without padding.

    Raises:
        BadInput: the text is not the one canonical encoding of any bytes.
    """
    try:
        coded = text.encode("ascii").translate(_STANDARD)
        # The decoder refuses stray characters, but not stray bits behind the last whole byte.
        padding, lasts = _ENDINGS[len(coded) % 4]
        if not lasts or coded[-1] in lasts:
            return binascii.a2b_base64(coded + padding, strict_mode=True)
    except (KeyError, ValueError):
        pass
    raise BadInput("A base64url value is not canonical.", remedy="Encode it by RFC 4648 section 5, without padding.")


def new_id(prefix: str, random16: bytes) -> str:
    """Return an identifier: `prefix`, an underscore, and 16 random bytes in lower-case base32 without padding.

    Args:
        prefix: what the identifier names, such as `evt` or `rcp`.
        random16: 16 bytes of the system's CSPRNG; identifiers are never derived and never sortable.
    """
    assert len(random16) == ID_SIZE_BYTES, "an identifier is 128 bits"
    return f"{prefix}_{base64.b32encode(random16).rstrip(b'=').decode('ascii').lower()}"


def canonical_json(value: object) -> bytes:
    """Return the one JSON text of `value`: UTF-8, keys sorted, no spaces; keys ASCII, integers below 2^53, no floats.

    Raises:
        BadInput: the value holds a float, a large integer, a key that is not ASCII, or something JSON has not.
    """
    _require_plain(value)
    try:
        return _ENCODER.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput("A value cannot be written as JSON.", remedy="Use text, integers, lists and objects.") from error


def parse_canonical_json(raw: bytes) -> dict[str, Any]:
    """Return the object that `raw` is the canonical JSON of.

    Raises:
        BadInput: not JSON, not an object, or not in its canonical spelling (a repeated key is one such case).
    """
    # By the plain reader, which drops all but the last of a repeated key: what is written again then differs.
    try:
        value = cast("object", _READER.decode(raw.decode()))
    except (ValueError, RecursionError) as error:
        raise _not_json() from error
    if canonical_json(value) != raw:
        raise BadInput("JSON is not in its canonical form.", remedy="Sort keys, use no spaces and no floats.")
    return _object(value)


def parse_json_object(raw: bytes | str) -> dict[str, Any]:
    """Return the JSON object in `raw`, in any spelling, with no key repeated at any depth.

    Raises:
        BadInput: not UTF-8, not JSON, nested too deep, a key twice, or not an object.
    """
    return _object(parse_json(raw))


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput("Text is JSON, but not an object.", remedy="Send one JSON object in UTF-8.")
    return cast("dict[str, Any]", value)


def parse_json(raw: bytes | str) -> object:
    """Return the one JSON value in `raw`, in any spelling, with no key repeated at any depth.

    Raises:
        BadInput: not UTF-8, not one JSON value, nested too deep, or a key twice.
    """
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        if text[:1] in _OPENS:  # `decode` looks for white space before and behind, which is seldom there
            value, end = _DECODER.raw_decode(text)
            if end == len(text):
                return cast("object", value)
        return cast("object", _DECODER.decode(text))
    except (ValueError, RecursionError) as error:
        raise _not_json() from error


def _not_json() -> BadInput:
    return BadInput("Text is not JSON.", remedy="Send one JSON value in UTF-8.")


def parse_spelled_object(raw: bytes) -> dict[str, Any]:
    """Return the object in `raw`, which is known to be canonical JSON of one, so that nothing is asked of it again."""
    return cast("dict[str, Any]", _READER.raw_decode(raw.decode())[0])


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice")
    return members


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


# Made once: `json.dumps` and `json.loads` make a new one for every call that has options.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_READER = json.JSONDecoder()
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)

_OPENS = ("{", "[")

_ALWAYS_PLAIN = frozenset({str, bool, NoneType})
_SEQUENCES = (list, tuple)


def _are_ascii(keys: Iterable[object]) -> bool:
    try:
        return "".join(cast("Iterable[str]", keys)).isascii()  # joined, so that all of them are asked at once
    except TypeError:  # one is not text
        return False


def _require_plain(value: object) -> None:
    """Refuse what has more than one JSON spelling; walks with a stack, so depth cannot exhaust ours."""
    waiting: list[object] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            members = cast("dict[object, object]", each)
            if not _are_ascii(members):
                raise BadInput("A key is not ASCII text.", remedy="Use ASCII keys.")
            # What most members are has nothing to be asked; only the others take a turn of this loop.
            waiting += [member for member in members.values() if type(member) not in _ALWAYS_PLAIN]
        elif isinstance(each, _SEQUENCES):
            waiting += [member for member in cast("list[object]", each) if type(member) not in _ALWAYS_PLAIN]
        elif isinstance(each, int):
            if abs(each) > INTEGER_MAX:
                raise BadInput("An integer is 2^53 or more.", remedy="Send large numbers as text.")
        elif each is not None and not isinstance(each, str):
            raise BadInput(
                f"A {type(each).__name__} has no exact JSON form.",
                remedy="Use text, integers, lists and objects.",
            )
