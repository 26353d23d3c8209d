"""Codes by letter: derived and never kept, told in any way that people tell them."""

import hashlib
import hmac

import pytest
import second

from tallystick_consent.receipts.channels import ALPHABET, CODE_SYMBOLS, OPEN_MAX, TRIES_MAX, is_same_code, letter_code

KEY = bytes(range(32))


def code(*, key: bytes = KEY, letter: str = "ltr_1", subject: str = "ana") -> str:
    return letter_code(key, letter=letter, subject=subject)


def test_a_code_is_what_the_construction_says() -> None:
    said = second.lp("tallystick/letter/v1") + second.lp("ana") + second.lp("ltr_1")
    number = int.from_bytes(hmac.new(KEY, said, hashlib.sha256).digest()[:8], "big") % 2**60
    plain = code().replace("-", "")
    assert sum(ALPHABET.index(symbol) << 5 * place for place, symbol in enumerate(plain)) == number


def test_another_key_letter_or_customer_has_another_code() -> None:
    assert len({code(), code(key=bytes(32)), code(letter="ltr_2"), code(subject="ben")}) == 4


def test_a_code_is_told_as_people_tell_it() -> None:
    assert is_same_code(code(), code())
    assert is_same_code(" ".join(code().lower().replace("-", "")), code())
    assert is_same_code("oOlL-iI00-1111", "0011-1100-1111")


@pytest.mark.parametrize(
    "told", ["", "-", code()[:-1], code() + "0", "U" + code()[1:], "\u0661" * 12, code(subject="ben")]
)
def test_what_is_another_code_or_none_is_not_taken(told: str) -> None:
    assert not is_same_code(told, code())


def test_the_arithmetic_holds() -> None:
    assert (len(ALPHABET), len(set(ALPHABET)), CODE_SYMBOLS * 5) == (32, 32, 60)
    assert TRIES_MAX * OPEN_MAX / 2**60 < 1.4e-17
    assert TRIES_MAX * OPEN_MAX * 1_000_000 * 122 / 2**60 < 2e-9  # every customer, each 30 days of ten years
