"""A ledger entry: the envelope, and its exact bytes.

An entry is hashed, stored and served byte for byte. It is written once, in canonical JSON, and never re-serialised;
what comes from outside must already be in that one spelling.

Source: DESIGN section 4 (envelope), CONSTRUCTIONS (identifiers).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tallystick_ledger.encoding import canonical_json, from_base64url, parse_canonical_json, to_base64url
from tallystick_ledger.errors import BadInput, EntryMalformed
from tallystick_ledger.tlog.blob import ENTRY_SIZE_MAX_BYTES

BLIND_SIZE_BYTES = 16
VERSION = 1

_MEMBERS = frozenset({"v", "kind", "id", "blind", "at", "body"})
_KIND = re.compile(r"[a-z][a-z_]{1,39}")
_ID = re.compile(r"[a-z]{3}_[a-z2-7]{26}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log; `raw` is what is hashed.

    Attributes:
        id: random, 128 bits, with a prefix; never sortable.
        kind: what the body is, such as `receipt`.
        at_s: when it was recorded, seconds since 1970-01-01 UTC.
        blind: 16 random bytes, so that a public leaf hash cannot confirm a guess of the rest.
        body: what happened, as the floor that owns the kind defines it; as `make_entry` was given it, or as read.
        raw: the exact bytes.
    """

    id: str
    kind: str
    at_s: int
    blind: bytes
    body: Mapping[str, Any]
    raw: bytes


def make_entry(kind: str, body: Mapping[str, object], *, entry_id: str, blind: bytes, at_s: int) -> Entry:
    """Return a new entry and its bytes.

    Args:
        kind: lower-case name, of 2 to 40 characters.
        body: values with one JSON spelling: text, integers below 2^53, booleans, lists, objects.
        entry_id: a fresh identifier from `encoding.new_id`.
        blind: 16 fresh random bytes.
        at_s: seconds since 1970-01-01 UTC, from the node's clock.

    Raises:
        EntryMalformed: a part is out of its bounds, or the entry would exceed 65,535 bytes.
    """
    _require_parts(kind, entry_id, blind, at_s)
    envelope = {
        "v": VERSION,
        "kind": kind,
        "id": entry_id,
        "blind": to_base64url(blind),
        "at": at_s,
        "body": dict(body),
    }
    try:
        raw = canonical_json(envelope)
    except BadInput as error:
        raise EntryMalformed(error.problem, remedy=error.remedy) from error
    _require_size(raw)
    return Entry(entry_id, kind, at_s, blind, dict(body), raw)


def parse_entry(raw: bytes) -> Entry:
    """Return the entry that `raw` holds.

    Raises:
        EntryMalformed: too large, not canonical JSON, or not in the envelope of DESIGN section 4.
    """
    _require_size(raw)
    try:
        envelope = parse_canonical_json(raw)
        if envelope.keys() != _MEMBERS:
            raise _malformed("An entry has other members than its envelope.")
        blind = from_base64url(_text(envelope["blind"]))
    except BadInput as error:
        raise EntryMalformed(error.problem, remedy=error.remedy) from error
    version, at_s, body = envelope["v"], envelope["at"], envelope["body"]
    kind, entry_id = _text(envelope["kind"]), _text(envelope["id"])
    if type(version) is not int or version != VERSION:
        raise _malformed("An entry has an unknown version.")
    _require_parts(kind, entry_id, blind, at_s)
    if not isinstance(body, dict):
        raise _malformed("An entry's body is not an object.")
    return Entry(entry_id, kind, at_s, blind, envelope["body"], raw)


def _require_size(raw: bytes) -> None:
    if len(raw) > ENTRY_SIZE_MAX_BYTES:
        raise _malformed("An entry is larger than 65,535 bytes.")


def _require_parts(kind: str, entry_id: str, blind: bytes, at_s: object) -> None:
    if not _KIND.fullmatch(kind) or not _ID.fullmatch(entry_id) or len(blind) != BLIND_SIZE_BYTES:
        raise _malformed("An entry's kind, id or blind is not of its form.")
    # A bool is an int to Python, so the type itself is compared.
    if type(at_s) is not int or at_s < 0:
        raise _malformed("An entry's time is not of its type.")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _malformed("A member of an entry is not text.")
    return value


def _malformed(problem: str) -> EntryMalformed:
    return EntryMalformed(problem, remedy="Write entries with tallystick_ledger.entry.make_entry.")
