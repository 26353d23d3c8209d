"""The app API about people: who speaks for whom, and those who come by letter, by phone or to a desk."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response

from tallystick import wire
from tallystick.papers import SignedReceipt
from tallystick_node.flows.app_keys import App
from tallystick_node.flows.people import acts, answering, desk, matching, standings
from tallystick_node.flows.receipts import exporting
from tallystick_node.routes.callers import (
    LinksApp,
    NodeHere,
    PageCursor,
    PageLimit,
    ReceiptsApp,
    ReceiptsReader,
    ReceiptsSubjectApp,
    answer,
    once_of,
    require,
    writes,
)

router = APIRouter(prefix="/v1")

DeskApp = Annotated[App, Depends(require("desk:write"))]
DeskLinksApp = Annotated[App, Depends(require("desk:write", "links:write", "subject:assert"))]
StandingsApp = Annotated[App, Depends(require("standings:write"))]


@router.post("/standings", **writes(wire.Standing))
async def record_standing(request: Request, node: NodeHere, app: StandingsApp, body: wire.RecordStanding) -> Response:
    """Put on record who speaks for a customer; an app that did takes no yes for it."""
    return answer(await standings.record_standing(node, once_of(request, app, body), body, app=app.name))


@router.post("/standings/search")
def find_standing(node: NodeHere, _app: ReceiptsReader, body: wire.FindBySubject) -> wire.Standing:
    """Return who speaks for a customer."""
    return standings.find_standing(node, body.subject)


@router.post("/acts/search")
def find_acts(node: NodeHere, _app: ReceiptsReader, body: wire.FindBySubject) -> wire.Acts:
    """Return what one customer did other than in an app, each record opened."""
    return acts.find_acts(node, body.subject)


@router.post("/letters", **writes(wire.Letter, 201))
async def write_letter(request: Request, node: NodeHere, app: ReceiptsSubjectApp, body: wire.WriteLetter) -> Response:
    """Make a one-time code, for a letter to a customer's address on file."""
    return answer(await desk.write_letter(node, once_of(request, app, body), body))


@router.post("/desk", **writes(wire.Served))
async def serve(request: Request, node: NodeHere, app: DeskApp, body: wire.Serve) -> Response:
    """Do what a customer without an app asks for, who tells the code of a letter."""
    return answer(await desk.serve(node, once_of(request, app, body), body, app=app.name))


@router.get("/desk/requests")
def list_requests(
    node: NodeHere, _app: ReceiptsReader, limit: PageLimit = wire.PAGE_SIZE_MAX, cursor: PageCursor = None
) -> wire.OpenRequests:
    """Return a page of what customers without an app asked for, and nobody has answered."""
    return answering.list_requests(node, limit=limit, cursor=cursor)


@router.post("/desk/answers", **writes(wire.Answered))
async def answer_request(request: Request, node: NodeHere, app: ReceiptsApp, body: wire.AnswerRequest) -> Response:
    """Answer a request that was made at a desk; one to be erased needs the right to erase, where it is granted."""
    once = once_of(request, app, body)
    return answer(await answering.answer_request(node, once, body, app=app.name, scopes=app.scopes))


@router.post("/desk/delays", **writes(wire.AnswerDelayed))
async def delay_answer(request: Request, node: NodeHere, app: ReceiptsApp, body: wire.DelayAnswer) -> Response:
    """Record that an answer takes longer than a month, and that the customer was told why."""
    return answer(await answering.delay_answer(node, once_of(request, app, body), body, app=app.name))


@router.post("/decisions/contests/answer", **writes(wire.Contest))
async def answer_contest(request: Request, node: NodeHere, app: ReceiptsApp, body: wire.AnswerContest) -> Response:
    """Answer what a customer contests."""
    return answer(await answering.answer_contest(node, once_of(request, app, body), body, app=app.name))


@router.post("/links/match", **writes(wire.Match, 201))
async def match_link(request: Request, node: NodeHere, app: DeskLinksApp, body: wire.MatchLink) -> Response:
    """Take a link offer that somebody brought by letter, for the one customer it can be."""
    return answer(await matching.match_link(node, request.app.state.http, once_of(request, app, body), body))


@router.post("/links/matches/search")
def find_match(node: NodeHere, _app: LinksApp, body: wire.FindMatch) -> wire.Match:
    """Return what became of an offer that somebody brought by letter."""
    return matching.find_match(node, body.offer)


@router.get("/receipts/{receipt}/notice")
def show_notice(node: NodeHere, _app: ReceiptsReader, receipt: str) -> wire.Shown:
    """Return what the subject of a receipt was shown, word for word."""
    return exporting.show_notice(node, receipt)


@router.get("/receipts/{receipt}/signed")
def signed_receipt(node: NodeHere, _app: ReceiptsReader, receipt: str) -> SignedReceipt:
    """Return a receipt as both companies signed it, for `tally verify`."""
    return exporting.signed_receipt(node, receipt)


@router.get("/receipts/{receipt}/export/{form}")
def export_receipt(
    node: NodeHere, _app: ReceiptsReader, receipt: str, form: Literal["fhir", "fdx"]
) -> wire.ReceiptExport:
    """Return a receipt in the words of another standard."""
    return exporting.export_receipt(node, receipt, form)
