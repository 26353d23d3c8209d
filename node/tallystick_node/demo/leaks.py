"""Looks for private values where others can see: in published logs, on the wire, in the other company's data.

Long values are looked for in every byte, plain, encoded and as a bare hash; shorter ones are compared with every
scalar of every JSON document, also inside tokens. What this misses, an outside scanner may find: it is no proof.
"""

import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tallystick_node.demo.proxy import Exchange

LONG_MIN_CHARS = 6
SHORT_MIN_CHARS = 3
"""Anything shorter is found by chance in any index."""

DEPTH_MAX = 3
"""How many encodings inside one another are opened."""

_SEGMENT = re.compile(rb"[A-Za-z0-9_-]{8,}")


def find_leaks(values: Iterable[str], places: Mapping[str, bytes], *, agreed: Iterable[str] = ()) -> list[str]:
    """Return the names of places that hold a private value, without the value.

    Args:
        values: the private ones.
        places: what others can see, by name.
        agreed: values that both know by contract, which may stand as scalars.
    """
    secret = {value for value in values if len(value) >= SHORT_MIN_CHARS} - set(agreed)
    forms = [form for value in secret if len(value) >= LONG_MIN_CHARS for form in _forms(value)]
    return [
        name
        for name, content in places.items()
        if any(form in content for form in forms) or not secret.isdisjoint(_scalars(content))
    ]


def exchanged(exchanges: Iterable[Exchange]) -> dict[str, bytes]:
    """Return each part of each exchange, by name."""
    places: dict[str, bytes] = {}
    for number, each in enumerate(exchanges, start=1):
        name = f"exchange {number}, {each.sender} to {each.receiver}, {each.path}"
        places[f"{name}: request"] = each.request
        places[f"{name}: response"] = each.response
        headers = {**each.request_headers, **{f"response {key}": text for key, text in each.response_headers.items()}}
        kept = {key: text for key, text in headers.items() if not key.lower().endswith(("content-length", "date"))}
        places[f"{name}: headers"] = json.dumps([each.path, kept]).encode()
    return places


def published(log: Path) -> dict[str, bytes]:
    """Return every file of a published log, by name, and of its bundles every entry by itself, once."""
    files = {str(path): path.read_bytes() for path in sorted(log.rglob("*")) if path.is_file()}
    bundles = {name: content for name, content in files.items() if "/tile/entries/" in name}
    # A bundle is served at each size it once had, so most entries stand in several.
    entries = {entry: name for name, content in bundles.items() for entry in _entries(content)}
    others = {name: content for name, content in files.items() if name not in bundles}
    return others | {f"{name}, entry {at}": entry for at, (entry, name) in enumerate(entries.items())}


def stored(folder: Path) -> dict[str, bytes]:
    """Return every file of a company's data folder, by name."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def holds_plain(values: Iterable[str], places: Mapping[str, bytes]) -> list[str]:
    """Return the names of places in which a long value stands as it is."""
    raw = [value.encode() for value in values if len(value) >= LONG_MIN_CHARS]
    return [name for name, content in places.items() if any(each in content for each in raw)]


def _entries(bundle: bytes) -> Iterator[bytes]:
    while len(bundle) >= 2:
        end = 2 + int.from_bytes(bundle[:2], "big")
        yield bundle[2:end]
        bundle = bundle[end:]


def _forms(value: str) -> Iterator[bytes]:
    raw = value.encode()
    yield from {raw, json.dumps(value)[1:-1].encode(), quote(value).encode(), raw.hex().encode()}
    for shift in range(3):  # inside a longer text that is encoded as a whole
        coded = base64.b64encode(b"\0" * shift + raw).rstrip(b"=")[(0, 2, 3)[shift] : -1]
        yield from {coded, coded.translate(bytes.maketrans(b"+/", b"-_"))}
    for name in ("md5", "sha1", "sha256"):
        digest = hashlib.new(name, raw, usedforsecurity=False).digest()
        yield from (digest, digest.hex().encode(), base64.b64encode(digest)[:-2], base64.urlsafe_b64encode(digest)[:-2])


def _scalars(content: bytes, depth: int = 0) -> Iterator[str]:
    with contextlib.suppress(ValueError, RecursionError):
        yield from _walk(json.loads(content))
    if depth == DEPTH_MAX:
        return
    for segment in set(_SEGMENT.findall(content)):
        try:
            inner = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
        except ValueError:
            continue
        if inner[:1] in (b"{", b"["):
            yield from _scalars(inner, depth + 1)


def _walk(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():  # pyright: ignore[reportUnknownVariableType]  # any JSON
            yield str(key)  # pyright: ignore[reportUnknownArgumentType]
            yield from _walk(value)
    elif isinstance(document, list):
        for value in document:  # pyright: ignore[reportUnknownVariableType]  # any JSON
            yield from _walk(value)
    elif document is not None and not isinstance(document, bool):
        yield str(document)
