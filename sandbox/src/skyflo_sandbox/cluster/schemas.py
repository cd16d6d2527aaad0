"""JSON types of the fields of all known kinds."""

from dataclasses import dataclass

__all__ = ["KINDS", "UNTYPED_FIELDS", "ListOf", "MapOf", "Scalar", "Schema", "Struct"]


@dataclass(frozen=True)
class Scalar:
    """A scalar, by its Go name. `int or string` is `IntOrString`; `quantity` also accepts numbers."""

    name: str


@dataclass(frozen=True)
class MapOf:
    """A map with arbitrary keys and values of one schema."""

    values: "Schema"


@dataclass(frozen=True)
class ListOf:
    """A list with items of one schema."""

    items: "Schema"


@dataclass(frozen=True)
class Struct:
    """An object with these fields. `name` is the Go type in error messages."""

    name: str
    fields: dict[str, "Schema"]


Schema = Scalar | MapOf | ListOf | Struct


STRING, INT32, INT64, BOOL = Scalar("string"), Scalar("int32"), Scalar("int64"), Scalar("bool")
INT_OR_STRING, QUANTITY = Scalar("int or string"), Scalar("quantity")
STRING_MAP, STRING_LIST = MapOf(STRING), ListOf(STRING)

OWNER = Struct(
    "OwnerReference", {"apiVersion": STRING, "kind": STRING, "name": STRING, "uid": STRING, "controller": BOOL}
)
MANAGED_FIELDS = Struct(
    "ManagedFieldsEntry",
    {"manager": STRING, "operation": STRING, "subresource": STRING, "time": STRING, "fieldsV1": Struct("FieldsV1", {})},
)
METADATA = Struct(
    "ObjectMeta",
    {
        "name": STRING,
        "generateName": STRING,
        "namespace": STRING,
        "uid": STRING,
        "resourceVersion": STRING,
        "labels": STRING_MAP,
        "annotations": STRING_MAP,
        "finalizers": STRING_LIST,
        "ownerReferences": ListOf(OWNER),
        "managedFields": ListOf(MANAGED_FIELDS),
    },
)
KEY_REF = Struct("KeySelector", {"name": STRING, "key": STRING, "optional": BOOL})
NAME_REF = Struct("LocalObjectReference", {"name": STRING, "optional": BOOL})
ENV_SOURCE = Struct(
    "EnvVarSource",
    {
        "configMapKeyRef": KEY_REF,
        "secretKeyRef": KEY_REF,
        "fieldRef": Struct("ObjectFieldSelector", {"fieldPath": STRING}),
    },
)
HTTP_GET = Struct("HTTPGetAction", {"path": STRING, "port": INT_OR_STRING, "scheme": STRING, "host": STRING})
PROBE = Struct(
    "Probe",
    {
        "httpGet": HTTP_GET,
        "exec": Struct("ExecAction", {"command": STRING_LIST}),
        "tcpSocket": Struct("TCPSocketAction", {"port": INT_OR_STRING}),
        **dict.fromkeys(
            ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"), INT32
        ),
    },
)
CONTAINER = Struct(
    "Container",
    {
        "name": STRING,
        "image": STRING,
        "imagePullPolicy": STRING,
        "command": STRING_LIST,
        "args": STRING_LIST,
        "workingDir": STRING,
        "env": ListOf(Struct("EnvVar", {"name": STRING, "value": STRING, "valueFrom": ENV_SOURCE})),
        "envFrom": ListOf(Struct("EnvFromSource", {"prefix": STRING, "configMapRef": NAME_REF, "secretRef": NAME_REF})),
        "ports": ListOf(
            Struct("ContainerPort", {"containerPort": INT32, "hostPort": INT32, "name": STRING, "protocol": STRING})
        ),
        "resources": Struct("ResourceRequirements", {"limits": MapOf(QUANTITY), "requests": MapOf(QUANTITY)}),
        "volumeMounts": ListOf(
            Struct("VolumeMount", {"name": STRING, "mountPath": STRING, "readOnly": BOOL, "subPath": STRING})
        ),
        **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe"), PROBE),
    },
)
VOLUME = Struct(
    "Volume",
    {
        "name": STRING,
        "configMap": Struct("ConfigMapVolumeSource", {"name": STRING, "optional": BOOL, "defaultMode": INT32}),
        "secret": Struct("SecretVolumeSource", {"secretName": STRING, "optional": BOOL, "defaultMode": INT32}),
        "emptyDir": Struct("EmptyDirVolumeSource", {}),
    },
)
POD_SPEC = Struct(
    "PodSpec",
    {
        "containers": ListOf(CONTAINER),
        "initContainers": ListOf(CONTAINER),
        "volumes": ListOf(VOLUME),
        "nodeName": STRING,
        "nodeSelector": STRING_MAP,
        "restartPolicy": STRING,
        "serviceAccountName": STRING,
        "terminationGracePeriodSeconds": INT64,
        "securityContext": Struct("PodSecurityContext", {}),
        "imagePullSecrets": ListOf(NAME_REF),
        "tolerations": ListOf(Struct("Toleration", {})),
    },
)
SELECTOR = Struct(
    "LabelSelector",
    {
        "matchLabels": STRING_MAP,
        "matchExpressions": ListOf(
            Struct("LabelSelectorRequirement", {"key": STRING, "operator": STRING, "values": STRING_LIST})
        ),
    },
)
TEMPLATE = Struct("PodTemplateSpec", {"metadata": METADATA, "spec": POD_SPEC})
STATUS = Struct("Status", {"conditions": ListOf(Struct("Condition", {"type": STRING, "status": STRING}))})
CONTAINER_STATUSES = ListOf(Struct("ContainerStatus", {"name": STRING, "restartCount": INT32, "ready": BOOL}))


def _kind(name: str, **fields: Schema) -> dict[str, Struct]:
    return {name: Struct(name, {"apiVersion": STRING, "kind": STRING, "metadata": METADATA, **fields})}


_WORKLOAD: dict[str, Schema] = {"replicas": INT32, "minReadySeconds": INT32, "selector": SELECTOR, "template": TEMPLATE}
KINDS: dict[str, Struct] = {
    **_kind("Namespace", spec=Struct("NamespaceSpec", {"finalizers": STRING_LIST}), status=STATUS),
    **_kind(
        "Node",
        spec=Struct("NodeSpec", {"unschedulable": BOOL, "taints": ListOf(Struct("Taint", {})), "podCIDR": STRING}),
        status=STATUS,
    ),
    **_kind(
        "Pod",
        spec=POD_SPEC,
        status=Struct(
            "PodStatus",
            {
                **STATUS.fields,
                "phase": STRING,
                "containerStatuses": CONTAINER_STATUSES,
                "initContainerStatuses": CONTAINER_STATUSES,
            },
        ),
    ),
    **_kind(
        "Service",
        spec=Struct(
            "ServiceSpec",
            {
                "type": STRING,
                "selector": STRING_MAP,
                "clusterIP": STRING,
                "clusterIPs": STRING_LIST,
                "externalName": STRING,
                "ports": ListOf(
                    Struct(
                        "ServicePort",
                        {
                            "name": STRING,
                            "port": INT32,
                            "nodePort": INT32,
                            "protocol": STRING,
                            "targetPort": INT_OR_STRING,
                        },
                    )
                ),
            },
        ),
        status=STATUS,
    ),
    **_kind("ConfigMap", data=STRING_MAP, binaryData=STRING_MAP, immutable=BOOL),
    **_kind("Secret", data=STRING_MAP, stringData=STRING_MAP, type=STRING, immutable=BOOL),
    **_kind(
        "Event",
        involvedObject=Struct("ObjectReference", {"kind": STRING, "name": STRING, "namespace": STRING, "uid": STRING}),
        reason=STRING,
        message=STRING,
        type=STRING,
        count=INT32,
        source=Struct("EventSource", {"component": STRING, "host": STRING}),
    ),
    **_kind(
        "Deployment",
        spec=Struct(
            "DeploymentSpec",
            {
                **_WORKLOAD,
                "paused": BOOL,
                "revisionHistoryLimit": INT32,
                "progressDeadlineSeconds": INT32,
                "strategy": Struct(
                    "DeploymentStrategy",
                    {
                        "type": STRING,
                        "rollingUpdate": Struct(
                            "RollingUpdateDeployment", {"maxSurge": INT_OR_STRING, "maxUnavailable": INT_OR_STRING}
                        ),
                    },
                ),
            },
        ),
        status=STATUS,
    ),
    **_kind("ReplicaSet", spec=Struct("ReplicaSetSpec", _WORKLOAD), status=STATUS),
    **_kind(
        "EndpointSlice",
        addressType=STRING,
        endpoints=ListOf(Struct("Endpoint", {"addresses": STRING_LIST})),
        ports=ListOf(Struct("EndpointPort", {"name": STRING, "port": INT32})),
    ),
    **_kind("FeatureFlag", spec=Struct("spec", {})),
    **_kind("Scale", spec=Struct("ScaleSpec", {"replicas": INT32})),
}

# Known fields whose types are not checked. A struct that is missing here accepts any field.
UNTYPED_FIELDS: dict[str, frozenset[str]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "ObjectMeta": "creationTimestamp deletionGracePeriodSeconds deletionTimestamp generation selfLink",
        "Deployment": "",
        "ReplicaSet": "",
        "Pod": "",
        "Service": "",
        "ConfigMap": "",
        "Secret": "",
        "Namespace": "",
        "Node": "",
        "Event": "action eventTime firstTimestamp lastTimestamp related reportingComponent reportingInstance series",
        "EndpointSlice": "",
        "DeploymentSpec": "",
        "DeploymentStrategy": "",
        "RollingUpdateDeployment": "",
        "ReplicaSetSpec": "",
        "LabelSelector": "",
        "PodTemplateSpec": "",
        "PodSpec": "activeDeadlineSeconds affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks "
        "ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname hostnameOverride os overhead "
        "preemptionPolicy priority priorityClassName readinessGates resourceClaims resources runtimeClassName "
        "schedulerName schedulingGates serviceAccount setHostnameAsFQDN shareProcessNamespace subdomain "
        "topologySpreadConstraints workloadRef",
        "Container": "lifecycle resizePolicy restartPolicy restartPolicyRules securityContext stdin stdinOnce "
        "terminationMessagePath terminationMessagePolicy tty volumeDevices",
        "EnvVar": "",
        "EnvVarSource": "fileKeyRef resourceFieldRef",
        "EnvFromSource": "",
        "ContainerPort": "hostIP",
        "ResourceRequirements": "claims",
        "VolumeMount": "mountPropagation recursiveReadOnly subPathExpr",
        "Probe": "grpc terminationGracePeriodSeconds",
        "HTTPGetAction": "httpHeaders",
        "ServiceSpec": "allocateLoadBalancerNodePorts externalIPs externalTrafficPolicy healthCheckNodePort "
        "internalTrafficPolicy ipFamilies ipFamilyPolicy loadBalancerClass loadBalancerIP loadBalancerSourceRanges "
        "publishNotReadyAddresses sessionAffinity sessionAffinityConfig trafficDistribution",
        "ServicePort": "appProtocol",
    }.items()
}
