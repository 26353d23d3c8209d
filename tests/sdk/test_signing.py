"""A partner's message is believed only if one known key signed all of it, for us, for now, and for this exchange."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import ED25519
from hypothesis import given
from hypothesis import strategies as st

from tallystick.signing import (
    ClockSkew,
    PeerSignatureRejected,
    VerifiedRequest,
    sign_request,
    sign_response,
    verify_request,
    verify_response,
)
from tallystick_ledger.errors import BadInput, SignatureRejected

GYM = Ed25519PrivateKey.from_private_bytes(b"G" * 32)
TRAIN = Ed25519PrivateKey.from_private_bytes(b"T" * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"S" * 32)
GYM_KEYS = {"gym-2026": GYM.public_key(), "gym-2025": STRANGER.public_key()}
TRAIN_KEYS = {"train-2026": TRAIN.public_key()}

NOW_S = 1_790_000_000
URL = "https://train.example/peer/v1/asks?program=walkers"
BODY = b'{"field":"visits_month_count"}'
ANSWER = b'{"accepted":true}'
KEY = "ask-7f3a"
NONCE = "n0nce-of-16_chrs"
OURS = ("@method", "@target-uri", "content-digest", "idempotency-key")


class Posted:
    """A request as the library reads it, so that a partner may sign what our own signer never would."""

    def __init__(self, url: str = URL, headers: Mapping[str, str] | None = None) -> None:
        self.method, self.url = "POST", url
        self.headers = dict(headers or {"Idempotency-Key": KEY})


class Answered:
    """A response as the library reads it, to the request whose headers are given."""

    def __init__(self, status: int, asked: Mapping[str, str]) -> None:
        self.status_code, self.headers, self.request = status, dict[str, str](), Posted(headers=asked)


def sign_as_a_stranger_to_our_rules(
    message: Posted | Answered,
    *,
    covered: Sequence[str] = OURS,
    created_s: int = NOW_S,
    expires_s: int | None = NOW_S + 300,
    nonce: str | None = NONCE,
    tag: str | None = "tallystick",
    label: str = "theirs",
    key: Ed25519PrivateKey = GYM,
    key_id: str = "gym-2026",
    digest_of: bytes = BODY,
) -> dict[str, str]:
    """Properly signed by the library with the gym's real key: only the rule under test can refuse it."""
    signer = HTTPMessageSigner(
        signature_algorithm=ED25519,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={key_id: key}),
    )
    if "Content-Digest" not in message.headers:
        signer.content_digest_class.add(message.headers, digest_of)
    signer.sign(
        message,
        key_id=key_id,
        created=datetime.fromtimestamp(created_s, UTC),
        expires=None if expires_s is None else datetime.fromtimestamp(expires_s, UTC),
        nonce=nonce,
        tag=tag,
        label=label,
        covered_component_ids=covered,
        append_if_signature_exists=True,
        use_existing_digest=True,
    )
    return message.headers


def asked(*, nonce: str = NONCE, body: bytes = BODY, now_s: int = NOW_S, key: str = KEY) -> dict[str, str]:
    return sign_request(
        method="POST",
        url=URL,
        body=body,
        idempotency_key=key,
        key_id="gym-2026",
        private_key=GYM,
        now_s=now_s,
        nonce=nonce,
    )


def check(
    headers: Mapping[str, str], *, method: str = "POST", url: str = URL, body: bytes = BODY, now_s: int = NOW_S
) -> VerifiedRequest:
    return verify_request(method=method, url=url, headers=headers, body=body, keys=GYM_KEYS, now_s=now_s)


def answered(request: Mapping[str, str], *, status: int = 202, body: bytes = ANSWER) -> dict[str, str]:
    return sign_response(
        status=status,
        body=body,
        request_headers=request,
        key_id="train-2026",
        private_key=TRAIN,
        now_s=NOW_S,
        nonce="another-nonce-of-theirs",
    )


def check_answer(
    headers: Mapping[str, str],
    request: Mapping[str, str],
    *,
    status: int = 202,
    body: bytes = ANSWER,
    now_s: int = NOW_S,
) -> None:
    verify_response(status=status, headers=headers, body=body, request_headers=request, keys=TRAIN_KEYS, now_s=now_s)


def test_a_signed_request_tells_who_sent_it_and_its_nonce() -> None:
    assert check(asked()) == VerifiedRequest(
        key_id="gym-2026", nonce=NONCE, created_s=NOW_S, expires_s=NOW_S + 300, idempotency_key=KEY
    )


def test_a_request_is_signed_with_the_fields_that_are_written_down() -> None:
    """What CONSTRUCTIONS says goes over the wire, letter by letter, so that others can build it."""
    headers = asked()
    assert headers.keys() == {"Idempotency-Key", "Content-Digest", "Signature-Input", "Signature"}
    assert headers["Signature-Input"] == (
        'tally=("@method" "@target-uri" "content-digest" "idempotency-key");created=1790000000;keyid="gym-2026";'
        f'alg="ed25519";expires=1790000300;nonce="{NONCE}";tag="tallystick"'
    )
    assert headers["Content-Digest"].startswith("sha-256=:")


def test_a_response_is_signed_with_the_fields_that_are_written_down() -> None:
    headers = answered(asked())
    assert headers.keys() == {"Content-Digest", "Signature-Input", "Signature"}
    assert headers["Signature-Input"].startswith('tally=("@status" "content-digest" "signature";req);created=')


def test_the_library_still_reaches_the_signature_in_the_rfc() -> None:
    """RFC 9421, appendix B.2.6, with the test key of B.1.4; Ed25519 has one signature for one text."""
    secret = base64.urlsafe_b64decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU=")
    request = Posted(
        "https://example.com/foo?param=Value&Pet=dog",
        {
            "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
            "Content-Type": "application/json",
            "Content-Length": "18",
        },
    )
    signer = HTTPMessageSigner(
        signature_algorithm=ED25519,
        key_resolver=MappingKeyResolver(
            public_keys={}, private_keys={"test-key-ed25519": Ed25519PrivateKey.from_private_bytes(secret)}
        ),
    )
    signer.sign(
        request,
        key_id="test-key-ed25519",
        created=datetime.fromtimestamp(1618884473, UTC),
        include_alg=False,
        label="sig-b26",
        covered_component_ids=("date", "@method", "@path", "@authority", "content-type", "content-length"),
    )
    assert request.headers["Signature"] == (
        "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
    )


def sign_by_hand(
    parameters: str, *, digest: str = f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"
) -> dict[str, str]:
    """The signature base as RFC 9421 section 2.5 spells it, without the library."""
    shape = f'("@method" "@target-uri" "content-digest" "idempotency-key"){parameters}'
    base = (
        f'"@method": POST\n"@target-uri": {URL}\n"content-digest": {digest}\n"idempotency-key": {KEY}\n'
        f'"@signature-params": {shape}'
    )
    return {
        "Idempotency-Key": KEY,
        "Content-Digest": digest,
        "Signature-Input": f"hand={shape}",
        "Signature": f"hand=:{base64.b64encode(GYM.sign(base.encode())).decode()}:",
    }


BY_HAND = f';created={NOW_S};expires={NOW_S + 60};nonce="{NONCE}";keyid="gym-2026";tag="tallystick"'


def test_a_request_signed_by_hand_from_the_text_of_the_rfc_is_believed() -> None:
    assert check(sign_by_hand(BY_HAND)).expires_s == NOW_S + 60


def test_a_digest_by_sha_512_is_as_good() -> None:
    digest = f"sha-512=:{base64.b64encode(hashlib.sha512(BODY).digest()).decode()}:"
    headers = sign_by_hand(BY_HAND, digest=digest)
    check(headers)
    with pytest.raises(PeerSignatureRejected, match="body is not the one"):
        check(headers, body=b"{}")


def test_a_digest_nobody_can_check_is_refused() -> None:
    with pytest.raises(PeerSignatureRejected, match="body is not the one"):
        check(sign_by_hand(BY_HAND, digest="md5=:AAAAAAAAAAAAAAAAAAAAAA==:"))


def test_header_names_may_come_in_any_case() -> None:
    assert check({name.lower(): value for name, value in asked().items()}).key_id == "gym-2026"


def test_headers_nobody_signed_do_not_matter() -> None:
    assert check(asked() | {"Accept": "*/*", "X-Request-Id": "grüße"}).key_id == "gym-2026"


def test_a_refusal_is_a_rejected_signature_and_shows_nothing_that_was_sent() -> None:
    with pytest.raises(SignatureRejected) as refusal:
        check(asked(), body=b"secret body")
    assert refusal.value.code == "signature_invalid"
    assert "secret" not in str(refusal.value)
    assert NONCE not in str(refusal.value)


# What was signed may not change.


def test_a_changed_body_is_refused() -> None:
    with pytest.raises(PeerSignatureRejected, match="body is not the one"):
        check(asked(), body=BODY.replace(b"count", b"times"))


@given(where=st.integers(0, len(BODY) - 1), mask=st.integers(1, 255))
def test_a_body_with_any_one_byte_changed_is_refused(where: int, mask: int) -> None:
    changed = bytearray(BODY)
    changed[where] ^= mask
    with pytest.raises(PeerSignatureRejected, match="body is not the one"):
        check(HEADERS, body=bytes(changed))


HEADERS = asked()


@pytest.mark.parametrize("body", [b"", BODY[:-1], BODY + b"\n"])
def test_a_body_cut_short_or_longer_is_refused(body: bytes) -> None:
    with pytest.raises(PeerSignatureRejected, match="body is not the one"):
        check(asked(), body=body)


def test_an_empty_body_is_signed_too() -> None:
    headers = asked(body=b"")
    check(headers, body=b"")
    with pytest.raises(PeerSignatureRejected, match="body is not the one"):
        check(headers, body=b"{}")


def test_a_changed_body_is_refused_with_its_own_digest_too() -> None:
    """The digest fits the body, so only the signature over the digest can tell."""
    other = asked(body=b"{}")
    with pytest.raises(PeerSignatureRejected, match="changed since"):
        check(asked() | {"Content-Digest": other["Content-Digest"]}, body=b"{}")


def test_an_idempotency_key_that_was_changed_is_refused() -> None:
    with pytest.raises(PeerSignatureRejected, match="changed since"):
        check(asked() | {"Idempotency-Key": "ask-7f3b"})


def test_a_changed_method_is_refused() -> None:
    with pytest.raises(PeerSignatureRejected, match="changed since"):
        check(asked(), method="PUT")


@pytest.mark.parametrize(
    "url",
    [
        "https://train.example/peer/v1/links?program=walkers",
        "https://train.example/peer/v1/asks?program=runners",
        "https://train.example/peer/v1/asks",
        "https://bus.example/peer/v1/asks?program=walkers",
        "http://train.example/peer/v1/asks?program=walkers",
        "https://train.example:8443/peer/v1/asks?program=walkers",
        "/peer/v1/asks?program=walkers",
    ],
)
def test_a_request_for_another_address_is_refused(url: str) -> None:
    with pytest.raises(PeerSignatureRejected, match="changed since"):
        check(asked(), url=url)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("gym-2026", "gym-2025"),
        ("created=1790000000", "created=1790000001"),
        ("expires=1790000300", "expires=1790000299"),
        (NONCE, NONCE.upper()),
        (' "idempotency-key"', ""),
    ],
)
def test_a_changed_parameter_is_refused(was: str, becomes: str) -> None:
    headers = asked()
    changed = headers["Signature-Input"].replace(was, becomes)
    assert changed != headers["Signature-Input"]
    with pytest.raises(PeerSignatureRejected, match="changed since"):
        check(headers | {"Signature-Input": changed})


@pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Content-Digest", "Idempotency-Key"])
def test_a_request_without_one_of_its_headers_is_refused(name: str) -> None:
    headers = asked()
    del headers[name]
    with pytest.raises(PeerSignatureRejected, match="not one signature"):
        check(headers)


@given(
    name=st.sampled_from(["Signature", "Signature-Input", "Content-Digest", "Idempotency-Key", "signature"]),
    text=st.one_of(
        st.text(max_size=80),
        st.text(alphabet='tally=("@method");creatdxpis0123456789:,?%', max_size=80),
        st.integers(0, len(HEADERS["Signature-Input"])).map(lambda size: HEADERS["Signature-Input"][:size]),
    ).filter(lambda text: text.strip(" \t") not in HEADERS.values()),
)
def test_whatever_stands_in_a_header_the_refusal_is_ours(name: str, text: str) -> None:
    with pytest.raises(PeerSignatureRejected):
        check(HEADERS | {name: text})


# Who signed.


def test_a_partner_that_follows_the_rules_with_another_label_and_order_is_believed() -> None:
    """The base that the refusals below each change in one thing."""
    assert check(sign_as_a_stranger_to_our_rules(Posted(), covered=OURS[::-1])).nonce == NONCE


def test_an_unknown_key_id_is_refused() -> None:
    with pytest.raises(PeerSignatureRejected, match="known key"):
        check(sign_as_a_stranger_to_our_rules(Posted(), key_id="gym-2027"))


def test_a_known_key_id_with_another_key_is_refused() -> None:
    with pytest.raises(PeerSignatureRejected, match="known key"):
        check(sign_as_a_stranger_to_our_rules(Posted(), key=STRANGER))


def test_two_good_signatures_are_refused() -> None:
    """Both would pass alone; with two, each reader may believe another one."""
    message = Posted()
    sign_as_a_stranger_to_our_rules(message, label="first")
    with pytest.raises(PeerSignatureRejected, match="not one signature"):
        check(sign_as_a_stranger_to_our_rules(message, label="second"))


def test_a_second_signature_on_a_line_of_its_own_is_refused() -> None:
    """The good line comes last, so a reader that keeps the last line only would believe it."""
    with pytest.raises(PeerSignatureRejected, match="not one signature"):
        check({"signature": "other=:AA==:"} | asked())


def test_a_second_signature_for_another_purpose_is_refused_too() -> None:
    message = Posted()
    sign_as_a_stranger_to_our_rules(message, label="proxy", tag="some-proxy")
    with pytest.raises(PeerSignatureRejected, match="not one signature"):
        check(sign_as_a_stranger_to_our_rules(message))


def test_a_signature_for_another_purpose_is_refused() -> None:
    for tag in ("tallystick-test", None):
        with pytest.raises(PeerSignatureRejected, match="another purpose"):
            check(sign_as_a_stranger_to_our_rules(Posted(), tag=tag))


@pytest.mark.parametrize("missing", OURS)
def test_a_signature_that_leaves_out_a_component_is_refused(missing: str) -> None:
    covered = [name for name in OURS if name != missing]
    with pytest.raises(PeerSignatureRejected, match="exactly the components"):
        check(sign_as_a_stranger_to_our_rules(Posted(), covered=covered))


def test_a_signature_that_covers_more_than_it_should_is_refused() -> None:
    with pytest.raises(PeerSignatureRejected, match="exactly the components"):
        check(sign_as_a_stranger_to_our_rules(Posted(), covered=(*OURS, "@authority")))


def test_a_digest_covered_by_a_part_of_it_is_refused() -> None:
    covered = ("@method", "@target-uri", '"content-digest";key="sha-256"', "idempotency-key")
    with pytest.raises(PeerSignatureRejected, match="exactly the components"):
        check(sign_as_a_stranger_to_our_rules(Posted(), covered=covered))


@pytest.mark.parametrize("nonce", [None, "", "n" * 15, "n" * 65, "n" * 15 + "=", "n" * 15 + "+", "n" * 16 + " "])
def test_a_request_without_a_nonce_of_the_right_shape_is_refused(nonce: str | None) -> None:
    with pytest.raises(PeerSignatureRejected, match="no nonce"):
        check(sign_as_a_stranger_to_our_rules(Posted(), nonce=nonce))


@pytest.mark.parametrize("nonce", ["n" * 16, "-_aZ09" * 3, "n" * 64])
def test_a_nonce_of_the_right_shape_is_handed_on(nonce: str) -> None:
    assert check(asked(nonce=nonce)).nonce == nonce


@pytest.mark.parametrize("key", ["k" * 129, "two words", "one, two", ""])
def test_an_idempotency_key_of_another_shape_is_refused(key: str) -> None:
    with pytest.raises(PeerSignatureRejected, match="idempotency key is not"):
        check(sign_as_a_stranger_to_our_rules(Posted(headers={"Idempotency-Key": key})))


@pytest.mark.parametrize("key", ["k", "k" * 128, "!~,\"'"])
def test_an_idempotency_key_of_the_right_shape_is_handed_on(key: str) -> None:
    assert check(asked(key=key)).idempotency_key == key


# When.


@pytest.mark.parametrize("late_s", [-300, 0, 299])
def test_a_request_is_believed_within_five_minutes(late_s: int) -> None:
    assert check(asked(), now_s=NOW_S + late_s).created_s == NOW_S


@pytest.mark.parametrize("late_s", [-301, -360])
def test_a_request_from_the_future_is_refused(late_s: int) -> None:
    with pytest.raises(ClockSkew, match="more than 300 s from now") as refusal:
        check(asked(), now_s=NOW_S + late_s)
    assert refusal.value.code == "clock_skew"
    assert refusal.value.server_time_s == NOW_S + late_s


def test_a_request_is_refused_from_the_second_it_expires() -> None:
    headers = sign_as_a_stranger_to_our_rules(Posted(), expires_s=NOW_S + 60)
    assert check(headers, now_s=NOW_S + 59).expires_s == NOW_S + 60
    with pytest.raises(ClockSkew, match="expired") as refusal:
        check(headers, now_s=NOW_S + 60)
    assert refusal.value.server_time_s == NOW_S + 60


def test_a_request_made_six_minutes_ago_is_refused() -> None:
    with pytest.raises(ClockSkew, match="more than 300 s from now"):
        check(asked(), now_s=NOW_S + 360)


@pytest.mark.parametrize("lifetime_s", [301, 0, -1])
def test_a_signature_that_lives_longer_than_five_minutes_or_not_at_all_is_refused(lifetime_s: int) -> None:
    """Created ahead of the clock, so that it has not expired either way."""
    headers = sign_as_a_stranger_to_our_rules(Posted(), created_s=NOW_S + 60, expires_s=NOW_S + 60 + lifetime_s)
    with pytest.raises(PeerSignatureRejected, match="within 300 s of its creation"):
        check(headers)


def test_a_signature_that_never_expires_is_refused() -> None:
    with pytest.raises(PeerSignatureRejected, match="when it expires"):
        check(sign_as_a_stranger_to_our_rules(Posted(), expires_s=None))


def test_a_stale_request_by_nobody_we_know_is_not_told_our_time() -> None:
    with pytest.raises(PeerSignatureRejected, match="known key"):
        check(sign_as_a_stranger_to_our_rules(Posted(), key=STRANGER), now_s=NOW_S + 360)


def test_a_signature_that_does_not_tell_when_it_was_made_is_refused() -> None:
    with pytest.raises(PeerSignatureRejected, match="when it was created"):
        check(sign_by_hand(BY_HAND.replace(f";created={NOW_S}", "")))


def test_a_signature_by_another_algorithm_is_refused() -> None:
    with pytest.raises(PeerSignatureRejected, match="not one signature"):
        check(sign_by_hand(BY_HAND + ';alg="rsa-pss-sha512"'))


# How much.


def test_headers_of_eight_kibibytes_are_read_and_one_byte_more_is_refused() -> None:
    """The room is filled with a parameter on the signature, which nothing covers and the library ignores."""
    headers = asked()
    room_bytes = 8192 - sum(len(value) for value in headers.values())
    padding = ";p=" + "a" * (room_bytes - len(";p="))
    check(headers | {"Signature": headers["Signature"] + padding})
    with pytest.raises(PeerSignatureRejected, match="larger than 8 KiB"):
        check(headers | {"Signature": headers["Signature"] + padding + "a"})


def test_the_bound_counts_every_line_of_a_header() -> None:
    with pytest.raises(PeerSignatureRejected, match="larger than 8 KiB"):
        check(asked() | {"signature": "a" * 5000, "SIGNATURE": "a" * 5000})


def test_a_response_with_oversize_headers_is_refused() -> None:
    request = asked()
    headers = answered(request)
    with pytest.raises(PeerSignatureRejected, match="larger than 8 KiB"):
        check_answer(headers | {"Signature": headers["Signature"] + ";p=" + "a" * 8192}, request)


# The answer.


def test_an_answer_to_our_request_is_believed() -> None:
    request = asked()
    check_answer(answered(request), request)


def test_an_answer_is_bound_to_the_request_as_it_was_received() -> None:
    request = asked()
    received = {name.lower(): value for name, value in request.items()} | {"host": "train.example"}
    check_answer(answered(received), request)


def test_an_answer_to_another_request_is_refused() -> None:
    """The same question twice: only the nonce differs, and with it the signature that the answer binds."""
    first, second = asked(), asked(nonce="the-next-nonce-of-ours")
    with pytest.raises(PeerSignatureRejected, match="changed since"):
        check_answer(answered(first), second)


def test_an_answer_that_binds_no_request_is_refused() -> None:
    request = asked()
    headers = sign_as_a_stranger_to_our_rules(
        Answered(202, request),
        covered=("@status", "content-digest"),
        key=TRAIN,
        key_id="train-2026",
        digest_of=ANSWER,
    )
    with pytest.raises(PeerSignatureRejected, match="exactly the components"):
        check_answer(headers, request)


@pytest.mark.parametrize("extra", ['"@method";req', '"@target-uri";req'])
def test_an_answer_that_binds_more_of_the_request_is_refused(extra: str) -> None:
    request = asked()
    headers = sign_as_a_stranger_to_our_rules(
        Answered(202, request),
        covered=("@status", "content-digest", '"signature";req', extra),
        key=TRAIN,
        key_id="train-2026",
        digest_of=ANSWER,
    )
    with pytest.raises(PeerSignatureRejected):
        check_answer(headers, request)


def test_our_own_request_sent_back_is_no_answer() -> None:
    request = asked()
    with pytest.raises(PeerSignatureRejected):
        verify_response(status=202, headers=request, body=BODY, request_headers=request, keys=GYM_KEYS, now_s=NOW_S)


def test_an_answer_by_another_partner_is_refused() -> None:
    request = asked()
    with pytest.raises(PeerSignatureRejected, match="known key"):
        verify_response(
            status=202,
            headers=answered(request),
            body=ANSWER,
            request_headers=request,
            keys=GYM_KEYS,
            now_s=NOW_S,
        )


def test_an_answer_with_a_changed_body_is_refused() -> None:
    request = asked()
    with pytest.raises(PeerSignatureRejected, match="body is not the one"):
        check_answer(answered(request), request, body=b'{"accepted":null}')


def test_an_answer_with_a_changed_body_is_refused_with_its_own_digest_too() -> None:
    request = asked()
    other = answered(request, body=b"{}")
    with pytest.raises(PeerSignatureRejected, match="changed since"):
        check_answer(answered(request) | {"Content-Digest": other["Content-Digest"]}, request, body=b"{}")


def test_an_answer_with_a_changed_status_is_refused() -> None:
    request = asked()
    with pytest.raises(PeerSignatureRejected, match="changed since"):
        check_answer(answered(request), request, status=200)


def test_an_answer_kept_for_six_minutes_is_refused() -> None:
    request = asked()
    with pytest.raises(ClockSkew):
        check_answer(answered(request), request, now_s=NOW_S + 360)


def test_an_answer_without_a_signature_is_refused() -> None:
    with pytest.raises(PeerSignatureRejected, match="not one signature"):
        check_answer({}, asked())


# What we will not sign.


@pytest.mark.parametrize("key", ["", "k" * 129, "two words"])
def test_a_request_with_an_unfit_idempotency_key_is_not_signed(key: str) -> None:
    with pytest.raises(BadInput, match="idempotency key"):
        asked(key=key)


@pytest.mark.parametrize("nonce", ["", "n" * 15, "n" * 65, "n" * 15 + "="])
def test_a_request_with_an_unfit_nonce_is_not_signed(nonce: str) -> None:
    with pytest.raises(BadInput, match="nonce"):
        asked(nonce=nonce)


@pytest.mark.parametrize("key_id", ["", "k" * 256, "gym 2026", "übung"])
def test_an_unfit_key_id_is_not_signed(key_id: str) -> None:
    with pytest.raises(BadInput, match="key id"):
        sign_request(
            method="POST",
            url=URL,
            body=BODY,
            idempotency_key=KEY,
            key_id=key_id,
            private_key=GYM,
            now_s=NOW_S,
            nonce=NONCE,
        )


@pytest.mark.parametrize(("method", "url"), [("post", URL), ("POST", "/peer/v1/asks"), ("POST", URL + " x")])
def test_a_request_to_nowhere_is_not_signed(method: str, url: str) -> None:
    with pytest.raises(BadInput, match="cannot be signed"):
        sign_request(
            method=method,
            url=url,
            body=BODY,
            idempotency_key=KEY,
            key_id="gym-2026",
            private_key=GYM,
            now_s=NOW_S,
            nonce=NONCE,
        )


@pytest.mark.parametrize(
    ("request_headers", "problem"),
    [
        ({}, "no Signature"),
        ({"Signature": "a" * 8193}, "too large"),
        ({"Signature": "sig=:AA==:;p=\x00"}, "cannot be signed"),
    ],
)
def test_an_answer_to_an_unsigned_request_is_not_signed(request_headers: dict[str, str], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        answered(request_headers)


def test_the_time_is_the_callers_and_never_the_systems() -> None:
    """The library has a clock of its own, which would refuse all of these but, for a while, one."""
    for now_s in (0, NOW_S, 4_000_000_000):
        assert check(asked(now_s=now_s), now_s=now_s).created_s == now_s
