"""Journey 3: an activity app tells a bank a band and a shop a yes, and neither a single step (SCENARIOS 3).

One spring is played once, by everybody the cases are about; each test then reads what became of its person.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from hostile import partner
from outside import stored_of
from places import ROOT
from rulebook import ANA_STEPS, LISBON, document, march_days, rule_named, steps
from sqlalchemy import select
from town import NEW_YORK, Company, Membership, Town, at, consent, link, town
from typer.testing import CliRunner

from tallystick.audit import DirectorySource, audit
from tallystick.cli import app as tally
from tallystick.errors import Conflict, NodeProblem, NotFound
from tallystick.journeys import home_set
from tallystick.wire import Decision, Explanation
from tallystick_consent.rules import privacy_cost
from tallystick_ledger.encoding import from_base64url
from tallystick_node.storage.tables import CLAIMS, EVENTS

PROGRAMS: dict[str, dict[str, Any]] = {
    name: json.loads((ROOT / "docs" / "examples" / f"{name}.json").read_text()) for name in ("pace-tier", "shoe-steps")
}
MARCH, APRIL = "2027-03", "2027-04"
CLOSED_EVERYWHERE = "2027-04-04 08:00"
"""When 4 April has begun in the last zone on Earth: in New York it is eight in the morning."""

EVEN = dict.fromkeys(march_days(), 8_000)
"""8,000 steps on every day: band 3."""


@dataclass
class Spring:
    """What had become of March at its release, and in May; by person."""

    story: Town
    track: Company
    pace: Company
    shoe: Company
    people: dict[str, Membership] = field(default_factory=dict[str, Membership])
    shoppers: dict[str, Membership] = field(default_factory=dict[str, Membership])
    in_april: dict[str, list[Decision]] = field(default_factory=dict[str, list[Decision]])
    bands_in_april: dict[str, int | None] = field(default_factory=dict[str, int | None])

    def join(self, name: str, *, zone: str = "America/New_York", shops: bool = False) -> None:
        """Somebody links the activity app with the bank, and perhaps the shop, and tells where she lives."""
        named = {"at_gym": f"{name}-at-track", "town": self.story}
        self.people[name] = consent(
            link(self.track, self.pace, at_insurer=f"{name}-at-pace", program="pace-tier", **named), self.story
        )
        if shops:
            self.story.clock.at_s += 1  # what both receipts cover is kept under the older one
            self.shoppers[name] = consent(
                link(self.track, self.shoe, at_insurer=f"{name}-at-shoe", program="shoe-steps", **named), self.story
            )
        kind, data = home_set(time_zone=zone, since=datetime.fromtimestamp(self.story.clock.at_s, NEW_YORK))
        self.record(name, kind, data)

    def record(self, name: str, kind: str, data: Mapping[str, Any]) -> None:
        """The activity app records something about a person."""
        self.track.app().events.record(subject=f"{name}-at-track", type=kind, data=dict(data))

    def walk(self, name: str, days: Mapping[str, int], **more: Any) -> None:
        """Somebody's tracker is read: the steps of each day."""
        for day, count in days.items():
            told = steps(day, count, **more)
            self.record(name, told.type, told.data)

    def decisions(self, name: str, period: str = MARCH) -> list[Decision]:
        """What the activity app tells a person that it decided for the bank about a month, oldest first."""
        found = self.track.app().decisions.find(f"{name}-at-track").decisions
        return [each for each in found if (each.program, each.period) == ("pace-tier", period)]

    def bands(self) -> dict[str, int | None]:
        """What the bank holds of each person's March."""
        names = {person.receipt: name for name, person in self.people.items()}
        return {names[each.receipt]: each.band for each in self.pace.app().claims.each() if each.period == MARCH}


@pytest.fixture(scope="module")
def spring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spring]:
    """Play it: consents in February, March, its close, what came late, April and its close."""
    with town(tmp_path_factory.mktemp("town"), starts="2027-02-27 13:00") as story:
        made = Spring(story, *(story.company(f"{name}.example") for name in ("track", "pace", "shoe")))
        for payer, name in ((made.pace, "pace-tier"), (made.shoe, "shoe-steps")):
            payer.app().programs.publish(PROGRAMS[name])
            story.settle()
            made.track.app().programs.accept(name, 1)
        story.settle()
        for name in ("mia", "sol", "noa", "kim", "ben"):
            made.join(name)
        made.join("ana", shops=True)
        made.join("wes", shops=True)
        made.join("lis", zone="Europe/Lisbon")
        _march(made)
        story.clock.at_s = at("2027-04-05 09:00")
        made.walk("noa", part(ANA_STEPS, after=26))
        made.walk("ben", part(ANA_STEPS, after=28))
        made.in_april = {name: made.decisions(name) for name in made.people}
        made.bands_in_april = made.bands()
        story.go_past_release("2027-05-04 08:00")
        yield made


def _march(spring: Spring) -> None:
    story = spring.story
    story.clock.at_s = at("2027-03-15 12:00")
    spring.walk("wes", part(ANA_STEPS, until=14))
    spring.people["wes"].gym.app().receipts.withdraw(spring.people["wes"].receipt, subject="wes-at-track")
    story.go_to("2027-04-02 10:00")
    spring.walk("ana", ANA_STEPS)
    spring.walk("mia", dict.fromkeys(march_days(), 12_000), manual=4_000)
    spring.walk("sol", {day: 85_000 if number < 4 else 0 for number, day in enumerate(march_days())})
    spring.walk("noa", part(ANA_STEPS, until=26))
    spring.walk("kim", part(ANA_STEPS, until=14))
    spring.walk("ben", part(EVEN, until=28))
    spring.walk("wes", part(ANA_STEPS, after=14))
    spring.walk("lis", part(EVEN, until=30), zone=LISBON)
    story.clock.at_s = at("2027-04-03 20:00")  # one o'clock in the morning of the fourth, where Lis lives
    spring.walk("lis", {"2027-03-31": 200_000}, zone=LISBON)
    spring.walk("ana", {"2027-04-01": 9_000})
    story.go_to("2027-04-04 00:00")
    assert list(spring.pace.app().claims.each()) == []
    story.go_past_release(CLOSED_EVERYWHERE)


def part(days: Mapping[str, int], *, after: int = 0, until: int = 31) -> dict[str, int]:
    """Return some days of a month."""
    return {day: count for day, count in days.items() if after < int(day[-2:]) <= until}


def test_the_programs_are_the_journeys_rules_as_data() -> None:
    assert PROGRAMS["pace-tier"]["rule"] == document("steps-tier")
    assert PROGRAMS["shoe-steps"]["rule"] == document("steps-ten-thousand")


def test_3_01_march_closes_and_the_bank_learns_one_band(spring: Spring) -> None:
    (told,) = spring.in_april["ana"]
    assert (told.outcome, told.counted, told.band) == ("issued", 31, 4)
    assert told.not_counted == {"outside_period": 1}  # the first of April
    assert spring.bands_in_april["ana"] == 4
    assert spring.pace.node.rows(select(EVENTS)) == []
    (shopped,) = [each for each in spring.shoe.app().claims.each() if each.receipt == spring.shoppers["ana"].receipt]
    assert (shopped.state, shopped.band) == ("accepted", None)


def test_3_01_what_crosses_is_the_band_and_no_figure(spring: Spring) -> None:
    sent = [each for each in spring.track.recorder.exchanges if each.path == "/peer/v1/claims"]
    statements = set()
    for exchange in sent:
        _, _, answer = json.loads(from_base64url(json.loads(exchange.request)["claim"].split("~")[1]))
        statements.add((answer["statement"], answer["assurance"]))
    assert statements == {
        *((f"steps.average(2027-03) in band {band}", "device") for band in (2, 3, 4)),
        ("steps.average(2027-03) >= 10000", "device"),
    }
    private = ("348440", "11240", "14000", "9722", "85000", "12000", "ana-at-track", "Europe/Lisbon")
    crossed = b"".join(each.request + each.response for each in spring.track.recorder.exchanges)
    for seen in (crossed, stored_of(spring.pace)):
        # As a word of its own: within a time or a signature any five digits stand sooner or later.
        assert [each for each in private if re.search(rb"(?<![\w-])" + each.encode() + rb"(?![\w-])", seen)] == []


def test_3_03_steps_entered_by_hand_do_not_count_and_nobody_is_told_how_many(spring: Spring) -> None:
    (told,) = spring.in_april["mia"]
    assert (told.outcome, told.band) == ("issued", 3)  # 8,000 a day; with those by hand it were band 4
    assert spring.bands_in_april["mia"] == 3


def test_3_04_a_day_counts_up_to_the_cap_and_is_flagged_to_the_subject_alone(spring: Spring) -> None:
    (told,) = spring.in_april["sol"]
    assert (told.band, told.flags) == (3, {"implausible": 4})  # 240,000 in 31 days; uncapped it were band 4
    assert spring.bands_in_april["sol"] == 3


def test_3_06_a_sync_before_the_close_counts_and_one_after_it_is_made_good_in_the_next_period(spring: Spring) -> None:
    (told,) = spring.in_april["noa"]
    assert (told.outcome, told.counted, told.not_counted) == ("not_reached", 0, {"coverage_too_low": 26})
    assert "noa" not in spring.bands_in_april
    _, made_good = spring.decisions("noa")
    assert (made_good.outcome, made_good.counted, made_good.band) == ("made_good", 31, 4)
    assert spring.bands()["noa"] == 4
    assert [each.outcome for each in spring.decisions("noa", APRIL)] == ["not_reached"]


def test_3_06_what_came_late_changes_nothing_that_was_told_and_its_subject_can_read_so(spring: Spring) -> None:
    first, second = spring.decisions("ben")
    assert (first.outcome, first.counted, first.band) == ("issued", 28, 2)
    assert (second.outcome, second.counted, second.band) == ("stands", 31, 3)
    assert [reason["code"] for reason in second.reasons] == ["told_already"]
    assert spring.bands()["ben"] == 2


def test_3_10_where_too_few_days_are_told_there_is_no_claim(spring: Spring) -> None:
    (told,) = spring.in_april["kim"]
    assert (told.outcome, told.counted, told.not_counted) == ("not_reached", 0, {"coverage_too_low": 14})
    assert "kim" not in spring.bands()


def test_3_10_who_withdraws_from_the_bank_still_has_the_shop(spring: Spring) -> None:
    assert spring.decisions("wes") == []
    assert "wes" not in spring.bands()
    assert spring.pace.app().receipts.get(spring.people["wes"].receipt).state == "withdrawn"
    (shopped,) = [each for each in spring.shoe.app().claims.each() if each.receipt == spring.shoppers["wes"].receipt]
    assert shopped.state == "accepted"


def test_a_month_closes_at_home_and_its_claim_is_made_when_it_has_closed_everywhere(spring: Spring) -> None:
    (told,) = spring.in_april["lis"]
    assert (told.outcome, told.counted, told.band) == ("issued", 30, 3)
    assert told.not_counted == {"after_close": 1}
    made = spring.track.node.rows(select(CLAIMS.c.logged_at_s).where(CLAIMS.c.period == MARCH))
    in_april = {row.logged_at_s for row in made if row.logged_at_s < at("2027-05-01 00:00")}
    assert in_april == {at(CLOSED_EVERYWHERE)}


def test_3_11_one_tracker_stream_is_linked_to_one_savings_account(spring: Spring) -> None:
    offer = spring.pace.app().links.offer(
        subject="eve-at-pace", partner="track.example", program="pace-tier", hint="savings ending 9", login="aal2"
    )
    with pytest.raises(Conflict) as refused:
        spring.track.app().links.accept(subject="ana-at-track", offer=offer.offer, hint="tracker", login="aal2")
    assert refused.value.code == "offer_refused"
    elsewhere = spring.shoe.app().links.offer(
        subject="eve-at-shoe", partner="track.example", program="shoe-steps", hint="shop", login="aal2"
    )
    linked = spring.track.app().links.accept(
        subject="mia-at-track", offer=elsewhere.offer, hint="tracker", login="aal2"
    )
    assert linked.state == "pending"  # what is unique is one program's


def test_what_the_bank_has_agreed_to_can_be_tried_on_march_before_anybody_agrees(spring: Spring) -> None:
    tried = spring.track.app().programs.try_out({**PROGRAMS["pace-tier"], "program": "pace-next"}, [MARCH, "2027-02"])
    march, february = tried.periods
    # Ana, Mia, Sol, Lis, and with all that came late Noa and Ben. Kim told too little; of Wes the days that he withdrew
    # with the bank's receipt are not looked at.
    assert (march.subjects, march.answers, march.bands) == (8, 6, {"3": 4, "4": 2})
    assert march.flags == {"implausible": 5}
    assert (february.answers, february.counted) == (0, 0)
    assert tried.learns == privacy_cost(rule_named("steps-tier")).learns
    (for_marketing,) = (
        spring.track.app().programs.try_out({**PROGRAMS["pace-tier"], "purpose": "dpv:Marketing"}, [MARCH]).periods
    )
    assert for_marketing.subjects == 0  # nobody permitted that
    with pytest.raises(NodeProblem) as refused:
        spring.track.app().programs.try_out(PROGRAMS["pace-tier"], ["2027-W09"])
    assert refused.value.code == "invalid_input"


def test_a_program_is_tried_from_the_command_line_and_not_over_more_than_one_run_opens(
    spring: Spring, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = spring.track
    at_node = ["--url", track.url, "--key", track.secret, "--fingerprint", track.keys.fingerprint]
    asked = ["try", str(ROOT / "docs" / "examples" / "shoe-steps.json"), MARCH, *at_node]
    ran = CliRunner().invoke(tally, asked)
    assert ran.exit_code == 0, ran.output
    (march,) = json.loads(ran.stdout)["periods"]
    assert (march["period"], march["answers"], march["bands"]) == (MARCH, 2, {})
    monkeypatch.setattr("tallystick_node.flows.trying.EVENTS_MAX", 10)
    refused = CliRunner().invoke(tally, asked)
    assert isinstance(refused.exception, NodeProblem)
    assert refused.exception.code == "limit_reached"


def why(company: Company, subject: str) -> dict[tuple[str, str, str], Explanation]:
    """Return what a company explains to a person, by rule, period and outcome."""
    found = company.app().decisions.why(subject).explanations
    return {(each.rule, each.period, each.outcome): each for each in found}


def test_why_ana_reads_what_was_told_by_which_rule_and_what_did_not_count(spring: Spring) -> None:
    told = why(spring.track, "ana-at-track")["pace-tier@1", MARCH, "issued"]
    assert (told.kind, told.partner, told.receipt) == ("answer", "pace.example", spring.people["ana"].receipt)
    assert (told.told, told.counted, told.band) == ("steps.average(2027-03) in band 4", 31, 4)
    assert [(each.reason, each.count, each.words) for each in told.not_counted] == [
        ("outside_period", 1, "on a day outside of the period")
    ]
    assert told.claim_state == "delivered"
    assert told.claim in {each.claim for each in spring.track.app().claims.each()}
    assert told.learns == privacy_cost(rule_named("steps-tier")).learns
    silent = why(spring.track, "kim-at-track")["pace-tier@1", MARCH, "not_reached"]
    assert (silent.kind, silent.told, silent.claim) == ("silence", "", "")
    assert [each.words for each in silent.not_counted] == ["too few days of the period were told"]


def test_why_ana_reads_at_the_shop_what_her_voucher_is_for(spring: Spring) -> None:
    (paid,) = spring.shoe.app().decisions.why("ana-at-shoe").explanations
    assert (paid.kind, paid.outcome, paid.rule, paid.period) == ("reward", "posted", "shoe-steps@1", MARCH)
    assert (paid.partner, paid.told) == ("track.example", "steps.average(2027-03) >= 10000")
    assert paid.receipt == spring.shoppers["ana"].receipt
    assert paid.paid is not None
    assert (paid.paid.amount, paid.paid.asset) == (500, "USD/2")
    assert (paid.counted, paid.not_counted) == (1, ())


def test_why_a_refusal_can_be_read_also_after_the_withdrawal_and_names_what_was_permitted(spring: Spring) -> None:
    before = "2026-03"  # nobody's consent reaches so far back
    links = (spring.people["mia"].link, spring.people["wes"].link, f"lnk_{'b' * 26}")
    asks = [{"link": each, "program": "pace-tier", "version": 1, "period": before} for each in links]
    answers = [partner(spring.pace, spring.track, "/peer/v1/asks", ask) for ask in asks]
    assert len({(each.status_code, each.content) for each in answers}) == 1  # the bank cannot tell (P11)
    spring.story.settle()
    for subject, reason in (("mia-at-track", "period_not_covered"), ("wes-at-track", "receipt_withdrawn")):
        refused = why(spring.track, subject)["pace-tier@1", before, "refused"]
        assert (refused.kind, refused.asked_count) == ("refusal", 1)
        assert reason in [each["code"] for each in refused.reasons]
        assert all(each["permitted"] for each in refused.reasons)


def test_3_04_the_flagged_person_contests_it_and_the_company_sees_that(spring: Spring) -> None:
    app = spring.track.app()
    flagged = why(spring.track, "sol-at-track")["pace-tier@1", MARCH, "issued"]
    assert (flagged.flags, flagged.contest) == ({"implausible": 4}, None)
    contested = app.decisions.contest(flagged.decision, subject="sol-at-track", ground="flag_wrong")
    assert why(spring.track, "sol-at-track")["pace-tier@1", MARCH, "issued"].contest == contested
    (seen,) = app.decisions.contests().contests
    assert (seen.contest, seen.subject, seen.period, seen.state) == (contested.contest, "sol-at-track", MARCH, "open")
    with pytest.raises(Conflict) as again:
        app.decisions.contest(flagged.decision, subject="sol-at-track", ground="count_wrong")
    assert (again.value.code, again.value.existing_id) == ("already_contested", contested.contest)
    with pytest.raises(NotFound):
        app.decisions.contest(flagged.decision, subject="ana-at-track", ground="flag_wrong")
    assert spring.bands()["sol"] == 3  # what was told stands meanwhile


def test_what_was_decided_and_contested_ends_with_its_receipt(spring: Spring) -> None:
    app, mia = spring.track.app(), spring.people["mia"]
    told = why(spring.track, "mia-at-track")["pace-tier@1", MARCH, "issued"]
    app.decisions.contest(told.decision, subject="mia-at-track", ground="not_mine")
    spring.story.settle()
    app.receipts.withdraw(mia.receipt, subject="mia-at-track")
    spring.story.settle()
    assert why(spring.track, "mia-at-track") == {}
    assert "mia-at-track" not in {each.subject for each in app.decisions.contests().contests}
    (held,) = [each for each in spring.pace.app().claims.each() if each.receipt == mia.receipt]
    assert (held.state, held.band) == ("accepted", None)  # the bank keeps that it was, and drops what it said


def test_all_three_ledgers_hold_alone_and_against_each_other(spring: Spring) -> None:
    spring.story.settle()
    report = audit([DirectorySource(str(each.log)) for each in spring.story.companies.values()])
    assert report.holds, report.findings
