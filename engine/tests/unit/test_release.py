"""The release check finds every disagreement between versions, tag and changelog."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.services import PROJECT
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.processes

SCRIPT = PROJECT / "scripts" / "release.py"
CHANGELOG = (
    "# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2026-11-30\n\n- Something new.\n\n## 1.2.2 - 2026-11-01\n\n- Older.\n"
)


def run_release(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--root", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository whose packages all have version 1.2.3."""
    files = {
        "engine/pyproject.toml": '[project]\nname = "skyflo-engine"\nversion = "1.2.3"\n',
        "mcp/pyproject.toml": '[project]\nname = "skyflo-tools"\nversion = "1.2.3"\n',
        "mcp/src/skyflo_tools/__init__.py": '__version__ = "1.2.3"\n',
        "engine/src/api/config/settings.py": 'class S:\n    app_version: str = Field(default="1.2.3", max_length=50)\n',
        "engine/.env.example": "APP_NAME=x\nAPP_VERSION=1.2.3\n",
        "docs/openapi.json": json.dumps({"info": {"title": "x", "version": "1.2.3"}}, indent=2),
        "deployment/chart/Chart.yaml": 'name: skyflo\nversion: 1.2.3\nappVersion: "1.2.3"\n',
        "CHANGELOG.md": CHANGELOG,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_versions_in_this_repository_agree() -> None:
    done = run_release(PROJECT, "check", "--versions-only")
    assert (done.returncode, done.stderr) == (0, "")


def test_matching_tag_and_changelog_pass(checkout: Path) -> None:
    done = run_release(checkout, "check", "--tag", "v1.2.3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "version 1.2.3: 8 places agree\n"


@pytest.mark.parametrize(
    "name",
    [
        "mcp/pyproject.toml",
        "mcp/src/skyflo_tools/__init__.py",
        "engine/src/api/config/settings.py",
        "engine/.env.example",
        "docs/openapi.json",
        "deployment/chart/Chart.yaml",
    ],
)
def test_different_version_is_reported_with_its_place(checkout: Path, name: str) -> None:
    path = checkout / name
    path.write_text(path.read_text().replace("1.2.3", "1.2.4", 1))
    done = run_release(checkout, "check")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name}:")
    assert "states 1.2.4" in done.stderr


def test_wrong_tag_is_reported(checkout: Path) -> None:
    done = run_release(checkout, "check", "--tag", "1.2.3")
    assert done.returncode == 1
    assert "tag v1.2.3" in done.stderr


@pytest.mark.parametrize("section", ["## 1.2.3 - soon", "## Unreleased"])
def test_missing_changelog_section_is_reported(checkout: Path, section: str) -> None:
    (checkout / "CHANGELOG.md").write_text(CHANGELOG.replace("## 1.2.3 - 2026-11-30", section))
    assert run_release(checkout, "check", "--versions-only").returncode == 0
    done = run_release(checkout, "check")
    assert done.returncode == 1
    assert done.stderr.startswith("CHANGELOG.md:")


def test_empty_changelog_section_is_reported(checkout: Path) -> None:
    (checkout / "CHANGELOG.md").write_text(CHANGELOG.replace("- Something new.", ""))
    assert run_release(checkout, "check").returncode == 1


def test_moved_file_is_reported_instead_of_ignored(checkout: Path) -> None:
    (checkout / "engine" / "src" / "api" / "config" / "settings.py").unlink()
    done = run_release(checkout, "check")
    assert done.returncode == 1
    assert done.stderr.startswith("engine/src/**/*.py: no line matches")


def test_set_writes_the_version_everywhere(checkout: Path) -> None:
    assert run_release(checkout, "set", "2.0.0-rc.1").returncode == 0
    done = run_release(checkout, "check", "--versions-only", "--tag", "v2.0.0-rc.1")
    assert (done.returncode, done.stdout) == (0, "version 2.0.0-rc.1: 8 places agree\n")
    assert run_release(checkout, "set", "two").returncode == 1


def test_notes_prints_one_section_of_the_changelog(checkout: Path) -> None:
    assert run_release(checkout, "notes", "1.2.3").stdout == "- Something new.\n"
    assert run_release(checkout, "notes", "1.2.2").stdout == "- Older.\n"
    assert run_release(checkout, "notes", "9.9.9").returncode == 1
