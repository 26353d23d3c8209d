"""An external signer: private keys that never are in this process, behind one small protocol.

A PKCS#11 token, a cloud's key service or a separate user on the same machine plugs in as a command, or as a process
that listens on a Unix socket. Each request is one line of JSON, each answer one line:

    {"op":"public","role":"log"}                            {"public":"base64url"}
    {"op":"sign","key":"log-1a2b3c4d","message":"base64url"}  {"signature":"base64url"}
                                                            {"error":"why not, for the operator"}

What comes back is verified before it is used. Every wait has a bound; a signer that did not answer is not asked again
for a while, so that nothing queues up behind it. Where it fails, the write that needed it is undone.

Source: CONSTRUCTIONS (keys); docs/operating.md, "An external signer".
"""

import json
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from tallystick_ledger.encoding import from_base64url, parse_json_object, to_base64url
from tallystick_ledger.errors import BadInput
from tallystick_ledger.public_keys import ROLE_ALGORITHM, Role, require_sound_key
from tallystick_node.errors import SettingsInvalid, SignerUnavailable

SIGNER_TIMEOUT_S = 5.0
"""How long one request may take in all."""

SILENT_FOR_S = 5.0
"""How long a signer that did not answer in time is not asked again."""

ANSWER_SIZE_MAX_BYTES = 16 * 1024
STOPPED_WITHIN_S = 5.0


class KeyHolder(Protocol):
    """Whatever holds private keys and signs with them."""

    def public(self, role: Role) -> bytes:
        """Return the raw public key that a role is to use from now on.

        Raises:
            SignerUnavailable: it does not answer, or has none.
        """
        ...

    def sign(self, key: str, message: bytes) -> bytes:
        """Return the signature of the key with an id over a message.

        Raises:
            SignerUnavailable: it does not answer, or does not sign.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class SignerClient:
    """A signer in another process; safe to call from several threads, one request at a time."""

    def __init__(self, address: str, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """Ask the signer at `address`: `unix:PATH` of a socket, or `exec:COMMAND` to be started with a socket as its
        standard input and output. Nothing is connected or started before the first request.

        Raises:
            SettingsInvalid: the address is neither.
        """
        kind, _, rest = address.partition(":")
        if kind not in ("unix", "exec") or not rest:
            raise SettingsInvalid("A signer's address is not of its form.", remedy="Use unix:PATH or exec:COMMAND.")
        try:
            self._command = shlex.split(rest) if kind == "exec" else []
        except ValueError as error:  # a quote that does not end
            raise SettingsInvalid("A signer's command is not of its form.", remedy="Close its quotes.") from error
        self._path = rest if kind == "unix" else ""
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._silent_until_s = 0.0

    def close(self) -> None:
        """End the connection, and the command if one was started."""
        with self._lock:
            self._drop()

    def public(self, role: Role) -> bytes:
        """Return the public key that the signer has for a role now."""
        public = self._ask({"op": "public", "role": role}, "public")
        try:
            require_sound_key(ROLE_ALGORITHM[role], public)
        except BadInput as error:
            raise _unavailable("The signer gave a public key that is none.") from error
        return public

    def sign(self, key: str, message: bytes) -> bytes:
        """Return a signature; whoever asked checks it."""
        return self._ask({"op": "sign", "key": key, "message": to_base64url(message)}, "signature")

    def _ask(self, request: dict[str, str], member: str) -> bytes:
        with self._lock:
            if self._monotonic_s() < self._silent_until_s:
                raise _unavailable("The signer did not answer a moment ago, and is not asked again yet.")
            try:
                line = self._exchange(json.dumps(request).encode() + b"\n")
            except OSError as error:
                # The answer may still come; on a connection that goes on it would be taken for the next one's.
                self._drop()
                if isinstance(error, TimeoutError):
                    self._silent_until_s = self._monotonic_s() + SILENT_FOR_S
                raise _unavailable("The signer does not answer.") from error
        try:
            answer = parse_json_object(line)
            value = answer.get(member)
            if not isinstance(value, str):
                raise _unavailable("The signer refuses.")
            return from_base64url(value)
        except BadInput as error:
            raise _unavailable("The signer's answer is not of its form.") from error

    def _exchange(self, line: bytes) -> bytes:
        until_s = self._monotonic_s() + SIGNER_TIMEOUT_S
        if self._socket is None:
            self._socket = self._connect_unix() if self._path else self._start()
        self._socket.settimeout(self._left_s(until_s))
        self._socket.sendall(line)  # all of it within that time
        received = bytearray()
        while not received.endswith(b"\n"):
            self._socket.settimeout(self._left_s(until_s))
            chunk = self._socket.recv(ANSWER_SIZE_MAX_BYTES)
            received += chunk
            if not chunk or len(received) > ANSWER_SIZE_MAX_BYTES or b"\n" in received[:-1]:
                raise ConnectionError
        return bytes(received)

    def _left_s(self, until_s: float) -> float:
        left_s = until_s - self._monotonic_s()
        if left_s <= 0:
            raise TimeoutError
        return left_s

    def _connect_unix(self) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.settimeout(SIGNER_TIMEOUT_S)
            opened.connect(self._path)
        except OSError:
            opened.close()
            raise
        return opened

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            end = theirs.fileno()
            self._process = subprocess.Popen(self._command, stdin=end, stdout=end)  # noqa: S603  # the operator's command
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOPPED_WITHIN_S)
            self._process = None


class _Held:
    """What a private key elsewhere has in common with one here: a public half, and signatures that verify."""

    def __init__(self, holder: KeyHolder, key: str, public: bytes) -> None:
        self._holder = holder
        self._key = key
        self._public = public

    def _asked(self, message: bytes, *, verify: Callable[[bytes, bytes], None]) -> bytes:
        """Return the signer's signature over a message, once it is found to be one of this key."""
        signature = self._holder.sign(self._key, message)
        try:
            verify(signature, message)
        except InvalidSignature as error:
            raise _unavailable("The signer's answer is not a signature of the key that was asked.") from error
        return signature

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        """Refuse: the key is not here."""
        raise _not_here()

    def private_bytes_raw(self) -> NoReturn:
        """Refuse: the key is not here."""
        raise _not_here()


class HeldEd25519Key(_Held, Ed25519PrivateKey):
    """An Ed25519 key at a signer, usable wherever `cryptography`'s own is."""

    def public_key(self) -> Ed25519PublicKey:
        """Return the public half."""
        return Ed25519PublicKey.from_public_bytes(self._public)

    def sign(self, data: Any) -> bytes:
        """Return the signature over `data`.

        Raises:
            SignerUnavailable: none came in time, or not one of this key.
        """
        return self._asked(bytes(data), verify=self.public_key().verify)


class HeldMLDSA44Key(_Held, MLDSA44PrivateKey):
    """An ML-DSA-44 key at a signer, usable wherever `cryptography`'s own is."""

    def public_key(self) -> MLDSA44PublicKey:
        """Return the public half."""
        return MLDSA44PublicKey.from_public_bytes(self._public)

    def sign(self, data: Any, context: Any = None) -> bytes:
        """Return the signature over `data`; nothing here uses a context.

        Raises:
            SignerUnavailable: none came in time, or not one of this key.
        """
        assert context is None, "C2SP cosignatures have no context"
        return self._asked(bytes(data), verify=self.public_key().verify)

    def sign_mu(self, mu: Any) -> bytes:  # noqa: ARG002
        """Refuse: the signer is asked for messages alone."""
        raise _not_here()


def _not_here() -> SignerUnavailable:
    return _unavailable("A private key is at the external signer, and does not leave it.")


def _unavailable(problem: str) -> SignerUnavailable:
    return SignerUnavailable(problem, remedy="Look after the signer, then try again with the same idempotency key.")
