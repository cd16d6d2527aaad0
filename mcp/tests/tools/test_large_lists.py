"""A namespace of 2,000 pods and 10,000 events: bounded answers that say what is left out."""

from collections.abc import Callable, Sequence

import httpx2
import pytest
from fault_proxy import FaultProxy
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.kubernetes.rendering import TEXT_BYTES

PODS = 2000
EVENTS = 10_000
STARTED = "2026-11-01T00:00:00Z"
COLUMNS = [{"name": name, "type": "string", "priority": 0} for name in ("Name", "Ready", "Status", "Restarts", "Age")]


def pod(number: int) -> JsonObject:
    is_broken = number % 100 == 7
    waiting: JsonObject = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
    running: JsonObject = {"running": {"startedAt": STARTED}}
    status: JsonObject = {
        "name": "app",
        "ready": not is_broken,
        "restartCount": 9 if is_broken else 0,
        "image": "web:1",
    }
    return {
        "metadata": {
            "name": f"web-{number:05}",
            "namespace": "large",
            "uid": f"u{number}",
            "creationTimestamp": STARTED,
        },
        "spec": {"containers": [{"name": "app", "image": "web:1"}], "nodeName": f"node-{number % 50}"},
        "status": {
            "phase": "Running",
            "containerStatuses": [{**status, "state": waiting if is_broken else running}],
        },
    }


def row(number: int) -> JsonObject:
    body = pod(number)
    state = "CrashLoopBackOff" if number % 100 == 7 else "Running"
    return {"cells": [f"web-{number:05}", "1/1", state, "0", "28d"], "object": body}


def event(number: int) -> JsonObject:
    second = f"2026-11-{1 + number % 28:02}T{number // 420:02}:{number % 60:02}:00Z"
    return {
        "metadata": {"name": f"e{number:05}", "namespace": "large", "uid": f"e{number}", "creationTimestamp": second},
        "involvedObject": {"kind": "Pod", "name": f"web-{number % PODS:05}", "namespace": "large"},
        "type": "Warning" if number % 3 == 0 else "Normal",
        "reason": "BackOff" if number % 3 == 0 else "Pulled",
        "message": f"event {number}",
        "firstTimestamp": second,
        "lastTimestamp": second,
        "count": 1,
    }


class LargeNamespace:
    """Answers lists page by page in place of the API server, and counts the pages."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.pages = 0
        proxy.answer = self._answer

    def _answer(self, _method: str, path: str, headers: dict[str, str]) -> httpx2.Response | None:
        url = httpx2.URL(path)
        if url.path.endswith("/namespaces/large/events"):
            return self._page(url, EVENTS, event, "EventList", "items")
        if url.path.endswith("/namespaces/large/pods"):
            if "as=Table" in headers.get("accept", ""):
                return self._page(url, PODS, row, "Table", "rows")
            return self._page(url, PODS, pod, "PodList", "items")
        return None

    def _page(
        self, url: httpx2.URL, total: int, make: Callable[[int], JsonObject], kind: str, field: str
    ) -> httpx2.Response:
        self.pages += 1
        start = int(url.params.get("continue", "0"))
        limit = min(int(url.params.get("limit", "0")) or total, total - start)
        after: JsonObject = {"continue": str(start + limit), "remainingItemCount": total - start - limit}
        items: Sequence[JsonObject] = [make(number) for number in range(start, start + limit)]
        metadata: JsonObject = {"resourceVersion": "1", **(after if start + limit < total else {})}
        version = "meta.k8s.io/v1" if kind == "Table" else "v1"
        columns = {"columnDefinitions": COLUMNS} if kind == "Table" else {}
        return httpx2.Response(
            200, json={"kind": kind, "apiVersion": version, "metadata": metadata, **columns, field: items}
        )


@pytest.fixture
def large(fault_proxy: FaultProxy) -> LargeNamespace:
    return LargeNamespace(fault_proxy)


@pytest.mark.promise("bounded")
async def test_list_of_2000_pods_is_a_page_that_counts_the_others(
    proxied_client: ToolClient, large: LargeNamespace
) -> None:
    found = await proxied_client.read("k8s_get", kind="pods", namespace="large")
    shown = len(found.data["rows"])
    assert 0 < shown <= 100
    assert found.data["more"] == PODS - shown
    assert f"… {PODS - shown} more" in found.text
    assert "which gives a cursor" in found.text
    assert len(found.text.encode()) < TEXT_BYTES * 2
    page = await proxied_client.read("k8s_get", kind="pods", namespace="large", limit=20)
    assert (len(page.data["rows"]), page.data["more"]) == (20, PODS - 20)
    rest = await proxied_client.read("k8s_get", kind="pods", namespace="large", limit=20, cursor=page.data["cursor"])
    assert rest.data["rows"][0][0] == "web-00020"


@pytest.mark.promise("bounded")
async def test_newest_of_10000_events_are_shown_and_the_others_counted(
    proxied_client: ToolClient, large: LargeNamespace
) -> None:
    found = await proxied_client.read("k8s_events", namespace="large")
    last = [each["last"] for each in found.data["events"]]
    newest = max(str(event(number)["lastTimestamp"]) for number in range(EVENTS))
    assert last[-1].startswith(newest.removesuffix("Z"))
    assert last == sorted(last)
    assert found.data["left_out"] + len(last) == EVENTS
    assert len(found.text.encode()) < TEXT_BYTES * 2
    assert large.pages <= EVENTS // 500 + 5
