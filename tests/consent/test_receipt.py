"""Receipts: what their terms may say, how they live, and what a wallet's signature under them proves."""

import re
from itertools import product

import pytest
import second
from signers import ed25519_key
from story import TERMS

from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.evidence import Evidence, check_evidence, evidence_message
from tallystick_consent.receipts.receipt import VALIDITY_MAX_S, Notice, Terms, parse_terms
from tallystick_consent.receipts.states import TRANSITIONS, ReceiptState, check_transition
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.errors import BadInput

WALLET = ed25519_key("ana's wallet")
DOCUMENT = TERMS.document()
AFTER_GIVING = ("renewed", "paused", "withdrawn", "revoked", "invalidated", "expired")
LIVES = {
    ("unknown", "requested"),
    ("requested", "deferred"),
    *(("requested", after) for after in ("given", "refused", "revoked", "expired")),
    *(("deferred", after) for after in ("given", "refused", "revoked", "expired")),
    *(("given", after) for after in AFTER_GIVING),
    *(("renewed", after) for after in AFTER_GIVING),
    *(("paused", after) for after in AFTER_GIVING if after != "paused"),
}


def terms(**changes: object) -> Terms:
    return parse_terms({**DOCUMENT, **changes})


@pytest.mark.parametrize(("before", "after"), list(product(ReceiptState, ReceiptState)))
def test_a_receipt_lives_once(before: ReceiptState, after: ReceiptState) -> None:
    if (before, after) in LIVES:
        check_transition(before, after)
        return
    with pytest.raises(ReceiptRejected) as refused:
        check_transition(before, after)
    assert refused.value.code == "receipt_state"


def test_every_state_says_what_may_follow() -> None:
    assert set(TRANSITIONS) == set(ReceiptState)


def test_the_states_are_those_of_dpv_and_paused() -> None:
    """Each state's docstring names the word it is of W3C DPV 2, whose ten these are."""
    dpv = {
        "ConsentUnknown",
        "ConsentRequested",
        "ConsentRequestDeferred",
        "ConsentRefused",
        "ConsentGiven",
        "ConsentExpired",
        "ConsentInvalidated",
        "ConsentRevoked",
        "ConsentWithdrawn",
        "RenewedConsentGiven",
    }
    assert set(re.findall(r"dpv:(\w+)", ReceiptState.__doc__ or "")) == dpv
    assert len(ReceiptState) == len(dpv) + 1


def test_terms_read_back() -> None:
    assert parse_terms(DOCUMENT) == TERMS


@pytest.mark.parametrize("name", sorted(DOCUMENT))
def test_no_term_may_be_missing_or_of_another_type(name: str) -> None:
    for document in ({each: DOCUMENT[each] for each in DOCUMENT if each != name}, {**DOCUMENT, name: {}}):
        with pytest.raises(ReceiptRejected, match=f"/{name}") as refused:
            parse_terms(document)
        assert refused.value.code == "receipt_malformed"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"version": 0}, "/version"),
        ({"version": True}, "/version"),
        ({"version": "1"}, "/version"),
        ({"issuer": "Gym.example"}, "/issuer"),
        ({"issuer": "gym.example/log/2027"}, "/issuer"),
        ({"issuer": "gym.example\n"}, "/issuer"),
        ({"receipt": "rcp_1"}, "/receipt"),
        ({"link": TERMS.receipt}, "/link"),
        ({"program": "Ins Fit"}, "/program"),
        ({"purposes": []}, "/purposes"),
        ({"purposes": ["dpv:PersonalisedBenefits"] * 9}, "/purposes"),
        ({"purposes": ["dpv:Marketing", "dpv:Curiosity"]}, "/purposes/1"),
        ({"data_classes": []}, "/data_classes"),
        ({"data_classes": ["visit"] * 33}, "/data_classes"),
        ({"rung": "everything"}, "/rung"),
        ({"retention_s": -1}, "/retention_s"),
        ({"retention_s": 2**53 - 1, "events_from_s": -1}, "/events_from_s"),
        ({"reward": "short"}, "/reward"),
        ({"events_from_s": TERMS.events_until_s}, "/"),
        ({"valid_from_s": TERMS.valid_until_s}, "/"),
        ({"valid_until_s": TERMS.valid_from_s + VALIDITY_MAX_S + 1}, "/"),
        ({"issuer": TERMS.recipient}, "/"),
        ({"Ana Miller": "a member it must not have"}, "a member it must not have"),
    ],
)
def test_terms_have_bounds(changes: dict[str, object], where: str) -> None:
    with pytest.raises(ReceiptRejected, match=rf"at {where}\.") as refused:
        terms(**changes)
    assert "Ana" not in str(refused.value)


def test_terms_may_stand_at_their_bounds() -> None:
    terms(valid_until_s=TERMS.valid_from_s + VALIDITY_MAX_S)
    terms(events_until_s=TERMS.events_from_s + 1, valid_until_s=TERMS.valid_from_s + 1, retention_s=0)
    terms(purposes=["dpv:Marketing"] * 8, data_classes=["visit"] * 32, version=100_000)


@pytest.mark.parametrize("document", [None, 7, "terms", [], {}])
def test_what_are_no_terms_is_refused(document: object) -> None:
    with pytest.raises(ReceiptRejected):
        parse_terms(document)


def test_limits_that_are_not_set_change_no_byte_of_the_terms() -> None:
    assert "limits" not in DOCUMENT
    assert terms(limits={}).digest() == TERMS.digest()
    assert terms(limits={"uses_max": 3}).document() == {**DOCUMENT, "limits": {"uses_max": 3}}


@pytest.mark.parametrize(
    "limits",
    [
        {"duration": "one_time"},
        {"duration": "one_time", "uses_max": 2},
        {"duration": "persistent"},
        {"duration": "for ever"},
        {"uses_max": 0},
        {"reconfirm_days": 0},
        {"staleness_days": 1_099},
        {"more": 1},
    ],
)
def test_limits_that_contradict_themselves_are_refused(limits: dict[str, object]) -> None:
    with pytest.raises(ReceiptRejected) as refused:
        terms(limits=limits)
    assert refused.value.code == "receipt_malformed"


def test_terms_that_json_cannot_say_once_are_refused() -> None:
    with pytest.raises(BadInput):
        terms(retention_s=1.0)


OTHER: dict[str, object] = {
    "receipt": "rcp_" + "a" * 26,
    "version": 2,
    "issuer": "track.example",
    "recipient": "cafe.example",
    "link": "lnk_" + "a" * 26,
    "program": "ins-fit2",
    "program_version": 2,
    "purposes": ["dpv:Marketing"],
    "data_classes": ["membership"],
    "rung": "token",
    "events_from_s": TERMS.events_from_s + 1,
    "events_until_s": TERMS.events_until_s + 1,
    "valid_from_s": TERMS.valid_from_s + 1,
    "valid_until_s": TERMS.valid_until_s - 1,
    "retention_s": TERMS.retention_s + 1,
    "reward": "A" * 43,
    "notice": "A" * 43,
    "limits": {"uses_max": 1},
    "authority": {"kind": "guardian"},
    "retention": [{"field": "evidence", "ground": "legal_claims", "until_days": 30}],
    "resources": [{"kind": "account", "id": "res_" + "a" * 26}],
}


def test_the_digest_is_that_of_the_text_and_changes_with_every_term() -> None:
    by_text = second.labelled_digest("tallystick/terms/v1", second.plain_json(DOCUMENT))
    assert TERMS.digest() == second.b64(by_text)
    assert set(OTHER) | {"previous"} == set(Terms.model_fields)
    assert terms(version=2, previous="A" * 43).digest() != terms(version=2).digest()
    digests = {terms(**{name: value}).digest() for name, value in OTHER.items()} | {TERMS.digest()}
    assert len(digests) == len(OTHER) + 1


def test_the_notice_is_bound_word_for_word() -> None:
    words = {"statement": "a", "example": "b", "silence": "c", "hidden": "d", "reward": "e"}
    digests = {Notice(**{**words, name: "other"}).digest() for name in words} | {Notice(**words).digest()}
    assert len(digests) == len(words) + 1
    by_text = second.labelled_digest("tallystick/notice/v1", second.plain_json(words))
    assert Notice(**words).digest() == second.b64(by_text)


def wallet(over: Terms, *, key: bytes | None = None, signature: bytes | None = None) -> Evidence:
    """Return evidence of a wallet that signed some terms."""
    return Evidence(
        grade="wallet_key",
        app="app",
        login="aal2",
        public_key=to_base64url(key or WALLET.public_key().public_bytes_raw()),
        signature=to_base64url(signature or WALLET.sign(evidence_message(over))),
    )


def test_a_wallets_signature_over_the_terms_is_taken() -> None:
    check_evidence(wallet(TERMS), TERMS)
    by_text = second.lp("tallystick/evidence/v1", second.plain_json(DOCUMENT))
    check_evidence(wallet(TERMS, signature=WALLET.sign(by_text)), TERMS)


def test_an_apps_word_needs_no_signature() -> None:
    check_evidence(Evidence(grade="app_asserted", app="app", login="aal1"), TERMS)


@pytest.mark.parametrize(
    "evidence",
    [
        wallet(terms(rung="raw")),
        wallet(TERMS, key=ed25519_key("eve").public_key().public_bytes_raw()),
        wallet(TERMS, signature=bytes(64)),
        wallet(TERMS, key=b"\x02".ljust(32, b"\0")),  # no point of the curve
    ],
)
def test_a_wallets_signature_over_anything_else_is_refused(evidence: Evidence) -> None:
    with pytest.raises(ReceiptRejected) as refused:
        check_evidence(evidence, TERMS)
    assert refused.value.code == "signature_invalid"


NEUTRAL = b"\x01".ljust(32, b"\0")
P = 2**255 - 19


@pytest.mark.parametrize("key", [NEUTRAL, (P + 1).to_bytes(32, "little"), bytes(32), (P - 1).to_bytes(32, "little")])
def test_a_key_under_which_anybody_can_sign_is_refused(key: bytes) -> None:
    """With R the neutral point and S zero the equation holds, under the neutral key for every message there is."""
    with pytest.raises(ReceiptRejected) as refused:
        check_evidence(wallet(TERMS, key=key, signature=NEUTRAL + bytes(32)), TERMS)
    assert refused.value.code == "signature_invalid"


@pytest.mark.parametrize(
    "parts",
    [
        {"grade": "wallet_key"},
        {"grade": "wallet_key", "public_key": "A" * 43},
        {"grade": "wallet_key", "signature": "A" * 86},
        {"grade": "app_asserted", "public_key": "A" * 43, "signature": "A" * 86},
    ],
)
def test_key_and_signature_stand_with_their_grade_alone(parts: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="wallet_key"):
        Evidence.model_validate({"app": "app", "login": "aal2", **parts})
