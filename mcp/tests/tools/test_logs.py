"""k8s_logs reads container logs."""

import json

import httpx2
import pytest
from cluster_namespace import KubeNamespace
from fault_proxy import FaultProxy
from tool_client import CallResult, ToolClient

from skyflo_common.jsontypes import JsonValue
from skyflo_tools.kubernetes import log_reader
from skyflo_tools.kubernetes.rendering import TEXT_BYTES
from skyflo_tools.tools import logs as logs_tool


async def test_logs_reads_one_or_several_pods(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment(replicas=2)
    await tool_client.read("k8s_rollout_status", name="web", namespace=namespace.name, wait_seconds=30)
    several = await tool_client.read("k8s_logs", label_selector="app=web", namespace=namespace.name, tail=3)
    assert len(several.data["logs"]) == 2
    name = several.data["logs"][0]["pod"]
    matching = await tool_client.read("k8s_logs", pod=name, namespace=namespace.name, tail=500, grep="LINE 49")
    assert all("line 49" in line for line in matching.data["logs"][0]["lines"])
    whole = await tool_client.read("k8s_logs", pod=name, namespace=namespace.name, tail=5000)
    assert whole.text.splitlines()[-1].startswith("line 500")
    assert whole.data["logs"][0]["complete"]
    refused = await tool_client.call("k8s_logs", {"pod": name, "namespace": namespace.name, "container": "none"})
    assert refused.has_error("bad_arguments")
    assert "its containers: app" in refused.text
    assert (await tool_client.call("k8s_logs", {"namespace": namespace.name})).has_error("bad_arguments")


@pytest.fixture
async def pod(tool_client: ToolClient, namespace: KubeNamespace) -> str:
    """The name of a running pod, whose log has 500 lines."""
    await namespace.create_deployment(replicas=1)
    await tool_client.read("k8s_rollout_status", name="web", namespace=namespace.name, wait_seconds=60)
    listed = await tool_client.read("k8s_get", kind="pods", namespace=namespace.name)
    return str(listed.data["rows"][0][0])


async def test_grep_looks_at_all_lines(tool_client: ToolClient, namespace: KubeNamespace, pod: str) -> None:
    arguments: dict[str, JsonValue] = {"pod": pod, "namespace": namespace.name}
    first = await tool_client.read("k8s_logs", **arguments, grep="line 1 ")
    assert len(first.data["logs"][0]["lines"]) == 1
    assert "1 of 500 lines match" in first.text
    either = await tool_client.read("k8s_logs", **arguments, grep="line 1 |LINE 2 |no such text")
    assert len(either.data["logs"][0]["lines"]) == 2
    nothing = await tool_client.read("k8s_logs", **arguments, grep="no such text")
    assert "none of the 500 lines contains 'no such text'; all were read" in nothing.text
    assert nothing.data["logs"][0]["complete"]
    last = await tool_client.read("k8s_logs", **arguments, grep="line", tail=2)
    assert [line.split()[1] for line in last.data["logs"][0]["lines"]] == ["499", "500"]
    assert "500 of 500 lines match, the last 2 are shown" in last.text


async def test_lines_beyond_the_tail_are_announced(tool_client: ToolClient, namespace: KubeNamespace, pod: str) -> None:
    arguments: dict[str, JsonValue] = {"pod": pod, "namespace": namespace.name}
    default = await tool_client.read("k8s_logs", **arguments)
    assert len(default.data["logs"][0]["lines"]) == 100
    assert "there are earlier lines: use a larger tail" in default.text
    assert not default.data["logs"][0]["complete"]
    exact = await tool_client.read("k8s_logs", **arguments, tail=500)
    assert "there are earlier lines" not in exact.text
    assert exact.data["logs"][0]["complete"]
    assert "earlier lines do not fit" in exact.text
    start = await tool_client.read("k8s_logs", **arguments, from_start=True, tail=3)
    assert [line.split()[1] for line in start.data["logs"][0]["lines"]] == ["1", "2", "3"]
    assert "there are later lines" in start.text


class FakeLogs:
    """Logs of any content, served in place of the kubelet's. `tailLines` and `sinceSeconds` are recorded."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.lines: list[str] = []
        self.replies: list[list[str]] = []
        """What the next requests get instead of `lines`."""
        self.queries: list[httpx2.QueryParams] = []
        proxy.answer = self._answer

    def _answer(self, _method: str, path: str, _headers: dict[str, str]) -> httpx2.Response | None:
        url = httpx2.URL(path)
        if url.path.endswith("/log"):
            self.queries.append(url.params)
            tail = int(url.params.get("tailLines", "1000000"))
            lines = self.replies.pop(0) if self.replies else self.lines
            text = "".join(f"{line}\n" for line in lines[-tail:])
            return httpx2.Response(200, text=text)
        if url.path.endswith("/pods"):
            return httpx2.Response(200, json={"items": [_pod(n) for n in range(12)]})
        return httpx2.Response(200, json=_pod(0)) if "/pods/" in url.path else None


def _pod(number: int) -> dict[str, object]:
    spec = {"initContainers": [{"name": "init"}], "containers": [{"name": "app"}]}
    return {"metadata": {"name": f"web-{number:02}", "namespace": "default"}, "spec": spec}


@pytest.fixture
def fake_logs(fault_proxy: FaultProxy) -> FakeLogs:
    return FakeLogs(fault_proxy)


async def test_every_pod_shows_at_least_its_last_line(proxied_client: ToolClient, fake_logs: FakeLogs) -> None:
    fake_logs.lines = [json.dumps({"level": "error", "number": n, "stack": "z" * 2600}) for n in range(5)]
    several = await proxied_client.read("k8s_logs", label_selector="app=web", namespace="default")
    assert len(several.text.encode()) < TEXT_BYTES * 1.5
    for log in several.data["logs"]:
        assert log["lines"], log
        assert '"number": 4' in log["lines"][-1]
        assert "characters cut]" in log["lines"][-1]
        assert log["left_out"] == 5 - len(log["lines"])
    assert several.data["left_out"] == ["web-10", "web-11"]
    assert "not read, 2 more: web-10, web-11" in several.text
    assert "lines do not fit" in several.text


async def test_short_logs_leave_their_space_to_long_ones(proxied_client: ToolClient, fake_logs: FakeLogs) -> None:
    fake_logs.lines = ["a" * 100] * 120
    both = await proxied_client.read("k8s_logs", pod="web-00", namespace="default", all_containers=True, tail=120)
    kept = [len(log["lines"]) for log in both.data["logs"]]
    assert kept[0] == kept[1] > 70


async def test_cut_line_says_so_and_shows_what_was_searched(proxied_client: ToolClient, fake_logs: FakeLogs) -> None:
    fake_logs.lines = ["a" * 5000 + " needle " + "b" * 3000]
    arguments: dict[str, JsonValue] = {"pod": "web-00", "namespace": "default"}
    plain = only_line(await proxied_client.read("k8s_logs", **arguments))
    assert plain == "a" * 2000 + " … [6008 characters cut]"
    found = only_line(await proxied_client.read("k8s_logs", **arguments, grep="Needle"))
    assert " needle " in found
    assert found.startswith("[")
    assert found.endswith("characters cut]")
    whole = only_line(await proxied_client.read("k8s_logs", **arguments, line_characters=15_000))
    assert whole == fake_logs.lines[0]


def only_line(result: CallResult) -> str:
    (line,) = result.data["logs"][0]["lines"]
    return str(line)


async def test_line_separators_of_other_kinds_do_not_split_lines(
    proxied_client: ToolClient, fake_logs: FakeLogs
) -> None:
    fake_logs.lines = ["one\x0bstill one\u2028still", "10 %\r20 %\r"]
    log = (await proxied_client.read("k8s_logs", pod="web-00", namespace="default")).data["logs"][0]
    assert log["lines"] == ["one\x0bstill one\u2028still", "10 %\r20 %"]


async def test_newest_lines_of_a_log_beyond_the_bound_are_read(
    proxied_client: ToolClient, fake_logs: FakeLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs_tool, "READ_BYTES", 1024 * 1024)
    fake_logs.lines = ["ERROR first", *(f"heartbeat {n} {'x' * 90}" for n in range(30_000)), "ERROR last"]
    arguments: dict[str, JsonValue] = {"pod": "web-00", "namespace": "default"}
    found = await proxied_client.read("k8s_logs", **arguments, grep="error")
    log = found.data["logs"][0]
    assert log["lines"] == ["ERROR last"]
    assert not log["complete"]
    assert f"only its newest {log['read']} lines were read; from_start with since_seconds reads others" in found.text
    assert "at least 1 of" in found.text
    start = await proxied_client.read("k8s_logs", **arguments, grep="error", from_start=True)
    assert start.data["logs"][0]["lines"] == ["ERROR first"]
    assert "reading stopped after" in start.text
    nothing = await proxied_client.read("k8s_logs", **arguments, grep="absent")
    assert "in the part that was read" in nothing.text
    assert "none of" not in nothing.text


async def test_last_lines_are_the_newest_however_long_they_are(
    proxied_client: ToolClient, fake_logs: FakeLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs_tool, "READ_BYTES", 1024 * 1024)
    fake_logs.lines = [f"{n} {'x' * 10_000}" for n in range(300)]
    read = await proxied_client.read("k8s_logs", pod="web-00", namespace="default", tail=250)
    assert read.data["logs"][0]["lines"][-1].startswith("299 ")


async def test_lost_connection_is_named(
    proxied_client: ToolClient, fault_proxy: FaultProxy, fake_logs: FakeLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reader, "READ_SECONDS", 0.5)
    fault_proxy.choose_fault = lambda _method, path: "hang_before" if "/log" in path else "forward"
    slow = await proxied_client.read("k8s_logs", pod="web-00", namespace="default")
    assert "reading took longer than" in slow.text
    assert "no lines in the part that was read" in slow.text
    fault_proxy.choose_fault = lambda _method, path: "drop_after" if "/log" in path else "forward"
    lost = await proxied_client.read("k8s_logs", pod="web-00", namespace="default")
    assert "did not respond" in lost.data["logs"][0]["problem"]


async def test_unreadable_log_is_not_an_empty_search(
    proxied_client: ToolClient, fake_logs: FakeLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kubelet answers with this line and status 200 if the container's log file is gone."""
    monkeypatch.setattr("skyflo_tools.tools.logs.RESTART_SECONDS", 0.01)
    fake_logs.lines = ["unable to retrieve container logs for containerd://abc"]
    result = await proxied_client.read("k8s_logs", pod="web-00", namespace="default", grep="error")
    assert result.data["logs"][0]["problem"] == fake_logs.lines[0]


async def test_log_of_a_restarting_container_is_read_again(
    proxied_client: ToolClient, fake_logs: FakeLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skyflo_tools.tools.logs.RESTART_SECONDS", 0.01)
    gone, after = ["unable to retrieve container logs for containerd://abc"], ["fatal: no settings"]
    fake_logs.replies = [gone, gone, after]
    result = await proxied_client.read("k8s_logs", pod="web-00", namespace="default")
    assert result.data["logs"][0]["lines"] == after


async def test_no_lines_names_its_time_range(proxied_client: ToolClient, fake_logs: FakeLogs) -> None:
    arguments: dict[str, JsonValue] = {"pod": "web-00", "namespace": "default"}
    nothing = await proxied_client.read("k8s_logs", **arguments)
    assert nothing.text.startswith("== web-00 app: no lines\n… nothing was written, or the log file was rotated")
    recent = await proxied_client.read("k8s_logs", **arguments, since_seconds=60)
    assert recent.text == "== web-00 app: no lines in the last 60 s"
    assert fake_logs.queries[-1]["sinceSeconds"] == "60"


async def test_selector_without_pods_says_so(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    result = await tool_client.read("k8s_logs", label_selector="app=none", namespace=namespace.name)
    assert result.text == f"No pods match 'app=none' in namespace {namespace.name}."
