"""Every rule over entries, seen from outside: one entry of a log on disk is wrong, and the audit names one rule."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from logs import digest, publish
from story import (
    ASSET,
    BUDGET,
    BUDGET_MINOR,
    GYM,
    MEMBER,
    PROGRAM,
    REWARD_MINOR,
    Ledger,
    acceptance,
    receipt,
    reward,
    tell,
    transfer,
)

from tallystick.audit import RULES, SUBJECTS, DirectorySource, Report, audit
from tallystick.audit.rules import rules_for
from tallystick_ledger.books import Balance
from tallystick_ledger.replay import LedgerReplay

ROOT = Path(__file__).parent.parent.parent.parent
Spoil = Callable[[Ledger], None]
NEW = "trf_" + "a" * 26


def audited(folder: Path, ledger: Ledger) -> Report:
    return audit([DirectorySource(str(publish(folder, ledger.raws(), origin=ledger.origin, sizes=(1,))))])


def accept_another(ledger: Ledger, *, name: str = "other") -> str:
    """Let the insurer accept a claim on another member; return the id of the entry."""
    leaves = {"receipt_leaf": ledger.index("live"), "disclosure_leaf": 40}
    ledger.add(name, "acceptance", acceptance(name, **leaves))
    return ledger.entry_id(name)


def pay_without_an_acceptance(ledger: Ledger) -> None:
    ledger.spoil("reward", cause=ledger.entry_id("live"))


def retract(ledger: Ledger) -> str:
    """Let the gym take back its claim of March; return the id of the entry."""
    taken = ledger["accepted"].body
    body = {name: taken[name] for name in ("issuer", "receipt", "claim", "nullifier")}
    ledger.add("retracted", "retraction", {**body, "signed": digest("retraction")})
    return ledger.entry_id("retracted")


def take_back(ledger: Ledger, cause: str, *, name: str = "reversal", amount_minor: int = REWARD_MINOR) -> None:
    """Let the insurer take back the reward of March."""
    reward = ledger["reward"].body
    more = {"cause": cause, "reverses": str(reward["transfer"])}
    taken = transfer(name, MEMBER, BUDGET, amount_minor, **more)
    ledger.add(name, "transfer", {**taken, "terms": reward["terms"]})


def take_back_for_no_retraction(ledger: Ledger) -> None:
    take_back(ledger, ledger.entry_id("accepted"))


def take_back_twice(ledger: Ledger) -> None:
    cause = retract(ledger)
    take_back(ledger, cause)
    take_back(ledger, cause, name="again")


def take_back_more(ledger: Ledger) -> None:
    take_back(ledger, retract(ledger), amount_minor=REWARD_MINOR + 1)


def take_back_what_was_never_paid(ledger: Ledger) -> None:
    ledger.add("reversal", "transfer", transfer("x", MEMBER, BUDGET, 1, cause=retract(ledger), reverses=NEW))


def pay_before_the_acceptance(ledger: Ledger) -> None:
    paid = ledger.drafts.pop(ledger.index("reward"))
    ledger.drafts.insert(ledger.index("accepted"), paid)


def pay_twice_for_one_acceptance(ledger: Ledger) -> None:
    ledger.add("more", "transfer", reward("more", ledger.entry_id("accepted"), unique="ben march"))


def pay_one_member_twice(ledger: Ledger) -> None:
    ledger.add("more", "transfer", reward("more", accept_another(ledger), unique="ana march"))


def pay_nobody_in_particular(ledger: Ledger) -> None:
    ledger.add("gift", "transfer", transfer("gift", BUDGET, MEMBER, REWARD_MINOR))


def pay_more_than_there_is(ledger: Ledger) -> None:
    body = reward("more", ledger.entry_id("accepted"), unique="ben march")
    ledger.add("more", "transfer", {**body, "amount": BUDGET_MINOR - REWARD_MINOR + 1, "state": "reserved"})


def reserve_more_than_there_is(ledger: Ledger) -> None:
    body = reward("more", ledger.entry_id("accepted"), unique="ben march")
    ledger.add("more", "transfer", {**body, "amount": BUDGET_MINOR - REWARD_MINOR, "state": "reserved"})
    again = reward("one more", ledger.entry_id("accepted"), unique="cleo march")
    ledger.add("one more", "transfer", {**again, "amount": 1, "state": "reserved"})


def pay_from_elsewhere(ledger: Ledger) -> None:
    ledger.spoil("reward", debit=f"funds/{PROGRAM}")


def void_what_was_never_reserved(ledger: Ledger) -> None:
    ledger.add("void", "transfer", {**transfer("void", "funds/a", "funds/b", 1), "state": "voided"})


def post_more_than_was_reserved(ledger: Ledger) -> None:
    body = transfer("grown", "funds/a", "funds/b", 1)
    ledger.add("reserved", "transfer", {**body, "state": "reserved"})
    ledger.add("grown", "transfer", {**body, "amount": 2})


def fund_twice(ledger: Ledger) -> None:
    body = transfer("more", f"funds/{PROGRAM}", BUDGET, BUDGET_MINOR)
    ledger.add("more", "transfer", body)


def fund_from_fees(ledger: Ledger) -> None:
    ledger.spoil("funding", debit=f"income/fees/{PROGRAM}")


def fund_a_program_nobody_knows(ledger: Ledger) -> None:
    ledger.add("more", "transfer", transfer("more", "funds/other", "budget/other/2027-03", BUDGET_MINOR))


def begin_twice(ledger: Ledger) -> None:
    ledger.again("opening")


def begin_late(ledger: Ledger) -> None:
    del ledger.drafts[0]
    ledger.cut("funding")


CASES: dict[str, tuple[str, Spoil]] = {
    "an opening of another log": ("P1.opening", lambda ledger: ledger.spoil("opening", log=f"{GYM}/log/2027")),
    "a second opening": ("P1.opening", begin_twice),
    "no opening": ("P1.opening", begin_late),
    "a free text": ("entry.malformed", lambda ledger: ledger.add("note", "event", {"commitment": "hello"})),
    "half a cent": ("entry.malformed", lambda ledger: ledger.spoil("fee", amount="0.5")),
    "a reward taken back for no retraction": ("P14.reversal", take_back_for_no_retraction),
    "a reward taken back twice": ("P8.state", take_back_twice),
    "more taken back than was paid": ("P8.state", take_back_more),
    "taken back what was never paid": ("P8.state", take_back_what_was_never_paid),
    "a reward nobody earned": ("P4.reward", pay_without_an_acceptance),
    "a reward before its acceptance": ("P4.reward", pay_before_the_acceptance),
    "two rewards for one acceptance": ("P4.reward", pay_twice_for_one_acceptance),
    "one member twice": ("P7.paid_twice", pay_one_member_twice),
    "a payment without its unique value": ("P7.unique", pay_nobody_in_particular),
    "more than the budget holds": ("P8.overdrawn", pay_more_than_there_is),
    "promises beyond the budget": ("P8.overdrawn", reserve_more_than_there_is),
    "posted twice": ("P8.state", lambda ledger: ledger.again("reward")),
    "voided without a reservation": ("P8.state", void_what_was_never_reserved),
    "posted as another amount": ("P8.state", post_more_than_was_reserved),
    "a budget too high": ("P8.budget", lambda ledger: ledger.spoil("funding", amount=BUDGET_MINOR + 1)),
    "a budget too low": ("P8.budget", lambda ledger: ledger.spoil("funding", amount=BUDGET_MINOR - 1)),
    "a budget funded twice": ("P8.budget", fund_twice),
    "a budget from another purse": ("P8.budget", fund_from_fees),
    "a budget of no program": ("P8.budget", fund_a_program_nobody_knows),
    "a budget under a deep name": (
        "P8.budget",
        lambda ledger: ledger.again("funding", credit="budget/x", transfer=NEW),
    ),
    "a program that changes": ("P8.program", lambda ledger: ledger.again("program", budget=BUDGET_MINOR + 1)),
    "a purse of a person": ("P3.account", lambda ledger: ledger.spoil("reward", credit="member/ana@example.com")),
    "a value the gym knows": ("P3.unique", lambda ledger: ledger.spoil("reward", unique=digest("nullifier march"))),
    "a reward under other terms": ("P14.terms", lambda ledger: ledger.spoil("reward", terms=digest("another"))),
    "a fee under other terms": ("P14.terms", lambda ledger: ledger.spoil("fee", terms=digest("another"))),
    "a reward too small": ("P8.reward", lambda ledger: ledger.spoil("reward", amount=REWARD_MINOR - 1)),
    "a reward from another account": ("P8.reward", pay_from_elsewhere),
}


def test_what_was_taken_back_may_be_paid_anew(tmp_path: Path) -> None:
    _, insurer = tell()
    take_back(insurer, retract(insurer))
    insurer.again("accepted", claim=digest("another"))
    again = insurer.entry_id("accepted again")
    insurer.add("paid anew", "transfer", reward("paid anew", again, unique="ana march"))
    report = audited(tmp_path, insurer)
    assert report.holds, report.findings


@pytest.mark.parametrize("case", CASES)
def test_one_wrong_entry_breaks_one_rule(tmp_path: Path, case: str) -> None:
    rule, spoil = CASES[case]
    _, insurer = tell()
    spoil(insurer)
    assert [finding.rule for finding in audited(tmp_path, insurer).findings] == [rule]


def test_a_finding_names_source_entry_and_rule(tmp_path: Path) -> None:
    _, insurer = tell()
    pay_without_an_acceptance(insurer)
    (finding,) = audited(tmp_path, insurer).findings
    assert finding.where == f"{tmp_path / 'log'}: entry {insurer.index('reward')}"


def test_a_withdrawal_of_before_there_were_deadlines_is_noted_and_is_no_finding(tmp_path: Path) -> None:
    gym, _ = tell()
    gym.add("withdrawn", "receipt", receipt("withdrawn"))
    report = audited(tmp_path, gym)
    assert report.findings == ()
    assert report.sources[0].notes == ("Pauses and endings that nobody signed for, and that name no deadline: 1.",)
    gym.add("acknowledged", "receipt", receipt("withdrawn", acknowledged=True))
    assert audited(tmp_path / "later", gym).sources[0].notes == ()


def test_a_reward_may_be_reserved_first(tmp_path: Path) -> None:
    _, insurer = tell()
    insurer.add("reserved", "transfer", {**insurer["reward"].body, "state": "reserved"}, after="accepted")
    assert audited(tmp_path, insurer).holds


def test_a_budget_may_give_back_what_is_left(tmp_path: Path) -> None:
    _, insurer = tell()
    rest = BUDGET_MINOR - REWARD_MINOR
    insurer.add("rest", "transfer", transfer("rest", BUDGET, f"funds/{PROGRAM}", rest))
    assert audited(tmp_path, insurer).holds


def test_a_new_version_may_raise_a_budget(tmp_path: Path) -> None:
    _, insurer = tell()
    insurer.again("program", program_version=2, budget=BUDGET_MINOR + 500, digest=digest("program 2"))
    insurer.add("raise", "transfer", transfer("raise", f"funds/{PROGRAM}", BUDGET, 500))
    assert audited(tmp_path, insurer).holds


def test_the_wrong_entry_is_not_blamed_on_those_that_follow_from_it(tmp_path: Path) -> None:
    """An acceptance under the wrong receipt entry is one finding; its reward still follows from an acceptance."""
    _, insurer = tell()
    insurer.spoil("accepted", receipt_leaf=0)
    assert [finding.rule for finding in audited(tmp_path, insurer).findings] == ["P4.receipt_leaf"]


def test_a_malformed_acceptance_earns_nothing(tmp_path: Path) -> None:
    _, insurer = tell()
    insurer.again("accepted", note="hello")
    insurer.add("more", "transfer", reward("more", insurer.entry_id("accepted again"), unique="ben march"))
    assert [finding.rule for finding in audited(tmp_path, insurer).findings] == ["entry.malformed", "P4.reward"]


def test_a_sum_that_is_not_zero_is_found() -> None:
    """No entry can do that while the books work; so the books themselves are spoiled."""
    replay = LedgerReplay("gym.example/log/2027")
    replay.books.balances["funds/a", ASSET] = Balance(credits_posted=1)
    replay.finish()
    assert [finding.rule for finding in replay.findings] == ["P8.sum"]


def test_every_rule_that_code_can_report_is_explained_and_the_other_way_round() -> None:
    files = [
        ROOT / "ledger/tallystick_ledger/replay.py",
        *(ROOT / "consent/tallystick_consent/replay").glob("*.py"),
        ROOT / "consent/tallystick_consent/chain.py",
        *(path for path in (ROOT / "sdk/tallystick/audit").rglob("*.py") if path.name != "rules.py"),
    ]
    used = {rule for path in files for rule in re.findall(r'"((?:log|entry|P\d+|X)\.[a-z_]+)"', path.read_text())}
    assert used == RULES.keys()


def test_every_rule_has_a_test_that_expects_it() -> None:
    below = (
        "consent/test_replay*.py",
        "consent/test_versions.py",
        "consent/test_chain.py",
        "ledger/test_key_history.py",
        "sdk/audit/test_*.py",
    )
    tests = [path for each in below for path in (ROOT / "tests").glob(each)]
    text = "".join(path.read_text() for path in tests)
    assert [rule for rule in RULES if f'"{rule}"' not in text] == []


def test_one_log_alone_is_not_said_to_agree_with_another() -> None:
    assert not any(rule.startswith("X.") for rule in rules_for(1))
    assert set(rules_for(2, continued=True, dated=True)) == RULES.keys()


def test_a_rule_that_was_not_looked_at_is_not_said_to_hold() -> None:
    assert {rule.partition(".")[0] for rule in rules_for(2, replayed=False)} == {"log", "P1"}
    assert {"P1.continues", "P16.stale", "P1.split_view", "P1.behind"}.isdisjoint(rules_for(1))
    assert {"P1.split_view", "P1.behind"} <= set(rules_for(1, asked=True))


def test_the_page_says_of_every_promise_what_is_checked_and_what_is_not() -> None:
    page = (ROOT / "docs/auditing.md").read_text()
    assert [f"P{number}" for number in range(1, 18)] == [name for name in SUBJECTS if name.startswith("P")]
    assert {rule.partition(".")[0] for rule in RULES} <= SUBJECTS.keys()
    for name, subject in SUBJECTS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
        assert subject.promise in row
        assert subject.unseen[1:] in row
        told = set(re.findall(r"`([a-z_]+)`", row.split("|")[3]))
        assert told == {rule.partition(".")[2] for rule in RULES if rule.partition(".")[0] == name}
