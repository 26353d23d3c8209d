"""The app API: `/v1`, for this company's own apps, by key and scope.

Every route fetches the caller, hands on, and answers; what may be done is decided in the flows and below.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import insert, select

from tallystick import wire
from tallystick.papers import Certificate, Export
from tallystick_consent.fields import Version
from tallystick_ledger.encoding import canonical_json
from tallystick_node.errors import IdempotencyMissing, KeyInvalid, ScopeMissing
from tallystick_node.flows import events, links, programs, trying
from tallystick_node.flows.claims import asks, corrections, decisions, rewards, wallet, why
from tallystick_node.flows.claims import listing as claims
from tallystick_node.flows.receipts import duties
from tallystick_node.flows.receipts import giving as receipts_giving
from tallystick_node.flows.receipts import issuer as receipts_issuer
from tallystick_node.flows.receipts import recipient as receipts_recipient
from tallystick_node.flows.receipts import resources as receipts_resources
from tallystick_node.flows.receipts import rows as receipts
from tallystick_node.flows.receipts import stopping as receipts_stopping
from tallystick_node.flows.receipts import versions as receipts_versions
from tallystick_node.flows.subjects import access, erasure
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import APP_KEYS, AUDIT_READS

PageLimit = Annotated[int, Query(ge=1, le=wire.PAGE_SIZE_MAX)]
PageCursor = Annotated[str | None, Query(max_length=wire.CURSOR_SIZE_MAX_CHARS)]

router = APIRouter(prefix="/v1")


@dataclass(frozen=True, slots=True)
class App:
    """Who calls: an app of this company, by its key."""

    id: str
    name: str
    scopes: frozenset[str]


def node_of(request: Request) -> Node:
    """Return the node that this process runs."""
    node: Node = request.app.state.node
    return node


NodeHere = Annotated[Node, Depends(node_of)]


def require(*scopes: wire.Scope) -> Callable[[Request, NodeHere], App]:
    """Return the dependency that lets only apps with all these scopes pass."""

    def check(request: Request, node: NodeHere) -> App:
        app = find_app(node, request.headers.get("authorization", ""))
        if not app.scopes.issuperset(scopes):
            raise ScopeMissing(
                "This key may not do that.", remedy=f"Use a key with the scopes {', '.join(scopes) or 'it needs'}."
            )
        return app

    return check


def find_app(node: Node, authorization: str) -> App:
    """Return the app whose key a request carries.

    Raises:
        KeyInvalid: none, unknown or expired; which of them is not said.
        TooManyRequests: it calls more often than it may.
    """
    kind, _, key = authorization.partition(" ")
    # Keys are 256 random bits, so a plain digest is as good as a slow one, and comparing digests tells no timing.
    digest = hashlib.sha256(key.encode()).hexdigest()
    row = node.row(select(APP_KEYS).where(APP_KEYS.c.digest == digest)) if kind.lower() == "bearer" else None
    if row is None or (row.expires_at_s is not None and row.expires_at_s <= node.now_s()):
        raise KeyInvalid("The key is not valid here.", remedy="Send a key of this node: Authorization: Bearer KEY.")
    node.app_rates.count(row.id)
    return App(row.id, row.name, frozenset(row.scopes.split()))


def once_of(request: Request, app: App, body: wire.Request) -> Once:
    """Return what makes a write of this request happen once.

    Raises:
        IdempotencyMissing: no key, or not one of 1 to 128 visible ASCII characters.
    """
    key = request.headers.get("idempotency-key", "")
    if not 1 <= len(key) <= wire.IDEMPOTENCY_KEY_MAX_CHARS or not all("!" <= each <= "~" for each in key):
        raise IdempotencyMissing(
            "A write needs an idempotency key of 1 to 128 visible ASCII characters.",
            remedy="Send a new random Idempotency-Key with each new write, and the same one when you try it again.",
        )
    content = canonical_json(body.model_dump(mode="json"))
    named = canonical_json([request.method, request.url.path, app.id])
    return Once(f"app:{app.id}", key, hashlib.sha256(named + b"\n" + content).hexdigest())


def answer(reply: StoredReply) -> Response:
    """Return a stored reply as it is sent."""
    headers = {"Idempotency-Replayed": "true"} if reply.replayed else {}
    return Response(reply.body, reply.status, headers, media_type="application/json")


def writes(model: type[wire.Reply], status: int = 200) -> dict[str, Any]:
    """Return how a write is described: its reply is stored text, so the model only documents it."""
    return {"response_model": None, "status_code": status, "responses": {status: {"model": model}}}


LinksApp = Annotated[App, Depends(require("links:write"))]
LinksSubjectApp = Annotated[App, Depends(require("links:write", "subject:assert"))]
ReceiptsReader = Annotated[App, Depends(require("receipts:read"))]
ReceiptsApp = Annotated[App, Depends(require("receipts:write"))]
ReceiptsSubjectApp = Annotated[App, Depends(require("receipts:write", "subject:assert"))]
ProgramsReader = Annotated[App, Depends(require("programs:read"))]
ProgramsApp = Annotated[App, Depends(require("programs:write"))]
EventsReader = Annotated[App, Depends(require("events:read"))]
EventsApp = Annotated[App, Depends(require("events:write"))]
ClaimsReader = Annotated[App, Depends(require("claims:read"))]
ClaimsApp = Annotated[App, Depends(require("claims:write"))]
SubjectsReader = Annotated[App, Depends(require("subjects:read"))]
SubjectsEraser = Annotated[App, Depends(require("subjects:erase", "subject:assert"))]
ClaimsSubjectApp = Annotated[App, Depends(require("claims:read", "subject:assert"))]
DryRunApp = Annotated[App, Depends(require("events:read", "programs:read"))]
WhyReader = Annotated[App, Depends(require("receipts:read", "rewards:read"))]
RewardsReader = Annotated[App, Depends(require("rewards:read"))]


@router.post("/links/offers", **writes(wire.LinkOffer, 201))
async def offer_link(request: Request, node: NodeHere, app: LinksSubjectApp, body: wire.OfferLink) -> Response:
    """Make a link offer for a customer who is logged in."""
    return answer(await links.offer_link(node, once_of(request, app, body), body))


@router.post("/links/accept", **writes(wire.Link, 201))
async def accept_link(request: Request, node: NodeHere, app: LinksSubjectApp, body: wire.AcceptLink) -> Response:
    """Take a partner's link offer for a customer who is logged in."""
    return answer(await links.accept_link(node, request.app.state.http, once_of(request, app, body), body))


@router.post("/links/confirm", **writes(wire.Link))
async def confirm_link(request: Request, node: NodeHere, app: LinksApp, body: wire.ConfirmLink) -> Response:
    """Confirm a link in the session that began it."""
    return answer(await links.confirm_link(node, once_of(request, app, body), body))


@router.post("/links/search")
def find_links(node: NodeHere, _app: LinksApp, body: wire.FindBySubject) -> wire.Links:
    """Return the links of one customer."""
    return links.find_links(node, body.subject)


@router.post("/receipts/request", **writes(wire.Receipt, 201))
async def request_receipt(request: Request, node: NodeHere, app: ReceiptsApp, body: wire.RequestReceipt) -> Response:
    """Ask the subject of a link for consent."""
    return answer(await receipts_recipient.request_receipt(node, once_of(request, app, body), body))


@router.post("/receipts/search")
def find_receipts(node: NodeHere, _app: ReceiptsReader, body: wire.FindReceipts) -> wire.Receipts:
    """Return the receipts of one customer or link."""
    return receipts.find_receipts(node, body)


@router.get("/receipts/unacknowledged")
def list_unacknowledged(
    node: NodeHere, _app: ReceiptsReader, limit: PageLimit = wire.PAGE_SIZE_MAX, cursor: PageCursor = None
) -> wire.Unacknowledged:
    """Return a page of the steps of receipts that partners have not signed for."""
    return receipts.find_unacknowledged(node, limit=limit, cursor=cursor)


@router.get("/duties")
def list_duties(
    node: NodeHere, _app: ReceiptsReader, limit: PageLimit = wire.PAGE_SIZE_MAX, cursor: PageCursor = None
) -> wire.Duties:
    """Return a page of what this company keeps of receipts under which it receives, and until when."""
    return duties.find_duties(node, limit=limit, cursor=cursor)


@router.get("/receipts/{receipt}")
def get_receipt(node: NodeHere, _app: ReceiptsReader, receipt: str) -> wire.Receipt:
    """Return one receipt."""
    return receipts.get_receipt(node, receipt)


@router.post("/receipts/{receipt}/give", **writes(wire.Receipt))
async def give_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.GiveReceipt
) -> Response:
    """Record that the subject gives consent."""
    return answer(await receipts_giving.give_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/approve", **writes(wire.Receipt))
async def approve_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.ApproveReceipt
) -> Response:
    """Record that one of several holders says yes; the last one gives."""
    once = once_of(request, app, body)
    return answer(await receipts_giving.approve_receipt(node, once, receipt, body, app=app.name))


@router.post("/receipts/{receipt}/refuse", **writes(wire.Receipt))
async def refuse_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.RefuseReceipt
) -> Response:
    """Record that the subject says no."""
    return answer(await receipts_issuer.refuse_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/withdraw", **writes(wire.Receipt))
async def withdraw_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.WithdrawReceipt
) -> Response:
    """Record that the subject withdraws: nothing more leaves."""
    return answer(
        await receipts_stopping.withdraw_receipt(node, once_of(request, app, body), receipt, body, app=app.name)
    )


@router.post("/receipts/{receipt}/defer", **writes(wire.Receipt))
async def defer_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.DeferReceipt
) -> Response:
    """Record that the subject puts off the answer."""
    return answer(await receipts_issuer.defer_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/pause", **writes(wire.Receipt))
async def pause_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.PauseReceipt
) -> Response:
    """Record that the subject pauses: nothing leaves until it is renewed."""
    return answer(await receipts_stopping.pause_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/renew", **writes(wire.Receipt))
async def renew_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.RenewReceipt
) -> Response:
    """Record that the subject says yes again, after a pause or because it was asked to confirm."""
    return answer(await receipts_giving.renew_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/revoke", **writes(wire.Receipt))
async def revoke_receipt(
    request: Request, node: NodeHere, app: ReceiptsApp, receipt: str, body: wire.RevokeReceipt
) -> Response:
    """Record that this company ends a receipt, whoever gave it."""
    return answer(await receipts_stopping.revoke_receipt(node, once_of(request, app, body), receipt, body))


@router.post("/receipts/{receipt}/invalidate", **writes(wire.Receipt))
async def invalidate_receipt(
    request: Request, node: NodeHere, app: ReceiptsApp, receipt: str, body: wire.InvalidateReceipt
) -> Response:
    """Record that a receipt given here never was valid."""
    return answer(await receipts_stopping.invalidate_receipt(node, once_of(request, app, body), receipt, body))


@router.post("/receipts/{receipt}/resources/search")
def find_resources(node: NodeHere, _app: ReceiptsReader, receipt: str, body: wire.FindResources) -> wire.Resources:
    """Return how the link of a receipt calls resources of ours."""
    return receipts_resources.find_resources(node, receipt, body)


@router.post("/receipts/{receipt}/narrow", **writes(wire.Receipt))
async def narrow_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.NarrowReceipt
) -> Response:
    """Record that the subject takes a part of the consent back."""
    return answer(await receipts_giving.narrow_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.get("/receipts/{receipt}/versions")
def list_versions(node: NodeHere, _app: ReceiptsReader, receipt: str) -> wire.ReceiptVersions:
    """Return every version of a receipt, and what each changes."""
    return receipts_versions.list_versions(node, receipt)


@router.post("/receipts/{receipt}/versions/request", **writes(wire.Receipt, 201))
async def request_version(
    request: Request, node: NodeHere, app: ReceiptsApp, receipt: str, body: wire.RequestVersion
) -> Response:
    """Ask the subject for a next version of a receipt."""
    return answer(await receipts_recipient.request_version(node, once_of(request, app, body), receipt, body))


@router.post("/receipts/{receipt}/versions/give", **writes(wire.Receipt))
async def give_version(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.GiveReceipt
) -> Response:
    """Record that the subject gives the next version."""
    return answer(await receipts_giving.give_version(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/versions/refuse", **writes(wire.Receipt))
async def refuse_version(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.RefuseReceipt
) -> Response:
    """Record that the subject says no to the next version."""
    return answer(await receipts_issuer.refuse_version(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/events", **writes(wire.Event, 201))
async def record_event(request: Request, node: NodeHere, app: EventsApp, body: wire.RecordEvent) -> Response:
    """Record an event of a customer's journey."""
    return answer(await events.record_event(node, once_of(request, app, body), body))


@router.post("/corrections", **writes(wire.Correction, 201))
async def correct_event(request: Request, node: NodeHere, app: EventsApp, body: wire.CorrectEvent) -> Response:
    """Correct an event that was recorded wrongly, or was missing when its period closed; what follows from it at which
    partner is told to an app that may read receipts."""
    once = once_of(request, app, body)
    return answer(await corrections.correct_event(node, once, body, tells_effects="receipts:read" in app.scopes))


@router.get("/events/{event}")
def get_event(node: NodeHere, _app: EventsReader, event: str) -> wire.Event:
    """Return an event, opened."""
    return events.get_event(node, event)


@router.post("/programs", **writes(wire.Program, 201))
async def publish_program(request: Request, node: NodeHere, app: ProgramsApp, body: wire.PublishProgram) -> Response:
    """Publish a program of this company, and propose it to its issuers."""
    return answer(await programs.publish_program(node, once_of(request, app, body), body))


@router.get("/programs")
def list_programs(node: NodeHere, _app: ProgramsReader) -> wire.Programs:
    """Return every program this node knows."""
    return programs.list_programs(node)


@router.post("/programs/{name}/{version}/accept", **writes(wire.Program))
async def accept_program(
    request: Request, node: NodeHere, app: ProgramsApp, name: str, version: Version, body: wire.AcceptProgram
) -> Response:
    """Sign a partner's program."""
    return answer(await programs.accept_program(node, once_of(request, app, body), name, version, body))


@router.post("/programs/try")
def try_program(node: NodeHere, _app: DryRunApp, body: wire.TryProgram) -> wire.TriedProgram:
    """Try a program on past periods of this node's own events; nothing is published, issued or kept."""
    return trying.try_program(node, body)


@router.get("/budgets/{program}/{period}")
def find_budget(node: NodeHere, _app: ProgramsReader, program: str, period: str) -> wire.Budget:
    """Return what a program may still pay in a period."""
    return rewards.find_budget(node, program, period)


@router.post("/claims/ask", **writes(wire.Asked, 202))
async def ask_claim(request: Request, node: NodeHere, app: ClaimsApp, body: wire.AskClaim) -> Response:
    """Ask a link's issuer for its answer on a period."""
    return answer(await asks.ask_claim(node, once_of(request, app, body), body))


@router.post("/claims/search")
async def held_claims(node: NodeHere, _app: ClaimsSubjectApp, body: wire.FindBySubject) -> wire.HeldClaims:
    """Return the claims that one customer's wallet can present."""
    return await wallet.hand_claims(node, body)


@router.get("/claims")
def list_claims(
    node: NodeHere,
    _app: ClaimsReader,
    limit: PageLimit = 100,
    cursor: PageCursor = None,
) -> wire.Claims:
    """Return a page of the claims this node issued or accepted."""
    return claims.list_claims(node, limit=limit, before=claims.cursor_number(cursor))


@router.post("/rewards/search")
def find_rewards(node: NodeHere, _app: RewardsReader, body: wire.FindBySubject) -> wire.Rewards:
    """Return the rewards of one customer, and why."""
    return rewards.find_rewards(node, body.subject)


@router.post("/decisions/search")
def find_decisions(node: NodeHere, _app: ReceiptsReader, body: wire.FindBySubject) -> wire.Decisions:
    """Return what this node decided about one customer, and why."""
    return decisions.find_decisions(node, body.subject)


@router.post("/erasures", **writes(wire.Erasures, 202))
async def erase_subject(request: Request, node: NodeHere, app: SubjectsEraser, body: wire.EraseSubject) -> Response:
    """Erase one customer: at once here, and link by link in the ledger and at partners."""
    return answer(await erasure.erase_subject(node, once_of(request, app, body), body))


@router.post("/erasures/search")
def find_erasures(node: NodeHere, _app: SubjectsReader, body: wire.FindErasures) -> wire.Erasures:
    """Return how far the erasure of one customer is, or which erasures partners have not attested."""
    return erasure.find_erasures(node, body)


@router.post("/certificates/search")
def find_certificate(node: NodeHere, _app: SubjectsReader, body: wire.FindBySubject) -> Certificate:
    """Return the certificate of one customer's erasure, to be checked offline."""
    return erasure.certificate(node, body.subject)


@router.post("/exports/search", response_model=Export)
def export_subject(node: NodeHere, _app: SubjectsReader, body: wire.ExportSubject) -> StreamingResponse:
    """Return everything about one customer, opened and proven, written as it is read."""
    return StreamingResponse(access.export_subject(node, body), media_type="application/json")


@router.post("/decisions/contest", **writes(wire.Contest, 201))
async def contest_decision(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, body: wire.ContestDecision
) -> Response:
    """Record that the subject says a decision is wrong."""
    return answer(await why.contest_decision(node, once_of(request, app, body), body))


@router.get("/decisions/contests")
def list_contests(
    node: NodeHere, _app: ReceiptsReader, limit: PageLimit = wire.PAGE_SIZE_MAX, cursor: PageCursor = None
) -> wire.OpenContests:
    """Return a page of what customers contest."""
    return why.list_contests(node, limit=limit, cursor=cursor)


@router.post("/why/search")
def explain(node: NodeHere, _app: WhyReader, body: wire.FindBySubject) -> wire.Explanations:
    """Return why, for everything about one customer: answers, silence, refusals, rewards."""
    return why.explain(node, body.subject)


def record_read(transaction: Transaction, *, app: str, what: str) -> None:
    """Write down that an auditor reads entries, before they are answered."""
    transaction.execute(insert(AUDIT_READS).values(key=app, path=what, read_at_s=transaction.now_s))
