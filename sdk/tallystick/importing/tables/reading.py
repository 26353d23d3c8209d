"""Reads a table: text with a header, its columns parted by commas, semicolons, tabs or blanks.

Pure: bytes in, rows out, one after the other. Everything is bounded, and a row that is not of the header's length
refuses the whole file: a shifted column is worse than none.

Source: RFC 4180 (quoting).
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tallystick.importing.errors import TableUnreadable

FILE_SIZE_BYTES_MAX = 64 * 1024 * 1024
ROWS_MAX = 2_000_000
COLUMNS_MAX = 256
CELL_SIZE_MAX = 1_000

_PEOPLE = frozenset(
    {"id", "userid", "user", "participant", "participantid", "person", "subject", "customer", "customerid"}
)
_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its number in the file, and its cells."""

    number: int
    cells: Sequence[str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows are read when they are asked for.

    Attributes:
        header: the columns' names as they stand there.
        text: the whole text, within its bound.
        delimiter: what parts the columns; "" where blanks do.
    """

    header: tuple[str, ...]
    text: str
    delimiter: str

    def rows(self) -> Iterator[Row]:
        """Yield every row below the header.

        Raises:
            TableUnreadable: over a bound, or a row is not of the header's length.
        """
        for at, row in enumerate(_rows(self.text, self.delimiter)):
            if at == 0:
                continue
            if len(row.cells) != len(self.header) or max(map(len, row.cells)) > CELL_SIZE_MAX:
                raise TableUnreadable("not_a_table", row=row.number)
            yield row

    def column(self, names: frozenset[str]) -> int | None:
        """Return the place of the one column that has one of the names, however it is spelled; None if there is none.

        Raises:
            TableUnreadable: two columns do.
        """
        found = [at for at, name in enumerate(self.header) if _plain(name) in names]
        if len(found) > 1:
            raise TableUnreadable("column_ambiguous")
        return found[0] if found else None

    def columns(self, needed: Mapping[str, frozenset[str]]) -> dict[str, int]:
        """Return the place of each column that is needed.

        Raises:
            TableUnreadable: one is not there, or there are two.
        """
        found = {key: self.column(names) for key, names in needed.items()}
        if None in found.values():
            raise TableUnreadable("column_missing")
        return {key: at for key, at in found.items() if at is not None}


def read_table(raw: bytes) -> Table:
    """Return the table in a file's bytes.

    Raises:
        TableUnreadable: too large, not UTF-8, or no table.
    """
    if len(raw) > FILE_SIZE_BYTES_MAX:
        raise TableUnreadable("too_large")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TableUnreadable("encoding") from None
    if "\0" in text:
        raise TableUnreadable("not_a_table")
    first = next((line for line in text.splitlines() if line.strip()), "")
    counts = {each: first.count(each) for each in (",", ";", "\t")}
    delimiter = max(counts, key=lambda each: counts[each])
    delimiter = delimiter if counts[delimiter] else ""
    header = next(_rows(text, delimiter), Row(1, ())).cells
    if len(header) < 2 or not all(each and len(each) <= CELL_SIZE_MAX for each in header):
        raise TableUnreadable("not_a_table")
    if len(header) > COLUMNS_MAX:
        raise TableUnreadable("too_many_rows")
    return Table(tuple(header), text, delimiter)


def rows_by_person(table: Table, rows: Sequence[Row]) -> dict[str | None, list[int]]:
    """Return the places of each person's rows, by the name the table has for them; None where it names nobody."""
    column = table.column(_PEOPLE)
    if column is None:
        return {None: list(range(len(rows)))}
    found: dict[str | None, list[int]] = {}
    for at, row in enumerate(rows):
        found.setdefault(row.cells[column], []).append(at)
    return found


def rows_of(people: Mapping[str | None, list[int]], person: str | None) -> list[int]:
    """Return the places of one person's rows.

    Raises:
        TableUnreadable: several people and none named, or nobody of that name.
    """
    if person is None:
        if len(people) > 1:
            raise TableUnreadable("several_people")
        return [at for own in people.values() for at in own]
    # A table that names nobody is about whoever it is imported for.
    found = people.get(person, people.get(None))
    if found is None:
        raise TableUnreadable("person_unknown")
    return found


def _rows(text: str, delimiter: str) -> Iterator[Row]:
    lines = text.splitlines()
    if len(lines) > ROWS_MAX:
        raise TableUnreadable("too_many_rows")
    if not delimiter:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield Row(number, _BLANKS.split(line.strip()))
        return
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cells):
                yield Row(reader.line_num, [cell.strip() for cell in cells])
    except csv.Error:
        raise TableUnreadable("not_a_table", row=reader.line_num) from None


def _plain(name: str) -> str:
    return "".join(each for each in name.lower() if each.isalnum())
