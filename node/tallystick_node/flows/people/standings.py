"""Who speaks for whom, as this company has it on record, and what that lets a receipt be.

Nothing here crosses: a partner's request is taken alike whoever its subject is, and a refusal is told to our own app.

Source: SCENARIOS 1.14, 1.15, 3.17; `tallystick_consent.receipts.authority` has the rules.
"""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import bindparam, delete, insert, select

from tallystick import wire
from tallystick_consent.decide import Reason, Refusal
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.authority import Standing, check_giving, check_speaker, check_stopper, is_covered
from tallystick_consent.receipts.receipt import Terms, parse_terms
from tallystick_ledger.encoding import canonical_json
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import STANDINGS

# Built once: it is asked for every event.
_FIND = select(STANDINGS).where(STANDINGS.c.subject == bindparam("subject"), STANDINGS.c.kind != "own")

_GUARDIANS = '"guardian"'
"""Stands in the terms of every receipt that a guardian gives, so that those of others need not be read."""

NEEDS_GUARDIAN = Refusal((Reason("guardian_missing", "an answer under a receipt that a guardian has given"),))
"""Why nothing is answered about a minor under its own receipt."""

NEEDS_OWN = Refusal((Reason("guardian_ended", "an answer under a receipt that the subject itself has given"),))
"""Why nothing is answered under a guardian's receipt about one who speaks for itself by now."""


async def record_standing(node: Node, once: Once, body: wire.RecordStanding, *, app: str) -> StoredReply:
    """Put on record who speaks for a customer.

    Args:
        app: the name of the key that says so; no yes for this customer is taken from it.

    Raises:
        PayloadErased: the customer was erased.
    """

    def work(transaction: Transaction) -> wire.Standing:
        node.secrets.require_not_erased(body.subject)
        transaction.subject = body.subject
        transaction.execute(delete(STANDINGS).where(STANDINGS.c.subject == body.subject))
        transaction.execute(
            insert(STANDINGS).values(
                subject=body.subject,
                kind=body.kind,
                speakers=canonical_json(sorted(body.speakers)).decode(),
                of_age_from_s=body.of_age_from,
                needed=body.needed,
                recorded_at_s=transaction.now_s,
                recorded_by=app,
            )
        )
        return wire.Standing.model_validate(body.model_dump(exclude={"subject"}))

    return await node.once(once, work, lambda standing, _: StoredReply(200, standing.model_dump_json()))


def find_standing(node: Node, subject: str) -> wire.Standing:
    """Return who speaks for a customer."""
    row = node.row(select(STANDINGS).where(STANDINGS.c.subject == subject))
    if row is None:
        return wire.Standing(kind="own")
    speakers = tuple(json.loads(row.speakers))
    return wire.Standing(kind=row.kind, speakers=speakers, of_age_from=row.of_age_from_s, needed=row.needed)


def require_giver(
    transaction: Transaction, terms: Terms, *, subject: str, by: str | None, approved_by: frozenset[str], app: str
) -> None:
    """Refuse a yes that is not for `by` to say, or not on the authority or for the time that the receipt names.

    Args:
        approved_by: of joint holders, who said yes before.
        app: the name of the key that vouches for who says it.

    Raises:
        ReceiptRejected: as `check_giving` says, or from the app that put on record who may say it.
    """
    _require_another_app(transaction, subject=subject, app=app)
    check_giving(
        terms.authority,
        standing_of(transaction, subject),
        by=by,
        approved_by=approved_by,
        ends_at_s=max(terms.events_until_s, terms.valid_until_s),
        now_s=transaction.now_s,
    )


def require_holder(transaction: Transaction, terms: Terms, *, subject: str, by: str, app: str) -> None:
    """Refuse an approval by somebody who is not one of several holders.

    Raises:
        ReceiptRejected: not on record for the subject, from the app that put it on record, or the receipt does not
            stand on joint holders.
    """
    _require_another_app(transaction, subject=subject, app=app)
    check_speaker(standing_of(transaction, subject), by=by, now_s=transaction.now_s)
    if terms.authority is None or terms.authority.kind != "joint":
        raise ReceiptRejected(
            "authority_mismatch", "The receipt does not stand on joint holders.", remedy="Let one who speaks give it."
        )


def require_stopper(transaction: Transaction, *, subject: str, by: str | None) -> None:
    """Refuse a no or a stop by somebody who is not on record for the subject.

    Raises:
        ReceiptRejected: as `check_stopper` says.
    """
    check_stopper(standing_of(transaction, subject), by=by, now_s=transaction.now_s)


def those_that_cover(transaction: Transaction, rows: list[Any], *, subject: str) -> list[Any]:
    """Return the receipts, of these rows, under which something of the subject may be kept (SCENARIOS 1.14)."""
    standing = standing_of(transaction, subject)
    if standing is None and not any(_GUARDIANS in row.terms for row in rows):
        return rows
    terms = [parse_terms(json.loads(row.terms)) for row in rows]
    return [
        row
        for row, each in zip(rows, terms, strict=True)
        if is_covered(each.authority, standing, now_s=transaction.now_s)
    ]


def standing_of(transaction: Transaction, subject: str) -> Standing | None:
    """Return what is on record of a subject, None for one who speaks for itself."""
    row = transaction.connection.execute(_FIND, {"subject": subject}).first()
    return None if row is None else _standing(row)


def standings_of(transaction: Transaction, subjects: Collection[str]) -> dict[str, Standing]:
    """Return what is on record of these subjects; those who speak for themselves are not in it."""
    kept = STANDINGS.c.subject.in_(subjects), STANDINGS.c.kind != "own"
    rows = transaction.execute(select(STANDINGS).where(*kept)).all()
    return {row.subject: _standing(row) for row in rows}


def _require_another_app(transaction: Transaction, *, subject: str, app: str) -> None:
    """Refuse a yes from the app that said who may say it: else one key could make its user anybody's guardian, or have
    a child speak for itself."""
    row = transaction.row(select(STANDINGS.c.recorded_by).where(STANDINGS.c.subject == subject))
    if row is not None and row.recorded_by == app:
        raise ReceiptRejected(
            "recorded_by_giver",
            "The app that put on record who speaks for this customer says yes for it.",
            remedy="Let another app say yes, or record it anew under a key of its own: tally-node keys add FOLDER NAME"
            " --scope standings:write",
        )


def _standing(row: Any) -> Standing:
    return Standing(row.kind, frozenset(json.loads(row.speakers)), row.of_age_from_s, row.needed)
