"""One value, one text: what is written fast is what the plain way writes, and what has two spellings is refused."""

import base64
import itertools
import json
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_ledger.encoding import (
    INTEGER_MAX,
    canonical_json,
    from_base64,
    from_base64url,
    parse_canonical_json,
    parse_json_object,
    to_base64,
    to_base64url,
)
from tallystick_ledger.errors import BadInput

KEYS = st.text(st.characters(max_codepoint=127), max_size=4)
SCALARS = st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | st.text(max_size=8)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


class Word(StrEnum):
    GIVEN = "given"


class Number(IntEnum):
    LARGE = 2**53
    SMALL = 7


def plainly(value: object) -> bytes:
    """The spelling as the standard library writes it when it is told everything anew."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


@given(PLAIN)
def test_it_is_spelt_as_json_dumps_spells_it(value: object) -> None:
    assert canonical_json(value) == plainly(value)


@given(st.dictionaries(KEYS, PLAIN, max_size=4))
def test_it_is_read_as_json_loads_reads_it(value: dict[str, object]) -> None:
    raw = canonical_json(value)
    assert parse_canonical_json(raw) == parse_json_object(raw) == json.loads(raw)
    assert canonical_json(parse_json_object(json.dumps(value, indent=1))) == raw


def test_a_word_of_a_list_is_written_as_its_text_and_a_number_of_one_as_its_digits() -> None:
    assert canonical_json({"state": Word.GIVEN, "size": Number.SMALL}) == b'{"size":7,"state":"given"}'


@pytest.mark.parametrize(
    "wrap", [lambda bad: bad, lambda bad: [1, bad], lambda bad: (bad,), lambda bad: {"a": {"b": bad}}]
)
@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (0.5, "float"),
        (1.0, "float"),
        (float("nan"), "float"),
        (2**53, "2\\^53"),
        (-(2**53), "2\\^53"),
        (Number.LARGE, "2\\^53"),
        (b"x", "bytes"),
        ({1, 2}, "set"),
        ({"é": 1}, "ASCII"),
        ({1: 1}, "ASCII"),
        ({True: 1}, "ASCII"),
        ({None: 1}, "ASCII"),
        ({"a": 1, b"b": 1}, "ASCII"),
        ("\ud800", "cannot be written"),
    ],
)
def test_what_has_no_single_spelling_is_refused_at_any_depth(wrap: Any, bad: object, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        canonical_json(wrap(bad))


def test_the_largest_integers_are_written_and_the_next_are_not() -> None:
    assert canonical_json([INTEGER_MAX, -INTEGER_MAX]) == b"[9007199254740991,-9007199254740991]"
    for beyond in (INTEGER_MAX + 1, -INTEGER_MAX - 1):
        with pytest.raises(BadInput):
            canonical_json([beyond])


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"x":{"a":1,"a":2}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1}x',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[1]",
        b"1",
        b"",
    ],
)
def test_what_is_no_object_with_each_key_once_is_not_read(raw: bytes) -> None:
    with pytest.raises(BadInput):
        parse_json_object(raw)


@given(st.binary(max_size=70))
def test_base64_is_that_of_the_standard_library(raw: bytes) -> None:
    assert to_base64(raw) == base64.b64encode(raw).decode()
    assert to_base64url(raw) == base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assert (from_base64(to_base64(raw)), from_base64url(to_base64url(raw))) == (raw, raw)


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "Q Q", "QQ\n", "+w", "/w", "QQ=", "é"])
def test_base64url_of_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        from_base64url(text)


@pytest.mark.parametrize("text", ["QQ", "QR==", "QQ==\n", "-w==", "_w==", "Q", "QQ=", "é"])
def test_base64_of_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        from_base64(text)


def test_base64url_is_what_encodes_to_the_same_text_again_and_nothing_else() -> None:
    """Every text of up to three characters of this alphabet, and of four with some: against the slow definition."""
    letters = "AQgwBE_-+/= \n"
    texts = ["".join(each) for length in range(5) for each in itertools.product(letters, repeat=length)]
    taken = 0
    for text in texts:
        try:
            raw = from_base64url(text)
        except BadInput:
            padded = text + "=" * (-len(text) % 4)
            try:
                lenient = base64.urlsafe_b64decode(padded) if "=" not in text else None
            except ValueError:
                lenient = None
            assert lenient is None or to_base64url(lenient) != text, text
        else:
            taken += 1
            assert to_base64url(raw) == text
    assert taken == sum(8**length for length in (0, 4)) + 8 * 4 + 8 * 8 * 5
