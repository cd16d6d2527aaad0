"""Log lines and their ids, and what telemetry costs an engine that does not use it."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.services import PROJECT


@pytest.mark.processes
def test_libraries_of_telemetry_are_imported_only_on_demand() -> None:
    code = (
        "import sys, src.api.asgi, skyflo_tools.bootstrap\n"
        "unwanted = ('prometheus_client', 'opentelemetry.sdk', 'opentelemetry.exporter')\n"
        "sys.exit(any(name.startswith(unwanted) for name in sys.modules))"
    )
    paths = os.pathsep.join(str(PROJECT / part) for part in ("common/src", "engine", "mcp/src"))
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert done.returncode == 0


LOGGED = """
import logging
from skyflo_common.logs import log_context
from src.api.config.logging import configure_logging
configure_logging("INFO", "{style}")
logger = logging.getLogger("src.api.test")
with log_context(request_id="req-1", trace_id="abc"), log_context(run_id="run-1"):
    logger.warning("two\\nlines", extra=dict(action="test.said", code="x", run_id="own"))
    try:
        raise ValueError("reason")
    except ValueError:
        logger.exception("broken")
logger.info("outside")
"""


def logged(style: str) -> list[str]:
    """Return the lines of a process that logs in this style."""
    command, paths = [sys.executable, "-c", LOGGED.format(style=style)], ("common/src", "engine")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(PROJECT / path) for path in paths)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr.splitlines()


@pytest.mark.processes
def test_json_lines_hold_message_action_and_ids() -> None:
    said, broken, outside = (json.loads(line) for line in logged("json"))
    expected = {"level": "WARNING", "logger": "src.api.test", "message": "two\nlines", "action": "test.said"}
    ids = {"request_id": "req-1", "run_id": "own", "trace_id": "abc"}
    assert said == {"time": said["time"], "code": "x", **expected, **ids}
    assert said["time"].endswith("+00:00")
    assert broken["run_id"] == "run-1"
    assert "ValueError: reason" in broken["exception"]
    assert "request_id" not in outside


@pytest.mark.processes
def test_text_lines_end_with_action_and_ids() -> None:
    said, *_, outside = logged("text")
    assert said.endswith("two\\nlines action=test.said run_id=own request_id=req-1 trace_id=abc")
    assert outside.endswith("outside")
