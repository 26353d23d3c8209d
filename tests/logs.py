"""Logs on disk for tests, written as a node writes them: size after size, older partial tiles left where they were."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from signers import NOW_S, ed25519_key, ml_dsa_key
from trees import root_of

from tallystick_ledger.append import plan_append
from tallystick_ledger.encoding import new_id, to_base64url
from tallystick_ledger.entry import Entry, make_entry, parse_entry
from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.merkle import Frontier
from tallystick_ledger.tlog.note import CosignatureSigner, NoteSigner, sign_note
from tallystick_ledger.tlog.tiles import TILE_WIDTH, BundlePath, TilePath, encode_bundle, paths_between

PREFIXES = {
    "receipt": "rcp",
    "transfer": "trf",
    "event": "evt",
    "disclosure": "dis",
    "acceptance": "acc",
    "correction": "cor",
}


def digest(text: str) -> str:
    """Return 32 bytes that stand for `text`, as JSON has them."""
    return to_base64url(hashlib.sha256(text.encode()).digest())


def identifier(prefix: str, text: str) -> str:
    return new_id(prefix, hashlib.sha256(text.encode()).digest()[:16])


def entry_of(kind: str, body: dict[str, object], *, name: str, at_s: int = NOW_S) -> Entry:
    """Return an entry whose random parts come from `name`, so that a test is the same in every run."""
    blind = hashlib.sha256(f"blind {name}".encode()).digest()[:16]
    return make_entry(kind, body, entry_id=identifier(PREFIXES.get(kind, "ent"), name), blind=blind, at_s=at_s)


def plain_entries(count: int, *, origin: str) -> list[bytes]:
    """Return an opening and `count - 1` events."""
    opening = entry_of("opening", {"log": origin}, name="opening")
    events = [entry_of("event", {"commitment": digest(str(at))}, name=str(at)) for at in range(1, count)]
    return [each.raw for each in (opening, *events)]


def log_signers(origin: str) -> tuple[NoteSigner, CosignatureSigner]:
    seed = hashlib.sha256(origin.encode()).hexdigest()[:32]
    return NoteSigner(origin, ed25519_key(seed)), CosignatureSigner(origin, ml_dsa_key(seed))


def publish(
    folder: Path,
    entries: Sequence[bytes],
    *,
    origin: str,
    sizes: Sequence[int] = (),
    witnesses: Sequence[CosignatureSigner] = (),
    now_s: int | None = None,
) -> Path:
    """Write a log below `folder`, published at each of `sizes` and at its end; return the log's own folder.

    It is signed at `now_s`, or at the time that its last entry states.
    """
    log, frontier, levels = folder / "log", Frontier.empty(), [list[bytes]()]
    for size in (*sizes, len(entries)):
        plan = plan_append(frontier, entries[frontier.size : size])
        _extend(levels, plan.leaves)
        for place in paths_between(frontier.size, size):
            path = log / place.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_content(place, entries, levels))
        frontier = plan.after
    signers = log_signers(origin)
    head = Checkpoint(origin, frontier.size, frontier.root())
    note = sign_note(head.body(), (*signers, *witnesses), now_s=_last_time(entries) if now_s is None else now_s)
    log.mkdir(parents=True, exist_ok=True)
    (log / "checkpoint").write_bytes(note)
    (folder / "log.vkey").write_text(signers[0].verifier_key.text + "\n")
    (folder / "log-pq.vkey").write_text(signers[1].verifier_key.text + "\n")
    if witnesses:
        (folder / "witnesses.vkey").write_text("".join(each.verifier_key.text + "\n" for each in witnesses))
    return log


def _last_time(entries: Sequence[bytes]) -> int:
    for raw in reversed(entries):
        with suppress(EntryMalformed):
            return parse_entry(raw).at_s
    return NOW_S


def _extend(levels: list[list[bytes]], leaves: Sequence[bytes]) -> None:
    levels[0] += leaves
    for at, hashes in enumerate(levels):
        full = len(hashes) // TILE_WIDTH
        if full and at + 1 == len(levels):
            levels.append([])
        for index in range(len(levels[at + 1]) if full else 0, full):
            levels[at + 1].append(root_of(hashes[index * TILE_WIDTH : (index + 1) * TILE_WIDTH]))


def _content(place: TilePath | BundlePath, entries: Sequence[bytes], levels: Sequence[Sequence[bytes]]) -> bytes:
    span = slice(place.index * TILE_WIDTH, place.index * TILE_WIDTH + place.width)
    return encode_bundle(entries[span]) if isinstance(place, BundlePath) else b"".join(levels[place.level][span])
