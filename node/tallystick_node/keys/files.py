"""Secrets in a folder: one a file, which only its owner reads, in clear or sealed under the operator's passphrase.

A sealed file is one line, `scrypt-aes256gcm-v1 SALT NONCE SEALED`, base64url: AES-256-GCM under a key that scrypt makes
of the passphrase, bound to the file's own name. Where a folder holds one sealed file, whatever is written is sealed.

PKCS#8 would be the usual container, but it has no form for a seal key, and what `cryptography` encrypts it with today
(PBKDF2 with 2,048 rounds, AES-256-CBC) is weaker and notices no change.

Source: RFC 7914 (scrypt), NIST SP 800-38D (GCM), CONSTRUCTIONS (keys); docs/formats.md, "Key files".
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tallystick_ledger.encoding import from_base64url, length_prefixed, to_base64url
from tallystick_ledger.errors import BadInput
from tallystick_node.errors import KeysLocked, SettingsInvalid
from tallystick_node.storage.durable import flush, overwrite_and_remove

KEY_FILE_MODE = 0o600
FILE_SIZE_MAX_BYTES = 4_096
PASSPHRASE_SIZE_MAX_BYTES = 1_024

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**16, 8, 1
"""64 MiB and a fraction of a second for each guess."""

SALT_SIZE_BYTES = 16
NONCE_SIZE_BYTES = 12

_SEALED = "scrypt-aes256gcm-v1"

_RESEALED = ".resealed"
"""The file that says which secrets were sealed anew, and count."""

AskPassphrase = Callable[[], bytes]


class SecretFiles:
    """The `.key` files of one folder."""

    def __init__(
        self, folder: Path, *, random_bytes: Callable[[int], bytes], passphrase: AskPassphrase | None = None
    ) -> None:
        """Read and write the secrets of `folder`; the passphrase is asked for once, and only where it is needed."""
        self.folder = folder
        self._random_bytes = random_bytes
        self._ask = passphrase
        self._passphrase: bytes | None = None
        self._keys: dict[bytes, bytes] = {}
        self._salt: bytes | None = None

    def read(self, name: str) -> str | None:
        """Return the secret of a name, None where there is no file of it.

        Raises:
            SettingsInvalid: others may read the file, or it is not of its form.
            KeysLocked: it is sealed, and the passphrase is missing or another.
        """
        path = self._path(name)
        try:
            if path.stat().st_mode & 0o077:
                raise SettingsInvalid(f"Others may read the {name} key.", remedy=f"chmod 600 {path.name}")
            with path.open("rb") as file:
                raw = file.read(FILE_SIZE_MAX_BYTES + 1)
            text = raw.decode("ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise unreadable(name) from error
        if len(raw) > FILE_SIZE_MAX_BYTES:
            raise unreadable(name)
        return self._opened(name, text) if text.startswith(_SEALED) else text

    def write(self, name: str, text: str, *, sealed: bool | None = None) -> None:
        """Write a secret under a new name, durably; sealed where the folder's others are, unless told.

        Raises:
            SettingsInvalid: there is a secret of that name already; none is ever overwritten.
            KeysLocked: it is to be sealed, and there is no passphrase, or another than the folder's.
        """
        write_secret_file(
            self._path(name), self._written(name, text, sealed=self.is_sealed if sealed is None else sealed)
        )
        flush(self.folder)

    def seal_all(self) -> list[str]:
        """Seal every secret that lies in clear; return their names.

        Each file is replaced in one step. If the power fails in between, some are sealed and some are not, all can be
        read with the passphrase, and the next call does the rest.

        Raises:
            KeysLocked: there is no passphrase, or another than that of what is sealed already.
        """
        done: list[str] = []
        for path in sorted(self.folder.glob("*.key")):
            text = self.read(path.stem)
            if text is not None and not _is_sealed(path):
                beside = path.with_name(f".{path.name}.new")
                beside.unlink(missing_ok=True)
                write_secret_file(beside, self._written(path.stem, text, sealed=True))
                beside.rename(path)
                flush(self.folder)
                done.append(path.stem)
        return done

    def reseal_all(self, passphrase: AskPassphrase) -> list[str]:
        """Seal every secret under another passphrase; return their names.

        All files are written anew beside the old ones; then one file more says that they count. If the power fails
        before that, all open with the old passphrase, and after it, all with the new one: `finish_resealing` does what
        is left, and needs neither.

        Raises:
            KeysLocked: there is no passphrase, or another than theirs, or the new one is none; nothing was changed.
        """
        self.finish_resealing()
        names = sorted(path.stem for path in self.folder.glob("*.key"))
        secrets = {name: text for name in names if (text := self.read(name)) is not None}
        anew = SecretFiles(self.folder, random_bytes=self._random_bytes, passphrase=passphrase)
        for name, text in secrets.items():
            beside = self._beside(name)
            beside.unlink(missing_ok=True)
            write_secret_file(beside, anew._written(name, text, sealed=True))
        flush(self.folder)
        write_secret_file(self.folder / _RESEALED, f"{' '.join(secrets)}\n")
        flush(self.folder)
        # From here on the new files are the secrets, whoever comes.
        self.finish_resealing()
        self._passphrase, self._keys, self._salt = anew._passphrase, anew._keys, anew._salt
        return list(secrets)

    def finish_resealing(self) -> None:
        """Put resealed secrets in the place of the old ones, where that was decided and not done to its end.

        Raises:
            SettingsInvalid: what says so cannot be read.
        """
        decided = self.folder / _RESEALED
        try:
            names = decided.read_text(encoding="ascii").split()
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise unreadable(_RESEALED) from error
        for name in names:
            with suppress(FileNotFoundError):  # it was moved before the power failed, or by somebody else just now
                self._beside(name).rename(self._path(name))
        flush(self.folder)
        decided.unlink(missing_ok=True)
        flush(self.folder)

    def remove(self, name: str) -> None:
        """Overwrite a secret and remove it, where there is one; a journal or a flash disk may keep an old copy."""
        for path in (self._path(name), self._beside(name)):
            if path.is_file():
                overwrite_and_remove(path)
                flush(self.folder)

    @property
    def is_sealed(self) -> bool:
        """Whether one of the folder's secrets is sealed."""
        return any(_is_sealed(path) for path in self.folder.glob("*.key"))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def _beside(self, name: str) -> Path:
        """Where a secret waits that was sealed anew."""
        return self.folder / f".{name}.key.resealed"

    def _written(self, name: str, text: str, *, sealed: bool) -> str:
        if not sealed:
            return f"{text}\n"
        if self._salt is None:
            self._salt = self._random_bytes(SALT_SIZE_BYTES)
        nonce = self._random_bytes(NONCE_SIZE_BYTES)
        boxed = AESGCM(self._key(self._salt)).encrypt(nonce, text.encode("ascii"), _bound_to(name))
        return " ".join((_SEALED, to_base64url(self._salt), to_base64url(nonce), to_base64url(boxed))) + "\n"

    def _opened(self, name: str, text: str) -> str:
        try:
            _, salt, nonce, boxed = text.split(" ")
            raw_salt, raw_nonce, raw_boxed = from_base64url(salt), from_base64url(nonce), from_base64url(boxed)
        except (ValueError, BadInput) as error:
            raise unreadable(name) from error
        if len(raw_salt) != SALT_SIZE_BYTES or len(raw_nonce) != NONCE_SIZE_BYTES:
            raise unreadable(name)
        try:
            plain = AESGCM(self._key(raw_salt)).decrypt(raw_nonce, raw_boxed, _bound_to(name))
        except InvalidTag as error:
            raise KeysLocked(
                f"The {name} key does not open with this passphrase.",
                remedy="Give the passphrase it was sealed with; if that is the one, restore the file from its backup.",
            ) from error
        self._salt = raw_salt
        return plain.decode("ascii")

    def _key(self, salt: bytes) -> bytes:
        if self._passphrase is None:
            if self._ask is None:
                raise KeysLocked(
                    "The keys are sealed, and nobody gave the passphrase.",
                    remedy="Name a file that holds it in TALLYSTICK_PASSPHRASE_FILE, or run this at a terminal.",
                )
            self._passphrase = self._ask()
        if salt not in self._keys:
            kdf = Scrypt(salt=salt, length=32, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P)
            self._keys[salt] = kdf.derive(self._passphrase)
        return self._keys[salt]


def unreadable(name: str) -> SettingsInvalid:
    """Return the error for a key that cannot be read."""
    return SettingsInvalid(f"The {name} key cannot be read.", remedy="Restore the keys folder from its own backup.")


def write_secret_file(path: Path, text: str) -> None:
    """Write a new file that only its owner reads, durably; refuse to overwrite.

    Raises:
        SettingsInvalid: the file exists.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEY_FILE_MODE)
    except FileExistsError as error:
        raise SettingsInvalid(
            "A key file exists already.", remedy="Choose another folder; keys are never overwritten."
        ) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, text: str) -> None:
    """Write a file whole or not at all, durably, in the place of what is there; only its owner reads it."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    write_secret_file(beside, text)
    beside.rename(path)
    flush(path.parent)


def write_whole(path: Path, text: str) -> None:
    """Write a file that anybody may read, whole or not at all; it can be made again, so it is not flushed."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.rename(path)


def read_passphrase_file(path: Path) -> bytes:
    """Return the passphrase in a file, or behind a file descriptor such as `/dev/fd/3`, without its last newline.

    Raises:
        KeysLocked: it cannot be read, others may read it, or it holds none.
    """
    try:
        status = path.stat()
        with path.open("rb") as file:
            raw = file.read(PASSPHRASE_SIZE_MAX_BYTES + 2).removesuffix(b"\n")
    except OSError as error:
        raise KeysLocked("The passphrase file cannot be read.", remedy="Name a file that this user reads.") from error
    if path.is_file() and status.st_mode & 0o077:
        raise KeysLocked("Others may read the passphrase file.", remedy=f"chmod 600 {path}")
    return checked_passphrase(raw)


def checked_passphrase(raw: bytes) -> bytes:
    """Return a passphrase that is one.

    Raises:
        KeysLocked: it is empty, or longer than `PASSPHRASE_SIZE_MAX_BYTES`.
    """
    if not 1 <= len(raw) <= PASSPHRASE_SIZE_MAX_BYTES:
        raise KeysLocked("A passphrase is empty or too long.", remedy="Use one of 1 to 1,024 bytes.")
    return raw


def _is_sealed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SEALED)) == _SEALED.encode()
    except OSError:
        return False


def _bound_to(name: str) -> bytes:
    return length_prefixed("tallystick/key-file/v1", name)
