"""The tools' texts, read as they are and as they are cut."""

from skyflo_sandbox.jsontypes import text_at
from skyflo_sandbox.model import reading

PODS = """\
NAMESPACE  NAME   READY  STATUS            RESTARTS      AGE
shop       web-1  1/1    Running           0             2d
shop       web-2  0/1    CrashLoopBackOff  7 (10s ago)   3m"""


def test_a_table_keeps_cells_with_spaces_whole() -> None:
    found = reading.table(PODS)
    assert found.rows[1]["RESTARTS"] == "7 (10s ago)"
    assert found.rows[1]["STATUS"] == "CrashLoopBackOff"
    assert found.columns[0] == "NAMESPACE"
    assert not found.cut


def test_a_table_that_was_cut_says_so_and_loses_no_other_row() -> None:
    end = f"{PODS}\n… 12 more, narrow with namespace, label_selector or field_selector"
    assert reading.table(end).cut
    assert len(reading.table(end).rows) == 2
    lines = PODS.splitlines()
    middle = "\n".join([lines[0], lines[1], "shop  we", "… 500 characters were cut here …", "-9 Runn", lines[2]])
    assert [row["NAME"] for row in reading.table(middle).rows] == ["web-1", "web-2"]


def test_a_row_that_was_masked_after_alignment_is_read_by_its_gaps() -> None:
    row = reading.table(PODS.replace("shop       web-1", "[masked-thing]       web-1")).rows[0]
    assert (row["NAME"], row["STATUS"]) == ("web-1", "Running")


def test_no_table_is_an_empty_one() -> None:
    assert reading.table("No pods in namespace shop (cluster a).").rows == ()
    assert reading.table("").rows == ()


def test_yaml_is_read_as_far_as_it_goes() -> None:
    two = "kind: A\nmetadata:\n  name: a\n---\nkind: B\nmetadata:\n  name: b\n  labels:\n    x: 'y\n… 900 more bytes"
    assert [text_at(body, "metadata", "name") for body in reading.documents(two)] == ["a", "b"]
    assert reading.documents("{{{") == []
    assert reading.documents("- a\n- b") == []


def test_yaml_can_not_grow_or_dig() -> None:
    assert reading.documents("a: &x [1]\nb: [*x, *x]") == []
    assert reading.documents("a: " + "[" * 5_000) == []
    assert reading.documents("a: " + "[" * 200 + "]" * 200) == []
    assert reading.documents("at: 2026-01-01T00:00:00Z") == [{"at": "2026-01-01T00:00:00Z"}]


def test_a_description_is_taken_apart() -> None:
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
    found = reading.description(text)
    assert found.children == ("pod/web-1 Running 1/1 ready",)
    assert [event.reason for event in found.events] == ["Failed", "Scaled"]
    assert found.events[1].count == 3
    assert text_at(found.body, "kind") == "Deployment"


def test_logs_are_told_apart_by_container() -> None:
    text = (
        "== web-1 app\n… 5 earlier lines, narrow with tail\nhello\n== web-1 init: no lines\n== web-2 app: not started"
    )
    app, init, other = reading.logs(text)
    assert (app.lines, app.problem) == (("hello",), "")
    assert (init.lines, init.problem) == ((), "")
    assert other.problem == "not started"
