"""Ana takes her receipt with her: a file with both companies' names under it, which anybody verifies offline."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from town import Company, Membership, Town, agree, consent, evidence, link, town
from typer.testing import CliRunner

from tallystick.audit import AuditNotRun
from tallystick.cli import app
from tallystick.errors import NotFound
from tallystick.papers import SignedReceipt
from tallystick_consent.claims.jws import unchecked_payload
from tallystick_consent.receipts.evidence import Evidence
from tallystick_consent.signed import Acknowledgement, GivenReceipt, signed_digest
from tallystick_ledger.encoding import canonical_json


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
