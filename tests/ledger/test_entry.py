"""The envelope of an entry: one spelling, and nothing but what it must hold."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_ledger.encoding import canonical_json, new_id, to_base64url
from tallystick_ledger.entry import make_entry, parse_entry
from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.tlog.blob import ENTRY_SIZE_MAX_BYTES

ID = new_id("evt", bytes(range(16)))
BLIND = bytes(range(16))
GOOD: dict[str, Any] = {"v": 1, "kind": "event", "id": ID, "blind": to_base64url(BLIND), "at": 7, "body": {"x": 1}}

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


def changed(**members: object) -> bytes:
    return canonical_json({**GOOD, **members})


def test_an_entry_is_made_and_read() -> None:
    entry = make_entry("event", {"x": 1}, entry_id=ID, blind=BLIND, at_s=7)
    assert entry.raw == canonical_json(GOOD)
    assert parse_entry(entry.raw) == entry
    assert (entry.kind, entry.id, entry.blind, entry.at_s, entry.body) == ("event", ID, BLIND, 7, {"x": 1})


def test_its_bytes_are_these() -> None:
    raw = b'{"at":7,"blind":"AAECAwQFBgcICQoLDA0ODw","body":{"x":1},"id":"%s","kind":"event","v":1}' % ID.encode()
    assert parse_entry(raw).raw == raw


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), PLAIN, max_size=4))
def test_every_plain_body_has_one_spelling(body: dict[str, object]) -> None:
    entry = make_entry("event", body, entry_id=ID, blind=BLIND, at_s=7)
    assert parse_entry(entry.raw).body == body
    loose = json.dumps(json.loads(entry.raw), indent=1).encode()
    with pytest.raises(EntryMalformed):
        parse_entry(loose)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_malformed(raw: bytes) -> None:
    with pytest.raises(EntryMalformed):
        parse_entry(raw)


@pytest.mark.parametrize(
    "raw",
    [
        changed(v=2),
        changed(v=True),
        changed(v="1"),
        changed(kind=""),
        changed(kind="e"),
        changed(kind="Event"),
        changed(kind="event\n"),
        changed(kind="e" * 41),
        changed(kind=None),
        changed(id="evt_" + "a" * 25),
        changed(id="evt_" + "a" * 27),
        changed(id="EVT_" + "a" * 26),
        changed(id="evt_" + "1" * 26),
        changed(blind=to_base64url(BLIND[:15])),
        changed(blind=to_base64url(BLIND + b"x")),
        changed(blind=to_base64url(BLIND) + "=="),
        changed(blind=to_base64url(BLIND)[:-1] + "x"),
        changed(at=-1),
        changed(at="7"),
        changed(at=True),
        changed(body=[]),
        changed(body="x"),
        changed(more=1),
        canonical_json({name: value for name, value in GOOD.items() if name != "blind"}),
        changed().replace(b'"at":7', b'"at":7.0'),
        changed().replace(b'"at":7', b'"at":07'),
        changed().replace(b'"x":1', b'"x":9007199254740992'),
        changed().replace(b'"x":1', b'"x":1,"x":1'),
        changed().replace(b'"x":1', b'"x":NaN'),
        changed().replace(b'"x":1', b'"\\u0078":1'),
        changed().replace(b'"x":1', b'"\xc3\xa9":1'),
        changed().replace(b'"x":1', b'"x":"\\ud800"'),
        changed().replace(b'"x":1', b'"x":' + b"[" * 100_00 + b"]" * 100_00),
        changed() + b"\n",
        b" " + changed(),
        b"\xef\xbb\xbf" + changed(),
        b"[]",
        b"",
    ],
)
def test_what_is_not_in_the_envelope_is_malformed(raw: bytes) -> None:
    with pytest.raises(EntryMalformed):
        parse_entry(raw)


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_entry("event", {"x": 0.5}, entry_id=ID, blind=BLIND, at_s=7),
        lambda: make_entry("event", {"x": 2**53}, entry_id=ID, blind=BLIND, at_s=7),
        lambda: make_entry("event", {"é": 1}, entry_id=ID, blind=BLIND, at_s=7),
        lambda: make_entry("event", {"x": b""}, entry_id=ID, blind=BLIND, at_s=7),
        lambda: make_entry("event", {"x": "\ud800"}, entry_id=ID, blind=BLIND, at_s=7),
        lambda: make_entry("Event", {}, entry_id=ID, blind=BLIND, at_s=7),
        lambda: make_entry("event", {}, entry_id="event-1", blind=BLIND, at_s=7),
        lambda: make_entry("event", {}, entry_id=ID, blind=b"", at_s=7),
        lambda: make_entry("event", {}, entry_id=ID, blind=BLIND, at_s=-1),
    ],
)
def test_what_could_not_be_read_again_is_not_made(make: Callable[[], object]) -> None:
    with pytest.raises(EntryMalformed):
        make()


def test_an_entry_of_the_largest_size_is_made_and_one_byte_more_is_not() -> None:
    room = ENTRY_SIZE_MAX_BYTES - len(make_entry("event", {"x": ""}, entry_id=ID, blind=BLIND, at_s=7).raw)
    largest = make_entry("event", {"x": "a" * room}, entry_id=ID, blind=BLIND, at_s=7)
    assert len(parse_entry(largest.raw).raw) == 65_535
    with pytest.raises(EntryMalformed, match="larger"):
        make_entry("event", {"x": "a" * (room + 1)}, entry_id=ID, blind=BLIND, at_s=7)
