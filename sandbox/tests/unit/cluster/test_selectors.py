"""Label and field selectors."""

import pytest

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.cluster.errors import ApiError
from skyflo_sandbox.cluster.kinds import CONFIG_MAP, EVENT, NODE, POD
from skyflo_sandbox.cluster.selectors import field_filter, label_filter


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
def test_label_selector_matches(selector: str, fits: bool) -> None:
    assert label_filter(selector)(labelled(app="web", tier="front", size="9")) is fits


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
def test_label_selector_error_names_token(selector: str, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        label_filter(selector)
    assert (refused.value.code, str(refused.value)) == (400, message)


def test_field_selector_matches() -> None:
    body: JsonObject = {"metadata": {"name": "a=b"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    assert field_filter("spec.nodeName=n,status.phase!=Failed", POD)(body)
    assert field_filter(r"metadata.name=a\=b", POD)(body)
    assert not field_filter("status.phase!=Running", POD)(body)
    assert field_filter("spec.unschedulable=false", NODE)({"spec": {}})
    assert field_filter("source=kubelet,involvedObject.kind=Pod", EVENT)(
        {"source": {"component": "kubelet"}, "involvedObject": {"kind": "Pod"}}
    )


def test_unsupported_field_is_named() -> None:
    with pytest.raises(ApiError, match=r"field label not supported: spec\.replicas"):
        field_filter("spec.replicas=1", POD)
    with pytest.raises(ApiError, match=r'"status\.phase" is not a known field selector: only "metadata\.name"'):
        field_filter("status.phase=x", CONFIG_MAP)
