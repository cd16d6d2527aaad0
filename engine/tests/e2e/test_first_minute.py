"""Test a start without any configuration: the sandbox replaces missing parts, and real parts are used if present."""

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

from tests.support.api_user import Answer, ApiUser
from tests.support.first_minute import PICTURE, QUESTION, draw_session, extract_text
from tests.support.kubectl import Kubectl
from tests.support.product import UpProcess, start_product
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import PATIENCE, eventually

NOTHING = {"SANDBOX": "auto", "LLM_MODEL": "", "LLM_HOST": "", "OPENAI_API_KEY": "", "LLM_TITLES": "true"}
QUICK = {"RUN_LEASE_SECONDS": "2", "RUN_SWEEP_SECONDS": "1"}


@dataclass
class Laptop:
    """A machine without keys or clusters. Its engines run one after the other on one data folder."""

    folder: Path
    model: ScriptedModel
    stack: ExitStack

    async def start(self, kubeconfig: Path | str = "", **environment: str) -> UpProcess:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        given = {**NOTHING, **QUICK, "HOME": str(home), **environment}
        (self.folder / "said.log").write_text("")
        started = self.stack.enter_context(start_product(self.folder, self.model, kubeconfig, **given))
        await started.wait_until_tools_are_listed()
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
    """Use the sandbox cluster through the same kubectl."""
    return Kubectl(administrator.binary, laptop.kubeconfig, "sandbox", "shop")


def pid_of_sandbox(running: UpProcess) -> int:
    command = ["pgrep", "-P", str(running.process.pid), "-f", "skyflo_sandbox"]
    return int(subprocess.run(command, capture_output=True, check=True).stdout.split()[0])


def available(kubectl: Kubectl, name: str) -> int:
    return int(kubectl.get("deployment", name).get("status", {}).get("availableReplicas", 0))


async def proposed(me: ApiUser, name: str) -> Answer:
    """Ask for the cause of the failure, then for the fix, in one conversation; return the proposed change."""
    why = await me.ask(f"Why is {name} failing in shop?")
    assert why.last["status"] == "completed", why.last
    assert "sandbox model" in why.text
    return await me.ask("fix it", conversation_id=why.conversation_id)


async def test_change_is_proposed_approved_and_verified_without_key_or_cluster(
    laptop: Laptop, sandbox: Kubectl
) -> None:
    running = await laptop.start()
    assert "Model     sandbox" in running.log_text
    assert "Cluster   sandbox" in running.log_text
    async with running.open_user() as me:
        asked = await proposed(me, "checkout")
        assert "PAYMENTS_URL is not set" in asked.text
        shown = asked["tool.awaiting_approval"]
        assert "+  PAYMENTS_URL:" in shown["preview"]["diff"]
        assert {one["cluster"] for one in shown["preview"]["objects"]} == {"sandbox"}
        assert available(sandbox, "checkout") == 0
        done = await me.decide(asked, asked.waiting[0])
    assert done.last["status"] == "completed"
    assert "tool.result" in done.types
    await eventually(lambda: available(sandbox, "checkout") == 2, what="the healing of checkout")


@pytest.mark.promise("once", "recovery")
async def test_approval_survives_a_kill_of_engine_and_sandbox(laptop: Laptop, sandbox: Kubectl) -> None:
    first = await laptop.start()
    async with first.open_user() as me:
        asked = await proposed(me, "cart")
    call_id = asked.waiting[0]
    children = first.children()
    first.kill()
    await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), what="the end of the children")
    second = await laptop.start()
    async with second.open_user() as me:
        waiting = (await me.client.get("/agent/approvals")).json()
        assert [one["call_id"] for one in waiting["data"]] == [call_id]
        done = await me.decide(asked, call_id)
    assert done.last["status"] == "completed", done.last
    assert sandbox.get("service", "cart")["spec"]["selector"] == {"app": "cart"}


async def test_every_view_states_that_the_sandbox_is_used(laptop: Laptop) -> None:
    running = await laptop.start()
    known = await running.readiness()
    assert "sandbox" in known["model"]["hint"]
    assert "OPENAI_API_KEY" in known["model"]["hint"]
    assert "sandbox" in known["cluster"]["hint"]
    async with running.open_user() as me:
        answer = await me.ask("Which clusters are there?")
    assert answer["generation.start"]["model"] == "sandbox"
    assert "sandbox" in json.dumps(answer["tool.result"]["result"])
    assert "sandbox model" in answer.text


async def test_a_conversation_gets_a_title(laptop: Laptop) -> None:
    running = await laptop.start()
    async with running.open_user() as me:
        answer = await me.ask("Why is checkout failing in shop?")
        assert answer["conversation.title.generated"]["title"] == "Trouble with checkout in shop"
        [listed] = (await me.client.get("/conversations")).json()["data"]
    assert listed["title"] == "Trouble with checkout in shop"


async def test_sandbox_model_works_on_a_real_cluster(laptop: Laptop, kubectl: Kubectl) -> None:
    running = await laptop.start(kubectl.kubeconfig, CLUSTERS=kubectl.context)
    assert f"Cluster   {kubectl.context}" in running.log_text
    assert not laptop.kubeconfig.exists()
    kubectl.create_deployment(name="web", replicas=2)
    async with running.open_user() as me:
        asked = await me.ask(f"Scale deployment web in {kubectl.namespace} to 3")
        assert "from 2 to 3" in json.dumps(asked["tool.awaiting_approval"]["preview"])
        done = await me.decide(asked, asked.waiting[0])
    assert done.last["status"] == "completed"
    assert kubectl.get("deployment", "web")["spec"]["replicas"] == 3


async def test_a_real_model_works_on_the_sandbox_cluster(laptop: Laptop, sandbox: Kubectl) -> None:
    running = await laptop.start(LLM_MODEL="openai/scripted", LLM_HOST=laptop.model.url, OPENAI_API_KEY="sk-any")
    assert "Model     openai/scripted" in running.log_text
    assert "Cluster   sandbox" in running.log_text
    assert sandbox("get", "pods", "-o=name")


async def test_sandbox_fresh_resets_the_cluster(laptop: Laptop, sandbox: Kubectl) -> None:
    first = await laptop.start()
    sandbox("scale", "deployment/web", "--replicas=1")
    first.process.terminate()
    await first.wait_for_exit()
    kept = await laptop.start()
    assert sandbox.get("deployment", "web")["spec"]["replicas"] == 1
    kept.process.terminate()
    await kept.wait_for_exit()
    await laptop.start(SANDBOX_FRESH="true")
    assert sandbox.get("deployment", "web")["spec"]["replicas"] != 1


async def test_sandbox_restarts_at_the_same_address(laptop: Laptop, sandbox: Kubectl) -> None:
    running = await laptop.start()
    before = sandbox("get", "pods", "-o=name")
    os.kill(pid_of_sandbox(running), 9)
    assert sandbox("get", "pods", "-o=name") == before
    await eventually(lambda: "sandbox ended with code -9" in running.log_text, what="what the log says of it")


@pytest.mark.promise("safe-defaults")
async def test_sandbox_listens_only_on_loopback(laptop: Laptop) -> None:
    running = await laptop.start()
    found = re.search(r"server: \"(http://127\.0\.0\.1:\d+)\"", laptop.kubeconfig.read_text())
    assert found
    assert running.children()
    async with httpx.AsyncClient(base_url=found[1], timeout=PATIENCE) as page:
        assert (await page.get("/version")).status_code == 200
        assert (await page.get("/version", headers={"Host": "evil.example"})).status_code == 403
        assert (await page.get("/version", headers={"Origin": "https://evil.example"})).status_code == 403


async def test_the_picture_in_the_readme_shows_what_a_terminal_shows(laptop: Laptop) -> None:
    now, kept = extract_text(await draw_session(await laptop.start())), extract_text(PICTURE.read_text())
    for words in (QUESTION, "PAYMENTS_URL", "Waits for your approval", "approved by local", "Verified: the rollout"):
        assert words in now
        assert words in kept, "make picture draws it anew"
