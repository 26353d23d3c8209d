"""The history of keys, seen from outside: one thing of a log on disk is wrong, and the audit names one rule."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from logs import log_signers, publish
from signers import NOW_S, ed25519_key
from story import Ledger, tell

from tallystick.audit import DirectorySource, Report, audit
from tallystick.audit.key_history import SETTLED_AFTER_S
from tallystick.descriptor import Descriptor, PublicKey, public_key
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.entry import parse_entry
from tallystick_ledger.key_history import KeyChange, KeyState
from tallystick_ledger.public_keys import Role, key_id

BEGAN_S = NOW_S - 100 * 86_400
SIGNED_S = parse_entry(tell()[1].raws()[-1]).at_s
"""When the head of the insurer's ledger is signed: with its last entry."""
DAY_S = 86_400


def public(name: str) -> bytes:
    return ed25519_key(name).public_key().public_bytes_raw()


def added(role: Role, raw: bytes, *, from_s: int = BEGAN_S) -> KeyChange:
    return KeyChange(role, raw, from_s, None, KeyState.ADDED, from_s)


def ended(change: KeyChange, *, until_s: int) -> KeyChange:
    return replace(change, state=KeyState.RETIRED, until_s=until_s, since_s=BEGAN_S)


def revoked(change: KeyChange, *, since_s: int) -> KeyChange:
    return replace(change, state=KeyState.REVOKED, since_s=since_s, reason="compromised")


def keys_of(ledger: Ledger) -> dict[str, KeyChange]:
    """Return the keys of the company whose ledger it is; those of its log are the ones that `publish` signs with."""
    log, log_pq = (signer.verifier_key.public_key for signer in log_signers(ledger.origin))
    named: dict[Role, bytes] = {"log": log, "log-pq": log_pq, "claim": public("claim"), "receipt": public("receipt")}
    return {role: added(role, raw) for role, raw in named.items()}


def with_history(changes: Sequence[KeyChange], *, ledger: Ledger) -> Ledger:
    """Tell of the keys right behind the opening, and name them in the insurer's acceptance."""
    after = "opening"
    for at, change in enumerate(changes):
        ledger.add(f"key {at}", "key", change.body(), after=after)
        after = f"key {at}"
    ledger.spoil("accepted", receipt_leaf=ledger.index("live"), key=key_id("receipt", public("receipt")))
    return ledger


def report_on(
    folder: Path, changes: Callable[[dict[str, KeyChange]], Sequence[KeyChange]], **named: str
) -> tuple[Report, Ledger]:
    _, insurer = tell()
    with_history(changes(keys_of(insurer)), ledger=insurer)
    insurer.spoil("accepted", **named)
    return audit([DirectorySource(str(publish(folder, insurer.raws(), origin=insurer.origin)))]), insurer


def whole(keys: dict[str, KeyChange]) -> list[KeyChange]:
    return list(keys.values())


def weak(keys: dict[str, KeyChange]) -> list[KeyChange]:
    return [*keys.values(), added("witness", (1).to_bytes(32, "little"))]


def back_again(keys: dict[str, KeyChange]) -> list[KeyChange]:
    witness = added("witness", public("witness"))
    return [*keys.values(), witness, ended(witness, until_s=NOW_S), witness]


def without(role: str) -> Callable[[dict[str, KeyChange]], list[KeyChange]]:
    return lambda keys: [change for name, change in keys.items() if name != role]


def over(role: str, *, by_s: int) -> Callable[[dict[str, KeyChange]], list[KeyChange]]:
    return lambda keys: [*keys.values(), ended(keys[role], until_s=SIGNED_S - by_s)]


def gone(role: str) -> Callable[[dict[str, KeyChange]], list[KeyChange]]:
    return lambda keys: [*keys.values(), revoked(keys[role], since_s=BEGAN_S)]


CASES: dict[str, tuple[str | None, Callable[[dict[str, KeyChange]], Sequence[KeyChange]]]] = {
    "a whole history": (None, whole),
    "a key of small order": ("P1.key_weak", weak),
    "a key that comes back": ("P1.key_state", back_again),
    "a head by a key that the log does not tell of": ("P1.key_head", without("log")),
    "a head by an ML-DSA key that the log does not tell of": ("P1.key_head", without("log-pq")),
    "a head by a key that is over": ("P1.key_head", over("log", by_s=DAY_S)),
    "a head by a key that ends now": (None, over("log", by_s=0)),
    "a head by a revoked key": ("P1.key_head", gone("log")),
    "an acceptance by a key that the log does not tell of": ("P1.key_use", without("receipt")),
    "an acceptance by a revoked key": ("P1.key_use", gone("receipt")),
    "no history at all": (None, lambda _: []),
}


@pytest.mark.parametrize("case", CASES)
def test_one_wrong_thing_breaks_one_rule(tmp_path: Path, case: str) -> None:
    rule, changes = CASES[case]
    report, _ = report_on(tmp_path, changes)
    assert [finding.rule for finding in report.findings] == ([] if rule is None else [rule])


def test_an_acceptance_is_not_signed_by_a_key_of_another_role(tmp_path: Path) -> None:
    report, insurer = report_on(tmp_path, whole, key=key_id("claim", public("claim")))
    (finding,) = report.findings
    assert (finding.rule, finding.where.partition(": ")[2]) == ("P1.key_use", f"entry {insurer.index('accepted')}")


def test_an_acceptance_of_before_keys_were_named_names_none(tmp_path: Path) -> None:
    assert report_on(tmp_path, whole, key="")[0].holds


# The descriptor


class Described(DirectorySource):
    """A log in a folder whose keys are from its company's descriptor, as at a node."""

    def __init__(self, where: str, descriptor: Descriptor) -> None:
        super().__init__(where)
        self.keys = replace(self.keys, descriptor=descriptor)


def lines(keys: dict[str, KeyChange]) -> list[PublicKey]:
    return [public_key(change.role, change.public, from_s=change.from_s) for change in keys.values()]


def described(folder: Path, listed: Sequence[PublicKey], *more: KeyChange, issued_at: int = BEGAN_S) -> list[str]:
    _, insurer = tell()
    with_history([*keys_of(insurer).values(), *more], ledger=insurer)
    log = str(publish(folder, insurer.raws(), origin=insurer.origin))
    described = Descriptor(
        v=1,
        host=insurer.host,
        url="https://insurer.example",
        livemode=False,
        issued_at=issued_at,
        keys=tuple(listed),
    )
    return [finding.rule for finding in audit([Described(log, described)]).findings]


def listed_keys() -> list[PublicKey]:
    return lines(keys_of(tell()[1]))


OTHER = PublicKey(id=key_id("http", public("http")), role="http", public=to_base64url(public("http")), from_s=BEGAN_S)


def test_a_descriptor_that_agrees_with_the_log_is_no_finding(tmp_path: Path) -> None:
    assert described(tmp_path, listed_keys()) == []


def test_a_descriptor_lists_no_key_that_the_log_does_not_tell_of(tmp_path: Path) -> None:
    assert described(tmp_path, [*listed_keys(), OTHER]) == ["P1.key_descriptor"]


def test_a_descriptor_may_be_a_moment_ahead_of_the_published_log(tmp_path: Path) -> None:
    issued_at = SIGNED_S - SETTLED_AFTER_S
    assert described(tmp_path, [*listed_keys(), OTHER], issued_at=issued_at) == []
    assert described(tmp_path / "late", [*listed_keys(), OTHER], issued_at=issued_at - 1) == ["P1.key_descriptor"]


def test_a_descriptor_lists_every_key_in_use(tmp_path: Path) -> None:
    assert described(tmp_path, listed_keys()[:-1]) == ["P1.key_descriptor"]


def test_a_descriptor_does_not_hide_that_a_key_was_revoked(tmp_path: Path) -> None:
    http = added("http", public("http"))
    assert described(tmp_path, [*listed_keys(), OTHER], http, revoked(http, since_s=BEGAN_S)) == ["P1.key_descriptor"]
    told = OTHER.model_copy(update={"revoked_since_s": BEGAN_S})
    assert described(tmp_path / "told", [*listed_keys(), told], http, revoked(http, since_s=BEGAN_S)) == []


def test_a_descriptor_does_not_stretch_the_life_of_a_key(tmp_path: Path) -> None:
    http = added("http", public("http"))
    changes = (http, ended(http, until_s=BEGAN_S + DAY_S))
    later = OTHER.model_copy(update={"until_s": BEGAN_S + 2 * DAY_S})
    assert described(tmp_path, [*listed_keys(), later], *changes) == ["P1.key_descriptor"]
