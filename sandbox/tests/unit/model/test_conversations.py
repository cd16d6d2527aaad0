"""Conversations: what "it" and "yes" mean, and how outcomes of calls are reported."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from model_conversation import READS
from recorded_tools import RecordedTools, load_recording, open_recorded_conversation

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.clock import SystemClock
from skyflo_sandbox.model.app import create_model
from skyflo_sandbox.model.markdown import SIGNATURE
from skyflo_sandbox.model.plan import CHANGES
from src.api.agent import prompts

COMPLETE = "deployment/{} in shop: complete: 2 of 2 replicas updated and available"


def shop_with_complete_rollout(name: str) -> RecordedTools:
    """Load the shop with a rollout that is complete."""
    return load_recording("shop").with_outputs({f"rollout_status Deployment {name}": COMPLETE.format(name)})


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_model(SystemClock(), pace=0))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def reply(
    http: httpx.AsyncClient, messages: list[JsonObject], tools: tuple[str, ...] = (*READS, *CHANGES)
) -> JsonObject:
    offered = [{"type": "function", "function": {"name": name}} for name in tools]
    response = await http.post(
        "/v1/chat/completions", json={"model": "sandbox", "messages": messages, "tools": offered}
    )
    assert response.status_code == 200, response.text
    message: JsonObject = response.json()["choices"][0]["message"]
    return message


async def test_pronoun_refers_to_the_last_object() -> None:
    async with open_recorded_conversation(shop_with_complete_rollout("catalog")) as conversation:
        await conversation.ask("why is catalog failing?")
        fixed = await conversation.ask("fix it")
        assert [change.arguments["name"] for change in fixed.changes] == ["catalog"]
        scaled = await conversation.ask("scale it up by 1")
        assert scaled.changes[0].arguments == {
            "kind": "deployments",
            "name": "catalog",
            "replicas": 3,
            "namespace": "shop",
        }
        described = await conversation.ask("describe it")
        assert "Deployment `catalog` in `shop`" in described.answer


async def test_yes_starts_the_proposed_change_once() -> None:
    async with open_recorded_conversation(shop_with_complete_rollout("catalog")) as conversation:
        assert "Nothing waits for a yes" in (await conversation.ask("yes")).answer
        await conversation.ask("why is catalog failing?")
        assert len((await conversation.ask("ok do it")).changes) == 1
        assert (await conversation.ask("yes")).changes == []


async def test_fix_quotes_evidence_and_reads_the_result() -> None:
    async with open_recorded_conversation(shop_with_complete_rollout("catalog")) as conversation:
        fixed = await conversation.ask("fix catalog")
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "catalog", "image": "shop/catalog:4.2.0"}]}}}}
    assert fixed.changes[0].arguments["patch"] == patch
    assert "Failed to pull image" in fixed.said[0]
    assert "Verified: the rollout of `catalog` is complete" in fixed.answer
    assert "1 of 3 pods not well" in fixed.answer


async def test_fix_without_effect_is_reported_as_not_healed() -> None:
    still = "deployment/checkout in shop: progressing after 60 s: 0 of 2 updated replicas available"
    tools = load_recording("shop").with_outputs({"rollout_status Deployment checkout": still})
    async with open_recorded_conversation(tools) as conversation:
        fixed = await conversation.ask("fix checkout")
        assert fixed.changes[0].arguments["patch"] == {"data": {"PAYMENTS_URL": "https://payments.example.com/v3"}}
        assert "**Not healed yet.**" in fixed.answer
        assert "A yes restarts `checkout` now" in fixed.answer
        restarted = await conversation.ask("yes")
        assert [change.tool for change in restarted.changes] == ["k8s_rollout_restart"]


async def test_denial_reports_its_reason_and_ends_the_plan() -> None:
    async with open_recorded_conversation(load_recording("shop"), lambda *_: "not during the sale") as conversation:
        fixed = await conversation.ask("fix catalog")
        assert 'Denied, so nothing was changed. The reason: "not during the sale".' in fixed.answer
        assert len(fixed.changes) == 1
        everything = await conversation.ask("fix everything in shop")
        assert len(everything.changes) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (prompts.denied(), "Denied without a reason"),
        (prompts.expired(), "Nobody decided in time"),
        (prompts.superseded("a later message of the user"), "a later message replaced it"),
        (prompts.stale("its replicas are now 5"), 'since the change was shown. The reason: "its replicas are now 5"'),
        (prompts.stopped(), "You stopped the run"),
        (prompts.unknown("no readable answer came"), "Whether it took effect is not known"),
        (
            prompts.failed(
                "c", "k8s_scale", "cluster a is marked :read [cluster_read_only, effect: none] Hint: set CLUSTERS=a"
            ),
            "Nothing was changed. `k8s_scale` failed: cluster a is marked :read. What to do: set CLUSTERS=a.",
        ),
        (
            prompts.not_run("c", "k8s_scale", "no such object [not_found, effect: none]"),
            "Nothing was changed. `k8s_scale` failed: no such object.",
        ),
        (prompts.failed("c", "k8s_scale", "it broke", "unknown"), "it broke. Its effects are not ruled out"),
    ],
)
async def test_outcome_of_a_change_is_reported(http: httpx.AsyncClient, content: str, expected: str) -> None:
    messages: list[JsonObject] = [{"role": "user", "content": "scale web to 5 in shop"}]
    messages = await with_results(http, messages, *workload_lists())
    messages = await with_results(http, messages, content)
    answer = str((await reply(http, messages))["content"])
    assert answer.endswith(SIGNATURE)
    assert expected in answer


def workload_lists() -> list[str]:
    """Return the results of the three lists in which a change looks for a workload."""
    none = "No {} in namespace shop."
    texts = [load_recording("shop").texts["get deployments"], none.format("statefulsets"), none.format("daemonsets")]
    return [prompts.frame_result("c", "k8s_get", text) for text in texts]


async def with_results(http: httpx.AsyncClient, messages: list[JsonObject], *contents: str) -> list[JsonObject]:
    """Append the model's next message and a result for each of its calls."""
    message = await reply(http, messages)
    calls = message["tool_calls"]
    assert isinstance(calls, list)
    ids = [call["id"] for call in calls if isinstance(call, dict)]
    results: list[JsonObject] = [
        {"role": "tool", "tool_call_id": each, "content": content} for each, content in zip(ids, contents, strict=True)
    ]
    return [*messages, message, *results]


async def test_edited_change_is_reported_as_it_ran(http: httpx.AsyncClient) -> None:
    messages: list[JsonObject] = [{"role": "user", "content": "scale web to 5 in shop"}]
    messages = await with_results(http, messages, *workload_lists())
    messages = await with_results(
        http, messages, prompts.frame_result("c", "k8s_scale", "Scaled deployment/web in shop from 3 to 4")
    )
    made = messages[-2]["tool_calls"]
    assert isinstance(made, list)
    made[0]["function"]["arguments"] = json.dumps(
        {"kind": "deployments", "name": "web", "namespace": "shop", "replicas": 4}
    )
    messages = await with_results(
        http, messages, prompts.frame_result("c", "k8s_rollout_status", COMPLETE.format("web"))
    )
    messages = await with_results(
        http, messages, prompts.frame_result("c", "k8s_get", load_recording("shop").texts["get pods"])
    )
    assert "from 3 to 4" in str((await reply(http, messages))["content"])


async def test_missing_tools_are_reported(http: httpx.AsyncClient) -> None:
    asked: list[JsonObject] = [{"role": "user", "content": "list pods in shop"}]
    assert "No tool is offered to me" in str((await reply(http, asked, ()))["content"])
    assert "`k8s_get` for this, which is not offered" in str((await reply(http, asked, ("other",)))["content"])


async def test_missing_change_tools_are_reported() -> None:
    async with open_recorded_conversation(load_recording("shop")) as conversation:
        conversation.offered = READS
        fixed = await conversation.ask("fix catalog")
    assert "I can't change anything: `k8s_patch` is not offered" in fixed.answer


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("no kubeconfig was found [no_cluster, effect: none] Hint: set KUBECONFIG", "What to do: set KUBECONFIG"),
        (
            "cluster a can't be reached: refused [api_unreachable, effect: none] Hint: check that the cluster is up",
            "is up",
        ),
        ("pods is forbidden [forbidden, effect: none] Hint: k8s_can_i tells", "Say which namespace to look in"),
    ],
)
async def test_tool_error_is_reported_with_its_hint(error: str, expected: str) -> None:
    for question in ("what is wrong?", "why is web failing?", "logs of web"):
        async with open_recorded_conversation(
            RecordedTools(dict.fromkeys(("get pods -A", "get deployments -A"), f"! {error}"))
        ) as conversation:
            assert expected in (await conversation.ask(question)).answer


async def test_cluster_is_asked_for_once_and_remembered() -> None:
    which = "! several clusters are allowed [which_cluster, effect: none] Hint: pass cluster: east, west"
    tools = RecordedTools({"get pods": which, "get pods -A": which})
    async with open_recorded_conversation(tools) as conversation:
        assert "`east`, `west`. Which one?" in (await conversation.ask("list pods in shop")).answer
        tools.texts = load_recording("shop").texts
        chosen = await conversation.ask("west")
        assert chosen.calls[0].arguments["cluster"] == "west"
        assert (await conversation.ask("what's wrong there?")).calls[0].arguments["cluster"] == "west"


async def test_name_in_two_namespaces_is_asked_back() -> None:
    tools = load_recording("shop")
    rows = tools.texts["get deployments -A"].splitlines()
    twin = next(line for line in rows if " web " in line).replace("shop ", "test ", 1)
    async with open_recorded_conversation(
        tools.with_outputs({"get deployments -A": "\n".join([*rows, twin])})
    ) as conversation:
        asked = await conversation.ask("restart web")
        assert "`web` is in 2 namespaces" in asked.answer
        assert asked.changes == []
        restarted = await conversation.ask("shop")
    assert restarted.changes[0].arguments == {"kind": "Deployment", "name": "web", "namespace": "shop"}


async def test_misspelled_name_is_offered_with_its_correct_spelling() -> None:
    async with open_recorded_conversation(shop_with_complete_rollout("catalog")) as conversation:
        asked = await conversation.ask("restart catalgo")
        assert "Did you mean the deployment `catalog` in `shop`?" in asked.answer
        assert asked.changes == []
        assert (await conversation.ask("yes")).changes[0].arguments["name"] == "catalog"


async def test_delete_needs_an_exact_name() -> None:
    async with open_recorded_conversation(load_recording("shop")) as conversation:
        for question in (
            "delete all pods in shop",
            "delete everything",
            "delete pod web",
            "delete cart",
            "kill nothing-like-it",
        ):
            assert (await conversation.ask(question)).changes == [], question
        deleted = await conversation.ask("delete service cart in shop")
    assert deleted.changes[0].arguments == {"kind": "services", "name": "cart", "namespace": "shop"}


async def test_off_topic_messages_get_the_capabilities() -> None:
    async with open_recorded_conversation(load_recording("shop")) as conversation:
        for question in (
            "write me a poem",
            "what is the weather?",
            "¿por qué falla la tienda?",
            "なぜ失敗するのか",
            "what is a pod?",
        ):
            asked = await conversation.ask(question)
            assert "I am the sandbox model" in asked.answer, question
            assert asked.calls == []


async def test_plan_stops_when_recorded_results_are_missing(http: httpx.AsyncClient) -> None:
    messages: list[JsonObject] = [{"role": "user", "content": "why is checkout failing in shop?"}]
    texts = load_recording("shop").texts
    lists = [
        prompts.frame_result("c", "k8s_get", texts[f"get {kind}"])
        for kind in ("pods", "deployments", "services", "endpointslices")
    ]
    messages = await with_results(http, messages, *lists)
    messages = await with_results(http, messages, *(["gone"] * 4))
    without_lists = [messages[0], *messages[6:]]
    message = await reply(http, without_lists)
    assert "no longer fits into the conversation" in str(message["content"])


async def test_engine_prompt_is_not_a_new_question(http: httpx.AsyncClient) -> None:
    asked: list[JsonObject] = [{"role": "user", "content": "list pods in shop"}]
    nudged = [*asked, {"role": "user", "content": prompts.empty_reply()}]
    first, second = await reply(http, asked), await reply(http, nudged)
    assert json.dumps(first["tool_calls"]).count("pods") == json.dumps(second["tool_calls"]).count("pods") == 1


async def test_huge_results_give_a_short_answer() -> None:
    rows = [f"shop       web-{number:05}  1/1    Running  0         2d" for number in range(20_000)]
    tools = RecordedTools({"get pods -A": "\n".join(["NAMESPACE  NAME       READY  STATUS   RESTARTS  AGE", *rows])})
    async with open_recorded_conversation(tools) as conversation:
        listed = await conversation.ask("list pods in all namespaces")
    assert len(listed.answer) < 5_000
    assert "more." in listed.answer or "cut" in listed.answer
