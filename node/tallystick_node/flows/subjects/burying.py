"""What is gone at once when a subject is erased, and what brings it to be gone again when a backup is put back.

The tombstone and the end of the keys come first, in custody; from there on nothing is readable that was sealed. Then,
in one transaction, every row that tells of the subject: deleted, or emptied where others lead to it. What the ledger
must still say, one link after the other, is planned here and done in `erasure_asking`. If the node stops in between,
the tombstone that its rows have not obeyed is obeyed at the next start, before anybody is served; so is every tombstone
after the rows came back from a backup, since custody does not come back with them.

Source: DESIGN flow 8 and P9, CONSTRUCTIONS (keys).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, func, insert, literal, or_, select, update

from tallystick_consent.erasure import RECEIPTS_MAX
from tallystick_consent.receipts.states import TRANSITIONS, ReceiptState
from tallystick_ledger.opening import REMEMBERED_S
from tallystick_ledger.times import DAY_S
from tallystick_node.errors import SettingsInvalid
from tallystick_node.flows.claims.ending import drop_claims_of
from tallystick_node.flows.links.accepting import half_name
from tallystick_node.flows.links.ending import end_link
from tallystick_node.flows.links.rows import link_secret_name
from tallystick_node.flows.links.uniques import RELINK_AFTER_S, forget_uniques
from tallystick_node.flows.outgoing import withhold
from tallystick_node.flows.receipts.rows import NOT_STOPPED
from tallystick_node.keys.custody import Tomb
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.database import scrub
from tallystick_node.storage.tables import (
    ACCEPTING,
    ACTS,
    ASKS,
    BURIED,
    CLAIMS,
    CONTESTS,
    CORRECTIONS,
    DECISIONS,
    ERASURES,
    EVENTS,
    IDEMPOTENCY,
    LETTERS,
    LINK_UNIQUE,
    LINKS,
    MADE_GOOD,
    MATCHINGS,
    MESSAGES,
    OFFERS,
    RECEIPTS,
    REWARDS,
    STANDINGS,
    WALLET_KEYS,
)

SPREAD_S = DAY_S
"""Over how long the links of a subject are erased in the ledger and at partners, so that they are not one person's."""

NAMED_BY = (
    LINKS,
    EVENTS,
    REWARDS,
    DECISIONS,
    CONTESTS,
    OFFERS,
    ACCEPTING,
    IDEMPOTENCY,
    STANDINGS,
    ACTS,
    LETTERS,
    MATCHINGS,
    CORRECTIONS,
)
"""Tables whose rows name a subject."""

_EMPTIED = (LINKS, EVENTS, REWARDS)
"""Those whose rows stay, without a name; of every other the subject's rows go."""

LINKED_BY = (OFFERS, RECEIPTS, ASKS, CLAIMS, REWARDS, LINK_UNIQUE, ERASURES, MATCHINGS, WALLET_KEYS)
"""Tables whose rows name a link: `empty_link` knows each, or the row outlives it on purpose."""


def is_known(node: Node, transaction: Transaction, subject: str) -> bool:
    """Return whether anything tells of a subject here: a row, one that names it as a speaker, a key, or a tombstone.

    Keys and tombstones lie in custody, so that whoever came after the backup that was put back is known by them.
    """
    name, member = (node.secrets.name(kind, subject) for kind in ("subject", "member"))
    if node.custody.is_destroyed(name) or node.custody.find_many([name, member]):
        return True
    named: list[tuple[Table, ColumnElement[bool]]] = [(table, table.c.subject == subject) for table in NAMED_BY]
    named.append((BURIED, BURIED.c.name == name))
    named.append((STANDINGS, STANDINGS.c.speakers.contains(json.dumps(subject), autoescape=True)))
    named.append((ACTS, ACTS.c.by == subject))
    found = (transaction.row(select(literal(1)).select_from(table).where(so).limit(1)) for table, so in named)
    return any(row is not None for row in found)


def bury_subject(node: Node, transaction: Transaction, subject: str) -> str:
    """Destroy a subject's keys and rows; return the name on the tombstone.

    `p` and the member's key outlive the subject until no reward can be claimed a second time.
    """
    name = node.secrets.name("subject", subject)
    links = transaction.execute(select(LINKS).where(LINKS.c.subject == subject).order_by(LINKS.c.id)).all()
    halves = transaction.execute(select(ACCEPTING.c.offer).where(ACCEPTING.c.subject == subject)).all()
    tomb = Tomb(
        name,
        secrets_too=(*(link_secret_name(each.id) for each in links), *(half_name(each.offer) for each in halves)),
        outlives=node.secrets.name("member", subject),
        until_s=transaction.now_s + RELINK_AFTER_S,
    )
    number = node.custody.bury(tomb, after=_last_number(transaction))
    for link in links:
        due_s = _plan(transaction, link, of=name, number=number)
        empty_link(transaction, link.id, revoked_from_s=due_s)
        # Nobody is linked under an erased id again, so that nothing need be remembered of what it told.
        forgotten = {"link": None, "answered_until_s": 0}
        transaction.execute(update(LINK_UNIQUE).where(LINK_UNIQUE.c.link == link.id).values(**forgotten))
    emptied = {"subject": "", "type": "", "data_class": "", "at_s": 0, "receipt": "", "ciphertext": b""}
    transaction.execute(update(EVENTS).where(EVENTS.c.subject == subject).values(**emptied))
    nobodys = {"subject": "", "link": "", "receipt": "", "claim": ""}
    transaction.execute(update(REWARDS).where(REWARDS.c.subject == subject).values(**nobodys))
    for table in NAMED_BY:
        if table not in _EMPTIED:
            transaction.execute(delete(table).where(table.c.subject == subject))
    _obeyed(transaction, number, tomb)
    return name


def bury_link(node: Node, transaction: Transaction, link: Any) -> int:
    """Destroy what this end of a link holds, since the other end asks; return the tombstone's number."""
    tomb = Tomb(link_secret_name(link.id))
    number = node.custody.bury(tomb, after=_last_number(transaction))
    told = _replies_about(transaction, link)
    for row in told:
        transaction.execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.caller == row.caller, IDEMPOTENCY.c.key == row.key))
    empty_link(transaction, link.id)
    transaction.execute(update(REWARDS).where(REWARDS.c.link == link.id).values(link=""))
    _obeyed(transaction, number, tomb)
    return number


def empty_link(transaction: Transaction, link: str, *, revoked_from_s: int = 0) -> None:
    """Empty every row of a link: what it is to be recognised by, how consent was seen, answers, questions, messages.

    What waits to be sent keeps its body until it was: a partner that is away must hear of a withdrawal all the same.

    Args:
        revoked_from_s: when the status of its claims begins to show that they are; at once by default.
    """
    receipts = receipts_of(transaction, link)
    for receipt in receipts:
        drop_claims_of(transaction, receipt, revoked_from_s=revoked_from_s)
    mine = RECEIPTS.c.link == link
    gone = {"evidence": None, "signed": None, "acknowledgement": None, **NOT_STOPPED}
    transaction.execute(update(RECEIPTS).where(mine).values(**gone))
    for table in (DECISIONS, CONTESTS, MADE_GOOD):
        transaction.execute(delete(table).where(table.c.receipt.in_(receipts)))
    # A dispute of our own customer's that nobody has answered is theirs, whoever is erased at the other end.
    theirs, unanswered = ACTS.c.receipt.in_(receipts), (ACTS.c.kind == "dispute") & (ACTS.c.state == "open")
    transaction.execute(delete(ACTS).where(theirs, ~unanswered))
    transaction.execute(update(ACTS).where(theirs).values(receipt=""))
    transaction.execute(delete(ASKS).where(ASKS.c.link == link))
    transaction.execute(delete(OFFERS).where(OFFERS.c.link == link))
    transaction.execute(delete(MATCHINGS).where(MATCHINGS.c.link == link))
    transaction.execute(delete(WALLET_KEYS).where(WALLET_KEYS.c.link == link))
    end_link(transaction, link)
    transaction.execute(update(LINKS).where(LINKS.c.id == link).values(subject="", partner_hint="", login=""))
    asked = (MESSAGES.c.about == link, MESSAGES.c.kind == "claim.ask", MESSAGES.c.state == "queued")
    transaction.execute(update(MESSAGES).where(*asked).values(state="withheld"))
    empty_messages(transaction, link, receipts)


def empty_messages(transaction: Transaction, link: str, receipts: Sequence[str]) -> None:
    """Empty the messages about a link that need not be sent any more."""
    waiting = MESSAGES.c.state.in_(("queued", "sending"))
    transaction.execute(update(MESSAGES).where(_about(link, receipts), ~waiting).values(body=None))


def hold_back(transaction: Transaction, link: str) -> tuple[list[str], list[str]]:
    """Hold back every answer on a link that has not left, also what an ending let through; return which those are, by
    digest, and which may have arrived, since they are being sent or got no reply: these are tried no further."""
    return withhold(transaction, MESSAGES.c.about.in_(select(CLAIMS.c.digest).where(CLAIMS.c.link == link)))


def receipts_of(transaction: Transaction, link: str) -> list[str]:
    """Return the ids of a link's receipts, the newest first, as many as a request names."""
    rows = transaction.execute(
        select(RECEIPTS.c.id)
        .where(RECEIPTS.c.link == link)
        .order_by(RECEIPTS.c.requested_at_s.desc(), RECEIPTS.c.id)
        .limit(RECEIPTS_MAX)
    )
    return [row.id for row in rows]


def is_sending(transaction: Transaction, link: str) -> bool:
    """Return whether something about a link is on its way at this moment."""
    about = _about(link, receipts_of(transaction, link))
    return transaction.row(select(MESSAGES.c.id).where(about, MESSAGES.c.state == "sending").limit(1)) is not None


def can_be_withdrawn(state: str) -> bool:
    """Return whether there is consent to withdraw in a receipt of that state."""
    return ReceiptState.WITHDRAWN in TRANSITIONS[ReceiptState(state)]


def unscrubbed(transaction: Transaction, number: int) -> None:
    """Remember that rows were emptied which may still lie in the write-ahead log."""
    transaction.execute(update(BURIED).where(BURIED.c.number == number).values(scrubbed=False))


def scrub_buried(node: Node) -> list[int]:
    """Overwrite what was deleted wherever SQLite still has it; return the tombstones for which that is done."""
    waiting = [row.number for row in node.rows(select(BURIED.c.number).where(~BURIED.c.scrubbed))]
    return waiting if waiting and scrub(node.engine) else []


def scrubbed(transaction: Transaction, numbers: Iterable[int]) -> None:
    """Write down for which tombstones nothing is left in any file."""
    transaction.execute(update(BURIED).where(BURIED.c.number.in_(list(numbers))).values(scrubbed=True))


def bury_again(node: Node) -> int:
    """Obey every tombstone that the rows have not obeyed, before anybody is served; return how many.

    Rows come back with a backup; a crash may also have come between custody and the rows. Where custody comes back with
    a backup, and with it the keys of who was erased since, the rows know whose tombstones are to stand there again.

    Raises:
        SettingsInvalid: rows of an older version do not know that.
        StorageUnavailable: it cannot be done now, and so nobody can be served.
    """
    standing = node.custody.tombstones()
    if standing == {row.number: row.name for row in node.rows(select(BURIED.c.number, BURIED.c.name))}:
        return 0
    obeyed = {row.number: _tomb(row) for row in node.rows(select(BURIED))}
    known, unnamed = set(standing.values()), {number for number, tomb in obeyed.items() if tomb.name == ""}
    lost = {
        each: tomb for each, tomb in obeyed.items() if tomb.name not in known and each not in unnamed & set(standing)
    }
    if any(tomb.name == "" for tomb in lost.values()):
        raise SettingsInvalid(
            "Custody is older than the rows: keys of who was erased are back.", remedy="Put back its newest copy."
        )
    node.custody.bury_anew(lost)
    _wait(node, partial(_name_obeyed, names=node.custody.tombstones()))
    named = {row.name for row in node.rows(select(BURIED.c.name))}
    missing = {name: number for number, name in node.custody.tombstones().items() if name not in named}
    for subject in _named(node):
        if node.secrets.name("subject", subject) in missing:
            _wait(node, partial(bury_subject, node, subject=subject))
    for name in missing:
        link = node.row(select(LINKS).where(LINKS.c.id == name.removeprefix("link/")))
        if link is not None:
            _wait(node, partial(_bury_link_again, node, link=link))
    _wait(node, partial(_all_obeyed, names=missing))
    return len(missing) + len(lost)


def _bury_link_again(node: Node, transaction: Transaction, link: Any) -> None:
    """Destroy a link that came back with a backup; what was live on it runs out, and the ledger says so in its turn."""
    bury_link(node, transaction, link)
    transaction.execute(update(RECEIPTS).where(RECEIPTS.c.link == link.id).values(valid_until_s=transaction.now_s))


def forget_outlived(node: Node, transaction: Transaction) -> None:
    """Let go of what outlived its subject: `u`, `p` and the member's key, once no slot can be paid twice."""
    node.custody.forget_outlived()
    forget_uniques(transaction)
    long_ago = REWARDS.c.posted_at_s <= transaction.now_s - REMEMBERED_S
    transaction.execute(delete(REWARDS).where(REWARDS.c.subject == "", long_ago))


def _plan(transaction: Transaction, link: Any, *, of: str, number: int) -> int:
    """Plan when a link is erased in the ledger and at its partner, and hold back at once what has not left; return
    that time."""
    planned = transaction.row(select(ERASURES.c.due_s).where(ERASURES.c.link == link.id, ERASURES.c.of == of))
    if planned is not None:
        return int(planned.due_s)
    receipts = receipts_of(transaction, link.id)
    held, on_their_way = hold_back(transaction, link.id)
    ours = select(RECEIPTS.c.id, RECEIPTS.c.state).where(RECEIPTS.c.link == link.id, RECEIPTS.c.role == "issuer")
    for row in transaction.execute(ours).all():
        if not can_be_withdrawn(row.state):
            continue
        # Ended here and now; the entry that says so follows at the link's own time.
        ended = {"state": ReceiptState.WITHDRAWN, "ended_at_s": transaction.now_s}
        transaction.execute(
            update(RECEIPTS).where(RECEIPTS.c.id == row.id).values(next_period=None, next_close_s=None, **ended)
        )
    due_s = transaction.now_s + int.from_bytes(transaction.random_bytes(4), "big") % SPREAD_S
    transaction.execute(
        insert(ERASURES).values(
            id=transaction.new_id("era"),
            link=link.id,
            partner=link.partner,
            role=link.role,
            of=of,
            buried=number,
            state="due",
            receipts=json.dumps(receipts),
            held=json.dumps({"held": held, "on_their_way": on_their_way}),
            due_s=due_s,
            request="",
            attestation="",
            log="",
            attested_log="",
        )
    )
    return due_s


def _all_obeyed(transaction: Transaction, names: Mapping[str, int]) -> None:
    for name, number in names.items():
        _obeyed(transaction, number, Tomb(name))


def _tomb(row: Any) -> Tomb:
    return Tomb(row.name, tuple(json.loads(row.secrets_too)), row.outlives, row.until_s)


def _last_number(transaction: Transaction) -> int:
    """Return the largest number of a tombstone that these rows have obeyed; custody may be an older copy, and not know
    it."""
    return int(transaction.execute(select(func.max(BURIED.c.number))).scalar_one() or 0)


def _obeyed(transaction: Transaction, number: int, tomb: Tomb) -> None:
    if transaction.row(select(BURIED.c.number).where(BURIED.c.number == number)) is None:
        kept = {"secrets_too": json.dumps(tomb.secrets_too), "outlives": tomb.outlives, "until_s": tomb.until_s}
        transaction.execute(insert(BURIED).values(number=number, name=tomb.name, scrubbed=False, **kept))
    else:
        unscrubbed(transaction, number)


def _name_obeyed(transaction: Transaction, names: Mapping[int, str]) -> None:
    """Write down what older versions did not: whose each tombstone is."""
    for row in transaction.execute(select(BURIED.c.number).where(BURIED.c.name == "")).all():
        transaction.execute(update(BURIED).where(BURIED.c.number == row.number).values(name=names[row.number]))


def _about(link: str, receipts: Sequence[str]) -> ColumnElement[bool]:
    """Return which messages are about a link, one of its receipts, or an answer under one."""
    claims = select(CLAIMS.c.digest).where(CLAIMS.c.link == link)
    return or_(
        MESSAGES.c.about == link,
        MESSAGES.c.about.in_(receipts),
        MESSAGES.c.about.in_(claims),
        MESSAGES.c.receipt.in_(receipts),
    )


def _replies_about(transaction: Transaction, link: Any) -> list[Any]:
    """Return the kept replies that tell of one link of a customer, who has others."""
    named = [link.id, *receipts_of(transaction, link.id)]
    if not link.subject:
        return []
    rows = transaction.execute(select(IDEMPOTENCY).where(IDEMPOTENCY.c.subject == link.subject)).all()
    return [row for row in rows if any(each in row.body for each in named)]


def _named(node: Node) -> set[str]:
    """Return every subject that a row names."""
    found = (node.rows(select(table.c.subject).where(table.c.subject != "").distinct()) for table in NAMED_BY)
    return {str(row.subject) for rows in found for row in rows}


def _wait(node: Node, work: Callable[[Transaction], object]) -> None:
    node.writer.submit(work, even_read_only=True).result()
