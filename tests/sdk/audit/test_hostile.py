"""Whatever a log holds, an audit ends in a report, and never in a traceback."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from logs import publish
from story import Ledger, tell

from tallystick.audit import DirectorySource, audit, report_table

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.text(max_size=20),
    st.sampled_from(["", "budget/", "budget//x", "member/x", "posted", "issued", "withheld", "given", "2027-13"]),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from(["at", "digest", "x"]), st.integers(0, 3), max_size=2),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["drop", "again", "move", "mix", "junk", "kind"]), st.integers(0, 99), st.integers(0, 99), JUNK
    ),
    max_size=8,
)


def spoil(ledger: Ledger, steps: list[tuple[str, int, int, object]]) -> None:
    """Change a ledger at random; `mix` puts the value of one entry into another, so that much still parses."""
    for what, one, two, junk in steps:
        if not ledger.drafts:
            return
        at = one % len(ledger.drafts)
        draft, other = ledger.drafts[at], ledger.drafts[two % len(ledger.drafts)]
        members = sorted(draft.body)
        if what == "drop":
            del ledger.drafts[at]
        elif what == "again":
            ledger.again(draft.name)
        elif what == "move":
            ledger.drafts.insert(two % len(ledger.drafts), ledger.drafts.pop(at))
        elif what == "kind":
            draft.kind = other.kind
        elif members:
            member = members[two % len(members)]
            draft.body[member] = other.body.get(member, junk) if what == "mix" else junk


@settings(max_examples=300, deadline=None)
@given(STEPS, STEPS)
def test_any_two_ledgers_end_in_a_report(
    gym_steps: list[tuple[str, int, int, object]], insurer_steps: list[tuple[str, int, int, object]]
) -> None:
    gym, insurer = tell()
    spoil(gym, gym_steps)
    spoil(insurer, insurer_steps)
    folder = Path(tempfile.mkdtemp())
    try:
        logs = [publish(folder / each.host, each.raws(), origin=each.origin) for each in (gym, insurer)]
        report = audit([DirectorySource(str(log)) for log in logs])
        assert report.document()["holds"] == (not report.findings)
        assert report_table(report)
    finally:
        shutil.rmtree(folder)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4), st.binary(max_size=200))
def test_any_bytes_end_in_a_report(entries: list[bytes], checkpoint: bytes) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        log = publish(folder, entries, origin="gym.example/log/2027")
        report = audit([DirectorySource(str(log))])
        assert [finding.rule for finding in report.findings] == ["entry.malformed"] * len(entries)
        (log / "checkpoint").write_bytes(checkpoint)
        assert not audit([DirectorySource(str(log))]).holds
    finally:
        shutil.rmtree(folder)


def test_an_entry_nested_to_the_limit_of_the_stack_is_malformed_or_held(tmp_path: Path) -> None:
    """Whether a reader's stack holds it depends on the reader; that the audit goes on must not."""
    head = b'{"at":1,"blind":"AAAAAAAAAAAAAAAAAAAAAA","body":{"x":'
    tail = b'},"id":"evt_aaaaaaaaaaaaaaaaaaaaaaaaaa","kind":"event","v":1}'
    entries = [head + b"[" * depth + b"]" * depth + tail for depth in (*range(880, 1_010), 5_000)]
    log = publish(tmp_path, entries, origin="gym.example/log/2027")
    assert {finding.rule for finding in audit([DirectorySource(str(log))]).findings} == {
        "P1.opening",
        "entry.malformed",
    }
