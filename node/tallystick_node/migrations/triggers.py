"""Append-only, kept by the database itself: a statement that would rewrite the log's history is refused.

A head only grows, none is removed, and one that has a successor stays as it is. What lies below a head is never put in
again, and never changed; rows of entries may be dropped once they are published, which `published_size` says and which
only grows. This stops a mistaken statement and a careless hand, on both databases alike. It does not stop whoever owns
the database and may drop the triggers: that one is caught by witnesses, partners and audits.

Source: sqlite.org/lang_createtrigger.html, PostgreSQL manual 43.10 (trigger procedures).
"""

from typing import NamedTuple

from sqlalchemy import Connection

from tallystick_node.storage.database import is_postgres


class Rule(NamedTuple):
    """What is refused.

    Attributes:
        table: whose rows it guards.
        change: `INSERT`, `UPDATE` or `DELETE`.
        refused: when, in the SQL that both databases speak, over the rows `OLD` and `NEW`.
        because: what the error says.
    """

    table: str
    change: str
    refused: str
    because: str

    @property
    def name(self) -> str:
        """The trigger's name."""
        return f"append_only_{self.table}_{self.change.lower()}"


RULES = {
    "node": (
        Rule(
            "head",
            "UPDATE",
            "NEW.log <> OLD.log OR NEW.published_size < OLD.published_size OR NEW.published_size > NEW.size OR NOT ("
            "NEW.size > OLD.size AND NEW.checkpoint <> OLD.checkpoint"
            " OR NEW.size = OLD.size AND NEW.checkpoint = OLD.checkpoint AND NEW.peaks = OLD.peaks)"
            " OR OLD.successor IS NOT NULL AND (NEW.size <> OLD.size OR coalesce(NEW.successor, '') <> OLD.successor)",
            "append only: a head only grows",
        ),
        # SQLite takes the row that REPLACE puts a new one over away without asking the trigger of DELETE.
        Rule(
            "head",
            "INSERT",
            "EXISTS (SELECT 1 FROM head WHERE log = NEW.log)",
            "append only: a log has one head, which grows",
        ),
        Rule("head", "DELETE", "TRUE", "append only: a head is never removed"),
        Rule(
            "blob",
            "INSERT",
            "NEW.first < (SELECT size FROM head WHERE log = NEW.log)",
            "append only: entries are added after the last one",
        ),
        Rule("blob", "UPDATE", "TRUE", "append only: entries are never changed"),
        Rule(
            "blob",
            "DELETE",
            'OLD.first + OLD."count" > (SELECT published_size FROM head WHERE log = OLD.log)',
            "append only: only entries that are published may be dropped",
        ),
    ),
    "custody": (),
}


def make_triggers(connection: Connection, schema: str) -> None:
    """Put the triggers of a database on."""
    for rule in RULES[schema]:
        for statement in _postgres(rule) if is_postgres(connection) else _sqlite(rule):
            connection.exec_driver_sql(statement)


def drop_triggers(connection: Connection, schema: str) -> None:
    """Take off whatever triggers of ours a database has, so that it can be migrated."""
    if is_postgres(connection):
        named = "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE 'append_only_%%'"
    else:
        named = "SELECT name, '' FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'append_only_%'"
    for name, table in connection.exec_driver_sql(named).all():
        connection.exec_driver_sql(f"DROP TRIGGER {name} ON {table}" if table else f"DROP TRIGGER {name}")
    if is_postgres(connection):
        for rule in RULES[schema]:
            connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {rule.name}()")


def _sqlite(rule: Rule) -> list[str]:
    refusal = f"SELECT RAISE(ABORT, '{rule.because}');"
    return [f"CREATE TRIGGER {rule.name} BEFORE {rule.change} ON {rule.table} WHEN {rule.refused} BEGIN {refusal} END"]


def _postgres(rule: Rule) -> list[str]:
    kept = "OLD" if rule.change == "DELETE" else "NEW"
    # 23000 is a broken constraint: refused as a mistake of ours, not as trouble with the storage.
    refusal = f"RAISE EXCEPTION '{rule.because}' USING ERRCODE = '23000';"
    body = f"IF TG_OP = 'TRUNCATE' THEN {refusal} END IF; IF {rule.refused} THEN {refusal} END IF; RETURN {kept};"
    run = f"EXECUTE FUNCTION {rule.name}()"
    made = [
        f"CREATE FUNCTION {rule.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$",
        f"CREATE TRIGGER {rule.name} BEFORE {rule.change} ON {rule.table} FOR EACH ROW {run}",
    ]
    if rule.change == "DELETE":
        made.append(f"CREATE TRIGGER {rule.name}_all BEFORE TRUNCATE ON {rule.table} FOR EACH STATEMENT {run}")
    return made
