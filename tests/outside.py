"""What others see of a company, opened as far as anybody can open it, and where two such views differ.

Texts that hold more (JSON, signed tokens, notes, proofs, bundles, tiles) become dicts and lists, so that a difference
has a place with a name. Nothing is left out but where a test's own machine shows: loopback ports, and the hour of day
in a server's `date` header.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection, RowMapping, Table, select, text
from sqlmodel import SQLModel
from town import Company, Recorder

from tallystick_ledger.encoding import from_base64url
from tallystick_ledger.errors import BadInput, TallyError
from tallystick_ledger.tlog.blob import split_entries
from tallystick_ledger.tlog.head import parse_checkpoint_body
from tallystick_ledger.tlog.merkle import HASH_SIZE_BYTES
from tallystick_ledger.tlog.note import parse_lines
from tallystick_ledger.tlog.proof import parse_proof
from tallystick_ledger.tlog.tiles import BundlePath, decode_bundle, parse_path
from tallystick_node.storage.database import connect, is_postgres

Seen = Any
"""A value as it was opened: dicts, lists and scalars."""

LOOPBACK = re.compile(r"127\.0\.0\.1:[0-9]+")
ID = re.compile(r"\b[a-z]{3}_[a-z2-7]{26}\b")
NONCE = re.compile(r'(?<=nonce=")[^"]*')
SIGNATURE_SIZES = {64: 64, 72: 64, 2428: 2420}
"""What a signature line carries: a signature, or the time of eight bytes and a signature."""


@dataclass(frozen=True)
class Difference:
    """Where two views differ, by names from the outside in, and how: in `value`, `length` or `shape`."""

    place: tuple[str, ...]
    how: str

    @property
    def name(self) -> str:
        """The innermost name that is no index."""
        return next((each for each in reversed(self.place) if not each.isdigit()), "")


def differences(one: Seen, other: Seen, place: tuple[str, ...] = ()) -> Iterator[Difference]:
    """Yield every place where two views differ: other values, and values of another length, type or number."""
    if isinstance(one, dict) and isinstance(other, dict):
        if list(one) != list(other):
            yield Difference(place, "shape")
        for name in one.keys() & other.keys():
            yield from differences(one[name], other[name], (*place, str(name)))
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            yield Difference(place, "shape")
        for index, (here, there) in enumerate(zip(one, other, strict=False)):
            yield from differences(here, there, (*place, str(index)))
    elif type(one) is not type(other):
        yield Difference(place, "shape")
    elif one != other:
        sized = isinstance(one, str | bytes)
        yield Difference(place, "length" if sized and len(one) != len(other) else "value")


def opened(value: object) -> Seen:
    """Return a value with everything opened that it holds; what has no inside stays as it is."""
    if isinstance(value, Mapping):
        return {name: opened(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [opened(each) for each in value]
    if isinstance(value, bytes):
        try:
            return opened(value.decode())
        except UnicodeDecodeError:
            return value
    return _opened_text(value) if isinstance(value, str) else value


def _opened_text(text: str) -> Seen:
    if text[:1] in ("{", "["):
        try:
            return opened(json.loads(text))
        except ValueError:
            pass
    if text.startswith("c2sp.org/tlog-proof"):
        proof = parse_proof(text.encode())
        return {"index": proof.index, "hashes": list(proof.hashes), "checkpoint": opened(proof.checkpoint)}
    if "\n\n\N{EM DASH} " in text:
        return _opened_note(text.encode())
    token = _opened_token(text)
    return LOOPBACK.sub("127.0.0.1:PORT", text) if token is None else token


def _opened_note(note: bytes) -> Seen:
    body, _, lines = note.rpartition(b"\n\n")
    head = parse_checkpoint_body(body + b"\n")
    signed: list[Seen] = []
    for line in parse_lines(lines):
        size = SIGNATURE_SIZES[len(line.payload)]
        signed.append(
            {
                "name": line.name,
                "key_id": line.key_id,
                "time": line.payload[:-size],
                "signature": line.payload[-size:],
            }
        )
    return {"origin": head.origin, "size": head.size, "root": head.root, "lines": signed}


def _opened_token(text: str) -> Seen | None:
    """Return a compact JWS, or an SD-JWT and its disclosures; None for anything else."""
    jws, *shown = text.split("~")
    parts = jws.split(".")
    if len(parts) != 3 or not all(parts):
        return None
    try:
        header, payload = (json.loads(from_base64url(each)) for each in parts[:2])
        disclosures = [json.loads(from_base64url(each)) for each in shown if each]
    except (TallyError, ValueError):
        return None
    return {"header": opened(header), "payload": opened(payload), "signature": parts[2], "disclosed": disclosures}


class Tap(Recorder):
    """A recorder that keeps the headers too."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[tuple[dict[str, str], dict[str, str]]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        told = {name: value for name, value in response.headers.items() if name != "date"}
        self.headers.append((dict(request.headers), told))
        return response


def tap(company: Company) -> Tap:
    """Open a company's doors again, with everything recorded that it sends its partners."""
    company.stop()
    company.recorder = made = Tap()
    company.start()
    return made


def wire_of(company: Company) -> list[Seen]:
    """Return what a company sent its partners, and what they answered, in order."""
    assert isinstance(company.recorder, Tap)
    return [
        opened(
            {
                "path": exchange.path,
                "status": exchange.status,
                "request_headers": asked,
                "request_size": len(exchange.request),
                "request": exchange.request,
                "response_headers": told,
                "response_size": len(exchange.response),
                "response": exchange.response,
            }
        )
        for exchange, (asked, told) in zip(company.recorder.exchanges, company.recorder.headers, strict=True)
    ]


def log_of(company: Company) -> dict[str, Seen]:
    """Return every file of a company's published log, by path."""
    files = sorted(file for file in company.log.rglob("*") if file.is_file())
    return {str(file.relative_to(company.log)): _log_file(file, str(file.relative_to(company.log))) for file in files}


def _log_file(file: Path, path: str) -> Seen:
    raw = file.read_bytes()
    try:
        place = parse_path(path)
    except BadInput:
        return opened(raw)
    if isinstance(place, BundlePath):
        entries = decode_bundle(raw, count=place.width)
        return {"sizes": [len(each) for each in entries], "entries": [opened(each) for each in entries]}
    return {"hashes": _hashes(raw)}


def raw_of(company: Company) -> Iterator[bytes]:
    """Yield all that a company published or exchanged with partners, as it was."""
    assert isinstance(company.recorder, Tap)
    for file in company.log.rglob("*"):
        if file.is_file():
            yield file.read_bytes()
    for exchange, headers in zip(company.recorder.exchanges, company.recorder.headers, strict=True):
        yield from (exchange.path.encode(), exchange.request, exchange.response, json.dumps(headers).encode())


def database_of(company: Company) -> dict[str, Seen]:
    """Return every row of a company's database, by table; custody is not in it."""
    engine = connect(company.databases.node)
    try:
        with engine.connect() as connection:
            return {
                table.name: [_row(table.name, dict(row)) for row in _in_order(connection, table)]
                for table in SQLModel.metadata.sorted_tables
            }
    finally:
        engine.dispose()


def _in_order(connection: Connection, table: Table) -> Sequence[RowMapping]:
    """Return a table's rows in the order in which they were put in, as far as a database tells."""
    order = text("rowid") if not is_postgres(connection) else text("ctid")
    return connection.execute(select(table).order_by(order)).mappings().all()


def _row(table: str, row: dict[str, Any]) -> Seen:
    if table == "blob":
        row["entries"] = split_entries(row["entries"], count=row["count"])
    if table == "head":
        row["peaks"] = _hashes(row["peaks"])
    return opened(row)


def _hashes(raw: bytes) -> list[bytes]:
    return [raw[at : at + HASH_SIZE_BYTES] for at in range(0, len(raw), HASH_SIZE_BYTES)]


def stored_of(company: Company) -> bytes:
    """Return a company's database as it lies on disk, or as far as a server shows what lies on its own."""
    place = company.databases.node
    if isinstance(place, Path):
        return b"".join(path.read_bytes() for path in place.parent.glob(f"{place.name}*"))
    engine = connect(place)
    with engine.connect() as connection:
        rows = [row for table in SQLModel.metadata.sorted_tables for row in connection.execute(select(table)).all()]
    engine.dispose()
    return b"\n".join(each if isinstance(each, bytes) else str(each).encode() for row in rows for each in row)


class Renamed:
    """Replaces random names by the order in which they first appear, so that runs which drew other ones compare.

    The same name stays the same everywhere, so who is linked with what still counts.
    """

    def __init__(self) -> None:
        self._order: dict[str, str] = {}

    def __call__(self, seen: Seen) -> Seen:
        """Return what was seen with every id and nonce renamed."""
        if isinstance(seen, dict):
            return {
                name: self._rename(each) if name == "nonce" and isinstance(each, str) else self(each)
                for name, each in seen.items()
            }
        if isinstance(seen, list):
            return [self(each) for each in seen]
        if isinstance(seen, str):
            return NONCE.sub(lambda found: self._rename(found[0]), ID.sub(lambda found: self._rename(found[0]), seen))
        return seen

    def _rename(self, name: str) -> str:
        kind = name[:3] if ID.fullmatch(name) else "nonce"
        return self._order.setdefault(name, f"{kind}#{len(self._order)}")


def disguises(value: str) -> set[bytes]:
    """Return the bytes under which a value would show: plain, in hex, in base64 at any offset, and as a bare hash."""
    raw, forms = value.encode(), set[bytes]()
    for each in (raw, *(hashlib.new(name, raw).digest() for name in ("md5", "sha1", "sha256"))):
        forms |= {each, each.hex().encode()}
        for shift in range(3):
            coded = base64.b64encode(bytes(shift) + each).rstrip(b"=")[(0, 2, 3)[shift] : -1]
            forms |= {coded, coded.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms


def scalars(seen: Seen) -> Iterator[str]:
    """Yield every name and every text or number in what was seen."""
    if isinstance(seen, dict):
        yield from map(str, seen)
        for each in seen.values():
            yield from scalars(each)
    elif isinstance(seen, list):
        for each in seen:
            yield from scalars(each)
    elif isinstance(seen, bytes):
        yield seen.decode("latin-1")
    elif seen is not None:
        yield str(seen)
