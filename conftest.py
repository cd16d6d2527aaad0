"""Load the fixtures and hooks that all tests of the repository share: engine/tests/support/plugin.py."""

import importlib.util
import sys

pytest_plugins = ["pytester", "tests.support.plugin"]


def _reserve_mcp() -> None:
    """Keep the name `mcp` for the library: pytest would make a package of it out of the folder mcp/.

    The library itself is loaded when a test first uses it; importing it takes a second.
    """
    spec = importlib.util.find_spec("mcp")
    if spec is None or spec.loader is None or "mcp" in sys.modules:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    sys.modules["mcp"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


_reserve_mcp()
