"""Test that the MCP client does not log a tool server's answers."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ENGINE = Path(__file__).parents[2]
SCRIPT = """
import logging
from src.api.config.logging import configure_logging
configure_logging("DEBUG")
for name in ("mcp.client.streamable_http", "client"):
    try:
        raise ValueError("canary")
    except ValueError:
        logging.getLogger(name).exception("canary")
logging.getLogger("src.api").warning("ours")
"""


@pytest.mark.promise("secrets")
def test_the_mcp_clients_traces_are_not_logged() -> None:
    command = [sys.executable, "-c", SCRIPT]
    said = subprocess.run(command, cwd=ENGINE, capture_output=True, text=True, check=True).stderr
    assert "ours" in said
    assert "canary" not in said
