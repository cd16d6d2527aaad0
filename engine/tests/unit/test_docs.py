"""Markdown files named anywhere in the project exist, link anchors resolve, and the ADR index is complete."""

import ast
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.guarantees import PROMISES
from tests.support.services import PROJECT

PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("*/README.md")])
ADR_FOLDER = PROJECT / "docs" / "adr"
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
DECISIONS = sorted(ADR_FOLDER.glob("[0-9]*.md"))
SKIPPED_FOLDERS = {"node_modules", "__pycache__", "build", "dist", "results"}
TEXT_SUFFIXES = {".py", ".md", ".toml", ".yaml", ".yml", ".mjs", ".example", ""}
MARKDOWN_NAME = re.compile(r"(?<![\w./:{}*-])(?:\.{1,2}/)*[\w-][\w.-]*(?:/[\w.-]+)*\.md\b")
ANCHOR_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)#([^)\s]+)\)")
MEMBER = re.compile(r"`([A-Z]\w+)\.(?!yaml|md)(\w+)(?:\(\))?`")
CITED_RULES = re.compile(r"protocol\.md`? (\d+(?:(?:, | and | to )\d+)*)")
DECISION = re.compile(r"# (\d{4})\. (.+)\n\n- Status: (.+)\n- Date: (\d{4}-\d{2}-\d{2})\n")
SOURCES = [PROJECT / part for part in ("common/src", "engine/src", "engine/tests", "mcp/src", "sandbox/src", "bench")]
SECTIONS = ["Context", "Decision", "Consequences"]


def relative(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def source_files() -> Iterator[Path]:
    for folder, subfolders, names in os.walk(PROJECT):
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and name not in SKIPPED_FOLDERS]
        yield from (path for path in (Path(folder, name) for name in names) if path.suffix in TEXT_SUFFIXES)


def markdown_files() -> dict[str, list[Path]]:
    """Every Markdown file of the repository, by file name."""
    found = defaultdict(list)
    for path in source_files():
        if path.suffix == ".md":
            found[path.name].append(path)
    return found


def is_reference_valid(name: str, source: Path, files: dict[str, list[Path]]) -> bool:
    """Accept a path relative to the repository or to the source file, or a file name that is unique."""
    if (PROJECT / name).is_file() or (source.parent / name).is_file():
        return True
    return "/" not in name and len(files.get(name, [])) == 1


@cache
def anchors_of(page: Path) -> frozenset[str]:
    """Explicit `<a id>` anchors and GitHub's anchors for headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return frozenset([*re.findall(r'<a id="([^"]+)"></a>', text), *slugs])


def members_by_class(names: set[str]) -> dict[str, set[str]]:
    """What the classes of these names define, and the names of their bases."""
    found: dict[str, set[str]] = defaultdict(set)
    defines = re.compile(rf"^ *class (?:{'|'.join(names)})\b", re.MULTILINE)
    texts = (path.read_text() for folder in SOURCES for path in folder.rglob("*.py"))
    for text in filter(defines.search, texts):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and node.name in names:
                found[node.name] |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
                found[node.name] |= {name.attr for name in ast.walk(node) if isinstance(name, ast.Attribute)}
                found[node.name] |= {name.name for name in ast.walk(node) if isinstance(name, FUNCTION)}
    return dict(found)


def test_every_member_of_a_class_that_a_page_names_exists() -> None:
    """Pages tell people which method to change. Decisions are records of their day, and stay as they are."""
    named = [
        (page, name, member)
        for page in PAGES
        if page.parent != ADR_FOLDER
        for name, member in MEMBER.findall(page.read_text())
    ]
    classes = members_by_class({name for _, name, _ in named})
    missing = [
        f"{relative(page)} names {name}.{member}"
        for page, name, member in named
        if member not in classes.get(name, {member})
    ]
    assert missing == []


def test_every_named_markdown_file_exists() -> None:
    files = markdown_files()
    missing = [
        f"{relative(path)} names {name}"
        for path in source_files()
        for name in MARKDOWN_NAME.findall(path.read_text(errors="ignore"))
        if not is_reference_valid(name, path, files)
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_anchor_of_a_link_exists(page: Path) -> None:
    links = ANCHOR_LINK.findall(page.read_text())
    targets = [((page.parent / target).resolve() if target else page, anchor) for target, anchor in links]
    assert [anchor for target, anchor in targets if target.suffix == ".md" and anchor not in anchors_of(target)] == []


def test_every_rule_of_a_promise_exists() -> None:
    anchors = anchors_of(PROJECT / "docs" / "protocol.md")
    cited = {(promise.id, number) for promise in PROMISES.values() for number in promise.rules}
    assert [each for each in sorted(cited) if f"rule-{each[1]}" not in anchors] == []


def test_every_promise_names_rules_or_a_basis() -> None:
    assert [promise.id for promise in PROMISES.values() if not promise.source] == []


def test_every_cited_protocol_rule_exists() -> None:
    anchors = anchors_of(PROJECT / "docs" / "protocol.md")
    missing = [
        f"{relative(path)} cites rule {number}"
        for path in source_files()
        for cited in CITED_RULES.findall(path.read_text(errors="ignore"))
        for number in re.findall(r"\d+", cited)
        if f"rule-{number}" not in anchors
    ]
    assert missing == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_every_decision_record_has_its_sections_and_an_index_entry(page: Path) -> None:
    text = page.read_text()
    header = DECISION.match(text)
    assert header is not None, "begin with '# NNNN. Title', '- Status: ...', '- Date: YYYY-MM-DD'"
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    number, title, status, date = header.groups()
    assert page.name.startswith(f"{number}-")
    assert f"| [{number}]({page.name}) | {title} | {status} | {date} |" in (ADR_FOLDER / "README.md").read_text()


def test_the_decision_index_explains_every_missing_number() -> None:
    index = (ADR_FOLDER / "README.md").read_text()
    numbers = {int(page.name[:4]) for page in DECISIONS}
    listed = {int(number) for number in re.findall(r"^\| \[(\d{4})\]", index, re.MULTILINE)}
    unused = index.partition("## Unused numbers")[2]
    assert listed == numbers
    missing = [number for number in range(1, max(numbers)) if number not in numbers]
    assert [f"{number:04}" for number in missing if f"{number:04}" not in unused] == []
