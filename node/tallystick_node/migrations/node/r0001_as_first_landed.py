"""The tables as they first landed: what a version before there were revisions has made."""

import sqlalchemy as sa
from alembic import op

revision = "node_0001"
down_revision = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "accepting",
        sa.Column("offer", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("unique", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("started_at_s", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("offer"),
    )
    op.create_table(
        "account",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("debits_posted", WHOLE, nullable=False),
        sa.Column("debits_pending", WHOLE, nullable=False),
        sa.Column("credits_posted", WHOLE, nullable=False),
        sa.Column("credits_pending", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("name", "asset"),
    )
    op.create_table(
        "agreement",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("payer", sa.String(), nullable=False),
        sa.Column("program", sa.String(), nullable=False),
        sa.Column("version", WHOLE, nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("payer_token", sa.String(), nullable=False),
        sa.Column("issuer_token", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_agreement_program", "agreement", ["program"])

    op.create_table(
        "appkey",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scopes", sa.String(), nullable=False),
        sa.Column("created_at_s", WHOLE, nullable=False),
        sa.Column("expires_at_s", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "ask",
        sa.Column("id", WHOLE, nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=False),
        sa.Column("program", sa.String(), nullable=False),
        sa.Column("version", WHOLE, nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("received_at_s", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "auditread",
        sa.Column("id", WHOLE, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("read_at_s", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "blob",
        sa.Column("first", WHOLE, autoincrement=False, nullable=False),
        sa.Column("count", WHOLE, nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("first"),
    )
    op.create_table(
        "claim",
        sa.Column("number", WHOLE, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=False),
        sa.Column("receipt", sa.String(), nullable=False),
        sa.Column("program", sa.String(), nullable=False),
        sa.Column("version", WHOLE, nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("nullifier", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("salt", sa.String(), nullable=False),
        sa.Column("expires_at_s", WHOLE, nullable=False),
        sa.Column("leaf", WHOLE, nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("acceptance", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("ix_claim_nullifier", "claim", ["nullifier"])
    op.create_index("ix_claim_receipt", "claim", ["receipt"])

    op.create_table(
        "decision",
        sa.Column("id", WHOLE, nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("receipt", sa.String(), nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("program", sa.String(), nullable=False),
        sa.Column("version", WHOLE, nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("counted", WHOLE, nullable=False),
        sa.Column("not_counted", sa.String(), nullable=False),
        sa.Column("reasons", sa.String(), nullable=False),
        sa.Column("decided_at_s", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_decision_subject", "decision", ["subject"])

    op.create_table(
        "disclosure",
        sa.Column("claim", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("claim"),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("leaf", WHOLE, nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("data_class", sa.String(), nullable=False),
        sa.Column("at_s", WHOLE, nullable=False),
        sa.Column("receipt", sa.String(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at_s", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("event_by_subject_class_time", "event", ["subject", "data_class", "at_s"])

    op.create_table(
        "head",
        sa.Column("id", WHOLE, autoincrement=False, nullable=False),
        sa.Column("size", WHOLE, nullable=False),
        sa.Column("peaks", sa.LargeBinary(), nullable=False),
        sa.Column("checkpoint", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "idempotency",
        sa.Column("caller", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("status", WHOLE, nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("created_at_s", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("caller", "key"),
    )
    op.create_index("ix_idempotency_created_at_s", "idempotency", ["created_at_s"])

    op.create_table(
        "link",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("program", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("partner_hint", sa.String(), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at_s", WHOLE, nullable=False),
        sa.Column("ended_at_s", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_link_subject", "link", ["subject"])

    op.create_table(
        "linkunique",
        sa.Column("unique", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=True),
        sa.Column("free_from_s", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("unique"),
    )
    op.create_index("ix_linkunique_link", "linkunique", ["link"])

    op.create_table(
        "message",
        sa.Column("number", WHOLE, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("receipt", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("not_before_s", WHOLE, nullable=False),
        sa.Column("attempts", WHOLE, nullable=False),
        sa.Column("next_attempt_s", WHOLE, nullable=False),
        sa.Column("maybe_arrived", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("ix_message_receipt", "message", ["receipt"])
    op.create_index("message_by_partner_state", "message", ["partner", "state"])

    op.create_table(
        "nonce",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("expires_at_s", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "nonce"),
    )
    op.create_index("ix_nonce_expires_at_s", "nonce", ["expires_at_s"])

    op.create_table(
        "offer",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("program", sa.String(), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("challenge", sa.String(), nullable=False),
        sa.Column("expires_at_s", WHOLE, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "partner",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("descriptor", sa.String(), nullable=False),
        sa.Column("added_at_s", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("host"),
    )
    op.create_table(
        "program",
        sa.Column("payer", sa.String(), nullable=False),
        sa.Column("program", sa.String(), nullable=False),
        sa.Column("version", WHOLE, autoincrement=False, nullable=False),
        sa.Column("document", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("payer", "program", "version"),
    )
    op.create_table(
        "receipt",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("version", WHOLE, nullable=False),
        sa.Column("link", sa.String(), nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("terms", sa.String(), nullable=False),
        sa.Column("notice", sa.String(), nullable=False),
        sa.Column("evidence", sa.String(), nullable=True),
        sa.Column("signed", sa.String(), nullable=True),
        sa.Column("acknowledgement", sa.String(), nullable=True),
        sa.Column("requested_at_s", WHOLE, nullable=False),
        sa.Column("acknowledged_at_s", WHOLE, nullable=True),
        sa.Column("live_leaf", WHOLE, nullable=True),
        sa.Column("uses", WHOLE, nullable=False),
        sa.Column("ended_at_s", WHOLE, nullable=True),
        sa.Column("end_acknowledged_at_s", WHOLE, nullable=True),
        sa.Column("valid_until_s", WHOLE, nullable=False),
        sa.Column("next_period", sa.String(), nullable=True),
        sa.Column("next_close_s", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_receipt_link", "receipt", ["link"])
    op.create_index("ix_receipt_next_close_s", "receipt", ["next_close_s"])

    op.create_table(
        "reward",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=False),
        sa.Column("receipt", sa.String(), nullable=False),
        sa.Column("claim", sa.String(), nullable=False),
        sa.Column("program", sa.String(), nullable=False),
        sa.Column("version", WHOLE, nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("unique", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("amount_minor", WHOLE, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("posted_at_s", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("unique"),
    )
    op.create_index("ix_reward_subject", "reward", ["subject"])

    op.create_table(
        "transfer",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "witnessed",
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("origin_digest", sa.String(), nullable=False),
        sa.Column("size", WHOLE, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("cosigned_at_s", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("origin"),
        sa.UniqueConstraint("origin_digest"),
    )
