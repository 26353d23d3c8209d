"""Evidence convicts from the file alone: a log that lied of having lied, and no log that did not."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from logs import log_signers
from signers import NOW_S, WITNESS, WITNESS_PQ, ml_dsa_key
from trees import Tree
from typer.testing import CliRunner

from tallystick.cli import app
from tallystick.evidence import (
    EVIDENCE_SIZE_MAX_BYTES,
    Evidence,
    EvidenceMalformed,
    EvidenceRejected,
    Refusal,
    TwoHeads,
    Withheld,
    WrongLine,
    WrongTile,
    parse_evidence,
    two_heads,
    wrong_tile,
)
from tallystick_ledger.tlog.hashing import leaf_hash
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import EMPTY_ROOT, prove_consistency, root_at
from tallystick_ledger.tlog.note import CosignatureSigner, Signer, sign_note

ORIGIN = "gym.example/log/2027"
LOG, LOG_PQ = log_signers(ORIGIN)
KEYS = [LOG.verifier_key, LOG_PQ.verifier_key]
TREE = Tree(600)


def head(size: int, root: bytes | None = None, *, signers: tuple[Signer, ...] = (LOG, LOG_PQ)) -> bytes:
    checkpoint = Checkpoint(ORIGIN, size, root_at(size, TREE.read) if root is None else root)
    return sign_note(checkpoint.body(), signers, now_s=NOW_S)


def fork(older: int, newer: int) -> TwoHeads:
    """The gym showed somebody another history up to `older`, and goes on with this one."""
    return two_heads(head(older, bytes(32)), head(newer), keys=KEYS, read=TREE.read)


@pytest.mark.parametrize(("older", "newer"), [(7, 7), (1, 2), (5, 9), (8, 9), (256, 600), (257, 599), (599, 600)])
def test_two_heads_that_cannot_both_be_of_one_history_convict_their_log(older: int, newer: int) -> None:
    verdict = parse_evidence(fork(older, newer).encode()).check(KEYS)
    assert (verdict.origin, verdict.accuses, verdict.sizes) == (ORIGIN, True, (older, newer))
    assert verdict.keys == tuple(KEYS)


def test_the_heads_may_come_in_either_order() -> None:
    first, second = head(5, bytes(32)), head(9)
    keys = {"keys": KEYS, "read": TREE.read}
    assert two_heads(first, second, **keys) == two_heads(second, first, **keys)


def test_a_log_with_a_key_for_each_head_is_convicted_under_both() -> None:
    made = two_heads(head(5, bytes(32), signers=(LOG,)), head(9, signers=(LOG_PQ,)), keys=KEYS, read=TREE.read)
    assert made.check(KEYS).keys == tuple(KEYS)
    with pytest.raises(EvidenceRejected, match="not signed by the log"):
        made.check(KEYS[:1])


def test_a_witness_that_cosigned_both_is_named_and_one_that_cosigned_one_is_not() -> None:
    made = two_heads(
        head(5, bytes(32), signers=(LOG, WITNESS)),
        head(9, signers=(LOG, WITNESS, WITNESS_PQ)),
        keys=KEYS,
        read=TREE.read,
    )
    keys = [LOG.verifier_key, WITNESS.verifier_key, WITNESS_PQ.verifier_key]
    assert made.check(keys).cosigners == (WITNESS.verifier_key,)


def test_an_honest_log_cannot_be_convicted() -> None:
    """Its heads are of one history, so no root and proof exist that show anything else."""
    for older, newer in pairwise([1, 2, 3, 8, 200, 256, 257, 512, 600]):
        honest = two_heads(head(older), head(newer), keys=KEYS, read=TREE.read)
        with pytest.raises(EvidenceRejected, match="of one history"):
            honest.check(KEYS)
        other = Tree(newer)
        other.leaves[0] = leaf_hash(b"a lie of the accuser")
        proof = prove_consistency(older, new_size=newer, read=other.read)
        for lie in (replace(honest, root=bytes(32)), replace(honest, root=bytes(32), proof=tuple(proof))):
            with pytest.raises(EvidenceRejected, match="Nothing shows"):
                lie.check(KEYS)


TEXTS = {"answer", "witness", "head", "older", "newer", "shown"}
FORK = fork(5, 9)
STRANGER = log_signers("bank.example/log/2027")


@pytest.mark.parametrize(
    ("lie", "problem"),
    [
        # The accuser made the smaller head up.
        (replace(FORK, older=head(5, bytes(32), signers=STRANGER)), "not signed by the log"),
        (replace(FORK, older=head(5, bytes(32)).replace(b"\n5\n", b"\n6\n")), "not signed by the log"),
        # Every tree continues the empty one, so a head of it contradicts nothing.
        (replace(FORK, older=head(0, EMPTY_ROOT), root=bytes(32)), "Nothing shows"),
        (replace(FORK, older=FORK.newer, newer=FORK.older), "Nothing shows"),
        (replace(FORK, older=b"gym.example/log/2027\n5\n"), "no blank line"),
    ],
)
def test_evidence_that_somebody_made_up_convicts_nobody(lie: TwoHeads, problem: str) -> None:
    with pytest.raises(EvidenceRejected, match=problem):
        lie.check(KEYS)


def test_a_log_is_not_convicted_with_the_head_of_another() -> None:
    theirs = Checkpoint("bank.example/log/2027", 9, root_at(9, TREE.read))
    made = replace(fork(9, 9), newer=sign_note(theirs.body(), STRANGER, now_s=NOW_S), root=theirs.root)
    with pytest.raises(EvidenceRejected, match="of two logs"):
        made.check([*KEYS, *(each.verifier_key for each in STRANGER)])


def test_a_log_that_spoils_one_of_its_lines_is_convicted_by_the_other() -> None:
    spoilt = FORK.older[:-20] + b"AAAA" + FORK.older[-16:]
    assert replace(FORK, older=spoilt).check(KEYS).accuses


def tile(path: str, found: bytes) -> WrongTile:
    return wrong_tile(head(600), path, found, keys=KEYS, read=TREE.read)


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2", "tile/0/002.p/7"])
def test_a_tile_that_is_not_the_log_s_is_shown_and_accuses_nobody(path: str) -> None:
    true = TREE.files().get(path) or TREE.files()["tile/0/002.p/88"][: 7 * 32]
    for found in (true[:-1] + bytes([true[-1] ^ 1]), true[:-1], true + b"\0", b""):
        verdict = parse_evidence(tile(path, found).encode()).check(KEYS)
        assert (verdict.accuses, verdict.sizes) == (False, (600,))
    with pytest.raises(EvidenceRejected, match="is what the head covers"):
        tile(path, true).check(KEYS)


def withheld(shown: bytes, *, of: bytes | None = None) -> Withheld:
    return Withheld(tuple(KEYS), head(600) if of is None else of, NOW_S, NOW_S + 3_600, shown)


@pytest.mark.parametrize(
    ("shown", "found", "sizes"),
    [
        (b"", "found no log in its place", (600,)),
        (head(599), "found a head of 599 entries in its place, which the log has signed too", (600, 599)),
        (head(599, signers=STRANGER), "which the log has not signed", (600,)),
        (b"<html>Gone fishing</html>\xff", "which the log has not signed", (600,)),
    ],
)
def test_what_is_missing_shows_what_the_log_owes_and_accuses_nobody(
    shown: bytes, found: str, sizes: tuple[int, ...]
) -> None:
    verdict = parse_evidence(withheld(shown).encode()).check(KEYS)
    assert (verdict.accuses, verdict.sizes) == (False, sizes)
    assert verdict.problem.startswith("It has signed a head of 600 entries. Whoever made this file found ")
    assert found in verdict.problem
    assert verdict.problem.endswith("at 2026-03-01 00:00 and 2026-03-01 01:00 UTC.")


@pytest.mark.parametrize(
    "made",
    [
        withheld(head(600)),
        withheld(head(600, bytes(32))),
        withheld(b"", of=head(600, signers=STRANGER)),
    ],
)
def test_nothing_is_missing_where_as_much_is_shown_nor_where_nothing_was_signed(made: Withheld) -> None:
    with pytest.raises(EvidenceRejected):
        made.check(KEYS)


def test_of_a_bundle_no_entry_travels() -> None:
    leaves = [leaf_hash(entry) for entry in TREE.entries[512:]]
    leaves[3] = leaf_hash(b"dropped, and this put in its place")
    shown = tile("tile/entries/002.p/88", b"".join(leaves))
    assert "entries/002.p/88 is not what the head covers" in shown.check(KEYS).problem
    assert b"dropped" not in shown.encode()


def test_a_tile_is_held_against_what_the_head_covers_and_not_against_what_the_accuser_says() -> None:
    shown = tile("tile/0/000", bytes(8192))
    for lie in (replace(shown, root=bytes(32)), replace(shown, path="tile/0/001"), replace(shown, path="tile/2/000")):
        with pytest.raises(EvidenceRejected, match="Nothing shows"):
            lie.check(KEYS)
    with pytest.raises(EvidenceRejected, match="not signed"):
        replace(shown, head=head(600, signers=STRANGER)).check(KEYS)


def test_a_line_that_does_not_verify_is_shown_and_one_that_does_is_not() -> None:
    spoilt = head(5)[:-20] + b"AAAA" + head(5)[-16:]
    wrong = WrongLine((KEYS[1],), spoilt, 1)
    assert not parse_evidence(wrong.encode()).check(KEYS).accuses
    for right in (replace(wrong, line=0), replace(wrong, head=head(5)), replace(wrong, line=2)):
        with pytest.raises(EvidenceRejected, match="verifies, or is of none"):
            right.check(KEYS)


def test_how_a_witness_refused_is_kept_and_accuses_nobody() -> None:
    refused = Refusal(tuple(KEYS), head(5), "insurer.example/witness", 422, "no", head(9))
    verdict = parse_evidence(refused.encode()).check(KEYS)
    assert (verdict.accuses, verdict.sizes) == (False, (5, 9))
    assert parse_evidence(replace(refused, shown=b"").encode()).check(KEYS).sizes == (5,)
    with pytest.raises(EvidenceRejected, match="not signed"):
        replace(refused, shown=head(9, signers=STRANGER)).check(KEYS)


EVERY: list[Evidence] = [
    FORK,
    tile("tile/0/000", bytes(8192)),
    WrongLine((KEYS[1],), head(5), 1),
    Refusal(tuple(KEYS), head(5), "w", 409, "5\n"),
]


@pytest.mark.parametrize("evidence", EVERY, ids=lambda each: str(each.KIND))
def test_a_file_is_read_back_as_it_was_written(evidence: Evidence) -> None:
    assert parse_evidence(evidence.encode()) == evidence


@pytest.mark.parametrize("evidence", EVERY, ids=lambda each: str(each.KIND))
def test_a_file_of_another_form_is_refused(evidence: Evidence) -> None:
    whole = json.loads(evidence.encode())
    for name in whole:
        lies = [None, {}, -1, 1.5, "x", "x" * 600_000, [["x"]], ["\ud800"]]
        for lie in [*lies, whole[name] + " " if isinstance(whole[name], str) else True]:
            if name in TEXTS and isinstance(lie, str):
                continue  # texts, whose content is for the check to judge
            with pytest.raises(EvidenceMalformed):
                parse_evidence(json.dumps({**whole, name: lie}).encode())
        with pytest.raises(EvidenceMalformed):
            parse_evidence(json.dumps({each: whole[each] for each in whole if each != name}).encode())
    with pytest.raises(EvidenceMalformed):
        parse_evidence(json.dumps({**whole, "more": 1}).encode())


def test_a_file_has_a_bound() -> None:
    raw = FORK.encode()
    assert parse_evidence(raw + b" " * (EVIDENCE_SIZE_MAX_BYTES - len(raw))) == FORK
    with pytest.raises(EvidenceMalformed, match="too large"):
        parse_evidence(raw + b" " * (EVIDENCE_SIZE_MAX_BYTES - len(raw) + 1))
    with pytest.raises(EvidenceMalformed):
        parse_evidence(b"[" * EVIDENCE_SIZE_MAX_BYTES)
    raw = json.dumps({**json.loads(raw), "proof": ["A" * 43 + "="] * 65}).encode()
    with pytest.raises(EvidenceMalformed):
        parse_evidence(raw)


def vkeys(path: Path, keys: list[VerifierKey]) -> Path:
    path.write_text("".join(f"{key.text}\n" for key in keys))
    return path


def test_an_equivocating_log_is_convicted_from_its_evidence_file_in_a_fresh_process(tmp_path: Path) -> None:
    file, policy = tmp_path / "fork.json", tmp_path / "trust.policy"
    file.write_bytes(FORK.encode())
    policy.write_text("".join(f"log {key.text}\n" for key in KEYS) + "quorum none\n")
    command = [Path(sys.executable).parent / "tally", "verify", file, "--policy", policy]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"CONVICTS {ORIGIN}. It has signed a head that does not continue an earlier one.")
    assert "ONLY IF" not in ran.stdout


def test_a_witness_that_bears_the_name_of_the_log_convicts_nobody(tmp_path: Path) -> None:
    """Its ML-DSA-44 key is of the kind that logs sign with too; the policy says which of the two it is."""
    impostor = CosignatureSigner(ORIGIN, ml_dsa_key("impostor"))
    bodies = [Checkpoint(ORIGIN, 5, bytes([n]) * 32).body() for n in (1, 2)]
    one, other = (sign_note(body, [impostor], now_s=NOW_S) for body in bodies)
    found = TwoHeads(tuple(KEYS), one, other, bytes([2]) * 32, ())
    assert found.check([impostor.verifier_key]).accuses
    with pytest.raises(EvidenceRejected, match="not signed by the log"):
        found.check(KEYS, [impostor.verifier_key])
    both = TwoHeads(tuple(KEYS), *(sign_note(body, [LOG, impostor], now_s=NOW_S) for body in bodies), found.root, ())
    verdict = both.check(KEYS, [impostor.verifier_key])
    assert (verdict.keys, verdict.cosigners) == ((LOG.verifier_key,), (impostor.verifier_key,))
    file, policy = tmp_path / "made-up.json", tmp_path / "trust.policy"
    file.write_bytes(found.encode())
    logs = "".join(f"log {key.text}\n" for key in KEYS)
    policy.write_text(f"{logs}witness w {impostor.verifier_key.text}\nquorum w\n")
    told = CliRunner().invoke(app, ["verify", str(file), "--policy", str(policy)])
    assert told.exit_code == 1, told.output


def test_without_keys_the_verdict_says_under_which_it_stands(tmp_path: Path) -> None:
    file, tally = tmp_path / "fork.json", CliRunner()
    file.write_bytes(FORK.encode())
    ran = tally.invoke(app, ["verify", str(file)])
    assert ran.exit_code == 2
    assert KEYS[0].text in ran.stdout
    assert ran.stdout.startswith("WOULD CONVICT gym.example/log/2027 ONLY IF the keys below are its own. It has")
    ours = vkeys(tmp_path / "log.vkey", KEYS)
    ran = tally.invoke(app, ["verify", str(file), "--key", str(ours)])
    assert (ran.exit_code, "ONLY IF" in ran.stdout) == (0, False)
    others = vkeys(tmp_path / "other.vkey", [each.verifier_key for each in STRANGER])
    ran = tally.invoke(app, ["verify", str(file), "--key", str(others)])
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert "evidence_rejected" in ran.stderr
    file.write_bytes(b"{}")
    assert tally.invoke(app, ["verify", str(file)]).exit_code == 1


def test_evidence_that_accuses_nobody_says_so(tmp_path: Path) -> None:
    file = tmp_path / "tile.json"
    file.write_bytes(tile("tile/0/000", bytes(8192)).encode())
    ran = CliRunner().invoke(app, ["verify", str(file)])
    told = "WOULD HOLD, AND ACCUSE NOBODY ONLY IF the keys below are the right ones"
    assert (ran.exit_code, ran.stdout.partition(".")[0]) == (2, told)
    ours = vkeys(tmp_path / "log.vkey", KEYS)
    ran = CliRunner().invoke(app, ["verify", str(file), "--key", str(ours)])
    assert (ran.exit_code, ran.stdout.partition(".")[0]) == (0, "HOLDS, AND ACCUSES NOBODY")
