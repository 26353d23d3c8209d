"""The keys of this company's apps; a key is shown once, and only its digest is kept."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import delete, insert, select

from tallystick.wire import SCOPES
from tallystick_ledger.encoding import new_id, to_base64url
from tallystick_ledger.times import DAY_S
from tallystick_node.clock import Clock
from tallystick_node.config import load_settings
from tallystick_node.errors import SettingsInvalid
from tallystick_node.operator.database import node_database
from tallystick_node.storage.database import storage_errors, writing
from tallystick_node.storage.tables import APP_KEYS

SECRET_SIZE_BYTES = 32

_APP_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}")
"""What the evidence of a consent can carry."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new app key: its id, and the secret that is shown this once."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AppKeyLine:
    """What may be shown of an app's key.

    Attributes:
        expires_at_s: seconds since 1970-01-01 UTC, None where it does not expire.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    expires_at_s: int | None


def add_app_key(
    folder: Path, *, name: str, scopes: Sequence[str], clock: Clock, life_days: int | None = None
) -> NewKey:
    """Make a key for one of this company's apps; only its digest is kept.

    Raises:
        SettingsInvalid: a scope is unknown, or the name is not one.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise SettingsInvalid(
            f"Unknown scopes: {', '.join(unknown) or 'none given'}.", remedy=f"Choose from {', '.join(SCOPES)}."
        )
    if not _APP_NAME.fullmatch(name):
        raise SettingsInvalid("An app's name is not one.", remedy="Use letters, digits, '.', '_' and '-'.")
    kind = "test" if load_settings(folder).sandbox else "live"
    key = NewKey(
        new_id("key", secrets.token_bytes(16)), f"sk_{kind}_{to_base64url(secrets.token_bytes(SECRET_SIZE_BYTES))}"
    )
    now_s = clock.now_s()
    with node_database(folder) as engine, storage_errors(), writing(engine).begin() as connection:
        connection.execute(
            insert(APP_KEYS).values(
                id=key.id,
                digest=hashlib.sha256(key.secret.encode()).hexdigest(),
                name=name,
                scopes=" ".join(sorted(set(scopes))),
                created_at_s=now_s,
                expires_at_s=None if life_days is None else now_s + life_days * DAY_S,
            )
        )
    return key


def list_app_keys(folder: Path) -> list[AppKeyLine]:
    """Return the keys of this company's apps, the oldest first."""
    with node_database(folder) as engine, storage_errors(), engine.connect() as connection:
        rows = connection.execute(select(APP_KEYS).order_by(APP_KEYS.c.created_at_s, APP_KEYS.c.id)).all()
    return [AppKeyLine(row.id, row.name, tuple(row.scopes.split()), row.expires_at_s) for row in rows]


def remove_app_key(folder: Path, key_id: str) -> None:
    """Remove an app's key; the next request under it is refused.

    Raises:
        SettingsInvalid: there is no key of that id.
    """
    with node_database(folder) as engine, storage_errors(), writing(engine).begin() as connection:
        if connection.execute(delete(APP_KEYS).where(APP_KEYS.c.id == key_id)).rowcount == 0:
            raise SettingsInvalid("There is no app key of that id.", remedy="Look: tally-node keys list")
