"""kill -9 in the middle of an approved change: it is not repeated, and the record says what ran."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.kubectl import Kubectl
from tests.support.person import Answer, Person
from tests.support.product import Engine, Product, call, engine
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import eventually

QUICK = {"RUN_LEASE_SECONDS": "2", "RUN_SWEEP_SECONDS": "1"}


@dataclass
class Bench:
    """Engines on one data folder, one after the other."""

    folder: Path
    model: ScriptedModel
    kubectl: Kubectl
    stack: ExitStack

    async def start(self, **environment: str) -> Engine:
        starting = engine(
            self.folder, self.model, self.kubectl.kubeconfig, **QUICK, CLUSTERS=self.kubectl.context, **environment
        )
        self.folder.mkdir(exist_ok=True)
        (self.folder / "said.log").write_text("")
        started = self.stack.enter_context(starting)
        await started.listens()
        return started


@pytest.fixture
def bench(tmp_path: Path, model: ScriptedModel, kubectl: Kubectl) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path / "kill", model, kubectl, stack)


async def killed_in_a_change(bench: Bench, failpoint: str) -> tuple[Answer, int]:
    """An engine that dies while it carries out an approved change; its conversation, and the generation before."""
    bench.kubectl.deployment(replicas=2)
    before = generation(bench.kubectl)
    running = await bench.start(SKYFLO_TESTING="1", SKYFLO_FAILPOINTS=f"{failpoint}=kill")
    product = Product(running, bench.model, bench.kubectl, bench.folder)
    product.says(
        call("k8s_scale", kind="deployment", name="web", namespace=bench.kubectl.namespace, replicas=4), "That is that."
    )
    async with running.person() as me:
        asked = await me.ask("Scale web to four")
        with pytest.raises(httpx.HTTPError):
            await me.decide(asked, asked.waiting[0])
    assert await running.died() == -9
    return asked, before


def generation(kubectl: Kubectl) -> int:
    return int(kubectl.get("deployment", "web")["metadata"]["generation"])


async def rested(me: Person, asked: Answer) -> Answer:
    """All that the run says, once it has come to rest."""

    async def rests() -> bool:
        run = (await me.client.get(f"/agent/runs/{asked.run_id}")).json()
        return run["state"] not in ("queued", "running")

    await eventually(rests, 40, "the end of the run")
    return await me.follow(asked.run_id)


@pytest.mark.promise("once", "recovery", "unknown")
async def test_a_change_that_ran_is_not_repeated_and_its_result_is_found(bench: Bench) -> None:
    asked, before = await killed_in_a_change(bench, "ledger.send:after")
    assert generation(bench.kubectl) == before + 1
    again = await bench.start()
    async with again.person() as me:
        whole = await rested(me, asked)
        approval = await me.approval(asked.waiting[0])
    assert [event["call_id"] for event in whole.all("tool.result")] == asked.waiting
    assert approval["outcome"] == "succeeded"
    assert whole.last["status"] == "completed"
    assert whole.text == "That is that."
    assert generation(bench.kubectl) == before + 1


@pytest.mark.promise("once", "recovery", "unknown")
async def test_a_change_that_was_never_sent_is_said_to_have_never_run(bench: Bench) -> None:
    asked, before = await killed_in_a_change(bench, "ledger.send:before")
    again = await bench.start()
    async with again.person() as me:
        whole = await rested(me, asked)
        approval = await me.approval(asked.waiting[0])
        verified = await me.verify(asked.waiting[0])
    assert not whole.all("tool.result")
    assert "never ran" in whole["tool.error"]["error"]
    assert (approval["outcome"], approval["error"]) == ("failed", whole["tool.error"]["error"])
    assert verified.status_code == 409
    assert whole.last["status"] == "completed"
    assert generation(bench.kubectl) == before
