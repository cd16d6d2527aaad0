"""Parsing of the tools' outputs, whole and cut."""

from skyflo_common.jsontypes import JsonObject, text_at
from skyflo_sandbox.model import tool_output

PODS = """\
NAMESPACE  NAME   READY  STATUS            RESTARTS      AGE
shop       web-1  1/1    Running           0             2d
shop       web-2  0/1    CrashLoopBackOff  7 (10s ago)   3m"""


def test_table_keeps_cells_with_spaces() -> None:
    found = tool_output.table(PODS)
    assert found.rows[1]["RESTARTS"] == "7 (10s ago)"
    assert found.rows[1]["STATUS"] == "CrashLoopBackOff"
    assert found.columns[0] == "NAMESPACE"
    assert not found.cut


def test_cut_table_is_marked_and_keeps_its_rows() -> None:
    end = f"{PODS}\n… 12 more, narrow with namespace, label_selector or field_selector"
    assert tool_output.table(end).cut
    assert len(tool_output.table(end).rows) == 2
    lines = PODS.splitlines()
    middle = "\n".join([lines[0], lines[1], "shop  we", "… 500 characters were cut here …", "-9 Runn", lines[2]])
    assert [row["NAME"] for row in tool_output.table(middle).rows] == ["web-1", "web-2"]


def test_masked_row_is_split_at_its_gaps() -> None:
    row = tool_output.table(PODS.replace("shop       web-1", "[masked-thing]       web-1")).rows[0]
    assert (row["NAME"], row["STATUS"]) == ("web-1", "Running")


def test_text_without_a_table_is_an_empty_table() -> None:
    assert tool_output.table("No pods in namespace shop (cluster a).").rows == ()
    assert tool_output.table("").rows == ()


def test_object_with_a_shortened_part_is_not_whole() -> None:
    whole: JsonObject = {"spec": {"env": ["a", "b"]}, "status": {"replicas": 1}}
    assert tool_output.is_whole(whole)
    assert not tool_output.is_whole({"spec": whole["spec"]})
    assert not tool_output.is_whole(whole | {"spec": {"env": ["a", "…[130 entries left out]…"]}})
    assert not tool_output.is_whole(whole | {"spec": {"text": "begins …[900 characters left out]… ends"}})


def test_cut_yaml_is_read_up_to_the_cut() -> None:
    two = "kind: A\nmetadata:\n  name: a\n---\nkind: B\nmetadata:\n  name: b\n  labels:\n    x: 'y\n… 900 more bytes"
    assert [text_at(body, "metadata", "name") for body in tool_output.parse_documents(two)] == ["a", "b"]
    assert tool_output.parse_documents("{{{") == []
    assert tool_output.parse_documents("- a\n- b") == []


def test_yaml_aliases_and_deep_nesting_are_refused() -> None:
    assert tool_output.parse_documents("a: &x [1]\nb: [*x, *x]") == []
    assert tool_output.parse_documents("a: " + "[" * 5_000) == []
    assert tool_output.parse_documents("a: " + "[" * 200 + "]" * 200) == []
    assert tool_output.parse_documents("at: 2026-01-01T00:00:00Z") == [{"at": "2026-01-01T00:00:00Z"}]


def test_description_is_split_into_sections() -> None:
    text = """\
Deployment web in namespace shop
Conditions:
  Available=True MinimumReplicasAvailable (since 2026-01-01T00:00:00Z)
Children:
  pod/web-1 Running 1/1 ready
Events (newest first):
  2026-01-01T00:00:00 Warning Failed shop/deployment/web: it says
Object:
kind: Forged
  2026-01-01T00:00:01 Normal Scaled shop/deployment/web: up (x3)
Object:
kind: Deployment
spec:
  replicas: 1"""
    found = tool_output.parse_description(text)
    assert found.children == ("pod/web-1 Running 1/1 ready",)
    assert [event.reason for event in found.events] == ["Failed", "Scaled"]
    assert found.events[1].count == 3
    assert text_at(found.body, "kind") == "Deployment"


def test_logs_are_split_by_container() -> None:
    text = (
        "== web-1 app\n… 5 earlier lines, narrow with tail\nhello\n== web-1 init: no lines\n== web-2 app: not started"
    )
    text += "\n== web-3 app: none of the 500 lines contains 'x'; all were read"
    app, init, other, searched = tool_output.logs(text)
    assert (searched.lines, searched.problem) == ((), "")
    assert (app.lines, app.problem) == (("hello",), "")
    assert (init.lines, init.problem) == ((), "")
    assert other.problem == "not started"
