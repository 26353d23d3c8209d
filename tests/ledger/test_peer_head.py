"""What one log says of another's head: the head, the other log's own signature, and nothing else."""

from typing import Any

import pytest
from logs import entry_of, log_signers, plain_entries
from signers import NOW_S, WITNESS

from tallystick_ledger.errors import EntryMalformed, NoteMalformed, SignatureRejected
from tallystick_ledger.peer_head import PeerHead, parse_peer_head, peer_head
from tallystick_ledger.replay import LedgerReplay
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.note import open_note, sign_note

ORIGIN = "gym.example/log/2027"
LOG, LOG_PQ = log_signers(ORIGIN)
HEAD = Checkpoint(ORIGIN, 5, bytes(range(32)))
PUBLISHED = sign_note(HEAD.body(), [LOG_PQ, LOG, WITNESS], now_s=NOW_S)
KEYS = [LOG.verifier_key, LOG_PQ.verifier_key]


def test_of_a_published_head_only_the_log_s_own_line_is_kept() -> None:
    made = peer_head(PUBLISHED, keys=KEYS)
    opened = open_note(made.note, KEYS)
    assert (made.checkpoint, len(opened.lines), opened.verified[0].key) == (HEAD, 1, LOG.verifier_key)
    assert parse_peer_head(made.body()) == made


@pytest.mark.parametrize("signer", [LOG_PQ, WITNESS], ids=["another kind of key", "a witness"])
def test_a_head_that_the_log_s_ed25519_key_did_not_sign_is_not_kept(signer: object) -> None:
    note = sign_note(HEAD.body(), [signer], now_s=NOW_S)  # type: ignore[list-item]
    with pytest.raises(SignatureRejected):
        peer_head(note, keys=[*KEYS, WITNESS.verifier_key])


def test_a_head_that_fills_an_entry_is_not_kept() -> None:
    wide = Checkpoint(ORIGIN, 5, bytes(32), ("x" * 5_000,))
    with pytest.raises(NoteMalformed, match="too large"):
        peer_head(sign_note(wide.body(), [LOG], now_s=NOW_S), keys=KEYS)


NOTE = peer_head(PUBLISHED, keys=KEYS).note.decode()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"checkpoint": NOTE, "more": 1},
        {"checkpoint": 1},
        {"checkpoint": "x" * 5_000},
        {"checkpoint": "\ud800"},
        {"checkpoint": PUBLISHED.decode()[:4_096]},
        {"checkpoint": sign_note(HEAD.body(), [LOG, WITNESS], now_s=NOW_S).decode()},
        {"checkpoint": sign_note(HEAD.body(), [WITNESS], now_s=NOW_S).decode()},
        {"checkpoint": NOTE.replace("\n5\n", "\n18446744073709551616\n")},
        {"checkpoint": NOTE.replace("\n5\n", "\n5\x0b")},
        {"checkpoint": NOTE.rstrip("\n")},
    ],
)
def test_a_body_of_another_form_is_refused_and_is_a_finding(body: dict[str, Any]) -> None:
    with pytest.raises(EntryMalformed):
        parse_peer_head(body)


def test_replay_takes_one_that_is_of_its_form_and_reports_any_other() -> None:
    own = "insurer.example/log/2027"
    replay = LedgerReplay(own)
    for raw in plain_entries(1, origin=own):
        replay.take(raw)
    replay.findings.clear()
    replay.take(entry_of("peer_head", PeerHead(HEAD, NOTE.encode()).body(), name="good").raw)
    assert replay.findings == []
    replay.take(entry_of("peer_head", {"checkpoint": NOTE[1:]}, name="bad").raw)
    assert [finding.rule for finding in replay.findings] == ["entry.malformed"]
