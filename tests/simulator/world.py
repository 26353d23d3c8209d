"""What happens in the simulated world, one step after the other, and what is checked after each.

One node's writer, publisher and cosigners, as they are; three witnesses of which two must sign; apps that ask again
until they are answered. An operator backs up and restores. The model watches: P1 (no two heads of one log disagree, a
restored node is told and stops), P2 (what was acknowledged is there, at its place, and what is published is whole),
P10 (once for each key), P12 (no witness cosigns a fork), and that times never run back.
"""

import base64
import contextlib
import json
import shutil
import sqlite3
import struct
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import event

from simulator.disk import Disk, PowerFailure
from simulator.model import Breach, Head, History, check_one_tree, check_published
from simulator.network import Network
from simulator.witness import Witness
from tallystick.wire import EntryProof
from tallystick_ledger.errors import PolicyUnmet
from tallystick_ledger.tlog.policy import Policy, parse_policy
from tallystick_ledger.tlog.proof import parse_proof
from tallystick_ledger.tlog.signers import CosignatureSigner, NoteSigner
from tallystick_ledger.tlog.tiles import CHECKPOINT
from tallystick_node.clock import CLOCK_BACK_MAX_S, SetClock
from tallystick_node.errors import (
    ClockBehind,
    ForkSuspected,
    LogNotContinued,
    LogReadOnly,
    StorageUnavailable,
    StoreUnavailable,
)
from tallystick_node.keys.signing import FixedSigners
from tallystick_node.log.cosigning import Cosigners
from tallystick_node.log.evidence_room import EvidenceRoom
from tallystick_node.log.own_heads import Seer, ask_before_first_head
from tallystick_node.log.publisher import Publisher
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.log.writer import OwnLog, Writer
from tallystick_node.migrations import open_database
from tallystick_node.storage.database import connect

T = TypeVar("T")

NAME = "2027"
ORIGIN = f"node.example/log/{NAME}"
BEGAN_S = 1_803_859_200
STEPS = 14
"""How long a world lives."""

WITNESSES = ("w1", "w2", "w3")

LOG_SIGNER = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"the log of the simulated world!!"))
WITNESS_SIGNERS = {
    name: CosignatureSigner(f"{name}.example", Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)))
    for name in WITNESSES
}


def policy() -> Policy:
    """Return the policy of the world: any two of three witnesses."""
    lines = [f"log {LOG_SIGNER.verifier_key.text}"]
    lines += [f"witness {name} {WITNESS_SIGNERS[name].verifier_key.text} http://{name}/" for name in WITNESSES]
    return parse_policy("\n".join([*lines, f"group two 2 {' '.join(WITNESSES)}", "quorum two", ""]).encode())


POLICY = policy()


class OneByOne(Executor):
    """Does at once whatever it is given: threads would change nothing but how long a seed takes."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Do it, and return what it gave."""
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # handed to whoever asked
            done.set_exception(error)
        return done


class Process:
    """A node's process, from its start to its end."""

    def __init__(self, world: "World") -> None:
        engine = world.ground.engine
        http = httpx.Client(transport=world.network)
        cosigners = self.cosigners = Cosigners(
            POLICY,
            origin=ORIGIN,
            http=http,
            waits=True,
            evidence=world.ground.evidence,
            log_keys=lambda: [LOG_SIGNER.verifier_key],
            monotonic_s=lambda: world.monotonic_s,
            pool=OneByOne(),
        )
        log = OwnLog(NAME, ORIGIN, FixedSigners(LOG_SIGNER))
        self.publisher = Publisher(
            engine,
            world.disk,
            log=NAME,
            origin=ORIGIN,
            signers=log.signers,
            clock=world.clock,
            handover=log.handover,
            cosigners=cosigners,
        )
        self.writer = Writer(engine, log=log, clock=world.clock, random_bytes=world.random_bytes)
        self.words, self.contradicting = ask_before_first_head(self.publisher, world.seers, http=http, pool=OneByOne())
        if self.contradicting is not None:
            self.writer.make_read_only(self.contradicting.note).result(10)

    def end(self) -> None:
        """End it; what is on disk stays."""
        self.writer.close()
        self.cosigners.close()


class Ground:
    """What one world after the other stands on: a folder, and an engine that has learnt its statements."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "node.db"
        open_database(self.database).dispose()
        self._empty = self.database.read_bytes()
        self.engine = connect(self.database)
        self._evidence_folder = folder / "evidence"
        self.evidence = EvidenceRoom(self._evidence_folder, now_s=lambda: BEGAN_S)
        self.fails_at_commit = False
        event.listen(self.engine, "commit", self._before_commit)
        self._reader: sqlite3.Connection | None = None

    def begin(self) -> None:
        """Make everything as empty as it was."""
        shutil.rmtree(self._evidence_folder, ignore_errors=True)
        self.restore({"": self._empty})

    def copy(self) -> dict[str, bytes]:
        """Return the database's files as they lie there at this instant."""
        files = {beside: Path(f"{self.database}{beside}") for beside in ("", "-wal")}
        return {beside: path.read_bytes() for beside, path in files.items() if path.exists()}

    def restore(self, files: dict[str, bytes]) -> None:
        """Put files in place of the database's; who has the old ones open goes on with those."""
        self.engine.dispose()
        if self._reader is not None:
            self._reader.close()
        for beside in ("", "-wal", "-shm"):
            path = Path(f"{self.database}{beside}")
            path.unlink(missing_ok=True)
            if beside in files:
                path.write_bytes(files[beside])
        self._reader = sqlite3.connect(self.database)
        self._reader.isolation_level = None

    def version(self) -> tuple[int, int]:
        """Return what changes with every commit of anybody else's."""
        return id(self._reader), self.reader().execute("PRAGMA data_version").fetchone()[0]

    def reader(self) -> sqlite3.Connection:
        """Return a connection of the watcher's own."""
        assert self._reader is not None, "the ground is begun with"
        return self._reader

    def close(self) -> None:
        """Release the database."""
        self.reader().close()
        self.engine.dispose()

    def _before_commit(self, _connection: object) -> None:
        if self.fails_at_commit:
            self.fails_at_commit = False
            raise PowerFailure


class World:
    """One seed's world."""

    def __init__(self, seed: int, ground: Ground, *, unlucky: bool = False) -> None:
        """Begin.

        Args:
            seed: decides everything.
            ground: what it stands on.
            unlucky: the power fails often, old backups are restored often, and nobody is reached for long.
        """
        self.ground = ground
        self.unlucky = unlucky
        ground.begin()
        self.chance = Random(seed)  # noqa: S311
        self.clock = SetClock(BEGAN_S)
        self.monotonic_s = 0.0
        self.disk = Disk(self.chance)
        self.network = Network(str(seed))
        keys = {ORIGIN: [LOG_SIGNER.verifier_key]}
        self.witnesses = {
            name: Witness(signer, keys, SetClock(BEGAN_S + self.chance.randrange(-120, 120)))
            for name, signer in WITNESS_SIGNERS.items()
        }
        for name, witness in self.witnesses.items():
            self.network.add(name, witness.answer)
        self.seers = [Seer(name, f"http://{name}/", (witness.key,)) for name, witness in self.witnesses.items()]
        self.process: Process | None = None
        self.is_over = False
        # What the model knows.
        self.history = History()
        self.heads: dict[tuple[int, bytes], Head] = {}
        self.published: list[Head] = []
        self.signed: list[Head] = []
        self.was_restored = False
        self.acknowledged: dict[str, list[tuple[int, str]]] = {}
        self.unanswered: dict[str, int] = {}
        self.backup: tuple[dict[str, bytes], dict[str, bytes]] | None = None
        self._keys = 0
        self._looked_at: tuple[int, int] | None = None
        self._said = dict.fromkeys(WITNESSES, 0)

    # What happens

    def step(self) -> str:
        """Let one thing happen, then check everything; return what it was."""
        happenings = self._possible()
        (name,) = self.chance.choices(list(happenings), [weight for weight, _ in happenings.values()])
        self.monotonic_s += self.chance.random() * 10
        with self._dying():
            happenings[name][1]()
        self.check()
        return name

    def _possible(self) -> dict[str, tuple[int, Callable[[], None]]]:
        """Return what may happen now, each with its weight."""
        always: dict[str, tuple[int, Callable[[], None]]] = {
            "time goes on": (6, self.go_on),
            "a clock jumps": (4, self.jump),
            "the network changes": (6, self.change_network),
            "what was late arrives": (6, lambda: self.network.deliver_late(self.chance)),
            "witnesses become frail, or well": (3, self.change_witnesses),
            "the disk is full, or has room": (4, self.fill_disk),
        }
        if self.process is not None:
            return always | {
                "apps write": (35, self.write),
                "heads are published": (35, self.publish),
                "the power fails": (20 if self.unlucky else 8, self.fail),
            }
        return always | {
            "the node starts": (40, self.start),
            "the files are lost": (3, self.lose_files),
            "a backup is made": (15, self.back_up),
            "a backup is restored": ((60 if self.unlucky else 15) if self.backup else 0, self.restore),
        }

    def write(self) -> None:
        """Apps write, some together; the power may fail just before a commit, or just before an answer is heard."""
        if self.process is None or self.is_over:
            return
        keys = self.chance.sample(sorted(self.unanswered), min(len(self.unanswered), self.chance.randrange(2)))
        for _ in range(self.chance.choice((1, 1, 2, 5))):
            self._keys += 1
            key = f"key-{self._keys}"
            self.unanswered[key] = self.chance.choice((1, 1, 2, 3, 40))
            keys.append(key)
        self.ground.fails_at_commit = self.chance.random() < 0.05
        hears = self.chance.random() > 0.05
        answers = self._ask(self.process.writer, keys)
        if not hears:
            raise PowerFailure
        self._hear(keys, answers)

    def publish(self) -> None:
        """Publish; the power may fail at any step of it."""
        if self.chance.random() < 0.15:
            self.disk.fuse = self.chance.randrange(12)
        self._publish()
        self.disk.fuse = None

    def _publish(self) -> None:
        if self.process is None or self.is_over:
            return
        try:
            self.process.publisher.publish()
        except (PolicyUnmet, StoreUnavailable, LogReadOnly):
            pass
        except ForkSuspected:
            if not self.was_restored:
                raise Breach("a log that was never restored is said to be forked") from None
            if not self.ground.evidence.count:
                raise Breach("a fork is suspected, and no evidence kept") from None
            self.is_over = True

    def fail(self) -> None:
        """Let the power fail."""
        raise PowerFailure

    def start(self) -> None:
        """Start the node, if it does not run: it asks around before anything else."""
        if self.process is not None or self.is_over:
            return
        self.history_as_stored(whole=True)
        heard_before = dict(self.network.answered)
        try:
            process = Process(self)
        except LogNotContinued:
            if not self.was_restored:
                raise Breach("a log that was never restored is said not to continue what was published") from None
            self.is_over = True
            return
        self.process = process
        told = [name for name in WITNESSES if self.network.answered[name] > heard_before.get(name, 0)]
        must_stop = any(not self.continues(*self.witnesses[name].seen) for name in told)
        if must_stop != (process.contradicting is not None):
            raise Breach(f"the node was told by {told}, and {'went on' if must_stop else 'stopped'}")
        self.is_over = must_stop
        if must_stop:
            for answer in self._ask(process.writer, ["a write to a log that must not be written"]):
                if not isinstance(answer, LogReadOnly):
                    raise Breach("a log that others know otherwise is written")

    def go_on(self) -> None:
        """Time goes on, for everybody."""
        passed_s = self.chance.choice((1, 60, 3600))
        for clock in (self.clock, *(witness._clock for witness in self.witnesses.values())):
            clock.at_s += passed_s

    def jump(self) -> None:
        """The clock of the node, or of a witness, jumps: back a little, back too far, or ahead."""
        clocks = [self.clock, *(witness._clock for witness in self.witnesses.values())]
        self.chance.choice(clocks).at_s += self.chance.choice((-20, -300, -4000, 200, 4000))

    def change_network(self) -> None:
        """Some witnesses go down, or come back; more or less is lost on the way."""
        self.network.trouble = self.chance.choice((0.0, 0.0, 0.2, 0.7))
        self.network.down = {name for name in WITNESSES if self.chance.random() < (0.6 if self.unlucky else 0.2)}

    def change_witnesses(self) -> None:
        """A witness dies now and then between remembering and answering; or does not."""
        for name, witness in self.witnesses.items():
            frail = self.chance.random() < 0.5
            witness.dies = Random(f"{name} {self.chance.random()}") if frail else None  # noqa: S311

    def fill_disk(self) -> None:
        """The disk is full, or has room again."""
        self.disk.is_full = not self.disk.is_full

    def lose_files(self) -> None:
        """The published files are lost while the node is down; the database has them all."""
        if self.process is None:
            self.disk.restore({})

    def back_up(self) -> None:
        """The operator copies the whole folder while the node is down."""
        if self.process is None:
            self.backup = self.ground.copy(), self.disk.durable()

    def restore(self) -> None:
        """The operator restores the backup: the whole folder, or the database alone."""
        if self.process is not None or self.backup is None:
            return
        rows, files = self.backup
        self.ground.restore(rows)
        if self.chance.random() < 0.7:
            self.disk.restore(files)
        self.was_restored = True
        restored = History()
        restored.extend(self.stored())
        if not self.history.begins_with(restored, len(restored.entries)):
            raise Breach("a backup holds what was never committed")
        self.history = restored
        # What came after the backup is lost, as far as this folder goes: that is what restoring means.
        size = len(restored.entries)
        self.acknowledged = {
            key: places for key, places in self.acknowledged.items() if all(index < size for index, _ in places)
        }

    # What is checked

    def check(self) -> None:
        """Check everything that must be true now."""
        self.history_as_stored(whole=False)
        size = check_published(self.disk.durable(), self.history) if self._is_own_history() else 0
        del size
        for name, witness in self.witnesses.items():
            for said_size, root, _ in witness.said[self._said[name] :]:
                head = self.head(said_size, root)
                earlier = [self.head(*said[:2]) for said in witness.said[: self._said[name]]]
                check_one_tree(earlier[-3:], head, whose=name)
                self._said[name] += 1
        note = self.disk.durable().get(CHECKPOINT)
        if note is not None:
            head = self.signed_head(note)
            if not self.published or self.published[-1] is not head:
                check_one_tree(self.published, head, whose="the public")
                self.published.append(head)

    def history_as_stored(self, *, whole: bool) -> None:
        """Read what is committed, and hold it against what was: nothing may change but by being added to."""
        version = self.ground.version()
        if version == self._looked_at and not whole:
            return  # nobody has committed anything since
        self._looked_at = version
        known = len(self.history.entries)
        stored = self.stored(0 if whole else known)
        if whole and self.history.entries != stored[:known]:
            raise Breach("committed entries were lost or changed")
        fresh = stored[known:] if whole else stored
        last_at_s = self.last_at_s()
        for raw in fresh:
            at_s = _at_s(raw)
            if at_s < last_at_s:
                raise Breach("time runs back in the log")
            last_at_s = at_s
        self.history.extend(fresh)
        for key, places in self.acknowledged.items():
            for index, entry in places if whole else ():
                if self.history.entries[index].decode() != entry:
                    raise Breach(f"what was acknowledged under {key} is not at its place")

    def last_at_s(self) -> int:
        """Return when the last entry was recorded; 0 before any."""
        return _at_s(self.history.entries[-1]) if self.history.entries else 0

    def stored(self, start: int = 0) -> list[bytes]:
        """Return the committed entries from `start` on, read apart from the product."""
        entries: list[bytes] = []
        found = "SELECT first, entries FROM blob WHERE first >= ? ORDER BY first"
        rows = self.ground.reader().execute(found, (start,)).fetchall()
        index = start
        for first, raw in rows:
            if first != index:
                raise Breach("the database has a gap in the log, or a commit that reaches over what was there before")
            position = 0
            while position < len(raw):
                (length,) = struct.unpack_from(">H", raw, position)
                entries.append(raw[position + 2 : position + 2 + length])
                position, index = position + 2 + length, index + 1
        return entries

    def signed_head(self, note: bytes) -> Head:
        """Return the head that a note of the log is of."""
        _, size, root, *_ = note.split(b"\n")
        return self.head(int(size), base64.b64decode(root))

    def head(self, size: int, root: bytes) -> Head:
        """Return a head that was signed: of the history that is written now, or of one that it has been seen with."""
        known = self.heads.get((size, root))
        if known is None:
            if size > len(self.history.entries) or self.history.root(size) != root:
                raise Breach(f"a head of {size} entries is signed that were never committed")
            known = self.heads[size, root] = Head(size, self.history)
            if not self.was_restored:
                check_one_tree(self.signed[-3:], known, whose="the node")
            self.signed.append(known)
        return known

    def continues(self, size: int, root: bytes) -> bool:
        """Whether the history that is written now leads to a head that was signed."""
        return size == 0 or self.history.begins_with(self.head(size, root).history, size)

    def _is_own_history(self) -> bool:
        """Whether the published head is one of the history that is written now; after a restore it may be newer."""
        note = self.disk.durable().get(CHECKPOINT)
        if note is None:
            return False
        head = self.signed_head(note)
        return self.history.begins_with(head.history, head.size)

    # How it ends

    def settle(self) -> None:
        """Let all trouble end: then everything that was begun comes to its end."""
        self.network.trouble, self.network.down = 0.0, set()
        self.disk.is_full = False
        for witness in self.witnesses.values():
            witness.dies = None
        for clock in (self.clock, *(witness._clock for witness in self.witnesses.values())):
            clock.at_s = max(BEGAN_S + 30 * 86_400, self.clock.at_s)
        if self.chance.random() < 0.5:
            with self._dying():
                raise PowerFailure
        self.start()
        self.check()
        if self.is_over or self.process is None:
            return
        for _ in range(3):
            keys = sorted(self.unanswered)
            self._hear(keys, self._ask(self.process.writer, keys))
        if self.unanswered:
            raise Breach("all is well, and some writes are not answered")
        for _ in range(6):
            if self.is_over or self.process.publisher.published_size == len(self.history.entries):
                break
            self.monotonic_s += 60
            self._publish()
        self.check()
        if not self.is_over and self.process.publisher.published_size != len(self.history.entries):
            raise Breach("all is well, and what is committed is not published")

    def end(self) -> None:
        """Release everything."""
        if self.process is not None:
            self.process.end()
            self.process = None

    # How the world is made to be

    def random_bytes(self, size: int) -> bytes:
        """Return bytes that the seed decides."""
        return self.chance.randbytes(size)

    @contextlib.contextmanager
    def _dying(self) -> Generator[None]:
        """Let the process end where the power fails."""
        try:
            yield
        except PowerFailure:
            self.ground.fails_at_commit = False
            left = self.ground.copy()  # as it lies there at this instant, whatever the process would still do
            if self.process is not None:
                self.process.end()
                self.process = None
            self.ground.restore(left)
            self.disk.fail()
            self.history_as_stored(whole=True)

    def _ask(self, writer: Writer, keys: list[str]) -> list[StoredReply | Exception]:
        """Write under each key, all in one commit; return each answer, or why there is none."""
        gate = threading.Event()
        if len(keys) > 1:
            writer.submit(lambda _: gate.wait(10))  # so that the rest is queued together, whatever threads do
        waiting = [writer.submit_once(Once("app", key, key), self._work(key), self._render) for key in keys]
        gate.set()
        answers: list[StoredReply | Exception] = []
        for future in waiting:
            try:
                answers.append(future.result(10))
            except (StorageUnavailable, ClockBehind, LogReadOnly) as refusal:
                answers.append(refusal)
        return answers

    def _work(self, key: str) -> Callable[[Transaction], list[tuple[int, str]]]:
        count = self.unanswered.get(key, 1)

        def work(transaction: Transaction) -> list[tuple[int, str]]:
            transaction.subject = ""
            made = [transaction.append("event", {"commitment": f"{key}/{at}"}) for at in range(count)]
            return [(each.index, each.entry.raw.decode()) for each in made]

        return work

    @staticmethod
    def _render(places: list[tuple[int, str]], proofs: tuple[EntryProof, ...]) -> StoredReply:
        return StoredReply(201, json.dumps([places, proofs[0].proof]))

    def _hear(self, keys: list[str], answers: list[StoredReply | Exception]) -> None:
        """Let the apps hear their answers: what is acknowledged is in the log by then, at the place that is said."""
        self.history_as_stored(whole=False)
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(answer, StoredReply):
                self._acknowledge(key, answer)
                continue
            if not (isinstance(answer, ClockBehind) and self.clock.at_s < self.last_at_s() - CLOCK_BACK_MAX_S):
                raise Breach(f"a write is refused for no reason: {type(answer).__name__}")

    def _acknowledge(self, key: str, answer: StoredReply) -> None:
        told, proof = json.loads(answer.body)
        places = [(index, entry) for index, entry in told]
        if any(self.history.entries[index].decode() != entry for index, entry in places):
            raise Breach(f"what is acknowledged under {key} is not in the log")
        if self.acknowledged.setdefault(key, places) != places:
            raise Breach(f"two answers under {key} differ")
        self.signed_head(parse_proof(proof.encode()).checkpoint)
        self.unanswered.pop(key, None)


def _at_s(entry: bytes) -> int:
    """Return when an entry was recorded: `at` comes first in canonical JSON."""
    return int(entry[len(b'{"at":') : entry.index(b",")])


def run(seed: int, ground: Ground, *, steps: int = STEPS, unlucky: bool = False) -> list[str]:
    """Live through one seed; return what happened.

    Raises:
        Breach: a promise was broken.
    """
    world = World(seed, ground, unlucky=unlucky)
    happened: list[str] = []
    try:
        world.start()
        for _ in range(steps):
            happened.append(world.step())
        world.settle()
    except BaseException as error:
        error.add_note(f"seed {seed}, after: {'; '.join(happened)}")
        raise
    finally:
        world.end()
    return happened
