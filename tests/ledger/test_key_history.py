"""The history of keys in a log: what an auditor takes, and each step that no key may take."""

from collections.abc import Callable
from typing import Any

import pytest
from logs import entry_of
from signers import NOW_S, ed25519_key, ml_dsa_key

from tallystick_consent.sealing import SealKey
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.errors import EntryMalformed, KeyHistoryRefused, TallyError, WeakKey
from tallystick_ledger.key_history import KeyChange, KeyHistory, KeyState, parse_key_change
from tallystick_ledger.public_keys import (
    KEY_SKEW_MAX_S,
    ROLE_ALGORITHM,
    ROLES,
    Algorithm,
    Role,
    key_id,
    require_sound_key,
)
from tallystick_ledger.replay import LedgerReplay

ORIGIN = "gym.example/log/2027"
DAY_S = 86_400
SEAL = SealKey(bytes(range(96))).public
PQ = ml_dsa_key("pq").public_key().public_bytes_raw()


def public(name: str) -> bytes:
    return ed25519_key(name).public_key().public_bytes_raw()


def added(name: str = "one", role: Role = "log", *, from_s: int = NOW_S) -> KeyChange:
    return KeyChange(role, public(name), from_s, None, KeyState.ADDED, from_s)


def retired(name: str = "one", *, until_s: int = NOW_S + 7 * DAY_S, since_s: int = NOW_S) -> KeyChange:
    return KeyChange("log", public(name), NOW_S, until_s, KeyState.RETIRED, since_s)


def revoked(name: str = "one", *, since_s: int = NOW_S, until_s: int | None = None) -> KeyChange:
    return KeyChange("log", public(name), NOW_S, until_s, KeyState.REVOKED, since_s, "compromised")


def history(*changes: KeyChange) -> KeyHistory:
    made = KeyHistory()
    for change in changes:
        made.apply(change, at_s=NOW_S)
    return made


@pytest.mark.parametrize(
    ("role", "raw"), [(role, {"log-pq": PQ, "witness-pq": PQ, "seal": SEAL}.get(role, public(role))) for role in ROLES]
)
def test_a_key_of_every_role_is_read_as_it_was_written(role: Role, raw: bytes) -> None:
    change = KeyChange(role, raw, NOW_S, None, KeyState.ADDED, NOW_S)
    assert parse_key_change(change.body()) == change
    assert change.key == key_id(role, raw)
    assert parse_key_change(entry_of("key", change.body(), name="key").body) == change


def test_a_key_is_rotated_with_an_overlap_and_vouches_until_its_end() -> None:
    keys = history(added(), added("two"), retired())
    old, new = keys.changes[public("one")], keys.changes[public("two")]
    end_s = NOW_S + 7 * DAY_S
    assert old.is_good_at(NOW_S)
    assert old.is_good_at(end_s + KEY_SKEW_MAX_S - 1)
    assert not old.is_good_at(end_s + KEY_SKEW_MAX_S)
    assert new.is_good_at(end_s + DAY_S)
    assert not new.is_good_at(NOW_S - KEY_SKEW_MAX_S - 1)


def test_a_revoked_key_vouches_for_what_was_signed_before_and_for_nothing_since() -> None:
    made = KeyHistory()
    made.apply(added(), at_s=NOW_S)
    made.apply(revoked(since_s=NOW_S + DAY_S), at_s=NOW_S + 2 * DAY_S)
    assert made.changes[public("one")].is_good_at(NOW_S + DAY_S - 1)
    assert not made.changes[public("one")].is_good_at(NOW_S + DAY_S)


def test_a_retired_key_may_still_be_revoked() -> None:
    keys = history(added(), retired(), revoked(until_s=NOW_S + 7 * DAY_S))
    assert keys.named(key_id("log", public("one"))) == revoked(until_s=NOW_S + 7 * DAY_S)
    assert keys.named("log-00000000") is None


REFUSED: dict[str, tuple[str, tuple[KeyChange, ...]]] = {
    "a key added twice": ("added again", (added(), added())),
    "a retired key that comes back": ("added again", (added(), retired(), added())),
    "a revoked key that comes back": ("added again", (added(), revoked(), added())),
    "a key that comes back for another role": ("added again", (added(), retired(), added(role="claim"))),
    "a key retired that nobody knows": ("never added", (retired(),)),
    "a key revoked that nobody knows": ("never added", (revoked(),)),
    "a key added as of another time": (
        "another time",
        (KeyChange("log", public("one"), NOW_S, None, KeyState.ADDED, NOW_S + 1),),
    ),
    "a key that changes its role": (
        "its role",
        (added(), KeyChange("claim", public("one"), NOW_S, None, KeyState.REVOKED, NOW_S, "lost")),
    ),
    "a key that changes its begin": (
        "its begin",
        (added(), KeyChange("log", public("one"), NOW_S - 1, None, KeyState.REVOKED, NOW_S, "lost")),
    ),
    "a key retired twice": ("retired twice", (added(), retired(), retired(until_s=NOW_S + 9 * DAY_S))),
    "a revoked key that is retired": ("that was revoked", (added(), revoked(), retired())),
    "a key revoked twice": ("that was revoked", (added(), revoked(), revoked())),
    "a key retired for ever": (
        "without an end",
        (added(), KeyChange("log", public("one"), NOW_S, None, KeyState.RETIRED, NOW_S)),
    ),
    "a key retired in the past": ("in the past", (added(), retired(until_s=NOW_S - 1))),
    "a key revoked before it began": ("before it begins", (added(), revoked(since_s=NOW_S - 1))),
    "a key revoked in the future": ("in the future", (added(), revoked(since_s=NOW_S + KEY_SKEW_MAX_S + 1))),
    "a revocation that moves the end": ("moves a key's end", (added(), revoked(until_s=NOW_S + DAY_S))),
    "a revocation without a reason": (
        "has a reason",
        (added(), KeyChange("log", public("one"), NOW_S, None, KeyState.REVOKED, NOW_S)),
    ),
    "a new key with a reason": (
        "has a reason",
        (KeyChange("log", public("one"), NOW_S, None, KeyState.ADDED, NOW_S, "lost"),),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_step_that_no_key_takes_is_refused_and_changes_nothing(case: str) -> None:
    problem, (*before, last) = REFUSED[case]
    keys = history(*before)
    kept = dict(keys.changes)
    with pytest.raises(KeyHistoryRefused, match=problem):
        keys.apply(last, at_s=NOW_S)
    assert keys.changes == kept


def test_a_revocation_may_be_as_far_ahead_as_clocks_may_differ() -> None:
    history(added(), revoked(since_s=NOW_S + KEY_SKEW_MAX_S))


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "root"},
        {"role": ["log"]},
        {"algorithm": "ML-DSA-44"},
        {"key": "log-00000000"},
        {"key": 1},
        {"public": 1},
        {"public": "="},
        {"public": "A" * 2_001},
        {"from": True},
        {"from": -1},
        {"from": "0"},
        {"until": None},
        {"since": 1.5},
        {"state": "lost"},
        {"state": []},
        {"reason": "boredom"},
        {"reason": []},
        {"more": ""},
    ],
    ids=str,
)
def test_a_body_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(EntryMalformed):
        parse_key_change({**added().body(), **changes})
    with pytest.raises(EntryMalformed):
        parse_key_change({name: value for name, value in added().body().items() if name != "reason"})


# Weak keys

P = 2**255 - 19
ED25519_SMALL_ORDER = [
    bytes.fromhex(text)
    for text in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    )
]
"""The encodings of the eight points of small order, canonical or not ("Taming the many EdDSAs", table 1)."""


def little(number: int) -> bytes:
    return number.to_bytes(32, "little")


def x25519_multiply(scalar: int, u: int) -> int:
    """Return the u of `scalar` times a point of Curve25519: RFC 7748, section 5, without clamping."""
    x2, z2, x3, z3 = 1, 0, u, 1
    for at in reversed(range(scalar.bit_length())):
        if scalar >> at & 1:
            x2, x3, z2, z3 = x3, x2, z3, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, (aa - bb) * (aa + 121665 * (aa - bb)) % P
        if scalar >> at & 1:
            x2, x3, z2, z3 = x3, x2, z3, z2
    return x2 * pow(z2, -1, P) % P if z2 else -1


X25519_SMALL_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
]


def test_the_listed_points_of_curve25519_are_of_small_order() -> None:
    """Eight times each of them is the point at infinity (or the point of order 2, whose u is 0)."""
    assert all(x25519_multiply(8, u) in (-1, 0) for u in X25519_SMALL_ORDER)
    assert x25519_multiply(8, 9) not in (-1, 0)


WEAK: list[tuple[str, Algorithm, bytes]] = [
    *((f"Ed25519 {raw.hex()[:6]}..{raw.hex()[-2:]}", Algorithm.ED25519, raw) for raw in ED25519_SMALL_ORDER),
    *((f"Ed25519 p + {low}", Algorithm.ED25519, little(P + low)) for low in (2, 18)),
    *((f"X25519 {u:x}"[:20], Algorithm.MLKEM768_X25519, SEAL[:1184] + little(u)) for u in X25519_SMALL_ORDER),
    *((f"X25519 p + {low}", Algorithm.MLKEM768_X25519, SEAL[:1184] + little(P + low)) for low in (0, 1, 9, 18)),
    ("X25519 with its top bit", Algorithm.MLKEM768_X25519, SEAL[:1215] + bytes([SEAL[1215] | 0x80])),
    ("ML-KEM out of range", Algorithm.MLKEM768_X25519, b"\xff" * 1184 + SEAL[1184:]),
    ("a short seal key", Algorithm.MLKEM768_X25519, SEAL[:-1]),
    ("a long seal key", Algorithm.MLKEM768_X25519, SEAL + b"\1"),
    ("a short Ed25519 key", Algorithm.ED25519, public("one")[:31]),
    ("a long Ed25519 key", Algorithm.ED25519, public("one") + b"\0"),
    ("a short ML-DSA key", Algorithm.ML_DSA_44, PQ[:-1]),
    ("a long ML-DSA key", Algorithm.ML_DSA_44, PQ + b"\0"),
    ("no key", Algorithm.ED25519, b""),
]


@pytest.mark.parametrize(("algorithm", "raw"), [each[1:] for each in WEAK], ids=[each[0] for each in WEAK])
def test_a_weak_key_is_refused(algorithm: Algorithm, raw: bytes) -> None:
    with pytest.raises(WeakKey):
        require_sound_key(algorithm, raw)


def test_sound_keys_are_taken() -> None:
    for algorithm, raw in ((Algorithm.ED25519, public("one")), (Algorithm.ML_DSA_44, PQ)):
        require_sound_key(algorithm, raw)
    require_sound_key(Algorithm.MLKEM768_X25519, SEAL)


# Replay


def weak_body() -> dict[str, Any]:
    raw = little(1)
    return {**added().body(), "public": to_base64url(raw), "key": key_id("log", raw)}


CASES: dict[str, tuple[str | None, Callable[[], list[dict[str, Any]]]]] = {
    "a rotation": (None, lambda: [added().body(), added("two").body(), retired().body()]),
    "a revocation": (None, lambda: [added().body(), revoked().body(), added("two").body()]),
    "an unknown role": ("entry.malformed", lambda: [{**added().body(), "role": "root"}]),
    "a weak key": ("P1.key_weak", lambda: [weak_body()]),
    "a key that comes back": ("P1.key_state", lambda: [added().body(), retired().body(), added().body()]),
}


@pytest.mark.parametrize("case", CASES)
def test_one_wrong_key_entry_breaks_one_rule(case: str) -> None:
    rule, bodies = CASES[case]
    replay = LedgerReplay(ORIGIN)
    replay.take(entry_of("opening", {"log": ORIGIN}, name="opening").raw)
    for at, body in enumerate(bodies()):
        replay.take(entry_of("key", body, name=str(at)).raw)
    assert [finding.rule for finding in replay.findings] == ([] if rule is None else [rule])


def test_every_role_has_an_algorithm() -> None:
    assert set(ROLE_ALGORITHM) == set(ROLES)
    assert issubclass(WeakKey, TallyError)
