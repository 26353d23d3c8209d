"""Bodies of entries: strict, because an auditor must read in them what every node reads."""

from typing import Any, get_args

import pytest
from logs import digest, identifier
from story import TERMS, acceptance, disclosure, erasure, tell

from tallystick_consent.entries import BODIES, ReceiptBody, Signature, parse_body, receipt_body
from tallystick_consent.receipts.states import ReceiptState
from tallystick_ledger.errors import EntryMalformed

GYM_LEDGER, INSURER_LEDGER = tell()
GOOD: dict[str, dict[str, Any]] = {
    "event": dict(GYM_LEDGER["visit"].body),
    "receipt": receipt_body(
        TERMS,
        "withdrawn",
        grade="wallet_key",
        signed=digest("withdrawal"),
        acknowledgement=Signature(at=1, digest=digest("acknowledgement")),
        deliverable=(digest("claim"),),
        acknowledge_by=2,
    ).document(),
    "disclosure": {
        **disclosure("march", "delivered", receipt_leaf=4),
        "key": "claim-0123abcd",
        "correction": identifier("cor", "march"),
    },
    "acceptance": {**acceptance("march", receipt_leaf=4, disclosure_leaf=5), "key": "receipt-0123abcd"},
    "program": dict(INSURER_LEDGER["program"].body),
    "agreement": {
        "agreement": identifier("agr", "ins-fit"),
        "program": "ins-fit",
        "program_version": 1,
        "digest": digest("program"),
        "payer": "insurer.example",
        "issuer": "gym.example",
        "signed": digest("agreement"),
        "signer": "gym.example",
    },
    "correction": {
        "wrong": {"log": "gym.example/log/2027", "leaf": 7},
        "right": {"log": "gym.example/log/2027", "leaf": 9},
        "signed": digest("correction"),
    },
    "retraction": {
        "issuer": "gym.example",
        "receipt": identifier("rcp", "ana"),
        "claim": digest("march"),
        "nullifier": digest("march"),
        "signed": digest("retraction"),
    },
    "discharge": {"receipt": identifier("rcp", "ana"), "field": "answers", "claims": [digest("march")]},
    "erasure": erasure("attested"),
}
MAY_BE_LEFT_OUT = {
    ("receipt", "signed"),
    ("receipt", "acknowledgement"),
    ("receipt", "deliverable"),
    ("receipt", "acknowledge_by"),
    ("disclosure", "supersedes"),
    ("disclosure", "acceptance"),
    ("disclosure", "key"),
    ("disclosure", "correction"),
    ("acceptance", "key"),
    ("discharge", "claims"),
    ("program", "tells"),
}
MEMBERS = [(kind, name) for kind, body in GOOD.items() for name in body]


def test_every_kind_is_tried_here() -> None:
    assert GOOD.keys() == BODIES.keys()


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_a_body_reads_back(kind: str) -> None:
    assert parse_body(kind, GOOD[kind]).document() == GOOD[kind]


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_a_body_says_nothing_else(kind: str) -> None:
    with pytest.raises(EntryMalformed):
        parse_body(kind, {**GOOD[kind], "note": "Ana, every Tuesday"})


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_what_a_body_must_say_it_says(kind: str, name: str) -> None:
    without = {each: value for each, value in GOOD[kind].items() if each != name}
    if (kind, name) in MAY_BE_LEFT_OUT:
        assert not parse_body(kind, without).document().get(name)
        return
    with pytest.raises(EntryMalformed):
        parse_body(kind, without)


@pytest.mark.parametrize("wrong", [True, -1, "Ana Miller", ["Ana Miller"], {"name": "Ana Miller"}], ids=repr)
@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_no_member_takes_another_type(kind: str, name: str, wrong: object) -> None:
    with pytest.raises(EntryMalformed) as refused:
        parse_body(kind, {**GOOD[kind], name: wrong})
    assert "Ana" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("event", {"commitment": digest("x") + "="}),
        ("event", {"commitment": digest("x")[:-1]}),
        ("receipt", {"purposes": []}),
        ("receipt", {"purposes": ["dpv:Marketing"] * 9}),
        ("receipt", {"purposes": ["to see Ana"]}),
        ("receipt", {"deliverable": [digest("x")] * 1_001}),
        ("receipt", {"events_from": 2**53 - 1, "acknowledgement": {"at": 1}}),
        ("disclosure", {"use": 0}),
        ("disclosure", {"period": "2027-3"}),
        ("disclosure", {"state": "paid"}),
        ("acceptance", {"log": ""}),
        ("acceptance", {"log": "gym.example/log"}),
        ("acceptance", {"log": "gym.example/members/ana"}),
        ("program", {"asset": "dollars"}),
        ("program", {"reward": 0}),
        ("program", {"budget": True}),
    ],
)
def test_bodies_have_bounds(kind: str, changes: dict[str, object]) -> None:
    with pytest.raises(EntryMalformed):
        parse_body(kind, {**GOOD[kind], **changes})


def test_a_receipts_body_says_what_its_terms_say() -> None:
    body = receipt_body(TERMS, "given", grade="app_asserted", signed=digest("given"))
    assert parse_body("receipt", body.document()) == body
    same_name = {"receipt", "version", "issuer", "recipient", "program", "program_version", "rung"}
    renamed = {"events_from": "events_from_s", "events_until": "events_until_s"} | {
        "valid_from": "valid_from_s",
        "valid_until": "valid_until_s",
    }
    for name, term in {**{each: each for each in same_name}, **renamed}.items():
        assert getattr(body, name) == getattr(TERMS, term), name
    assert (body.purposes, body.data_classes) == (TERMS.purposes, TERMS.data_classes)
    assert body.terms == TERMS.digest()


def test_a_receipts_body_names_neither_link_nor_notice() -> None:
    text = str(receipt_body(TERMS, "requested").document())
    assert TERMS.link not in text
    assert TERMS.notice not in text


def test_a_body_knows_every_state_of_a_receipt() -> None:
    assert set(get_args(ReceiptBody.model_fields["state"].annotation)) == set(ReceiptState) - {ReceiptState.UNKNOWN}
