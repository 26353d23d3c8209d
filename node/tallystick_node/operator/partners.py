"""Whom a node trusts: a partner by its descriptor, and the fingerprint that two people compared."""

from pathlib import Path

from sqlalchemy import delete, insert, select

from tallystick.descriptor import Descriptor, open_descriptor, plain_fingerprint, require_not_older
from tallystick_node.clock import Clock
from tallystick_node.config import load_settings
from tallystick_node.errors import PartnerUnknown, SettingsInvalid
from tallystick_node.operator.database import node_database
from tallystick_node.partners import clashes
from tallystick_node.storage.database import storage_errors, writing
from tallystick_node.storage.tables import PARTNERS


def add_partner(folder: Path, descriptor: str, *, expected_fingerprint: str, clock: Clock) -> Descriptor:
    """Trust a partner from now on, by its descriptor and the fingerprint that two people compared.

    A partner that is known is replaced: under another fingerprint by what the two people say, under the same one only
    by a descriptor that is not older.

    Raises:
        SignatureRejected: the descriptor is signed by another identity.
        DescriptorOlder: a newer one of that identity is known.
        BadInput, SettingsInvalid: not a descriptor, or this node's own.
    """
    described = open_descriptor(descriptor.strip(), expected_fingerprint=expected_fingerprint)
    if described.host == load_settings(folder).host:
        raise SettingsInvalid("That is this node's own descriptor.", remedy="Add the partner's.")
    with node_database(folder) as engine, storage_errors(), writing(engine).begin() as connection:
        if clashes(connection.execute(select(PARTNERS)).all(), described):
            raise SettingsInvalid(
                "Another partner has a key of the same id.", remedy="Ask the new partner to renew its keys."
            )
        compared = plain_fingerprint(expected_fingerprint)
        known = connection.execute(select(PARTNERS).where(PARTNERS.c.host == described.host)).first()
        if known is not None and known.fingerprint == compared:
            require_not_older(described, open_descriptor(known.descriptor, expected_fingerprint=compared))
        connection.execute(delete(PARTNERS).where(PARTNERS.c.host == described.host))
        connection.execute(
            insert(PARTNERS).values(
                host=described.host,
                fingerprint=compared,
                descriptor=descriptor.strip(),
                added_at_s=clock.now_s(),
            )
        )
    return described


def remove_partner(folder: Path, host: str) -> None:
    """Trust a partner no more: nothing is sent to it or taken from it; what was agreed stays in the ledger.

    Raises:
        PartnerUnknown: it is no partner.
    """
    with node_database(folder) as engine, storage_errors(), writing(engine).begin() as connection:
        if connection.execute(delete(PARTNERS).where(PARTNERS.c.host == host)).rowcount == 0:
            raise PartnerUnknown("No partner of that name was added to this node.", remedy="Look: partner list")


def list_partners(folder: Path) -> list[tuple[str, str]]:
    """Return host and fingerprint of every partner."""
    with node_database(folder) as engine, storage_errors(), engine.connect() as connection:
        rows = connection.execute(select(PARTNERS.c.host, PARTNERS.c.fingerprint).order_by(PARTNERS.c.host)).all()
    return [(row.host, row.fingerprint) for row in rows]
