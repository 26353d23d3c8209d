"""Everything this node holds about a subject, in one file that is written while it is read.

Events are opened a batch at a time, so that a node needs no more memory for a customer of ten years than for one of a
week; all proofs lead to the heads that were published when the file was begun.

Source: GDPR articles 15 and 20, DESIGN P14.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import ColumnElement, func, select

from tallystick import wire
from tallystick.papers import LISTED_MAX, ExportedClaim, ExportedEvent, ExportedReceipt, Logged
from tallystick_ledger.errors import PayloadErased
from tallystick_node.errors import AskedTooMuch
from tallystick_node.flows.claims.decisions import find_decisions
from tallystick_node.flows.claims.rewards import find_rewards
from tallystick_node.flows.events import shown_event
from tallystick_node.flows.links.rows import find_links
from tallystick_node.flows.receipts.showing import find_receipts
from tallystick_node.log.proof_service import Pinned
from tallystick_node.node import Node
from tallystick_node.storage.tables import CLAIMS, DISCLOSURES, EVENTS, LINKS, RECEIPTS

EVENTS_MAX = 10_000
PAYLOADS_SIZE_MAX_BYTES = 8 * 1024 * 1024
"""Of the sealed payloads in one export; opened, encoded and proven they take four times as much."""

EVENTS_AT_ONCE = 200


def export_subject(node: Node, body: wire.ExportSubject) -> Iterator[str]:
    """Return the export of a subject, piece by piece; what is asked is checked before the first.

    Raises:
        PayloadErased: the subject was erased.
        AskedTooMuch: there are more events than one file holds.
    """
    try:
        node.secrets.require_not_erased(body.subject)
    except PayloadErased as error:
        raise PayloadErased(
            "The customer was erased, as was asked for.",
            remedy="The certificate says so, where there was a link: subjects.certificate of the client.",
        ) from error
    mine = _events_of(body)
    total, size_bytes = node.rows(select(func.count(), func.sum(func.length(EVENTS.c.ciphertext))).where(*mine))[0]
    if total > EVENTS_MAX or (size_bytes or 0) > PAYLOADS_SIZE_MAX_BYTES:
        raise AskedTooMuch(
            f"One export holds {EVENTS_MAX:,} events and 8 MiB of their sealed payloads at most.",
            remedy="Ask for a shorter time: events_from, events_until.",
        )
    return _pieces(node, body, _Pins(node))


class _Pins:
    """The published head of each log, as of one moment."""

    def __init__(self, node: Node) -> None:
        shards = {name: node.shards.named(name) for name in node.shards.names()}
        self.logs: dict[str, Pinned] = {name: each.proofs.pinned() for name, each in shards.items() if each is not None}
        self.current = node.shards.current.own.name

    def logged(self, log: str, indexes: Sequence[int]) -> list[Logged]:
        """Return where entries of one log stand, each proven as far as its published head goes."""
        pinned = self.logs.get(log)
        covered = [index for index in indexes if pinned is not None and index < pinned.size]
        proven = {} if pinned is None else {each.index: each for each in pinned.inclusions(covered)}
        return [Logged(log=log, entry=proven.get(index)) for index in indexes]

    def logged_at(self, log: str, index: int) -> Logged:
        """Return where one entry stands."""
        return self.logged(log, [index])[0]


def _pieces(node: Node, body: wire.ExportSubject, pins: _Pins) -> Iterator[str]:
    links = find_links(node, body.subject).links
    tokens = {host: node.partners.token(host) for host in sorted({each.partner for each in links})}
    head = {
        "v": 1,
        "export": "subject",
        "host": node.host,
        "subject": body.subject,
        "made_at": node.now_s(),
        "events_from": body.events_from,
        "events_until": body.events_until,
        "descriptors": {node.host: node.descriptor(), **{host: token for host, token in tokens.items() if token}},
        "heads": {name: each.checkpoint for name, each in pins.logs.items()},
    }
    yield json.dumps(head, ensure_ascii=False)[:-1]
    yield from _member("links", links)
    yield from _member("receipts", _receipts(node, body.subject, pins))
    yield from _member("claims", _claims(node, body.subject, pins))
    yield from _member("decisions", find_decisions(node, body.subject, shown_max=LISTED_MAX).decisions)
    yield from _member("rewards", find_rewards(node, body.subject).rewards)
    yield from _member("events", _events(node, body, pins))
    yield "}\n"


def _member(name: str, items: Sequence[BaseModel] | Iterator[BaseModel]) -> Iterator[str]:
    yield f',"{name}":['
    for at, item in enumerate(items):
        yield ("," if at else "") + item.model_dump_json()
    yield "]"


def _receipts(node: Node, subject: str, pins: _Pins) -> Iterator[ExportedReceipt]:
    live = select(RECEIPTS.c.id, RECEIPTS.c.live_leaf).join(LINKS, LINKS.c.id == RECEIPTS.c.link)
    leaves = {row.id: row.live_leaf for row in node.rows(live.where(LINKS.c.subject == subject))}
    for receipt in find_receipts(node, wire.FindReceipts(subject=subject)).receipts:
        leaf = leaves.get(receipt.receipt)
        yield ExportedReceipt(receipt=receipt, logged=None if leaf is None else pins.logged_at(pins.current, leaf))


def _claims(node: Node, subject: str, pins: _Pins) -> Iterator[ExportedClaim]:
    rows = node.rows(
        select(CLAIMS, DISCLOSURES.c.body)
        .join(LINKS, LINKS.c.id == CLAIMS.c.link)
        .outerjoin(DISCLOSURES, DISCLOSURES.c.claim == CLAIMS.c.digest)
        .where(LINKS.c.subject == subject)
        .order_by(CLAIMS.c.number)
    )
    for row in rows:
        yield ExportedClaim(
            claim=row.id,
            role=row.role,
            partner=row.partner,
            program=row.program,
            version=row.version,
            period=row.period,
            receipt=row.receipt,
            state=row.state,
            token=row.token,
            salt=row.salt,
            digest=row.digest,
            disclosure=None if row.body is None else json.loads(row.body),
            logged=pins.logged_at(row.log, row.leaf),
        )


def _events(node: Node, body: wire.ExportSubject, pins: _Pins) -> Iterator[ExportedEvent]:
    """Yield events by their places in the ledger; one that is erased while this is read is left out."""
    after: tuple[str, int] = ("", -1)
    while True:
        log, leaf = after
        further = (EVENTS.c.log > log) | ((EVENTS.c.log == log) & (EVENTS.c.leaf > leaf))
        found = select(EVENTS).where(*_events_of(body), further).order_by(EVENTS.c.log, EVENTS.c.leaf)
        rows = node.rows(found.limit(EVENTS_AT_ONCE))
        for name in sorted({row.log for row in rows}):
            batch = [row for row in rows if row.log == name]
            for row, logged in zip(batch, pins.logged(name, [row.leaf for row in batch]), strict=True):
                try:
                    yield ExportedEvent(event=shown_event(node, row), logged=logged)
                except PayloadErased:
                    continue
        if len(rows) < EVENTS_AT_ONCE:
            return
        after = (rows[-1].log, rows[-1].leaf)


def _events_of(body: wire.ExportSubject) -> list[ColumnElement[Any]]:
    chosen: list[ColumnElement[Any]] = [EVENTS.c.subject == body.subject]
    if body.events_from is not None:
        chosen.append(EVENTS.c.at_s >= body.events_from)
    if body.events_until is not None:
        chosen.append(EVENTS.c.at_s < body.events_until)
    return chosen
