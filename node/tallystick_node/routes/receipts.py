"""The app API about receipts: asked for, given, changed and stopped; `/v1/receipts`."""

from fastapi import APIRouter, Request, Response

from tallystick import wire
from tallystick_node.flows.receipts import (
    duties,
    giving,
    issuer,
    recipient,
    resources,
    showing,
    steps,
    stopping,
    versions,
)
from tallystick_node.routes.callers import (
    NodeHere,
    PageCursor,
    PageLimit,
    ReceiptsApp,
    ReceiptsReader,
    ReceiptsSubjectApp,
    answer,
    once_of,
    writes,
)

router = APIRouter(prefix="/v1")


@router.post("/receipts/request", **writes(wire.Receipt, 201))
async def request_receipt(request: Request, node: NodeHere, app: ReceiptsApp, body: wire.RequestReceipt) -> Response:
    """Ask the subject of a link for consent."""
    return answer(await recipient.request_receipt(node, once_of(request, app, body), body))


@router.post("/receipts/search")
def find_receipts(node: NodeHere, _app: ReceiptsReader, body: wire.FindReceipts) -> wire.Receipts:
    """Return the receipts of one customer or link."""
    return showing.find_receipts(node, body)


@router.get("/receipts/unacknowledged")
def list_unacknowledged(
    node: NodeHere, _app: ReceiptsReader, limit: PageLimit = wire.PAGE_SIZE_MAX, cursor: PageCursor = None
) -> wire.Unacknowledged:
    """Return a page of the steps of receipts that partners have not signed for."""
    return steps.find_unacknowledged(node, limit=limit, cursor=cursor)


@router.get("/duties")
def list_duties(
    node: NodeHere, _app: ReceiptsReader, limit: PageLimit = wire.PAGE_SIZE_MAX, cursor: PageCursor = None
) -> wire.Duties:
    """Return a page of what this company keeps of receipts under which it receives, and until when."""
    return duties.find_duties(node, limit=limit, cursor=cursor)


@router.get("/receipts/{receipt}")
def get_receipt(node: NodeHere, _app: ReceiptsReader, receipt: str) -> wire.Receipt:
    """Return one receipt."""
    return showing.get_receipt(node, receipt)


@router.post("/receipts/{receipt}/give", **writes(wire.Receipt))
async def give_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.GiveReceipt
) -> Response:
    """Record that the subject gives consent."""
    return answer(await giving.give_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/approve", **writes(wire.Receipt))
async def approve_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.ApproveReceipt
) -> Response:
    """Record that one of several holders says yes; the last one gives."""
    once = once_of(request, app, body)
    return answer(await giving.approve_receipt(node, once, receipt, body, app=app.name))


@router.post("/receipts/{receipt}/refuse", **writes(wire.Receipt))
async def refuse_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.RefuseReceipt
) -> Response:
    """Record that the subject says no."""
    return answer(await issuer.refuse_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/withdraw", **writes(wire.Receipt))
async def withdraw_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.WithdrawReceipt
) -> Response:
    """Record that the subject withdraws: nothing more leaves."""
    return answer(await stopping.withdraw_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/defer", **writes(wire.Receipt))
async def defer_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.DeferReceipt
) -> Response:
    """Record that the subject puts off the answer."""
    return answer(await issuer.defer_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/pause", **writes(wire.Receipt))
async def pause_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.PauseReceipt
) -> Response:
    """Record that the subject pauses: nothing leaves until it is renewed."""
    return answer(await stopping.pause_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/renew", **writes(wire.Receipt))
async def renew_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.RenewReceipt
) -> Response:
    """Record that the subject says yes again, after a pause or because it was asked to confirm."""
    return answer(await giving.renew_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/revoke", **writes(wire.Receipt))
async def revoke_receipt(
    request: Request, node: NodeHere, app: ReceiptsApp, receipt: str, body: wire.RevokeReceipt
) -> Response:
    """Record that this company ends a receipt, whoever gave it."""
    return answer(await stopping.revoke_receipt(node, once_of(request, app, body), receipt, body))


@router.post("/receipts/{receipt}/invalidate", **writes(wire.Receipt))
async def invalidate_receipt(
    request: Request, node: NodeHere, app: ReceiptsApp, receipt: str, body: wire.InvalidateReceipt
) -> Response:
    """Record that a receipt given here never was valid."""
    return answer(await stopping.invalidate_receipt(node, once_of(request, app, body), receipt, body))


@router.post("/receipts/{receipt}/resources/search")
def find_resources(node: NodeHere, _app: ReceiptsReader, receipt: str, body: wire.FindResources) -> wire.Resources:
    """Return how the link of a receipt calls resources of ours."""
    return resources.find_resources(node, receipt, body)


@router.post("/receipts/{receipt}/narrow", **writes(wire.Receipt))
async def narrow_receipt(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.NarrowReceipt
) -> Response:
    """Record that the subject takes a part of the consent back."""
    return answer(await giving.narrow_receipt(node, once_of(request, app, body), receipt, body, app=app.name))


@router.get("/receipts/{receipt}/versions")
def list_versions(node: NodeHere, _app: ReceiptsReader, receipt: str) -> wire.ReceiptVersions:
    """Return every version of a receipt, and what each changes."""
    return versions.list_versions(node, receipt)


@router.post("/receipts/{receipt}/versions/request", **writes(wire.Receipt, 201))
async def request_version(
    request: Request, node: NodeHere, app: ReceiptsApp, receipt: str, body: wire.RequestVersion
) -> Response:
    """Ask the subject for a next version of a receipt."""
    return answer(await recipient.request_version(node, once_of(request, app, body), receipt, body))


@router.post("/receipts/{receipt}/versions/give", **writes(wire.Receipt))
async def give_version(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.GiveReceipt
) -> Response:
    """Record that the subject gives the next version."""
    return answer(await giving.give_version(node, once_of(request, app, body), receipt, body, app=app.name))


@router.post("/receipts/{receipt}/versions/refuse", **writes(wire.Receipt))
async def refuse_version(
    request: Request, node: NodeHere, app: ReceiptsSubjectApp, receipt: str, body: wire.RefuseReceipt
) -> Response:
    """Record that the subject says no to the next version."""
    return answer(await issuer.refuse_version(node, once_of(request, app, body), receipt, body, app=app.name))
