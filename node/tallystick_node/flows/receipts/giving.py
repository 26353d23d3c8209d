"""Receipts at the issuer, where somebody says yes: to a request, to a next version, or once more.

Whoever may say yes for the subject does, and how that was seen stands in the signed receipt. Of several holders all
but the last approve first; an approval is of exactly what is given, these terms after that yes, and of nothing else.

Source: DESIGN flow 3, CONSTRUCTIONS (keys), SCENARIOS 1.14, 1.15, 2.10 and 3.17.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tallystick import wire
from tallystick_consent.entries import receipt_body
from tallystick_consent.receipts.evidence import Evidence, yes_digest
from tallystick_consent.receipts.receipt import Terms
from tallystick_consent.receipts.states import ReceiptState, check_transition
from tallystick_consent.receipts.versions import check_follows, narrowed, picked
from tallystick_consent.signed import GivenReceipt, RenewedReceipt, signed_digest
from tallystick_ledger.times import DAY_S
from tallystick_node.errors import no_such_thing
from tallystick_node.flows.claims.narrowing import take_back_claims
from tallystick_node.flows.claims.wallet import bind_wallet_key
from tallystick_node.flows.outgoing import on_its_way
from tallystick_node.flows.people.acts import approvals_of, seen
from tallystick_node.flows.people.standings import require_giver, require_holder, require_stopper
from tallystick_node.flows.programs import known_program
from tallystick_node.flows.receipts.bounds import require_within_receipts
from tallystick_node.flows.receipts.resources import resources_named
from tallystick_node.flows.receipts.rows import NOT_STOPPED, change_receipt, last_yes, row_of_subject, stopped, terms_of
from tallystick_node.flows.receipts.showing import shown_once
from tallystick_node.flows.receipts.steps import log_receipt, tell_partner
from tallystick_node.flows.receipts.versions import asked_version, put_in_force
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node

_KINDS: dict[wire.YesStep, str] = {"give": "give", "renew": "renew", "give_version": "give"}
"""What the sealed record of each yes is called."""


class _ToGive(NamedTuple):
    """What is to be said yes to.

    Attributes:
        row: the receipt's, with the subject of its link.
        terms: what it would permit.
        state: what it would become.
        renews: digest of the signed yes that this one follows; "" for the first.
    """

    row: Any
    terms: Terms
    state: ReceiptState
    renews: str

    @property
    def digest(self) -> str:
        """What an approval of exactly this names."""
        return yes_digest(self.terms, renews=self.renews)


async def give_receipt(node: Node, once: Once, receipt: str, body: wire.GiveReceipt, *, app: str) -> StoredReply:
    """The subject gives consent: sign the receipt and send it for acknowledgement.

    Args:
        app: the name of the key that vouches for who is logged in; it stands in the evidence.

    Raises:
        NotFound: no such request for this subject.
        ReceiptRejected: answered already, too late, by somebody who may not, or a wallet signature that is not over it.
        RulesTellTooMuch: beside the subject's other receipts it would tell that company more than they permit (P17).
    """
    return await _say_yes(node, once, receipt, body, step="give", app=app)


async def renew_receipt(node: Node, once: Once, receipt: str, body: wire.RenewReceipt, *, app: str) -> StoredReply:
    """The subject says yes again: what was paused goes on once the recipient has signed for it.

    Args:
        app: the name of the key that vouches for who is logged in; it stands in the evidence.

    Raises:
        NotFound: no such receipt of this subject.
        ReceiptRejected: it cannot be renewed, by somebody who may not, or a wallet signature that is not over it.
    """
    return await _say_yes(node, once, receipt, body, step="renew", app=app)


async def give_version(node: Node, once: Once, receipt: str, body: wire.GiveReceipt, *, app: str) -> StoredReply:
    """The subject gives the next version that the recipient asked for.

    Args:
        app: the name of the key that vouches for who is logged in; it stands in the evidence.

    Raises:
        NotFound: none is asked for, of this subject.
        ReceiptRejected: it cannot be given now, by somebody who may not, or a wallet signature that is not over it.
    """
    return await _say_yes(node, once, receipt, body, step="give_version", app=app)


async def approve_receipt(node: Node, once: Once, receipt: str, body: wire.ApproveReceipt, *, app: str) -> StoredReply:
    """One of several holders says yes; the receipt stays as it is until the last one gives it.

    Raises:
        NotFound: nothing that this subject could say yes to.
        ReceiptRejected: answered already, or by somebody who is no holder.
    """

    def work(transaction: Transaction) -> str:
        asked = _to_give(node, transaction, receipt, body.subject, body.step, body.resources)
        require_holder(transaction, asked.terms, subject=body.subject, by=body.by, app=app)
        if body.by not in approvals_of(transaction, receipt, yes_to=asked.digest):
            seen(
                node,
                transaction,
                asked.terms,
                body.told,
                kind="approve",
                subject=body.subject,
                app=app,
                by=body.by,
                renews=asked.renews,
            )
        return receipt

    return await shown_once(node, once, work)


async def narrow_receipt(node: Node, once: Once, receipt: str, body: wire.NarrowReceipt, *, app: str) -> StoredReply:
    """The subject takes something back: a next version that permits less, at once, whoever asked for what.

    Any one may who may stop, since that is what it does in part; so it confirms nothing either. What is paused goes on
    by it: then it takes who may give, and of several holders, who would approve a renewal, no one alone.

    Args:
        app: the name of the key that vouches for who is logged in; it stands in the evidence.

    Raises:
        NotFound: no such receipt of this subject.
        ReceiptRejected: it is not in force or paused, nothing less would be permitted, or nothing would be left, or by
            somebody who may not.
    """

    def work(transaction: Transaction) -> str:
        row = row_of_subject(transaction, receipt, body.subject)
        check_transition(ReceiptState(row.state), ReceiptState.RENEWED)
        before = terms_of(row)
        terms = narrowed(
            before,
            without_classes=frozenset(body.without_classes),
            without_resources=frozenset(
                each.id for each in resources_named(node, before, body.without_resources) or ()
            ),
            resources=resources_named(node, before, body.resources),
            rung=body.rung,
            events_until_s=body.events_until,
        )
        goes_on = row.state == ReceiptState.PAUSED
        if goes_on:
            require_giver(transaction, terms, subject=body.subject, by=body.by, approved_by=frozenset(), app=app)
        else:
            require_stopper(transaction, subject=body.subject, by=body.by)
        less = _ToGive(row, terms, ReceiptState.RENEWED, last_yes(row))
        _give(node, transaction, less, _seen(node, transaction, less, body, kind="narrow", app=app), confirms=goes_on)
        return receipt

    return await shown_once(node, once, work)


async def _say_yes(
    node: Node,
    once: Once,
    receipt: str,
    body: wire.GiveReceipt | wire.RenewReceipt,
    *,
    step: wire.YesStep,
    app: str,
) -> StoredReply:
    resources = body.resources if isinstance(body, wire.GiveReceipt) else None

    def work(transaction: Transaction) -> str:
        asked = _to_give(node, transaction, receipt, body.subject, step, resources)
        terms, approved = asked.terms, approvals_of(transaction, receipt, yes_to=asked.digest)
        require_giver(transaction, terms, subject=body.subject, by=body.by, approved_by=frozenset(approved), app=app)
        if step == "give":
            program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
            require_within_receipts(transaction, program, link=asked.row.link)
        others = tuple(each for who, each in approved.items() if who != body.by)
        evidence = _seen(node, transaction, asked, body, kind=_KINDS[step], app=app)
        _give(node, transaction, asked, evidence.model_copy(update={"approvals": others}))
        return receipt

    return await shown_once(node, once, work)


def _to_give(
    node: Node,
    transaction: Transaction,
    receipt: str,
    subject: str,
    step: wire.YesStep,
    named: Sequence[wire.NamedResource] | None,
) -> _ToGive:
    """Return what a step is to say yes to, as it is now.

    Args:
        named: the resources that the subject picks; None for all that was asked about.

    Raises:
        NotFound, ReceiptRejected: nothing of this subject, or not now.
    """
    row = row_of_subject(transaction, receipt, subject)
    state = ReceiptState.GIVEN if step == "give" else ReceiptState.RENEWED
    terms: Terms | None = terms_of(row)
    if step == "give_version":
        terms = asked_version(transaction, receipt)
    if terms is None:
        raise no_such_thing()
    check_transition(ReceiptState(row.state), state)
    if step == "give_version":
        check_follows(terms_of(row), terms)
    resources = resources_named(node, terms, named)
    if resources is not None:
        terms = picked(terms, resources)
    return _ToGive(row, terms, state, last_yes(row))


def _seen(
    node: Node,
    transaction: Transaction,
    asked: _ToGive,
    body: wire.GiveReceipt | wire.RenewReceipt | wire.NarrowReceipt,
    *,
    kind: str,
    app: str,
) -> Evidence:
    return seen(
        node,
        transaction,
        asked.terms,
        body.told,
        kind=kind,
        subject=body.subject,
        app=app,
        by=body.by,
        renews=asked.renews,
    )


def _give(node: Node, transaction: Transaction, given: _ToGive, evidence: Evidence, *, confirms: bool = True) -> None:
    """Sign what the subject says yes to, and send it: nothing leaves before it is acknowledged.

    Args:
        evidence: of that yes, as `seen` has checked it.
        confirms: whether this is a yes to all that the receipt permits, from which the time runs to the next, and
            whose wallet presents the answers: who takes something back, and may do no more, changes neither.
    """
    row, terms, state, at_s = given.row, given.terms, given.state, transaction.now_s
    bind_wallet_key(transaction, evidence, link=row.link)
    listed, days = tuple(on_its_way(transaction, row.id)), terms.limits.reconfirm_days
    if terms.version != row.version:
        take_back_claims(node, transaction, row, terms)
    if terms != terms_of(row):
        put_in_force(transaction, row, terms)
    if state is ReceiptState.GIVEN:
        token = node.signed(GivenReceipt(terms=terms, evidence=evidence, at=at_s))
    else:
        token = node.signed(RenewedReceipt(terms=terms, evidence=evidence, renews=given.renews, at=at_s))
    log_receipt(
        transaction,
        receipt_body(terms, state, grade=evidence.grade, signed=signed_digest(token), deliverable=listed),
    )
    confirm_by_s, yes = row.confirm_by_s, row.evidence
    if confirms:
        confirm_by_s, yes = None if days is None else at_s + days * DAY_S, evidence.model_dump_json()
    change_receipt(
        transaction,
        row.id,
        state=state,
        **stopped(row),
        evidence=yes,
        signed=token,
        **NOT_STOPPED,
        unacknowledged_since_s=at_s,
        confirm_by_s=confirm_by_s,
    )
    tell_partner(transaction, f"receipt.{state}", row, wire.PeerSigned(token=token))
