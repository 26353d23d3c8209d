"""What a recipient may keep, why, and until when: said once for each field, and never on a ground that has ended."""

from typing import Any

import pytest
from fitness import PROGRAM_DOCUMENT
from pydantic import ValidationError
from story import TERMS

from tallystick_consent.errors import ProgramRejected, ReceiptRejected
from tallystick_consent.program import parse_program
from tallystick_consent.receipts.receipt import parse_terms
from tallystick_consent.receipts.retention import Retention
from tallystick_consent.receipts.versions import difference, extent_of, widens

DAY_S = 86_400

ANSWERS = {"field": "answers", "ground": "consent", "until_days": 1}
EVIDENCE = {"field": "evidence", "ground": "legal_claims", "until_days": 30}
ACCOUNTING = {"field": "accounting", "ground": "legal_obligation", "until_days": 3_650}


@pytest.mark.parametrize(
    "said",
    [
        {"field": "answers", "ground": "legal_claims", "until_days": 1},
        {"field": "evidence", "ground": "consent", "until_days": 1},
        {"field": "answers", "ground": "consent", "until_days": 0},
        {"field": "evidence", "ground": "legal_claims", "until_days": -1},
        {"field": "accounting", "ground": "legal_obligation", "until_days": 3_661},
        {"field": "events", "ground": "legal_claims", "until_days": 1},
        {"field": "evidence", "ground": "because", "until_days": 1},
    ],
)
def test_what_cannot_be_kept_so_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Retention.model_validate(said)


def terms(*retention: dict[str, Any], **changes: Any) -> Any:
    return parse_terms({**TERMS.document(), "retention": list(retention), **changes})


@pytest.mark.parametrize("retention", [(EVIDENCE, {**EVIDENCE, "until_days": 31}), ({**ANSWERS, "until_days": 2},)])
def test_a_field_has_one_end_and_answers_the_one_that_the_terms_have(retention: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(ReceiptRejected):
        terms(*retention)
    with pytest.raises(ProgramRejected):
        parse_program({**PROGRAM_DOCUMENT, "retention_days": 1, "retention": list(retention)})


def test_terms_that_say_nothing_of_it_keep_their_digest() -> None:
    assert "retention" not in TERMS.document()
    assert terms().digest() == TERMS.digest() != terms(ANSWERS).digest()


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        ((), (EVIDENCE,), False),
        ((EVIDENCE,), (), True),
        ((EVIDENCE,), ({**EVIDENCE, "until_days": 29},), False),
        ((EVIDENCE,), ({**EVIDENCE, "until_days": 31},), True),
        ((EVIDENCE,), ({**EVIDENCE, "ground": "legal_obligation"},), True),
        ((EVIDENCE, ACCOUNTING), (ACCOUNTING, EVIDENCE), False),
    ],
)
def test_longer_on_another_ground_or_without_an_end_is_more_than_was_given(
    before: tuple[dict[str, Any], ...], after: tuple[dict[str, Any], ...], more: bool
) -> None:
    was, now = terms(*before), terms(*after)
    assert widens(extent_of(was), extent_of(now)) is more


def test_what_changes_is_said_in_words() -> None:
    assert difference(terms(EVIDENCE), terms(ACCOUNTING)) == (
        "Kept for 3650 days after the end (legal_obligation): accounting.",
        "No longer said until when it is kept: evidence.",
    )
