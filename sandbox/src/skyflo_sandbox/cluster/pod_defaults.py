"""Defaults of pods and pod templates."""

from skyflo_common.jsontypes import JsonObject, JsonValue, object_at, objects_at, text_at
from skyflo_sandbox.cluster.quantities import canonical_quantity

__all__ = ["default_pod", "default_template"]

_PROBE_DEFAULTS: JsonObject = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_MODE_0644 = 420


def default_template(workload_spec: JsonObject) -> None:
    """Fill in the pod template of a Deployment's or ReplicaSet's spec, in place."""
    template = workload_spec.setdefault("template", {})
    if isinstance(template, dict):
        template.setdefault("metadata", {})
        _default_pod_spec(template)


def default_pod(pod: JsonObject) -> None:
    """Fill in a pod in place, including what admission adds, and its first status."""
    spec = _default_pod_spec(pod)
    for container in _containers(spec):
        _default_requests(container)
    account = text_at(spec, "serviceAccountName") or "default"
    defaults: JsonObject = {
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "serviceAccount": account,
        "serviceAccountName": account,
        "tolerations": [_toleration("not-ready"), _toleration("unreachable")],
    }
    _set_defaults(spec, defaults)
    status = pod.setdefault("status", {})
    if isinstance(status, dict):
        _set_defaults(status, {"phase": "Pending", "qosClass": _qos_class(spec)})


def _toleration(condition: str) -> JsonObject:
    key = f"node.kubernetes.io/{condition}"
    return {"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300}


def _set_defaults(target: JsonObject, values: JsonObject) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def _default_pod_spec(owner: JsonObject) -> JsonObject:
    spec = object_at({"spec": owner.setdefault("spec", {})}, "spec")
    defaults: JsonObject = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    _set_defaults(spec, defaults)
    for container in _containers(spec):
        _default_container(container)
    for volume in objects_at(spec, "volumes"):
        _default_volume(volume)
    return spec


def _containers(spec: JsonObject) -> list[JsonObject]:
    return objects_at(spec, "initContainers") + objects_at(spec, "containers")


def _default_container(container: JsonObject) -> None:
    defaults: JsonObject = {
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": _pull_policy(text_at(container, "image")),
    }
    _set_defaults(container, defaults)
    for port in objects_at(container, "ports"):
        _set_defaults(port, {"protocol": "TCP"})
    for variable in objects_at(container, "env"):
        _default_env_var(variable)
    for quantities in (object_at(container, "resources", "limits"), object_at(container, "resources", "requests")):
        quantities |= {name: canonical_quantity(str(value)) for name, value in quantities.items()}
    for name in _PROBES:
        if isinstance(probe := container.get(name), dict):
            _set_defaults(probe, _PROBE_DEFAULTS)
            _default_http_get(probe)


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _default_env_var(variable: JsonObject) -> None:
    if variable.get("value") == "":
        del variable["value"]
    if isinstance(reference := object_at(variable, "valueFrom").get("fieldRef"), dict):
        _set_defaults(reference, {"apiVersion": "v1"})


def _default_http_get(probe: JsonObject) -> None:
    if isinstance(request := probe.get("httpGet"), dict):
        _set_defaults(request, {"path": "/", "scheme": "HTTP"})


def _default_volume(volume: JsonObject) -> None:
    for source in ("configMap", "secret", "projected", "downwardAPI"):
        if isinstance(found := volume.get(source), dict):
            _set_defaults(found, {"defaultMode": _MODE_0644})
    if list(volume) == ["name"]:
        volume["emptyDir"] = {}
    if isinstance(path := volume.get("hostPath"), dict):
        _set_defaults(path, {"type": ""})


def _default_requests(container: JsonObject) -> None:
    """Use limits as the default for missing requests."""
    resources = object_at(container, "resources")
    limits = object_at(resources, "limits")
    if limits:
        resources["requests"] = {**limits, **object_at(resources, "requests")}


def _qos_class(spec: JsonObject) -> str:
    resources = [object_at(container, "resources") for container in _containers(spec)]
    if not any(each.get("limits") or each.get("requests") for each in resources):
        return "BestEffort"
    guaranteed = all(_is_guaranteed(object_at(each, "limits"), object_at(each, "requests")) for each in resources)
    return "Guaranteed" if guaranteed else "Burstable"


def _is_guaranteed(limits: JsonObject, requests: JsonObject) -> bool:
    both: dict[str, JsonValue] = {name: limits.get(name) for name in ("cpu", "memory")}
    return all(value is not None and requests.get(name) == value for name, value in both.items())
