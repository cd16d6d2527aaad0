"""Match labels against a label selector, as a PodDisruptionBudget has one."""

from skyflo_common.jsontypes import JsonObject, objects_at, strings_at, text_at, texts_at


def selects(selector: JsonObject, labels: dict[str, str]) -> bool:
    """Return whether a selector matches. An empty one matches everything, an unknown operator too."""
    has_labels = strings_at(selector, "matchLabels").items() <= labels.items()
    return has_labels and all(_meets(each, labels) for each in objects_at(selector, "matchExpressions"))


def _meets(expression: JsonObject, labels: dict[str, str]) -> bool:
    key, values = text_at(expression, "key"), texts_at(expression, "values")
    results = {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return results.get(text_at(expression, "operator"), True)
