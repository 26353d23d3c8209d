"""Status lists in memory: our own as they were last signed, and those of partners as they were last fetched.

A list is the same text for everybody who asks, so it is signed once for all, and a copy in front of the node serves as
well. Nothing here outlives the process: a list is signed, and fetched, anew.

Source: draft-ietf-oauth-status-list, sections 8 and 13 (ttl, caching).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tallystick_consent.claims.status_list import Status, StatusToken, require_valid, verify_status_token
from tallystick_node.errors import StatusUnavailable

LIST_SIZE_BYTES = 16 * 1024
"""131,072 places of one bit; half of them are used, so that a free one is found at once."""

TTL_S = 300
"""How long a partner may keep a copy: a revocation is heeded within this, and `SIGNED_AGAIN_AFTER_S`."""

LIFE_S = 3_600
"""How long a copy speaks at all; it bounds what an old copy, kept back by somebody, can pretend."""

SIGNED_AGAIN_AFTER_S = 60
KEPT_MAX = 1_000
"""Lists that are kept in memory: of a partner there are few."""


class _Signed(NamedTuple):
    token: str
    changes: int
    key_id: str
    at_s: int


@dataclass(frozen=True, slots=True)
class _Fetched:
    token: StatusToken
    at_s: int

    def is_fresh(self, now_s: int) -> bool:
        return self.at_s <= now_s < min(self.at_s + self.token.ttl_s, self.token.expires_s)


class OwnLists:
    """Our lists, each signed when it is asked for and has changed, or is old; for any number of threads."""

    def __init__(self) -> None:
        """Begin with none signed."""
        self._signed: dict[str, _Signed] = {}

    def token(self, name: str, *, changes: int, key_id: str, now_s: int, sign: Callable[[], str]) -> str:
        """Return a list's token: the last one while it is current, else what `sign` makes."""
        kept = self._signed.get(name)
        if kept is None or (kept.changes, kept.key_id) != (changes, key_id) or not _is_recent(kept, now_s):
            kept = self._signed[name] = _Signed(sign(), changes, key_id, now_s)
            _bound(self._signed)
        return kept.token


class PartnersLists:
    """Partners' lists, each kept for as long as its issuer says; for any number of threads."""

    def __init__(self) -> None:
        """Begin with none fetched."""
        self._fetched: dict[tuple[str, str], _Fetched] = {}

    def is_fresh(self, issuer: str, uri: str, *, now_s: int) -> bool:
        """Return whether a list needs not be fetched."""
        kept = self._fetched.get((issuer, uri))
        return kept is not None and kept.is_fresh(now_s)

    def keep(self, token: str, *, issuer: str, uri: str, keys: Mapping[str, Ed25519PublicKey], now_s: int) -> None:
        """Keep what was fetched, if it is the list that was asked for, signed by its issuer, and current.

        Raises:
            ClaimRejected: it is not.
        """
        self._fetched[issuer, uri] = _Fetched(verify_status_token(token, uri=uri, keys=keys, now_s=now_s), now_s)
        _bound(self._fetched)

    def require_valid(self, issuer: str, status: Status, *, now_s: int) -> None:
        """Return quietly if a claim stands, by a list that is fresh.

        Raises:
            ClaimRejected: the claim was revoked, or its list has no such place.
            StatusUnavailable: no fresh list could be had; a claim whose status is not known is not used.
        """
        kept = self._fetched.get((issuer, status.status_list.uri))
        if kept is None or not kept.is_fresh(now_s):
            raise StatusUnavailable(
                "Whether a claim still stands could not be looked up.",
                remedy="Publish the status list that the claim names, signed and current, then send the claim again.",
            )
        require_valid(status, kept.token)


def _is_recent(kept: _Signed, now_s: int) -> bool:
    return 0 <= now_s - kept.at_s < SIGNED_AGAIN_AFTER_S


def _bound(kept: dict[Any, Any]) -> None:
    while len(kept) > KEPT_MAX:
        kept.pop(next(iter(kept)), None)  # another thread may have taken the same one
