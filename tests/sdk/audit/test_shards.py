"""A partner's logs of two years are audited together: the later one goes on where the earlier one stopped."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from logs import entry_of, publish
from story import GYM, Ledger, tell

from tallystick.audit import DirectorySource, Report, Saver, audit, read_state
from tallystick.audit.replay import LogReplay
from tallystick_consent.replay import without_leaves
from tallystick_ledger.append import plan_append
from tallystick_ledger.opening import Carried, OpeningDraft
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.merkle import Frontier

NEW_YEAR_S = int(datetime(2028, 1, 1, tzinfo=UTC).timestamp())
LATER = f"{GYM}/log/2028"

MISSING = (
    "which is not among the sources: WHAT IT CARRIES FROM THERE IS NOT CHECKED, nor whether there ever was such a log."
)

Spoil = Callable[[list[Carried]], list[Carried]]


def records_of(gym: Ledger) -> list[Carried]:
    """Return what the log of the next year must carry."""
    replay = LogReplay.of(gym.origin)
    for index, entry in enumerate(gym.entries()):
        replay.ledger.take(entry.raw)
        replay.consent.take(entry, index)
    return list(without_leaves([*replay.ledger.carries(NEW_YEAR_S), *replay.consent.carries(NEW_YEAR_S)]))


def two_years(folder: Path, gym: Ledger, records: list[Carried], *, events: int = 0) -> list[Path]:
    """Write the gym's log of 2027, and one of 2028 that carries `records` and goes on with events."""
    after = plan_append(Frontier.empty(), gym.raws()).after
    draft = OpeningDraft(LATER, Checkpoint(gym.origin, after.size, after.root()))
    for record in records:
        draft.add(record)
    entries = [entry_of("opening", part.body(), name=f"{part.part}", at_s=NEW_YEAR_S) for part in draft.parts()]
    for at in range(events):
        entries.append(entry_of("event", {"commitment": "A" * 43}, name=f"event {at}", at_s=NEW_YEAR_S + at))
    return [
        publish(folder / "2027", gym.raws(), origin=gym.origin),
        publish(folder / "2028", [entry.raw for entry in entries], origin=LATER),
    ]


def audited(logs: list[Path]) -> Report:
    return audit([DirectorySource(str(log)) for log in logs])


def test_two_years_of_one_partner_hold_in_whichever_order(tmp_path: Path) -> None:
    gym, _ = tell()
    logs = two_years(tmp_path, gym, records_of(gym), events=3)
    report = audited(logs)
    assert (report.findings, report.notes) == ((), ())
    assert "P1.chain" in report.rules
    assert audited(logs[::-1]).holds


def forget_money(records: list[Carried]) -> list[Carried]:
    return [each for each in records if each.kind != "balance"]


def forget_a_receipt(records: list[Carried]) -> list[Carried]:
    return [each for each in records if each.kind != "receipt"]


@pytest.mark.parametrize("spoil", [forget_money, forget_a_receipt])
def test_what_the_new_year_forgets_is_found(tmp_path: Path, spoil: Spoil) -> None:
    gym, _ = tell()
    logs = two_years(tmp_path, gym, spoil(records_of(gym)))
    assert {each.rule for each in audited(logs).findings} == {"P1.chain"}
    assert audited(logs).findings[0].where == f"{logs[1]}: entry 0"


def test_a_year_audited_alone_does_not_pass_over_the_one_before(tmp_path: Path) -> None:
    gym, _ = tell()
    logs = two_years(tmp_path, gym, [])  # everything is forgotten: withdrawals, what was paid, balances
    assert audited(logs[:1]).notes == ()
    assert audited(logs[1:]).notes == (f"{logs[1]} continues {gym.origin}, {MISSING}",)


def test_a_year_that_is_not_here_is_said_to_be_missing(tmp_path: Path) -> None:
    gym, insurer = tell()
    logs = two_years(tmp_path, gym, records_of(gym))
    other = publish(tmp_path / "insurer", insurer.raws(), origin=insurer.origin)
    notes = audited([logs[1], other]).notes
    assert f"{logs[1]} continues {gym.origin}, {MISSING}" in notes


def test_a_later_audit_remembers_what_the_opening_carried(tmp_path: Path) -> None:
    gym, _ = tell()
    logs = two_years(tmp_path / "early", gym, records_of(gym), events=3)
    states = [tmp_path / "2027", tmp_path / "2028"]
    assert audit([DirectorySource(str(log)) for log in logs], savers=[Saver(state) for state in states]).holds
    later = two_years(tmp_path / "late", gym, records_of(gym), events=300)
    sources = [DirectorySource(str(log)) for log in later]
    report = audit(sources, since=[read_state(state) for state in states])
    assert (report.findings, report.notes) == ((), ())
    assert report.sources[1].since == 4


def test_an_event_in_the_middle_of_an_opening_is_found(tmp_path: Path) -> None:
    """Events are settled where they are hashed; that must not hide that the opening is not whole yet."""
    head = Checkpoint(f"{GYM}/log/2027", 1, bytes(32))
    body = {**OpeningDraft(LATER, head).parts()[0].body(), "parts": 2}
    opening, event = entry_of("opening", body, name="0"), entry_of("event", {"commitment": "A" * 43}, name="1")
    log = publish(tmp_path, [opening.raw, event.raw], origin=LATER)
    assert [(each.rule, each.where) for each in audited([log]).findings] == [("P1.opening", f"{log}: entry 1")]
