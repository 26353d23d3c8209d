"""A witness of the simulated world: the product's own judgement, a memory that survives, and deaths in between."""

import hashlib
from random import Random

from simulator.model import Breach
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.signers import CosignatureSigner
from tallystick_ledger.tlog.witness import (
    Cosigned,
    WitnessRefused,
    claimed_origin,
    cosign,
    open_request,
    parse_add_checkpoint,
)
from tallystick_node.clock import SetClock


class Witness:
    """One witness, which never forgets what it remembered before it answered.

    Attributes:
        said: every (size, root, time) that it cosigned, in order.
    """

    def __init__(self, signer: CosignatureSigner, log_keys: dict[str, list[VerifierKey]], clock: SetClock) -> None:
        self.key = signer.verifier_key
        self.said: list[tuple[int, bytes, int]] = []
        self.dies: Random | None = None
        self._signer = signer
        self._log_keys = log_keys
        self._clock = clock
        self._memory: dict[str, Cosigned] = {}

    @property
    def seen(self) -> tuple[int, bytes]:
        """Size and root of the largest head that it remembers; 0 and nothing before any."""
        last = next(iter(self._memory.values()), None)
        return (0, b"") if last is None else (last.checkpoint.size, last.checkpoint.root)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Answer one request, as `routes.witness` does."""
        if method == "GET":
            digest = path.removeprefix("/").partition("/")[0]
            found = [each.note for origin, each in self._memory.items() if _digest(origin) == digest]
            return (200, found[0]) if found else (404, b"")
        if self.dies is not None and self.dies.random() < 0.1:
            return 503, b""  # before it remembers
        try:
            request = parse_add_checkpoint(body)
            origin = claimed_origin(request.note)
            last = self._memory.get(origin)
            made = cosign(
                open_request(request, keys=self._log_keys), last=last, signers=[self._signer], now_s=self._clock.now_s()
            )
        except WitnessRefused as refused:
            return refused.status, b"" if refused.seen_size is None else b"%d\n" % refused.seen_size
        self._memory[origin] = made
        if last is not None and made.at_s < last.at_s:
            raise Breach("a witness signs an earlier time than before")
        self.said.append((made.checkpoint.size, made.checkpoint.root, made.at_s))
        if self.dies is not None and self.dies.random() < 0.1:
            return 503, b""  # it has remembered, and its answer is lost
        return 200, made.answer


def _digest(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()
