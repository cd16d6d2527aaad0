"""One run is one trace, across the engine and the real tool server, and holds no contents."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.api_user import ApiUser
from tests.support.app import make_settings, run_app, serve_on_port
from tests.support.model_script import Call, Reply, Rule, Script, Step, When
from tests.support.otlp_receiver import ReceivedSpan, otlp_receiver
from tests.support.ports import free_port
from tests.support.scripted_model import scripted_model_in_thread
from tests.support.waiting import PATIENCE, eventually

CANARY = "hunter2-of-the-traces"
KEY = "sk-traces-canary-0123456789"
SCALE = {"kind": "deployment", "name": "web", "namespace": "shop", "replicas": 5}
SCRIPT = Script(
    rules=[
        Rule(when=When(user="read", results=0), reply=Reply(steps=[Step(calls=[_read])]))
        for _read in [Call(name="k8s_get", arguments={"kind": "deployment", "name": CANARY, "namespace": "shop"})]
    ]
    + [
        Rule(
            when=When(user="scale", results=0),
            reply=Reply(steps=[Step(calls=[Call(name="k8s_scale", arguments=SCALE)])]),
        ),
        Rule(reply=Reply(steps=[Step(text=f"Done {CANARY}.")])),
    ]
)


@asynccontextmanager
async def open_engine(folder: Path, endpoint: str) -> AsyncIterator[ApiUser]:
    """Run an engine with the sandbox's cluster and the bundled tool server; both export their spans."""
    exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={CANARY}"}
    with scripted_model_in_thread(SCRIPT) as model:
        values: dict[str, Any] = {
            "mcp_server_url": None,
            "sandbox": "cluster",
            "local_mode": True,
            "llm_model": "openai/scripted",
            "llm_host": model.url,
            "environment": {"OPENAI_API_KEY": KEY, **exporting},
            "otel_exporter_otlp_endpoint": endpoint,
            "otel_exporter_otlp_headers": f"x-key={CANARY}",
        }
        async with (
            run_app(make_settings(folder, **values)) as app,
            serve_on_port(app.app) as address,
            httpx.AsyncClient(base_url=address, timeout=PATIENCE) as client,
        ):
            yield ApiUser(client)


@pytest.mark.promise("secrets")
async def test_one_trace_follows_a_run_into_the_tool_server(tmp_path: Path) -> None:
    with otlp_receiver() as received:
        async with open_engine(tmp_path, received.url) as me:
            await me.ask(f"read {CANARY}")
            asked = await me.ask(f"scale {CANARY}")
            assert asked.waiting
            done = await me.decide(asked, asked.waiting[0], reason=CANARY)
            assert done.last["status"] == "completed"
            await eventually(lambda: len(received.named("tools/call k8s_scale")) == 1, what="the tool server's spans")
        by_id = {span.id: span for span in received.spans}

        def path_of(span: ReceivedSpan) -> list[str]:
            above = by_id.get(span.parent)
            return [span.name, *([] if above is None else path_of(above))]

        [change] = received.named("tools/call k8s_scale")
        [read] = received.named("tools/call k8s_get")
        decision, chat = "POST /agent/approvals/{call_id}", "POST /agent/chat"
        assert path_of(change) == ["tools/call k8s_scale", "execute_tool k8s_scale", "invoke_agent skyflo", decision]
        assert path_of(read) == ["tools/call k8s_get", "execute_tool k8s_get", "invoke_agent skyflo", chat]
        assert {span.service for span in received.spans if span.trace == change.trace} == {
            "skyflo-engine",
            "skyflo-tools",
        }
        assert read.failed
        turns = received.named("chat openai/scripted")
        assert len(turns) == 4
        assert all(path_of(turn)[1] == "invoke_agent skyflo" for turn in turns)
        assert {"gen_ai.usage.output_tokens", "gen_ai.response.finish_reasons"} <= set(turns[0].attributes)
        assert by_id[by_id[change.parent].parent].attributes["skyflo.run.id"] == f'string_value: "{asked.run_id}"'
        assert set(received.headers) == {CANARY}
        sent = b"".join(received.bodies)
        assert [secret for secret in (CANARY, KEY, "replicas") if secret.encode() in sent] == []


async def test_receiver_that_is_down_does_not_disturb_a_run(tmp_path: Path) -> None:
    async with open_engine(tmp_path, f"http://127.0.0.1:{free_port()}") as me:
        answer = await me.ask("hello")
        assert answer.last["status"] == "completed"
