"""Signed objects: each kind reads back as itself, and as nothing else."""

from itertools import permutations
from typing import Any

import pytest
import second
from fitness import PROGRAM_DOCUMENT
from logs import digest, identifier
from signers import ed25519_key
from story import GYM, INSURER, TERMS

from tallystick_consent.claims.jws import sign_jws
from tallystick_consent.erasure import FIELDS, ErasureAttestation, ErasureRequest, FieldAnswer
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.places import EventPlace
from tallystick_consent.receipts.evidence import Evidence
from tallystick_consent.signed import (
    Acceptance,
    Acknowledgement,
    Agreement,
    Correction,
    GivenReceipt,
    Proposal,
    RenewedReceipt,
    Retraction,
    SignedObject,
    Stop,
    Withdrawal,
    open_object,
    sign_object,
    signed_digest,
)
from tallystick_ledger.errors import BadInput, SignatureRejected

KEY = ed25519_key("receipts of the gym")
KEYS = {"receipt-1": KEY.public_key()}
AT_S = 1_807_848_000
RECEIPT: dict[str, Any] = {"receipt": TERMS.receipt, "version": 1}
AGREEMENT = identifier("agr", "ins-fit")
OBJECTS: list[SignedObject] = [
    Proposal(agreement=AGREEMENT, payer=INSURER, issuer=GYM, program=dict(PROGRAM_DOCUMENT), at=AT_S),
    Agreement(agreement=AGREEMENT, proposal=digest("proposal"), at=AT_S),
    GivenReceipt(terms=TERMS, evidence=Evidence(grade="app_asserted", app="app", login="aal2"), at=AT_S),
    RenewedReceipt(
        terms=TERMS,
        evidence=Evidence(grade="app_asserted", app="app", login="aal2"),
        renews=digest("given"),
        at=AT_S,
    ),
    Withdrawal(**RECEIPT, earned="drop", at=AT_S),
    Stop(**RECEIPT, state="paused", at=AT_S),
    Acknowledgement(**RECEIPT, state="given", digest=digest("given"), at=AT_S),
    Acceptance(
        issuer=GYM,
        claim=digest("claim"),
        nullifier=digest("nullifier"),
        fee=identifier("trf", "fee"),
        fee_asset="USD/2",
        fee_amount=100,
        at=AT_S,
    ),
    ErasureRequest(
        erasure=identifier("era", "ana"), origin=GYM, partner=INSURER, link=TERMS.link, receipts=(), at=AT_S
    ),
    ErasureAttestation(
        erasure=identifier("era", "ana"),
        partner=INSURER,
        request=digest("request"),
        fields=tuple(FieldAnswer(field=field, fate="erased") for field in FIELDS),
        at=AT_S,
    ),
    Correction(wrong=EventPlace(log=f"{GYM}/log/2027", leaf=7), right=None, at=AT_S),
    Retraction(recipient=INSURER, receipt=TERMS.receipt, claim=digest("claim"), nullifier=digest("nullifier"), at=AT_S),
]
each_kind = pytest.mark.parametrize("made", OBJECTS, ids=lambda made: type(made).__name__)


def sign(content: dict[str, Any], typ: str) -> str:
    return sign_jws(content, typ=typ, key_id="receipt-1", private_key=KEY)


def test_every_kind_is_tried_here() -> None:
    assert {type(made) for made in OBJECTS} == set(SignedObject.__subclasses__())


@each_kind
def test_what_was_signed_reads_back(made: SignedObject) -> None:
    token = sign_object(made, key_id="receipt-1", private_key=KEY)
    assert open_object(token, type(made), keys=KEYS) == made


@pytest.mark.parametrize(("made", "other"), list(permutations(OBJECTS, 2)), ids=lambda made: type(made).__name__)
def test_no_kind_passes_for_another(made: SignedObject, other: SignedObject) -> None:
    """The content is that of the kind asked for: only the type in the header is another's."""
    token = sign(other.model_dump(mode="json"), made.TYPE)
    with pytest.raises(SignatureRejected, match="another type"):
        open_object(token, type(other), keys=KEYS)
    with pytest.raises(ReceiptRejected):
        open_object(token, type(made), keys=KEYS)


@each_kind
def test_another_key_is_refused(made: SignedObject) -> None:
    eve = sign_object(made, key_id="receipt-1", private_key=ed25519_key("eve"))
    with pytest.raises(SignatureRejected):
        open_object(eve, type(made), keys=KEYS)
    unknown = sign_object(made, key_id="receipt-2", private_key=KEY)
    with pytest.raises(SignatureRejected):
        open_object(unknown, type(made), keys=KEYS)


@each_kind
def test_content_says_what_it_must_and_nothing_else(made: SignedObject) -> None:
    content = made.model_dump(mode="json")
    wrong = [
        {**content, "note": "Ana"},
        *({each: content[each] for each in content if each != name} for name in content),
        *({**content, name: True} for name in content),
    ]
    for each in wrong:
        with pytest.raises(ReceiptRejected) as refused:
            open_object(sign(each, made.TYPE), type(made), keys=KEYS)
        assert refused.value.code == "receipt_malformed"
        assert "Ana" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (GivenReceipt, {"terms": {**TERMS.document(), "purposes": ["dpv:Curiosity"]}}),
        (GivenReceipt, {"terms": {**TERMS.document(), "issuer": TERMS.recipient}}),
        (GivenReceipt, {"evidence": {"grade": "wallet_key", "app": "app", "login": "aal2"}}),
        (Withdrawal, {"earned": "all"}),
        (Withdrawal, {"deliverable": [digest("claim")], "deliverable_until": AT_S}),
        (Withdrawal, {"earned": "settle_earned", "deliverable": [digest("claim")]}),
        (Withdrawal, {"earned": "settle_earned", "deliverable_until": AT_S}),
        (Stop, {"state": "withdrawn"}),
        (Acknowledgement, {"state": "refused"}),
        (Acceptance, {"fee": "none"}),
        (Acceptance, {"fee_amount": -1}),
    ],
)
def test_content_out_of_bounds_is_refused(kind: type[SignedObject], changes: dict[str, object]) -> None:
    good = next(made for made in OBJECTS if type(made) is kind)
    with pytest.raises(ReceiptRejected):
        open_object(sign({**good.model_dump(mode="json"), **changes}, kind.TYPE), kind, keys=KEYS)


def test_a_withdrawal_that_settles_lists_what_is_to_come_and_one_that_does_not_reads_as_it_always_did() -> None:
    drop, settle = Withdrawal(**RECEIPT, earned="drop", at=AT_S), {"earned": "settle_earned", "deliverable_until": AT_S}
    assert drop.model_dump(mode="json") == {**RECEIPT, "earned": "drop", "at": AT_S}
    listed = Withdrawal(**RECEIPT, **settle, deliverable=(digest("claim"),), at=AT_S)
    token = sign_object(listed, key_id="receipt-1", private_key=KEY)
    assert open_object(token, Withdrawal, keys=KEYS) == listed


def test_an_acceptance_without_a_fee_reads_back() -> None:
    free = Acceptance(issuer=GYM, claim=digest("c"), nullifier=digest("n"), fee="", fee_asset="", fee_amount=0, at=AT_S)
    assert open_object(sign_object(free, key_id="receipt-1", private_key=KEY), Acceptance, keys=KEYS) == free


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "é"])
def test_what_is_no_jws_is_refused(token: str) -> None:
    with pytest.raises(BadInput):
        open_object(token, Withdrawal, keys=KEYS)


def test_the_digest_is_that_of_the_text() -> None:
    token = sign_object(OBJECTS[0], key_id="receipt-1", private_key=KEY)
    assert signed_digest(token) == second.b64(second.labelled_digest("tallystick/signed/v1", token.encode()))
