"""Partners' status lists, fetched before the write that takes a claim: nothing may wait for a network there.

The host of a partner may be slow, dead or hostile, and its own claim names which list is asked for. So each partner has
one fetch at a time, apart from everything else that this node does, and one that does not answer is left alone.

Source: DESIGN P13 and P15.
"""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

from tallystick import wire
from tallystick_consent.claims.claim import verify_claim
from tallystick_consent.errors import ClaimRejected
from tallystick_ledger.errors import TallyError
from tallystick_node.exchange import EXCHANGE_DEADLINE_S, exchange
from tallystick_node.flows.claims.accepting import stapled_to
from tallystick_node.flows.claims.status import list_uri
from tallystick_node.node import Node

FETCHED_AT_ONCE_MAX = 8
"""How many partners' hosts are waited for at a time; those of others wait for these."""

SILENT_FOR_S = 2
"""How long a host that did not answer is not asked again: shorter than a claim waits for its next attempt."""

_NAME = re.compile(r"stl_[a-z2-7]{26}")


class StatusFetches:
    """Fetches the lists that partners' claims name; whether a claim stands by them is found out in its write."""

    def __init__(self, node: Node) -> None:
        """Fetch for `node`, on threads of its own."""
        self._node = node
        self._pool = ThreadPoolExecutor(FETCHED_AT_ONCE_MAX, thread_name_prefix="status-lists")
        self._turns: dict[str, asyncio.Lock] = {}
        self._silent_until_s: dict[str, int] = {}

    def close(self) -> None:
        """Fetch no more; what is under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def fetch(self, issuer: str, body: wire.Request) -> None:
        """Fetch the list that a partner's claim names, unless there is a fresh one; its write finds out what it says.

        Claims of one partner wait for each other's lists, as long as one exchange may take and no longer.
        """
        assert isinstance(body, wire.PeerClaim), "only claims name a list"
        uri = await asyncio.to_thread(self._wanted, issuer, body)
        if uri is None:
            return
        try:
            async with asyncio.timeout(EXCHANGE_DEADLINE_S):
                await self._turns.setdefault(issuer, asyncio.Lock()).acquire()
        except TimeoutError:
            return
        try:
            if not self._is_known(issuer, uri) and self._node.now_s() >= self._silent_until_s.get(issuer, 0):
                await asyncio.get_running_loop().run_in_executor(self._pool, self._fetch, issuer, uri)
        finally:
            self._turns[issuer].release()

    def _wanted(self, issuer: str, body: wire.PeerClaim) -> str | None:
        """Return the list to fetch for a claim; None where there is no such claim, or there is no need to."""
        node, now_s = self._node, self._node.now_s()
        try:
            keys = stapled_to(node, body, issuer, now_s=now_s).issuer.ed25519("claim")
            claim = verify_claim(body.claim, issuer=issuer, audience=node.host, keys=keys, now_s=now_s)
        except TallyError:
            return None  # it is refused for that where it would be taken
        if claim.status is None or self._is_known(issuer, claim.status.status_list.uri):
            return None
        uri = claim.status.status_list.uri
        name = uri.rpartition("/")[2]
        return uri if uri == list_uri(issuer, name) and _NAME.fullmatch(name) else None

    def _is_known(self, issuer: str, uri: str) -> bool:
        return self._node.partners_lists.is_fresh(issuer, uri, now_s=self._node.now_s())

    def _fetch(self, issuer: str, uri: str) -> None:
        """Ask the address that the issuer's descriptor has now, and nobody else."""
        node = self._node
        partner = node.partners.live(issuer)
        answer = exchange(node.http, "GET", f"{partner.url}/status/{uri.rpartition('/')[2]}")
        if answer is None:
            self._silent_until_s[issuer] = node.now_s() + SILENT_FOR_S
            return
        if answer.status_code != 200:
            return
        try:
            token = answer.content.decode("ascii")
            keys = partner.ed25519("claim")
            node.partners_lists.keep(token, issuer=issuer, uri=uri, keys=keys, now_s=node.now_s())
        except (UnicodeDecodeError, ClaimRejected):
            return
