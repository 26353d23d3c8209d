"""The app API: `/v1`, for this company's own apps, by key and scope.

Every route fetches the caller, hands on, and answers; what may be done is decided in the flows.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from tallystick import wire
from tallystick.papers import Certificate, Export
from tallystick_consent.fields import Version
from tallystick_node.flows import events, programs, trying
from tallystick_node.flows.app_keys import App
from tallystick_node.flows.claims import asks, corrections, decisions, rewards, wallet, why
from tallystick_node.flows.claims import listing as claims
from tallystick_node.flows.links import accepting as links_accepting
from tallystick_node.flows.links import offers as links_offers
from tallystick_node.flows.links import rows as links
from tallystick_node.flows.subjects import access, erasure
from tallystick_node.routes.callers import (
    LinksApp,
    NodeHere,
    PageCursor,
    PageLimit,
    ReceiptsReader,
    ReceiptsSubjectApp,
    answer,
    once_of,
    require,
    writes,
)

router = APIRouter(prefix="/v1")

LinksSubjectApp = Annotated[App, Depends(require("links:write", "subject:assert"))]
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
    return answer(await links_offers.offer_link(node, once_of(request, app, body), body))


@router.post("/links/accept", **writes(wire.Link, 201))
async def accept_link(request: Request, node: NodeHere, app: LinksSubjectApp, body: wire.AcceptLink) -> Response:
    """Take a partner's link offer for a customer who is logged in."""
    return answer(await links_accepting.accept_link(node, request.app.state.http, once_of(request, app, body), body))


@router.post("/links/confirm", **writes(wire.Link))
async def confirm_link(request: Request, node: NodeHere, app: LinksApp, body: wire.ConfirmLink) -> Response:
    """Confirm a link in the session that began it."""
    return answer(await links_offers.confirm_link(node, once_of(request, app, body), body))


@router.post("/links/search")
def find_links(node: NodeHere, _app: LinksApp, body: wire.FindBySubject) -> wire.Links:
    """Return the links of one customer."""
    return links.find_links(node, body.subject)


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
