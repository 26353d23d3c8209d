"""What witnesses say that they last cosigned of a log: asked at the addresses that a trust policy names.

A witness that cannot be asked is said to be so in the report; it accuses nobody.

Source: c2sp.org/tlog-witness (monitoring); LEDGER-FORMATS sections 6 and 10.
"""

import hashlib
import re
import time
from collections.abc import Callable
from http import HTTPStatus

import httpx

from tallystick.audit.keys import Keys
from tallystick.audit.views.seen import SeenHead
from tallystick.bounded import PLAIN, chunks_of, until
from tallystick_ledger.errors import BadInput, SignatureRejected
from tallystick_ledger.tlog.checkpoint import open_checkpoint
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES

READ_TIMEOUT_S = 5.0
DEADLINE_S = 15.0
"""How long one witness may take in all."""

_URL = re.compile(r"https?://[^\s?#@]{1,500}")


def ask_witnesses(
    keys: Keys, origin: str, http: httpx.Client, *, monotonic_s: Callable[[], float] = time.monotonic
) -> tuple[list[SeenHead], list[str]]:
    """Return what the witnesses of a policy last cosigned of a log, and a sentence for each that could not say.

    Args:
        keys: of a policy, whose witnesses have addresses.
        origin: the log's.
        http: carries the requests.
        monotonic_s: for the deadline alone.
    """
    seen: list[SeenHead] = []
    notes: list[str] = []
    log_keys = [known.key for known in keys.must_sign(origin)]
    for witness in () if keys.policy is None else keys.policy.witnesses:
        name = witness.name.decode(errors="replace")
        if witness.url is None or not _URL.fullmatch(witness.url):
            notes.append(f"Witness {name} was not asked: the policy has no address of it.")
            continue
        answer = _ask(f"{witness.url.rstrip('/')}/{_digest(origin)}/checkpoint", http, monotonic_s)
        if isinstance(answer, str):
            notes.append(f"Witness {name} {answer}.")
            continue
        try:
            checkpoint, opened = open_checkpoint(answer, origin=origin, keys=log_keys, cosigners=[witness.key])
        except (BadInput, SignatureRejected):
            notes.append(f"Witness {name} answers with something that the log has not signed.")
            continue
        if witness.key not in {each.key for each in opened.verified}:
            notes.append(f"Witness {name} answers with a head that it has not cosigned itself.")
        seen.append(SeenHead(checkpoint, answer, f"Witness {name}"))
    return seen, notes


def has_addresses(keys: Keys) -> bool:
    """Return whether a policy names witnesses that can be asked."""
    return keys.policy is not None and any(witness.url for witness in keys.policy.witnesses)


def _ask(url: str, http: httpx.Client, monotonic_s: Callable[[], float]) -> bytes | str:
    """Return a witness's answer, or what is to be said of there being none."""
    until_s = monotonic_s() + DEADLINE_S
    try:
        with (
            until(until_s, monotonic_s=monotonic_s),
            http.stream("GET", url, headers=PLAIN, timeout=READ_TIMEOUT_S, follow_redirects=False) as reply,
        ):
            if reply.status_code == HTTPStatus.NOT_FOUND:
                return "says that it has never seen this log"
            if reply.status_code != HTTPStatus.OK:
                return f"answers with status {reply.status_code}"
            raw = b""
            for chunk in chunks_of(reply):
                raw += chunk
                if len(raw) > NOTE_SIZE_MAX_BYTES or monotonic_s() > until_s:
                    return "does not come to an end"
            return raw
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"cannot be reached ({type(error).__name__})"


def _digest(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()
