"""Keys that live seven days: one a day and a purpose, each in a file of its own, and in no database and no backup.

What was sealed under the key of a day opens for as long as that key lives, and then never again, whoever kept a copy
of what was sealed. A key is made once, by whichever process needs it first.

Source: CONSTRUCTIONS (keys), DESIGN P9.
"""

import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tallystick_ledger.encoding import from_base64url, to_base64url
from tallystick_ledger.errors import BadInput
from tallystick_ledger.times import DAY_S
from tallystick_node.errors import SettingsInvalid
from tallystick_node.keys.files import write_secret_file
from tallystick_node.storage.durable import flush, overwrite_and_remove

KEY_LIFE_DAYS = 7
KEY_SIZE_BYTES = 32


class DayKeys:
    """The keys of one purpose in one folder; safe to use from several threads and processes."""

    def __init__(self, folder: Path, purpose: str, *, random_bytes: Callable[[int], bytes]) -> None:
        """Keep keys as `PURPOSE-DAY.key` in `folder`; DAY counts from 1970-01-01, in UTC."""
        self._folder = folder
        self._purpose = purpose
        self._random_bytes = random_bytes

    def find(self, day: int) -> bytes | None:
        """Return the key of a day, 32 bytes; None where there is none (any more).

        Raises:
            SettingsInvalid: it cannot be read.
        """
        try:
            key = from_base64url(self._path(day).read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, BadInput) as error:
            raise self._unreadable() from error
        if len(key) != KEY_SIZE_BYTES:
            raise self._unreadable()
        return key

    def find_or_make(self, day: int) -> bytes:
        """Return the key of a day, made durably first where there is none, so before anything is sealed under it."""
        return self.find(day) or self._make(day)

    def destroy_dead(self, today: int) -> None:
        """Destroy the keys that are seven days old or older, and what a crash left half made.

        They are overwritten first; custody by KMS or HSM leaves no copy on any file system. A file of another name is
        none of ours, and one that cannot be destroyed keeps no other alive.

        Raises:
            SettingsInvalid: one cannot be destroyed; all others are.
        """
        whole = re.compile(rf"{self._purpose}-([0-9]+)\.key")
        half_made = re.compile(rf"\.{self._purpose}-([0-9]+)\.key\.[0-9a-f]+\.new")
        stays: OSError | None = None
        for path in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            made, begun = whole.fullmatch(path.name), half_made.fullmatch(path.name)
            if (made and is_dead(int(made[1]), today=today)) or (begun and int(begun[1]) < today):
                try:
                    overwrite_and_remove(path)
                except OSError as error:
                    stays = error
        if stays is not None:
            raise SettingsInvalid(
                f"A dead {self._purpose} key cannot be destroyed.",
                remedy="Give the custody folder's files to the user that runs the node.",
            ) from stays

    def _unreadable(self) -> SettingsInvalid:
        return SettingsInvalid(
            f"A {self._purpose} key cannot be read.", remedy="Restore the custody folder from its own backup."
        )

    def _path(self, day: int) -> Path:
        return self._folder / f"{self._purpose}-{day}.key"

    def _make(self, day: int) -> bytes:
        """Make a key; half of one is never under its name.

        Where two processes make one at once, both go on with the first: a name is given once, and never again.
        """
        path = self._path(day)
        beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
        write_secret_file(beside, to_base64url(self._random_bytes(KEY_SIZE_BYTES)))
        with suppress(FileExistsError):
            path.hardlink_to(beside)
        beside.unlink()
        flush(self._folder)
        made = self.find(day)
        assert made is not None, "it was made just now"
        return made


def is_dead(day: int, *, today: int) -> bool:
    """Return whether the key of a day has lived its seven days; both count from 1970-01-01."""
    return day <= today - KEY_LIFE_DAYS


def dies_at_s(day: int) -> int:
    """Return from when on the key of a day is dead, seconds since 1970-01-01 UTC."""
    return (day + KEY_LIFE_DAYS) * DAY_S
