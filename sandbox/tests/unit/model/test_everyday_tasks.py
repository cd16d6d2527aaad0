"""Everyday requests: each is done exactly as asked, answered by a read, or refused."""

from dataclasses import dataclass, field

import pytest
from model_conversation import QuestionOutcome
from recorded_tools import RecordedTools, load_recording, open_recorded_conversation

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.model.intents import parse_request

STATEFULSETS = "NAMESPACE  NAME  READY  AGE\nshop       db    2/2    8d"
CHANGE_INTENTS = ("apply", "delete", "fix", "image", "restart", "roll_back", "scale", "set")
NO_RULE = "No rule for this request, so I propose no change."


def shop() -> RecordedTools:
    """Load the recorded shop with a stateful set and a ConfigMap added."""
    maps = "NAMESPACE  NAME             DATA  AGE\nshop       checkout-config  3     8d"
    return load_recording("shop").with_outputs(
        {
            "get statefulsets -A": STATEFULSETS,
            "get statefulsets db": STATEFULSETS,
            "get namespaces -A metadata.name=shop": "NAME  STATUS  AGE\nshop  Active  8d",
            "get configmaps -A metadata.name=web": "No configmaps in any namespace.",
            "get configmaps -A": maps,
            "get statefulsets": STATEFULSETS.replace("NAMESPACE  ", "").replace("shop       ", ""),
            "get statefulsets -A metadata.name=db": STATEFULSETS,
            "get configmaps -A metadata.name=checkout-config": maps,
            "get configmaps metadata.name=checkout-config": maps.replace("NAMESPACE  ", "").replace("shop       ", ""),
        }
    )


async def ask(said: str) -> QuestionOutcome:
    async with open_recorded_conversation(shop()) as conversation:
        return await conversation.ask(said)


def image_patch(container: str, image: str) -> JsonObject:
    return {"spec": {"template": {"spec": {"containers": [{"name": container, "image": image}]}}}}


@dataclass(frozen=True)
class Proposed:
    """The only change that a request leads to."""

    tool: str
    arguments: JsonObject = field(default_factory=dict)


def scaled(name: str, replicas: int, kind: str = "deployments") -> Proposed:
    return Proposed("k8s_scale", {"kind": kind, "name": name, "replicas": replicas, "namespace": "shop"})


def restarted(name: str, kind: str = "Deployment") -> Proposed:
    return Proposed("k8s_rollout_restart", {"kind": kind, "name": name, "namespace": "shop"})


def patched(kind: str, name: str, how: str, patch: JsonObject) -> Proposed:
    return Proposed("k8s_patch", {"kind": kind, "name": name, "type": how, "patch": patch, "namespace": "shop"})


def deleted(kind: str, name: str) -> Proposed:
    return Proposed("k8s_delete", {"kind": kind, "name": name, "namespace": "shop"})


CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: made\n"

UNDERSTOOD: dict[str, Proposed] = {
    "Scale the web deployment to 5 replicas": scaled("web", 5),
    "please scale up the deployment `web` in namespace shop to 4": scaled("web", 4),
    "scale web down by one": scaled("web", 2),
    "can you add 2 replicas to web?": scaled("web", 5),
    "kubectl scale deployment/web --replicas=1 -n shop": scaled("web", 1),
    "scale statefulset db to 3": scaled("db", 3, "statefulsets"),
    "scale db in shop to 0": scaled("db", 0, "statefulsets"),
    "Restart web.": restarted("web"),
    "kubectl rollout restart deployment web -n shop": restarted("web"),
    "restart statefulset db": restarted("db", "StatefulSet"),
    "set image of web to shop/web:2.15.0": patched(
        "deployments", "web", "strategic", image_patch("web", "shop/web:2.15.0")
    ),
    "kubectl set image deployment/web web=nginx:1.27 -n shop": patched(
        "deployments", "web", "strategic", image_patch("web", "nginx:1.27")
    ),
    "fix catalog": patched("deployments", "catalog", "strategic", image_patch("catalog", "shop/catalog:4.2.0")),
    "fix checkout in shop": patched(
        "configmaps", "checkout-config", "merge", {"data": {"PAYMENTS_URL": "https://payments.example.com/v3"}}
    ),
    "repair the cart service": patched("services", "cart", "merge", {"spec": {"selector": {"app": "cart"}}}),
    "set LOG_LEVEL=debug in checkout-config": patched(
        "configmaps", "checkout-config", "merge", {"data": {"LOG_LEVEL": "debug"}}
    ),
    "set CACHE_SIZE=2Gi in configmap checkout-config in shop": patched(
        "configmaps", "checkout-config", "merge", {"data": {"CACHE_SIZE": "2Gi"}}
    ),
    "delete service cart in shop": deleted("services", "cart"),
    "remove the mailer deployment": deleted("deployments", "mailer"),
    "delete pod redis-7f4899f575-dbx7f": deleted("pods", "redis-7f4899f575-dbx7f"),
    "delete namespace shop": Proposed("k8s_delete", {"kind": "namespaces", "name": "shop"}),
    f"apply this in shop:\n```yaml\n{CONFIG_MAP}```": Proposed(
        "k8s_apply", {"manifests": CONFIG_MAP, "namespace": "shop"}
    ),
}

# The words that the answer has to name as not understood; empty where the whole request has no rule.
REFUSED: dict[str, str] = {
    # percentages, units, ranges and conditions
    "scale web by 100 %": "by 100 %",
    "scale web by 100%": "by 100%",
    "scale web up by 50%": "by 50%",
    "scale web to 150 percent": "percent",
    "scale web to 2-4": "to 2-4",
    "scale web to 3x": "to 3x",
    "scale web to 1.5": "to 1.5",
    "scale web by 2": "by 2",
    "scale web to 3 cpus": "cpus",
    "double the replicas of web": "",
    "scale web to 5 if the load is high": "if the load is high",
    "restart web unless it is healthy": "unless it is healthy",
    "restart web only on node-1": "only on node-1",
    "restart web in 5 minutes": "in 5 minutes",
    "restart web tomorrow": "tomorrow",
    "delete pods older than 5d": "",
    "delete all pods in shop": "",
    "delete everything": "",
    "delete all failed jobs in shop": "",
    # two clauses and negations
    "scale web to 5 and restart cart": "and restart cart",
    "restart web, then delete the mailer deployment": "restart web, then",
    "delete service cart but keep its endpoints": "but keep its endpoints",
    "what is wrong with web? fix it": "what is wrong with web?",
    "list the pods in shop and delete the failing ones": "",
    "please do not delete web": "do not",
    "never restart web": "never",
    "restart web and cart": "and cart",
    "restart everything except redis": "",
    "restart web?": "?",
    # other parts of objects
    "change the image of nginx to version 1.22": "",
    "update web to 1.22": "",
    "set the image of web to latest": "",
    "Fix the image of the pod app-x in namespace shop": "",
    "fix the readiness probe of web": "",
    "fix the selector of service cart": "",
    "set the memory limit of web to 2Gi": "",
    "set cpu=500m in web": "",
    "give web 512Mi of memory": "",
    "set replicas=3 in web": "",
    "resize pvc data to 10Gi": "",
    "increase the size of the PVC data-db-0 to 20Gi": "",
    "remove the label tier from web": "",
    "roll back web to revision 2": "to revision 2",
    "undo the last two rollouts of web": "",
    "expose deployment web on port 80": "",
    "drain node worker-1": "",
    "kubectl exec web -- ls": "",
    "delete the finalizers of web": "",
    # things to create
    "Create a pod named web-server with the image nginx": "",
    "create a deployment called foo with image nginx:1.27 and 3 replicas": "",
    "Create a network policy that allows only dns": "",
    "create a PVC of 5Gi": "",
    "create a horizontal pod autoscaler for web between 2 and 5 replicas": "",
    "autoscale web at 80% cpu": "",
    "create a pod with two containers that share a volume": "",
    "Create a role that can read pods and bind it to the service account reader": "",
    "deploy the bitnami nginx helm chart": "",
    "helm install redis bitnami/redis": "",
    "set up a dev cluster with ingress, monitoring and a registry": "",
    "create a canary deployment of web": "",
    f"apply this but with 5 replicas:\n```yaml\n{CONFIG_MAP}```": "but with 5 replicas",
    f"```yaml\n{CONFIG_MAP}```": "",
}

READ: dict[str, tuple[str, str]] = {
    "list the pods in shop": ("get pods", "**14 pods** in `shop`"),
    "how many pods are there in namespace shop?": ("get pods", "**14 pods** in `shop`"),
    "what image does web use?": ("describe deployments web", "`shop/web:2.14.1`"),
    "why is checkout crash looping?": ("logs checkout-7999f49695-f4ckr previous", "`PAYMENTS_URL`"),
    "why is the catalog pod not running in shop?": ("describe deployments catalog", "can't be pulled"),
    "why is the cart service not reachable?": ("describe services cart", "matches no pod"),
    "what is wrong in shop?": ("get persistentvolumeclaims", "**3 problems** in namespace `shop`"),
    "show the logs of web": ("logs web-59cd97858-7lq9j", "web-59cd97858-7lq9j"),
    "any errors in the logs of checkout?": ("logs checkout-7999f49695-f4ckr", "checkout-7999f49695-f4ckr"),
    "list deployments older than 5 days in shop": ("get deployments", "I have no rule for `older than 5 days`"),
    "how do I fix checkout?": ("describe deployments checkout", "`PAYMENTS_URL`"),
    "why did checkout restart?": ("describe deployments checkout", "`PAYMENTS_URL`"),
}


@pytest.mark.parametrize(("said", "expected"), UNDERSTOOD.items())
async def test_understood_change_is_proposed_exactly(said: str, expected: Proposed) -> None:
    asked = await ask(said)
    assert [(made.tool, made.arguments) for made in asked.changes] == [
        (expected.tool, expected.arguments)
    ], asked.answer


@pytest.mark.parametrize(("said", "unused"), REFUSED.items())
async def test_change_with_a_leftover_word_is_refused(said: str, unused: str) -> None:
    asked = await ask(said)
    assert asked.changes == []
    assert NO_RULE in asked.answer
    assert not unused or f"I did not understand: `{unused}`" in asked.answer or f"{unused}`" in asked.answer


@pytest.mark.parametrize(("said", "expected"), READ.items())
async def test_question_is_answered_by_reads_only(said: str, expected: tuple[str, str]) -> None:
    tools = shop()
    async with open_recorded_conversation(tools) as conversation:
        asked = await conversation.ask(said)
    key, text = expected
    assert asked.changes == []
    assert key in tools.seen
    assert text in asked.answer


@pytest.mark.parametrize(
    "said", ["don't restart web", "do not delete the web deployment", "no, leave it", "cancel that"]
)
async def test_negation_changes_nothing(said: str) -> None:
    asked = await ask(said)
    assert asked.calls == []
    assert "I leave it as it is" in asked.answer


@pytest.mark.parametrize("said", ["restart catalgo", "scale chekout to 3", "delete service crat"])
async def test_misspelled_name_is_asked_back(said: str) -> None:
    asked = await ask(said)
    assert asked.changes == []
    assert "Did you mean" in asked.answer


async def test_refusal_shows_the_state_of_the_object() -> None:
    asked = await ask("scale catalog by 100 %")
    assert "Here is what I saw:" in asked.answer
    assert "can't be pulled" in asked.answer


async def test_yes_after_a_refusal_changes_nothing() -> None:
    async with open_recorded_conversation(shop()) as conversation:
        await conversation.ask("scale catalog by 100 %")
        assert (await conversation.ask("yes")).changes == []


async def test_scaling_up_to_fewer_replicas_is_refused() -> None:
    asked = await ask("scale web up to 2")
    assert asked.changes == []
    assert "has 3 replicas, so 2 is not up" in asked.answer


async def test_scaling_without_a_number_asks_for_it() -> None:
    asked = await ask("scale up web")
    assert asked.changes == []
    assert "To how many replicas?" in asked.answer


async def test_restart_of_a_single_pod_is_refused() -> None:
    asked = await ask("restart pod web-59cd97858-7lq9j")
    assert asked.changes == []
    assert "belongs to deployment `web`" in asked.answer


async def test_setting_a_key_of_a_workload_is_refused() -> None:
    asked = await ask("set PORT=8080 in web")
    assert asked.changes == []
    assert "I found no configmap named `web`" in asked.answer


@pytest.mark.parametrize("answer", ["not shop", "shop or test", "shop unless it is busy"])
async def test_qualified_answer_to_a_question_changes_nothing(answer: str) -> None:
    tools = shop()
    rows = tools.texts["get deployments -A"].splitlines()
    twin = next(line for line in rows if " web " in line).replace("shop ", "test ", 1)
    tools = tools.with_outputs({"get deployments -A": "\n".join([*rows, twin])})
    async with open_recorded_conversation(tools) as conversation:
        assert "`web` is in 2 namespaces" in (await conversation.ask("restart web")).answer
        assert (await conversation.ask(answer)).changes == []


async def test_manifest_that_is_not_read_whole_is_not_applied() -> None:
    for manifest in (
        f"{CONFIG_MAP}---\n- a\n",
        f"{CONFIG_MAP}---\nkind: Secret\n",
        f"{CONFIG_MAP}data: {{{{ .Values }}}}\n",
    ):
        asked = await ask(f"apply\n```yaml\n{manifest}```")
        assert asked.changes == []
        assert "No rule for this" in asked.answer


@pytest.mark.parametrize(
    "word", ["%", "only", "unless", "not", "twice", "tomorrow", "except", "carefully", "and", "10m"]
)
def test_any_inserted_word_makes_a_change_refused(word: str) -> None:
    for said in UNDERSTOOD:
        words = said.split(" ") if "\n" not in said else []
        for place in range(len(words) + 1 if words else 0):
            changed = " ".join([*words[:place], word, *words[place:]])
            assert parse_request(changed).intent not in CHANGE_INTENTS, changed
