"""Whether a claim still stands: its place in a list, the list as everybody may read it, and a partner's list.

There is a list, or a run of them, for each partner alone: what is revoked for one tells another nothing. Places are
drawn at random, so neither order nor number tells which claims were made together (P6).

Source: CONSTRUCTIONS (between nodes), SCENARIOS 1.09, draft-ietf-oauth-status-list.
"""

from typing import Any

from sqlalchemy import insert, select, update

from tallystick_consent.claims.status_list import INVALID, Place, Status, issue_status_token, pack
from tallystick_node.errors import no_such_thing
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.statuses import LIFE_S, LIST_SIZE_BYTES, TTL_S
from tallystick_node.storage.tables import CLAIMS, STATUS_LISTS, STATUS_PLACES

PLACES_COUNT = 8 * LIST_SIZE_BYTES
PLACES_USED_MAX = PLACES_COUNT // 2


_TAKE = insert(STATUS_PLACES)


class Places:
    """Places for claims that are made for one partner: random ones that were never used."""

    def __init__(self, node: Node, transaction: Transaction, *, partner: str, count: int) -> None:
        """Draw places; those that nobody asks for are left as they were.

        Args:
            count: how many will be asked for at most; more cost more.
        """
        self._node, self._transaction, self._partner = node, transaction, partner
        self._name, self._left, self._taken = "", 0, 0
        self._free: list[int] = []
        self._ahead = count

    def draw(self) -> Status:
        """Return a place that nobody has."""
        if self._left == 0:
            self._open_list()
        while not self._free:
            self._free = self._drawn()
        number = self._free.pop()
        self._transaction.collect(_TAKE, list=self._name, number=number)
        self._left -= 1
        self._taken += 1
        return Status(status_list=Place(idx=number, uri=list_uri(self._node.host, self._name)))

    def keep(self) -> None:
        """Keep how many places were taken."""
        if self._taken:
            used = {"used": STATUS_LISTS.c.used + self._taken}
            self._transaction.execute(update(STATUS_LISTS).where(STATUS_LISTS.c.id == self._name).values(**used))
            self._taken = 0

    def _open_list(self) -> None:
        """Go on in the list that has room, or in a new one."""
        self.keep()
        row = self._transaction.row(
            select(STATUS_LISTS).where(STATUS_LISTS.c.partner == self._partner, STATUS_LISTS.c.used < PLACES_USED_MAX)
        )
        self._name = _begin_list(self._transaction, partner=self._partner) if row is None else row.id
        self._left = PLACES_USED_MAX - (0 if row is None else row.used)
        self._free = []

    def _drawn(self) -> list[int]:
        """Return some places of the list, none of them taken."""
        # Half of a list is free, so that of a few at random some are.
        drawn = dict.fromkeys(_draw(self._transaction) for _ in range(self._ahead))
        is_one = (STATUS_PLACES.c.list == self._name, STATUS_PLACES.c.number.in_(drawn))
        taken = {row.number for row in self._transaction.execute(select(STATUS_PLACES.c.number).where(*is_one)).all()}
        return [number for number in drawn if number not in taken]


def place_columns(status: Status) -> dict[str, object]:
    """Return what a claim's row keeps of its place."""
    place = status.status_list
    return {"status_list": place.uri.rpartition("/")[2], "status_index": place.idx}


def list_uri(host: str, name: str) -> str:
    """Return the name of a company's list: under the company's host name, which stays when its node moves."""
    return f"https://{host}/status/{name}"


def _begin_list(transaction: Transaction, *, partner: str) -> str:
    name = transaction.new_id("stl")
    begun = {"id": name, "partner": partner, "created_at_s": transaction.now_s}
    transaction.execute(insert(STATUS_LISTS).values(**begun, used=0, changes=0))
    return name


def _draw(transaction: Transaction) -> int:
    # 2^64 is a multiple of the number of places, so that each is as likely as every other.
    return int.from_bytes(transaction.random_bytes(8)) % PLACES_COUNT


def _is(name: str, number: int) -> tuple[Any, Any]:
    return STATUS_PLACES.c.list == name, STATUS_PLACES.c.number == number


def revoke_claim(transaction: Transaction, claim: str, *, from_s: int = 0) -> None:
    """Set the status of a claim, named by its digest, to revoked; one that has no place cannot be.

    Args:
        from_s: when that begins to show, seconds since 1970-01-01 UTC; at once by default. Where one cause revokes
            claims for several partners, each has a time of its own, so that nobody can match them (P6).
    """
    row = transaction.row(select(CLAIMS.c.status_list, CLAIMS.c.status_index).where(CLAIMS.c.digest == claim))
    if row is None or row.status_list is None:
        return
    revoked = transaction.execute(
        update(STATUS_PLACES)
        .where(*_is(row.status_list, row.status_index), STATUS_PLACES.c.revoked_at_s.is_(None))
        .values(revoked_at_s=max(from_s, transaction.now_s))
    )
    # What shows later changes nothing now: a list that were signed anew would tell of it. It is signed often enough.
    if revoked.rowcount == 1 and from_s <= transaction.now_s:
        changed = {"changes": STATUS_LISTS.c.changes + 1}
        transaction.execute(update(STATUS_LISTS).where(STATUS_LISTS.c.id == row.status_list).values(**changed))


def published_list(node: Node, name: str) -> str:
    """Return one of our lists, signed: the same for everybody.

    Raises:
        NotFound: there is none of that name.
    """
    row = node.row(select(STATUS_LISTS).where(STATUS_LISTS.c.id == name))
    if row is None:
        raise no_such_thing()
    now_s, keys = node.now_s(), node.keys
    key_id = keys.id("claim")

    def sign() -> str:
        # Read after `changes` was: a claim that is revoked in between is in the list, and signed once more.
        revoked = (STATUS_PLACES.c.list == name) & (STATUS_PLACES.c.revoked_at_s <= now_s)
        places = [(each.number, INVALID) for each in node.rows(select(STATUS_PLACES.c.number).where(revoked))]
        return issue_status_token(
            pack(places, bits=1, size_bytes=LIST_SIZE_BYTES),
            uri=list_uri(node.host, name),
            now_s=now_s,
            life_s=LIFE_S,
            ttl_s=TTL_S,
            key_id=key_id,
            private_key=keys.ed25519("claim"),
        )

    return node.own_lists.token(name, changes=row.changes, key_id=key_id, now_s=now_s, sign=sign)


def require_not_revoked(node: Node, issuer: str, status: Status | None) -> None:
    """Return quietly if a claim was not revoked; one of before there were status lists cannot be.

    Raises:
        ClaimRejected: it was revoked.
        StatusUnavailable: its list could not be had, is old, or not its issuer's.
    """
    if status is not None:
        node.partners_lists.require_valid(issuer, status, now_s=node.now_s())
