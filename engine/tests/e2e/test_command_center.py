"""The Command Center's own tests: lint, types, logic (Vitest), and the page in Chromium against a real engine."""

from pathlib import Path

import pytest

from tests.support.page_project import run_in_page_project
from tests.support.pooled_process import pooled_python


@pytest.mark.parametrize("script", ["lint", "types", "test"])
def test_page_passes_its_checks(page_project: Path, script: str) -> None:
    run_in_page_project(page_project, script)


def test_generated_types_are_current(page_project: Path) -> None:
    generated = page_project / "src" / "generated"
    before = {path.name: path.read_text() for path in generated.iterdir()}
    run_in_page_project(page_project, "generate")
    assert {path.name: path.read_text() for path in generated.iterdir()} == before, "run: make generate"


def test_page_works_against_real_engine(page_project: Path, chromium: str) -> None:
    run_in_page_project(page_project, "e2e", CHROMIUM=chromium, SKYFLO_PYTHON=pooled_python())
