"""How a giving was seen, grade by grade: what stands in the receipt, and what lies sealed."""

import json

import pytest
from story import TERMS

from tallystick_consent.receipts.evidence import Approval, Evidence, Testimony, check_evidence, record_payload
from tallystick_consent.signed import GivenReceipt

RECORD = "r" * 43
CLERK = {"grade": "clerk", "app": "desk", "login": "aal2", "record": RECORD, "read_back": True}
FORM = {"grade": "signed_form", "app": "desk", "login": "aal2", "record": RECORD}
TOLD = {"grade": "clerk", "login": "aal2", "channel": "desk", "agent": "staff-12", "read_back": True}


@pytest.mark.parametrize("members", [CLERK, FORM])
def test_what_a_clerk_saw_and_what_a_form_says_is_taken_with_its_record(members: dict[str, object]) -> None:
    check_evidence(Evidence.model_validate(members), TERMS)


@pytest.mark.parametrize(
    "members",
    [
        {**CLERK, "read_back": False},
        {**CLERK, "read_back": None},
        {**CLERK, "record": None},
        {**CLERK, "read_back": 1},
        {**FORM, "record": None},
        {**FORM, "read_back": True},
        {**FORM, "public_key": "A" * 43, "signature": "A" * 86},
        {**FORM, "record": "short"},
        {**FORM, "agent": "staff-12"},  # who the clerk was stays sealed
        {**FORM, "grade": "app_asserted", "read_back": True},
        {**FORM, "grade": "hearsay"},
        {**FORM, "approvals": tuple({"grade": "clerk", "record": RECORD} for _ in range(9))},
    ],
)
def test_evidence_is_whole_or_it_is_none(members: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Evidence.model_validate(members)


@pytest.mark.parametrize(
    "members",
    [
        {**TOLD, "read_back": False},
        {**TOLD, "read_back": None},
        {**TOLD, "form": RECORD},
        {**TOLD, "grade": "signed_form"},
        {**TOLD, "grade": "signed_form", "read_back": None},
        {**TOLD, "grade": "app_asserted", "read_back": None},
        {**TOLD, "channel": "app"},
        {**TOLD, "agent": ""},
        {**TOLD, "agent": "Ana Miller"},
    ],
)
def test_testimony_is_whole_or_it_is_none(members: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Testimony.model_validate(members)


def test_evidence_that_could_be_written_before_is_written_as_before() -> None:
    """Nodes of before refuse members that they do not know."""
    evidence = Evidence(grade="app_asserted", app="app", login="aal2")
    before = {"grade": "app_asserted", "app": "app", "login": "aal2", "public_key": None, "signature": None}
    assert evidence.model_dump(mode="json") == json.loads(evidence.model_dump_json()) == before
    assert GivenReceipt(terms=TERMS, evidence=evidence, at=0).model_dump(mode="json")["evidence"] == before


def test_evidence_reads_back_with_all_its_members() -> None:
    approvals = (Approval(grade="wallet_key", record=RECORD), Approval(grade="clerk", record="s" * 43))
    evidence = Evidence.model_validate({**CLERK, "approvals": approvals})
    assert Evidence.model_validate_json(evidence.model_dump_json()) == evidence


def test_a_record_holds_what_was_said_and_leaves_out_what_was_not() -> None:
    payload = record_payload("give", at_s=7, about={"agent": "staff-12", "by": None})
    assert json.loads(payload) == {"kind": "give", "at": 7, "agent": "staff-12"}
