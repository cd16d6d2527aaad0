"""The generated reference of settings, commands and tools is current and complete."""

import importlib.util
from functools import cache
from types import ModuleType

from skyflo_tools.tools import CHANGES, READS
from src.api.config.settings import Settings
from tests.support.services import PROJECT

SCRIPT = PROJECT / "scripts" / "reference.py"
INTERNAL = {"environment"}
"""Fields that are no settings."""


@cache
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_reference_is_current() -> None:
    stale = [path.name for path, text in reference().pages().items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run `make generate`"


def test_reference_names_every_setting_and_tool() -> None:
    pages = {path.stem: text for path, text in reference().pages().items()}
    missing = [name for name in Settings.model_fields if f"| `{name.upper()}` |" not in pages["settings"]]
    assert set(missing) == INTERNAL
    tools = [tool.info.name for tool in (*READS, *CHANGES)]
    assert [name for name in tools if f"\n## {name}\n" not in pages["tool-arguments"]] == []


def test_reference_describes_every_option_and_argument() -> None:
    for path, text in reference().pages().items():
        rows = [line for line in text.splitlines() if line.startswith("| `")]
        assert [row for row in rows if row.endswith("|  |")] == [], path.name
