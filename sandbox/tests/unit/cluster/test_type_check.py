"""Type checks and unknown fields."""

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.cluster.kinds import DEPLOYMENT, POD
from skyflo_sandbox.cluster.type_check import drop_unknown_fields, find_type_error


def test_type_error_uses_go_field_path() -> None:
    container: JsonObject = {"name": "app", "env": [{"name": "A", "value": 1}]}
    body: JsonObject = {"spec": {"template": {"spec": {"containers": [container]}}}}
    path = "EnvVar.spec.template.spec.containers.env.value"
    assert (
        find_type_error(DEPLOYMENT, body) == f"json: cannot unmarshal number into Go struct field {path} of type string"
    )
    assert find_type_error(DEPLOYMENT, {"spec": {"replicas": 2**40}}) != ""
    assert find_type_error(DEPLOYMENT, {"spec": {"replicas": None}}) == ""


def test_unknown_fields_are_dropped_and_listed() -> None:
    body: JsonObject = {"spec": {"containers": [{"name": "app", "imagee": "x"}], "affinity": {"any": 1}}, "extra": 1}
    kept, unknown = drop_unknown_fields(POD, body)
    assert kept == {"spec": {"containers": [{"name": "app"}], "affinity": {"any": 1}}}
    assert unknown == ["spec.containers[0].imagee", "extra"]
