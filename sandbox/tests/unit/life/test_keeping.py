"""The file in which a cluster lasts."""

import json
import logging
import stat
from pathlib import Path

import pytest
from lifetime import Place, StillClock, lived

from skyflo_sandbox.cluster.keeping import Keeping
from skyflo_sandbox.cluster.kinds import ALL, CONFIG_MAP, DEPLOYMENT, POD
from skyflo_sandbox.cluster.world import open_world
from skyflo_sandbox.jsontypes import JsonObject, object_at, strings_at, text_at


def everything(place: Place) -> dict[str, list[JsonObject]]:
    return {kind.resource: place.state.objects(kind) for kind in ALL if kind.stored}


def names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def test_a_cluster_goes_on_where_it_was_left(tmp_path: Path) -> None:
    file, clock = tmp_path / "deep" / "cluster.json", StillClock()
    async with open_world(clock, file) as world:
        place = Place(world.api, clock, world.logs, "shop")
        await clock.advance(7)
        left, revision = everything(place), world.state.revision
        logs = {
            name: place.logs.lines("shop", name, "web", previous=False)
            for pod in place.pods(app="web")
            if (name := text_at(pod, "metadata", "name"))
        }

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    async with open_world(clock, file) as world:
        place = Place(world.api, clock, world.logs, "shop")
        assert world.restored is True
        await clock.advance(0)
        assert world.state.revision == revision
        assert everything(place) == left
        for name, lines in logs.items():
            assert place.logs.lines("shop", name, "web", previous=False)[: len(lines)] == lines


async def test_controllers_go_on_from_what_was_kept(tmp_path: Path) -> None:
    file, clock = tmp_path / "cluster.json", StillClock()
    async with open_world(clock, file) as world:
        place = Place(world.api, clock, world.logs, "shop")
        data: JsonObject = {**strings_at(place.get(CONFIG_MAP, "checkout-config"), "data"), "PAYMENTS_URL": "x"}
        place.change(CONFIG_MAP, "checkout-config", lambda body: {**body, "data": data})
        place.change(DEPLOYMENT, "web", lambda body: {**body, "spec": {**object_at(body, "spec"), "replicas": 5}})
        await clock.advance(0.4)

    async with open_world(clock, file) as world:
        place = Place(world.api, clock, world.logs, "shop")
        await clock.advance(30)
        assert place.counts("checkout")["availableReplicas"] == 2
        assert place.counts("web")["availableReplicas"] == 5
        assert len(place.pods(app="web")) == 5


async def test_it_is_saved_soon_after_a_change(tmp_path: Path) -> None:
    file, clock = tmp_path / "cluster.json", StillClock()
    async with open_world(clock, file) as world:
        place = Place(world.api, clock, world.logs, "shop")
        place.make(CONFIG_MAP, {"metadata": {"name": "fresh"}, "data": {"a": "b"}})
        await clock.advance(2)
        kept = json.loads(file.read_text())
        names = [body["metadata"]["name"] for resource, body in kept["objects"] if resource == "configmaps"]
        assert "fresh" in names
        assert names_in(tmp_path) == [file.name]


def written(version: int = 1, **objects: JsonObject) -> str:
    named = [[resource, body] for resource, body in objects.items()]
    return json.dumps(
        {
            "format": "skyflo-sandbox-cluster",
            "version": version,
            "revision": 1,
            "objects": named,
            "logs": {"runs": {}},
        }
    )


@pytest.mark.parametrize("content", ["", "{", "[]", written(99), written(unheard={}), written(pods={})])
async def test_a_file_that_can_not_be_used_is_set_aside(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    file, clock = tmp_path / "cluster.json", StillClock()
    file.write_text(content)
    with caplog.at_level(logging.WARNING):
        async with open_world(clock, file) as world:
            assert world.restored is False
            assert world.state.objects(POD, "shop")

    assert (tmp_path / "cluster.json.unreadable").read_text() == content
    assert "action=cluster_set_aside" in caplog.text
    assert json.loads(file.read_text())["version"] == 1


async def test_a_file_that_can_not_be_written_does_not_end_the_cluster(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("a file where a folder has to be")
    async with open_world(StillClock(), tmp_path / "taken" / "cluster.json") as world:
        assert world.state.objects(POD, "shop")
    assert "action=cluster_not_saved" in caplog.text


async def test_what_is_too_large_is_not_kept_and_the_last_file_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with lived() as place:
        file = tmp_path / "cluster.json"
        place.make(CONFIG_MAP, {"metadata": {"name": "small"}, "data": {"a": "b"}})
        keeping = Keeping(file, place.state, place.logs, place.clock, bytes_at_most=20_000)
        keeping.save()
        before = file.read_bytes()
        place.make(CONFIG_MAP, {"metadata": {"name": "large"}, "data": {"a": "b" * 20_000}})
        keeping.save()

        assert file.read_bytes() == before
        assert "action=cluster_not_saved" in caplog.text


async def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with lived() as place:
        file = tmp_path / "cluster.json"
        file.write_text(" " * 101)
        assert Keeping(file, place.state, place.logs, place.clock, bytes_at_most=100).restore() is False
        assert "it is larger than 100 bytes" in caplog.text
