"""Ana takes her receipt with her: a file with both companies' names under it, which anybody verifies offline."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import pytest
from sqlalchemy import select, update
from town import Company, Membership, Town, agree, consent, evidence, link, town
from typer.testing import CliRunner

from tallystick import Client
from tallystick.audit import AuditNotRun
from tallystick.cli import app
from tallystick.descriptor import Role
from tallystick.errors import NotFound
from tallystick.papers import SignedReceipt
from tallystick_consent.claims.jws import unchecked_payload
from tallystick_consent.receipts.evidence import Evidence
from tallystick_consent.signed import Acknowledgement, GivenReceipt, Stop, Withdrawal, sign_object, signed_digest
from tallystick_ledger.encoding import canonical_json
from tallystick_node.keys.changes import revoke_key
from tallystick_node.setup import open_key_folder
from tallystick_node.storage.tables import RECEIPTS

DAY_S = 86_400


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program."""
    with town(tmp_path) as made:
        agree(made, made.company("insurer.example"), made.company("gym.example"))
        yield made


def ana(story: Town) -> Membership:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    return consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)


def verify(file: Path, *options: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, ["verify", str(file), *options])
    return ran.exit_code, ran.output


def test_her_receipt_verifies_offline_from_either_company_and_says_what_it_does_not_prove(
    story: Town, tmp_path: Path
) -> None:
    person, file = ana(story), tmp_path / "receipt.json"
    fingerprints = {host: each.keys.fingerprint for host, each in story.companies.items()}
    both = [part for each in fingerprints.values() for part in ("--fingerprint", each)]
    for company in (person.gym, person.insurer):
        paper = company.app().receipts.signed(person.receipt)
        file.write_text(paper.model_dump_json())
        assert person.at_gym not in file.read_text()
        status, said = verify(file, *both)
        assert (status, said.partition("\n")[0]) == (0, "HOLDS.")
        assert f"given, on 2027-02-27: {person.receipt}, version 1." in said
        assert "insurer.example has signed for it, on 2027-02-27." in said
        assert "as a predicate at most,\n" in said
        assert "Shown to the person: Your gym tells your insurer whether you trained" in said
        assert "That it is in force: it may have been stopped since" in said
        assert verify(file)[0] == 2
        status, said = verify(file, "--fingerprint", fingerprints[company.host])
        assert (status, said.startswith("WOULD HOLD ONLY IF")) == (2, True)
    for lie in lies(story, person.gym.app().receipts.signed(person.receipt)):
        file.write_text(lie.model_dump_json())
        status, said = verify(file, *both)
        assert (status, "DOES NOT HOLD" in said) == (1, True), lie
    file.write_text(paper.model_dump_json().replace('"v":1', '"v":2'))
    assert verify(file)[0] == 1
    described = httpx.get(f"{person.gym.url}/openapi.json").json()["components"]["schemas"]["SignedReceipt"]
    assert {"signed", "acknowledgement", "stop", "entries"} <= described["properties"].keys()
    assert not {"stop", "stop_acknowledgement", "entries"} & json.loads(paper.model_dump_json()).keys()


def lies(story: Town, honest: SignedReceipt) -> Iterator[SignedReceipt]:
    """Yield papers in which one thing is wrong, and which only the check of that thing can refuse."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    yield honest.model_copy(update={"signed": honest.acknowledgement})
    yield honest.model_copy(update={"notice": honest.notice.model_copy(update={"silence": "Nothing."})})
    yield honest.model_copy(update={"descriptors": {"insurer.example": insurer.descriptor}})
    yield honest.model_copy(update={"descriptors": {"gym.example": gym.descriptor}})
    yield honest.model_copy(update={"host": "bank.example"})
    own = {"insurer.example": insurer.descriptor}
    yield honest.model_copy(update={"host": "insurer.example", "descriptors": own})
    bank = story.company("bank.example").descriptor
    of_others = {"gym.example": gym.descriptor, "bank.example": bank}
    yield honest.model_copy(update={"descriptors": of_others, "acknowledgement": ""})
    given = GivenReceipt.model_validate_json(canonical_json(unchecked_payload(honest.signed)))
    yield honest.model_copy(update={"signed": insurer.node.signed(given)})  # in its own name, and not the gym's
    said = Acknowledgement.model_validate_json(canonical_json(unchecked_payload(honest.acknowledgement)))
    for wrong in ({"digest": signed_digest("another")}, {"version": 2}, {"state": "withdrawn"}):
        answer = insurer.node.signed(said.model_copy(update=wrong))
        yield honest.model_copy(update={"acknowledgement": answer})
    yield honest.model_copy(update={"acknowledgement": gym.node.signed(said)})
    wallet = Evidence(grade="wallet_key", app="app", login="aal2", public_key="A" * 43, signature="A" * 86)
    forged = gym.node.signed(given.model_copy(update={"evidence": wallet}))
    yield honest.model_copy(update={"signed": forged, "acknowledgement": ""})


def in_a_fresh_process(file: Path, *options: str) -> tuple[int, str]:
    """Return how `tally verify` ends, and the first line of what it says, where nothing was ever opened before."""
    command = [sys.executable, "-c", "from tallystick.cli import main; main()", "verify", str(file), *options]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout.partition("\n")[0]


def fingerprints(story: Town) -> list[str]:
    return [part for each in story.companies.values() for part in ("--fingerprint", each.keys.fingerprint)]


def revoke(company: Company, role: Role, *, since_s: int) -> None:
    with open_key_folder(company.folder, clock=company.clock) as place:
        revoke_key(place, role, since_s=since_s, reason="compromised")


def test_her_receipt_is_shown_and_holds_although_a_key_under_it_was_given_up_since_and_a_thief_s_does_not(
    story: Town, tmp_path: Path
) -> None:
    """The gym's receipt key is stolen weeks after Ana said yes, and Ben says yes before anybody knows of it: the gym's
    own ledger names both receipts."""
    person, file, known = ana(story), tmp_path / "receipt.json", fingerprints(story)
    gym, insurer = person.gym, person.insurer
    story.clock.at_s += 20 * DAY_S
    stolen, stolen_s, of_then = gym.node.keys, story.clock.at_s, gym.app().receipts.signed(person.receipt)
    story.clock.at_s += DAY_S
    ben = consent(link(gym, insurer, at_gym="ben-at-gym", at_insurer="ben-at-ins", town=story), story)
    revoke(gym, "receipt", since_s=stolen_s)
    story.settle()

    honest = gym.app().receipts.signed(person.receipt)

    file.write_text(honest.model_dump_json())
    assert in_a_fresh_process(file, *known) == (0, "HOLDS.")
    assert (
        "under a key that counts for nothing since 2027-03-19. That it is its own, its ledger says: entry "
        in (verify(file)[1])
    )
    file.write_text(gym.app().receipts.signed(ben.receipt).model_dump_json())
    assert verify(file, *known)[0] == 0
    file.write_text(insurer.app().receipts.signed(ben.receipt).model_dump_json())
    assert verify(file, *known)[0] == 2
    at_insurer = insurer.app().receipts.signed(person.receipt)
    file.write_text(at_insurer.model_dump_json())
    status, said = verify(file, *known)
    assert (status, said.partition("\n")[0]) == (2, "HOLDS IN PART: some of it is not proven.")
    first, _, unproven = said.partition("Not proven by it:")
    assert "gym.example has signed" not in first
    assert "insurer.example has signed for it, on 2027-02-27." in first
    assert "  That gym.example has signed that this receipt was given, on 2027-02-27: " in unproven
    assert f"{signed_digest(honest.signed)} would show it. The ledger of insurer.example names it." in unproven

    given = GivenReceipt.model_validate_json(canonical_json(unchecked_payload(honest.signed)))

    def forged(at_s: int) -> str:
        content = given.model_copy(update={"at": at_s})
        return sign_object(content, key_id=stolen.id("receipt"), private_key=stolen.ed25519("receipt"))

    before, entry = forged(stolen_s - 1), honest.entries
    nobodys = {"acknowledgement": "", "entries": ()}
    for lie, verdict in (
        ({"signed": before, **nobodys}, (2, "SHOWS NOTHING: nothing in it is proven.")),
        ({"signed": before, **nobodys, "entries": entry}, (1, "An entry in it is of something else.")),
        ({"signed": forged(stolen_s + DAY_S), **nobodys}, (2, "SHOWS NOTHING: nothing in it is proven.")),
        ({"signed": forged(given.at - 20 * DAY_S), **nobodys}, (1, "before its key began, or after its end.")),
        ({"entries": (entry[0].model_copy(update={"host": "bank.example"}),)}, (1, "that the receipt is not between.")),
        ({"entries": (entry[0].model_copy(update={"host": "insurer.example"}),)}, (1, "the log of somebody else.")),
        ({"entries": ()}, (2, "HOLDS IN PART")),
    ):
        file.write_text(honest.model_copy(update=lie).model_dump_json())
        status, said = verify(file, *known)
        assert (status, verdict[1] in said) == (verdict[0], True), said
    # A list of keys of before says nothing of the theft; who has the gym's list of today asks by that.
    today, another = tmp_path / "gym-today.jwt", tmp_path / "bank.jwt"
    today.write_text(honest.descriptors["gym.example"])
    another.write_text(story.company("bank.example").descriptor)
    file.write_text(of_then.model_copy(update={"signed": forged(stolen_s), **nobodys}).model_dump_json())
    status, said = verify(file, *known)
    assert status == 0
    assert "That gym.example has given up no key since 2027-02-27, the day of its list in it." in said
    assert verify(file, *known, "--descriptor", str(today))[0] == 2
    assert verify(file, *known, "--descriptor", str(another))[0] == 1
    token, descriptor = tmp_path / "receipt.jwt", tmp_path / "gym.jwt"
    descriptor.write_text(honest.descriptors["gym.example"])
    of_gym = ("--descriptor", str(descriptor), "--fingerprint", gym.keys.fingerprint)
    for signed in (honest.signed, before, forged(stolen_s)):
        token.write_text(signed)
        ended, said = verify(token, *of_gym)
        digest = signed_digest(signed)
        assert (ended, said.startswith(f"WOULD HOLD ONLY IF its own ledger names {digest}.")) == (2, True)


@pytest.mark.long
def test_over_new_year_and_with_all_keys_given_up_each_company_shows_what_it_has_signed(
    story: Town, tmp_path: Path
) -> None:
    """Also where a node of before wrote nothing of where the entry stands: the ledger that is written now has it."""
    person, file, known = ana(story), tmp_path / "receipt.json", fingerprints(story)
    both, roles = (person.gym, person.insurer), ("receipt", "log", "log-pq")
    story.clock.at_s += DAY_S
    for company in both:
        for role in roles:
            revoke(company, cast("Role", role), since_s=story.clock.at_s - 60)
    story.settle()
    whole: list[SignedReceipt] = []
    for company, shown in ((person.gym, "has signed that"), (person.insurer, "has signed for it")):
        where = (RECEIPTS.c.signed_log, RECEIPTS.c.signed_leaf)
        kept = company.node.rows(select(*where))
        for row in ((None, None), tuple(kept[0])):
            changed = update(RECEIPTS).values(signed_log=row[0], signed_leaf=row[1])
            company.node.writer.write(lambda transaction, changed=changed: transaction.execute(changed))
            paper = company.app().receipts.signed(person.receipt)
            file.write_text(paper.model_dump_json())
            status, said = verify(file, *known)
            first, _, unproven = said.partition("Not proven by it:")
            assert (status, f"{company.host} {shown}" in first) == (2, True)
            assert unproven.count(" would show it.") == 1
            if row[1] is not None:
                whole.append(paper)
    # Who holds both papers has all that shows it, and may put it into one.
    file.write_text(whole[0].model_copy(update={"entries": (*whole[0].entries, *whole[1].entries)}).model_dump_json())
    assert verify(file, *known)[0] == 0
    story.go_to("2028-01-02 00:00")
    for company in both:
        paper = company.app().receipts.signed(person.receipt)
        assert [f"\n{company.host}/log/2027\n" in each.logged.proof for each in paper.entries] == [True]
        file.write_text(paper.model_dump_json())
        assert verify(file, *known)[0] == 2
        unknown = update(RECEIPTS).values(signed_log=None, signed_leaf=None)
        company.node.writer.write(lambda transaction, unknown=unknown: transaction.execute(unknown))
        assert company.app().receipts.signed(person.receipt).entries == ()  # the opening tells of others as well


@pytest.mark.long
def test_what_stopped_it_stays_as_both_have_signed_it_until_it_may_not(story: Town, tmp_path: Path) -> None:
    person, file, known = ana(story), tmp_path / "receipt.json", fingerprints(story)
    gym, insurer = person.gym.app(), person.insurer.app()

    def said_at(client: Client) -> str:
        paper = client.receipts.signed(person.receipt)
        file.write_text(paper.model_dump_json())
        status, said = verify(file, *known)
        assert status == 0
        return said

    story.clock.at_s += DAY_S
    gym.receipts.pause(person.receipt, subject=person.at_gym)
    assert "insurer.example HAS NOT SIGNED FOR IT.\n" in said_at(gym)
    story.settle()
    for client in (gym, insurer):
        said = said_at(client)
        assert f"gym.example has signed that {person.receipt} was paused, on 2027-02-28.\n" in said
        assert "insurer.example has signed for it, on 2027-02-28.\n" in said
        assert "That it is paused still" in said
    gym.receipts.renew(person.receipt, subject=person.at_gym, evidence=evidence())
    story.settle()
    assert all("paused" not in said_at(client) for client in (gym, insurer))
    insurer.receipts.revoke(person.receipt)
    story.settle()
    for client in (gym, insurer):
        said = said_at(client)
        assert said.splitlines()[1] == f"insurer.example has signed that {person.receipt} was revoked, on 2027-02-28."
        assert "It permitted gym.example to tell" in said
        assert "gym.example has signed for it, on 2027-02-28.\n" in said
        assert "in force" not in said
    stopped = gym.receipts.signed(person.receipt)
    for lie in (
        {"stop": ""},
        {"stop_acknowledgement": stopped.acknowledgement},
        {"stop": stopped.signed},
        {"acknowledgement": stopped.stop_acknowledgement},
    ):
        file.write_text(stopped.model_copy(update=lie).model_dump_json())
        assert verify(file, *known)[0] == 1, lie
    story.clock.at_s += DAY_S
    for company in (person.gym, person.insurer):
        revoke(company, "receipt", since_s=story.clock.at_s)
    story.settle()
    file.write_text(gym.receipts.signed(person.receipt).model_dump_json())
    said = verify(file, *known)[1]
    assert said.count("That it is its own, its ledger says") == 2  # the renewal, and its word that it heard of the stop
    gym.subjects.erase(person.at_gym)
    for company in (person.gym, person.insurer):
        story.clock.at_s += DAY_S
        story.settle()
        kept = company.node.rows(select(RECEIPTS.c.stop, RECEIPTS.c.stop_acknowledgement))
        assert [tuple(row) for row in kept] == [(None, None)]


@pytest.mark.long
def test_a_stop_is_only_whose_it_is_to_make_and_comes_after_the_yes(story: Town, tmp_path: Path) -> None:
    person, file, known = ana(story), tmp_path / "receipt.json", fingerprints(story)
    honest, now_s = person.gym.app().receipts.signed(person.receipt), story.clock.at_s
    gym, insurer = person.gym.node, person.insurer.node
    paused = Stop(receipt=person.receipt, version=1, state="paused", at=now_s)
    withdrawn = Withdrawal(receipt=person.receipt, version=1, earned="drop", at=now_s)
    for stop, status in (
        (gym.signed(paused), 0),
        (insurer.signed(paused), 1),
        (insurer.signed(paused.model_copy(update={"state": "revoked"})), 0),
        (gym.signed(withdrawn), 0),
        (insurer.signed(withdrawn), 1),
        (gym.signed(withdrawn.model_copy(update={"at": now_s - 3_600})), 1),
        (gym.signed(withdrawn.model_copy(update={"version": 2})), 1),
        (gym.signed(withdrawn.model_copy(update={"receipt": f"rcp_{'a' * 26}"})), 1),
    ):
        file.write_text(honest.model_copy(update={"stop": stop}).model_dump_json())
        assert verify(file, *known)[0] == status, stop


@pytest.mark.long
def test_what_was_said_yes_to_again_is_what_both_have_signed_last(story: Town, tmp_path: Path) -> None:
    person, file = ana(story), tmp_path / "receipt.json"
    gym = person.gym.app()
    gym.receipts.pause(person.receipt, subject=person.at_gym)
    story.settle()
    story.clock.at_s += 86_400
    person.insurer.stop()
    gym.receipts.renew(person.receipt, subject=person.at_gym, evidence=evidence())
    options = ["--fingerprint", person.gym.keys.fingerprint, "--fingerprint", person.insurer.keys.fingerprint]
    for told in ("insurer.example HAS NOT SIGNED FOR IT", "insurer.example has signed for it, on 2027-02-28."):
        file.write_text(gym.receipts.signed(person.receipt).model_dump_json())
        status, said = verify(file, *options)
        assert (status, told in said, "was renewed, on 2027-02-28" in said) == (0, True, True)
        if not person.insurer.is_open:
            person.insurer.start()
            story.clock.at_s += 3_600
            story.settle()


@pytest.mark.long
def test_each_signature_is_verified_alone_and_compared_with_what_it_is_over(story: Town, tmp_path: Path) -> None:
    person = ana(story)
    paper = person.gym.app().receipts.signed(person.receipt)
    receipt, answer = tmp_path / "receipt.jwt", tmp_path / "answer.jwt"
    receipt.write_text(paper.signed)
    answer.write_text(paper.acknowledgement + "\n")

    def under(file: Path, company: Company, *more: str) -> tuple[int, str]:
        descriptor = tmp_path / f"{company.host}.jwt"
        descriptor.write_text(company.descriptor)
        return verify(file, "--descriptor", str(descriptor), "--fingerprint", company.keys.fingerprint, *more)

    status, said = under(receipt, person.gym)
    assert (status, said.startswith("HOLDS. gym.example has signed this receipt that was given, on 2027-")) == (0, True)
    assert person.receipt in said
    assert "That gym.example has given up no key since 2027-02-2" in said
    assert under(receipt, person.insurer)[0] == 1
    status, said = under(answer, person.insurer)
    assert (status, "NOT COMPARED" in said) == (0, True)
    status, said = under(answer, person.insurer, "--of", str(receipt))
    assert (status, "about just the file that was given" in said) == (0, True)
    status, said = under(answer, person.insurer, "--of", str(answer))
    assert (status, "about something else" in said) == (1, True)
    spoilt = paper.acknowledgement
    answer.write_text(spoilt[:-2] + ("A" if spoilt[-2] != "A" else "B") + spoilt[-1])
    assert under(answer, person.insurer)[0] == 1
    ran = CliRunner().invoke(app, ["verify", str(receipt)])
    assert isinstance(ran.exception, AuditNotRun)
    receipt.write_text(person.gym.descriptor)  # signed, and by no key that signs receipts
    assert under(receipt, person.gym)[0] == 1


@pytest.mark.long
def test_there_is_none_before_it_was_given(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story)
    asked = insurer.app().receipts.request(person.link).receipt
    story.settle()
    for company in (gym, insurer):
        with pytest.raises(NotFound):
            company.app().receipts.signed(asked)
