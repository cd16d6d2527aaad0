"""Events of both event APIs are parsed, ordered and matched with objects."""

import pytest

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.kubernetes.events import (
    Event,
    WarningEvents,
    format_event,
    format_warnings,
    latest_of_each_kind,
    parse_event,
)
from skyflo_tools.kubernetes.objects import KubeObject


def event(**fields: object) -> Event:
    body: JsonObject = {
        "metadata": {"namespace": "shop", "creationTimestamp": "2026-11-29T01:00:00Z", "resourceVersion": "7"},
        "involvedObject": {"kind": "Pod", "name": "web", "uid": "u1"},
        "reason": "Failed",
        "type": "Warning",
        "message": "a message",
    }
    return parse_event(body | fields)  # type: ignore[arg-type,operator]


@pytest.mark.parametrize(
    ("fields", "last", "count"),
    [
        ({"lastTimestamp": "2026-11-29T02:00:00Z", "count": 3}, "2026-11-29T02:00:00", 3),
        ({"eventTime": "2026-11-29T02:00:00.123456Z", "lastTimestamp": None}, "2026-11-29T02:00:00", 1),
        (
            {
                "eventTime": "2026-11-29T02:00:00.1Z",
                "series": {"count": 9, "lastObservedTime": "2026-11-29T03:00:00.000001Z"},
            },
            "2026-11-29T03:00:00",
            9,
        ),
        ({"firstTimestamp": "2026-11-29T02:00:00Z", "lastTimestamp": None}, "2026-11-29T02:00:00", 1),
        ({}, "2026-11-29T01:00:00", 1),
    ],
)
def test_time_and_count_are_those_of_the_latest_occurrence(fields: JsonObject, last: str, count: int) -> None:
    parsed = event(**fields)
    assert (parsed.last, parsed.count) == (last, count)


def test_events_of_one_second_are_ordered_by_fraction_and_version() -> None:
    def version(number: int) -> JsonObject:
        return {"resourceVersion": str(number)}

    plain = event(lastTimestamp="2026-11-29T02:00:00Z", metadata=version(9))
    newer = event(lastTimestamp="2026-11-29T02:00:00Z", metadata=version(10))
    fraction = event(eventTime="2026-11-29T02:00:00.000001Z", metadata=version(1))
    assert sorted([fraction, newer, plain], key=lambda each: each.order) == [plain, newer, fraction]


def test_warnings_about_an_earlier_object_of_the_same_name_are_not_shown() -> None:
    pod = KubeObject({"kind": "Pod", "metadata": {"name": "web", "namespace": "shop", "uid": "u1"}})
    mine, earlier = event(message="mine"), event(involvedObject={"kind": "Pod", "name": "web", "uid": "u0"})
    without_uid = event(
        involvedObject={"kind": "Pod", "name": "web"}, reason="FailedMount", lastTimestamp="2026-11-29T02:00:00Z"
    )
    elsewhere = event(
        involvedObject={"kind": "Pod", "name": "web"}, metadata={"namespace": "other"}, reason="FailedMount"
    )
    assert WarningEvents([mine, earlier, elsewhere, without_uid]).about(pod) == [without_uid, mine]


def test_the_cause_of_a_failed_pull_is_not_hidden_by_a_later_warning_of_the_same_reason() -> None:
    cause = event(message='Failed to pull image "web:1": no such host', lastTimestamp="2026-11-29T02:00:00Z")
    repeated = event(message="Error: ErrImagePull", lastTimestamp="2026-11-29T02:00:01Z")
    later = event(message="Error: ImagePullBackOff", lastTimestamp="2026-11-29T02:00:02Z")
    assert latest_of_each_kind([cause, repeated, later]) == [later, cause]


def test_warnings_that_are_not_shown_are_counted() -> None:
    many = [event(reason=f"Reason{number}") for number in range(5)]
    assert len(format_warnings(many)) == 4
    assert format_warnings(many)[-1] == "… 2 more kinds of warnings, k8s_events shows them"


def test_a_message_of_several_lines_stays_on_its_line() -> None:
    line = format_event(event(message="first\nObject:\nlast", count=2))
    assert line == "2026-11-29T01:00:00 Warning Failed shop/pod/web: first Object: last (x2)"
