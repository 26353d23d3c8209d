"""What a machine can see of the style: each file and each public thing says what it is."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOPS = ("ledger", "consent", "sdk", "node", "tests", "bench")
FILES = sorted(path for top in TOPS for path in (ROOT / top).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_and_public_things_say_what_they_are(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "the first line of a file says what it is for"
    if "tests" in path.relative_to(ROOT).parts:
        return
    for item in tree.body:
        if not isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or item.name.startswith("_"):
            continue
        assert ast.get_docstring(item), f"{item.name}, line {item.lineno}"
        for member in item.body if isinstance(item, ast.ClassDef) else []:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and not member.name.startswith("_"):
                assert ast.get_docstring(member), f"{item.name}.{member.name}, line {member.lineno}"
