"""Check, set and describe the version that all packages of this repository share.

    python scripts/release.py check [--tag v1.2.3] [--versions-only]
    python scripts/release.py set 1.2.3
    python scripts/release.py notes 1.2.3

Uses only the standard library, so that the release workflow can run it before it installs anything.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

# A pattern's only group is the version. Each pattern must match at least once unless it is optional, so that a
# moved or renamed file can't drop out of the check unnoticed.
REQUIRED = (
    ("*/pyproject.toml", r'^version = "([^"]+)"'),
    ("engine/src/**/*.py", r'^ +app_version: str = Field\(default="([^"]+)"'),
    ("engine/.env.example", r"^APP_VERSION=(\S+)"),
    ("docs/openapi.json", r'^ {4}"version": "([^"]+)"'),
)
OPTIONAL = (
    ("*/src/**/*.py", r'^__version__ = "([^"]+)"'),
    ("*/src/**/*.py", r'Implementation\(name="skyflo-[a-z]+", version="([^"]+)"'),
    ("deployment/**/Chart.yaml", r'^version: "?([^"\s]+)'),
    ("deployment/**/Chart.yaml", r'^appVersion: "?([^"\s]+)'),
    ("ui/package.json", r'^ {2}"version": "([^"]+)"'),
)
SEMANTIC = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")


class Stated(NamedTuple):
    """A version with the place that states it. `start` and `end` bound the version in the file's text."""

    path: Path
    line: int
    version: str
    start: int
    end: int

    @property
    def place(self) -> str:
        return f"{self.path.as_posix()}:{self.line}"


def find_versions(root: Path) -> list[Stated]:
    """Return every place that states the version of this repository's packages."""
    return [each for glob, pattern in REQUIRED + OPTIONAL for each in _matches(root, glob, pattern)]


def find_problems(root: Path, tag: str | None = None, *, versions_only: bool = False) -> list[str]:
    """Return what prevents a release as `tag`, one sentence for each problem."""
    problems = [
        f"{glob}: no line matches {pattern}; correct the pattern in scripts/release.py"
        for glob, pattern in REQUIRED
        if not list(_matches(root, glob, pattern))
    ]
    found = find_versions(root)
    if not found:
        return problems
    version = found[0].version
    problems += [
        f"{each.place}: states {each.version}, but {found[0].place} states {version}; run scripts/release.py set"
        for each in found
        if each.version != version
    ]
    if not SEMANTIC.fullmatch(version):
        problems.append(f"{found[0].place}: {version} is not a semantic version such as 1.2.3")
    if tag is not None and tag != f"v{version}":
        problems.append(f"the tag is {tag}, but the packages have version {version}; tag v{version}")
    if not versions_only and not read_notes(root, version):
        problems.append(
            f"CHANGELOG.md: has no text under a heading '## {version} - YYYY-MM-DD'; move it from Unreleased"
        )
    return problems


def set_version(root: Path, version: str) -> list[Path]:
    """Write `version` to every place that states one, and return the changed files."""
    changed = {each.path for each in find_versions(root) if each.version != version}
    for path in changed:
        text = (root / path).read_text()
        places = {(each.start, each.end) for each in find_versions(root) if each.path == path}
        for start, end in sorted(places, reverse=True):
            text = text[:start] + version + text[end:]
        (root / path).write_text(text)
    return sorted(changed)


def read_notes(root: Path, version: str) -> str:
    """Return the changelog section for `version` without its heading; empty if there is none."""
    heading = rf"^## \[?{re.escape(version)}\]? - \d{{4}}-\d{{2}}-\d{{2}}$"
    found = re.search(rf"{heading}\n(.*?)(?=^## |\Z)", (root / "CHANGELOG.md").read_text(), re.MULTILINE | re.DOTALL)
    return found.group(1).strip() if found else ""


def _matches(root: Path, glob: str, pattern: str) -> Iterator[Stated]:
    for path in sorted(root.glob(glob)):
        text = path.read_text()
        for match in re.finditer(pattern, text, re.MULTILINE):
            line = text.count("\n", 0, match.start(1)) + 1
            yield Stated(path.relative_to(root), line, match.group(1), match.start(1), match.end(1))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Check, set and describe the version that all packages share.")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout; default: the one with this script")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="check that versions, changelog and tag agree")
    check.add_argument("--tag", help="the tag to release, such as v1.2.3")
    check.add_argument("--versions-only", action="store_true", help="do not check the changelog")
    for name, text in (("set", "write a version to every place"), ("notes", "print a version's changelog section")):
        commands.add_parser(name, help=text).add_argument("version")
    options = parser.parse_args(arguments)
    if options.command == "check":
        return _check(options.root, options.tag, versions_only=options.versions_only)
    if options.command == "set":
        return _set(options.root, options.version)
    notes = read_notes(options.root, options.version)
    print(notes or f"CHANGELOG.md has no section for {options.version}", file=sys.stdout if notes else sys.stderr)
    return 0 if notes else 1


def _check(root: Path, tag: str | None, *, versions_only: bool) -> int:
    problems = find_problems(root, tag, versions_only=versions_only)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        found = find_versions(root)
        print(f"version {found[0].version}: {len(found)} places agree")
    return 1 if problems else 0


def _set(root: Path, version: str) -> int:
    if not SEMANTIC.fullmatch(version):
        print(f"{version} is not a semantic version such as 1.2.3", file=sys.stderr)
        return 1
    for path in set_version(root, version):
        print(path.as_posix())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
