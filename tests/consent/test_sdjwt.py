"""SD-JWT: what is issued reads back, the holder chooses what to show, and each lie is refused for its own reason.

The lies are signed with a good key, so only the guard they are told to can catch them.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto.jwk import JWK
from places import shared
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier
from signers import ed25519_key

from tallystick_consent.claims.jws import TOKEN_SIZE_MAX_BYTES, CheckSignature, FindKey, sign_jws
from tallystick_consent.claims.sdjwt import (
    ALWAYS_SHOWN,
    CREDENTIAL_TYP,
    DEPTH_MAX,
    DISCLOSURE_COUNT_MAX,
    KEY_BINDING_AGE_MAX_S,
    KEY_BINDING_TYP,
    LEEWAY_S,
    KeyBinding,
    VerifiedClaims,
    confirmation,
    issue_sd_jwt,
    make_disclosure,
    open_sd_jwt,
    present,
    show_only,
    verify_sd_jwt,
)
from tallystick_consent.errors import ClaimRejected
from tallystick_ledger.encoding import INTEGER_MAX, from_base64url, to_base64url
from tallystick_ledger.errors import BadInput

NOW_S = 1_772_323_200  # 2026-03-01 00:00 UTC
GYM = ed25519_key("claims of the gym")
WALLET = ed25519_key("wallet of one link")
KEYS = {"claim-1": GYM.public_key()}
INSURER = "insurer.example"
NONCE = "n-42"
BOUND = KeyBinding(NONCE, INSURER)
CLAIMS: dict[str, object] = {
    "iss": "gym.example",
    "aud": INSURER,
    "iat": NOW_S,
    "exp": NOW_S + 3600,
    "vct": "urn:tallystick:visits:1",
    "cnf": confirmation(WALLET.public_key()),
    "period": "2026-02",
}
VISITS = {"visits_gte_4": True, "visits_gte_8": True, "visits_gte_12": False}


def counted() -> Callable[[int], bytes]:
    """Bytes that differ from call to call, and are the same in each run."""
    calls = 0

    def random_bytes(size: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.sha256(str(calls).encode()).digest()[:size]

    return random_bytes


def issue(
    claims: Mapping[str, object] = CLAIMS, disclosed: Mapping[str, object] = VISITS, *, typ: str = CREDENTIAL_TYP
) -> str:
    return issue_sd_jwt(claims, disclosed, typ=typ, key_id="claim-1", private_key=GYM, random_bytes=counted())


def verify(token: str, **changed: Any) -> VerifiedClaims:
    asked: dict[str, Any] = {"typ": CREDENTIAL_TYP, "keys": KEYS, "now_s": NOW_S, "audience": INSURER, "holder": None}
    return verify_sd_jwt(token, **asked | changed)


def hidden(*parts: object, salt: str = "c2FsdHNhbHRzYWx0c2FsdA") -> str:
    """A disclosure of any parts behind a salt."""
    return to_base64url(json.dumps([salt, *parts]).encode())


def digest(disclosure: str) -> str:
    return to_base64url(hashlib.sha256(disclosure.encode()).digest())


def signed(payload: Mapping[str, object], *disclosures: str) -> str:
    """The SD-JWT of any payload and disclosures, over a good signature."""
    token = sign_jws(payload, typ=CREDENTIAL_TYP, key_id="claim-1", private_key=GYM)
    return "~".join((token, *disclosures, ""))


def disclosing(*disclosures: str, **claims: object) -> str:
    """The token whose payload refers to each of these disclosures at its top level."""
    return signed(CLAIMS | {"_sd": [digest(each) for each in disclosures]} | claims, *disclosures)


def bound(payload: Mapping[str, object], *, typ: str = KEY_BINDING_TYP, key: Ed25519PrivateKey = WALLET) -> str:
    """A token with a key binding of any payload, signed with the holder's key."""
    return issue() + sign_jws(payload, typ=typ, key_id=None, private_key=key)


def binding() -> dict[str, object]:
    return {"aud": INSURER, "iat": NOW_S, "nonce": NONCE, "sd_hash": digest(issue())}


def refused(token: str, reason: str, problem: str, **changed: Any) -> None:
    with pytest.raises(ClaimRejected, match=problem) as error:
        verify(token, **changed)
    assert error.value.reason == reason


def malformed(token: str, problem: str, **changed: Any) -> None:
    refused(token, "claim_malformed", problem, **changed)


# What is true


def test_everything_shown_reads_back() -> None:
    assert verify(issue()) == VerifiedClaims(CLAIMS | VISITS, frozenset(VISITS), key_binding=False)


def test_the_holder_shows_one_threshold_and_no_other() -> None:
    shown = verify(show_only(issue(), names={"visits_gte_8"}))
    assert shown.payload == CLAIMS | {"visits_gte_8": True}
    assert shown.disclosed == {"visits_gte_8"}


def test_the_holder_may_show_nothing() -> None:
    assert verify(show_only(issue(), names=())).payload == CLAIMS


def test_what_is_held_back_stands_nowhere_in_the_token() -> None:
    held_back = show_only(issue(), names={"visits_gte_8"})
    payload = json.loads(from_base64url(held_back.split(".")[1]))
    assert not {"visits_gte_4", "visits_gte_12"} & payload.keys()
    assert all(make_disclosure(name, value, salt=b"x" * 16)[22:] not in held_back for name, value in VISITS.items())


def test_the_order_of_digests_tells_nothing() -> None:
    payload = json.loads(from_base64url(issue().split(".")[1]))
    assert payload["_sd"] == sorted(payload["_sd"])


def test_a_token_without_disclosures_is_one_too() -> None:
    assert verify(issue(disclosed={})).payload == CLAIMS


def test_a_credential_names_its_type_and_other_kinds_need_not() -> None:
    untyped = {name: value for name, value in CLAIMS.items() if name != "vct"}
    malformed(signed(untyped), "does not name its type")
    malformed(signed(CLAIMS | {"vct": ""}), "does not name its type")
    assert verify(issue(untyped, typ="receipt+sd-jwt"), typ="receipt+sd-jwt").payload == untyped | VISITS


def test_array_elements_and_nested_properties_are_put_in_place() -> None:
    city, street = hidden("city", "Lisboa"), hidden("a/b~c", 1)
    home = hidden("home", {"_sd": [digest(city), digest(street)], "country": "PT"})
    second, decoy = hidden({"_sd": [], "class": "yoga"}), digest("a decoy")
    token = disclosing(home, kinds=["gym", {"...": decoy}, {"...": digest(second)}, [1]])
    shown = verify(token + second + "~" + city + "~" + street + "~")
    assert shown.payload["home"] == {"city": "Lisboa", "a/b~c": 1, "country": "PT"}
    assert shown.payload["kinds"] == ["gym", {"class": "yoga"}, [1]]
    assert shown.disclosed == {"home", "home/city", "home/a~1b~0c", "kinds/1"}


def test_a_decoy_and_an_unnamed_hash_are_fine() -> None:
    assert verify(signed(CLAIMS | {"_sd": [digest("a decoy")]})).payload == CLAIMS


# A closed alphabet: Hypothesis needs seconds for a table of all of Unicode the first time it runs in a clone.
LETTERS = 'az09 "\\/~._\n\x00éß€\u2028😀'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | st.text(LETTERS, max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc.-", min_size=1, max_size=2), inner),
    max_leaves=8,
)
NAMES = st.text("abcdefgh_", min_size=1, max_size=8).filter(lambda each: each not in ALWAYS_SHOWN | {"_sd", "_sd_alg"})


@settings(deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=6), st.dictionaries(NAMES, JSON, max_size=6))
def test_any_claims_read_back(visible: dict[str, object], disclosed: dict[str, object]) -> None:
    claims = CLAIMS | {name: value for name, value in visible.items() if name not in disclosed}
    assert verify(issue(claims, disclosed)).payload == claims | disclosed


@settings(deadline=None)
@given(st.data())
def test_no_token_with_one_character_changed_reads_back(data: st.DataObject) -> None:
    token = present(issue(), nonce=NONCE, audience=INSURER, now_s=NOW_S, holder_key=WALLET)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("AZaz09-_.~= ").filter(lambda each: each != token[place]))
    with pytest.raises(ClaimRejected):
        verify(token[:place] + other + token[place + 1 :], holder=BOUND)


# Other people's software


def jwk_of(key: Ed25519PrivateKey) -> JWK:
    public, private = (to_base64url(each) for each in (key.public_key().public_bytes_raw(), key.private_bytes_raw()))
    return JWK(kty="OKP", crv="Ed25519", x=public, d=private)


def es256(jwk: Mapping[str, str]) -> CheckSignature:
    x, y = (int.from_bytes(from_base64url(jwk[each])) for each in ("x", "y"))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()

    def check(signature: bytes, message: bytes) -> None:
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))

    return check


def es256_only(jwk: Mapping[str, str]) -> FindKey:
    def find(header: Mapping[str, object]) -> CheckSignature:
        assert header["alg"] == "ES256"
        return es256(jwk)

    return find


def test_the_example_of_rfc_9901_reads_as_it_says() -> None:
    vector = json.loads(shared("vectors/sd-jwt/rfc9901-section5.json").read_text())
    shown = open_sd_jwt(
        vector["presentation"],
        typ="example+sd-jwt",
        find_issuer=es256_only(vector["issuer_public_jwk"]),
        find_holder=lambda cnf: es256_only(cnf["jwk"]),  # type: ignore[index]  # the vector has one
        now_s=1_748_537_243,
        audience=None,
        holder=KeyBinding(vector["nonce"], vector["aud"]),
    )
    assert shown.payload == vector["processed_payload"]
    assert shown.disclosed == {"family_name", "given_name", "address", "nationalities/0"}
    assert shown.key_binding


def test_the_product_refuses_that_example_for_its_algorithm() -> None:
    vector = json.loads(shared("vectors/sd-jwt/rfc9901-section5.json").read_text())
    refused(vector["presentation"], "signature_invalid", "header", typ="example+sd-jwt", now_s=1_748_537_243)


def test_pypi_sd_jwt_reads_ours() -> None:
    read = SDJWTVerifier(issue(), lambda _issuer, _header: jwk_of(GYM))
    assert read.get_verified_payload() == CLAIMS | VISITS


def test_we_read_pypi_sd_jwts_nested_ones_and_its_holders_key_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != "cnf"} | {
        SDObj("home"): {SDObj("city"): "Lisboa", "country": "PT"},
        "kinds": [SDObj("gym"), SDObj("pool"), "spa"],
    }
    issued = SDJWTIssuer(
        claims,
        jwk_of(GYM),
        jwk_of(WALLET),
        sign_alg="Ed25519",
        add_decoy_claims=True,
        extra_header_parameters={"typ": CREDENTIAL_TYP, "kid": "claim-1"},
    )
    # An oracle that asks the wall clock; only this test tells it the time.
    monkeypatch.setattr("sd_jwt.holder.time", lambda: NOW_S)
    wallet = SDJWTHolder(issued.sd_jwt_issuance)
    wallet.create_presentation(
        {"home": {"city": True}, "kinds": [False, True]}, NONCE, INSURER, jwk_of(WALLET), sign_alg="Ed25519"
    )
    token = wallet.sd_jwt_presentation
    shown = verify(token, holder=BOUND)
    assert shown.payload["home"] == {"city": "Lisboa", "country": "PT"}
    assert shown.payload["kinds"] == ["pool", "spa"]
    assert shown.disclosed == {"home", "home/city", "kinds/0"}


def test_pypi_sd_jwt_reads_our_key_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its verifier takes one algorithm for key bindings, from a constant.
    monkeypatch.setattr("sd_jwt.verifier.DEFAULT_SIGNING_ALG", "Ed25519")
    token = present(issue(), nonce=NONCE, audience=INSURER, now_s=NOW_S, holder_key=WALLET)
    read = SDJWTVerifier(token, lambda _issuer, _header: jwk_of(GYM), INSURER, NONCE)
    assert read.get_verified_payload() == CLAIMS | VISITS


# Time, audience, issuer


def test_a_claim_holds_until_its_expiry_and_the_leeway_are_over() -> None:
    last_s = NOW_S + 3600 + LEEWAY_S
    assert verify(issue(), now_s=last_s - 1)
    refused(issue(), "claim_expired", "expired", now_s=last_s)
    refused(issue(), "claim_expired", "expired", now_s=NOW_S + 3600, leeway_s=0)


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_claim_from_the_future_waits(name: str) -> None:
    assert verify(signed(CLAIMS | {name: NOW_S + LEEWAY_S}))
    refused(signed(CLAIMS | {name: NOW_S + LEEWAY_S + 1}), "claim_not_yet_valid", "not valid yet")


def test_a_claim_without_expiry_is_refused() -> None:
    malformed(signed({name: value for name, value in CLAIMS.items() if name != "exp"}), "no expiry")


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", [True, str(NOW_S), None, -1, [NOW_S]])
def test_a_time_is_a_whole_number(name: str, value: object) -> None:
    malformed(signed(CLAIMS | {name: value}), "not a whole number")


def test_a_time_past_exact_integers_is_refused() -> None:
    malformed(raw_payload(json.dumps(CLAIMS | {"exp": INTEGER_MAX + 1})), "not a whole number")


@pytest.mark.parametrize("value", [1e10, float(NOW_S + 1)])
def test_a_number_with_a_fraction_is_refused_wherever_it_stands(value: float) -> None:
    malformed(raw_payload(json.dumps(CLAIMS | {"exp": value})), "not an integer")
    malformed(raw_payload(json.dumps(CLAIMS | {"visits": [{"count": value}]})), "not an integer")
    malformed(disclosing(hidden("visits", value)), "not an integer")


@pytest.mark.parametrize(
    "audience", ["bank.example", [INSURER], [INSURER, "bank.example"], [], None, True, INSURER + " "]
)
def test_a_claim_for_anybody_else_or_for_several_is_refused(audience: object) -> None:
    refused(signed(CLAIMS | {"aud": audience}), "audience_mismatch", "somebody else")


def test_a_claim_for_nobody_in_particular_is_taken_only_by_who_asks_for_that() -> None:
    anybody = {name: value for name, value in CLAIMS.items() if name != "aud"}
    assert verify(signed(anybody), audience=None)
    refused(signed(anybody), "audience_mismatch", "somebody else")
    refused(signed(CLAIMS), "audience_mismatch", "somebody else", audience=None)


def test_only_the_issuers_keys_and_type_are_taken() -> None:
    refused(issue(), "signature_invalid", "not trusted", keys={"claim-2": GYM.public_key()})
    refused(issue(), "signature_invalid", "signature of a token is wrong", keys={"claim-1": WALLET.public_key()})
    refused(issue(typ="kb+jwt"), "signature_invalid", "another type")


# Disclosures


@pytest.mark.parametrize("name", sorted(ALWAYS_SHOWN))
def test_what_decides_whether_a_claim_holds_is_never_disclosed(name: str) -> None:
    value = CLAIMS.get(name, NOW_S)
    disclosure = hidden(name, value)
    rest = {each: value for each, value in CLAIMS.items() if each != name}
    malformed(signed(rest | {"_sd": [digest(disclosure)]}, disclosure), "must be visible is selectively")


@pytest.mark.parametrize("name", ["aud", "cnf", "status"])
@pytest.mark.parametrize("shown", [True, False])
def test_no_part_of_it_is_either(name: str, shown: bool) -> None:
    inside, element = hidden("inside", 1), hidden("element")
    for part, disclosure in (({"_sd": [digest(inside)]}, inside), ([{"...": digest(element)}], element)):
        token = signed(CLAIMS | {name: part}, *([disclosure] if shown else []))
        malformed(token, "A part of a claim that must be visible")


def test_the_same_names_deeper_down_mean_something_else() -> None:
    status = hidden("status", "open")
    assert verify(signed(CLAIMS | {"loan": {"_sd": [digest(status)]}}, status)).payload["loan"] == {"status": "open"}
    late = {"loan": {"status": {"_sd": [digest("a decoy")], "days_late": 3}}}
    assert verify(signed(CLAIMS | late)).payload["loan"] == {"status": {"days_late": 3}}


def test_a_disclosure_that_belongs_to_no_digest_is_refused() -> None:
    malformed(signed(CLAIMS, hidden("visits", 12)), "belongs to no digest")
    # Nor does one inside another that is held back belong anywhere.
    city = hidden("city", "Lisboa")
    home = hidden("home", {"_sd": [digest(city)]})
    malformed(signed(CLAIMS | {"_sd": [digest(home)]}, city), "belongs to no digest")


def test_the_same_disclosure_twice_is_refused() -> None:
    visits = hidden("visits", 12)
    malformed(signed(CLAIMS | {"_sd": [digest(visits)]}, visits, visits), "disclosure is there twice")


def test_the_same_digest_twice_is_refused_whether_or_not_it_is_disclosed() -> None:
    malformed(signed(CLAIMS | {"_sd": [digest("a decoy")] * 2}), "digest is there twice")
    element = hidden("gym")
    twice = [{"...": digest(element)}, {"...": digest(element)}]
    malformed(signed(CLAIMS | {"kinds": twice}, element), "digest is there twice")
    malformed(signed(CLAIMS | {"_sd": [digest(element)], "kinds": twice[:1]}), "digest is there twice")


@pytest.mark.parametrize("name", ["_sd", "...", "_sd_alg"])
def test_a_disclosure_with_a_reserved_name_is_refused(name: str) -> None:
    malformed(disclosing(hidden(name, ["x"])), "name that is not reserved")


def test_a_disclosure_replaces_no_claim_and_no_other_disclosure() -> None:
    malformed(disclosing(hidden("period", "2026-01")), "already there")
    malformed(disclosing(hidden("visits", 1), hidden("visits", 2)), "already there")
    inner = hidden("country", "ES")
    malformed(disclosing(inner, _sd=[], home={"country": "PT", "_sd": [digest(inner)]}), "already there")


@pytest.mark.parametrize("name", ["sha-512", "sha3-256", "SHA-256", "", None, 256])
def test_another_hash_is_refused(name: object) -> None:
    malformed(signed(CLAIMS | {"_sd_alg": name}), "hash that is not known")


@pytest.mark.parametrize("place", [{"_sd_alg": "sha-256"}, {"...": "x", "more": 1}, {"...": "x"}])
def test_a_reserved_name_elsewhere_is_refused(place: dict[str, object]) -> None:
    malformed(signed(CLAIMS | {"home": place}), "no meaning")


@pytest.mark.parametrize("digests", [None, "x", {"0": "x"}, 1, True])
def test_digests_are_an_array(digests: object) -> None:
    malformed(signed(CLAIMS | {"_sd": digests}), "not an array")


@pytest.mark.parametrize("value", [None, 1, True, ["x"], {}])
def test_a_digest_is_text(value: object) -> None:
    malformed(signed(CLAIMS | {"_sd": [value]}), "not text")
    malformed(signed(CLAIMS | {"kinds": [{"...": value}]}), "not text")


def test_a_disclosure_stands_where_its_kind_belongs() -> None:
    element, named = hidden("gym"), hidden("kind", "gym")
    malformed(disclosing(element), "among properties")
    malformed(signed(CLAIMS | {"kinds": [{"...": digest(named)}]}, named), "among array elements")


@pytest.mark.parametrize(
    "text",
    ['["salt"]', '["salt","n",1,2]', "[]", "{}", "null", '"salt"', '[1,"n",1]', '["salt",1,1]', '["salt",null,1]'],
)
def test_a_disclosure_is_a_salt_perhaps_a_name_and_a_value(text: str) -> None:
    malformed(disclosing(to_base64url(text.encode())), "not a salt")


@pytest.mark.parametrize("text", ['["s","n",1],"more":[2]', '["s","n",1],"":1'])
def test_a_disclosure_does_not_break_out_of_what_it_is_read_in(text: str) -> None:
    malformed(disclosing(to_base64url(text.encode())), "not JSON")


@pytest.mark.parametrize(
    "text",
    [
        '["s","n",1]x',
        '["s","n",1]}',
        '["s","n",{"a":1,"a":2}]',
        '["s","n",NaN]',
        "",
        "[" * 20_000,
        '["s","n",1],"disclosure":1',
    ],
)
def test_a_disclosure_is_strict_json(text: str) -> None:
    malformed(disclosing(to_base64url(text.encode())), "not JSON")


def test_a_disclosure_is_canonical_base64url() -> None:
    visits = hidden("visits", 1200, salt="xx")
    last = visits[-1]
    assert len(visits) % 4, "some bits of the last character are unused"
    malformed(disclosing(visits[:-1] + chr(ord(last) + 1)), "base64url")
    malformed(disclosing(visits + "="), "base64url")


def test_disclosures_may_be_as_many_as_the_bound_and_no_more() -> None:
    many = [hidden(f"visits_{each}", each) for each in range(DISCLOSURE_COUNT_MAX + 1)]
    assert len(verify(disclosing(*many[1:])).disclosed) == DISCLOSURE_COUNT_MAX
    malformed(disclosing(*many), "too many disclosures")


def nested(levels: int) -> list[str]:
    """Disclosures inside one another: the outermost first, each an object but for the last."""
    chain = [hidden("visits", 1)]
    for level in range(levels - 1):
        chain.insert(0, hidden(f"level_{level}", {"_sd": [digest(chain[0])]}))
    return chain


def test_disclosures_may_be_nested_as_deep_as_the_bound_and_no_deeper() -> None:
    fits, too_deep = nested(DEPTH_MAX), nested(DEPTH_MAX + 1)
    assert verify(signed(CLAIMS | {"_sd": [digest(fits[0])]}, *fits))
    malformed(signed(CLAIMS | {"_sd": [digest(too_deep[0])]}, *too_deep), "too deep")


def test_arrays_may_be_nested_as_deep_as_the_bound_and_no_deeper() -> None:
    fits: list[object] = []
    for _ in range(DEPTH_MAX - 2):
        fits = [fits]
    assert verify(signed(CLAIMS | {"kinds": fits}))
    malformed(signed(CLAIMS | {"kinds": [fits]}), "too deep")


# The text of a token


def raw_payload(text: str) -> str:
    """A good signature over a payload in any spelling."""
    message = f"{issue().split('.')[0]}.{to_base64url(text.encode())}"
    return f"{message}.{to_base64url(GYM.sign(message.encode()))}~"


def test_a_payload_with_a_name_twice_is_refused() -> None:
    text = json.dumps(CLAIMS)
    malformed(raw_payload(text[:-1] + ',"period":"2026-02"}'), "not JSON")


def test_a_token_ends_in_a_tilde() -> None:
    malformed(issue(disclosed={})[:-1], "no tilde")
    refused(issue()[:-1], "key_binding_unexpected", "none was asked for")


@pytest.mark.parametrize("garbage", ["x", " ", "\n", "a.b.c"])
def test_nothing_stands_behind_the_last_tilde(garbage: str) -> None:
    refused(issue() + garbage, "key_binding_unexpected", "none was asked for")


@pytest.mark.parametrize("token", ["", "~", "~~", "~" + hidden("visits", 1) + "~"])
def test_a_token_without_a_signed_part_is_refused(token: str) -> None:
    malformed(token, "no signed part")


def test_an_empty_disclosure_is_refused() -> None:
    malformed(issue() + "~", "not JSON")


def test_a_token_is_ascii() -> None:
    malformed(disclosing() + "\ud800~", "not ASCII")


def test_a_token_may_be_as_long_as_the_bound_and_no_longer() -> None:
    assert verify(token_of(TOKEN_SIZE_MAX_BYTES))
    malformed(token_of(TOKEN_SIZE_MAX_BYTES + 1), "claim is too long")


def token_of(size: int) -> str:
    """A good token of exactly this many bytes, most of them in one disclosure; the salt makes up for base64's steps."""
    room = size - len(disclosing(hidden("visits", "")))
    for less in range(8):
        for salt in ("salt", "salts", "salted"):
            token = disclosing(hidden("visits", "x" * (room * 3 // 4 + 24 - less), salt=salt))
            if len(token) == size:
                return token
    raise AssertionError("no spelling has this size")


# Issuing


@pytest.mark.parametrize("name", sorted(ALWAYS_SHOWN | {"period"}))
def test_what_must_be_visible_cannot_be_issued_as_disclosed(name: str) -> None:
    with pytest.raises(ClaimRejected, match="must be visible, or already is"):
        issue(CLAIMS, {name: 1})


@pytest.mark.parametrize("name", ["_sd", "...", "_sd_alg"])
def test_reserved_names_cannot_be_issued(name: str) -> None:
    for claims, disclosed in (
        ({name: []}, {}),
        ({"home": [{name: "x"}]}, {}),
        ({}, {name: "x"}),
        ({}, {"home": {"rooms": ({name: []},)}}),
    ):
        with pytest.raises(ClaimRejected, match="reserves"):
            issue(CLAIMS | claims, disclosed)


def test_what_would_not_verify_cannot_be_issued() -> None:
    with pytest.raises(ClaimRejected, match="no expiry"):
        issue({name: value for name, value in CLAIMS.items() if name != "exp"})
    with pytest.raises(ClaimRejected, match="whole number"):
        issue(CLAIMS | {"exp": True})
    with pytest.raises(ClaimRejected, match="too many disclosures"):
        issue(disclosed={f"visits_{each}": each for each in range(DISCLOSURE_COUNT_MAX + 1)})
    with pytest.raises(ClaimRejected, match="too long"):
        issue(disclosed={"visits": "x" * TOKEN_SIZE_MAX_BYTES})
    with pytest.raises(BadInput, match="float"):
        issue(disclosed={"visits": 0.5})


def test_nothing_too_deep_is_issued() -> None:
    deep: list[object] = []
    for _ in range(DEPTH_MAX - 2):
        deep = [deep]
    assert verify(issue(disclosed={"kinds": deep}))
    with pytest.raises(ClaimRejected, match="too deep"):
        issue(disclosed={"kinds": [deep]})


def test_a_salt_is_128_bits() -> None:
    with pytest.raises(AssertionError, match="128 bits"):
        make_disclosure("visits", 12, salt=b"short")


def test_only_what_is_there_can_be_shown() -> None:
    with pytest.raises(ClaimRejected, match="no disclosure in the token"):
        show_only(issue(), names={"visits_gte_20"})


# Key binding


def test_the_holder_proves_the_claim_is_theirs() -> None:
    token = present(
        show_only(issue(), names={"visits_gte_4"}), nonce=NONCE, audience=INSURER, now_s=NOW_S, holder_key=WALLET
    )
    shown = verify(token, holder=BOUND)
    assert shown.payload == CLAIMS | {"visits_gte_4": True}
    assert shown.key_binding
    assert bound(binding()) == present(issue(), nonce=NONCE, audience=INSURER, now_s=NOW_S, holder_key=WALLET)


def test_a_key_binding_that_is_demanded_must_be_there() -> None:
    refused(issue(), "key_binding_missing", "missing", holder=BOUND)
    refused(
        issue({name: value for name, value in CLAIMS.items() if name != "cnf"}),
        "key_binding_missing",
        "missing",
        holder=BOUND,
    )


def test_a_key_binding_that_is_not_demanded_must_not_be_there_unless_told() -> None:
    refused(bound(binding()), "key_binding_unexpected", "none was asked for")
    assert not verify(bound(binding()), ignore_key_binding=True).key_binding


def test_a_claim_is_bound_once() -> None:
    for again in (
        lambda token: present(token, nonce=NONCE, audience=INSURER, now_s=NOW_S, holder_key=WALLET),
        lambda token: show_only(token, names=()),
    ):
        with pytest.raises(ClaimRejected, match="none was asked for"):
            again(bound(binding()))


def test_a_key_binding_is_fresh() -> None:
    for age_s in (KEY_BINDING_AGE_MAX_S, 0, -LEEWAY_S):
        assert verify(bound(binding() | {"iat": NOW_S - age_s}), holder=BOUND)
    for age_s in (KEY_BINDING_AGE_MAX_S + 1, -LEEWAY_S - 1):
        refused(bound(binding() | {"iat": NOW_S - age_s}), "key_binding_stale", "just now", holder=BOUND)


@pytest.mark.parametrize("value", [True, None, str(NOW_S)])
def test_the_time_of_a_key_binding_is_a_whole_number(value: object) -> None:
    malformed(bound(binding() | {"iat": value}), "whole number", holder=BOUND)


def test_a_key_binding_for_another_verifier_is_refused() -> None:
    for audience in ("bank.example", [INSURER], None):
        refused(bound(binding() | {"aud": audience}), "audience_mismatch", "holder signed for", holder=BOUND)


def test_a_key_binding_over_another_nonce_is_refused() -> None:
    for nonce in ("n-43", None, [NONCE]):
        refused(bound(binding() | {"nonce": nonce}), "key_binding_mismatch", "another nonce", holder=BOUND)


def test_a_key_binding_over_other_disclosures_is_refused() -> None:
    less = show_only(issue(), names={"visits_gte_4"})
    refused(bound(binding() | {"sd_hash": digest(less)}), "key_binding_mismatch", "other disclosures", holder=BOUND)
    without_tilde = digest(issue()[:-1])
    refused(bound(binding() | {"sd_hash": without_tilde}), "key_binding_mismatch", "other disclosures", holder=BOUND)


@pytest.mark.parametrize("name", ["aud", "iat", "nonce", "sd_hash"])
def test_a_key_binding_leaves_nothing_out(name: str) -> None:
    rest = {each: value for each, value in binding().items() if each != name}
    malformed(bound(rest), "too many or too few", holder=BOUND)


def test_a_key_binding_says_nothing_else() -> None:
    malformed(bound(binding() | {"exp": NOW_S - 1}), "too many or too few", holder=BOUND)


def test_a_key_binding_is_of_its_type() -> None:
    refused(bound(binding(), typ="jwt"), "signature_invalid", "another type", holder=BOUND)


def test_a_key_binding_is_signed_by_the_key_the_claim_names() -> None:
    token = bound(binding(), key=ed25519_key("a thief"))
    refused(token, "signature_invalid", "signature of a token is wrong", holder=BOUND)


def test_a_key_binding_names_no_key_of_its_own() -> None:
    named = sign_jws(binding(), typ=KEY_BINDING_TYP, key_id="claim-1", private_key=WALLET)
    refused(issue() + named, "signature_invalid", "too many or too few", holder=BOUND)


@pytest.mark.parametrize("cnf", [None, "x", {}, {"kid": "claim-1"}, {"jwk": None}, {"jwk": {"x": 1}}, {"jwk": {}}])
def test_a_claim_that_names_no_holder_has_none(cnf: object) -> None:
    malformed(rebound(cnf), "does not name its holder", holder=BOUND)


def test_the_holders_key_is_a_plain_ed25519_public_key() -> None:
    jwk: Any = confirmation(WALLET.public_key())["jwk"]
    for other in ({"crv": "Ed448"}, {"kty": "EC"}, {"d": "x"}, {"alg": "EdDSA"}):
        malformed(rebound({"jwk": jwk | other}), "plain Ed25519", holder=BOUND)
    malformed(rebound({"jwk": jwk, "kid": "claim-1"}), "plain Ed25519", holder=BOUND)
    malformed(rebound({"jwk": jwk | {"x": to_base64url(b"short")}}), "wrong length", holder=BOUND)
    malformed(rebound({"jwk": jwk | {"x": jwk["x"] + "="}}), "base64url", holder=BOUND)


def test_a_holders_key_under_which_anybody_can_sign_is_refused() -> None:
    """Under the neutral point one signature holds for every message: nobody's key, and here a good key binding."""
    neutral = b"\x01".ljust(32, b"\0")
    cnf: Any = {"jwk": {"crv": "Ed25519", "kty": "OKP", "x": to_base64url(neutral)}}
    token = signed(CLAIMS | {"cnf": cnf})
    unsigned = bound(binding() | {"sd_hash": digest(token)}).rpartition("~")[2].rpartition(".")[0]
    malformed(f"{token}{unsigned}.{to_base64url(neutral + bytes(32))}", "small order", holder=BOUND)


def rebound(cnf: object) -> str:
    """A token for another `cnf`, with a key binding that is good but for that."""
    return present(signed(CLAIMS | {"cnf": cnf}), nonce=NONCE, audience=INSURER, now_s=NOW_S, holder_key=WALLET)
