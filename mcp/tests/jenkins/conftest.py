"""A Jenkins stand-in with jobs of every kind, and the tools for it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from jenkins_client import JenkinsTools
from jenkins_controller import BRANCHES, FOLDER, Controller, Job
from jenkins_server import serve_jenkins
from tool_client import open_tool_client, settings_for

from skyflo_tools.jenkins import queue

PARAMETERS = [
    {"name": "VERSION", "type": "StringParameterDefinition", "default": "1"},
    {"name": "ENV", "type": "ChoiceParameterDefinition", "default": "dev", "choices": ["dev", "prod"]},
    {"name": "KEY", "type": "PasswordParameterDefinition", "default": ""},
    {"name": "bundle.txt", "type": "FileParameterDefinition"},
]


@pytest.fixture(autouse=True)
def ask_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the stand-in for the state of an item or a build without long pauses."""
    monkeypatch.setattr(queue, "STEP_SECONDS", 0.02)


@pytest.fixture
def controller() -> Controller:
    found = Controller()
    found.add(
        Job("plain"),
        Job("deploy", parameters=PARAMETERS),
        Job("traced", parameters=[{"name": "SKYFLO_REQUEST_ID", "type": "StringParameterDefinition", "default": ""}]),
        Job("off", is_buildable=False),
        Job("team", FOLDER),
        Job("team/app", BRANCHES),
        Job("team/app/main"),
        Job("team/app/feature%2Fx"),
    )
    return found


@pytest.fixture
def address(controller: Controller) -> Iterator[str]:
    with serve_jenkins(controller) as url:
        yield url


@pytest.fixture
async def jenkins(controller: Controller, address: str, tmp_path: Path) -> AsyncIterator[JenkinsTools]:
    """The tools for the stand-in, with alice's API token."""
    async with open_tool_client(settings_for(tmp_path / "no-kubeconfig", "", tmp_path)) as client:
        yield JenkinsTools(client, address, controller.tokens["alice"])
