"""Honest time (P16): what the times of entries may be, given when others saw the log."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from logs import entry_of, publish
from signers import NOW_S, WITNESS, ed25519_key, ml_dsa_key

from tallystick.audit import DirectorySource, Saver, audit, read_state
from tallystick.audit.replay import TimeReplay, times
from tallystick_ledger.tlog.note import CosignatureSigner, add_lines, sign_line, unchecked_text

ORIGIN = "gym.example/log/2027"
SLACK_S = 300


def log_of(folder: Path, at: Sequence[int], *, signed_s: int) -> Path:
    """Write a log whose entries state these times, after `NOW_S`, and whose head is signed `signed_s` after it."""
    bodies: list[tuple[str, dict[str, object]]] = [("opening", {"log": ORIGIN})]
    bodies += [("event", {"commitment": "A" * 43}) for _ in at[1:]]
    entries = [
        entry_of(kind, body, name=str(index), at_s=NOW_S + at_s).raw
        for index, ((kind, body), at_s) in enumerate(zip(bodies, at, strict=True))
    ]
    return publish(folder, entries, origin=ORIGIN, now_s=NOW_S + signed_s)


def found(log: Path) -> list[tuple[str, str]]:
    return [(each.rule, each.where.removeprefix(f"{log}: ")) for each in audit([DirectorySource(str(log))]).findings]


@pytest.mark.parametrize(
    ("at", "signed_s", "expected"),
    [
        ((0, 10, 20), 30, []),
        ((0, SLACK_S, 0), SLACK_S, []),
        ((0, SLACK_S + 1, 0), SLACK_S + 1, [("P16.order", "entry 2")]),
        ((0, 0, SLACK_S), 0, []),
        ((0, 0, SLACK_S + 1), 0, [("P16.window", "entry 2")]),
        ((0, 900, 300, 900), 900, [("P16.order", "entry 2")]),
    ],
)
def test_time_runs_on_and_ends_before_the_head(
    tmp_path: Path, at: tuple[int, ...], signed_s: int, expected: list[tuple[str, str]]
) -> None:
    assert found(log_of(tmp_path, at, signed_s=signed_s)) == expected


DAYS_AGO_S = NOW_S - 10 * 86_400


def cosigned(folder: Path, *witnesses: CosignatureSigner) -> Path:
    """Write a log whose head these witnesses cosign with clocks of ten days ago."""
    log = log_of(folder, (0, 10, 20), signed_s=30)
    note = (log / "checkpoint").read_bytes()
    body = unchecked_text(note)
    (log / "checkpoint").write_bytes(add_lines(note, [sign_line(body, each, now_s=DAYS_AGO_S) for each in witnesses]))
    (folder / "witnesses.vkey").write_text("".join(f"{each.verifier_key.text}\n" for each in witnesses))
    return log


def test_one_witness_with_a_clock_in_the_past_accuses_nobody(tmp_path: Path) -> None:
    pq = CosignatureSigner(WITNESS.verifier_key.name, ml_dsa_key("its other key"))
    report = audit([DirectorySource(str(cosigned(tmp_path / "one", WITNESS, pq)))])
    assert report.findings == ()
    assert any("its clock is not believed" in note for note in report.sources[0].notes)
    another = CosignatureSigner("another-witness.example", ed25519_key("another"))
    two = cosigned(tmp_path / "two", WITNESS, another)
    assert found(two) == [("P16.window", f"entry {at}") for at in range(3)]


@pytest.mark.parametrize(("new_s", "expected"), [(1_000 - SLACK_S, []), (1_000 - SLACK_S - 1, ["P16.window"])])
def test_what_was_not_there_when_the_log_was_seen_last_is_no_older_than_that(
    tmp_path: Path, new_s: int, expected: list[str]
) -> None:
    early = log_of(tmp_path / "early", (0, 500), signed_s=1_000)
    assert audit([DirectorySource(str(early))], savers=[Saver(tmp_path / "state")]).holds
    late = log_of(tmp_path / "late", (0, 500, new_s), signed_s=2_000)
    report = audit([DirectorySource(str(late))], since=[read_state(tmp_path / "state")])
    assert [each.rule for each in report.findings] == expected


def test_a_log_of_any_length_is_remembered_in_so_many_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "SAMPLES_MAX", 8)
    replay = TimeReplay()
    for index in range(1_000):
        replay.take(NOW_S + 100 * index, index)
    assert len(replay.samples) <= 8
    for size in range(1, 1_001, 37):
        latest = replay.latest_before(size)
        assert latest is not None
        assert 0 <= (size - 1) * 100 - (latest[1] - NOW_S) < replay.step_s + 100
        assert latest[0] < size
    assert replay.latest_before(0) is None
