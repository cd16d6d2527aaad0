"""Parsing of user messages into intents, targets and values."""

import pytest

from skyflo_sandbox.model.intents import parse_request
from skyflo_sandbox.model.user_request import UserRequest

DIGEST = "0ab1" * 16


@pytest.mark.parametrize(
    ("said", "intent", "kind", "names", "namespace"),
    [
        ("list pods in shop", "list", "pods", (), "shop"),
        ("How many deployments are there?", "list", "deployments", (), ""),
        ("kubectl get po -n shop", "list", "pods", (), "shop"),
        ("show me all config maps in namespace shop", "list", "configmaps", (), "shop"),
        ("pods?", "list", "pods", (), ""),
        ("what is running in shop", "running", "", (), "shop"),
        ("what's wrong in shop?", "why", "", (), "shop"),
        ("Is everything OK?", "why", "", (), ""),
        ("why is checkout failing?", "why", "", ("checkout",), ""),
        ("Why does shop/checkout keep restarting", "why", "", ("checkout",), "shop"),
        ("why can't I reach the cart service in shop", "why", "services", ("cart",), "shop"),
        ("why is search not reachable?", "why", "", ("search",), ""),
        ("the `web` deployment is broken", "why", "deployments", ("web",), ""),
        ("status of deployment/checkout -n shop", "why", "deployments", ("checkout",), "shop"),
        ("describe service cart", "describe", "services", ("cart",), ""),
        ("what image does checkout use?", "describe", "", ("checkout",), ""),
        ("logs of checkout in shop", "logs", "", ("checkout",), "shop"),
        ("events in shop", "events", "", (), "shop"),
        ("which clusters are there?", "clusters", "", (), ""),
        ("fix it", "fix", "", (), ""),
        ("fix the checkout deployment", "fix", "deployments", ("checkout",), ""),
        ("restart checkout", "restart", "", ("checkout",), ""),
        ("kubectl rollout restart deployment/web", "restart", "deployments", ("web",), ""),
        ("delete configmap settings in shop", "delete", "configmaps", ("settings",), "shop"),
        ("why is the report deployment failing", "why", "deployments", ("report",), ""),
        ("roll it back", "roll_back", "", (), ""),
        ("roll back payments", "roll_back", "", ("payments",), ""),
        ("kubectl rollout undo deployment/web", "roll_back", "deployments", ("web",), ""),
        ("delete pod checkout-abc-12345 in shop", "delete", "pods", ("checkout-abc-12345",), "shop"),
        ("get rid of deployment foo", "delete", "deployments", ("foo",), ""),
        ("is the rollout of checkout done?", "rollout", "", ("checkout",), ""),
        ("write me a poem about pods", "other", "", (), ""),
        ("what's the weather in Berlin?", "other", "", (), ""),
        ("why is the weather service failing?", "why", "services", ("weather",), ""),
        ("restart python-api", "restart", "", ("python-api",), ""),
        ("how do I fix checkout?", "why", "", ("checkout",), ""),
        ("how do I learn Kubernetes?", "other", "", None, ""),
        ("what should I do?", "why", "", (), ""),
        ("how many replicas does web have?", "describe", "", ("web",), ""),
        ("how many restarts does web have?", "list", "pods", ("web",), ""),
        ("delete namespace shop", "delete", "namespaces", ("shop",), ""),
        ("create a deployment called foo with image nginx", "refused", "", (), ""),
        ("hi! I'm new here. what is this?", "help", "", (), ""),
        ("what is a pod?", "other", "", (), ""),
        ("remove the label tier from web", "refused", "", ("tier", "web"), ""),
        ("warum startet checkout nicht?", "other", "", (), ""),
        ("pourquoi le pod web est-il en panne ?", "other", "", (), ""),
    ],
)
def test_sentence_has_an_intent_and_a_target(
    said: str, intent: str, kind: str, names: tuple[str, ...] | None, namespace: str
) -> None:
    request = parse_request(said)
    assert (request.intent, request.target.kind, request.target.namespace) == (intent, kind, namespace)
    assert names is None or request.target.names == names


@pytest.mark.parametrize(
    ("said", "number", "by"),
    [
        ("scale checkout to 3", 3, None),
        ("scale checkout to three replicas", 3, None),
        ("kubectl scale deployment/web --replicas=5 -n shop", 5, None),
        ("give web 3 replicas", 3, None),
        ("set replicas of web to 4", 4, None),
        ("scale web up by two", None, 2),
        ("scale web in shop down by 1", None, -1),
        ("add 2 replicas to web", None, 2),
        ("remove one replica from web", None, -1),
        ("scale up web", None, None),
        ("scale web to 0", 0, None),
    ],
)
def test_scale_reads_a_number_or_a_difference(said: str, number: int | None, by: int | None) -> None:
    request = parse_request(said)
    assert (request.intent, request.number, request.by) == ("scale", number, by)
    assert request.target.names[0] in ("web", "checkout")


def test_set_keeps_the_case_of_the_value() -> None:
    for said in (
        "set PAYMENTS_URL=http://Pay:80/x in checkout-config",
        "please add `PAYMENTS_URL`='http://Pay:80/x' to checkout-config",
        "change PAYMENTS_URL in checkout-config to http://Pay:80/x",
    ):
        request = parse_request(said)
        assert (request.intent, request.key, request.value) == ("set", "PAYMENTS_URL", "http://Pay:80/x"), said
        assert "checkout-config" in (*request.target.names, request.target.namespace), said


@pytest.mark.parametrize(
    ("said", "image"),
    [
        ("set image of web to nginx:1.2", "nginx:1.2"),
        ("set the image of web to registry.local:5000/shop/web:2.0.", "registry.local:5000/shop/web:2.0"),
        ("update web to shop/web:2", "shop/web:2"),
        (f"deploy image shop/web@sha256:{DIGEST} to web", f"shop/web@sha256:{DIGEST}"),
    ],
)
def test_image_reference_is_read_whole(said: str, image: str) -> None:
    request = parse_request(said)
    assert (request.intent, request.image, request.target.names) == ("image", image, ("web",))


def test_logs_filter_is_read() -> None:
    request = parse_request("show the last 50 lines of the previous logs of cart containing 'timed out'")
    assert (request.tail, request.previous, request.grep) == (50, True, "timed out")
    assert parse_request("any errors in the logs of cart?").grep == "error"


def test_namespace_and_cluster_are_distinguished() -> None:
    everywhere = parse_request("list pods in all namespaces").target
    assert (everywhere.everywhere, everywhere.namespace) == (True, "")
    assert parse_request("list pods in the prod cluster").target.cluster == "prod"
    assert parse_request("list pods in cluster prod in namespace web").target.namespace == "web"
    assert parse_request('why is "status" failing').target.names == ("status",)


def test_label_selector_is_read() -> None:
    for said in ("list the pods with label app=web in shop", "kubectl get pods -l app=web -n shop"):
        request = parse_request(said)
        assert (request.intent, request.selector, request.target.names) == ("list", "app=web", ()), said
        assert request.target.namespace == "shop"


def test_manifest_is_taken_unchanged() -> None:
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"
    for said in (f"please apply this in shop:\n```yaml\n{manifest}```", f"apply in shop\n{manifest}"):
        request = parse_request(said)
        assert (request.intent, request.manifest) == ("apply", manifest)
        assert request.target.namespace == "shop"


@pytest.mark.parametrize(
    ("said", "intent"),
    [
        ("yes", "yes"),
        ("ok, do it!", "yes"),
        ("Yes please", "yes"),
        ("go ahead", "yes"),
        ("no", "no"),
        ("never mind", "no"),
        ("hello there!", "greeting"),
        ("thanks a lot", "thanks"),
        ("help", "help"),
        ("what can you do?", "help"),
        ("are you a real language model?", "help"),
        ("go on", "again"),
        ("what about cart?", "also"),
        ("", "other"),
        ("   \n ", "other"),
    ],
)
def test_small_talk_has_its_own_intents(said: str, intent: str) -> None:
    assert parse_request(said).intent == intent


def test_question_about_a_change_is_not_a_change() -> None:
    for said in (
        "why did checkout restart?",
        "why was the pod web-1 deleted?",
        "how many restarts does checkout have?",
        "can I delete pods in shop?",
        "why does it scale to 3?",
    ):
        assert parse_request(said).intent not in ("restart", "delete", "scale", "fix", "set"), said


def test_any_text_is_parsed() -> None:
    for said in (
        "/" * 500,
        "in in in",
        "`" * 99,
        "set = ",
        "```",
        "-n",
        "scale to",
        "\u202e\x00 pods",
        "a/b/c/d",
        "=" * 80,
    ):
        assert isinstance(parse_request(said), UserRequest)
