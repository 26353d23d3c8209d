"""Ana asks to be erased: her keys die, both ledgers say so and still verify, and nobody who comes back brings her back.

DESIGN flow 8 and P9, SCENARIOS I4.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from erasing import MARCH_CLOSES, ana, erase_at_gym, files_of, found
from sqlalchemy import delete, select, update
from town import ANA_MARCH, Company, Membership, Town, agree, at, consent, entries, fitness_program, link, town
from typer.testing import CliRunner

from tallystick.audit import DirectorySource, audit
from tallystick.cli import app
from tallystick.cli.exporting import NothingHeld
from tallystick.errors import NodeProblem
from tallystick.papers import (
    Certificate,
    CertifiedLink,
    Export,
    ExportedClaim,
    ExportedEvent,
    ExportedReceipt,
    parse_export,
)
from tallystick.wire import EntryProof
from tallystick_consent.entries import ErasureBody, Signature, erasure_body
from tallystick_consent.erasure import FIELDS, ErasureAttestation, ErasureRequest, FieldAnswer
from tallystick_consent.signed import signed_digest
from tallystick_ledger.encoding import canonical_json, to_base64url
from tallystick_ledger.entry import parse_entry
from tallystick_ledger.errors import BadInput
from tallystick_node.errors import SettingsInvalid
from tallystick_node.flows.claims.issuing import claim_accepted
from tallystick_node.flows.links.rows import link_secret_name
from tallystick_node.flows.links.uniques import RELINK_AFTER_S
from tallystick_node.flows.subjects import access
from tallystick_node.flows.subjects.burying import SPREAD_S
from tallystick_node.keys.changes import revoke_key
from tallystick_node.keys.custody import Custody
from tallystick_node.keys.custody_tables import DESTROYED, SECRETS, TOMBSTONES
from tallystick_node.setup import open_key_folder
from tallystick_node.storage.database import writing
from tallystick_node.storage.tables import (
    CLAIMS,
    DECISIONS,
    ERASURES,
    EVENTS,
    IDEMPOTENCY,
    LINK_UNIQUE,
    LINKS,
    RECEIPTS,
    REWARDS,
    STATUS_PLACES,
)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program, in late February 2027."""
    with town(tmp_path) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        agree(made, insurer, gym)
        yield made


def assert_books_agree(story: Town) -> None:
    """Both ledgers hold, alone and against each other."""
    report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
    assert report.holds, report.findings


@pytest.mark.long
def test_an_erased_subjects_payloads_are_gone_at_once_and_every_proof_still_verifies(story: Town) -> None:
    person = ana(story)
    visit = person.visit("2027-04-15 18:00", 50)
    story.settle()
    (row,) = person.gym.node.rows(select(EVENTS).where(EVENTS.c.id == visit))
    before = person.gym.app().proofs.get(row.leaf)

    asked = person.gym.app().subjects.erase(person.at_gym)

    assert [(each.partner, each.state) for each in asked.erasures] == [("insurer.example", "due")]
    with pytest.raises(NodeProblem) as gone:
        person.gym.app().events.get(visit)
    assert (gone.value.code, gone.value.status) == ("payload_erased", 410)
    assert person.gym.app().proofs.get(row.leaf).entry == before.entry
    assert person.gym.app().decisions.find(person.at_gym).decisions == ()
    assert person.gym.app().links.find(person.at_gym).links == ()
    story.settle()
    assert_books_agree(story)


@pytest.mark.long
def test_within_a_day_the_ledgers_say_it_and_the_partner_answers_for_every_field(story: Town) -> None:
    person = ana(story)
    person.gym.app().subjects.erase(person.at_gym)
    story.settle()
    assert entries(person.gym, "erasure") == []
    story.clock.at_s += SPREAD_S
    story.settle()

    (done,) = person.gym.app().subjects.erasures(person.at_gym).erasures
    answers = {each.field: (each.fate, each.ground) for each in done.fields}
    assert (done.state, done.overdue) == ("attested", False)
    assert answers == {
        "link_secret": ("none", None),
        "events": ("none", None),
        "answers": ("none", None),
        "decisions": ("none", None),
        "evidence": ("erased", None),
        "hints": ("erased", None),
        "messages": ("erased", None),
        "accounting": ("kept", "legal_obligation"),
    }
    assert [each.body["state"] for each in entries(person.gym, "erasure")] == ["erased", "attested"]
    assert [each.body["state"] for each in entries(person.insurer, "erasure")] == ["attested"]
    assert [each.body["state"] for each in entries(person.gym, "receipt")][-1] == "withdrawn"
    assert person.gym.app().subjects.erasures().erasures == ()
    assert_books_agree(story)


@pytest.mark.long
def test_the_reward_stays_in_the_insurers_books_and_its_customer_still_sees_it(story: Town) -> None:
    person = ana(story)
    erase_at_gym(person, story)
    (reward,) = person.insurer.app().rewards.find(person.at_insurer).rewards
    assert (reward.amount, reward.state) == (2000, "posted")
    assert person.insurer.node.rows(select(CLAIMS.c.token))[0].token == ""
    assert person.insurer.node.custody.find(link_secret_name(person.link)) is None


@pytest.mark.long
def test_nothing_more_is_recorded_linked_or_answered_about_who_was_erased(story: Town) -> None:
    person = ana(story)
    person.gym.app().subjects.erase(person.at_gym)
    offer = person.insurer.app().links.offer(
        subject=person.at_insurer, partner="gym.example", program="ins-fit", hint="policy ending 21", login="aal2"
    )
    for write in (
        lambda: person.visit("2027-04-15 18:00", 50),
        lambda: person.gym.app().links.accept(
            subject=person.at_gym, offer=offer.offer, hint="member since 2020", login="aal2"
        ),
    ):
        with pytest.raises(NodeProblem) as gone:
            write()
        assert gone.value.code == "payload_erased"
    story.go_to("2027-05-20 00:00")
    assert len(entries(person.gym, "disclosure")) == 2
    assert_books_agree(story)


@pytest.mark.long
def test_a_claim_that_was_waiting_never_leaves_and_one_on_its_way_is_listed(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, ANA_MARCH)
    insurer.stop()
    story.go_to(MARCH_CLOSES)
    erase_at_gym(person, story)
    insurer.start()
    story.clock.at_s += 2 * 3_600
    story.settle()
    assert insurer.app().rewards.find(person.at_insurer).rewards == ()
    assert [each.state for each in gym.app().subjects.erasures(person.at_gym).erasures] == ["attested"]
    assert_books_agree(story)


@pytest.mark.long
def test_a_claim_that_may_have_arrived_shows_as_revoked_when_its_link_is_erased_and_no_sooner(story: Town) -> None:
    """P6: lists of all her partners that changed in the second in which she asked would tell that it is one person."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, ANA_MARCH)
    gym.recorder.lose_answers_to = "/peer/v1/claims"
    story.go_past_release(MARCH_CLOSES)
    gym.recorder.lose_answers_to = None
    (erasure,) = gym.app().subjects.erase(person.at_gym).erasures
    (place,) = gym.node.rows(select(STATUS_PLACES.c.revoked_at_s))
    assert place.revoked_at_s == erasure.due_at > story.clock.at_s


@pytest.mark.long
def test_a_partner_that_was_away_is_asked_when_it_returns_and_until_then_it_is_listed(story: Town) -> None:
    person = ana(story)
    person.insurer.stop()
    erase_at_gym(person, story)
    story.clock.at_s += 31 * 86_400
    story.settle()
    (late,) = person.gym.app().subjects.erasures().erasures
    assert (late.partner, late.state, late.overdue) == ("insurer.example", "asked", True)
    person.insurer.start()
    story.clock.at_s += 2 * 3_600
    story.settle()
    assert person.gym.app().subjects.erasures().erasures == ()
    assert_books_agree(story)


def test_an_answer_that_comes_back_after_the_other_ends_erasure_breaks_no_ledger(story: Town) -> None:
    """The insurer took the claim, and was asked to erase before its answer had arrived at the gym."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, ANA_MARCH)
    gym.recorder.lose_answers_to = "/peer/v1/claims"
    story.go_past_release(MARCH_CLOSES)
    (claim,) = insurer.node.rows(select(CLAIMS))
    insurer.app().subjects.erase(person.at_insurer)
    story.clock.at_s += SPREAD_S
    story.settle()
    assert [each.body["state"] for each in entries(gym, "erasure")] == ["attested"]
    gym.node.writer.write(lambda transaction: claim_accepted(gym.node, transaction, claim.digest, claim.acceptance))
    story.settle()
    assert [each.body["state"] for each in entries(gym, "disclosure")] == ["issued"]
    assert_books_agree(story)


@pytest.mark.long
def test_the_other_end_may_be_asked_just_as_well(story: Town) -> None:
    """The insurer's customer asks the insurer; the gym keeps the visits of its own member, and says on which ground."""
    person = ana(story)
    person.insurer.app().subjects.erase(person.at_insurer)
    story.clock.at_s += SPREAD_S
    story.settle()
    (done,) = person.insurer.app().subjects.erasures(person.at_insurer).erasures
    answers = {each.field: (each.fate, each.ground) for each in done.fields}
    assert answers["events"] == ("kept", "own_customer")
    assert answers["answers"] == answers["decisions"] == ("erased", None)
    assert person.insurer.app().rewards.find(person.at_insurer).rewards == ()
    assert [each.state for each in person.gym.node.rows(select(RECEIPTS.c.state))] == ["withdrawn"]
    assert person.gym.node.custody.find(link_secret_name(person.link)) is None
    story.go_to("2027-05-20 00:00")
    assert_books_agree(story)


def test_whoever_asks_both_ends_at_once_is_erased_at_both_and_each_signature_is_logged_by_who_gave_it(
    story: Town,
) -> None:
    """Each end's ending and request meet a receipt that has ended at the other one already."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    gym.app().subjects.erase(person.at_gym)
    insurer.app().subjects.erase(person.at_insurer)
    story.clock.at_s += SPREAD_S
    for company in (gym, insurer):  # both housekeep before either hears of the other
        company.housekeep()
    story.settle()
    (withdrawn,) = [each.body for each in entries(insurer, "receipt") if each.body.get("crossed")]
    (told,) = {each.body["signed"] for each in entries(gym, "receipt") if each.body["state"] == "withdrawn"}
    assert withdrawn["signed"] == told
    assert {each.body["state"] for company in (gym, insurer) for each in entries(company, "erasure")} == {
        "erased",
        "attested",
    }
    assert gym.app().receipts.unacknowledged().steps == ()
    assert_books_agree(story)


@pytest.mark.long
def test_a_revocation_that_comes_between_her_asking_and_the_links_own_time_ends_it_there(story: Town) -> None:
    """Her keys are gone and nothing leaves; the ledger has the receipt live until somebody says that it ended."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    gym.app().subjects.erase(person.at_gym)
    insurer.app().receipts.revoke(person.receipt)
    story.settle()
    assert [each.body["state"] for each in entries(gym, "receipt")][-1] == "revoked"
    story.clock.at_s += SPREAD_S
    story.settle()
    assert [each.state for each in gym.app().subjects.erasures(person.at_gym).erasures] == ["attested"]
    assert_books_agree(story)


@pytest.mark.long
def test_two_links_of_one_person_are_erased_at_two_times_under_two_names(story: Town) -> None:
    gym, bank = story.companies["gym.example"], story.company("bank.example")
    person = link(gym, story.companies["insurer.example"], at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story)
    bank.app().programs.publish(fitness_program(payer="bank.example"))
    story.settle()
    gym.app().programs.accept("ins-fit", 1, payer="bank.example")
    story.settle()
    link(gym, bank, at_gym="ana-at-gym", at_insurer="ana-at-bank", town=story)
    times = [each.due_at for each in gym.app().subjects.erase(person.at_gym).erasures]
    assert len(set(times)) == 2
    assert all(0 <= each - story.clock.at_s < SPREAD_S for each in times)
    for count, at_s in enumerate(times, 1):
        story.clock.at_s = at_s
        story.settle()
        assert len({each.body["erasure"] for each in entries(gym, "erasure")}) == count


@pytest.mark.long
def test_nobody_can_be_erased_in_anothers_name(story: Town) -> None:
    """A partner's request is about its own links, and is signed by it."""
    person = ana(story)
    limited = person.gym.key("receipts:write", "subject:assert")
    with pytest.raises(NodeProblem) as refused:
        person.gym.app(limited).subjects.erase(person.at_gym)
    assert refused.value.code == "scope_missing"


@pytest.mark.long
def test_rows_that_name_the_subject_are_gone_everywhere(story: Town) -> None:
    person = ana(story)
    erase_at_gym(person, story)
    for table in (EVENTS, LINKS, DECISIONS, REWARDS, IDEMPOTENCY):
        assert person.at_gym not in [row.subject for row in person.gym.node.rows(select(table.c.subject))]


def test_p9_no_file_of_either_company_holds_a_value_of_hers_or_a_key_that_opens_any(story: Town) -> None:
    """Both ends erase her; what is looked for is found in plenty before, so the search does find."""
    person = ana(story)
    gym, insurer = person.gym, person.insurer
    named = (
        (gym, gym.node.secrets.name("subject", person.at_gym)),
        (gym, link_secret_name(person.link)),
        (insurer, link_secret_name(person.link)),
    )
    keys = [(wrapped(company, name), company.node.custody.find(name)) for company, name in named]
    sealed = [row.ciphertext for row in gym.node.rows(select(EVENTS.c.ciphertext))]
    claims = [row.token for row in gym.node.rows(select(CLAIMS.c.token))]
    assert all(sealed)
    assert all(claims)
    given = [row.signed for row in gym.node.rows(select(RECEIPTS.c.signed))]  # who gave it, and how that was seen
    plain = [
        person.at_gym,
        person.at_insurer,
        "member since 2020",
        "policy ending 21",
        *given,
        *claims,
        "2027-03-04T18:00",
    ]
    before = {company.host: files_of(company) for company in (gym, insurer)}
    assert [text for text in plain[:-1] if not found(before, text.encode())] == []
    assert found(before, sealed[0])

    gym.app().subjects.erase(person.at_gym)
    insurer.app().subjects.erase(person.at_insurer)
    story.clock.at_s += SPREAD_S
    story.settle()
    after = {company.host: files_of(company) for company in (gym, insurer)}

    secrets = [key for _, key in keys if key is not None]
    encoded = [to_base64url(key).encode() for key in secrets]
    wanted = [*(text.encode() for text in plain), *sealed, *secrets, *encoded, *(sealed_key for sealed_key, _ in keys)]
    assert len(secrets) == len(named)
    assert [company.node.custody.find(name) for company, name in named] == [None] * len(named)
    assert {place: each[:20] for each in wanted for place in found(after, each)} == {}


def wrapped(company: Company, name: str) -> bytes:
    """Return a secret as custody's database has it."""
    with company.node.custody.engine.connect() as connection:
        return bytes(connection.execute(select(SECRETS.c.wrapped).where(SECRETS.c.name == name)).scalar_one())


def test_p9_a_backup_of_the_rows_opens_nothing_and_its_restoration_is_erased_again_before_anybody_is_served(
    story: Town,
) -> None:
    person = ana(story)
    person.gym.stop()
    backup = person.gym.back_up()
    person.gym.start()
    (visit, *_) = person.gym.node.rows(select(EVENTS.c.id))
    erase_at_gym(person, story)
    person.gym.stop()
    person.gym.restore(backup, rows_alone=True)
    person.gym.start()
    assert person.gym.app().links.find(person.at_gym).links == ()
    assert person.gym.app().decisions.find(person.at_gym).decisions == ()
    with pytest.raises(NodeProblem) as gone:
        person.gym.app().events.get(visit.id)
    assert gone.value.code == "payload_erased"
    assert [row.ciphertext for row in person.gym.node.rows(select(EVENTS.c.ciphertext))] == [b""] * 14
    assert [row.state for row in person.gym.node.rows(select(RECEIPTS.c.state))] == ["withdrawn"]


@pytest.mark.long
def test_p9_a_partner_that_puts_its_own_backup_back_does_not_bring_her_back_either(story: Town) -> None:
    person = ana(story)
    person.insurer.stop()
    backup = person.insurer.back_up()
    person.insurer.start()
    erase_at_gym(person, story)
    person.insurer.stop()
    person.insurer.restore(backup, rows_alone=True)
    person.insurer.start()
    (row,) = person.insurer.node.rows(select(LINKS))
    assert (row.state, row.subject, row.partner_hint) == ("ended", "", "")
    assert [each.token for each in person.insurer.node.rows(select(CLAIMS.c.token))] == [""]
    assert person.insurer.node.custody.find(link_secret_name(person.link)) is None


@pytest.mark.long
def test_p9_seven_days_later_the_wrapping_keys_of_a_stolen_custody_are_gone(story: Town) -> None:
    """Whoever kept rows and wrapped keys of before, and comes for the wrapping keys a week later, opens nothing."""
    person = ana(story)
    name = person.gym.node.secrets.name("subject", person.at_gym)
    person.gym.stop()
    backup = person.gym.back_up()
    person.gym.start()
    erase_at_gym(person, story)
    story.clock.at_s += 7 * 86_400
    story.settle()
    assert person.gym.databases.custody is not None
    person.gym.stop()
    live = person.gym.folder / "custody"
    wrapping = {path.name for path in live.glob("wrap-*.key")}
    assert wrapping
    assert wrapping.isdisjoint(path.name for path in (backup.folder / "custody").glob("wrap-*.key"))
    stolen = person.gym.folder / "stolen"
    shutil.copytree(live, stolen, ignore=shutil.ignore_patterns("keys.db*"))
    if isinstance(person.gym.databases.custody, Path):
        shutil.copy(backup.folder / "custody" / "keys.db", stolen / "keys.db")
        custody = Custody(stolen, clock=story.clock, random_bytes=bytes)
        with pytest.raises(SettingsInvalid):
            custody.find(name)
        custody.close()


@pytest.mark.long
def test_p9_a_backup_of_custody_that_is_put_back_does_not_bring_her_key_back(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    ana = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    key, member = (gym.node.secrets.name(purpose, "ana-at-gym") for purpose in ("subject", "member"))
    for each in (key, member):
        gym.node.custody.find_or_make(each)
    assert gym.node.custody.find(link_secret_name(ana.link)) is not None
    gym.stop()
    backup = gym.back_up()
    gym.start()
    gym.app().subjects.erase("ana-at-gym")
    tombstones = gym.node.custody.tombstones()
    gym.stop()
    gym.restore(backup, custody_alone=True)
    gym.start()
    assert gym.node.custody.find(key) is None
    assert gym.node.custody.find(link_secret_name(ana.link)) is None
    assert gym.node.custody.tombstones() == tombstones
    with pytest.raises(NodeProblem) as gone:
        gym.office().standings.record("ana-at-gym", kind="own")
    assert gone.value.code == "payload_erased"
    assert gym.node.custody.find(member) is not None
    story.clock.at_s += RELINK_AFTER_S + 86_400
    story.settle()
    assert gym.node.custody.find(member) is None  # no longer than if custody had never been lost


@pytest.mark.long
def test_p9_a_custody_that_is_put_back_under_a_running_node_takes_no_number_twice(story: Town) -> None:
    """Ben is erased after it: his tombstone is not taken for hers, and at the next start her key dies anew."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    ana, _ = (
        consent(link(gym, insurer, at_gym=f"{name}-at-gym", at_insurer=f"{name}-at-ins", town=story), story)
        for name in ("ana", "ben")
    )
    custody, key = gym.node.custody, gym.node.secrets.name("subject", ana.at_gym)
    secret = custody.find_or_make(key)
    gym.app().subjects.erase(ana.at_gym)
    with writing(custody.engine).begin() as connection:
        for table in (TOMBSTONES, DESTROYED):
            connection.execute(delete(table))
    custody.keep(key, secret)
    gym.app().subjects.erase("ben-at-gym")
    assert list(custody.tombstones()) == [2]
    gym.stop()
    gym.start()
    assert gym.node.custody.find(key) is None
    assert gym.node.custody.tombstones() == {
        number: gym.node.secrets.name("subject", f"{name}-at-gym") for number, name in ((1, "ana"), (2, "ben"))
    }


@pytest.mark.long
def test_what_outlives_her_goes_when_nothing_can_be_paid_twice_any_more(story: Town) -> None:
    """`u` and the member's key stay while a slot could be paid again; `p` stands in the ledger, and opens nothing."""
    person = ana(story)
    gym, insurer = person.gym, person.insurer
    member = insurer.node.secrets.name("member", person.at_insurer)
    gym.app().subjects.erase(person.at_gym)
    insurer.app().subjects.erase(person.at_insurer)
    story.clock.at_s += SPREAD_S
    story.settle()
    assert insurer.node.custody.find(member) is not None
    assert len(gym.node.rows(select(LINK_UNIQUE))) == 1
    story.clock.at_s += RELINK_AFTER_S + 86_400
    story.settle()
    assert insurer.node.custody.find(member) is None
    assert gym.node.rows(select(LINK_UNIQUE)) == []


def verify(file: Path, *options: str) -> tuple[int, str]:
    """Run `tally verify`; return its exit status and all that it said."""
    ran = CliRunner().invoke(app, ["verify", str(file), *options])
    return ran.exit_code, ran.output


def test_the_certificate_verifies_offline_and_says_what_it_does_not_prove(story: Town, tmp_path: Path) -> None:
    person = ana(story)
    person.gym.app().subjects.erase(person.at_gym)
    with pytest.raises(NodeProblem) as early:
        person.gym.app().subjects.certificate(person.at_gym)
    assert early.value.code == "not_published"
    story.clock.at_s += SPREAD_S
    story.settle()

    certificate = person.gym.app().subjects.certificate(person.at_gym)

    file = tmp_path / "certificate.json"
    file.write_text(certificate.model_dump_json())
    assert person.at_gym not in file.read_text()
    fingerprints = [each.keys.fingerprint for each in story.companies.values()]
    status, said = verify(file, *(part for each in fingerprints for part in ("--fingerprint", each)))
    assert status == 0
    assert "insurer.example answered, and signed:" in said
    until = r"20[0-9]{2}-[0-9]{2}-[0-9]{2}"
    assert re.search(rf"^  accounting: kept since a law obliges it to, until {until}$", said, re.MULTILINE)
    assert "  events: nothing there when it was asked\n" in said  # the insurer never had any
    assert "Not proven by it:" in said
    assert "ONLY IF" not in said
    status, said = verify(file, "--fingerprint", fingerprints[0])
    assert (status, fingerprints[0] in said, fingerprints[1] in said) == (2, False, True)
    assert said.startswith("WOULD HOLD ONLY IF")
    gyms = tmp_path / "gym.vkey"
    gyms.write_bytes((person.gym.folder / "log.vkey").read_bytes())
    insurers = fingerprints[1]
    assert verify(file, "--fingerprint", insurers)[0] == 1  # it is the gym's, and the gym's is not given
    assert verify(file, "--fingerprint", insurers, "--key", str(gyms))[0] == 0
    assert verify(file)[0] == 2
    other = tmp_path / "insurer.vkey"
    other.write_bytes((person.insurer.folder / "log.vkey").read_bytes())
    assert verify(file, "--key", str(other))[0] == 1
    for lie in (*lies(certificate), *logged_lies(person.gym, person.insurer, certificate)):
        file.write_text(lie.model_dump_json())
        status, said = verify(file)
        assert (status, "DOES NOT HOLD" in said) == (1, True)
    file.write_text(certificate.model_dump_json().replace('"v":1', '"v":2'))
    assert verify(file)[0] == 1


@pytest.mark.long
def test_the_certificate_is_shown_although_keys_were_given_up_since_and_says_what_that_leaves_open(
    story: Town, tmp_path: Path
) -> None:
    """What the gym signed, its own ledger names; that the insurer's answer is its own, the gym says alone."""
    person = ana(story)
    person.gym.app().subjects.erase(person.at_gym)
    story.clock.at_s += SPREAD_S
    story.settle()
    story.clock.at_s += 86_400
    file = tmp_path / "certificate.json"
    known = [part for each in story.companies.values() for part in ("--fingerprint", each.keys.fingerprint)]
    for company, status in ((person.gym, 0), (person.insurer, 2)):
        with open_key_folder(company.folder, clock=story.clock) as place:
            revoke_key(place, "receipt", since_s=story.clock.at_s, reason="compromised")
        story.settle()
        file.write_text(person.gym.app().subjects.certificate(person.at_gym).model_dump_json())
        ended, said = verify(file, *known)
        first, _, unproven = said.partition("Not proven by it:")
        assert (ended, "  events: nothing there when it was asked\n" in first) == (status, status == 0)
        assert ("only that of gym.example is in it" in unproven) == (status == 2)


def logged_lies(gym: Company, insurer: Company, honest: Certificate) -> Iterator[Certificate]:
    """Yield certificates of what the gym has really logged: an erasure that another was asked for, and an answer to
    something else."""
    link = honest.links[0]
    said: dict[str, object] = {"link": f"lnk_{'a' * 26}", "receipts": [], "at": gym.clock.at_s}
    names = {"erasure": f"era_{'a' * 26}", "origin": "bank.example", "partner": insurer.host}
    asked = ErasureRequest.model_validate_json(canonical_json({**said, **names}))
    token = gym.node.signed(asked)
    erased = logged(gym, erasure_body(asked, signed=signed_digest(token)))
    yield honest.model_copy(update={"links": (CertifiedLink(request=token, erased=erased),)})
    body = ErasureBody.model_validate_json(canonical_json(parse_entry(link.erased.entry.encode()).body))
    fields = tuple(FieldAnswer(field=field, fate="erased") for field in FIELDS)
    answer = insurer.node.signed(
        ErasureAttestation(
            erasure=body.erasure,
            partner=insurer.host,
            request=signed_digest("another"),
            fields=fields,
            at=gym.clock.at_s,
        )
    )
    signature = Signature(at=gym.clock.at_s, digest=signed_digest(answer))
    attested = logged(gym, body.model_copy(update={"state": "attested", "attestation": signature}))
    wrong = link.model_copy(update={"attestation": answer, "attested": attested})
    yield honest.model_copy(update={"links": (wrong,)})


def logged(company: Company, body: ErasureBody) -> EntryProof:
    """Return an entry that a company writes, proven under its next published head."""
    written = company.node.writer.write(lambda transaction: transaction.append("erasure", body.document()))
    company.work()
    proven = company.node.prove(company.node.shards.current.own.name, written.value.index)
    assert proven is not None
    return proven


def lies(honest: Certificate) -> Iterator[Certificate]:
    """Yield certificates in which one thing is wrong, and which only the check of that thing can refuse."""
    (link,) = honest.links
    assert link.attested is not None
    unlogged = {"attested": link.erased}
    entry = parse_entry(link.erased.entry.encode())
    later = canonical_json({**json.loads(entry.raw), "at": entry.at_s + 1}).decode()
    elsewhere = {"erased": link.erased.model_copy(update={"index": link.erased.index + 1})}
    for changes in (
        {"request": link.attestation, "attestation": ""},
        {"attestation": link.request},
        {"erased": link.attested},
        unlogged,
        elsewhere,
        {"erased": link.erased.model_copy(update={"entry": later})},
    ):
        yield honest.model_copy(update={"links": (link.model_copy(update=changes),)})
    gym, insurer = honest.descriptors["gym.example"], honest.descriptors["insurer.example"]
    yield honest.model_copy(update={"links": (link, link)})
    yield honest.model_copy(update={"host": "insurer.example"})
    yield honest.model_copy(update={"descriptors": {"gym.example": gym}})
    yield honest.model_copy(update={"descriptors": {"gym.example": insurer, "insurer.example": gym}})


def test_the_export_has_everything_about_her_with_proofs_and_verifies_offline(story: Town, tmp_path: Path) -> None:
    person = ana(story)
    export = person.gym.app().subjects.export(person.at_gym)
    assert len(export.events) == 14
    assert [each.link for each in export.links] == [person.link]
    assert [(each.receipt.state, each.receipt.notice.statement[:8]) for each in export.receipts] == [
        ("given", "Your gym")
    ]
    assert [(each.state, each.disclosure is not None, bool(each.token)) for each in export.claims] == [
        ("delivered", True, True)
    ]
    assert [each.outcome for each in export.decisions] == ["not_reached", "issued"]
    assert export.rewards == ()
    file = tmp_path / "export.json"
    file.write_text(export.model_dump_json())
    assert verify(file)[0] == 2  # anybody can be gym.example in a file of their own
    assert verify(file, "--fingerprint", person.insurer.keys.fingerprint)[0] == 1
    status, said = verify(file, "--fingerprint", person.gym.keys.fingerprint)
    assert (status, said.partition("\n")[0]) == (0, "HOLDS.")
    assert "14 events and 1 claim of this subject stand in the ledger of gym.example." in said
    assert "That it is complete: the word of whoever made this file." in said
    assert_shows_what_is_proven(person, export, file)
    for lie in export_lies(export):
        file.write_text(lie.model_dump_json())
        status, said = verify(file)
        assert (status, "DOES NOT HOLD" in said) == (1, True)
    theirs = person.insurer.app().subjects.export(person.at_insurer)
    assert [(each.amount, each.reasons["rule"]) for each in theirs.rewards] == [(2000, "ins-fit@1")]
    assert [each.role for each in theirs.claims] == ["recipient"]
    assert theirs.events == ()
    assert_exported_by_command(person, tmp_path)
    half = person.gym.app().subjects.export(person.at_gym, events_until=at("2027-03-10 00:00"))
    assert len(half.events) == 7
    person.gym.app().subjects.erase(person.at_gym)
    with pytest.raises(NodeProblem) as gone:
        person.gym.app().subjects.export(person.at_gym)
    assert (gone.value.code, "subjects.certificate" in gone.value.remedy) == ("payload_erased", True)


def assert_shows_what_is_proven(person: Membership, export: Export, file: Path) -> None:
    """Anybody has the gym's descriptor, and its keys: what has no proof in a file is not said to be shown."""
    gym = person.gym
    known = (["--fingerprint", gym.keys.fingerprint], ["--key", str(gym.folder / "log.vkey")])
    events = [bare(each) for each in export.events]
    forged = export.model_copy(update={"events": tuple(events), "claims": tuple(bare(each) for each in export.claims)})
    in_part = forged.model_copy(update={"events": (export.events[0], *events[1:])})
    forged = forged.model_copy(update={"receipts": tuple(bare(each) for each in export.receipts)})
    for arguments in known:
        file.write_text(forged.model_dump_json())
        status, said = verify(file, *arguments)
        assert (status, said.splitlines()[:2]) == (2, ["SHOWS NOTHING: nothing in it is proven.", "Not proven by it:"])
        assert "  14 events and 1 claim that no head in it covers: the word of whoever made this file." in said
        assert "  1 receipt that no entry in it tells of: the word of whoever made this file." in said
        file.write_text(in_part.model_dump_json())
        status, said = verify(file, *arguments)
        assert (status, said.partition(":")[0]) == (2, "HOLDS IN PART")
        assert "1 event and 0 claims of this subject stand in the ledger of gym.example." in said
        file.write_text(export.model_dump_json())
        assert (verify(file, *arguments)[0], verify(file)[0]) == (0, 2)


Exported = TypeVar("Exported", ExportedEvent, ExportedClaim, ExportedReceipt)


def bare(each: Exported) -> Exported:
    """Return something in an export without its proof."""
    assert each.logged is not None
    return each.model_copy(update={"logged": each.logged.model_copy(update={"entry": None})})


def assert_exported_by_command(person: Membership, folder: Path) -> None:
    """`tally export` writes what the client is told, for its owner alone; over nothing, and nothing of nobody."""
    file, part = folder / "ana.json", folder / "part.json"
    node = ["--url", person.gym.url, "--key", person.gym.secret, "--fingerprint", person.gym.keys.fingerprint]
    ran = CliRunner().invoke(app, ["export", "--subject", person.at_gym, str(file), *node])
    files = "the word of whoever made this file."
    assert ran.exit_code == 0
    assert ran.output.splitlines() == [
        f"{file}, {file.stat().st_size:,} bytes: keep it from others, it is readable.",
        "HOLDS.",
        "14 events and 1 claim of this subject stand in the ledger of gym.example.",
        "1 receipt that stood in force there, each with the notice that its terms bind.",
        "Not proven by it:",
        f"  That it is complete: {files}",
        f"  1 link, 2 decisions and 0 rewards, with their reasons: {files}",
        "  That anybody but the log itself has seen its heads: give --policy to ask.",
    ]
    assert len(parse_export(file.read_bytes()).events) == 14
    assert verify(file, "--fingerprint", person.gym.keys.fingerprint)[0] == 0
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    ran = CliRunner().invoke(app, ["export", "--subject", person.at_gym, str(file), *node])
    assert isinstance(ran.exception, BadInput)
    assert file.read_bytes() == before
    ran = CliRunner().invoke(app, ["export", "--subject", person.at_gym, str(part), "--until", "2027-03-10", *node])
    assert (ran.exit_code, len(parse_export(part.read_bytes()).events)) == (0, 7)
    ran = CliRunner().invoke(app, ["export", "--subject", person.at_gym, str(folder / "away" / "x.json"), *node])
    assert isinstance(ran.exception, BadInput)
    assert sorted(each.name for each in folder.iterdir() if "new" in each.name) == []
    ran = CliRunner().invoke(app, ["export", "--subject", "nobody-at-gym", str(folder / "nobody.json"), *node])
    assert isinstance(ran.exception, NothingHeld)
    assert "nobody-at-gym" not in str(ran.exception)
    assert not (folder / "nobody.json").exists()


def export_lies(honest: Export) -> Iterator[Export]:
    """Yield exports in which one thing is wrong, and which only the check of that thing can refuse."""
    first, second, *rest = honest.events
    (claim,), (receipt,) = honest.claims, honest.receipts
    swapped = first.model_copy(update={"logged": second.logged})
    yield honest.model_copy(update={"events": (swapped, *rest)})
    another = first.model_copy(update={"event": first.event.model_copy(update={"opening": second.event.opening})})
    yield honest.model_copy(update={"events": (another, *rest)})
    yield honest.model_copy(update={"subject": "ben-at-gym"})
    yield honest.model_copy(update={"heads": {}})
    assert first.logged.entry is not None
    entry = parse_entry(str(first.logged.entry.entry).encode())
    later = canonical_json({**json.loads(entry.raw), "at": entry.at_s + 1}).decode()
    unlogged = first.logged.model_copy(update={"entry": first.logged.entry.model_copy(update={"entry": later})})
    yield honest.model_copy(update={"events": (first.model_copy(update={"logged": unlogged}),)})
    moved = first.model_copy(update={"logged": first.logged.model_copy(update={"log": "2026"})})
    yield honest.model_copy(update={"events": (moved,)})
    yield honest.model_copy(update={"claims": (claim.model_copy(update={"token": claim.token + "~"}),)})
    yield honest.model_copy(update={"claims": (claim.model_copy(update={"period": "2027-04"}),)})
    yield honest.model_copy(update={"claims": (claim.model_copy(update={"logged": first.logged}),)})
    notice = receipt.receipt.notice.model_copy(update={"silence": "Nothing."})
    told = receipt.receipt.model_copy(update={"notice": notice})
    yield honest.model_copy(update={"receipts": (receipt.model_copy(update={"receipt": told}),)})
    terms = receipt.receipt.model_copy(update={"terms": {**receipt.receipt.terms, "retention_s": 1}})
    yield honest.model_copy(update={"receipts": (receipt.model_copy(update={"receipt": terms}),)})
    yield honest.model_copy(update={"descriptors": {}})


@pytest.mark.long
def test_an_export_of_more_than_one_file_holds_is_refused_before_its_first_byte(
    story: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = ana(story)
    monkeypatch.setattr(access, "EVENTS_MAX", 14)
    monkeypatch.setattr(access, "EVENTS_AT_ONCE", 5)
    assert len(person.gym.app().subjects.export(person.at_gym).events) == 14
    monkeypatch.setattr(access, "EVENTS_MAX", 13)
    with pytest.raises(NodeProblem) as refused:
        person.gym.app().subjects.export(person.at_gym)
    assert refused.value.code == "limit_reached"
    assert len(person.gym.app().subjects.export(person.at_gym, events_from=at("2027-03-02 00:00")).events) == 12


@pytest.mark.long
def test_rows_that_came_back_from_before_she_was_asked_for_ask_again_and_both_ledgers_still_agree(story: Town) -> None:
    """The backup was made between her asking and the link's own time, and put back after the partner had answered."""
    person = ana(story)
    erase_at_gym(person, story)
    came_back = update(ERASURES).values(state="due", request="", attestation="", attested_at_s=None)
    person.gym.node.writer.write(lambda transaction: transaction.execute(came_back))
    story.settle()
    (done,) = person.gym.app().subjects.erasures(person.at_gym).erasures
    assert done.state == "attested"
    assert {each.fate for each in done.fields} == {"none", "kept"}
    assert len({each.body["erasure"] for each in entries(person.insurer, "erasure")}) == 2
    assert_books_agree(story)
