"""Errors of the import: what a file, a facility list or this installation cannot give.

TallyError
  ExtraMissing          the libraries of `tallystick[import]` are not installed
  BadInput
    FacilitiesInvalid   a list of facilities is not as it must be
    WorkoutUnreadable   a workout file cannot be read as one
    TableUnreadable     a table of steps or purchases cannot be read as one
"""

from tallystick_ledger.errors import BadInput, TallyError


class ExtraMissing(TallyError):
    """The libraries that read workouts are not installed; the base install is made without them."""

    code = "extra_missing"


class FacilitiesInvalid(BadInput):
    """A list of approved facilities does not have the shape it must have."""

    code = "facilities_invalid"


class WorkoutUnreadable(BadInput):
    """A workout file cannot be read as one; nothing of it is used.

    The message never repeats the file's name or anything that stands in it: a workout says where a person was.

    Attributes:
        reason: one of the keys of `PROBLEMS`, for the report of an import.
    """

    code = "workout_unreadable"

    def __init__(self, reason: str) -> None:
        problem, remedy = PROBLEMS[reason]
        super().__init__(problem, remedy=remedy)
        self.reason = reason


class TableUnreadable(BadInput):
    """A table cannot be read as one; nothing of it is used.

    The message tells a row's number and never what stands in it.

    Attributes:
        reason: one of the keys of `TABLE_PROBLEMS`, for the report of an import.
        row: the row's number in the file, the header being row 1; None where the whole file is meant.
    """

    code = "table_unreadable"

    def __init__(self, reason: str, *, row: int | None = None) -> None:
        problem, remedy = TABLE_PROBLEMS[reason]
        super().__init__(problem if row is None else f"{problem[:-1]} (row {row}).", remedy=remedy)
        self.reason = reason
        self.row = row


_EXPORT = "Export the workout again, as FIT, GPX or TCX."

PROBLEMS = {
    "missing": ("There is no such file, or it may not be read.", "Check the path."),
    "not_a_file": ("The path is not a regular file.", "Name a file, or a folder of files."),
    "unknown_kind": ("The file is neither FIT, GPX nor TCX.", _EXPORT),
    "too_large": ("The file is larger than an import reads.", _EXPORT),
    "too_many_points": ("The workout has more points or elements than an import reads.", "Split the workout."),
    "fit_damaged": ("The FIT file is cut short or its checksum is wrong.", "Copy it from the device again."),
    "not_an_activity": ("The FIT file is a course, a setting or another kind, not an activity.", _EXPORT),
    "encoding": ("The text is not UTF-8, nor in the encoding it declares.", _EXPORT),
    "xml_malformed": ("The file is not well-formed XML.", _EXPORT),
    "xml_dtd": ("The XML declares a document type or entities, which no workout needs.", _EXPORT),
    "xml_too_deep": ("The XML is nested deeper than any workout.", _EXPORT),
    "content_invalid": ("A value in the file is not as its format says.", _EXPORT),
    "times_go_back": ("The times of the points go back, so none of them can be relied on.", _EXPORT),
}
"""Each reason a file is refused for, with its problem and remedy; reasons are never reworded."""

_TABLE = "Export the table again, as CSV with a header."
_ORDER = "Say which order it is with --date-order."

TABLE_PROBLEMS = {
    "too_large": ("The file is larger than an import reads.", "Split it by months."),
    "too_many_rows": ("The table has more rows or columns than an import reads.", "Split it by months."),
    "encoding": ("The text is not UTF-8.", "Save it as UTF-8."),
    "not_a_table": ("The file is no table with a header and rows of its length.", _TABLE),
    "column_missing": ("A column that is needed is not there.", "docs/importing.md names the columns."),
    "column_ambiguous": ("Two columns could be the one that is needed.", "Remove one; docs/importing.md names them."),
    "person_unknown": ("No row is about that person.", "Compare --person with the table."),
    "several_people": ("The table is about several people.", "Say with --person whose rows are meant."),
    "date_invalid": ("A date is not one, or is written in no order that is known.", _TABLE),
    "dates_ambiguous": ("Every date could be day first as well as month first.", _ORDER),
    "dates_inconsistent": ("Dates are written in more than one way, so that no order can be relied on.", _TABLE),
    "date_order_wrong": ("The dates are not in the order that was told.", "Tell the other order, or none."),
    "hours_without_time": ("The table of hours tells no hours.", "Give the table of hours with --hours."),
    "count_invalid": ("A count is no whole number.", _TABLE),
    "count_negative": ("A count or an amount is below zero.", "Remove the row, or correct it at its source."),
    "count_too_high": ("A count or an amount is higher than can be.", "Correct it at its source."),
    "amount_invalid": ("An amount is no decimal number of its currency.", "Name the currency with --asset."),
    "contradiction": ("One thing is told twice, and differently.", "Keep the row that is right."),
}
"""Each reason a table is refused for, with its problem and remedy; reasons are never reworded."""
