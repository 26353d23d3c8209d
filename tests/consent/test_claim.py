"""A claim: what the gym signed is what the insurer reads, and nobody else, no other time, and no other answer."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import digest, identifier
from signers import ed25519_key
from story import GYM, INSURER, TERMS

from tallystick_consent.claims.claim import ANSWER, VCT, Answer, Claim, holder_key, issue_claim, verify_claim
from tallystick_consent.claims.sdjwt import (
    CREDENTIAL_TYP,
    LEEWAY_S,
    KeyBinding,
    confirmation,
    issue_sd_jwt,
    present,
    show_only,
)
from tallystick_consent.claims.status_list import LIST_SIZE_MAX_BYTES
from tallystick_consent.errors import ClaimRejected
from tallystick_ledger.encoding import from_base64url, to_base64url

KEY = ed25519_key("claims of the gym")
KEYS = {"claim-1": KEY.public_key()}
NOW_S = 1_807_848_000  # 2027-04-16 04:00 UTC
CLAIM = Claim(
    jti=identifier("clm", "march"),
    vct=VCT,
    iss=GYM,
    aud=INSURER,
    iat=NOW_S,
    exp=NOW_S + 30 * 86_400,
    link=TERMS.link,
    receipt=TERMS.receipt,
    program="ins-fit",
    version=1,
    period="2027-03",
    slot=0,
    nullifier=digest("nullifier"),
    answer=Answer(statement="visit.qualified_days(2027-03) >= 12", value=True, assurance="turnstile"),
)
DOCUMENT = CLAIM.model_dump(mode="json", exclude_none=True)
WALLET = ed25519_key("wallet of one link")
STATUS = {"status_list": {"idx": 7, "uri": "https://gym.example/status/stl_a"}}
CNF = confirmation(WALLET.public_key())
FULL = {**DOCUMENT, "status": STATUS, "cnf": CNF}
NONCE = "n-42"


def random_bytes(size: int) -> bytes:
    return bytes(range(size))


def issued() -> str:
    return issue_claim(CLAIM, key_id="claim-1", private_key=KEY, random_bytes=random_bytes)


def signed(document: dict[str, Any], *, disclosed: tuple[str, ...] = (ANSWER,)) -> str:
    """Sign any content as the gym does, so that only its form can be wrong."""
    shown = {name: document[name] for name in disclosed}
    rest = {name: value for name, value in document.items() if name not in disclosed}
    return issue_sd_jwt(rest, shown, typ=CREDENTIAL_TYP, key_id="claim-1", private_key=KEY, random_bytes=random_bytes)


def verified(
    token: str, *, issuer: str = GYM, audience: str = INSURER, now_s: int = NOW_S, bound: KeyBinding | None = None
) -> Claim:
    return verify_claim(token, issuer=issuer, audience=audience, keys=KEYS, now_s=now_s, require_key_binding=bound)


def refused(token: str, **where: Any) -> str:
    with pytest.raises(ClaimRejected) as error:
        verified(token, **where)
    return error.value.code


def test_what_was_issued_is_what_is_read() -> None:
    assert verified(issued()) == CLAIM
    assert issued() == signed(DOCUMENT)


@given(st.text(min_size=1, max_size=200), st.booleans())
@settings(max_examples=100)
def test_a_claim_is_written_like_any_other_canonical_json(statement: str, holds_all: bool) -> None:
    """A claim writes itself, for speed; whatever its text, the bytes are those of the general way."""
    document = {**(FULL if holds_all else DOCUMENT), ANSWER: {**DOCUMENT[ANSWER], "statement": statement}}
    claim = Claim.model_validate(document)
    assert issue_claim(claim, key_id="claim-1", private_key=KEY, random_bytes=random_bytes) == signed(document)


def test_a_claim_for_another_audience_is_refused() -> None:
    assert refused(issued(), audience="cafe.example") == "audience_mismatch"


def test_a_claim_that_another_partner_passes_on_is_refused() -> None:
    """The keys are the gym's and the signature is good: only the name can tell."""
    assert refused(issued(), issuer="track.example") == "claim_mismatch"


def test_a_claim_signed_by_another_key_is_refused() -> None:
    eve = issue_claim(CLAIM, key_id="claim-1", private_key=ed25519_key("eve"), random_bytes=random_bytes)
    assert refused(eve) == "signature_invalid"


def test_a_claim_holds_until_it_expires() -> None:
    assert verified(issued(), now_s=CLAIM.exp + LEEWAY_S - 1) == CLAIM
    assert refused(issued(), now_s=CLAIM.exp + LEEWAY_S) == "claim_expired"


def test_a_claim_from_the_future_is_refused() -> None:
    assert verified(issued(), now_s=CLAIM.iat - LEEWAY_S) == CLAIM
    assert refused(issued(), now_s=CLAIM.iat - LEEWAY_S - 1) == "claim_not_yet_valid"


def test_a_tampered_answer_is_refused() -> None:
    head, disclosure, _ = issued().split("~")
    salt, name, answer = json.loads(from_base64url(disclosure))
    other = json.dumps([salt, name, {**answer, "assurance": "mixed"}], separators=(",", ":"), sort_keys=True)
    assert refused(f"{head}~{to_base64url(other.encode())}~") == "claim_malformed"


def test_a_claim_whose_answer_is_held_back_is_no_claim() -> None:
    assert refused(show_only(issued(), names=())) == "claim_malformed"


def test_a_claim_with_its_answer_in_the_open_is_refused() -> None:
    """All that a claim must say is there: it only could not be held back later."""
    assert refused(signed(DOCUMENT, disclosed=())) == "claim_mismatch"


def test_a_claim_that_could_hide_more_than_its_answer_is_refused() -> None:
    """All that a claim must say is shown; but what it is about could be held back from an arbiter."""
    assert refused(signed(DOCUMENT, disclosed=(ANSWER, "period"))) == "claim_mismatch"


@pytest.mark.parametrize("value", [False, None, 1, "true", 12])
def test_only_a_true_answer_is_an_answer(value: object) -> None:
    assert refused(signed({**DOCUMENT, ANSWER: {**DOCUMENT[ANSWER], "value": value}})) == "claim_malformed"


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 12},
        {ANSWER: {**DOCUMENT[ANSWER], "days": [1, 2, 4]}},
        {ANSWER: {**DOCUMENT[ANSWER], "assurance": "camera"}},
        {ANSWER: {**DOCUMENT[ANSWER], "statement": "x" * 201}},
        {"vct": "urn:tallystick:claim:2"},
        {"jti": "rcp_" + "a" * 26},
        {"link": "lnk_ana"},
        {"version": "1"},
        {"slot": -1},
        {"slot": False},
        {"period": "2027-"},
        {"period": "２０２７-03"},
        {"nullifier": "A"},
        {"status": None},
        {"status": {}},
        {"status": {**STATUS, "suspended": False}},
        {"status": {"status_list": {"idx": -1, "uri": "https://gym.example/status/stl_a"}}},
        {"status": {"status_list": {"idx": 8 * LIST_SIZE_MAX_BYTES, "uri": "https://gym.example/status/stl_a"}}},
        {"status": {"status_list": {"idx": 7, "uri": "file:///etc/passwd"}}},
        {"cnf": None},
        {"cnf": {"kid": "1"}},
        {"cnf": {"jwk": {"crv": "P-256", "kty": "EC", "x": "A"}}},
    ],
)
def test_a_claim_says_what_it_must_and_nothing_else(changes: dict[str, object]) -> None:
    assert refused(signed({**DOCUMENT, **changes})) == "claim_malformed"


@pytest.mark.parametrize("name", sorted(set(DOCUMENT) - {"aud", ANSWER}))
def test_no_member_of_a_claim_may_be_missing(name: str) -> None:
    document = {each: value for each, value in DOCUMENT.items() if each != name}
    if name in ("exp", "vct"):
        with pytest.raises(ClaimRejected):
            signed(document)
        return
    assert refused(signed(document)) == "claim_malformed"


def test_a_claim_for_nobody_is_refused() -> None:
    assert refused(signed({name: DOCUMENT[name] for name in DOCUMENT if name != "aud"})) == "audience_mismatch"


@pytest.mark.parametrize("token", ["", "~", "a.b.c~", "é~", issued().rstrip("~"), issued() + "x"])
def test_what_is_no_sd_jwt_is_refused(token: str) -> None:
    assert refused(token) in ("claim_malformed", "key_binding_unexpected")


# A claim that can be revoked, and one that its subject's wallet can present


def test_a_claim_says_where_its_status_stands_and_whose_wallet_may_present_it() -> None:
    claim = verified(signed(FULL))
    assert claim.status is not None
    assert (claim.status.status_list.idx, claim.status.status_list.uri) == (7, "https://gym.example/status/stl_a")
    assert claim.cnf == holder_key(to_base64url(WALLET.public_key().public_bytes_raw()))
    assert issue_claim(claim, key_id="claim-1", private_key=KEY, random_bytes=random_bytes) == signed(FULL)


def shown_to(audience: str, token: str | None = None, *, now_s: int = NOW_S, nonce: str = NONCE) -> str:
    return present(token or signed(FULL), nonce=nonce, audience=audience, now_s=now_s, holder_key=WALLET)


def test_the_wallet_shows_the_claim_to_an_arbiter() -> None:
    """It was made for the insurer; whom the wallet signs for is another question."""
    assert verified(shown_to("arbiter.example"), bound=KeyBinding(NONCE, "arbiter.example")).period == "2027-03"


def test_a_claim_that_was_shown_to_somebody_else_is_not_taken_from_them() -> None:
    assert refused(shown_to("arbiter.example"), bound=KeyBinding(NONCE, "judge.example")) == "audience_mismatch"


def test_where_the_holder_presents_the_issuers_signature_alone_is_not_enough() -> None:
    assert refused(signed(FULL), bound=KeyBinding(NONCE, "arbiter.example")) == "key_binding_missing"


def test_a_claim_without_a_wallet_key_cannot_be_presented() -> None:
    bound = KeyBinding(NONCE, "arbiter.example")
    assert refused(shown_to("arbiter.example", issued()), bound=bound) == "claim_malformed"


def test_what_comes_from_the_issuer_is_not_bound() -> None:
    assert refused(shown_to(INSURER)) == "key_binding_unexpected"
