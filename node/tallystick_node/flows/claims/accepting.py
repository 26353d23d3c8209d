"""Claims at the recipient: everything is checked, the acceptance is logged, and only then is the claim used.

Source: DESIGN flow 4, SCENARIOS 1.10; the same nullifier again is answered like the first.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import insert, select

from tallystick import wire
from tallystick.descriptor import Descriptor
from tallystick.key_use import keys_for
from tallystick_consent.claims.claim import Claim, verify_claim
from tallystick_consent.claims.jws import unchecked_payload
from tallystick_consent.claims.pairwise import SECRET_SIZE_BYTES, claim_digest, nullifier
from tallystick_consent.decide import Refusal, decide
from tallystick_consent.entries import AcceptanceBody, DisclosureBody, ReceiptBody, parse_body
from tallystick_consent.errors import ClaimRejected
from tallystick_consent.places import host_of_log
from tallystick_consent.program import Program
from tallystick_consent.receipts.receipt import Receipt
from tallystick_consent.receipts.states import ReceiptState
from tallystick_consent.rules import FIRST_ZONE, Heard, read_statement
from tallystick_consent.signed import Acceptance
from tallystick_ledger.books import Transfer, TransferState
from tallystick_ledger.encoding import from_base64url, to_base64url
from tallystick_ledger.entry import parse_entry
from tallystick_ledger.errors import BadInput
from tallystick_ledger.times import CLOCKS_DIFFER_MAX_S
from tallystick_ledger.tlog.proof import InclusionProof, check_proof, parse_proof
from tallystick_node.flows.accounts import book_step, transfer_of
from tallystick_node.flows.claims.retracting import is_overtaken
from tallystick_node.flows.claims.rewards import pay_reward
from tallystick_node.flows.claims.status import require_not_revoked
from tallystick_node.flows.links.rows import link_secret_name
from tallystick_node.flows.programs import known_program, zone_of
from tallystick_node.flows.receipts.duties import keep_answer
from tallystick_node.flows.receipts.ending import finish_settling
from tallystick_node.flows.receipts.rows import change_receipt, receipt_of, terms_of
from tallystick_node.log.transaction import Appended, Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import CLAIMS, LINKS, RECEIPTS


def receive_claim(node: Node, caller: str, transaction: Transaction, body: wire.PeerClaim) -> wire.PeerAcknowledged:
    """Take a partner's claim: check all of it, log the acceptance, pay the reward, and sign.

    One that was taken is answered like the first time, whatever it is worth by now: its issuer never heard of that.

    Raises:
        ClaimRejected: malformed, forged, expired, revoked, for somebody else, or not what its ledger entry says.
        StatusUnavailable: whether it was revoked could not be looked up.
        ProofRejected, SignatureRejected, BadInput: its proof does not hold, or parts are not of their form.
    """
    digest = _digest(body)
    taken = _taken(transaction, digest, caller)
    if taken is not None:
        return wire.PeerAcknowledged(token=taken)
    stapled = stapled_to(node, body, caller, now_s=transaction.now_s)
    keys = stapled.issuer.ed25519("claim")
    claim = verify_claim(body.claim, issuer=caller, audience=node.host, keys=keys, now_s=transaction.now_s)
    receipt, subject = _covering(transaction, claim, caller)
    program = known_program(transaction, node.host, claim.program, claim.version)
    first = _first(transaction, claim)
    if first is not None:  # what its receipt or its link came to since takes nothing back
        _check_logged(node, body, stapled, claim, program, digest)
        return wire.PeerAcknowledged(token=first)
    before = _was_retracted(transaction, claim)
    cover = _cover(receipt, digest, again=before, now_s=transaction.now_s)
    heard = _require_covered(node, claim, program, cover, now_s=transaction.now_s)
    _require_own_nullifier(node, claim)
    _check_logged(node, body, stapled, claim, program, digest)
    came_before = transaction.row(select(CLAIMS.c.digest).where(CLAIMS.c.digest == digest)) is not None
    if came_before or is_overtaken(transaction, digest, issuer=caller):
        raise _rejected("claim_revoked", "A claim was taken back by its issuer, whatever its status says now.")
    require_not_revoked(node, caller, claim.status)
    accepted = transaction.append(
        "acceptance",
        AcceptanceBody(
            receipt=claim.receipt,
            receipt_leaf=cover.leaf,
            issuer=caller,
            purpose=program.purpose,
            rung=program.rung,
            program=program.program,
            program_version=program.version,
            period=claim.period,
            claim=digest,
            nullifier=claim.nullifier,
            log=stapled.log,
            disclosure_leaf=stapled.proof.index,
            key=node.keys.id("receipt"),
        ).document(),
    )
    fee = _paid_fee(transaction, claim) or _owe_fee(transaction, program, caller, cause=accepted.entry.id)
    pay_reward(node, transaction, program, claim, digest=digest, subject=subject, cause=accepted.entry.id)
    token = node.signed(
        Acceptance(
            issuer=caller,
            claim=digest,
            nullifier=claim.nullifier,
            fee=fee.id if fee else "",
            fee_asset=fee.asset if fee else "",
            fee_amount=fee.amount_minor if fee else 0,
            at=transaction.now_s,
        )
    )
    _keep(transaction, claim, body, digest=digest, accepted=accepted, acceptance=token, band=heard.band)
    keep_answer(transaction, terms_of(receipt), digest)
    change_receipt(transaction, claim.receipt, uses=receipt.uses if before else receipt.uses + 1)
    finish_settling(transaction, claim.receipt)
    return wire.PeerAcknowledged(token=token)


def _digest(body: wire.PeerClaim) -> str:
    salt = from_base64url(body.salt)
    if len(salt) != SECRET_SIZE_BYTES:
        raise _rejected("claim_malformed", "A claim's salt is not 32 bytes.")
    return to_base64url(claim_digest(body.claim, salt=salt))


def _taken(transaction: Transaction, digest: str, caller: str) -> str | None:
    """Return what was signed for this very claim, None where it was not taken: its digest says that all was checked."""
    mine = (CLAIMS.c.digest == digest, CLAIMS.c.role == "recipient", CLAIMS.c.partner == caller)
    row = transaction.row(select(CLAIMS.c.acceptance).where(*mine, CLAIMS.c.state == "accepted"))
    return None if row is None else str(row.acceptance)


def _first(transaction: Transaction, claim: Claim) -> str | None:
    """Return what was signed for another claim for the same slot, None where none stands; its nullifier was checked."""
    slot = {"partner": claim.iss, "link": claim.link, "program": claim.program, "period": claim.period}
    mine = select(CLAIMS.c.acceptance).where(CLAIMS.c.nullifier == claim.nullifier, CLAIMS.c.role == "recipient")
    row = transaction.row(mine.filter_by(**slot, state="accepted"))
    return None if row is None else str(row.acceptance)


def _covering(transaction: Transaction, claim: Claim, caller: str) -> tuple[Any, str]:
    """Return the receipt that a claim names, and our customer; a claim about nothing of ours says nothing more."""
    row = transaction.row(
        select(RECEIPTS, LINKS.c.subject)
        .join(LINKS, LINKS.c.id == RECEIPTS.c.link)
        .where(
            RECEIPTS.c.id == claim.receipt,
            RECEIPTS.c.partner == caller,
            RECEIPTS.c.role == "recipient",
            RECEIPTS.c.link == claim.link,
        )
    )
    if row is None:
        raise _rejected("receipt_missing", "A claim names no receipt between us.")
    return row, str(row.subject)


class _Cover(NamedTuple):
    """A receipt as it covers a claim: which entry of ours made it live, and as of when it is looked at."""

    receipt: Receipt
    leaf: Any
    at_s: int


def _cover(row: Any, digest: str, *, again: bool, now_s: int) -> _Cover:
    """Return a receipt as it covers a claim: as it is, or, for one that its ending lists, as it was until then."""
    if row.settles_until_s is not None and digest in ReceiptBody.model_validate_json(row.last_step).deliverable:
        given = replace(receipt_of(row, again=again), state=ReceiptState.GIVEN, acknowledged=True)
        return _Cover(given, row.lived_leaf, row.ended_at_s)
    return _Cover(receipt_of(row, again=again), row.live_leaf, now_s)


def _require_covered(node: Node, claim: Claim, program: Program, cover: _Cover, *, now_s: int) -> Heard:
    """Return what a claim says; refuse one that its receipt does not cover, as the issuer's own node should have."""
    period = program.period(claim.period, zone=zone_of(program))
    asked = program.ask(period, issuer=claim.iss)
    permit = decide(asked, cover.receipt, now_s=cover.at_s)
    if isinstance(permit, Refusal):
        raise _rejected(permit.reasons[0].code, "A claim is not covered by the receipt that it names.")
    if _begins_s(program, claim.period) > cover.at_s + CLOCKS_DIFFER_MAX_S:
        raise _rejected("period_not_covered", "A claim is about a period that began after its receipt had ended.")
    if program.closed_for_all_s(period.name, zone=zone_of(program)) > now_s + CLOCKS_DIFFER_MAX_S:
        raise _rejected("claim_mismatch", "A claim is about a period that has not closed.")
    if claim.aud != node.host:
        raise _rejected("claim_mismatch", "A claim is meant for somebody else.")
    try:
        return read_statement(program.rule, claim.period, claim.answer.statement)
    except BadInput as error:
        raise _rejected("claim_mismatch", "A claim answers another question than its program asks.") from error


def _begins_s(program: Program, period: str) -> int:
    """Return when a period begins for the first one whom it may be about."""
    zone = FIRST_ZONE if program.rule.spelled_out().period.of_home else zone_of(program)
    return program.period(period, zone=zone).start_s


def _require_own_nullifier(node: Node, claim: Claim) -> None:
    """Recompute the nullifier, so that an issuer cannot mint two for one slot."""
    k_link = node.custody.find(link_secret_name(claim.link))
    if k_link is None:
        raise _rejected("receipt_withdrawn", "The link of a claim has ended.")
    named = {"issuer": claim.iss, "recipient": node.host, "program": claim.program, "period": claim.period}
    if claim.nullifier != to_base64url(nullifier(k_link, slot=claim.slot, **named)) or claim.slot != 0:
        raise _rejected("claim_mismatch", "A claim's nullifier is not the one of its link, program, period and slot.")


class _Stapled(NamedTuple):
    """The proof that came with a claim, the log that it says it is against, and its issuer with the keys that count."""

    proof: InclusionProof
    log: str
    issuer: Descriptor


def stapled_to(node: Node, body: wire.PeerClaim, issuer: str, *, now_s: int) -> _Stapled:
    """Return what a claim's proof says of itself, none of it checked yet.

    A claim that waited may be signed by a key that was given up meanwhile: its proof shows that it is older than that.

    Raises:
        ProofMalformed: there is no such proof.
    """
    proof = parse_proof(body.proof.encode())
    origin = proof.checkpoint.split(b"\n", 1)[0].decode(errors="replace")
    known = node.partners.known(issuer)
    return _Stapled(proof, origin, keys_for(known, proof.checkpoint, origin=origin, now_s=now_s))


def _check_logged(
    node: Node, body: wire.PeerClaim, stapled: _Stapled, claim: Claim, program: Program, digest: str
) -> None:
    """Return quietly if the issuer logged this claim before it sent it.

    Raises:
        ClaimRejected: the entry is not of this claim.
        ProofRejected, SignatureRejected, ProofMalformed: the entry is not in the issuer's published log.
    """
    if host_of_log(stapled.log) != claim.iss:
        raise _rejected("claim_mismatch", "A claim's proof is against a log that is not its issuer's.")
    raw = body.entry.encode()
    check_proof(stapled.proof, entry=raw, origin=stapled.log, keys=stapled.issuer.log_keys(stapled.log))
    entry = parse_entry(raw)
    if entry.kind != "disclosure":
        raise _rejected("claim_mismatch", "A claim's proof is of another kind of entry.")
    logged = parse_body(entry.kind, entry.body)
    assert isinstance(logged, DisclosureBody), "the kind says which body it is"
    expected = {
        "receipt": claim.receipt,
        "recipient": node.host,
        "purpose": program.purpose,
        "rung": program.rung,
        "program": claim.program,
        "program_version": claim.version,
        "period": claim.period,
        "claim": digest,
        "nullifier": claim.nullifier,
        "state": "issued",
    }
    if {name: getattr(logged, name) for name in expected} != expected:
        raise _rejected("claim_mismatch", "A claim's ledger entry is of another claim.")


def _was_retracted(transaction: Transaction, claim: Claim) -> bool:
    """Return whether a claim takes the place of one under its receipt that was taken, counted, and retracted."""
    retracted = (CLAIMS.c.role == "recipient", CLAIMS.c.state == "retracted", CLAIMS.c.receipt == claim.receipt)
    mine = select(CLAIMS.c.digest).where(CLAIMS.c.nullifier == claim.nullifier, *retracted)
    return transaction.row(mine.limit(1)) is not None


def _paid_fee(transaction: Transaction, claim: Claim) -> Transfer | None:
    """Return the transfer by which the fee for a slot was paid, where an earlier claim for it was taken, and retracted;
    else None: one slot brings its issuer one fee, however often it is answered, and by whichever version."""
    retracted = (CLAIMS.c.role == "recipient", CLAIMS.c.state == "retracted", CLAIMS.c.nullifier == claim.nullifier)
    rows = transaction.execute(select(CLAIMS.c.acceptance).where(*retracted).order_by(CLAIMS.c.number)).all()
    # Our own signed acceptances, as we keep them: their key may have been given up since.
    fees = (str(unchecked_payload(row.acceptance)["fee"]) for row in rows)
    return next((transfer_of(transaction, fee) for fee in fees if fee), None)


def _owe_fee(transaction: Transaction, program: Program, issuer: str, *, cause: str) -> Transfer | None:
    """Book our half of what the issuer earns for a claim; its half has the same id and terms."""
    if program.fee is None:
        return None
    transfer = Transfer(
        id=transaction.new_id("trf"),
        state=TransferState.POSTED,
        debit=f"expense/fees/{program.program}",
        credit=f"payable/{issuer}",
        asset=program.fee.asset,
        amount_minor=program.fee.amount,
        terms=program.digest(),
        cause=cause,
        counterparty=issuer,
    )
    book_step(transaction, transfer)
    return transfer


def _keep(
    transaction: Transaction,
    claim: Claim,
    body: wire.PeerClaim,
    *,
    digest: str,
    accepted: Appended,
    acceptance: str,
    band: int | None,
) -> None:
    transaction.execute(
        insert(CLAIMS).values(
            digest=digest,
            id=claim.jti,
            role="recipient",
            partner=claim.iss,
            link=claim.link,
            receipt=claim.receipt,
            program=claim.program,
            version=claim.version,
            period=claim.period,
            nullifier=claim.nullifier,
            state="accepted",
            token=body.claim,
            salt=body.salt,
            expires_at_s=claim.exp,
            leaf=accepted.index,
            entry=accepted.entry.id,
            log=transaction.log,
            logged_at_s=transaction.now_s,
            answer=claim.answer.model_dump_json(),
            acceptance=acceptance,
            band=band,
        )
    )


def _rejected(code: str, problem: str) -> ClaimRejected:
    return ClaimRejected(code, problem, remedy="Issue the claim anew, under a live receipt, and log it first.")
