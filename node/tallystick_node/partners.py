"""The partners of a node: their descriptors as they stand in its database, and what they signed.

A partner that the operator adds or removes beside the running node counts from the next look on.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.sql.expression import Executable

from tallystick.descriptor import Descriptor, open_descriptor
from tallystick_consent.signed import SignedObject, open_object
from tallystick_ledger.errors import SignatureRejected
from tallystick_ledger.times import DAY_S
from tallystick_node.errors import PartnerUnknown
from tallystick_node.storage.tables import PARTNERS

GIVEN_UP_COUNTS_S = 60 * DAY_S
"""How long after a partner gave up a key what it had signed may still come: it was away, or we were."""

_Object = TypeVar("_Object", bound=SignedObject)


class Partners:
    """Whom a node trusts, by host."""

    def __init__(self, rows: Callable[[Executable], Sequence[Any]], *, now_s: Callable[[], int]) -> None:
        """Look partners up.

        Args:
            rows: answers a query, as of now.
            now_s: the node's time, seconds since 1970-01-01 UTC.
        """
        self._rows = rows
        self._now_s = now_s
        self._opened: dict[str, tuple[str, Descriptor]] = {}  # by host, opened once: a replaced one counts at once

    def live(self, host: str) -> Descriptor:
        """Return a partner's descriptor, with those of its keys that count for what comes now.

        Raises:
            PartnerUnknown: no partner of that name was added here.
        """
        return self.known(host).live(self._now_s())

    def known(self, host: str) -> Descriptor:
        """Return a partner's descriptor with all of its keys, the ended and the revoked among them.

        Raises:
            PartnerUnknown: no partner of that name was added here.
        """
        rows = self._rows(select(PARTNERS).where(PARTNERS.c.host == host))
        if not rows:
            raise PartnerUnknown(
                "No partner of that name was added to this node.",
                remedy="The operator adds it: tally-node partner add DESCRIPTOR --fingerprint HEX",
            )
        return self._described(rows[0])

    def opened(self, token: str, kind: type[_Object], *, of: str) -> _Object:
        """Return the content of an object that the partner `of` sent or answered, signed under its `receipt` key.

        It comes under the `http` key that the partner has today. So a `receipt` key counts also where it did when the
        object was signed, for some weeks: what waits on its way while that key is given up stays good, and who has that
        key alone cannot send it.

        Raises:
            PartnerUnknown: no partner of that name was added here.
            SignatureRejected, BadInput, ReceiptRejected: as `open_object`.
        """
        known = self.known(of)
        try:
            return open_object(token, kind, keys=known.live(self._now_s()).ed25519("receipt"))
        except SignatureRejected:
            signed_s = open_object(token, kind, keys=known.regardless().ed25519("receipt")).at
            then = known.given_up_after(self._now_s() - GIVEN_UP_COUNTS_S).good_at(signed_s)
            return open_object(token, kind, keys=then.ed25519("receipt"))

    def token(self, host: str) -> str:
        """Return a partner's descriptor as it was signed; "" where there is no such partner."""
        rows = self._rows(select(PARTNERS.c.descriptor).where(PARTNERS.c.host == host))
        return str(rows[0].descriptor) if rows else ""

    def all_live(self) -> list[Descriptor]:
        """Return every partner's descriptor, with those of its keys that count for what comes now."""
        now_s = self._now_s()
        return [self._described(row).live(now_s) for row in self._rows(select(PARTNERS))]

    def _described(self, row: Any) -> Descriptor:
        text, described = self._opened.get(row.host, ("", None))
        if described is None or text != row.descriptor:
            described = open_descriptor(row.descriptor, expected_fingerprint=row.fingerprint)
            self._opened[row.host] = row.descriptor, described
        return described


def clashes(rows: Sequence[Any], described: Descriptor) -> bool:
    """Return whether another partner has a key of an id that this one lists.

    A key id is short, so one could be made to equal another partner's: then requests would be mistaken.
    """
    mine = {each.id for each in described.keys}
    others = (row for row in rows if row.host != described.host)
    opened = (open_descriptor(row.descriptor, expected_fingerprint=row.fingerprint) for row in others)
    return any(mine & {each.id for each in known.keys} for known in opened)
