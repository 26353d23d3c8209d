"""One node: its settings, keys, database, log, vault and partners, wired together.

Everything that is not pure comes in from outside: the clock, the randomness, the data folder, the transport to
partners. What a node does with them is in `flows`; how it is called is in `app`.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
from sqlalchemy import select
from sqlalchemy.sql.expression import Executable

from tallystick.bounded import client
from tallystick.peer import PeerClient
from tallystick.wire import EntryProof
from tallystick_consent.signed import SignedObject, sign_object
from tallystick_ledger.encoding import from_base64url
from tallystick_ledger.tlog.keys import COSIGNATURE_ED25519, VerifierKey
from tallystick_ledger.tlog.policy import Policy
from tallystick_node.clock import Clock
from tallystick_node.config import SHARDS_FOLDER, Databases, Settings, databases_of, shard_settings
from tallystick_node.errors import log_read_only
from tallystick_node.keys.changes import KeyFolder, any_ended, end_keys
from tallystick_node.keys.custody import Custody
from tallystick_node.keys.files import write_whole
from tallystick_node.keys.ring import NodeKeys
from tallystick_node.keys.signing import NodeSigners, counting_keys, write_vkey_files
from tallystick_node.keys.subject_secrets import SubjectSecrets
from tallystick_node.log.cosigning import Cosigners, load_policy
from tallystick_node.log.evidence_room import EvidenceRoom
from tallystick_node.log.missed import Missed
from tallystick_node.log.own_heads import Seer, Word
from tallystick_node.log.proof_service import ProofService
from tallystick_node.log.publisher import Publisher
from tallystick_node.log.replies import Once, StoredReply, find_reply
from tallystick_node.log.shards import Shard, Shards
from tallystick_node.log.standing import Standing
from tallystick_node.log.store_s3 import open_log_store
from tallystick_node.log.transaction import Transaction, Written
from tallystick_node.log.writer import OwnLog, Writer
from tallystick_node.migrations import Schema, open_database
from tallystick_node.partners import Partners
from tallystick_node.rates import Rates
from tallystick_node.statuses import OwnLists, PartnersLists
from tallystick_node.storage.database import close, single_statements, storage_errors
from tallystick_node.storage.folder_lock import FolderLock
from tallystick_node.storage.tables import KEYS_LOGGED
from tallystick_node.storage.turns import Turns
from tallystick_node.witness.known import witness_name

KEYS_FOLDER = "keys"
CUSTODY_FOLDER = "custody"
DESCRIPTOR_FILE = "descriptor.jwt"
EVIDENCE_FOLDER = "evidence"
WITNESS_KEYS_FILE = "witnesses.vkey"
PUBLISHING = "publish"

T = TypeVar("T")


class Node:
    """What the flows of a node work with."""

    def __init__(
        self,
        folder: Path,
        *,
        lock: FolderLock,
        settings: Settings,
        key_folder: KeyFolder,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.folder = folder
        self._lock = lock
        self.settings = settings
        self._key_folder = key_folder
        self._keys_version: tuple[int, int] = key_folder.version()
        self.keys = key_folder.load()
        self._own_descriptor: tuple[NodeKeys, str] | None = None
        self.clock = clock
        self.random_bytes = random_bytes
        self.host = settings.host
        self.transport = transport
        self.partners = Partners(self.rows, now_s=clock.now_s)
        self.own_lists, self.partners_lists = OwnLists(), PartnersLists()
        self._opened = ExitStack()
        self._opened.callback(key_folder.close)
        try:
            self._open(databases_of(settings, folder, os.environ))
        except BaseException:
            self._opened.close()
            raise

    def _open(self, databases: Databases) -> None:
        """Open what stays open until the node is closed; whoever calls lets go of it where this fails."""
        folder, settings, clock, random_bytes = self.folder, self.settings, self.clock, self.random_bytes
        self.engine = open_database(databases.node, Schema.NODE)
        self._opened.callback(close, self.engine)
        self._reading = single_statements(self.engine)
        self.turns = Turns(self.engine)
        self._opened.callback(self.turns.close)
        self.keys.ring.require_continues(
            (row.public, row.state) for row in self.rows(select(KEYS_LOGGED.c.public, KEYS_LOGGED.c.state))
        )
        self.custody = Custody(
            folder / CUSTODY_FOLDER, clock=clock, random_bytes=random_bytes, database=databases.custody
        )
        self._opened.callback(self.custody.close)
        self.secrets = SubjectSecrets(self.custody, origin=settings.host, random_bytes=random_bytes)
        agent = {"User-Agent": user_agent(settings.host)}
        self._witness_http = client(headers=agent, may=settings.may_reach)
        self._opened.callback(self._witness_http.close)
        self.evidence = EvidenceRoom(folder / EVIDENCE_FOLDER, now_s=clock.now_s)
        self._is_shared = databases.are_shared
        with self.turns.wait_for(PUBLISHING):  # it mends what is there, and must not find it half made
            self.shards = Shards(self.engine, settings.log_name, self._open_shard)
        self.writer = Writer(
            self.engine,
            log=self.shards.current.own,
            clock=clock,
            random_bytes=random_bytes,
            keeps_published=settings.keeps_published_entries,
            log_named=self.shards.own_log,
        )
        if self.publisher.is_behind:
            self.writer.refuse(log_read_only())  # at once; the database is told when others are asked
        self.missed = Missed()
        self.app_rates = Rates(settings.app_calls_a_minute, now_s=clock.now_s)
        self.partner_rates = Rates(settings.partner_calls_a_minute, now_s=clock.now_s)
        self.standing = Standing(
            self.shards,
            self.writer,
            self._seers,
            self._witness_http,
            self.evidence,
            clock,
            waits_for_word=settings.writes_wait_for_word,
            is_enough=self._is_enough,
        )

    def close(self) -> None:
        """Finish what is queued, then release everything."""
        self.writer.close()
        self.shards.close()
        self._opened.close()
        self._lock.release()

    @property
    def publisher(self) -> Publisher:
        """The publisher of the log that is written."""
        return self.shards.current.publisher

    def shard_folder(self, name: str) -> Path:
        """Return the folder in which a log lies as `log`, with the keys to check it under beside it."""
        return self.folder if name == self.settings.log_name else self.folder / SHARDS_FOLDER / name

    @property
    def proofs(self) -> ProofService:
        """What proves from the published files of the log that is written."""
        return self.shards.current.proofs

    def prove(self, log: str, index: int) -> EntryProof | None:
        """Return an entry of a log, by the log's name, with its proof; None before a published head covers it."""
        return self.shards.prove(log, index)

    def _open_shard(self, name: str) -> Shard:
        """Open a log of this node."""
        origin, folder = f"{self.host}/log/{name}", self.shard_folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        store = open_log_store(shard_settings(self.settings, name), self.folder)
        own = OwnLog(name, origin, NodeSigners(lambda: self.keys, origin=origin))
        cosigners = self._cosigners(folder, own)
        publisher = Publisher(
            self.engine,
            store,
            log=name,
            origin=origin,
            signers=own.signers,
            clock=self.clock,
            handover=own.handover,
            cosigners=cosigners,
            is_shared=self._is_shared,
            even_behind=True,
        )
        return Shard(own, publisher, ProofService(publisher), cosigners, store)

    def _policy(self) -> Policy | None:
        """Return the policy that the settings name; it was written for the log that the node began with."""
        if not self.settings.witness_policy:
            return None
        path = self.folder / self.settings.witness_policy
        waits = self.settings.publication_waits or self.settings.writes_wait_for_word
        return load_policy(path, log_keys=self.keys.log_keys(self.settings.log_origin), waits=waits)

    def _cosigners(self, folder: Path, own: OwnLog) -> Cosigners | None:
        """Return the witnesses that the settings name, and leave their keys beside the log for whoever audits it."""
        policy = self._policy()
        if policy is None:
            return None
        keys = "".join(f"{each.key.text}\n" for each in policy.witnesses)
        (folder / WITNESS_KEYS_FILE).write_text(keys, encoding="utf-8")
        return Cosigners(
            policy,
            origin=own.origin,
            http=self._witness_http,
            waits=self.settings.publication_waits,
            evidence=self.evidence,
            log_keys=lambda: counting_keys(own.signers),
            heed_time=lambda of, at_s: self.standing.heed_time(of, at_s),
        )

    def _seers(self) -> list[Seer]:
        """Return whoever may have seen this node's log: the witnesses of its policy, and its partners."""
        policy = self._policy()
        witnesses = () if policy is None else policy.witnesses
        seers: dict[str, Seer] = {}
        for each in witnesses:
            if each.url is not None:
                url = each.url.rstrip("/")
                known = seers[url].keys if url in seers else ()
                seers[url] = Seer(each.key.name, url, (*known, each.key), is_chosen=True)
        for partner in self.partners.all_live():
            name = witness_name(partner.host)
            cosigned_by = [from_base64url(key.public) for key in partner.keys if key.role == "witness"]
            keys = tuple(VerifierKey(name, COSIGNATURE_ED25519, public) for public in cosigned_by)
            seers.setdefault(f"{partner.url}/witness", Seer(partner.host, f"{partner.url}/witness", keys, follows=True))
        return list(seers.values())

    def _is_enough(self, words: Sequence[Word]) -> bool:
        """Return whether those who gave these words make the policy's quorum; without one, anybody does."""
        policy = self._policy()
        if policy is None or policy.quorum is None:
            return bool(words)
        return policy.is_met_by({key for word in words for key in word.keys})

    def now_s(self) -> int:
        """Return the node's time: whole seconds since 1970-01-01 UTC."""
        return self.clock.now_s()

    # Reading

    def rows(self, statement: Executable, values: Mapping[str, object] | None = None) -> Sequence[Any]:
        """Return the rows of a query, as of now; `values` are those of its parameters, where it was made before."""
        with storage_errors(), self._reading.connect() as connection:
            return connection.execute(statement, values).all()

    def row(self, statement: Executable) -> Any | None:
        """Return the first row of a query, None where there is none."""
        found = self.rows(statement)
        return found[0] if found else None

    # Keys

    def keys_changed(self) -> bool:
        """Return whether there is anything for `refresh_keys` to do."""
        return self._key_folder.version() != self._keys_version

    def refresh_keys(self) -> None:
        """Take up the keys as they lie in the folder, where the operator changed them.

        Raises:
            SettingsInvalid: they cannot be read; the node goes on with those it has until the list changes again.
        """
        version = self._key_folder.version()
        if version != self._keys_version:
            self._keys_version = version
            self.keys = self._key_folder.load()

    def end_keys(self) -> None:
        """Destroy the secrets of keys that have ended.

        Raises:
            SettingsInvalid: somebody is changing the keys just now.
            OSError: the folder cannot be written.
        """
        if any_ended(self.keys.ring, now_s=self.now_s()):
            end_keys(self._key_folder)

    def descriptor(self) -> str:
        """Return the node's signed descriptor, compact JWS."""
        keys = self.keys
        if self._own_descriptor is None or self._own_descriptor[0] is not keys:
            self._own_descriptor = keys, keys.descriptor(self.settings)
        return self._own_descriptor[1]

    def say_who_signs(self) -> None:
        """Leave the verifier keys of the published head, and the descriptor, in the files beside the log."""
        for name in self.shards.names():
            shard = self.shards.named(name)
            with suppress(OSError):
                if shard is not None:
                    write_vkey_files(self.shard_folder(name), shard.publisher.published[1], shard.publisher.log_keys)
        path, text = self.folder / DESCRIPTOR_FILE, self.descriptor() + "\n"
        if not path.exists() or path.read_text(encoding="ascii") != text:
            write_whole(path, text)

    # Writing

    async def written(self, work: Callable[[Transaction], T], *, even_read_only: bool = False) -> Written[T]:
        """Do a write of the node's own; return once it is durable.

        Args:
            work: what to do.
            even_read_only: whether it may be done while the log is read-only, since it appends nothing.
        """
        return await asyncio.wrap_future(self.writer.submit(work, even_read_only=even_read_only))

    async def once(
        self,
        once: Once,
        work: Callable[[Transaction], T],
        render: Callable[[T, tuple[EntryProof, ...]], StoredReply],
        *,
        even_read_only: bool = False,
    ) -> StoredReply:
        """Do a write that somebody asked for under an idempotency key; return its reply once it is durable."""
        return await asyncio.wrap_future(self.writer.submit_once(once, work, render, even_read_only=even_read_only))

    def replayed(self, once: Once) -> StoredReply | None:
        """Return the reply this key got before, None where it is new.

        Raises:
            IdempotencyRefused: the key was used for something else.
        """
        return find_reply(self.row, once)

    # Partners

    @property
    def http(self) -> httpx.Client:
        """The client for what is asked of others without a signature: witnesses, and published logs."""
        return self._witness_http

    def peer(self, host: str, http: httpx.AsyncClient) -> PeerClient:
        """Return the client that calls a partner as this node."""
        return PeerClient(
            host=self.host,
            key_id=self.keys.id("http"),
            private_key=self.keys.ed25519("http"),
            partner=self.partners.live(host),
            http=http,
            now_s=self.now_s,
            random_bytes=self.random_bytes,
        )

    def signed(self, content: SignedObject) -> str:
        """Return an object signed as this company, for a partner to keep."""
        return sign_object(content, key_id=self.keys.id("receipt"), private_key=self.keys.ed25519("receipt"))


def user_agent(host: str) -> str:
    """Return by which name a node asks others for what it does not sign for; it proves nothing."""
    return f"tallystick-node/1 ({host})"
