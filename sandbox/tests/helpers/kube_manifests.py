"""Manifests for the contract suite."""

from kube_backend import Object

__all__ = ["deployment", "feature_flag", "flag_definition", "pod", "service", "two_containers"]


def deployment(name: str = "web", replicas: int | None = 2, image: str = "app:1") -> Object:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}
    spec: Object = {"selector": {"matchLabels": labels}, "template": template}
    spec |= {"replicas": replicas} if replicas is not None else {}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels}, "spec": spec}


def pod(name: str = "lone", image: str = "app:1", **labels: str) -> Object:
    spec = {"containers": [{"name": "app", "image": image}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def two_containers(name: str = "pair") -> Object:
    body = pod(name)
    body["spec"]["containers"].append({"name": "side", "image": "side:1"})
    return body


def service(name: str = "web", port: int = 80, **selector: str) -> Object:
    spec = {"selector": selector, "ports": [{"port": port, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def feature_flag(name: str = "dark-mode", **spec: object) -> Object:
    body = {"apiVersion": "shop.example.com/v1", "kind": "FeatureFlag", "metadata": {"name": name}}
    return body | {"spec": {"enabled": True} | spec}


def flag_definition() -> Object:
    """Build the CustomResourceDefinition of the sandbox's custom kind, for a real cluster."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"plural": "featureflags", "singular": "featureflag", "kind": "FeatureFlag", "shortNames": ["ff"]}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "shop.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    metadata = {"name": "featureflags.shop.example.com"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": spec,
    }
