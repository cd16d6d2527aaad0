"""Find the label selector of the pods that belong to an object."""

from skyflo_common.jsontypes import JsonObject, object_at, objects_at, strings_at, text_at
from skyflo_tools.kubernetes.objects import KubeObject


def pod_selector(owner: KubeObject) -> str:
    """Return the label selector of a workload's or Service's pods, as a query parameter; empty if there is none."""
    if owner.kind == "Service":
        return _format_labels(strings_at(owner.body, "spec", "selector"))
    selector = object_at(owner.body, "spec", "selector")
    parts = [_format_labels(strings_at(selector, "matchLabels"))]
    parts += [_format_expression(each) for each in objects_at(selector, "matchExpressions")]
    return ",".join(part for part in parts if part)


def _format_labels(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _format_expression(expression: JsonObject) -> str:
    key, operator = text_at(expression, "key"), text_at(expression, "operator")
    values = expression.get("values")
    joined = ",".join(value for value in values if isinstance(value, str)) if isinstance(values, list) else ""
    texts = {"In": f"{key} in ({joined})", "NotIn": f"{key} notin ({joined})", "Exists": key, "DoesNotExist": f"!{key}"}
    return texts.get(operator, "")
