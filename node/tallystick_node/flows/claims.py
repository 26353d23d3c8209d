"""Claims at the issuer: a period closes, the rule is evaluated under a permit, and a true answer is logged, then sent.

A false answer sends nothing, and nothing in the ledger or on the wire tells it from no answer at all. What was decided
is kept for the subject to read, and dies with the receipt.

Source: DESIGN flow 4, CONSTRUCTIONS (between nodes, rules and rewards), SCENARIOS 1.01, 1.03, 1.16.
"""

import json
from typing import Any

from sqlalchemy import insert, select, update

from tallystick import wire
from tallystick_consent.claim import VCT, Answer, Claim, issue_claim
from tallystick_consent.decide import Refusal, decide
from tallystick_consent.entries import DisclosureBody
from tallystick_consent.errors import ClaimRejected
from tallystick_consent.events import JourneyEvent
from tallystick_consent.pairwise import SECRET_SIZE_BYTES, claim_digest, nullifier
from tallystick_consent.program import Program
from tallystick_consent.rules import Evaluation, Period, evaluate
from tallystick_consent.signed import Acceptance, open_object, signed_digest
from tallystick_ledger.books import Transfer, TransferState
from tallystick_ledger.encoding import from_base64url, to_base64url
from tallystick_ledger.errors import PayloadUnavailable
from tallystick_node.flows.accounts import book_step
from tallystick_node.flows.claims_state import last_disclosure, log_disclosure, withhold_claims
from tallystick_node.flows.events import open_permitted
from tallystick_node.flows.links import link_secret_name
from tallystick_node.flows.outgoing import queue_message
from tallystick_node.flows.programs import known_program, zone_of
from tallystick_node.flows.receipts import receipt_of
from tallystick_node.node import Node, no_such_thing
from tallystick_node.tables import ASKS, CLAIMS, DECISIONS, LINKS, MESSAGES, RECEIPTS, TRANSFERS
from tallystick_node.writer import Once, StoredReply, Transaction

DAY_S = 86_400
SLOT = 0
"""Journey 1 pays once a period; programs that pay more often number their slots."""

CLOSE_AGAIN_AFTER_S = 3_600
"""How long a period that could not be evaluated, for want of a key for example, is left alone."""

ASKS_WAITING_MAX = 10_000
"""How many questions of one partner wait at most; more are answered alike, and not kept."""


# Closing a period


def due_receipts(node: Node, *, rows_max: int) -> list[str]:
    """Return receipts with a period that has closed and was not evaluated."""
    due = (RECEIPTS.c.next_close_s.is_not(None)) & (RECEIPTS.c.next_close_s <= node.now_s())
    rows = node.rows(select(RECEIPTS.c.id).where(due).order_by(RECEIPTS.c.next_close_s, RECEIPTS.c.id).limit(rows_max))
    return [row.id for row in rows]


def close_period(node: Node, transaction: Transaction, receipt: str) -> None:
    """Evaluate a receipt's next period, once; answer it if it is true; then look to the period after."""
    row = transaction.row(
        select(RECEIPTS, LINKS.c.subject)
        .join(LINKS, LINKS.c.id == RECEIPTS.c.link)
        .where(RECEIPTS.c.id == receipt, RECEIPTS.c.next_close_s <= transaction.now_s)
    )
    if row is None:
        return
    terms = receipt_of(row).terms
    program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
    period = program.period(row.next_period, zone=zone_of(program))
    _answer(node, transaction, row, program, period)
    following = program.period(_month_after(period.name), zone=zone_of(program))
    more = following.start_s < terms.events_until_s
    transaction.execute(
        update(RECEIPTS)
        .where(RECEIPTS.c.id == receipt)
        .values(next_period=following.name if more else None, next_close_s=following.close_s if more else None)
    )


def put_off_closing(transaction: Transaction, receipt: str) -> None:
    """Try a receipt's period again later: it could not be evaluated, and others must not wait for it."""
    later = {"next_close_s": transaction.now_s + CLOSE_AGAIN_AFTER_S}
    transaction.execute(
        update(RECEIPTS).where(RECEIPTS.c.id == receipt, RECEIPTS.c.next_close_s.is_not(None)).values(**later)
    )


def _answer(node: Node, transaction: Transaction, row: Any, program: Program, period: Period) -> None:
    events: list[JourneyEvent] = []
    for ask in (program.ask(period, issuer=node.host), program.standing_ask(period, issuer=node.host)):
        if ask is None:
            continue
        permit = decide(ask, receipt_of(row), now_s=transaction.now_s)
        if isinstance(permit, Refusal):
            _keep_refusal(transaction, row, program, period.name, permit)
            return
        events += open_permitted(node, transaction, permit, subject=row.subject)
    found = evaluate(program.rule, events, period=period)
    outcome = "issued" if found.satisfied else "not_reached"
    _keep_decision(
        transaction, row, program, period.name, outcome, counted=found.counted, not_counted=found.not_counted
    )
    if found.satisfied:
        _issue(node, transaction, row, program, period, found)


def _issue(
    node: Node,
    transaction: Transaction,
    row: Any,
    program: Program,
    period: Period,
    found: Evaluation,
) -> None:
    """Log a true answer and queue it: the entry is committed before anything can be sent."""
    statement = program.rule.statement(period.name)
    answer = Answer.model_validate({"statement": statement, "value": True, "assurance": found.assurance})
    _issue_claim(node, transaction, row, program, period.name, answer, supersedes="")


def _issue_claim(
    node: Node,
    transaction: Transaction,
    row: Any,
    program: Program,
    period: str,
    answer: Answer,
    *,
    supersedes: str,
) -> None:
    k_link = node.custody.find(link_secret_name(row.link))
    if k_link is None:
        raise PayloadUnavailable(
            "The secret of a link with a live receipt is missing.", remedy="Restore custody from its own backup."
        )
    named = {"issuer": node.host, "recipient": row.partner, "program": program.program, "period": period}
    spent = to_base64url(nullifier(k_link, slot=SLOT, **named))
    standing = select(CLAIMS.c.digest).where(
        CLAIMS.c.nullifier == spent, CLAIMS.c.role == "issuer", CLAIMS.c.state.in_(("issued", "delivered"))
    )
    if transaction.row(standing) is not None:
        return  # the slot is answered; a second claim for it would be one too many
    claim = Claim(
        jti=transaction.new_id("clm"),
        vct=VCT,
        iss=node.host,
        aud=row.partner,
        iat=transaction.now_s,
        exp=transaction.now_s + program.claim_valid_days * DAY_S,
        link=row.link,
        receipt=row.id,
        program=program.program,
        version=program.version,
        period=period,
        slot=SLOT,
        nullifier=spent,
        answer=answer,
    )
    token = issue_claim(
        claim,
        key_id=node.keys.id("claim"),
        private_key=node.keys.ed25519("claim"),
        random_bytes=transaction.random_bytes,
    )
    salt = transaction.random_bytes(SECRET_SIZE_BYTES)
    digest = to_base64url(claim_digest(token, salt=salt))
    appended = log_disclosure(
        transaction,
        DisclosureBody(
            receipt=row.id,
            receipt_leaf=row.live_leaf,
            recipient=row.partner,
            purpose=program.purpose,
            rung=program.rung,
            program=program.program,
            program_version=program.version,
            period=period,
            claim=digest,
            nullifier=spent,
            use=row.uses + 1,
            state="issued",
            supersedes=supersedes,
        ),
    )
    transaction.execute(update(RECEIPTS).where(RECEIPTS.c.id == row.id).values(uses=row.uses + 1))
    transaction.execute(
        insert(CLAIMS).values(
            digest=digest,
            id=claim.jti,
            role="issuer",
            partner=row.partner,
            link=row.link,
            receipt=row.id,
            program=program.program,
            version=program.version,
            period=period,
            nullifier=spent,
            state="issued",
            token=token,
            salt=to_base64url(salt),
            expires_at_s=claim.exp,
            leaf=appended.index,
            answer=answer.model_dump_json(),
            acceptance="",
        )
    )
    queue_message(transaction, "claim.issued", partner=row.partner, about=digest, body=None, receipt=row.id)


# Sending


def claim_message(node: Node, digest: str) -> wire.PeerClaim | None:
    """Return what is sent of a claim, with its proof against the published head; None before that head covers it."""
    row = node.row(select(CLAIMS).where(CLAIMS.c.digest == digest))
    assert row is not None, "a claim is kept before its message is queued"
    proven = node.publisher.prove(row.leaf)
    if proven is None:
        return None
    return wire.PeerClaim(claim=row.token, salt=row.salt, entry=proven.entry, proof=proven.proof)


def claim_accepted(node: Node, transaction: Transaction, digest: str, token: str) -> None:
    """Log that a claim was delivered, with the recipient's signed acceptance, and book our half of the fee.

    Raises:
        SignatureRejected, BadInput, ClaimRejected: not the recipient's acceptance of this claim.
    """
    row = transaction.row(select(CLAIMS).where(CLAIMS.c.digest == digest))
    if row is None or row.state == "delivered":
        return
    acceptance = open_object(token, Acceptance, keys=node.partner(row.partner).ed25519("receipt"))
    program = known_program(transaction, row.partner, row.program, row.version)
    _require_ours(transaction, acceptance, row, program, host=node.host)
    signed = signed_digest(token)
    body = last_disclosure(transaction, digest).model_copy(update={"state": "delivered", "acceptance": signed})
    entry = log_disclosure(transaction, body).entry
    transaction.execute(update(CLAIMS).where(CLAIMS.c.digest == digest).values(state="delivered", acceptance=token))
    booked = select(TRANSFERS.c.id).where(TRANSFERS.c.id == acceptance.fee)
    if program.fee is None or transaction.row(booked) is not None:
        return
    book_step(
        transaction,
        Transfer(
            id=acceptance.fee,
            state=TransferState.POSTED,
            debit=f"receivable/{row.partner}",
            credit=f"income/fees/{program.program}",
            asset=program.fee.asset,
            amount_minor=program.fee.amount,
            terms=program.digest(),
            cause=entry.id,
            counterparty=row.partner,
        ),
    )


def _require_ours(transaction: Transaction, acceptance: Acceptance, row: Any, program: Program, *, host: str) -> None:
    """Refuse an acceptance of anything but this claim, or an earlier one for its nullifier, at the agreed fee.

    A recipient that had taken an earlier claim, and whose answer was lost, answers like the first time.
    """
    ours = transaction.execute(select(CLAIMS.c.digest).where(CLAIMS.c.nullifier == row.nullifier)).all()
    fee = (program.fee.asset, program.fee.amount) if program.fee else ("", 0)
    if (
        acceptance.issuer != host
        or acceptance.nullifier != row.nullifier
        or acceptance.claim not in {each.digest for each in ours}
        or (acceptance.fee_asset, acceptance.fee_amount) != fee
        or (acceptance.fee == "") != (program.fee is None)
    ):
        raise ClaimRejected(
            "claim_mismatch",
            "An acceptance is of another claim, or at another fee.",
            remedy="Accept what was sent, at the fee that was agreed.",
        )


def claim_rejected(transaction: Transaction, digest: str) -> None:
    """Log that a claim will not be delivered: the recipient refused it for good, or its receipt ended on the way."""
    row = transaction.row(select(CLAIMS.c.state).where(CLAIMS.c.digest == digest))
    if row is not None and row.state == "issued":
        withhold_claims(transaction, [digest])


def expire_claims(node: Node, transaction: Transaction, *, rows_max: int) -> int:
    """Replace claims that ran out before they were delivered, with the same nullifier; return how many."""
    rows = transaction.execute(
        select(CLAIMS)
        .where(CLAIMS.c.role == "issuer", CLAIMS.c.state == "issued", CLAIMS.c.expires_at_s <= transaction.now_s)
        .limit(rows_max)
    ).all()
    for row in rows:
        message = (MESSAGES.c.about == row.digest, MESSAGES.c.kind == "claim.issued")
        live = select(RECEIPTS.c.id).where(RECEIPTS.c.id == row.receipt, RECEIPTS.c.state == "given")
        if transaction.row(live) is None:
            # The entry that ended its receipt says all there is to say: it was listed, since it may have arrived.
            transaction.execute(update(CLAIMS).where(CLAIMS.c.digest == row.digest).values(state="expired"))
            continue
        if transaction.row(select(MESSAGES.c.id).where(*message, MESSAGES.c.state == "sending")) is not None:
            continue  # it may be arriving at this moment; the answer, or its absence, decides
        transaction.execute(update(MESSAGES).where(*message, MESSAGES.c.state == "queued").values(state="expired"))
        withhold_claims(transaction, [row.digest])
        transaction.execute(update(CLAIMS).where(CLAIMS.c.digest == row.digest).values(state="expired"))
        _reissue(node, transaction, row)
    return len(rows)


def _reissue(node: Node, transaction: Transaction, expired: Any) -> None:
    row = transaction.row(
        select(RECEIPTS, LINKS.c.subject)
        .join(LINKS, LINKS.c.id == RECEIPTS.c.link)
        .where(RECEIPTS.c.id == expired.receipt)
    )
    assert row is not None, "receipts are never removed before their claims"
    program = known_program(transaction, expired.partner, expired.program, expired.version)
    period = program.period(expired.period, zone=zone_of(program))
    permit = decide(program.ask(period, issuer=node.host), receipt_of(row), now_s=transaction.now_s)
    if isinstance(permit, Refusal):
        _keep_refusal(transaction, row, program, period.name, permit)
        return
    answer = Answer.model_validate_json(expired.answer)
    _issue_claim(node, transaction, row, program, period.name, answer, supersedes=expired.digest)


# Asks


async def ask_claim(node: Node, once: Once, body: wire.AskClaim) -> StoredReply:
    """Ask the issuer of one of our links for its answer on a period.

    Raises:
        NotFound: no link of that id at which this node receives.
    """

    def work(transaction: Transaction) -> wire.Asked:
        link = transaction.row(select(LINKS).where(LINKS.c.id == body.link, LINKS.c.role == "recipient"))
        if link is None:
            raise no_such_thing()
        receipt = transaction.row(
            select(RECEIPTS).where(RECEIPTS.c.link == body.link).order_by(RECEIPTS.c.requested_at_s.desc())
        )
        if receipt is None:
            raise no_such_thing()
        terms = json.loads(receipt.terms)
        asked = wire.PeerAsk(link=body.link, program=link.program, version=terms["program_version"], period=body.period)
        queue_message(transaction, "claim.ask", partner=link.partner, about=body.link, body=asked)
        return wire.Asked()

    return await node.once(once, work, lambda asked, _: StoredReply(202, asked.model_dump_json()))


def receive_ask(_node: Node, caller: str, transaction: Transaction, body: wire.PeerAsk) -> wire.Asked:
    """Keep a partner's question as it came. Nothing is looked up here, so that nothing can be told from the answer."""
    last_place = select(ASKS.c.id).where(ASKS.c.partner == caller).offset(ASKS_WAITING_MAX - 1).limit(1)
    if transaction.row(last_place) is None:
        transaction.execute(
            insert(ASKS).values(
                partner=caller,
                link=body.link,
                program=body.program,
                version=body.version,
                period=body.period,
                received_at_s=transaction.now_s,
            )
        )
    return wire.Asked()


def settle_asks(node: Node, transaction: Transaction, *, rows_max: int) -> int:
    """Decide on questions that wait: a refusal is kept for the subject; a permitted one is answered at its close."""
    rows = transaction.execute(select(ASKS).order_by(ASKS.c.id).limit(rows_max)).all()
    for ask in rows:
        transaction.execute(ASKS.delete().where(ASKS.c.id == ask.id))
        row = transaction.row(
            select(RECEIPTS, LINKS.c.subject)
            .join(LINKS, LINKS.c.id == RECEIPTS.c.link)
            .where(RECEIPTS.c.link == ask.link, RECEIPTS.c.partner == ask.partner, RECEIPTS.c.role == "issuer")
            .order_by(RECEIPTS.c.requested_at_s.desc())
        )
        if row is None:
            continue
        terms = receipt_of(row).terms
        program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
        period = program.period(ask.period, zone=zone_of(program))
        asked = program.ask(period, issuer=node.host)._replace(program=ask.program, program_version=ask.version)
        permit = decide(asked, receipt_of(row), now_s=transaction.now_s)
        if isinstance(permit, Refusal):
            _keep_refusal(transaction, row, program, ask.period, permit)
    return len(rows)


# What the subject and the operator can read


def find_decisions(node: Node, subject: str) -> wire.Decisions:
    """Return what this node decided about one of its customers."""
    rows = node.rows(select(DECISIONS).where(DECISIONS.c.subject == subject).order_by(DECISIONS.c.id))
    return wire.Decisions(
        decisions=tuple(
            wire.Decision(
                program=row.program,
                version=row.version,
                period=row.period,
                partner=row.partner,
                receipt=row.receipt,
                outcome=row.outcome,
                counted=row.counted,
                not_counted=json.loads(row.not_counted),
                reasons=tuple(json.loads(row.reasons)),
                decided_at=row.decided_at_s,
            )
            for row in rows
        )
    )


def list_claims(node: Node, *, limit: int, before: int | None) -> wire.Claims:
    """Return a page of claims, newest first, from before a number on."""
    query = select(CLAIMS).order_by(CLAIMS.c.number.desc()).limit(limit + 1)
    rows = node.rows(query if before is None else query.where(CLAIMS.c.number < before))
    page = rows[:limit]
    return wire.Claims(
        claims=tuple(
            wire.Claim(
                claim=row.id,
                partner=row.partner,
                program=row.program,
                version=row.version,
                period=row.period,
                receipt=row.receipt,
                state=row.state,
                expires_at=row.expires_at_s,
                log_index=row.leaf,
            )
            for row in page
        ),
        has_more=len(rows) > limit,
        next_cursor=to_base64url(str(page[-1].number).encode()) if len(rows) > limit else None,
    )


def cursor_number(cursor: str | None) -> int | None:
    """Return the number that a page's cursor holds.

    Raises:
        NotFound: it is not a cursor of ours.
    """
    if cursor is None:
        return None
    text = from_base64url(cursor)
    if not text.isdigit() or len(text) > 15:
        raise no_such_thing()
    return int(text)


def _keep_refusal(transaction: Transaction, row: Any, program: Program, period: str, refusal: Refusal) -> None:
    reasons = json.dumps([reason._asdict() for reason in refusal.reasons])
    _keep_decision(transaction, row, program, period, "refused", reasons=reasons)


def _keep_decision(
    transaction: Transaction,
    row: Any,
    program: Program,
    period: str,
    outcome: str,
    *,
    counted: int = 0,
    not_counted: dict[str, int] | None = None,
    reasons: str = "[]",
) -> None:
    transaction.execute(
        insert(DECISIONS).values(
            subject=row.subject,
            receipt=row.id,
            partner=row.partner,
            program=program.program,
            version=program.version,
            period=period,
            outcome=outcome,
            counted=counted,
            not_counted=json.dumps(not_counted or {}),
            reasons=reasons,
            decided_at_s=transaction.now_s,
        )
    )


def _month_after(period: str) -> str:
    year, month = int(period[:4]), int(period[5:])
    return f"{year + month // 12:04}-{month % 12 + 1:02}"
