"""What a partner may answer to an erasure request: every field, and a ground for what it keeps."""

import pytest
from logs import digest, identifier
from pydantic import ValidationError

from tallystick_consent.erasure import FIELDS, ErasureAttestation, FieldAnswer


def answers(**of: FieldAnswer) -> tuple[FieldAnswer, ...]:
    return tuple(of.get(field, FieldAnswer(field=field, fate="erased")) for field in FIELDS)


def attestation(fields: tuple[FieldAnswer, ...]) -> ErasureAttestation:
    return ErasureAttestation(
        erasure=identifier("era", "ana"), partner="insurer.example", request=digest("request"), fields=fields, at=1
    )


def test_what_a_law_keeps_is_kept_until_a_time_that_is_said() -> None:
    kept = FieldAnswer(field="accounting", fate="kept", ground="legal_obligation", until=2_000_000_000)
    assert kept in attestation(answers(accounting=kept)).fields


def test_what_is_another_customers_is_kept_until_that_one_asks() -> None:
    kept = FieldAnswer(field="events", fate="kept", ground="own_customer")
    assert kept in attestation(answers(events=kept)).fields


@pytest.mark.parametrize(
    "said",
    [
        {"fate": "kept"},
        {"fate": "kept", "ground": "legal_claims"},
        {"fate": "kept", "ground": "own_customer", "until": 1},
        {"fate": "kept", "ground": "because", "until": 1},
        {"fate": "erased", "ground": "legal_obligation", "until": 1},
        {"fate": "erased", "until": 1},
        {"fate": "perhaps"},
    ],
)
def test_an_answer_without_its_reason_or_with_one_too_many_is_none(said: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FieldAnswer.model_validate({"field": "events", **said})


def test_an_attestation_leaves_no_field_out_and_names_none_twice() -> None:
    for fields in (answers()[1:], (*answers(), answers()[0]), answers()[::-1]):
        with pytest.raises(ValidationError):
            attestation(fields)
