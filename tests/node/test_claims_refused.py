"""A gym that lies: each claim is signed with its real keys and proven in a log it signed, and wrong in one thing.

The truth is told last, and taken; so what refuses each lie is the one thing that is wrong with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hostile import Scene, nothing_changes, partner, refused
from sqlalchemy import insert, select
from town import Company, Membership, consent, evidence, fitness_program, link

from tallystick_consent.claims.claim import VCT
from tallystick_consent.claims.pairwise import claim_digest, nullifier
from tallystick_consent.claims.sdjwt import CREDENTIAL_TYP, issue_sd_jwt, show_only
from tallystick_consent.program import Program, parse_program
from tallystick_consent.signed import Acceptance, Retraction, Withdrawal, open_object
from tallystick_ledger.append import plan_append
from tallystick_ledger.encoding import new_id, to_base64url
from tallystick_ledger.entry import make_entry
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.merkle import Frontier
from tallystick_ledger.tlog.note import sign_note
from tallystick_ledger.tlog.proof import InclusionProof
from tallystick_ledger.tlog.signers import NoteSigner
from tallystick_node.flows.claims.retracting import OVERTAKEN_MAX, forget_overtaken, is_overtaken
from tallystick_node.keys.ring import load_keys
from tallystick_node.storage.tables import ACCOUNTS, CLAIMS, OVERTAKEN, REWARDS

CLAIMS_PATH = "/peer/v1/claims"
PERIOD = "2027-03"
DAY_S = 86_400
SALT = b"s" * 32


@dataclass
class Court:
    """The scene after March has closed, and two people about whom the gym may lie or tell the truth."""

    scene: Scene
    ana: Membership
    ben: Membership
    cleo: Membership

    @property
    def now_s(self) -> int:
        return self.scene.story.clock.at_s


@pytest.fixture(scope="module")
def court(scene: Scene) -> Court:
    """Let March close with nothing recorded: nobody has earned anything."""
    ben, cleo = (
        consent(
            link(scene.gym, scene.insurer, at_gym=f"{n}-at-gym", at_insurer=f"{n}-at-ins", town=scene.story),
            scene.story,
        )
        for n in ("ben", "cleo")
    )
    second = {**fitness_program(issuers=("gym.example", "track.example")), "version": 2}
    scene.insurer.app().programs.publish(second)
    scene.story.go_to("2027-04-16 12:00")
    return Court(scene, scene.ana, ben, cleo)


def program() -> Program:
    return parse_program(fitness_program(issuers=("gym.example", "track.example")))


def slot_of(person: Membership, **changes: Any) -> str:
    """Return the nullifier of March, or of something else."""
    k_link = person.gym.node.custody.find(f"link/{person.link}")
    assert k_link is not None
    named = {"issuer": "gym.example", "recipient": "insurer.example", "program": "ins-fit", "period": PERIOD, "slot": 0}
    return to_base64url(nullifier(k_link, **{**named, **changes}))


def token_of(
    court: Court,
    person: Membership,
    *,
    key: Ed25519PrivateKey | None = None,
    key_id: str | None = None,
    answer: dict[str, Any] | None = None,
    **changes: Any,
) -> tuple[str, dict[str, Any]]:
    """Return a claim about a person's March as the gym signs it, and its content."""
    keys = load_keys(court.scene.gym.folder / "keys")
    content = {
        "jti": f"clm_{'a' * 26}",
        "vct": VCT,
        "iss": "gym.example",
        "aud": "insurer.example",
        "iat": court.now_s,
        "exp": court.now_s + 30 * DAY_S,
        "link": person.link,
        "receipt": person.receipt,
        "program": "ins-fit",
        "version": 1,
        "period": PERIOD,
        "slot": 0,
        "nullifier": slot_of(person),
        **changes,
    }
    truth = {"statement": program().rule.statement(content["period"]), "value": True, "assurance": "turnstile"}
    token = issue_sd_jwt(
        content,
        {"answer": {**truth, **(answer or {})}},
        typ=CREDENTIAL_TYP,
        key_id=key_id or keys.id("claim"),
        private_key=key or keys.ed25519("claim"),
        random_bytes=lambda size: b"r" * size,
    )
    return token, content


def disclosure(content: dict[str, Any], token: str, **changes: Any) -> dict[str, Any]:
    """Return the body of the entry by which the gym logs that it issued a claim."""
    return {
        "receipt": content["receipt"],
        "receipt_leaf": 0,
        "recipient": content["aud"],
        "purpose": program().purpose,
        "rung": "predicate",
        "program": content["program"],
        "program_version": content["version"],
        "period": content["period"],
        "claim": to_base64url(claim_digest(token, salt=SALT)),
        "nullifier": content["nullifier"],
        "use": 1,
        "state": "issued",
        "supersedes": "",
        "acceptance": "",
        **changes,
    }


@dataclass
class Log:
    """How a liar logs: in which tree, under which name and key, and where it says the entry stands."""

    origin: str = "gym.example/log/2027"
    key: Ed25519PrivateKey | None = None
    index: int = 1
    spoil: bool = False
    kind: str = "disclosure"


def proven(court: Court, body: dict[str, Any], log: Log) -> tuple[str, str]:
    """Return an entry, and its proof in a tree of two that the gym signed."""
    entries = [
        make_entry(kind, content, entry_id=new_id("ent", bytes([at] * 16)), blind=bytes(16), at_s=court.now_s).raw
        for at, (kind, content) in enumerate([("opening", {"log": log.origin}), (log.kind, body)])
    ]
    plan = plan_append(Frontier.empty(), entries)
    key = log.key or load_keys(court.scene.gym.folder / "keys").ed25519("log")
    head = Checkpoint(log.origin, plan.after.size, plan.after.root())
    note = sign_note(head.body(), [NoteSigner(log.origin, key)], now_s=court.now_s)
    (hashes,) = plan.prove([1])
    shown = tuple(hashes) if not log.spoil else (bytes(32),)
    return entries[1].decode(), InclusionProof(log.index, shown, note).encode().decode()


def forged(
    court: Court,
    person: Membership,
    *,
    logged: dict[str, Any] | None = None,
    log: Log | None = None,
    edit: Callable[[str], str] | None = None,
    **changes: Any,
) -> dict[str, str]:
    """Return a claim as it is sent: true but for what is given here."""
    token, content = token_of(court, person, **changes)
    shown = edit(token) if edit else token
    entry, proof = proven(court, disclosure(content, shown, **(logged or {})), log or Log())
    return {"claim": shown, "salt": to_base64url(SALT), "entry": entry, "proof": proof}


def send(court: Court, body: dict[str, Any], caller: Company | None = None, **how: Any) -> Any:
    return partner(caller or court.scene.gym, court.scene.insurer, CLAIMS_PATH, body, **how)


def money(court: Court) -> list[Any]:
    node = court.scene.insurer.node
    return [tuple(row) for table in (ACCOUNTS, REWARDS, CLAIMS) for row in node.rows(select(table))]


def key_of(court: Court, host: str, role: Any) -> Ed25519PrivateKey:
    return load_keys(court.scene.story.companies[host].folder / "keys").ed25519(role)


Lie = Callable[[Court], dict[str, Any]]
CLAIM_LIES: dict[str, tuple[str, Lie]] = {
    "for another audience": (
        "audience_mismatch",
        lambda _: {"aud": "track.example", "logged": {"recipient": "insurer.example"}},
    ),
    "for several audiences": (
        "audience_mismatch",
        lambda _: {"aud": ["insurer.example"], "logged": {"recipient": "insurer.example"}},
    ),
    "expired": ("claim_expired", lambda court: {"exp": court.now_s - 60}),
    "from the future": ("claim_not_yet_valid", lambda court: {"iat": court.now_s + 61}),
    "by another issuer": ("claim_mismatch", lambda _: {"iss": "track.example"}),
    "signed by another partner": ("signature_invalid", lambda court: {"key": key_of(court, "track.example", "claim")}),
    "signed by a key of another role": (
        "signature_invalid",
        lambda court: {"key": key_of(court, "gym.example", "receipt")},
    ),
    "signed by a key nobody knows": ("signature_invalid", lambda _: {"key_id": "claim-00000000"}),
    "under a receipt of another person": ("receipt_missing", lambda court: {"receipt": court.cleo.receipt}),
    "about the link of another person": ("receipt_missing", lambda court: {"link": court.cleo.link}),
    "under a receipt that there is not": ("receipt_missing", lambda _: {"receipt": f"rcp_{'b' * 26}"}),
    "for another version of the program": ("program_mismatch", lambda _: {"version": 2}),
    "for a program that there is not": ("not_found", lambda _: {"version": 3}),
    "for a month before the receipt": (
        "period_not_covered",
        lambda court: {"period": "2026-12", "nullifier": slot_of(court.ana, period="2026-12")},
    ),
    "for a month that there is not": (
        "invalid_input",
        lambda court: {
            "period": "2027-13",
            "nullifier": slot_of(court.ana, period="2027-13"),
            "logged": {"period": PERIOD},
        },
    ),
    "that says something else": ("claim_mismatch", lambda _: {"answer": {"statement": "Trained on every day."}}),
    "that says no": ("claim_malformed", lambda _: {"answer": {"value": False}}),
    "that says one": ("claim_malformed", lambda _: {"answer": {"value": 1}}),
    "that says how often": ("claim_malformed", lambda _: {"answer": {"count": 13}}),
    "with a member too many": ("claim_malformed", lambda _: {"subject": "x"}),
    "with the nullifier of another slot": ("claim_mismatch", lambda court: {"nullifier": slot_of(court.ana, slot=1)}),
    "for a second slot": (
        "claim_mismatch",
        lambda court: {"slot": 1, "nullifier": slot_of(court.ana, slot=1)},
    ),
    "for slot false": ("claim_malformed", lambda _: {"slot": False}),
    "with a nullifier of its own": ("claim_mismatch", lambda _: {"nullifier": "A" * 43}),
    "with its answer held back": ("claim_malformed", lambda _: {"edit": lambda token: show_only(token, names=())}),
    "without its last tilde": ("key_binding_unexpected", lambda _: {"edit": lambda token: token[:-1]}),
    "with another answer put in": (
        "claim_malformed",
        lambda _: {
            "edit": lambda token: (
                token.split("~")[0] + "~" + to_base64url(b'["AAAAAAAAAAAAAAAAAAAAAA","answer",1]') + "~"
            )
        },
    ),
    "with its signature cut": ("signature_invalid", lambda _: {"edit": lambda token: _cut(token)}),
}


def _cut(token: str) -> str:
    signed, rest = token.split("~", 1)
    head, payload, _ = signed.split(".")
    return f"{head}.{payload}.{'A' * 86}~{rest}"


@pytest.mark.parametrize("lie", CLAIM_LIES, ids=list(CLAIM_LIES))
def test_a_claim_is_refused(court: Court, lie: str) -> None:
    code, changes = CLAIM_LIES[lie]
    body = forged(court, court.ana, **changes(court))
    with nothing_changes(court.scene.insurer):
        refused(send(court, body), 404 if code == "not_found" else 422, code)


LOGGED_LIES: dict[str, Any] = {
    "receipt": f"rcp_{'b' * 26}",
    "recipient": "track.example",
    "purpose": "dpv:Marketing",
    "program": "ins-run",
    "program_version": 2,
    "period": "2027-02",
    "claim": "A" * 43,
    "nullifier": "A" * 43,
    "state": "withheld",
}


@pytest.mark.parametrize("member", LOGGED_LIES)
def test_a_claim_whose_entry_says_something_else_is_refused(court: Court, member: str) -> None:
    body = forged(court, court.ana, logged={member: LOGGED_LIES[member]})
    with nothing_changes(court.scene.insurer):
        refused(send(court, body), 422, "claim_mismatch")


def test_a_claim_whose_entry_names_another_rung_is_refused(court: Court) -> None:
    body = forged(court, court.ben, logged={"rung": "raw"})
    with nothing_changes(court.scene.insurer):
        refused(send(court, body), 422, "claim_mismatch")


def test_a_claim_for_a_month_that_has_not_closed_is_refused(court: Court) -> None:
    """Else a gym could have a year of rewards paid in April."""
    early = forged(court, court.ben, period="2027-05", nullifier=slot_of(court.ben, period="2027-05"))
    with nothing_changes(court.scene.insurer):
        assert send(court, early).status_code == 422


@pytest.mark.parametrize("origin", ["gym.example/log/shadow", "gym.example/log/2027/2", "gym.example/log/"])
def test_a_claim_proven_in_a_shadow_log_is_refused(court: Court, origin: str) -> None:
    """A log that no auditor is told of proves nothing, though the gym's own key signs it."""
    body = forged(court, court.ana, log=Log(origin))
    with nothing_changes(court.scene.insurer):
        answer = send(court, body)
        refused(answer, 422, answer.json()["code"])


PROOF_LIES: dict[str, tuple[int, str, Callable[[Court], Log]]] = {
    "of another tree": (422, "proof_rejected", lambda _: Log(spoil=True)),
    "of another place in the tree": (422, "proof_rejected", lambda _: Log(index=0)),
    "of a place outside the tree": (422, "proof_rejected", lambda _: Log(index=2**62)),
    "of the log of another partner": (
        422,
        "claim_mismatch",
        lambda court: Log("track.example/log/2027", key_of(court, "track.example", "log")),
    ),
    "of a log whose name begins like the gym's": (422, "claim_mismatch", lambda _: Log("gym.example.org/log/2027")),
    "signed by another key of the gym": (
        401,
        "signature_invalid",
        lambda court: Log(key=key_of(court, "gym.example", "witness")),
    ),
    "signed by another partner": (
        401,
        "signature_invalid",
        lambda court: Log(key=key_of(court, "track.example", "log")),
    ),
}


@pytest.mark.parametrize("lie", PROOF_LIES, ids=list(PROOF_LIES))
def test_a_claim_with_a_proof_is_refused(court: Court, lie: str) -> None:
    status, code, log = PROOF_LIES[lie]
    body = forged(court, court.ana, log=log(court))
    with nothing_changes(court.scene.insurer):
        refused(send(court, body), status, code)


def test_a_claim_whose_entry_is_of_another_kind_is_refused(court: Court) -> None:
    """The bytes of the body are those of a disclosure, and only the envelope says otherwise."""
    body = forged(court, court.ana, log=Log(kind="acceptance"))
    with nothing_changes(court.scene.insurer):
        refused(send(court, body), 422, "claim_mismatch")


SPOILED: dict[str, dict[str, Any]] = {
    "no claim": {"claim": ""},
    "a claim that is no token": {"claim": "x"},
    "tildes": {"claim": "~" * 100},
    "a claim of 64 KiB": {"claim": "a" * 65_536},
    "no salt": {"salt": ""},
    "a salt that is not canonical": {"salt": "A" * 42 + "B"},
    "no entry": {"entry": ""},
    "an entry that is no JSON": {"entry": "disclosure"},
    "an entry one byte too large": {"entry": "a" * 65_536},
    "no proof": {"proof": ""},
    "a proof of nothing": {"proof": "c2sp.org/tlog-proof@v1\nindex 0\n\n"},
    "a proof of nonsense": {"proof": "c2sp.org/tlog-proof@v1\nindex 0\n\n\x00\n\u2028\n"},
    "a proof of many hashes": {"proof": "c2sp.org/tlog-proof@v1\nindex 0\n" + ("A" * 43 + "=\n") * 64 + "\nx\n"},
    "a proof with a long index": {"proof": f"c2sp.org/tlog-proof@v1\nindex {'9' * 5_000}\n\nx\n"},
    "a proof with Arabic digits": {"proof": "c2sp.org/tlog-proof@v1\nindex \u0661\n\nx\n"},
    "a proof that is a list": {"proof": []},
    "a member too many": {"more": 1},
}


@pytest.mark.parametrize("spoiled", SPOILED, ids=list(SPOILED))
def test_a_claim_sent_in_pieces_that_are_none_is_refused(court: Court, spoiled: str) -> None:
    body = {**forged(court, court.ana), **SPOILED[spoiled]}
    with nothing_changes(court.scene.insurer):
        answer = send(court, body)
        refused(answer, 422, answer.json()["code"])


def test_an_entry_of_another_claim_is_refused(court: Court) -> None:
    """Ben's claim is true and logged; Ana's is sent with the entry and the proof of his."""
    ana, ben = forged(court, court.ana), forged(court, court.ben)
    with nothing_changes(court.scene.insurer):
        refused(send(court, {**ana, "entry": ben["entry"], "proof": ben["proof"]}), 422, "claim_mismatch")


def test_another_salt_names_another_claim(court: Court) -> None:
    body = {**forged(court, court.ana), "salt": to_base64url(b"t" * 32)}
    with nothing_changes(court.scene.insurer):
        refused(send(court, body), 422, "claim_mismatch")


def test_a_true_claim_is_not_taken_from_another_partner(court: Court) -> None:
    with nothing_changes(court.scene.insurer):
        refused(send(court, forged(court, court.ana), caller=court.scene.track), 422, "signature_invalid")


def test_a_partner_cannot_claim_under_the_receipt_of_another(court: Court) -> None:
    """The track signs, numbers and logs as itself: only the receipt and the link are the gym's."""
    keys = load_keys(court.scene.track.folder / "keys")
    body = forged(
        court,
        court.ana,
        iss="track.example",
        key=keys.ed25519("claim"),
        key_id=keys.id("claim"),
        nullifier=slot_of(court.ana, issuer="track.example"),
        log=Log("track.example/log/2027", keys.ed25519("log")),
    )
    with nothing_changes(court.scene.insurer):
        refused(send(court, body, caller=court.scene.track), 422, "receipt_missing")


def test_a_claim_under_a_receipt_that_was_never_given_is_refused(court: Court) -> None:
    scene = court.scene
    dov = link(scene.gym, scene.insurer, at_gym="dov-at-gym", at_insurer="dov-at-ins", town=scene.story)
    dov.receipt = scene.insurer.app().receipts.request(dov.link).receipt
    with nothing_changes(scene.insurer):
        refused(send(court, forged(court, dov)), 422, "receipt_not_given")


def test_a_claim_whose_retraction_came_before_it_is_refused_for_good(court: Court) -> None:
    """Its request was held up on the way; the insurer's copy of the status list is from before the retraction."""
    scene = court.scene
    zoe = link(scene.gym, scene.insurer, at_gym="zoe-at-gym", at_insurer="zoe-at-ins", town=scene.story)
    zoe.receipt = scene.insurer.app().receipts.request(zoe.link, events_from=court.now_s - 60 * DAY_S).receipt
    scene.story.settle()
    scene.gym.app().receipts.give(zoe.receipt, subject=zoe.at_gym, evidence=evidence())
    scene.story.settle()
    late = forged(court, zoe)
    said = Retraction(
        recipient="insurer.example",
        receipt=zoe.receipt,
        claim=to_base64url(claim_digest(late["claim"], salt=SALT)),
        nullifier=slot_of(zoe),
        at=court.now_s,
    )
    token = {"token": scene.gym.node.signed(said)}
    for _ in range(2):
        assert partner(scene.gym, scene.insurer, f"{CLAIMS_PATH}/revoked", token).status_code == 200
    with nothing_changes(scene.insurer):
        refused(send(court, late), 422, "claim_revoked")
    scene.insurer.node.writer.write(forget_overtaken)
    with nothing_changes(scene.insurer):
        refused(send(court, late), 422, "claim_revoked")


def test_what_a_partner_says_of_claims_that_never_came_is_its_own_and_bounded(court: Court) -> None:
    """The track has read in the gym's log what a claim is called there, and says that it stands no longer."""
    scene = court.scene
    mia = link(scene.track, scene.insurer, at_gym="mia-at-track", at_insurer="mia-at-ins", town=scene.story)
    receipt = scene.insurer.app().receipts.request(mia.link).receipt

    def take_back(claim: str) -> Any:
        said = {"recipient": "insurer.example", "receipt": receipt, "nullifier": slot_of(court.ana)}
        token = scene.track.node.signed(Retraction(**said, claim=claim, at=court.now_s))
        return partner(scene.track, scene.insurer, f"{CLAIMS_PATH}/revoked", {"token": token})

    def overtaken(issuer: str) -> bool:
        writer = scene.insurer.node.writer
        return writer.write(lambda transaction: is_overtaken(transaction, gyms, issuer=issuer)).value

    gyms = to_base64url(sha256(b"a claim of the gym's").digest())
    assert take_back(gyms).status_code == 200
    assert (overtaken("track.example"), overtaken("gym.example")) == (True, False)
    more = [
        {"partner": "track.example", "receipt": receipt, "claim": str(number), "at_s": court.now_s}
        for number in range(OVERTAKEN_MAX - 1)
    ]
    scene.insurer.node.writer.write(lambda transaction: transaction.execute(insert(OVERTAKEN).values(more)))
    with nothing_changes(scene.insurer):
        refused(take_back(to_base64url(sha256(b"another").digest())), 409, "limit_reached")
    assert take_back(gyms).status_code == 200


def test_a_claim_that_a_withdrawal_lists_about_a_month_to_come_is_refused(court: Court) -> None:
    """Else a gym could list a year of answers in its customer's withdrawal, and go on telling after it."""
    scene = court.scene
    eve = consent(
        link(scene.gym, scene.insurer, at_gym="eve-at-gym", at_insurer="eve-at-ins", town=scene.story), scene.story
    )
    later = forged(court, eve, period="2027-05", nullifier=slot_of(eve, period="2027-05"))
    stopped = Withdrawal(
        receipt=eve.receipt,
        version=1,
        earned="settle_earned",
        deliverable=(to_base64url(claim_digest(later["claim"], salt=SALT)),),
        deliverable_until=court.now_s + 90 * DAY_S,
        at=court.now_s,
    )
    said = {"token": scene.gym.node.signed(stopped)}
    assert partner(scene.gym, scene.insurer, "/peer/v1/receipts/withdrawn", said).status_code == 200
    with nothing_changes(scene.insurer):
        refused(send(court, later), 422, "period_not_covered")


def test_a_claim_under_a_withdrawn_receipt_is_refused(court: Court) -> None:
    body = forged(court, court.cleo)
    court.scene.gym.app().receipts.withdraw(court.cleo.receipt, subject=court.cleo.at_gym)
    court.scene.story.settle()
    with nothing_changes(court.scene.insurer):
        refused(send(court, body), 422, "receipt_withdrawn")


def test_none_of_these_moved_any_money(court: Court) -> None:
    """Runs after all of the above."""
    paid = court.scene.insurer.app().rewards.find("ana-at-ins").rewards
    assert paid == ()


def test_the_truth_is_taken_and_paid_once_however_often_it_is_told(court: Court) -> None:
    """The same claim, signed as above and spoiled in nothing: else the lies would prove nothing."""
    told = forged(court, court.ana)
    first = send(court, told)
    assert first.status_code == 200, first.text
    acceptance = open_object(
        first.json()["token"], Acceptance, keys=court.scene.gym.node.partners.live("insurer.example").ed25519("receipt")
    )
    assert (acceptance.issuer, acceptance.nullifier) == ("gym.example", slot_of(court.ana))
    (reward,) = court.scene.insurer.app().rewards.find("ana-at-ins").rewards
    assert (reward.amount, reward.state, reward.period) == (2000, "posted", PERIOD)
    before = money(court)
    again = send(court, told)
    other = send(court, forged(court, court.ana, jti=f"clm_{'b' * 26}", exp=court.now_s + DAY_S))
    assert (again.json(), other.json()) == (first.json(), first.json())
    assert money(court) == before


def test_what_was_taken_is_answered_alike_after_its_receipt_ended_and_it_ran_out(court: Court) -> None:
    """The gym never heard of it: what came in between takes nothing back, neither the answer nor its fee."""
    scene, told = court.scene, forged(court, court.ana)
    other = forged(court, court.ana, jti=f"clm_{'c' * 26}", exp=court.now_s + DAY_S)
    first = send(court, told)
    assert first.status_code == 200, first.text
    scene.gym.app().receipts.withdraw(court.ana.receipt, subject=court.ana.at_gym)
    scene.story.settle()
    before = money(court)
    assert [send(court, each).json() for each in (told, other)] == [first.json(), first.json()]
    scene.story.clock.at_s += 40 * DAY_S
    assert send(court, told).json() == first.json()
    refused(send(court, other), 422, "claim_expired")
    refused(send(court, told, caller=scene.track), 422, "signature_invalid")
    assert money(court) == before
