"""The Prometheus tools ask a real server, and say what is left out, what is broken and what can't be reached."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fastmcp.client import Client
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from tool_client import ToolClient, open_tool_client, settings_for

from skyflo_common.jsontypes import JsonObject, objects_at
from skyflo_tools.prometheus.models import Sample
from skyflo_tools.prometheus.summaries import summarize
from skyflo_tools.tools import prometheus_queries, prometheus_state
from tests.support.http_threads import serve_in_thread
from tests.support.waiting import eventually


@pytest.fixture
async def client(prometheus_url: str, tmp_path: Path) -> AsyncIterator[ToolClient]:
    settings = settings_for(tmp_path / "none", "", tmp_path, prometheus_url=prometheus_url)
    async with open_tool_client(settings) as client:
        yield client


async def test_query_returns_a_value_for_each_series(client: ToolClient) -> None:
    async def has_scraped() -> bool:
        found = await client.read("prometheus_query", query='up{job="itself"}')
        return [each["value"] for each in objects_at(found.data, "values")] == ["1"]

    await eventually(has_scraped, what="the first scrape")
    single = await client.read("prometheus_query", query="1/0", time="2026-01-01T00:00:00Z")
    assert single.text == "value = +Inf (2026-01-01T00:00:00Z)"
    last = await client.read("prometheus_query", query='up{job="itself"}[1m]')
    assert "(last of " in last.text
    none = await client.read("prometheus_query", query="no_such_metric")
    assert "No series: nothing matches" in none.text


async def test_range_is_summarized_by_series(client: ToolClient) -> None:
    query = 'label_replace(vector(time()), "of", "time", "", "") or label_replace(vector(7), "of", "seven", "", "")'
    found = await client.read(
        "prometheus_query_range", query=query, range_seconds=600, end="2026-01-01T00:10:00Z", step_seconds=60
    )
    flat, rising = objects_at(found.data, "series")
    assert (rising["series"], rising["samples"], rising["min"]) == ('{of="time"}', 11, "1767225600")
    assert (flat["last"], flat["mean"], flat["trend"]) == ("7", "7", "flat")
    assert found.data["start"] == "2026-01-01T00:00:00Z"
    wide = await client.read("prometheus_query_range", query="vector(1)", range_seconds=86_400, step_seconds=1)
    assert wide.data["step_seconds"] == 288
    assert "the step is 288 s, not 1 s: a range has at most 300 points" in wide.text
    assert len(objects_at(wide.data, "series")[0]["points"]) <= 301  # type: ignore[arg-type]


@pytest.mark.promise("bounded")
async def test_what_is_left_out_is_said(client: ToolClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def has_series() -> bool:
        return bool((await client.read("prometheus_series", match='{job="itself"}')).data["total"])

    await eventually(has_series, what="series of the first scrape")
    monkeypatch.setattr(prometheus_queries, "MAX_SERIES", 2)
    found = await client.read("prometheus_query", query='{job="itself"}')
    assert len(objects_at(found.data, "values")) == 2
    assert f"{int(str(found.data['total'])) - 2} of {found.data['total']} series are not shown" in found.text
    series = await client.read("prometheus_series", match='{job="itself"}')
    assert "series are not shown" in series.text
    monkeypatch.setattr(prometheus_state, "MAX_SHOWN", 1)

    async def has_rules() -> bool:
        return (await client.read("prometheus_rules", search="shop")).data["total"] == 3

    await eventually(has_rules, what="the rules")
    assert "2 more entries are not shown: narrow with search" in (await client.read("prometheus_rules")).text
    monkeypatch.setattr("skyflo_tools.prometheus.client.MAX_RESPONSE_BYTES", 100)
    assert (await client.call("prometheus_query", {"query": '{job="itself"}'})).has_error("answer_too_large")


async def test_alerts_rules_and_targets_show_trouble_first(client: ToolClient) -> None:
    async def is_firing() -> bool:
        return (await client.read("prometheus_alerts")).data["firing"] == 1

    await eventually(is_firing, what="the alert")
    alerts = await client.read("prometheus_alerts")
    first, second = objects_at(alerts.data, "alerts")
    assert (first["name"], first["text"]) == ("ShopDown", "no orders in shop")
    assert (second["name"], second["state"]) == ("ShopSlow", "pending")
    only = await client.read("prometheus_alerts", search="SHOPSLOW")
    assert [each["name"] for each in objects_at(only.data, "alerts")] == ["ShopSlow"]
    rules = await client.read("prometheus_rules")
    assert [each["name"] for each in objects_at(rules.data, "rules")] == ["ShopDown", "ShopSlow", "shop:orders"]
    targets = await client.read("prometheus_targets")
    assert targets.data["jobs"] == {"shop": "0/1", "itself": "1/1"}
    assert "down: shop 127.0.0.1:1" in targets.text
    assert "connection refused" in targets.text
    none = await client.read("prometheus_targets", search="no such job")
    assert none.text == "No active target matches."
    assert isinstance(client.client, Client)
    schemas = {tool.name: tool.output_schema for tool in await client.client.list_tools()}
    answers = {"prometheus_alerts": alerts, "prometheus_rules": rules, "prometheus_targets": targets}
    answers["prometheus_query"] = await client.read("prometheus_query", query="up")
    answers["prometheus_query_range"] = await client.read("prometheus_query_range", query="up")
    answers["prometheus_series"] = await client.read("prometheus_series", match="up")
    for name, answer in answers.items():
        assert [each.message for each in Draft202012Validator(schemas[name]).iter_errors(answer.data)] == [], name


async def test_wrong_questions_get_the_servers_own_words(client: ToolClient) -> None:
    refused = await client.call("prometheus_query", {"query": "sum(up"})
    assert refused.has_error("bad_query")
    assert "unclosed left parenthesis" in refused.text
    assert (await client.call("prometheus_query", {"query": "up", "time": "soon"})).has_error("bad_arguments")
    many = await client.call("prometheus_query", {"query": "up * on() group_left() {__name__=~'.+'}"})
    assert many.has_error("prometheus_refused")


@contextmanager
def answering(status: int, body: str) -> Iterator[tuple[str, list[str]]]:
    """Serve one answer to every request. Yields the address and the Authorization headers that came."""
    headers: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers.append(self.headers.get("Authorization", ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_arguments: object) -> None:
            """Keep the test's output free of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serve_in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}/prom/", headers


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(
    ("sign_in", "header"),
    [
        ({"prometheus_token": "canary-token-4711"}, "Bearer canary-token-4711"),
        ({"prometheus_username": "kim", "prometheus_password": "canary-4711"}, "Basic a2ltOmNhbmFyeS00NzEx"),
        ({}, ""),
    ],
)
async def test_credentials_are_sent_and_never_shown(sign_in: dict[str, object], header: str, tmp_path: Path) -> None:
    echoed = '{"status": "error", "errorType": "execution", "error": "canary-token-4711 canary-4711"}'
    with answering(422, echoed) as (url, headers):
        settings = settings_for(tmp_path / "none", "", tmp_path, prometheus_url=url, **sign_in)
        async with open_tool_client(settings) as client:
            refused = await client.call("prometheus_query", {"query": "up"})
    assert headers == [header]
    assert refused.has_error("prometheus_refused")
    for secret in map(str, sign_in.values()):
        assert secret == "kim" or secret not in refused.text + repr(settings)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, "", "prometheus_unauthorized"),
        (302, "", "prometheus_unreadable"),
        (200, "<html>sign in</html>", "prometheus_unreadable"),
        (200, '{"status": "success", "data": {"resultType": "vector", "result": 3}}', "prometheus_unreadable"),
        (503, '{"status": "error", "errorType": "timeout", "error": "query timed out"}', "query_timeout"),
    ],
)
async def test_other_answers_are_errors_and_not_empty_results(
    status: int, body: str, code: str, tmp_path: Path
) -> None:
    with answering(status, body) as (url, _):
        async with open_tool_client(settings_for(tmp_path / "none", "", tmp_path, prometheus_url=url)) as client:
            assert (await client.call("prometheus_query", {"query": "up"})).has_error(code)
    async with open_tool_client(
        settings_for(tmp_path / "none", "", tmp_path / "2", prometheus_url="http://127.0.0.1:1")
    ) as client:
        assert (await client.call("prometheus_query", {"query": "up"})).has_error("prometheus_unreachable")


@pytest.mark.parametrize(
    "wrong",
    [
        {"prometheus_url": "ftp://prometheus"},
        {"prometheus_url": "http://kim:secret@prometheus"},
        {"prometheus_token": "t", "prometheus_username": "kim"},
    ],
)
def test_contradicting_settings_are_refused(wrong: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        settings_for(tmp_path / "none", "", tmp_path, **wrong)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2", "3", "4"], {"last": "4", "min": "1", "max": "4", "mean": "2.5", "trend": "rising by 300%"}),
        (["4", "3", "2", "0"], {"last": "0", "trend": "falling by 100%"}),
        (["NaN", "5"], {"min": "5", "trend": "too few samples for a trend, 1 samples are NaN"}),
        (["1", "+Inf", "1", "1", "1"], {"max": "+Inf", "mean": "1", "trend": "flat"}),
        (["0", "0", "0", "5"], {"trend": "rising"}),
        ([], {"last": "none", "min": "NaN", "mean": "NaN"}),
    ],
)
def test_series_are_summarized_without_what_is_no_number(values: list[str], expected: JsonObject) -> None:
    samples: list[Sample] = [(float(at), value) for at, value in enumerate(values)]
    summary = summarize("up", samples, with_points=True).model_dump()
    assert {key: summary[key] for key in expected} == expected
    assert len(summary["points"]) == len(values)
