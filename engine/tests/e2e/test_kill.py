"""Kill the engine with SIGKILL during an approved change: it is not repeated, and the record says what ran."""

import httpx
import pytest

from tests.support.api_user import Answer, ApiUser
from tests.support.kubectl import Kubectl
from tests.support.product import Product, RestartableProduct, tool_call
from tests.support.waiting import eventually


async def killed_in_a_change(restartable: RestartableProduct, failpoint: str) -> tuple[Answer, int]:
    """Kill an engine while it runs an approved change. Returns the conversation's events and the earlier generation."""
    restartable.kubectl.create_deployment(replicas=2)
    before = generation(restartable.kubectl)
    running = await restartable.start(SKYFLO_TESTING="1", SKYFLO_FAILPOINTS=f"{failpoint}=kill")
    product = Product(running, restartable.model, restartable.kubectl, restartable.folder)
    product.set_script(
        tool_call("k8s_scale", kind="deployment", name="web", namespace=restartable.kubectl.namespace, replicas=4),
        "That is that.",
    )
    async with running.open_user() as me:
        asked = await me.ask("Scale web to four")
        with pytest.raises(httpx.HTTPError):
            await me.decide(asked, asked.waiting[0])
    assert await running.wait_for_exit() == -9
    return asked, before


def generation(kubectl: Kubectl) -> int:
    return int(kubectl.get("deployment", "web")["metadata"]["generation"])


async def rested(me: ApiUser, asked: Answer) -> Answer:
    """Wait until the run rests and return all of its events."""

    async def rests() -> bool:
        run = (await me.client.get(f"/agent/runs/{asked.run_id}")).json()
        return run["state"] not in ("queued", "running")

    await eventually(rests, what="the end of the run")
    return await me.follow(asked.run_id)


@pytest.mark.promise("once", "recovery", "unknown")
async def test_change_that_ran_before_the_kill_is_not_repeated(restartable: RestartableProduct) -> None:
    asked, before = await killed_in_a_change(restartable, "ledger.send:after")
    assert generation(restartable.kubectl) == before + 1
    again = await restartable.start()
    async with again.open_user() as me:
        whole = await rested(me, asked)
        approval = await me.approval(asked.waiting[0])
    assert [event["call_id"] for event in whole.all("tool.result")] == asked.waiting
    assert approval["outcome"] == "succeeded"
    assert whole.last["status"] == "completed"
    assert whole.text == "That is that."
    assert generation(restartable.kubectl) == before + 1


@pytest.mark.promise("once", "recovery", "unknown")
async def test_unsent_change_is_recorded_as_never_run(restartable: RestartableProduct) -> None:
    asked, before = await killed_in_a_change(restartable, "ledger.send:before")
    again = await restartable.start()
    async with again.open_user() as me:
        whole = await rested(me, asked)
        approval = await me.approval(asked.waiting[0])
        verified = await me.verify(asked.waiting[0])
    assert not whole.all("tool.result")
    assert "never ran" in whole["tool.error"]["error"]
    assert (approval["outcome"], approval["error"]) == ("failed", whole["tool.error"]["error"])
    assert verified.status_code == 409
    assert whole.last["status"] == "completed"
    assert generation(restartable.kubectl) == before
