"""The helm binary runs within bounds, in a private folder, and never outlives its call."""

import asyncio
from pathlib import Path

import pytest

from skyflo_tools.errors import DeadlineExceeded, ToolFailure
from skyflo_tools.helm.binary import HelmFailed, HelmLost, HelmSettings, open_folder
from tests.support.waiting import eventually, is_alive


def script(folder: Path, text: str) -> HelmSettings:
    """Return settings whose binary is a shell script."""
    path = folder / "helm"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return HelmSettings(str(path), None, folder / "data")


async def test_environment_has_nothing_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELM_REPOSITORY_CONFIG", "repositories-of-kim.yaml")
    monkeypatch.setenv("SKYFLO_TOOLS_GRANT_KEY", "the key of this server")
    async with open_folder(script(tmp_path, "env; pwd")) as folder:
        output = await folder.run("version")
        path = folder.path
        assert path.stat().st_mode & 0o077 == 0
    assert "kim" not in output
    assert "the key of this server" not in output
    for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HELM_PLUGINS", "HOME", "KUBECONFIG"):
        assert f"\n{name}={path}/" in f"\n{output}", name
    assert not path.exists()


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("yes | head -c 20000000", HelmLost, "printed more than"),
        ("kill -9 $$", HelmLost, "killed by signal 9"),
        ("echo 'WARNING: x' >&2; echo 'Error: no such chart' >&2; exit 1", HelmFailed, "^helm show: no such chart$"),
        ("yes x | head -c 1000000 >&2; exit 3", HelmFailed, "helm show: x x"),
        ("exit 1", HelmFailed, "without a message"),
        ("sleep 600 & sleep 600", DeadlineExceeded, "did not finish"),
    ],
)
async def test_bad_end_is_told(tmp_path: Path, text: str, error: type[ToolFailure], says: str) -> None:
    async with open_folder(script(tmp_path, text)) as folder:
        with pytest.raises(error, match=says) as raised:
            await folder.run("show", seconds=0.5 if error is DeadlineExceeded else 60)
    assert len(raised.value.message) < 2000


async def test_cancelled_call_ends_the_child_and_what_it_started(tmp_path: Path) -> None:
    started = tmp_path / "started"
    text = f"sleep 600 & echo $! $$ > {started}.new; mv {started}.new {started}; wait"
    async with open_folder(script(tmp_path, text)) as folder:
        task = asyncio.create_task(folder.run("show"))
        await eventually(started.exists)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    child, grandchild = (int(number) for number in reversed(started.read_text().split()))
    assert not is_alive(child)
    # A killed process closes its pipes a moment before it has ended, and only its parent can wait for that.
    await eventually(lambda: not is_alive(grandchild))
