"""Logs to measure: entries of about 400 bytes, a finished log in a folder, and a node's writer over a fresh database.

Everything is written below `build/bench/`, on the disk where the repository lies: a folder in memory would make a
durable write look free.
"""

import atexit
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from tallystick.wire import EntryProof
from tallystick_ledger.append import plan_append
from tallystick_ledger.encoding import new_id, to_base64url
from tallystick_ledger.entry import BLIND_SIZE_BYTES, make_entry
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.hashing import leaf_hashes
from tallystick_ledger.tlog.merkle import Frontier
from tallystick_ledger.tlog.note import CosignatureSigner, NoteSigner, sign_note
from tallystick_ledger.tlog.reader import TileReader
from tallystick_ledger.tlog.tiles import (
    TILE_WIDTH,
    BundlePath,
    TilePath,
    encode_bundle,
    paths_for,
    split_tile,
)
from tallystick_node.clock import SystemClock
from tallystick_node.config import Settings
from tallystick_node.keys.signing import FixedSigners
from tallystick_node.log.publisher import Publisher
from tallystick_node.log.store import FolderStore
from tallystick_node.log.writer import OwnLog, Writer
from tallystick_node.migrations import open_database

ROOT = Path(__file__).parent.parent
ORIGIN = "gym.example/log/2027"
KIND = "event"
PUBLISH_EVERY_S = Settings.model_fields["publish_interval_ms"].default / 1000

Body = dict[str, object]


def folder() -> AbstractContextManager[Path]:
    """Give an empty folder on the repository's disk, which is removed when the run ends.

    Not before: ext4 passes over inodes that were deleted in the last seconds one by one when it makes a new one, and
    so each file of a turn took twenty times as long where the turn before had just removed its own.
    """
    below = ROOT / "build" / "bench"
    below.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(dir=below))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return nullcontext(path)


def bodies(count: int) -> list[Body]:
    """Return the bodies of entries, each of five digests, so that an entry is 403 bytes."""
    return [{f"digest_{at}": to_base64url(secrets.token_bytes(32)) for at in range(5)} for _ in range(count)]


def entries(count: int) -> list[bytes]:
    """Return entries as a writer makes them of `bodies`."""
    at_s = int(time.time())
    return [
        make_entry(
            KIND,
            body,
            entry_id=new_id("evt", secrets.token_bytes(16)),
            blind=secrets.token_bytes(BLIND_SIZE_BYTES),
            at_s=at_s,
        ).raw
        for body in bodies(count)
    ]


def batches(items: Sequence[Body], size: int) -> Iterator[list[Body]]:
    """Yield the items in lists of `size`, the last one shorter."""
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch


class NodeLog:
    """The writer and publisher of a node, set up as a node sets them up, over a fresh database."""

    def __init__(self, folder: Path, *, database: str | None = None, keeps_published: bool = True) -> None:
        """Begin an empty log below `folder`, its rows there too or in another, empty database."""
        clock, signers = SystemClock(), _signers()
        self._engine = open_database(database or folder / "node.db")
        own = OwnLog("2027", ORIGIN, FixedSigners(*signers))
        self._writer = Writer(
            self._engine, log=own, clock=clock, random_bytes=secrets.token_bytes, keeps_published=keeps_published
        )
        self.publisher = Publisher(
            self._engine,
            FolderStore(folder / "log"),
            log=own.name,
            origin=ORIGIN,
            signers=own.signers,
            clock=clock,
            handover=own.handover,
        )

    def append_finished(self, some: Sequence[bytes]) -> None:
        """Append finished entries in one commit; return once they are durable."""
        self._writer.write(lambda transaction: transaction.append_finished(some))

    def append_one(self, raw: bytes) -> EntryProof:
        """Append one finished entry; return its proof once it is durable."""
        (proof,) = self._writer.write(lambda transaction: transaction.append_finished([raw])).proofs
        return proof

    @contextmanager
    def publishing(self) -> Generator[None]:
        """Publish every 200 ms, as a node does; at the end, what is left."""
        stopped = threading.Event()

        def again() -> None:
            while not stopped.wait(PUBLISH_EVERY_S):
                self.publisher.publish()

        thread = threading.Thread(target=again, name="publisher")
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
        self.publisher.publish()

    def close(self) -> None:
        """Finish what waits, and close the database."""
        self._writer.close()
        self._engine.dispose()


@contextmanager
def node_log(*, database: str | None = None, keeps_published: bool = True) -> Generator[NodeLog]:
    """Give a node's empty log in a folder of its own."""
    with folder() as path:
        log = NodeLog(path, database=database, keeps_published=keeps_published)
        try:
            yield log
        finally:
            log.close()


def write_log(path: Path, raws: Sequence[bytes], *, origin: str = ORIGIN, now_s: int | None = None) -> TileReader:
    """Write a finished log and its keys below `path`, its files in `path/log`; return a reader of its tree.

    Args:
        origin: the log's.
        now_s: when its head is signed, seconds since 1970-01-01 UTC; None for now.
    """
    log, after = path / "log", plan_append(Frontier.empty(), raws).after
    files: dict[str, bytes] = {}
    for place in paths_for(len(raws)):  # bundles first, then tiles from the leaves up: each is made of those below
        files[place.path] = _content(place, raws, files)
    for name, content in files.items():
        (log / name).parent.mkdir(parents=True, exist_ok=True)
        (log / name).write_bytes(content)
    signers = _signers(origin)
    head = Checkpoint(origin, after.size, after.root())
    signed_s = int(time.time()) if now_s is None else now_s
    (log / "checkpoint").write_bytes(sign_note(head.body(), signers, now_s=signed_s))
    for name, signer in zip(("log.vkey", "log-pq.vkey"), signers, strict=True):
        (path / name).write_text(f"{signer.verifier_key.text}\n")
    return TileReader(lambda name: (log / name).read_bytes(), len(raws))


def _content(place: BundlePath | TilePath, raws: Sequence[bytes], files: Mapping[str, bytes]) -> bytes:
    span = range(place.index * TILE_WIDTH, place.index * TILE_WIDTH + place.width)
    if isinstance(place, BundlePath):
        return encode_bundle(raws[span.start : span.stop])
    if place.level == 0:
        return b"".join(leaf_hashes(raws[span.start : span.stop]))
    below = (files[TilePath(place.level - 1, at, TILE_WIDTH).path] for at in span)
    return b"".join(Frontier.empty().extend(split_tile(tile, width=TILE_WIDTH)).root() for tile in below)


def _signers(origin: str = ORIGIN) -> tuple[NoteSigner, CosignatureSigner]:
    return NoteSigner(origin, Ed25519PrivateKey.generate()), CosignatureSigner(origin, MLDSA44PrivateKey.generate())
