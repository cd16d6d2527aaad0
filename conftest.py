"""The whole repository's tests share one set of fixtures: engine/tests/support/plugin.py."""

import mcp  # noqa: F401 - before pytest makes a package of that name out of the folder mcp/

pytest_plugins = ["pytester", "tests.support.plugin"]
