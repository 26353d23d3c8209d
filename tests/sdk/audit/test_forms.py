"""Reading an entry the short way finds what reading it the long way does, whatever the entry holds."""

import gc
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from logs import digest
from story import BUDGET, MEMBER, REWARD_MINOR, Ledger, erase, receipt, tell, transfer

from tallystick.audit.collecting import without_collecting
from tallystick.audit.findings import Findings
from tallystick.audit.replay import LogReplay, settle
from tallystick.audit.replay.records import records_of
from tallystick_consent.entries import BODIES
from tallystick_consent.forms import FORMS
from tallystick_ledger.encoding import canonical_json
from tallystick_ledger.entry import parse_entry
from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.forms import TRANSFER_FORM, spelled
from tallystick_ledger.replay import Finding
from tallystick_ledger.tlog.blob import ENTRY_SIZE_MAX_BYTES

ALL_FORMS = {**FORMS, b"transfer": TRANSFER_FORM}
SPOILED_A_LEDGER = 150

VALUES: tuple[Any, ...] = (
    0, 1, -1, 2**53 - 1, 2**53, 10**15 - 1, 10**15, 100_001, True, None, 1.5,
    "", "a", "raw", "withdrawn", "issued", "posted", "2027-02", "dpv:Marketing", "funds/x",
    "A" * 43, "-" * 43, "A" * 44, "\u00e9", "\x7f", '"', "\\", "a\nb",
    [], ["visit"], {}, {"at": 1, "digest": "A" * 43},
)  # fmt: skip
"""What a member may be changed to: at its bounds, past them, of another type, and what JSON spells otherwise."""


def told() -> list[Ledger]:
    gym, insurer = tell()
    take_back(gym, insurer)
    end_it(insurer)
    erase(gym, insurer)
    return [gym, insurer]


def end_it(insurer: Ledger) -> None:
    """Let the insurer's receipt name what may be kept, and a withdrawal meet its end."""
    kept = [{"field": "answers", "ground": "consent", "until_days": 1}]
    for step in ("requested", "live"):
        insurer.spoil(step, retention=kept)
    insurer.add("revoked", "receipt", {**receipt("revoked"), "retention": kept})
    insurer.add("crossed", "receipt", {**receipt("withdrawn", acknowledged=True), "retention": kept, "crossed": True})
    march = {"receipt": insurer["accepted"].body["receipt"], "claims": [insurer["accepted"].body["claim"]]}
    insurer.add("discharged", "discharge", {**march, "field": "answers"})


def take_back(gym: Ledger, insurer: Ledger) -> None:
    """Let the gym correct its visit, and what followed from it be taken back."""
    wrong = {"log": gym.origin, "leaf": gym.index("visit")}
    gym.add("correction", "correction", {"wrong": wrong, "right": None, "signed": digest("correction")})
    revoked = {"state": "revoked", "correction": gym.entry_id("correction")}
    gym.add("revoked", "disclosure", {**gym["delivered"].body, **revoked})
    taken = {name: insurer["accepted"].body[name] for name in ("issuer", "receipt", "claim", "nullifier")}
    insurer.add("retracted", "retraction", {**taken, "signed": digest("retraction")})
    paid = insurer["reward"].body
    more = {"cause": insurer.entry_id("retracted"), "reverses": str(paid["transfer"])}
    reversal = transfer("reversal", MEMBER, BUDGET, REWARD_MINOR, **more)
    insurer.add("reversal", "transfer", {**reversal, "terms": paid["terms"]})


def replayed(raws: list[bytes], origin: str, read: Callable[[list[bytes]], Any]) -> tuple[object, object, object]:
    replay, found = LogReplay.of(origin), Findings("log")
    replay.take(read(raws), found)
    replay.finish(found)
    listed: tuple[Finding, ...] = found.all()
    return listed, list(records_of(replay)), dict(replay.kinds)


def spoiled_bytes(raw: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(raw))
    more = bytes([chance.choice(b'"{}[]:,0123456789aA_- \\\n\x00\x7f\xc3\xa9')])
    return chance.choice((raw[:at] + raw[at + 1 :], raw[:at] + more + raw[at:], raw[:at] + more + raw[at + 1 :]))


def spoiled_values(raw: bytes, chance: random.Random) -> bytes:
    """Return the entry with a member changed, left out, renamed or moved, still in one line of JSON."""
    envelope = json.loads(raw)
    inner = [
        each for each in (envelope, envelope["body"], *envelope["body"].values()) if isinstance(each, dict) and each
    ]
    members = chance.choice(inner)
    name = chance.choice(sorted(members))
    match chance.randrange(4):
        case 0 | 1:
            members[name] = chance.choice(VALUES)
        case 2:
            del members[name]
        case _:
            members[chance.choice(("note", "acknowledge_by", "tells", "state", "correction", "reverses"))] = (
                chance.choice(VALUES)
            )
    spaces = chance.choice(((",", ":"), (",", ":"), (", ", ":")))
    return json.dumps(
        envelope, sort_keys=chance.random() < 0.9, separators=spaces, ensure_ascii=chance.random() < 0.2
    ).encode(errors="surrogatepass")


@pytest.mark.parametrize("spoil", [spoiled_bytes, spoiled_values])
@pytest.mark.parametrize("which", [0, 1])
def test_both_ways_find_the_same_and_remember_the_same(
    spoil: Callable[[bytes, random.Random], bytes], which: int
) -> None:
    ledger = told()[which]
    raws = ledger.raws()
    for seed in range(SPOILED_A_LEDGER):
        chance = random.Random(seed)  # noqa: S311  # it chooses what to spoil
        at = chance.randrange(len(raws))
        spoiled = [*raws[:at], spoil(raws[at], chance), *raws[at + 1 :]]
        assert replayed(spoiled, ledger.origin, settle) == replayed(spoiled, ledger.origin, list), f"seed {seed}"


@pytest.mark.parametrize("spoil", [spoiled_bytes, spoiled_values])
def test_what_has_its_form_is_canonical_and_in_the_envelope(spoil: Callable[[bytes, random.Random], bytes]) -> None:
    matched = 0
    for raw in [raw for ledger in told() for raw in ledger.raws()]:
        for seed in range(SPOILED_A_LEDGER):
            changed = spoil(raw, random.Random(seed))  # noqa: S311  # as above
            found = spelled(changed, ALL_FORMS)
            if found is None:
                continue
            matched += 1
            entry = parse_entry(changed)
            assert found[:4] == (changed, entry.kind, entry.id, entry.at_s)
            assert changed[found[4] : found[5]] == canonical_json(dict(entry.body))
    assert matched > 50


def test_what_nodes_write_has_its_form() -> None:
    """Else it would be read the long way, which is right, and slow."""
    for entry in [entry for ledger in told() for entry in ledger.entries() if entry.kind in {*BODIES, "transfer"}]:
        assert spelled(entry.raw, ALL_FORMS), entry.kind
    old = told()[0]
    for step in ("issued", "delivered"):
        old[step].body.pop("key", None)
    old["program"].body.pop("tells")
    for entry in old.entries():
        assert entry.kind == "opening" or spelled(entry.raw, ALL_FORMS), entry.kind


def test_an_entry_too_large_has_no_form() -> None:
    gym, _ = tell()
    gym.add("withdrawn", "receipt", dict(gym["live"].body))
    many = 1_400
    raw = gym.raws()[-1].replace(b'"deliverable":[]', b'"deliverable":[%s]' % b",".join([b'"%s"' % (b"A" * 43)] * many))
    assert len(raw) > ENTRY_SIZE_MAX_BYTES - 2_000
    assert spelled(raw, ALL_FORMS)
    padded = raw.replace(b'"deliverable":[', b'"deliverable":[' + b'"%s",' % (b"A" * 43) * 45)
    assert len(padded) > ENTRY_SIZE_MAX_BYTES
    assert spelled(padded, ALL_FORMS) is None
    with pytest.raises(EntryMalformed):
        parse_entry(padded)


def test_a_settled_event_is_its_time_and_nothing_else() -> None:
    gym, _ = tell()
    raw = gym.raws()[gym.index("visit")]
    assert settle([raw]) == [gym["visit"].at_s]
    gym.spoil("visit", commitment=digest("visit")[:-1])
    spoiled = gym.raws()[gym.index("visit")]
    assert settle([spoiled]) == [spoiled]


@pytest.mark.parametrize(
    ("kind", "spell"),
    [
        ("visit", lambda raw: raw[: raw.index(b'","body"') - 1] + b"B" + raw[raw.index(b'","body"') :]),
        ("visit", lambda raw: b'{"at":9007199254740993' + raw[raw.index(b',"blind"') :]),
        ("fee", lambda raw: raw.replace(b'"amount":100,', b'"amount":9007199254740993,')),
    ],
)
def test_base64_with_stray_bits_and_numbers_too_large_have_no_form(kind: str, spell: Callable[[bytes], bytes]) -> None:
    gym, _ = tell()
    raw = spell(gym.raws()[gym.index(kind)])
    assert spelled(raw, ALL_FORMS) is None
    with pytest.raises(EntryMalformed):
        parse_entry(raw)


def test_the_search_for_garbage_goes_on_after_an_audit() -> None:
    def fail_inside() -> None:
        with without_collecting():
            assert not gc.isenabled()
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert gc.isenabled()
