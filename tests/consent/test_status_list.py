"""Status lists: what the gym says of all its claims at once reads back, and a list that could mislead is refused."""

import json
import re
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import shared
from signers import ed25519_key

from tallystick_consent.claims.jws import TOKEN_SIZE_MAX_BYTES, sign_jws
from tallystick_consent.claims.sdjwt import LEEWAY_S
from tallystick_consent.claims.status_list import (
    INVALID,
    LIFE_MAX_S,
    LIST_SIZE_MAX_BYTES,
    STATUS_TYP,
    VALID,
    Place,
    Status,
    StatusList,
    StatusToken,
    decode_list,
    encode_list,
    issue_status_token,
    pack,
    require_valid,
    verify_status_token,
)
from tallystick_consent.errors import ClaimRejected
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.errors import BadInput

KEY = ed25519_key("claims of the gym")
KEYS = {"claim-1": KEY.public_key()}
URI = "https://gym.example/status/stl_march"
NOW_S = 1_807_848_000
TTL_S, LIFE_S = 300, 3_600
REVOKED = {3, 8, 500}
LIST = pack(((index, INVALID) for index in REVOKED), bits=1, size_bytes=128)
CONTENT: dict[str, Any] = {
    "sub": URI,
    "iat": NOW_S,
    "exp": NOW_S + LIFE_S,
    "ttl": TTL_S,
    "status_list": encode_list(LIST),
}


def issued(statuses: StatusList = LIST) -> str:
    when = {"now_s": NOW_S, "life_s": LIFE_S, "ttl_s": TTL_S}
    return issue_status_token(statuses, uri=URI, key_id="claim-1", private_key=KEY, **when)


def signed(content: dict[str, Any], *, typ: str = STATUS_TYP) -> str:
    """Sign any content as the gym does, so that only its form can be wrong."""
    return sign_jws(content, typ=typ, key_id="claim-1", private_key=KEY)


def read(token: str, *, now_s: int = NOW_S) -> StatusToken:
    return verify_status_token(token, uri=URI, keys=KEYS, now_s=now_s)


def refused(token: str, *, now_s: int = NOW_S) -> str:
    with pytest.raises(ClaimRejected) as error:
        read(token, now_s=now_s)
    return error.value.code


def status(index: int) -> Status:
    return Status(status_list=Place(idx=index, uri=URI))


# The draft's own vectors: section 4.1, and the appendix, which lists what is not 0.

EVERYWHERE = {0: 1, 1993: 1, 25460: 1, 159495: 1, 495669: 1, 554353: 1}
ONE_BIT = dict.fromkeys((*EVERYWHERE, 645645, 723232, 854545, 934534, 1000345), 1)
TWO_BITS = {**ONE_BIT, 1993: 2, 159495: 3, 645645: 2, 934534: 2, 1000345: 3}
FOUR_BITS = {
    0: 1, 1993: 2, 35460: 3, 459495: 4, 595669: 5, 754353: 6, 845645: 7, 923232: 8, 924445: 9, 934534: 10,
    1004534: 11, 1000345: 12, 1030203: 13, 1030204: 14, 1030205: 15,
}  # fmt: skip


def vector(name: str) -> dict[str, Any]:
    text = shared(f"vectors/status-list/examples/status_list_{name}_json.md").read_text()
    found = re.search(r"\{.*\}", text, re.DOTALL)
    assert found is not None
    document: dict[str, Any] = json.loads(re.sub(r"\s+", "", found[0]))
    return document


def told(statuses: StatusList) -> dict[int, int]:
    """Return every status that is not `VALID`."""
    each = 8 // statuses.bits
    spoken = (
        index for byte, of in enumerate(statuses.packed) if of for index in range(byte * each, byte * each + each)
    )
    return {index: statuses.at(index) for index in spoken if statuses.at(index) != VALID}


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("encoding", dict.fromkeys((0, 3, 4, 5, 7, 8, 9, 13, 15), 1)),
        ("encoding2", {0: 1, 1: 2, 3: 3, 5: 1, 7: 1, 8: 1, 9: 2, 10: 3, 11: 3}),
        ("encoding1_long", ONE_BIT),
        ("encoding2_long", TWO_BITS),
        ("encoding4", FOUR_BITS),
    ],
)
def test_the_lists_of_the_draft_read_as_it_says(name: str, statuses: dict[int, int]) -> None:
    document = vector(name)
    read_back = decode_list(document["bits"], document["lst"], size_max_bytes=2**20)
    assert told(read_back) == statuses
    assert pack(statuses.items(), bits=document["bits"], size_bytes=len(read_back.packed)) == read_back


def test_the_list_of_the_draft_with_a_byte_for_each_has_a_million_places() -> None:
    document = vector("encoding8")
    read_back = decode_list(document["bits"], document["lst"], size_max_bytes=2**20)
    assert len(read_back) == 2**20
    assert [read_back.at(index) for index in (1198, 1199, 4520, 19535)] == [0, 121, 213, 255]


def test_the_byte_arrays_of_the_draft_are_encoded_as_it_says() -> None:
    assert encode_list(StatusList(1, bytes([0xB9, 0xA3]))) == vector("encoding")
    assert encode_list(StatusList(2, bytes([0xC9, 0x44, 0xF9]))) == vector("encoding2")


# What is true


@given(bits=st.sampled_from((1, 2, 4, 8)), data=st.data())
@settings(max_examples=50)
def test_any_statuses_read_back(bits: Any, data: st.DataObject) -> None:
    places = st.integers(0, 63 * 8 // bits), st.integers(0, 2**bits - 1)
    statuses = data.draw(st.dictionaries(*places))
    packed = pack(statuses.items(), bits=bits, size_bytes=64)
    again = decode_list(**encode_list(packed))  # type: ignore[arg-type]  # as JSON has them
    assert told(again) == {index: each for index, each in statuses.items() if each}


def test_only_what_was_revoked_is_refused() -> None:
    token = read(issued())
    assert (token.issued_s, token.expires_s, token.ttl_s) == (NOW_S, NOW_S + LIFE_S, TTL_S)
    for index in range(len(token.statuses)):
        if index in REVOKED:
            with pytest.raises(ClaimRejected) as error:
                require_valid(status(index), token)
            assert error.value.code == "claim_revoked"
        else:
            require_valid(status(index), token)


def test_a_status_that_is_not_known_here_is_no_valid_one() -> None:
    suspended = read(issued(pack([(7, 2)], bits=2, size_bytes=16)))
    with pytest.raises(ClaimRejected, match="revoked"):
        require_valid(status(7), suspended)


def test_a_list_says_nothing_of_a_place_it_has_not() -> None:
    require_valid(status(len(LIST) - 1), read(issued()))
    with pytest.raises(ClaimRejected, match="no such place"):
        require_valid(status(len(LIST)), read(issued()))


def test_what_does_not_fit_is_not_packed() -> None:
    for index, each in ((8, 1), (-1, 1), (0, 2), (0, -1)):
        with pytest.raises(BadInput):
            pack([(index, each)], bits=1, size_bytes=1)


def test_the_largest_list_fits_a_token_however_its_bits_fall() -> None:
    worst = bytes(zlib.crc32(index.to_bytes(4)) & 0xFF for index in range(LIST_SIZE_MAX_BYTES))
    token = issued(StatusList(1, worst))
    assert len(token) <= TOKEN_SIZE_MAX_BYTES
    assert read(token).statuses.packed == worst


# What is refused


def test_a_list_holds_until_it_expires() -> None:
    assert read(issued(), now_s=NOW_S + LIFE_S - 1).statuses == LIST
    assert refused(issued(), now_s=NOW_S + LIFE_S) == "status_stale"


def test_a_list_from_the_future_is_refused() -> None:
    assert read(issued(), now_s=NOW_S - LEEWAY_S).statuses == LIST
    assert refused(issued(), now_s=NOW_S - LEEWAY_S - 1) == "status_stale"


def test_no_list_speaks_for_longer_than_a_day() -> None:
    assert read(signed({**CONTENT, "exp": NOW_S + LIFE_MAX_S})).statuses == LIST
    assert refused(signed({**CONTENT, "exp": NOW_S + LIFE_MAX_S + 1})) == "status_stale"


def test_a_list_of_another_name_is_refused() -> None:
    assert refused(signed({**CONTENT, "sub": URI + "2"})) == "status_invalid"


def test_a_list_that_the_gym_did_not_sign_is_refused() -> None:
    eve = sign_jws(CONTENT, typ=STATUS_TYP, key_id="claim-1", private_key=ed25519_key("eve"))
    assert refused(eve) == "status_invalid"


def test_a_token_of_another_type_is_no_list() -> None:
    assert refused(signed(CONTENT, typ="dc+sd-jwt")) == "status_invalid"


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_no_member_of_a_list_may_be_missing(name: str) -> None:
    assert refused(signed({each: value for each, value in CONTENT.items() if each != name})) == "status_invalid"


@pytest.mark.parametrize(
    "changes",
    [
        {"ttl": 0},
        {"ttl": True},
        {"ttl": LIFE_MAX_S + 1},
        {"exp": "never"},
        {"iss": "gym.example"},
        {"status_list": {"bits": 3, "lst": encode_list(LIST)["lst"]}},
        {"status_list": {"bits": True, "lst": encode_list(LIST)["lst"]}},
        {"status_list": {**encode_list(LIST), "aggregation_uri": URI}},
        {"status_list": []},
    ],
)
def test_a_list_says_what_it_must_and_nothing_else(changes: dict[str, object]) -> None:
    assert refused(signed({**CONTENT, **changes})) == "status_invalid"


def packed_text(raw: bytes) -> str:
    return to_base64url(raw)


DEFLATED = zlib.compress(LIST.packed)


@pytest.mark.parametrize(
    ("lst", "problem"),
    [
        (packed_text(DEFLATED[:-1]), "ends early"),  # all of the list is there, its checksum is not
        (packed_text(DEFLATED + b"\0"), "stands behind"),
        (packed_text(DEFLATED[:-1] + bytes([DEFLATED[-1] ^ 1])), "cannot be inflated"),
        (packed_text(zlib.compress(LIST.packed, wbits=-15)), "cannot be inflated"),  # DEFLATE without its ZLIB frame
        (packed_text(zlib.compress(LIST.packed, wbits=31)), "cannot be inflated"),  # gzip
        (packed_text(DEFLATED) + "=", "cannot be inflated"),
        ("", "ends early"),
    ],
)
def test_a_list_is_one_whole_zlib_stream(lst: str, problem: str) -> None:
    with pytest.raises(ClaimRejected, match=problem):
        decode_list(1, lst)


def test_a_list_is_inflated_as_far_as_the_bound_and_no_further() -> None:
    at_bound = packed_text(zlib.compress(bytes(LIST_SIZE_MAX_BYTES)))
    assert len(decode_list(1, at_bound)) == 8 * LIST_SIZE_MAX_BYTES
    with pytest.raises(ClaimRejected, match="too large"):
        decode_list(1, packed_text(zlib.compress(bytes(LIST_SIZE_MAX_BYTES + 1))))
    with pytest.raises(ClaimRejected, match="too large"):
        decode_list(1, packed_text(zlib.compress(bytes(2**26), level=9)))
