"""Label and field selectors."""

import pytest

from skyflo_sandbox.cluster.kinds import CONFIG_MAP, EVENT, NODE, POD
from skyflo_sandbox.cluster.selectors import by_fields, by_labels
from skyflo_sandbox.cluster.statuses import Refused
from skyflo_sandbox.jsontypes import JsonObject


def labelled(**labels: str) -> JsonObject:
    return {"metadata": {"name": "x", "labels": dict(labels)}}


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier!=back", True),
        ("app in (api, web),!old", True),
        ("tier", True),
        ("tier notin (front,)", False),
        ("none notin (a)", True),
        ("none in ()", False),
        ("size>8,size<10", True),
        ("tier>1", False),
        ("app=", False),
    ],
)
def test_labels_are_matched(selector: str, fits: bool) -> None:
    assert by_labels(selector)(labelled(app="web", tier="front", size="9")) is fits


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
    ],
)
def test_a_label_selector_that_cant_be_read_says_where(selector: str, message: str) -> None:
    with pytest.raises(Refused) as refused:
        by_labels(selector)
    assert (refused.value.code, str(refused.value)) == (400, message)


def test_fields_are_matched() -> None:
    body: JsonObject = {"metadata": {"name": "a=b"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    assert by_fields("spec.nodeName=n,status.phase!=Failed", POD)(body)
    assert by_fields(r"metadata.name=a\=b", POD)(body)
    assert not by_fields("status.phase!=Running", POD)(body)
    assert by_fields("spec.unschedulable=false", NODE)({"spec": {}})
    assert by_fields("source=kubelet,involvedObject.kind=Pod", EVENT)(
        {"source": {"component": "kubelet"}, "involvedObject": {"kind": "Pod"}}
    )


def test_a_field_that_is_no_selector_is_named() -> None:
    with pytest.raises(Refused, match=r"field label not supported: spec\.replicas"):
        by_fields("spec.replicas=1", POD)
    with pytest.raises(Refused, match=r'"status\.phase" is not a known field selector: only "metadata\.name"'):
        by_fields("status.phase=x", CONFIG_MAP)
