"""What two partners compute about one subject together: the same at both ends, and comparable nowhere else."""

from collections.abc import Callable
from typing import Any

import pytest
import second
from hypothesis import given
from hypothesis import strategies as st

from tallystick_consent.claims.pairwise import (
    claim_digest,
    link_id,
    link_secret,
    link_unique,
    nullifier,
    payer_unique,
)

GYM, INSURER, CAFE = "gym.example", "insurer.example", "cafe.example"
INSURER_HALF, GYM_HALF = bytes(range(32)), bytes(range(32, 64))
K = bytes(range(64, 96))

names = st.text("abc.-", max_size=6)
secrets = st.binary(min_size=32, max_size=32)
slots = st.integers(0, 1_000)


def test_the_second_computation_derives_keys_as_rfc_5869_does() -> None:
    """Test case 3 of its appendix A: neither salt nor info."""
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert second.hkdf(b"\x0b" * 22, b"").hex() == expected


@given(mine=secrets, theirs=secrets, recipient=names, issuer=names)
def test_the_link_secret_and_id_are_those_of_the_text(mine: bytes, theirs: bytes, recipient: str, issuer: str) -> None:
    made = link_secret(recipient_half=mine, issuer_half=theirs, recipient=recipient, issuer=issuer)
    assert made == second.link_secret(mine, theirs, recipient, issuer)
    assert link_id(made) == second.link_id(made)


@given(key=secrets, issuer=names, recipient=names, program=names, period=names, slot=slots)
def test_the_nullifier_is_that_of_the_text(
    key: bytes, issuer: str, recipient: str, program: str, period: str, slot: int
) -> None:
    made = nullifier(key, issuer=issuer, recipient=recipient, program=program, period=period, slot=slot)
    assert made == second.nullifier(key, issuer, recipient, program, period, slot)


@given(key=secrets, payer=names, program=names, period=names, slot=slots)
def test_the_payers_unique_value_is_that_of_the_text(
    key: bytes, payer: str, program: str, period: str, slot: int
) -> None:
    made = payer_unique(key, payer=payer, program=program, period=period, slot=slot)
    assert made == second.payer_unique(key, payer, program, period, slot)


@given(key=secrets, recipient=names, program=names, subject=st.text("aé世 ", max_size=6))
def test_the_links_unique_value_is_that_of_the_text(key: bytes, recipient: str, program: str, subject: str) -> None:
    made = link_unique(key, recipient=recipient, program=program, subject=subject)
    assert made == second.link_unique(key, recipient, program, subject)


@given(claim=st.text("ab~.", max_size=20), salt=secrets)
def test_the_claim_digest_is_that_of_the_text(claim: str, salt: bytes) -> None:
    assert claim_digest(claim, salt=salt) == second.claim_digest(claim, salt)


def test_both_ends_of_a_link_compute_the_same_id_and_nullifier() -> None:
    at_gym = link_secret(issuer_half=GYM_HALF, recipient_half=INSURER_HALF, issuer=GYM, recipient=INSURER)
    at_insurer = link_secret(recipient=INSURER, issuer=GYM, recipient_half=INSURER_HALF, issuer_half=GYM_HALF)
    slot: dict[str, Any] = {"issuer": GYM, "recipient": INSURER, "program": "ins-fit", "period": "2027-03", "slot": 0}
    assert link_id(at_gym) == link_id(at_insurer)
    assert nullifier(at_gym, **slot) == nullifier(at_insurer, **slot)


def test_a_link_id_is_an_identifier_and_not_the_key() -> None:
    assert link_id(K).startswith("lnk_")
    assert len(link_id(K)) == 4 + 26


SECRET = {"recipient_half": INSURER_HALF, "issuer_half": GYM_HALF, "recipient": INSURER, "issuer": GYM}
SLOT = {"issuer": GYM, "recipient": INSURER, "program": "ins-fit", "period": "2027-03", "slot": 0}
PAID = {"payer": INSURER, "program": "ins-fit", "period": "2027-03", "slot": 0}
LINKED = {"recipient": INSURER, "program": "ins-fit", "subject": "member 17"}


def _nullifier(**parts: Any) -> bytes:
    return nullifier(K, **parts)


def _payer_unique(**parts: Any) -> bytes:
    return payer_unique(K, **parts)


def _link_unique(**parts: Any) -> bytes:
    return link_unique(K, **parts)


@pytest.mark.parametrize(
    ("compute", "parts", "name", "other"),
    [
        (link_secret, SECRET, "recipient_half", GYM_HALF),
        (link_secret, SECRET, "issuer_half", INSURER_HALF),
        (link_secret, SECRET, "recipient", CAFE),
        (link_secret, SECRET, "issuer", CAFE),
        (_nullifier, SLOT, "issuer", CAFE),
        (_nullifier, SLOT, "recipient", CAFE),
        (_nullifier, SLOT, "program", "ins-fit2"),
        (_nullifier, SLOT, "period", "2027-04"),
        (_nullifier, SLOT, "slot", 1),
        (_payer_unique, PAID, "payer", CAFE),
        (_payer_unique, PAID, "program", "ins-fit2"),
        (_payer_unique, PAID, "period", "2027-04"),
        (_payer_unique, PAID, "slot", 1),
        (_link_unique, LINKED, "recipient", CAFE),
        (_link_unique, LINKED, "program", "ins-fit2"),
        (_link_unique, LINKED, "subject", "member 18"),
    ],
)
def test_each_named_part_counts(compute: Callable[..., bytes], parts: dict[str, Any], name: str, other: object) -> None:
    assert compute(**parts) != compute(**{**parts, name: other})


@pytest.mark.parametrize(
    ("compute", "one", "other"),
    [
        (_nullifier, SLOT, {**SLOT, "program": "ins-fit2", "period": "027-03"}),
        (_payer_unique, PAID, {**PAID, "period": "2027-030", "slot": 0}),
        (_link_unique, LINKED, {**LINKED, "program": "ins-fitm", "subject": "ember 17"}),
        (link_secret, SECRET, {**SECRET, "recipient": "insurer.exampleg", "issuer": "ym.example"}),
    ],
)
def test_a_letter_moved_from_one_part_to_the_next_counts(
    compute: Callable[..., bytes], one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert compute(**one) != compute(**other)


def test_the_two_ends_of_a_link_cannot_be_swapped() -> None:
    assert _nullifier(**SLOT) != _nullifier(**{**SLOT, "issuer": INSURER, "recipient": GYM})


def test_one_person_has_no_value_in_common_with_two_audiences() -> None:
    """The same key, subject, program, period and slot: only the audience differs."""
    assert _nullifier(**SLOT) != _nullifier(**{**SLOT, "recipient": CAFE})
    assert _payer_unique(**PAID) != _payer_unique(**{**PAID, "payer": CAFE})
    assert _link_unique(**LINKED) != _link_unique(**{**LINKED, "recipient": CAFE})


def test_another_salt_is_another_digest_of_the_same_claim() -> None:
    assert claim_digest("claim", salt=bytes(32)) != claim_digest("claim", salt=K)
