"""The peer API: `/peer/v1`, for partners' nodes, each request signed and each answer too.

A partner is known by the key that signed; what it asks is applied once for its idempotency key, and a signed request
that was seen before is refused, also after a restart. A question always gets the same answer (P11).

Source: RFC 9421, RFC 9530, CONSTRUCTIONS (between nodes).
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from sqlalchemy import insert, select

from tallystick import wire
from tallystick.signing import VerifiedRequest, sign_response, verify_request
from tallystick_ledger.encoding import canonical_json, parse_json_object, to_base64url
from tallystick_ledger.errors import BadInput, TallyError
from tallystick_node.errors import ReplayDetected
from tallystick_node.flows import programs
from tallystick_node.flows.claims import accepting, asks, retracting
from tallystick_node.flows.links import accepting as links_accepting
from tallystick_node.flows.links import offers as links_offers
from tallystick_node.flows.receipts import issuer as receipts_issuer
from tallystick_node.flows.receipts import recipient as receipts_recipient
from tallystick_node.flows.receipts import stopping as receipts_stopping
from tallystick_node.flows.receipts import versions as receipts_versions
from tallystick_node.flows.subjects import erasure_attesting
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.problems import invalid_form, problem_headers, problem_of
from tallystick_node.storage.tables import NONCES

NONCE_SIZE_BYTES = 16

PREFIX = "/peer/v1"

router = APIRouter(prefix=PREFIX)


@dataclass(frozen=True, slots=True)
class _Call:
    """What is done with what comes to a path.

    Attributes:
        names_list: whether its body names a status list of the caller, which is fetched first.
    """

    path: str
    receive: Callable[[Node, str, Transaction, Any], wire.Reply]
    status: int = 200
    names_list: bool = False

    @property
    def body(self) -> type[wire.Request]:
        """What the path takes."""
        return wire.PEER_CALLS[PREFIX + self.path]


CALLS = {
    each.path: each
    for each in (
        _Call("/links", links_offers.receive_link),
        _Call("/links/confirmed", links_accepting.receive_link_confirmed),
        _Call("/programs", programs.receive_program),
        _Call("/agreements", programs.receive_agreement),
        _Call("/receipts/requested", receipts_issuer.receive_requested),
        _Call("/receipts/given", receipts_recipient.receive_given),
        _Call("/receipts/refused", receipts_recipient.receive_refused),
        _Call("/receipts/withdrawn", receipts_stopping.receive_withdrawn),
        _Call("/receipts/version-refused", receipts_versions.receive_version_refused),
        _Call("/receipts/deferred", receipts_recipient.receive_deferred),
        _Call("/receipts/renewed", receipts_recipient.receive_renewed),
        _Call("/receipts/stopped", receipts_stopping.receive_stopped),
        _Call("/erasures", erasure_attesting.receive_erasure),
        _Call("/asks", asks.receive_ask, status=202),
        _Call("/claims/revoked", retracting.receive_retraction),
        _Call("/claims", accepting.receive_claim, names_list=True),
    )
}


@router.post("/{call:path}", include_in_schema=False)
async def receive(request: Request, call: str) -> Response:
    """Check who calls, apply it once, and sign the answer."""
    node: Node = request.app.state.node
    content = await request.body()
    try:
        partner, verified = await asyncio.to_thread(_identify, node, request, content)
    except TallyError as error:
        # Whoever this is, it is not a partner: the answer is not signed, and says nothing of what is here.
        problem = problem_of(error, request_id=request.state.request_id)
        return _response(StoredReply(problem.status, problem.model_dump_json()), problem_headers(problem))
    reply, told = await _answered(node, request, partner, verified, f"/{call}", content)
    signed = sign_response(
        status=reply.status,
        body=reply.body.encode(),
        request_headers=request.headers,
        key_id=node.keys.id("http"),
        private_key=node.keys.ed25519("http"),
        now_s=node.now_s(),
        nonce=to_base64url(node.random_bytes(NONCE_SIZE_BYTES)),
    )
    return _response(reply, {**told, **signed})


def _identify(node: Node, request: Request, content: bytes) -> tuple[str, VerifiedRequest]:
    """Return the partner whose key signed a request.

    Raises:
        SignatureRejected, ClockSkew, BadInput: not signed by a partner's key, or for another time.
    """
    keys: dict[str, Ed25519PublicKey] = {}
    whose: dict[str, str] = {}
    for partner in node.partners.all_live():
        for key_id, key in partner.ed25519("http").items():
            keys[key_id], whose[key_id] = key, partner.host
    verified = verify_request(
        method=request.method,
        url=node.settings.url + request.url.path,
        headers=request.headers,
        body=content,
        keys=keys,
        now_s=node.now_s(),
    )
    return whose[verified.key_id], verified


async def _answered(
    node: Node, request: Request, partner: str, verified: VerifiedRequest, path: str, content: bytes
) -> tuple[StoredReply, dict[str, str]]:
    """Return what a partner is answered, and the headers of it that are not signed."""
    try:
        node.partner_rates.count(partner)
        return await _apply(node, request, partner, verified, path, content), {}
    except ValidationError as error:
        problem = invalid_form(
            error.errors(include_input=False, include_url=False, include_context=False),
            request_id=request.state.request_id,
        )
    except TallyError as error:
        problem = problem_of(error, request_id=request.state.request_id)
    return StoredReply(problem.status, problem.model_dump_json()), problem_headers(problem)


async def _apply(
    node: Node, request: Request, partner: str, verified: VerifiedRequest, path: str, content: bytes
) -> StoredReply:
    """Do what a partner asks, once.

    Raises:
        ValidationError, TallyError: as the form, or the flow, refuses it.
    """
    named = canonical_json([request.method, request.url.path, partner])
    once = Once(
        caller=f"peer:{partner}",
        key=verified.idempotency_key,
        fingerprint=hashlib.sha256(named + b"\n" + content).hexdigest(),
        guard=lambda transaction: _remember(transaction, verified),
    )
    call = CALLS.get(path)
    if call is None:
        raise BadInput("There is no such call between partners.", remedy="Compare the protocol versions.")
    body = _parse(call, content)
    if call.names_list and body is not None:
        await request.app.state.status_fetches.fetch(partner, body)

    def receive(transaction: Transaction) -> wire.Reply:
        transaction.subject = ""  # what a partner is answered tells of nobody by itself; else its receiver says so
        return call.receive(node, partner, transaction, body) if body else wire.Asked()

    return await node.once(once, receive, lambda reply, _: StoredReply(call.status, reply.model_dump_json()))


def _parse(call: _Call, content: bytes) -> wire.Request | None:
    """Return the body of a call; None for a question that is not one: it gets the answer that every question gets."""
    try:
        parse_json_object(content)
        return call.body.model_validate_json(content)
    except (ValidationError, BadInput):
        if call.body is wire.PeerAsk:
            return None
        raise


def _remember(transaction: Transaction, verified: VerifiedRequest) -> None:
    """Remember a signature's nonce until it expires; refuse one that is remembered."""
    mine = (NONCES.c.key_id == verified.key_id, NONCES.c.nonce == verified.nonce)
    if transaction.row(select(NONCES.c.nonce).where(*mine)) is not None:
        raise ReplayDetected("This signed request was seen before.", remedy="Sign each attempt anew.")
    transaction.execute(
        insert(NONCES).values(key_id=verified.key_id, nonce=verified.nonce, expires_at_s=verified.expires_s)
    )


def _response(reply: StoredReply, headers: dict[str, str]) -> Response:
    media_type = "application/problem+json" if reply.status >= 400 else "application/json"
    return Response(reply.body, reply.status, headers, media_type=media_type)
