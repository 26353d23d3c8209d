"""Next versions of a receipt, at either end: narrowed by the subject at once, or asked for by the recipient and given.

The version in force stands in the receipt's row; the one that is asked for, and those that were superseded, in rows of
their own. A version comes into force by being given again, signed and acknowledged like any giving.

Source: API section 6 (`version`, `previous`), SCENARIOS 2.10.
"""

import json
from typing import Any

from sqlalchemy import insert, select, update

from tallystick import wire
from tallystick_consent.entries import ReceiptBody, receipt_body
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.receipt import Terms, parse_terms
from tallystick_consent.receipts.states import IN_FORCE, ReceiptState
from tallystick_consent.receipts.versions import answers, check_follows, difference, narrows
from tallystick_ledger.encoding import canonical_json
from tallystick_node.errors import no_such_thing
from tallystick_node.flows.receipts.bounds import REQUEST_LIFE_S
from tallystick_node.flows.receipts.rows import change_receipt, row_of_partner, terms_of
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import RECEIPT_VERSIONS, RECEIPTS

MAY_CHANGE = IN_FORCE | {ReceiptState.PAUSED}
"""In these states a receipt may come to have another version."""


def list_versions(node: Node, receipt: str) -> wire.ReceiptVersions:
    """Return every version of a receipt, first to last, each with what it changes.

    Raises:
        NotFound: there is no receipt of that id.
    """
    row = node.row(select(RECEIPTS).where(RECEIPTS.c.id == receipt))
    if row is None:
        raise no_such_thing()
    others = node.rows(select(RECEIPT_VERSIONS).where(RECEIPT_VERSIONS.c.receipt == receipt))
    stored = {each.version: (each.state, parse_terms(json.loads(each.terms))) for each in others}
    stored[row.version] = (row.state, terms_of(row))
    by_digest = {terms.digest(): terms for _, terms in stored.values()}
    return wire.ReceiptVersions(
        versions=tuple(
            wire.ReceiptVersion(
                version=version,
                state=state,
                terms=terms.document(),
                difference=difference(by_digest[terms.previous], terms) if terms.previous in by_digest else (),
            )
            for version, (state, terms) in sorted(stored.items())
        )
    )


def asked_version(transaction: Transaction, receipt: str) -> Terms | None:
    """Return the terms of the next version that was asked for, None where none waits."""
    mine = (RECEIPT_VERSIONS.c.receipt == receipt, RECEIPT_VERSIONS.c.state == ReceiptState.REQUESTED)
    row = transaction.row(select(RECEIPT_VERSIONS.c.terms).where(*mine))
    return None if row is None else parse_terms(json.loads(row.terms))


def ask_version(transaction: Transaction, row: Any, terms: Terms) -> None:
    """Keep and log that a next version is asked for.

    Raises:
        ReceiptRejected: the receipt cannot change now, another version is asked for, or this one does not follow.
    """
    if ReceiptState(row.state) not in MAY_CHANGE:
        raise ReceiptRejected(
            "receipt_state", f"A receipt that is {row.state} gets no next version.", remedy="Ask for a new one."
        )
    if asked_version(transaction, row.id) is not None:
        raise ReceiptRejected(
            "version_forked", "A next version is asked for already.", remedy="Wait until it is answered."
        )
    check_follows(terms_of(row), terms)
    step = receipt_body(terms, ReceiptState.REQUESTED)
    _keep(transaction, terms, ReceiptState.REQUESTED, step)
    transaction.append("receipt", step.document())


def answer_version(transaction: Transaction, terms: Terms, state: ReceiptState) -> None:
    """Keep and log that a version that was asked for will not come: `refused`, or `expired`."""
    transaction.append("receipt", receipt_body(terms, state).document())
    _close(transaction, terms.receipt, state)


def expire_versions(transaction: Transaction, *, rows_max: int) -> int:
    """End what was asked for and not answered; return how many."""
    old = RECEIPT_VERSIONS.c.changed_at_s + REQUEST_LIFE_S <= transaction.now_s
    waiting = (RECEIPT_VERSIONS.c.state == ReceiptState.REQUESTED, old)
    rows = transaction.execute(select(RECEIPT_VERSIONS.c.terms).where(*waiting).limit(rows_max)).all()
    for row in rows:
        answer_version(transaction, parse_terms(json.loads(row.terms)), ReceiptState.EXPIRED)
    return len(rows)


def put_in_force(transaction: Transaction, row: Any, terms: Terms) -> Any:
    """Let a next version take the place of the one in force, or of the request what was given of it; return the
    receipt's row as it is then."""
    if terms.version != row.version:
        _close(transaction, row.id, "superseded")
        mine = (RECEIPT_VERSIONS.c.receipt == row.id, RECEIPT_VERSIONS.c.version == terms.version)
        transaction.execute(RECEIPT_VERSIONS.delete().where(*mine))
        _keep(transaction, terms_of(row), "superseded", None)
    text = canonical_json(terms.document()).decode()
    change_receipt(transaction, row.id, version=terms.version, terms=text, valid_until_s=terms.valid_until_s)
    return transaction.row(select(RECEIPTS).where(RECEIPTS.c.id == row.id))


def require_may_follow(transaction: Transaction, row: Any, terms: Terms) -> None:
    """Refuse a version that its issuer says was given, and that neither narrows nor was asked for.

    Raises:
        ReceiptRejected: likewise, or it does not follow the one in force.
    """
    before = terms_of(row)
    check_follows(before, terms)
    asked = asked_version(transaction, row.id)
    was_asked = asked is not None and answers(asked=asked, given=terms)
    if not was_asked and not narrows(before, terms):
        raise ReceiptRejected(
            "version_widens",
            "A version permits more, or says other, than was asked for.",
            remedy="Give what was asked for, or less.",
        )


def receive_version_refused(
    _node: Node, caller: str, transaction: Transaction, body: wire.PeerVersionRefused
) -> wire.PeerAcknowledged:
    """Take the word that the subject said no to a next version.

    Raises:
        NotFound: none of that number is asked for.
    """
    row = row_of_partner(transaction, body.receipt, partner=caller, role="recipient")
    terms = asked_version(transaction, row.id)
    if terms is None or terms.version != body.version:
        raise no_such_thing()
    answer_version(transaction, terms, ReceiptState.REFUSED)
    return wire.PeerAcknowledged()


def _keep(transaction: Transaction, terms: Terms, state: str, step: ReceiptBody | None) -> None:
    mine = (RECEIPT_VERSIONS.c.receipt == terms.receipt, RECEIPT_VERSIONS.c.version == terms.version)
    transaction.execute(RECEIPT_VERSIONS.delete().where(*mine))  # one of that number that was refused before
    transaction.execute(
        insert(RECEIPT_VERSIONS).values(
            receipt=terms.receipt,
            version=terms.version,
            state=state,
            terms=canonical_json(terms.document()).decode(),
            last_step="" if step is None else step.model_dump_json(),
            changed_at_s=transaction.now_s,
        )
    )


def _close(transaction: Transaction, receipt: str, state: str) -> None:
    mine = (RECEIPT_VERSIONS.c.receipt == receipt, RECEIPT_VERSIONS.c.state == ReceiptState.REQUESTED)
    transaction.execute(update(RECEIPT_VERSIONS).where(*mine).values(state=state))
