"""The first minute: started with nothing, the sandbox stands in, and the whole loop works on it; parts are real where
they are there."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.first_minute import ASKED, PICTURE, drawn, words_of
from tests.support.kubectl import Kubectl
from tests.support.person import Answer, Person
from tests.support.product import Engine, engine
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import PATIENCE, eventually

NOTHING = {"SANDBOX": "auto", "LLM_MODEL": "", "LLM_HOST": "", "OPENAI_API_KEY": "", "LLM_TITLES": "true"}
QUICK = {"RUN_LEASE_SECONDS": "2", "RUN_SWEEP_SECONDS": "1"}


@dataclass
class Laptop:
    """A machine with nothing but what the tests put there. Engines start one after the other on one data folder."""

    folder: Path
    model: ScriptedModel
    stack: ExitStack

    async def start(self, kubeconfig: Path | str = "", **environment: str) -> Engine:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        given = {**NOTHING, **QUICK, "HOME": str(home), **environment}
        (self.folder / "said.log").write_text("")
        started = self.stack.enter_context(engine(self.folder, self.model, kubeconfig, **given))
        await started.listens()
        return started

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "data" / "sandbox" / "kubeconfig"


@pytest.fixture
def laptop(tmp_path: Path, model: ScriptedModel) -> Iterator[Laptop]:
    with ExitStack() as stack:
        yield Laptop(tmp_path, model, stack)


@pytest.fixture
def sandbox(laptop: Laptop, administrator: Kubectl) -> Kubectl:
    """The sandbox's cluster, by the same kubectl."""
    return Kubectl(administrator.binary, laptop.kubeconfig, "sandbox", "shop")


def pid_of_sandbox(running: Engine) -> int:
    command = ["pgrep", "-P", str(running.process.pid), "-f", "skyflo_sandbox"]
    return int(subprocess.run(command, capture_output=True, check=True).stdout.split()[0])


def available(kubectl: Kubectl, name: str) -> int:
    return int(kubectl.get("deployment", name).get("status", {}).get("availableReplicas", 0))


async def proposed(me: Person, name: str) -> Answer:
    """The reason why it fails, then the change that is proposed, in one conversation."""
    why = await me.ask(f"Why is {name} failing in shop?")
    assert why.last["status"] == "completed", why.last
    assert "sandbox model" in why.text
    return await me.ask("fix it", conversation_id=why.conversation_id)


async def test_asked_read_shown_approved_and_verified_with_no_key_and_no_cluster(
    laptop: Laptop, sandbox: Kubectl
) -> None:
    running = await laptop.start()
    assert "Model     sandbox" in running.said
    assert "Cluster   sandbox" in running.said
    async with running.person() as me:
        asked = await proposed(me, "checkout")
        assert "PAYMENTS_URL is not set" in asked.text
        shown = asked["tool.awaiting_approval"]
        assert "+  PAYMENTS_URL:" in shown["preview"]["diff"]
        assert {one["cluster"] for one in shown["preview"]["objects"]} == {"sandbox"}
        assert available(sandbox, "checkout") == 0
        done = await me.decide(asked, asked.waiting[0])
    assert done.last["status"] == "completed"
    assert "tool.result" in done.types
    await eventually(lambda: available(sandbox, "checkout") == 2, 60, "the healing of checkout")


@pytest.mark.promise("once", "recovery")
async def test_an_approval_survives_a_kill_of_engine_and_sandbox(laptop: Laptop, sandbox: Kubectl) -> None:
    first = await laptop.start()
    async with first.person() as me:
        asked = await proposed(me, "cart")
    call_id = asked.waiting[0]
    children = first.children()
    first.kill()
    await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 15, "the end of the children")
    second = await laptop.start()
    async with second.person() as me:
        waiting = (await me.client.get("/agent/approvals")).json()
        assert [one["call_id"] for one in waiting["data"]] == [call_id]
        done = await me.decide(asked, call_id)
    assert done.last["status"] == "completed", done.last
    assert sandbox.get("service", "cart")["spec"]["selector"] == {"app": "cart"}


async def test_the_sandbox_is_said_wherever_one_looks(laptop: Laptop) -> None:
    running = await laptop.start()
    known = await running.readiness()
    assert "sandbox" in known["model"]["hint"]
    assert "OPENAI_API_KEY" in known["model"]["hint"]
    assert "sandbox" in known["cluster"]["hint"]
    async with running.person() as me:
        answer = await me.ask("Which clusters are there?")
    assert answer["generation.start"]["model"] == "sandbox"
    assert "sandbox" in json.dumps(answer["tool.result"]["result"])
    assert "sandbox model" in answer.text


async def test_a_conversation_gets_a_title(laptop: Laptop) -> None:
    running = await laptop.start()
    async with running.person() as me:
        answer = await me.ask("Why is checkout failing in shop?")
        assert answer["conversation.title.generated"]["title"] == "Trouble with checkout in shop"
        [listed] = (await me.client.get("/conversations")).json()["data"]
    assert listed["title"] == "Trouble with checkout in shop"


async def test_a_real_cluster_is_used_by_the_sandbox_model(laptop: Laptop, kubectl: Kubectl) -> None:
    running = await laptop.start(kubectl.kubeconfig, CLUSTERS=kubectl.context)
    assert f"Cluster   {kubectl.context}" in running.said
    assert not laptop.kubeconfig.exists()
    kubectl.deployment(name="web", replicas=2)
    async with running.person() as me:
        asked = await me.ask(f"Scale deployment web in {kubectl.namespace} to 3")
        assert "from 2 to 3" in json.dumps(asked["tool.awaiting_approval"]["preview"])
        done = await me.decide(asked, asked.waiting[0])
    assert done.last["status"] == "completed"
    assert kubectl.get("deployment", "web")["spec"]["replicas"] == 3


async def test_a_real_model_works_on_the_sandbox_cluster(laptop: Laptop, sandbox: Kubectl) -> None:
    running = await laptop.start(LLM_MODEL="openai/scripted", LLM_HOST=laptop.model.url, OPENAI_API_KEY="sk-any")
    assert "Model     openai/scripted" in running.said
    assert "Cluster   sandbox" in running.said
    assert sandbox("get", "pods", "-o=name")


async def test_a_new_sandbox_is_had_by_asking(laptop: Laptop, sandbox: Kubectl) -> None:
    first = await laptop.start()
    sandbox("scale", "deployment/web", "--replicas=1")
    first.process.terminate()
    await first.died()
    kept = await laptop.start()
    assert sandbox.get("deployment", "web")["spec"]["replicas"] == 1
    kept.process.terminate()
    await kept.died()
    await laptop.start(SANDBOX_FRESH="true")
    assert sandbox.get("deployment", "web")["spec"]["replicas"] != 1


async def test_the_sandbox_is_started_again_at_the_same_address(laptop: Laptop, sandbox: Kubectl) -> None:
    running = await laptop.start()
    before = sandbox("get", "pods", "-o=name")
    os.kill(pid_of_sandbox(running), 9)
    assert sandbox("get", "pods", "-o=name") == before
    await eventually(lambda: "sandbox ended with code -9" in running.said, 10, "what the log says of it")


@pytest.mark.promise("safe-defaults")
async def test_the_sandbox_listens_to_this_machine_only(laptop: Laptop) -> None:
    running = await laptop.start()
    found = re.search(r"server: \"(http://127\.0\.0\.1:\d+)\"", laptop.kubeconfig.read_text())
    assert found
    assert running.children()
    async with httpx.AsyncClient(base_url=found[1], timeout=PATIENCE) as page:
        assert (await page.get("/version")).status_code == 200
        assert (await page.get("/version", headers={"Host": "evil.example"})).status_code == 403
        assert (await page.get("/version", headers={"Origin": "https://evil.example"})).status_code == 403


async def test_the_picture_in_the_readme_shows_what_a_terminal_shows(laptop: Laptop) -> None:
    now, kept = words_of(await drawn(await laptop.start())), words_of(PICTURE.read_text())
    for words in (ASKED, "PAYMENTS_URL", "Waits for your approval", "approved by local", "Verified: the rollout"):
        assert words in now
        assert words in kept, "make picture draws it anew"
