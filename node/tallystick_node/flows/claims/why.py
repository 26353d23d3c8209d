"""Why: everything this node decided, told or paid about one of its customers, in words that customer reads.

At the issuer that is each answer, silence and refusal; at the payer each reward. Nothing here leaves the company but to
the subject; what partners are told stays as uniform as it was (P11).

Source: DESIGN P14, SCENARIOS I10 and 3.04 (contest).
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, cast

from sqlalchemy import insert, select

from tallystick import wire
from tallystick_consent.claims.claim import Answer
from tallystick_consent.program import parse_program
from tallystick_consent.receipts.answering import answer_by_s
from tallystick_consent.rules import privacy_cost, why_not
from tallystick_node.errors import Refused, no_such_thing
from tallystick_node.flows.claims.decisions import SHOWN_MAX, decisions_about
from tallystick_node.flows.people.answering import show_contest
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.paging import read_page
from tallystick_node.storage.tables import CLAIMS, CONTESTS, DECISIONS, LINKS, PROGRAMS, REWARDS

_Kind = Literal["answer", "silence", "refusal", "reward"]
_KINDS: dict[str, _Kind] = {
    "issued": "answer",
    "made_good": "answer",
    "taken_back": "answer",
    "not_reached": "silence",
    "refused": "refusal",
}
"""What each outcome is to who reads it; what `stands` is what stood."""


def explain(node: Node, subject: str) -> wire.Explanations:
    """Return why, for everything about one customer that can be explained."""
    rows, older = decisions_about(node, subject, shown_max=SHOWN_MAX)
    learned = _Learned(node)
    told = [*_decisions(node, subject, rows, learned), *_rewards(node, subject, learned)]
    in_order = sorted(told, key=lambda each: each.decided_at)
    return wire.Explanations(explanations=tuple(in_order), older_count=older)


async def contest_decision(node: Node, once: Once, body: wire.ContestDecision) -> StoredReply:
    """Record that a subject says a decision is wrong; the decision stands until the company acts on it.

    Raises:
        NotFound: no such decision about this subject.
        Refused: contested already.
    """

    def work(transaction: Transaction) -> wire.Contest:
        transaction.subject = body.subject
        asked = select(DECISIONS).where(DECISIONS.c.id == body.decision, DECISIONS.c.subject == body.subject)
        row = transaction.row(asked)
        if row is None:
            raise no_such_thing()
        known = transaction.row(select(CONTESTS.c.id).where(CONTESTS.c.decision == body.decision))
        if known is not None:
            raise Refused(
                "already_contested",
                "This decision is contested already.",
                remedy="Wait for what the company says to it.",
                existing_id=known.id,
            )
        made = wire.Contest(
            contest=transaction.new_id("cts"),
            decision=body.decision,
            ground=body.ground,
            contested_at=transaction.now_s,
            answer_by=answer_by_s(transaction.now_s),
        )
        transaction.execute(
            insert(CONTESTS).values(
                id=made.contest,
                subject=body.subject,
                receipt=row.receipt,
                decision=body.decision,
                ground=body.ground,
                contested_at_s=transaction.now_s,
                answer_by_s=made.answer_by,
            )
        )
        return made

    return await node.once(once, work, lambda made, _: StoredReply(201, made.model_dump_json()))


def list_contests(node: Node, *, limit: int, cursor: str | None) -> wire.OpenContests:
    """Return a page of what customers contest and nobody has answered, what is due first at the front; for our staff.

    Raises:
        NotFound: the cursor is not one of this list.
    """
    about = (DECISIONS.c.partner, DECISIONS.c.program, DECISIONS.c.version, DECISIONS.c.period)
    asked = select(CONTESTS, *about).join(DECISIONS, DECISIONS.c.id == CONTESTS.c.decision)
    waiting = asked.where(CONTESTS.c.state == "open")
    page = read_page(node, waiting, by=(CONTESTS.c.answer_by_s, CONTESTS.c.id), limit=limit, cursor=cursor)
    return wire.OpenContests(
        contests=tuple(
            wire.OpenContest(
                **show_contest(row).model_dump(),
                subject=row.subject,
                receipt=row.receipt,
                partner=row.partner,
                program=row.program,
                version=row.version,
                period=row.period,
                overdue=node.now_s() >= row.answer_by_s,
            )
            for row in page.rows
        ),
        has_more=page.has_more,
        next_cursor=page.next_cursor,
    )


def _decisions(node: Node, subject: str, rows: Sequence[Any], learned: "_Learned") -> list[wire.Explanation]:
    contests = {row.decision: row for row in node.rows(select(CONTESTS).where(CONTESTS.c.subject == subject))}
    told = select(CLAIMS).join(DECISIONS, DECISIONS.c.claim == CLAIMS.c.digest).where(DECISIONS.c.subject == subject)
    claims = {row.digest: row for row in node.rows(told)}
    shown: list[wire.Explanation] = []
    stood: dict[tuple[str, str], _Kind] = {}
    for row in rows:
        slot = (row.receipt, row.period)
        kind = stood.get(slot, "silence") if row.outcome == "stands" else _KINDS[row.outcome]
        if kind != "refusal":
            stood[slot] = "silence" if row.outcome == "taken_back" else kind
        shown.append(_decision(learned, row, kind, claims.get(row.claim), contests.get(row.id)))
    return shown


def _decision(learned: "_Learned", row: Any, kind: _Kind, claim: Any, contest: Any) -> wire.Explanation:
    return wire.Explanation(
        kind=kind,
        decision=row.id,
        outcome=row.outcome,
        partner=row.partner,
        rule=f"{row.program}@{row.version}",
        learns=learned.by(row.partner, row.program, row.version),
        period=row.period,
        receipt=row.receipt,
        counted=row.counted,
        not_counted=_in_words(json.loads(row.not_counted)),
        told=_statement(claim),
        band=row.band,
        claim=claim.id if claim is not None else "",
        claim_state=claim.state if claim is not None else "",
        reasons=tuple(json.loads(row.reasons)),
        flags=json.loads(row.flags),
        contest=None if contest is None else show_contest(contest),
        paid=None,
        decided_at=row.decided_at_s,
        asked_count=row.asked,
    )


def _rewards(node: Node, subject: str, learned: "_Learned") -> list[wire.Explanation]:
    """Return why each reward was paid: of all claims for its period, whoever issued them, one counts."""
    rewards = node.rows(select(REWARDS).where(REWARDS.c.subject == subject))
    taken = node.rows(
        select(CLAIMS)
        .join(LINKS, LINKS.c.id == CLAIMS.c.link)
        .where(LINKS.c.subject == subject, CLAIMS.c.role == "recipient")
    )
    by_digest = {row.digest: row for row in taken}
    for_period = Counter((row.program, row.period) for row in taken)
    return [
        _reward(learned, node.host, row, by_digest.get(row.claim), others=for_period[row.program, row.period] - 1)
        for row in rewards
    ]


def _reward(learned: "_Learned", host: str, row: Any, claim: Any, *, others: int) -> wire.Explanation:
    return wire.Explanation(
        kind="reward",
        decision=0,
        outcome=row.state,
        partner=claim.partner if claim is not None else "",
        rule=f"{row.program}@{row.version}",
        learns=learned.by(host, row.program, row.version),
        period=row.period,
        receipt=row.receipt,
        counted=1,
        not_counted=_in_words({"rewarded_already": others} if others > 0 else {}),
        told=_statement(claim),
        band=claim.band if claim is not None else None,
        claim=claim.id if claim is not None else "",
        claim_state=claim.state if claim is not None else "",
        reasons=(),
        flags={},
        contest=None,
        paid=wire.Paid(
            reward=row.id, asset=row.asset, amount=row.amount_minor, state=row.state, posted_at=row.posted_at_s
        ),
        decided_at=claim.logged_at_s if claim is not None else row.posted_at_s or 0,
    )


def _statement(claim: Any) -> str:
    """Return what a claim says, while its receipt lives."""
    return Answer.model_validate_json(claim.answer).statement if claim is not None and claim.answer else ""


def _in_words(not_counted: Mapping[str, int]) -> tuple[wire.NotCounted, ...]:
    return tuple(
        wire.NotCounted(reason=reason, count=count, words=why_not(reason))
        for reason, count in sorted(not_counted.items())
    )


class _Learned:
    """What programs tell their payers, each read once: a subject's explanations name the same few over and over."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: dict[tuple[str, str, int], tuple[str, ...]] = {}

    def by(self, payer: str, program: str, version: int) -> tuple[str, ...]:
        """Return what a program tells, in words; nothing of one that is not known here."""
        named = (payer, program, version)
        if named not in self._known:
            mine = (PROGRAMS.c.payer == payer, PROGRAMS.c.program == program, PROGRAMS.c.version == version)
            row = self._node.row(select(PROGRAMS.c.document).where(*mine))
            self._known[named] = () if row is None else _learned_from(cast("str", row.document))
        return self._known[named]


@lru_cache(maxsize=256)
def _learned_from(document: str) -> tuple[str, ...]:
    """Return what a program tells its payer."""
    return privacy_cost(parse_program(json.loads(document)).rule).learns
