"""The forms of this floor's entries, made from the same models that parse their bodies.

Pure. A form is at most as wide as its model where texts are concerned, and says nothing of how large a number may be,
or how long a list: the model still says that, of every kind but `event`, whose one member the form has whole.

Source: `tallystick_ledger.forms`; JSON Schema 2020-12, as pydantic writes it.
"""

import re
from typing import Any

from tallystick_consent.entries import BODIES
from tallystick_ledger.forms import INTEGER, TEXT, Form, entry_form, object_form

_Schema = dict[str, Any]


def _value_form(schema: _Schema, named: dict[str, _Schema]) -> bytes:
    """Return the pattern of a value of a JSON schema; `named` holds what it refers to."""
    if "$ref" in schema:
        return _value_form(named[schema["$ref"].rpartition("/")[2]], named)
    if "anyOf" in schema:
        return rb"(?:%s)" % b"|".join(_value_form(each, named) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        words = [re.escape(each.encode()) for each in schema.get("enum", [schema.get("const")])]
        return rb'"(?:%s)"' % b"|".join(words)
    kind = schema["type"]
    if kind == "string":
        # The look ahead keeps to what JSON writes as it is, whatever the model's pattern permits.
        pattern = schema["pattern"].removeprefix("^").removesuffix("$").encode() if "pattern" in schema else None
        return TEXT if pattern is None else rb'(?=%s)"(?:%s)"' % (TEXT, pattern)
    if kind == "array":
        item = _value_form(schema["items"], named)
        return rb"\[(?:%s(?:,%s)*)?\]" % (item, item)
    if kind == "object":
        members = {name: _value_form(each, named) for name, each in schema["properties"].items()}
        return object_form(members, optional=frozenset(members) - set(schema.get("required", ())))
    return {"integer": INTEGER, "null": b"null", "boolean": b"(?:true|false)"}[kind]


def _form_of(kind: str) -> Form:
    schema = BODIES[kind].model_json_schema()
    return entry_form(kind, _value_form(schema, schema.get("$defs", {})))


FORMS: dict[bytes, Form] = {kind.encode(): _form_of(kind) for kind in BODIES}
"""The form of each kind in `BODIES`, by its name."""
