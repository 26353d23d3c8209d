"""Two companies that trust each other, each with a node process behind a public address, under one clock.

The story waits for what the companies' own interfaces show, never for a time to pass, and each wait has a name.
"""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx

from tallystick import Client
from tallystick.wire import SCOPES
from tallystick_ledger.errors import TallyError
from tallystick_ledger.tlog.checkpoint import Checkpoint, open_checkpoint
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.tiles import CHECKPOINT, TILE_WIDTH, parse_path
from tallystick_node.config import SETTINGS_FILE, load_settings
from tallystick_node.demo.errors import StoryStopped
from tallystick_node.demo.people import Private, called, local_s
from tallystick_node.demo.processes import POLL_S, NodeProcess, StoryClock, free_port
from tallystick_node.demo.proxy import LOOPBACK, RecordingProxy, Wire
from tallystick_node.keys.ring import NodeKeys
from tallystick_node.keys.signing import VKEY_FILES
from tallystick_node.node import DESCRIPTOR_FILE, user_agent
from tallystick_node.operator.apps import add_app_key
from tallystick_node.operator.partners import add_partner
from tallystick_node.setup import create_node, witness_policy_lines
from tallystick_node.witness.alone import Witness, create_witness

POLICY_FILE = "witness.policy"

STARTS = "2027-02-27 09:00"
WAIT_MAX_S = 30.0
"""How long, by the watch of whoever runs the demo, the story waits for one thing."""

TICK_S = 1
"""By how much the story's clock moves while somebody waits: short, so that offers and signatures stay fresh."""

LONG_TICK_MAX_S = 600
"""By how much it moves at most where what is awaited may be hours away, such as the next attempt at a delivery."""

REST_S = 0.7
"""A log whose head is the same after this long, with no file ahead of it, is at rest: heads come more often."""

_T = TypeVar("_T")


class Company:
    """One company: its node, its node's public address, and its own app."""

    def __init__(self, folder: Path, *, host: str, clock: StoryClock, wire: Wire) -> None:
        """Found it in `folder`; the node is started by `process.start`."""
        self.name = folder.name
        self.called = called(self.name)
        self.host = host
        self.folder = folder
        port = free_port()
        self.proxy = RecordingProxy(self.name, backend_port=port, wire=wire)
        bind = f"{LOOPBACK}:{port}"
        self.keys: NodeKeys = create_node(folder, host=host, url=self.proxy.url, bind=bind, sandbox=True, clock=clock)
        wire.introduce(self.name, key_id=self.keys.id("http"), agent=user_agent(host))
        secret = add_app_key(folder, name="app", scopes=SCOPES, clock=clock).secret
        self.process = NodeProcess(folder, port=port, clock_file=clock.path)
        # The company's own app is on its own side of the public address, and uses no proxy of the machine's either.
        self.app = Client(
            f"http://{bind}",
            key=secret,
            fingerprint=self.keys.fingerprint,
            transport=httpx.HTTPTransport(trust_env=False),
        )
        self.heads: list[Checkpoint] = []
        self._origin = load_settings(folder).log_origin
        self._log_keys = [
            VerifierKey.parse((folder / name).read_text(encoding="utf-8").strip()) for name in VKEY_FILES.values()
        ]

    @property
    def log(self) -> Path:
        """The published log."""
        return self.folder / "log"

    def trust(self, other: "Company", clock: StoryClock) -> None:
        """Add a partner whose fingerprint two people have compared."""
        descriptor = (other.folder / DESCRIPTOR_FILE).read_text(encoding="ascii")
        add_partner(self.folder, descriptor, expected_fingerprint=other.keys.fingerprint, clock=clock)

    def ask_for_cosignatures(self, *, partner: "Company", independent: Sequence[str]) -> None:
        """Ask a partner and somebody who is none to cosign each head, which waits for the one who is none.

        Args:
            partner: whose node witnesses this log.
            independent: lines of a policy that name one witness, by each of its keys.
        """
        names = [line.split(" ")[1] for line in independent]
        logs = [f"log {key.text}" for key in self._log_keys]
        theirs = witness_policy_lines(partner.folder)[0]
        quorum = [f"group independent any {' '.join(names)}", "quorum independent"]
        lines = (*logs, theirs, *independent, *quorum)
        (self.folder / POLICY_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        settings = load_settings(self.folder).model_copy(update={"witness_policy": POLICY_FILE})
        (self.folder / SETTINGS_FILE).write_text(settings.text(), encoding="utf-8")

    def note_head(self) -> Checkpoint:
        """Keep the head that is published now, as anybody may who can reach the log, and return it.

        Raises:
            SignatureRejected, NoteMalformed: the log has not signed it.
        """
        head, _ = open_checkpoint((self.log / CHECKPOINT).read_bytes(), origin=self._origin, keys=self._log_keys)
        if head not in self.heads:
            self.heads.append(head)
        return head

    def shows_its_head(self) -> bool:
        """Return whether the published head is of all that lies in the log's folder; its files come first, and it may
        wait for a witness."""
        size = self.note_head().size
        files = (file for file in (self.log / "tile" / "entries").rglob("*") if not file.name.startswith("."))
        bundles = (parse_path(file.relative_to(self.log).as_posix()) for file in files if file.is_file())
        return all(each.index * TILE_WIDTH + each.width <= size for each in bundles)

    def close(self) -> None:
        """Stop everything."""
        self.app.close()
        self.process.stop()
        self.proxy.close()


@dataclass
class Town:
    """The companies, the clock they share, and all that crosses between them.

    Attributes:
        issuer: the one whose customers do something, and whose claims say so.
        payer: the one that rewards it.
        began: how many exchanges of earlier journeys the recording holds.
        private: every private value that was put in.
    """

    clock: StoryClock
    wire: Wire
    issuer: Company
    payer: Company
    began: int = 0
    private: Private = field(default_factory=Private)

    @property
    def companies(self) -> dict[str, Company]:
        """Both, by name."""
        return {each.name: each for each in (self.issuer, self.payer)}

    def go_to(self, text: str) -> None:
        """Set the clock to a New York time such as `2027-03-05 18:00`, and keep the heads of the day before."""
        self.note_heads()
        self.clock.go_to(local_s(text))

    def note_heads(self) -> None:
        """Keep the head that each company shows now."""
        for company in (self.issuer, self.payer):
            company.note_head()

    def wait(self, what: str, find: Callable[[], _T | None], *, tick_max_s: int = TICK_S) -> _T:
        """Return what `find` finds, once it finds something other than None or False; the clock moves meanwhile.

        Args:
            what: the awaited thing, for the error.
            find: looks for it at a node.
            tick_max_s: by how much the clock moves at most between two looks.

        Raises:
            StoryStopped: it did not happen in time.
        """
        until_s, tick_s = time.monotonic() + WAIT_MAX_S, TICK_S
        refusal: TallyError | None = None
        while time.monotonic() < until_s:
            try:
                found = find()
                if found is not None and found is not False:
                    return found
            except TallyError as error:
                refusal = error
            time.sleep(POLL_S)
            self.clock.go_to(self.clock.now_s() + tick_s)
            tick_s = min(2 * tick_s, tick_max_s)
        why = f" The last answer was {refusal.code}." if refusal else ""
        raise StoryStopped(
            f"Waited in vain for this: {what}.{why}", remedy="See node.log in each company's folder, then try again."
        )

    def rest(self) -> None:
        """Return once both logs show all that was written, and nothing crosses any more."""

        def state() -> tuple[int, ...]:
            return (self.issuer.note_head().size, self.payer.note_head().size, self.wire.count())

        until_s, before = time.monotonic() + WAIT_MAX_S, state()
        while time.monotonic() < until_s:
            time.sleep(REST_S)
            now = state()
            if now == before and self.issuer.shows_its_head() and self.payer.shows_its_head():
                return
            before = now
        raise StoryStopped("The companies do not come to rest.", remedy="See node.log in each company's folder.")


def found_witness(folder: Path, companies: Iterable[Company], *, clock: StoryClock) -> tuple[list[str], NodeProcess]:
    """Found a witness that is nobody's partner; return the lines that name it in a policy, and its process."""
    port = free_port()
    bind = f"{LOOPBACK}:{port}"
    create_witness(folder, name="witness.example", url=f"http://{bind}", bind=bind, sandbox=True)
    with closing(Witness(folder, clock=clock)) as witness:
        for company in companies:
            descriptor = (company.folder / DESCRIPTOR_FILE).read_text(encoding="ascii").strip()
            witness.memory.know_company(descriptor, expected_fingerprint=company.keys.fingerprint)
        lines = witness.policy_lines()
    command = ("witness", "serve")
    return lines, NodeProcess(folder, port=port, clock_file=clock.path, command=command, ready_path="/healthz")


@contextmanager
def open_town(out: Path, wire: Wire, *, issuer: str, payer: str) -> Generator[Town]:
    """Found the town of one journey; every process is stopped at the end, however the story went.

    Args:
        out: the demo's folder; each company, and the witness, gets one in it.
        wire: where all that crosses is written down.
        issuer, payer: names of the companies, of their folders and, with `.example`, of their hosts.
    """
    with ExitStack() as stack:
        clock = StoryClock(out / f"{issuer}.clock", at_s=local_s(STARTS))
        issues = Company(out / issuer, host=f"{issuer}.example", clock=clock, wire=wire)
        stack.callback(issues.close)
        pays = Company(out / payer, host=f"{payer}.example", clock=clock, wire=wire)
        stack.callback(pays.close)
        issues.trust(pays, clock)
        pays.trust(issues, clock)
        lines, witness = found_witness(out / f"{issuer}-witness", (issues, pays), clock=clock)
        stack.callback(witness.stop)
        issues.ask_for_cosignatures(partner=pays, independent=lines)
        pays.ask_for_cosignatures(partner=issues, independent=lines)
        processes = (witness, issues.process, pays.process)
        for process in processes:
            process.start()
        for process in processes:
            process.wait_until_ready()
        yield Town(clock, wire, issues, pays, wire.count())
