"""Draft a revision from what the models say and the revisions do not: `python -m ... SCHEMA about_what`.

A draft is read and mended by hand before it is committed: alembic cannot see that a column was renamed, nor what is to
become of what stands in it.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command

from tallystick_node.migrations import NUMBER_SIZE, Schema, alembic_config, latest, migrate
from tallystick_node.storage.database import connect, writing


def draft(schema: Schema, about: str) -> Path:
    """Write the next revision of a database beside the others; return its file.

    Args:
        schema: which of the two databases.
        about: a few words with underscores.
    """
    number = f"{int(latest(schema)[-NUMBER_SIZE:]) + 1:0{NUMBER_SIZE}}"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "draft.db"
        migrate(place, schema)
        engine = connect(place)
        with writing(engine).begin() as connection:
            config = alembic_config(schema, connection)
            config.set_main_option("file_template", f"r{number}_{about}")
            command.revision(config, message=about, autogenerate=True, rev_id=f"{schema}_{number}")
        engine.dispose()
    return Path(__file__).parent / schema / f"r{number}_{about}.py"


if __name__ == "__main__":
    print(draft(Schema(sys.argv[1]), sys.argv[2]))  # noqa: T201  # a developer's command
