"""Descriptors on their way: ours to partners when our keys change, theirs to us, and never an older one.

A descriptor says itself whose it is: it counts if the identity that two people compared has signed it, and if it is
newer than the one known. So anybody may bring it, and nobody can bring an old one back. A partner that is away is told
once it returns; where an answer of a partner does not verify, its descriptor is fetched.

Between partners that have nothing to say to each other nothing crosses, so no descriptor is asked for by the clock.

Source: DESIGN section 7 (trust), CONSTRUCTIONS (keys).
"""

import asyncio
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx
from sqlalchemy import select, update

from tallystick.bounded import PLAIN, achunks_of
from tallystick.descriptor import Descriptor, DescriptorOlder, open_self_signed, require_newer
from tallystick_ledger.errors import BadInput, SignatureRejected, TallyError
from tallystick_node.errors import PartnerUnknown
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.partners import clashes
from tallystick_node.storage.tables import PARTNERS

DESCRIPTOR_PATH = "/.well-known/tallystick"
DESCRIPTOR_SIZE_MAX_BYTES = 256 * 1024
DESCRIPTOR_MEDIA_TYPE = "application/jwt"

CALL_TIMEOUT_S = 5.0
CALL_DEADLINE_S = 10.0
"""How long one exchange may take in all."""

AGAIN_AFTER_S = 60
"""How long a partner that could not be told, or asked, is left alone."""

log = logging.getLogger(__name__)


class Couriers:
    """Carries descriptors between this node and its partners; what it remembers may be lost without harm."""

    def __init__(self, node: Node, http: httpx.AsyncClient) -> None:
        self._node = node
        self._http = http
        self._told: dict[str, int] = {}
        self._not_before_s: dict[str, int] = {}
        self._doubted: set[str] = set()

    def doubt(self, partner: str) -> None:
        """Fetch a partner's descriptor before its next message, and bring it ours again: what it answered is not signed
        as we expect, or it does not know what we signed with."""
        self._doubted.add(partner)
        self._told.pop(partner, None)

    async def exchange(self, partner: str) -> None:
        """Bring our descriptor to a partner that was not brought the present one, and fetch one that is in doubt.

        Keys that were never changed are as the two people exchanged them, and not brought.
        """
        now_s, ring = self._node.now_s(), self._node.keys.ring
        changed = any(not key.is_current for key in ring.keys)
        if now_s < self._not_before_s.get(partner, 0):
            return
        if changed and self._told.get(partner) != ring.issued_at:
            await self._bring(partner, ring.issued_at, now_s)
        if partner in self._doubted:
            self._doubted.discard(partner)
            await self._fetch(partner, now_s)

    async def _bring(self, partner: str, issued_at: int, now_s: int) -> None:
        url = self._node.partners.known(partner).url + DESCRIPTOR_PATH
        answer = await self._call("POST", url, (await asyncio.to_thread(self._node.descriptor)).encode())
        # Anything else may be the word of what stands in front of it.
        if answer is not None and (answer[0] == HTTPStatus.CONFLICT or answer[0] in range(200, 300)):
            self._told[partner] = issued_at
        else:
            self._not_before_s[partner] = now_s + AGAIN_AFTER_S

    async def _fetch(self, partner: str, now_s: int) -> None:
        self._not_before_s[partner] = now_s + AGAIN_AFTER_S
        answer = await self._call("GET", self._node.partners.known(partner).url + DESCRIPTOR_PATH)
        if answer is None or answer[0] != HTTPStatus.OK:
            return
        try:
            text = answer[1].decode("ascii").strip()
            if text != self._node.partners.token(partner):
                await self._node.written(lambda transaction: take_descriptor(transaction, text))
        except (TallyError, UnicodeDecodeError) as error:
            log.warning("a partner's descriptor is not taken: %s", getattr(error, "code", "not ASCII"))

    async def _call(self, method: str, url: str, content: bytes = b"") -> tuple[int, bytes] | None:
        """Return status and body of an answer; None where none came in time, of a bounded size."""
        headers = {**PLAIN, "Content-Type": DESCRIPTOR_MEDIA_TYPE}
        try:
            async with (
                asyncio.timeout(CALL_DEADLINE_S),
                self._http.stream(
                    method, url, content=content, headers=headers, timeout=CALL_TIMEOUT_S, follow_redirects=False
                ) as response,
            ):
                received = bytearray()
                async for chunk in achunks_of(response):
                    received += chunk
                    if len(received) > DESCRIPTOR_SIZE_MAX_BYTES:
                        return None
                return response.status_code, bytes(received)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            return None


def take_descriptor(transaction: Transaction, token: str) -> None:
    """Replace a partner's descriptor by a newer one of the same identity.

    Raises:
        PartnerUnknown: no partner has that identity.
        DescriptorOlder: it is older than the one known. The same one again changes nothing.
        SignatureRejected, BadInput: it is none, or lists a key with the id of another partner's.
    """
    rows = transaction.execute(select(PARTNERS)).all()
    described = require_taken(rows, token)
    if described is not None:
        values = {"descriptor": token}
        transaction.execute(update(PARTNERS).where(PARTNERS.c.host == described.host).values(**values))


def require_taken(rows: Sequence[Any], token: str) -> Descriptor | None:
    """Return the descriptor that is to replace a partner's, None where it is the one that is known.

    Args:
        rows: every partner, as its table has it.
        token: what came, from anybody.

    Raises:
        PartnerUnknown, DescriptorOlder, SignatureRejected, BadInput: as `take_descriptor`.
    """
    if any(row.descriptor == token for row in rows):
        return None
    for row in _of_its_identity(rows, token):
        try:
            described = require_newer(token, row.descriptor, expected_fingerprint=row.fingerprint)
        except (DescriptorOlder, BadInput):
            raise
        except SignatureRejected:
            continue  # of another host, or moved to where only an operator may send this node
        if clashes(rows, described):
            raise SignatureRejected(
                "A descriptor lists a key of the same id as another partner's.", remedy="Rotate that key once more."
            )
        return described
    raise PartnerUnknown(
        "The descriptor is of no partner's identity.",
        remedy="Add the partner, once two people have compared its fingerprint.",
    )


def _of_its_identity(rows: Sequence[Any], token: str) -> list[Any]:
    """Return the partners whose identity has signed a descriptor. Anybody may bring one, as large as can be: it is
    opened once, and not for every partner.

    Raises:
        BadInput: it is none.
    """
    try:
        _, named = open_self_signed(token)
    except SignatureRejected:
        return []
    return [row for row in rows if row.fingerprint == named]
