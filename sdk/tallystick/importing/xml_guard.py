"""Refuses XML that a parser must not see, before a library that reads it unguarded does.

gpxpy and tcxreader parse with the standard library and build the whole tree: entities would expand, and a deeply
nested document overruns the stack of `xml.etree` and kills the process (seen with a million levels). So the very same
text goes through defusedxml first, into a target that builds nothing and counts.
"""

import re
from typing import Protocol, cast
from xml.etree.ElementTree import ParseError

from tallystick.importing.errors import WorkoutUnreadable
from tallystick.importing.extra import extra_module

DEPTH_MAX = 64
ELEMENTS_MAX = 4_000_000
NAMESPACES_MAX = 100
"""How often a text may say `xmlns`: gpxpy looks for the next `=` behind each, which is quadratic without a bound."""

_ENCODINGS = frozenset({"iso-8859-1", "iso-8859-15", "us-ascii", "windows-1250", "windows-1252"})
_DECLARED = re.compile(rb"""^<\?xml[^>]{0,100}?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_TYPE_OR_ENTITY = re.compile("<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


def xml_text(raw: bytes) -> str:
    """Return the text of an XML file: UTF-8, or one of the few other encodings devices write, where it is declared.

    Raises:
        WorkoutUnreadable: it is in none of them.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        declared = _DECLARED.match(raw)
    encoding = declared[1].decode("ascii").lower() if declared else ""
    if encoding not in _ENCODINGS:
        raise WorkoutUnreadable("encoding")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise WorkoutUnreadable("encoding") from None


def require_harmless_xml(text: str) -> str:
    """Return the name of the root element, without its namespace, if the text may go to a parser that trusts it.

    Raises:
        WorkoutUnreadable: a document type, an entity, too deep, too many elements, or not well-formed.
        ExtraMissing: the libraries that read workouts are not installed.
    """
    # The parser below refuses a document type too; but gpxpy cuts one `xmlns="..."` out of the text by a regular
    # expression before it parses, and that cut can end a comment early: what stood in the comment would be markup.
    if _TYPE_OR_ENTITY.search(text):
        raise WorkoutUnreadable("xml_dtd")
    if text.count("xmlns") > NAMESPACES_MAX:
        raise WorkoutUnreadable("content_invalid")
    target = _Counter()
    parser = cast("_Parser", extra_module("defusedxml.ElementTree").XMLParser(target=target, forbid_dtd=True))
    forbidden = cast("type[ValueError]", extra_module("defusedxml.common").DefusedXmlException)
    try:
        parser.feed(text)
        parser.close()
    except forbidden:
        raise WorkoutUnreadable("xml_dtd") from None
    except (ParseError, ValueError):
        raise WorkoutUnreadable("xml_malformed") from None
    return target.root


class _Parser(Protocol):
    """What is used of defusedxml's parser, which comes without types."""

    def feed(self, data: str) -> None: ...

    def close(self) -> object: ...


class _Counter:
    """A target for `XMLParser` that keeps the root's name and how deep and how many, and stops at the bounds."""

    def __init__(self) -> None:
        self.root = ""
        self._depth = 0
        self._count = 0

    def start(self, tag: str, _attributes: object) -> None:
        self.root = self.root or tag.rpartition("}")[2]
        self._depth += 1
        self._count += 1
        if self._depth > DEPTH_MAX:
            raise WorkoutUnreadable("xml_too_deep")
        if self._count > ELEMENTS_MAX:
            raise WorkoutUnreadable("too_many_points")

    def end(self, _tag: str) -> None:
        self._depth -= 1
