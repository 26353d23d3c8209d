"""Witnesses for tests: a node's own, and one that stands alone, each served over HTTP in this process."""

import asyncio
import hashlib
import socket
import threading
from pathlib import Path
from typing import Protocol

import httpx
import uvicorn
from town import STARTED_WITHIN_S, Company

from tallystick.tls import tls_context
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.keys import SignatureKind, VerifierKey
from tallystick_ledger.tlog.merkle import prove_consistency, root_at
from tallystick_ledger.tlog.note import NoteSigner, sign_note
from tallystick_ledger.tlog.witness import AddCheckpoint
from tallystick_node.clock import Clock
from tallystick_node.setup import witness_policy_lines
from tallystick_node.witness.alone import Witness, create_witness
from tallystick_node.witness.app import make_witness_app


class Stand(Protocol):
    """A witness at an address."""

    @property
    def prefix(self) -> str:
        """Where its routes are."""
        ...

    @property
    def policy_lines(self) -> list[str]:
        """The lines of a trust policy that name it."""
        ...

    def start(self) -> None:
        """Open the doors."""
        ...

    def stop(self) -> None:
        """Close the doors; what is on disk stays."""
        ...


class NodeStand:
    """A company's node as a witness."""

    def __init__(self, company: Company) -> None:
        self._company = company
        self.prefix = f"{company.url}/witness"
        self.policy_lines = witness_policy_lines(company.folder)

    def start(self) -> None:
        self._company.start()

    def stop(self) -> None:
        self._company.stop()


class AloneStand:
    """A witness that stands alone; `memory` is there once it was started."""

    def __init__(self, folder: Path, *, clock: Clock, name: str = "witness.example") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.prefix = f"http://127.0.0.1:{self.port}"
        self.folder, self._clock = folder, clock
        create_witness(folder, name=name, url=self.prefix, bind=f"127.0.0.1:{self.port}", sandbox=True)
        self._server: uvicorn.Server | None = None

    @property
    def policy_lines(self) -> list[str]:
        return self.witness.policy_lines()

    def start(self) -> None:
        self.witness = Witness(self.folder, clock=self._clock)
        app = make_witness_app(self.witness)
        self._server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=self.port, log_level="error", access_log=False)
        )
        self._loop = asyncio.new_event_loop()
        serving = self._server.serve()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(serving,), daemon=True)
        self._thread.start()
        for _ in range(STARTED_WITHIN_S * 100):
            if self._server.started:
                return
            self._thread.join(0.01)
        raise AssertionError("the witness did not start")

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join()
            self._loop.close()
            self.witness.close()
            self._server = None

    def know(self, company: Company) -> None:
        """Witness every log of a company."""
        self.witness.memory.know_company(company.descriptor, expected_fingerprint=company.keys.fingerprint)


def head_of(company: Company, size: int, *, root: bytes | None = None, signer: NoteSigner | None = None) -> bytes:
    """Return the company's log at a size, signed with its own key unless another signs."""
    origin = company.node.settings.log_origin
    true_root = root_at(size, company.node.publisher.reader(company.node.publisher.published_size))
    own = NoteSigner(origin, company.keys.ed25519("log"))
    checkpoint = Checkpoint(origin, size, true_root if root is None else root)
    return sign_note(checkpoint.body(), [signer or own], now_s=company.clock.now_s())


def grown(company: Company, old: int, new: int) -> AddCheckpoint:
    """Return an honest request."""
    reader = company.node.publisher.reader(company.node.publisher.published_size)
    proof = prove_consistency(old, new_size=new, read=reader) if 0 < old < new else []
    return AddCheckpoint(old, tuple(proof), head_of(company, new))


def ask(witness: Stand, request: AddCheckpoint) -> httpx.Response:
    """Submit a checkpoint."""
    return httpx.post(f"{witness.prefix}/add-checkpoint", content=request.encode(), verify=tls_context())


def shown(witness: Stand, company: Company) -> httpx.Response:
    """Ask for what the witness cosigned last of the company's log."""
    digest = hashlib.sha256(company.node.settings.log_origin.encode()).hexdigest()
    return httpx.get(f"{witness.prefix}/{digest}/checkpoint", verify=tls_context())


def log_key(company: Company) -> VerifierKey:
    """Return the company's Ed25519 log key."""
    return VerifierKey(company.node.settings.log_origin, SignatureKind.ED25519, company.keys.public("log"))


def keys_in(policy_lines: list[str]) -> list[VerifierKey]:
    """Return the keys of a witness."""
    return [VerifierKey.parse(line.split(" ")[2]) for line in policy_lines]
