"""Programs and agreements: the payer writes a program, the issuer signs it, both ledgers carry it.

Source: DESIGN section 1 (agreement, program).
"""

import asyncio
import json
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import func, insert, select, update

from tallystick import wire
from tallystick_consent.entries import AgreementBody, ProgramBody
from tallystick_consent.errors import ProgramRejected
from tallystick_consent.program import Program, parse_program, told_by
from tallystick_consent.signed import Agreement, Proposal, signed_digest
from tallystick_consent.together import require_within_beside
from tallystick_ledger.encoding import canonical_json, parse_canonical_json
from tallystick_node.errors import Refused, no_such_thing
from tallystick_node.flows.outgoing import queue_message
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import AGREEMENTS, PROGRAMS

PROGRAMS_REMEMBERED = 256
"""Programs that are kept parsed: far more than a company has partners and versions in use."""


async def publish_program(node: Node, once: Once, body: wire.PublishProgram) -> StoredReply:
    """Publish a program of ours and propose it to its issuers.

    Raises:
        ProgramRejected: not of its form, or another company's.
        PartnerUnknown: an issuer is no partner.
        Refused: the version exists, or is not the next one.
        RulesTellTooMuch: beside our other programs over an issuer it tells more than was agreed (P17).
    """
    program = parse_program(body.program)
    zone_of(program)
    _require_runs_here(program)
    if program.payer != node.host:
        raise ProgramRejected("A program's payer is another company.", remedy="Publish it at the payer's node.")
    for issuer in program.issuers:
        await asyncio.to_thread(node.partners.live, issuer)

    def work(transaction: Transaction) -> Program:
        transaction.subject = ""
        last = transaction.row(
            select(PROGRAMS.c.version)
            .where(PROGRAMS.c.payer == node.host, PROGRAMS.c.program == program.program)
            .order_by(PROGRAMS.c.version.desc())
        )
        following = last.version + 1 if last else 1
        if program.version != following:
            raise Refused(
                "version_exists",
                "A program's versions follow one another, and none is changed.",
                remedy=f"Publish it as version {following}.",
                existing_id=f"{program.program}@{last.version}" if last else None,
            )
        ours = _newest(transaction, PROGRAMS.c.payer == node.host)
        for issuer in program.issuers:
            require_within_beside(program, [each for each in ours if issuer in each.issuers])
        _insert_program(transaction, program)
        _log_program(transaction, program)
        for issuer in program.issuers:
            _propose(node, transaction, program, issuer)
        return program

    return await node.once(once, work, lambda done, proofs: _reply(201, done, (), proofs))


def _propose(node: Node, transaction: Transaction, program: Program, issuer: str) -> None:
    agreement = transaction.new_id("agr")
    token = node.signed(
        Proposal(
            agreement=agreement,
            payer=node.host,
            issuer=issuer,
            program=program.document(),
            at=transaction.now_s,
        )
    )
    transaction.execute(
        insert(AGREEMENTS).values(
            id=agreement,
            payer=node.host,
            program=program.program,
            version=program.version,
            issuer=issuer,
            payer_token=token,
        )
    )
    transaction.append("agreement", _agreement_body(agreement, program, issuer, token, signer=node.host))
    queue_message(transaction, "program.published", partner=issuer, about=agreement, body=wire.PeerSigned(token=token))


def receive_program(node: Node, caller: str, transaction: Transaction, body: wire.PeerSigned) -> wire.PeerAcknowledged:
    """Take a payer's proposal; our operator accepts it or lets it lie.

    Raises:
        SignatureRejected, BadInput, ProgramRejected: not signed by the caller, or not a proposal to us.
    """
    proposed = node.partners.opened(body.token, Proposal, of=caller)
    program = parse_program(proposed.program)
    zone_of(program)
    _require_runs_here(program)
    if proposed.payer != caller or program.payer != caller or proposed.issuer != node.host:
        raise ProgramRejected("A program is proposed by another than its payer.", remedy="Propose your own.")
    if node.host not in program.issuers:
        raise ProgramRejected("A program does not name this company as an issuer.", remedy="Name it, then propose it.")
    known = transaction.row(
        select(PROGRAMS.c.digest).where(
            PROGRAMS.c.payer == caller,
            PROGRAMS.c.program == program.program,
            PROGRAMS.c.version == program.version,
        )
    )
    if known is None:
        _insert_program(transaction, program)
    elif known.digest != program.digest():
        raise ProgramRejected(
            "Another program of that name and version is known here.", remedy="Publish it under another name."
        )
    if transaction.row(select(AGREEMENTS.c.id).where(AGREEMENTS.c.id == proposed.agreement)) is None:
        transaction.execute(
            insert(AGREEMENTS).values(
                id=proposed.agreement,
                payer=caller,
                program=program.program,
                version=program.version,
                issuer=node.host,
                payer_token=body.token,
            )
        )
    return wire.PeerAcknowledged()


async def accept_program(node: Node, once: Once, name: str, version: int, body: wire.AcceptProgram) -> StoredReply:
    """Sign a payer's program: from now on its customers and ours may be linked for it.

    Names are the payers' own, so two payers may propose one name: then the body must say whose is meant.

    Raises:
        NotFound: no such proposal.
        Refused: signed already, or proposed by two payers.
        RulesTellTooMuch: beside the payer's other programs it tells more than was agreed (P17).
    """

    def work(transaction: Transaction) -> Program:
        transaction.subject = ""
        proposed = select(AGREEMENTS).where(
            AGREEMENTS.c.program == name, AGREEMENTS.c.version == version, AGREEMENTS.c.issuer == node.host
        )
        rows = transaction.execute(
            proposed if body.payer is None else proposed.where(AGREEMENTS.c.payer == body.payer)
        ).all()
        if not rows:
            raise no_such_thing()
        if len({each.payer for each in rows}) > 1:
            raise Refused(
                "program_ambiguous", "Two payers propose a program of that name.", remedy="Name the payer in the body."
            )
        row = rows[0]
        program = known_program(transaction, row.payer, name, version)
        if row.issuer_token is not None:
            raise Refused(
                "already_agreed",
                "This company has signed that version of the program already.",
                remedy="List the programs; nothing more is needed.",
                existing_id=row.id,
            )
        agreed = _newest(transaction, PROGRAMS.c.payer == row.payer, _agreed_with(node.host))
        require_within_beside(program, agreed)
        proposal = signed_digest(row.payer_token)
        token = node.signed(Agreement(agreement=row.id, proposal=proposal, at=transaction.now_s))
        transaction.execute(update(AGREEMENTS).where(AGREEMENTS.c.id == row.id).values(issuer_token=token))
        _log_program(transaction, program)
        for signed, signer in ((row.payer_token, program.payer), (token, node.host)):
            transaction.append("agreement", _agreement_body(row.id, program, node.host, signed, signer=signer))
        queue_message(
            transaction,
            "agreement.signed",
            partner=program.payer,
            about=row.id,
            body=wire.PeerSigned(token=token),
        )
        return program

    return await node.once(once, work, lambda done, proofs: _reply(200, done, (node.host,), proofs))


def receive_agreement(
    node: Node, caller: str, transaction: Transaction, body: wire.PeerSigned
) -> wire.PeerAcknowledged:
    """Take an issuer's signature under one of our programs.

    Raises:
        SignatureRejected, BadInput, NotFound: not signed by the caller, or no such proposal to it.
    """
    signed = node.partners.opened(body.token, Agreement, of=caller)
    row = transaction.row(select(AGREEMENTS).where(AGREEMENTS.c.id == signed.agreement, AGREEMENTS.c.issuer == caller))
    if row is None or signed.proposal != signed_digest(row.payer_token):
        raise no_such_thing()
    if row.issuer_token is None:
        program = known_program(transaction, node.host, row.program, row.version)
        transaction.execute(update(AGREEMENTS).where(AGREEMENTS.c.id == row.id).values(issuer_token=body.token))
        transaction.append("agreement", _agreement_body(row.id, program, caller, body.token, signer=caller))
    return wire.PeerAcknowledged()


def _log_program(transaction: Transaction, program: Program) -> None:
    """Add a version of a program to the ledger, and remember after which others: which could be asked for beside it
    follows from that, also in the years to come (P17)."""
    transaction.append("program", _program_body(program).document())
    after = select(func.coalesce(func.max(PROGRAMS.c.logged), 0) + 1).scalar_subquery()
    mine = (PROGRAMS.c.payer == program.payer, PROGRAMS.c.program == program.program)
    transaction.execute(update(PROGRAMS).where(*mine, PROGRAMS.c.version == program.version).values(logged=after))


def logged_programs(transaction: Transaction, *, host: str) -> list[ProgramBody]:
    """Return every version of a program that this node logged, in that order: its own, and those of partners that it
    signed."""
    signed = select(AGREEMENTS.c.program, AGREEMENTS.c.version, AGREEMENTS.c.payer).where(
        AGREEMENTS.c.issuer == host, AGREEMENTS.c.issuer_token.is_not(None)
    )
    agreed = {(row.payer, row.program, row.version) for row in transaction.execute(signed)}
    rows = transaction.execute(
        select(PROGRAMS).order_by(
            func.coalesce(PROGRAMS.c.logged, 0), PROGRAMS.c.payer, PROGRAMS.c.program, PROGRAMS.c.version
        )
    ).all()
    return [
        _program_body(parse_program(parse_canonical_json(row.document.encode())))
        for row in rows
        if row.payer == host or (row.payer, row.program, row.version) in agreed
    ]


def list_programs(node: Node) -> wire.Programs:
    """Return every program this node knows, and who signed it."""
    agreed: dict[tuple[str, str, int], list[str]] = {}
    for row in node.rows(
        select(AGREEMENTS).where(AGREEMENTS.c.issuer_token.is_not(None)).order_by(AGREEMENTS.c.issuer)
    ):
        agreed.setdefault((row.payer, row.program, row.version), []).append(row.issuer)
    rows = node.rows(select(PROGRAMS).order_by(PROGRAMS.c.program, PROGRAMS.c.version, PROGRAMS.c.payer))
    return wire.Programs(
        programs=tuple(
            wire.Program(
                program=json.loads(row.document),
                digest=row.digest,
                agreed=tuple(agreed.get((row.payer, row.program, row.version), ())),
            )
            for row in rows
        )
    )


def known_program(transaction: Transaction, payer: str, name: str, version: int) -> Program:
    """Return a program this node knows; names are each payer's own.

    Raises:
        NotFound: it knows none of that payer, name and version.
    """
    row = transaction.row(
        select(PROGRAMS.c.document).where(
            PROGRAMS.c.payer == payer, PROGRAMS.c.program == name, PROGRAMS.c.version == version
        )
    )
    if row is None:
        raise no_such_thing()
    return stored_program(row.document)


@lru_cache(maxsize=PROGRAMS_REMEMBERED)
def stored_program(document: str) -> Program:
    """Return the program of a row; it is read for every event and every period, and there are few."""
    return parse_program(json.loads(document))


def agreed_program(transaction: Transaction, name: str, *, payer: str, issuer: str) -> Program:
    """Return the newest version of a program that both partners have signed.

    Raises:
        NotFound: there is none.
    """
    row = transaction.row(
        select(AGREEMENTS.c.version)
        .where(
            AGREEMENTS.c.payer == payer,
            AGREEMENTS.c.program == name,
            AGREEMENTS.c.issuer == issuer,
            AGREEMENTS.c.issuer_token.is_not(None),
        )
        .order_by(AGREEMENTS.c.version.desc())
    )
    if row is None:
        raise no_such_thing()
    return known_program(transaction, payer, name, row.version)


def _newest(transaction: Transaction, *these: Any) -> list[Program]:
    """Return programs, each in its newest version among those that fit."""
    newest: dict[str, Program] = {}
    for row in transaction.execute(select(PROGRAMS.c.document).where(*these).order_by(PROGRAMS.c.version)).all():
        program = stored_program(row.document)
        newest[program.program] = program
    return list(newest.values())


def _agreed_with(issuer: str) -> Any:
    """Return the condition that an issuer has signed a program."""
    signed = select(AGREEMENTS.c.id).where(
        AGREEMENTS.c.payer == PROGRAMS.c.payer,
        AGREEMENTS.c.program == PROGRAMS.c.program,
        AGREEMENTS.c.version == PROGRAMS.c.version,
        AGREEMENTS.c.issuer == issuer,
        AGREEMENTS.c.issuer_token.is_not(None),
    )
    return signed.exists()


def zone_of(program: Program) -> ZoneInfo:
    """Return the zone that a program's periods close in.

    Raises:
        ProgramRejected: there is no such zone.
    """
    zone = zone_named(program.rule.zone)
    if zone is None:
        raise ProgramRejected("A program's zone does not exist.", remedy="Use an IANA time zone name.")
    return zone


def zone_named(name: str) -> ZoneInfo | None:
    """Return an IANA zone, None where there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _require_runs_here(program: Program) -> None:
    """Refuse a rule that the language can say and this node cannot close yet, rather than close it wrongly."""
    rule = program.rule.spelled_out()
    needs = {
        "windows": rule.span == "window",
        "answers by slot": rule.slot_by is not None,
        "the zone of an airport": rule.needs_airport,
        "figures that are revealed": rule.rung == "aggregate",
    }
    missing = [name for name, is_needed in needs.items() if is_needed]
    if missing:
        raise ProgramRejected(
            f"This node does not run a rule that needs {' and '.join(missing)}.",
            remedy="Evaluate it where it runs, or write a rule without.",
        )


def _insert_program(transaction: Transaction, program: Program) -> None:
    transaction.execute(
        insert(PROGRAMS).values(
            program=program.program,
            version=program.version,
            document=canonical_json(program.document()).decode(),
            digest=program.digest(),
            payer=program.payer,
        )
    )


def _program_body(program: Program) -> ProgramBody:
    return ProgramBody(
        program=program.program,
        program_version=program.version,
        digest=program.digest(),
        payer=program.payer,
        purpose=program.purpose,
        rung=program.rung,
        asset=program.reward.asset,
        reward=program.reward.amount,
        budget=program.budget.amount,
        tells=told_by(program),
    )


def _agreement_body(agreement: str, program: Program, issuer: str, token: str, *, signer: str) -> dict[str, Any]:
    return AgreementBody(
        agreement=agreement,
        program=program.program,
        program_version=program.version,
        digest=program.digest(),
        payer=program.payer,
        issuer=issuer,
        signed=signed_digest(token),
        signer=signer,
    ).document()


def _reply(status: int, program: Program, agreed: tuple[str, ...], proofs: tuple[wire.EntryProof, ...]) -> StoredReply:
    shown = wire.Program(program=program.document(), digest=program.digest(), agreed=agreed, proofs=proofs)
    return StoredReply(status, shown.model_dump_json())
