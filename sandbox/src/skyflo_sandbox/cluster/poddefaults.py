"""The defaults of pods and of their templates."""

from skyflo_sandbox.cluster.quantities import shortest
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, object_at, objects_at, text_at

__all__ = ["default_pod", "default_template"]

_PROBE: JsonObject = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_MODE_0644 = 420


def default_template(workload_spec: JsonObject) -> None:
    """Fills in the template of a Deployment's or ReplicaSet's spec, in place."""
    template = workload_spec.setdefault("template", {})
    if isinstance(template, dict):
        template.setdefault("metadata", {})
        _pod_spec(template)


def default_pod(pod: JsonObject) -> None:
    """Fills in a pod, in place: also what admission would add, and its first status."""
    spec = _pod_spec(pod)
    for container in _containers(spec):
        _requests(container)
    account = text_at(spec, "serviceAccountName") or "default"
    filling: JsonObject = {
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "serviceAccount": account,
        "serviceAccountName": account,
        "tolerations": [_tolerated("not-ready"), _tolerated("unreachable")],
    }
    _fill(spec, filling)
    status = pod.setdefault("status", {})
    if isinstance(status, dict):
        _fill(status, {"phase": "Pending", "qosClass": _qos_class(spec)})


def _tolerated(condition: str) -> JsonObject:
    key = f"node.kubernetes.io/{condition}"
    return {"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300}


def _fill(target: JsonObject, values: JsonObject) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def _pod_spec(owner: JsonObject) -> JsonObject:
    spec = object_at({"spec": owner.setdefault("spec", {})}, "spec")
    filling: JsonObject = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    _fill(spec, filling)
    for container in _containers(spec):
        _container(container)
    for volume in objects_at(spec, "volumes"):
        _volume(volume)
    return spec


def _containers(spec: JsonObject) -> list[JsonObject]:
    return objects_at(spec, "initContainers") + objects_at(spec, "containers")


def _container(container: JsonObject) -> None:
    filling: JsonObject = {
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": _pull_policy(text_at(container, "image")),
    }
    _fill(container, filling)
    for port in objects_at(container, "ports"):
        _fill(port, {"protocol": "TCP"})
    for variable in objects_at(container, "env"):
        _variable(variable)
    for amounts in (object_at(container, "resources", "limits"), object_at(container, "resources", "requests")):
        amounts |= {name: shortest(str(value)) for name, value in amounts.items()}
    for name in _PROBES:
        if isinstance(probe := container.get(name), dict):
            _fill(probe, _PROBE)
            _http_get(probe)


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _variable(variable: JsonObject) -> None:
    if variable.get("value") == "":
        del variable["value"]
    if isinstance(reference := object_at(variable, "valueFrom").get("fieldRef"), dict):
        _fill(reference, {"apiVersion": "v1"})


def _http_get(probe: JsonObject) -> None:
    if isinstance(request := probe.get("httpGet"), dict):
        _fill(request, {"path": "/", "scheme": "HTTP"})


def _volume(volume: JsonObject) -> None:
    for source in ("configMap", "secret", "projected", "downwardAPI"):
        if isinstance(found := volume.get(source), dict):
            _fill(found, {"defaultMode": _MODE_0644})
    if list(volume) == ["name"]:
        volume["emptyDir"] = {}
    if isinstance(path := volume.get("hostPath"), dict):
        _fill(path, {"type": ""})


def _requests(container: JsonObject) -> None:
    """What is limited and not requested is requested as limited."""
    resources = object_at(container, "resources")
    limits = object_at(resources, "limits")
    if limits:
        resources["requests"] = {**limits, **object_at(resources, "requests")}


def _qos_class(spec: JsonObject) -> str:
    resources = [object_at(container, "resources") for container in _containers(spec)]
    if not any(each.get("limits") or each.get("requests") for each in resources):
        return "BestEffort"
    guaranteed = all(_guaranteed(object_at(each, "limits"), object_at(each, "requests")) for each in resources)
    return "Guaranteed" if guaranteed else "Burstable"


def _guaranteed(limits: JsonObject, requests: JsonObject) -> bool:
    both: dict[str, JsonValue] = {name: limits.get(name) for name in ("cpu", "memory")}
    return all(value is not None and requests.get(name) == value for name, value in both.items())
