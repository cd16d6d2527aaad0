"""A client that others wrote for real controllers works with the stand-in."""

from contextlib import closing
from urllib.parse import unquote

import api4jenkins
import pytest
from jenkins_controller import Controller

from tests.support.waiting import wait_until


@pytest.mark.parametrize("with_password", [True, False])
def test_api4jenkins_builds_follows_and_stops(controller: Controller, address: str, with_password: bool) -> None:
    controller.root = f"{address}/"
    secret = (controller.passwords if with_password else controller.tokens)["alice"]
    client = api4jenkins.Jenkins(address, auth=("alice", secret))
    with closing(client.http_client):
        assert client.version == "2.579"
        assert {unquote(job.name) for job in client.get_job("team/app")} == {"main", "feature%2Fx"}
        item = client.build_job("deploy", VERSION="3", ENV="prod")
        wait_until(lambda: item.get_build() is not None, "the build of the item")
        build = item.get_build()
        assert build.number == 1
        assert {each.name: each.value for each in build.get_parameters() if each.name != "KEY"}["VERSION"] == "3"
        mine = controller.jobs["deploy"].builds[0]
        mine.write("one", "two")
        assert build.building
        build.stop()
        assert not build.building
        assert build.result == "ABORTED"
        assert "\n".join(build.console_text()).split()[:3] == ["begin", "one", "two"]
        assert list(build.progressive_output())[-1] == "Finished: ABORTED"
        controller.starts_when_asked = False
        waiting = client.build_job("plain")
        waiting.cancel()
        assert controller.queue[-1].is_cancelled
