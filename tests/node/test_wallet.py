"""Ana's wallet: she shows an arbiter what the gym told her insurer, and nobody can show it in her place."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hostile import HTTP, app, refused
from signers import ed25519_key
from sqlalchemy import select
from town import ANA_MARCH, Membership, Town, agree, at, evidence, link, town
from typer.testing import CliRunner

from tallystick.cli import app as tally
from tallystick.descriptor import open_descriptor
from tallystick.errors import Conflict
from tallystick.presenting import Presented, present_claim, verify_presented
from tallystick_consent.errors import ClaimRejected
from tallystick_consent.receipts.evidence import Evidence, evidence_message
from tallystick_consent.receipts.receipt import parse_terms
from tallystick_consent.receipts.versions import narrowed
from tallystick_ledger.encoding import to_base64url
from tallystick_node.storage.tables import CLAIMS

ANA_KEY, BEN_KEY = ed25519_key("wallet of ana"), ed25519_key("wallet of ben")
ARBITER, NONCE = "arbiter.example", "n-42"


def by_wallet(key: Any, message: bytes) -> Evidence:
    """Return the evidence of a yes that a wallet signed."""
    return Evidence(
        grade="wallet_key",
        app="app",
        login="aal2",
        public_key=to_base64url(key.public_key().public_bytes_raw()),
        signature=to_base64url(key.sign(message)),
    )


def give(person: Membership, story: Town, key: Any) -> None:
    """The person says yes with the wallet."""
    asked = person.insurer.app().receipts.request(person.link)
    story.settle()
    message = evidence_message(parse_terms(person.gym.app().receipts.get(asked.receipt).terms))
    person.receipt = asked.receipt
    person.gym.app().receipts.give(asked.receipt, subject=person.at_gym, evidence=by_wallet(key, message))
    story.settle()


@dataclass
class Spring:
    """March has closed for Ana, who gave her consent with her wallet."""

    story: Town
    ana: Membership
    held: str

    def presented(self, *, key: Any = ANA_KEY, to: str = ARBITER, nonce: str = NONCE) -> str:
        return present_claim(self.held, verifier=to, nonce=nonce, now_s=self.story.clock.at_s, wallet_key=key)

    def verified(self, presented: str, *, look_up: bool = True) -> Presented:
        gym, now_s = self.ana.gym, self.story.clock.at_s
        issuer = open_descriptor(gym.descriptor, expected_fingerprint=gym.keys.fingerprint).live(now_s)
        status_list = self.status_list() if look_up else None
        return verify_presented(
            presented, issuer=issuer, verifier=ARBITER, nonce=NONCE, now_s=now_s, status_list=status_list
        )

    def status_list(self) -> str:
        row = self.ana.gym.node.row(select(CLAIMS.c.status_list))
        assert row is not None
        return HTTP.get(f"{self.ana.gym.url}/status/{row.status_list}").text


@pytest.fixture(scope="module")
def spring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spring]:
    with town(tmp_path_factory.mktemp("town")) as story:
        insurer, gym = story.company("insurer.example"), story.company("gym.example")
        agree(story, insurer, gym)
        ana = link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story)
        give(ana, story, ANA_KEY)
        story.clock.at_s = at("2027-03-31 22:00")
        ana.confirm_membership("2027-03-01 09:00")
        for day, minutes in ANA_MARCH.items():
            ana.visit(f"2027-03-{day:02} 18:00", minutes)
        insurer.stop()  # so that the claim is not used, and can still be revoked
        story.go_to("2027-04-16 00:00")
        insurer.start()
        (held,) = gym.app().claims.held("ana-at-gym").claims
        assert (held.issuer, held.recipient, held.period) == ("gym.example", "insurer.example", "2027-03")
        yield Spring(story, ana, held.token)


def test_ana_shows_an_arbiter_what_her_insurer_is_told(spring: Spring) -> None:
    shown = spring.verified(spring.presented())
    assert shown.stands
    assert (shown.claim.iss, shown.claim.aud) == ("gym.example", "insurer.example")
    assert shown.claim.answer.statement == "visit.qualified_days(2027-03) >= 12"
    assert not spring.verified(spring.presented(), look_up=False).stands


def test_nobody_shows_it_in_her_place(spring: Spring) -> None:
    for presented, reason in (
        (spring.held, "key_binding_missing"),
        (spring.presented(key=BEN_KEY), "signature_invalid"),
        (spring.presented(to="judge.example"), "audience_mismatch"),
        (spring.presented(nonce="n-41"), "key_binding_mismatch"),
    ):
        with pytest.raises(ClaimRejected) as error:
            spring.verified(presented)
        assert error.value.code == reason


def test_a_wallet_key_is_one_links_alone(spring: Spring) -> None:
    gym, insurer = spring.ana.gym, spring.ana.insurer
    ben = link(gym, insurer, at_gym="ben-at-gym", at_insurer="ben-at-ins", town=spring.story)
    with pytest.raises(Conflict) as error:
        give(ben, spring.story, ANA_KEY)
    assert error.value.code == "wallet_key_used"
    assert gym.app().receipts.get(ben.receipt).state == "requested"
    assert gym.app().claims.held("ben-at-gym").claims == ()


def test_only_an_app_that_vouches_for_who_is_logged_in_is_handed_claims(spring: Spring) -> None:
    key = spring.ana.gym.key("claims:read")
    answer = app(spring.ana.gym, "/v1/claims/search", {"subject": "ana-at-gym"}, key=key)
    refused(answer, 403, "scope_missing")


def test_a_consent_that_was_paused_and_renewed_hands_her_wallet_what_it_holds(spring: Spring) -> None:
    ana, of_receipt = spring.ana, {"subject": "ana-at-gym"}
    claims, receipts = ana.gym.app().claims, ana.gym.app().receipts
    receipts.pause(ana.receipt, **of_receipt)
    assert claims.held("ana-at-gym").claims == ()
    receipts.renew(ana.receipt, **of_receipt, evidence=evidence())
    assert [each.token for each in claims.held("ana-at-gym").claims] == [spring.held]


def verify(spring: Spring, folder: Path, *options: object) -> tuple[int, str]:
    """Run `tally verify` on what Ana presents."""
    for name, text in (
        ("claim", spring.presented()),
        ("list", spring.status_list()),
        ("gym", spring.ana.gym.descriptor),
    ):
        (folder / name).write_text(text + "\n")
    ran = CliRunner().invoke(tally, ["verify", str(folder / "claim"), *map(str, options)])
    return ran.exit_code, ran.output


def test_tally_verifies_what_is_presented(spring: Spring, tmp_path: Path) -> None:
    gym = ("--descriptor", tmp_path / "gym", "--fingerprint", spring.ana.gym.keys.fingerprint)
    asked = ("--verifier", ARBITER, "--at", spring.story.clock.at_s, "--nonce")
    status, said = verify(spring, tmp_path, *gym, *asked, NONCE, "--status", tmp_path / "list")
    assert (status, said.splitlines()[0]) == (
        0,
        "HOLDS. gym.example says: visit.qualified_days(2027-03) >= 12, by turnstile.",
    )
    assert "not revoked" in said
    assert "NOT LOOKED UP" in verify(spring, tmp_path, *gym, *asked, NONCE)[1]
    assert verify(spring, tmp_path, *gym, *asked, "n-41")[0] == 1
    assert verify(spring, tmp_path, *asked, NONCE)[0] == 1  # AuditNotRun reaches `main`, which makes it 2


def test_what_her_wallet_holds_stays_hers_when_she_says_yes_again(spring: Spring) -> None:
    calls, ana = spring.ana.gym.app(), spring.ana
    stands = calls.receipts.get(ana.receipt)
    message = evidence_message(parse_terms(stands.terms), renews=stands.signed)
    calls.receipts.renew(ana.receipt, subject=ana.at_gym, evidence=by_wallet(ANA_KEY, message))
    assert [each.token for each in calls.claims.held(ana.at_gym).claims] == [spring.held]


def test_who_takes_something_back_without_the_wallet_changes_no_holder(tmp_path: Path) -> None:
    """Ben's other device may stop, and so narrow; the answers stay what the wallet of his yes presents."""
    with town(tmp_path) as story:
        insurer, gym = story.company("insurer.example"), story.company("gym.example")
        agree(story, insurer, gym)
        ben = link(gym, insurer, at_gym="ben-at-gym", at_insurer="ben-at-ins", town=story)
        give(ben, story, BEN_KEY)
        story.clock.at_s = at("2027-03-01 10:00")
        ben.confirm_membership("2027-03-01 09:00")
        ben.train(story, ANA_MARCH)
        calls, until = gym.app().receipts, [at(f"2027-{month}-01 00:00") for month in ("12", "11")]
        less = calls.narrow(ben.receipt, subject=ben.at_gym, evidence=evidence(), events_until=until[0])
        terms = narrowed(parse_terms(less.terms), events_until_s=until[1])
        other = by_wallet(ANA_KEY, evidence_message(terms, renews=less.signed))
        calls.narrow(ben.receipt, subject=ben.at_gym, evidence=other, events_until=until[1])
        story.go_to("2027-04-16 00:00")
        (held,) = gym.app().claims.held(ben.at_gym).claims
        spring = Spring(story, ben, held.token)
        assert spring.verified(spring.presented(key=BEN_KEY), look_up=False).claim.period == "2027-03"
        with pytest.raises(ClaimRejected, match="signature"):
            spring.verified(spring.presented(key=ANA_KEY), look_up=False)


def test_z_when_ana_stops_what_her_wallet_holds_is_revoked(spring: Spring) -> None:
    """It never left for the insurer; but it is in her hands, and she could show it."""
    spring.ana.gym.app().receipts.withdraw(spring.ana.receipt, subject="ana-at-gym")
    with pytest.raises(ClaimRejected) as error:
        spring.verified(spring.presented())
    assert error.value.code == "claim_revoked"
    assert spring.ana.gym.app().claims.held("ana-at-gym").claims == ()
