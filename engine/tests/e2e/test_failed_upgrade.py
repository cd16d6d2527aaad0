"""A failed Helm upgrade is found, rolled back after an approval and verified: in `skyflo chat` and on the page."""

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support.helm import Helm
from tests.support.kubectl import Kubectl
from tests.support.page_project import run_in_page_project
from tests.support.product import Product, start_product, tool_call
from tests.support.scripted_model import ScriptedModel
from tests.support.services import PROJECT
from tests.support.terminal import Shell

CHART = PROJECT / "mcp" / "tests" / "charts" / "shop"
MESSAGE = "The shop is broken since the last upgrade. Find out why, and bring it back."
VERIFIED = "Verified: revision 3 is deployed and the greeting is hello again."


@dataclass(frozen=True)
class Release:
    """A release `web` whose second revision failed: its ConfigMap was written, its Deployment was refused."""

    product: Product
    helm: Helm

    @property
    def greeting(self) -> str:
        return str(self.product.kubectl.get("configmap", "web-settings")["data"]["greeting"])

    @property
    def state(self) -> tuple[int, str]:
        """Return the newest revision and its state, as helm tells them."""
        status = json.loads(self.helm("status", "web", "--output=json"))
        return status["version"], status["info"]["status"]


def make_release(product: Product, helm_binary: str) -> Release:
    """Install a release and let its upgrade fail. The model's script brings it back."""
    kubectl = product.kubectl
    helm = Helm(helm_binary, kubectl, product.folder)
    helm("install", "web", str(CHART))
    failed = helm.run("upgrade", "web", str(CHART), "--set=greeting=broken", "--set=image=")
    assert failed.returncode != 0, "the API server accepts a container without an image"
    broken = Release(product, helm)
    assert (broken.state, broken.greeting) == ((2, "failed"), "broken")
    where = {"name": "web", "namespace": kubectl.namespace}
    product.set_script(
        [tool_call("helm_status", **where), tool_call("helm_history", **where)],
        [tool_call("helm_rollback", **where, revision=1)],
        [
            tool_call("helm_status", **where),
            tool_call("k8s_get", kind="configmap", name="web-settings", namespace=kubectl.namespace, output="yaml"),
        ],
        VERIFIED,
    )
    return broken


def check_read_results(model: ScriptedModel) -> None:
    """Check what the model was told: the failure before the change, and the outcome after it."""
    results = [str(message["content"]) for message in _messages(model) if message["role"] == "tool"]
    assert "failed" in results[0]
    assert "image" in results[0]
    assert "superseded" in results[1] or "deployed" in results[1]
    assert "revision 3" in results[3]
    assert "hello" in results[4]


def _messages(model: ScriptedModel) -> list[dict[str, object]]:
    body = model.requests[-1].body
    assert isinstance(body, dict)
    messages = body["messages"]
    assert isinstance(messages, list)
    return messages


def test_failed_upgrade_is_rolled_back_in_the_terminal(product: Product, helm_binary: str, tmp_path: Path) -> None:
    release = make_release(product, helm_binary)
    shell = Shell(tmp_path, product.engine.address)
    with shell.on_terminal("chat", MESSAGE, columns=140) as on:
        on.expect("-  greeting: broken")
        on.expect("+  greeting: hello")
        on.expect("[l]eave waiting")
        assert (release.state, release.greeting) == ((2, "failed"), "broken"), "nothing runs before the approval"
        on.type("a")
        on.expect(VERIFIED)
        assert on.wait_for_exit() == 0
    assert (release.state, release.greeting) == ((3, "deployed"), "hello")
    check_read_results(product.model)


async def test_failed_upgrade_is_rolled_back_on_the_page(
    page_project: Path, chromium: str, model: ScriptedModel, kubectl: Kubectl, helm_binary: str, tmp_path: Path
) -> None:
    """The engine starts here, after the page was built."""
    settings = {"CLUSTERS": kubectl.context, "HELM_BINARY": helm_binary}
    with start_product(tmp_path, model, kubectl.kubeconfig, **settings) as engine:
        await engine.wait_until_tools_are_listed()
        release = make_release(Product(engine, model, kubectl, tmp_path), helm_binary)
        session = partial(run_in_page_project, page_project, "e2e:session")
        await asyncio.to_thread(session, CHROMIUM=chromium, SKYFLO_ADDRESS=engine.address)
    assert (release.state, release.greeting) == ((3, "deployed"), "hello")
    check_read_results(model)
