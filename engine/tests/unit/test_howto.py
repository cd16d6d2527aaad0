"""The guides for contributors name only files, modules and identifiers that exist."""

import ast
import builtins
import importlib
import importlib.util
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.services import PROJECT

HOWTO = sorted(PROJECT.glob("docs/howto/*.md"))
GUIDES = [*HOWTO, PROJECT / "AGENTS.md", PROJECT / "CONTRIBUTING.md"]
SOURCES = ("engine", "mcp", "sandbox", "bench", "scripts", "ui/src", "ui/test", ".github")
TEXT_SUFFIXES = {".py", ".toml", ".yml", ".example", ".mjs", ".ts", ".tsx"}
FILE = re.compile(r"(?<![\w./@-])(?:engine|mcp|sandbox|bench|scripts|docs|deployment|\.github|\.ci)/[\w./-]*\w")
CREATED = re.compile(r"(?:[Cc]reate|writes) `([^`\s]+/[^`\s]+)`")
IDENTIFIER = re.compile(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\(\))?`")
BLOCK = re.compile(r"^ *```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
LIBRARIES = {"RunPython", "RunSQL", *dir(builtins)}
"""Names that a guide may use although no source does: operations of Tortoise ORM, and Python's own."""


def name_of(page: Path) -> str:
    return page.name


@cache
def words_of_sources() -> frozenset[str]:
    files = (path for folder in SOURCES for path in (PROJECT / folder).rglob("*") if path.suffix in TEXT_SUFFIXES)
    return frozenset(word for path in files for word in re.findall(r"\w+", path.read_text()))


@cache
def parse_blocks(page: Path) -> tuple[ast.AST, ...]:
    """The Python blocks of a page. A block may be a fragment: entries of a dictionary, or arguments of a call."""
    return tuple(parse_block(textwrap.dedent(block)) for block in BLOCK.findall(page.read_text()))


def parse_block(block: str) -> ast.AST:
    for template in ("{}", "async def f(self):\n{}\n", "f(\n{}\n)", "{{\n{}\n}}", "{}\nasync def f(): ..."):
        text = template.format(textwrap.indent(block, "    ") if "def f(self)" in template else block)
        try:
            return ast.parse(text)
        except SyntaxError:
            continue
    raise AssertionError(f"this block is not Python:\n{block}")


def nodes_of(page: Path) -> Iterator[ast.AST]:
    return (node for block in parse_blocks(page) for node in ast.walk(block))


def names_added_by(page: Path) -> set[str]:
    """Names that the guide itself introduces: definitions, assignments, parameters, strings; also in upper case."""
    added = set(re.findall(r"\w+", " ".join(CREATED.findall(page.read_text()))))
    for node in nodes_of(page):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                added.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                added.add(name)
            case ast.arg(arg=str(name)) | ast.keyword(arg=str(name)) | ast.Constant(value=str(name)):
                added.add(name)
    return added | {name.upper() for name in added}


def is_defined(module: str, name: str) -> bool:
    found = importlib.import_module(module)
    return hasattr(found, name) or importlib.util.find_spec(f"{module}.{name}") is not None


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_every_file_that_a_guide_names_exists(page: Path) -> None:
    text = page.read_text()
    created = set(CREATED.findall(text))
    assert [name for name in FILE.findall(text) if name not in created and not (PROJECT / name).exists()] == []


@pytest.mark.parametrize("page", HOWTO, ids=name_of)
def test_every_identifier_that_a_guide_names_exists(page: Path) -> None:
    used = {name.rpartition(".")[2] for name in IDENTIFIER.findall(page.read_text())}
    used |= {node.attr for node in nodes_of(page) if isinstance(node, ast.Attribute)}
    used |= {node.id for node in nodes_of(page) if isinstance(node, ast.Name)}
    assert sorted(used - names_added_by(page) - words_of_sources() - LIBRARIES) == []


@pytest.mark.parametrize("page", HOWTO, ids=name_of)
def test_every_fixture_in_a_guide_exists(page: Path) -> None:
    tests = [node for node in nodes_of(page) if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test")]
    tests = [test for test in tests if "parametrize" not in ast.unparse(test)]
    fixtures = {argument.arg for test in tests for argument in test.args.args}
    files = (path for folder in SOURCES for path in (PROJECT / folder).glob("**/tests/**/*.py"))
    defined = {name for path in files for name in re.findall(r"def (\w+)\(", path.read_text())}
    assert sorted(fixtures - defined) == []


@pytest.mark.parametrize("page", HOWTO, ids=name_of)
def test_every_import_in_a_guide_resolves(page: Path) -> None:
    imports = [node for node in nodes_of(page) if isinstance(node, ast.ImportFrom)]
    ours = [(node.module or "", each.name) for node in imports for each in node.names]
    ours = [(module, name) for module, name in ours if module.partition(".")[0] in {"src", "skyflo_tools", "tests"}]
    assert [f"{module}.{name}" for module, name in ours if not is_defined(module, name)] == []
