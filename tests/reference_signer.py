"""A reference signer: holds private keys, and signs for a node in another process (`tallystick_node.keys.external`).

`python reference_signer.py FOLDER` answers on its standard input, as `exec:` starts it; with `--socket PATH` it listens
there. `FOLDER/ROLE` holds the seed that a role uses now; what it signed with before it still holds. With `FOLDER/sulk`
it says nothing; with `FOLDER/lie` it signs something else.
"""

import hashlib
import json
import os
import socket
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey


def coded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def key_of(folder: Path, role: str) -> Ed25519PrivateKey | MLDSA44PrivateKey:
    path = folder / role
    if not path.exists():
        path.write_bytes(os.urandom(32))
    seed = path.read_bytes()
    return MLDSA44PrivateKey.from_seed_bytes(seed) if role == "log-pq" else Ed25519PrivateKey.from_private_bytes(seed)


def answer(folder: Path, held: dict[str, Ed25519PrivateKey | MLDSA44PrivateKey], request: dict[str, str]) -> object:
    if request["op"] == "public":
        role = request["role"]
        key = key_of(folder, role)
        public = key.public_key().public_bytes_raw()
        held[f"{role}-{hashlib.sha256(public).hexdigest()[:8]}"] = key
        return {"public": coded(public)}
    if request["key"] not in held:  # after a restart: by its role
        answer(folder, held, {"op": "public", "role": request["key"].rpartition("-")[0]})
    if request["key"] not in held:
        return {"error": "no such key"}
    message = urlsafe_b64decode(request["message"] + "==")
    return {"signature": coded(held[request["key"]].sign(b"a lie" if (folder / "lie").exists() else message))}


def serve(folder: Path, connection: socket.socket) -> None:
    held: dict[str, Ed25519PrivateKey | MLDSA44PrivateKey] = {}
    for line in connection.makefile("rb"):
        while (folder / "sulk").exists():
            if not connection.recv(1):
                return
        connection.sendall(json.dumps(answer(folder, held, json.loads(line))).encode() + b"\n")


def main() -> None:
    folder = Path(sys.argv[1])
    if "--socket" not in sys.argv:
        serve(folder, socket.socket(fileno=os.dup(0)))
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(sys.argv[3])
        listening.listen()
        while True:
            serve(folder, listening.accept()[0])


if __name__ == "__main__":
    main()
