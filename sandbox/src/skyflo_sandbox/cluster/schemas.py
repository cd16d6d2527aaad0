"""Which JSON types the fields of the known kinds have, and which fields there are."""

from dataclasses import dataclass

__all__ = ["KINDS", "OTHERS", "Listing", "Mapping", "Scalar", "Shape", "Struct"]


@dataclass(frozen=True)
class Scalar:
    """A type by Go's name. `int or string` is `IntOrString`, `quantity` also takes numbers."""

    name: str


@dataclass(frozen=True)
class Mapping:
    """Any keys, values of one shape."""

    values: "Shape"


@dataclass(frozen=True)
class Listing:
    """A list of one shape."""

    items: "Shape"


@dataclass(frozen=True)
class Struct:
    """An object of these fields. `name` is Go's, for messages."""

    name: str
    fields: dict[str, "Shape"]


Shape = Scalar | Mapping | Listing | Struct


STRING, INT32, INT64, BOOL = Scalar("string"), Scalar("int32"), Scalar("int64"), Scalar("bool")
INT_OR_STRING, QUANTITY = Scalar("int or string"), Scalar("quantity")
STRINGS, TEXTS = Mapping(STRING), Listing(STRING)

OWNER = Struct(
    "OwnerReference", {"apiVersion": STRING, "kind": STRING, "name": STRING, "uid": STRING, "controller": BOOL}
)
MANAGED = Struct(
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
        "labels": STRINGS,
        "annotations": STRINGS,
        "finalizers": TEXTS,
        "ownerReferences": Listing(OWNER),
        "managedFields": Listing(MANAGED),
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
        "exec": Struct("ExecAction", {"command": TEXTS}),
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
        "command": TEXTS,
        "args": TEXTS,
        "workingDir": STRING,
        "env": Listing(Struct("EnvVar", {"name": STRING, "value": STRING, "valueFrom": ENV_SOURCE})),
        "envFrom": Listing(
            Struct("EnvFromSource", {"prefix": STRING, "configMapRef": NAME_REF, "secretRef": NAME_REF})
        ),
        "ports": Listing(
            Struct("ContainerPort", {"containerPort": INT32, "hostPort": INT32, "name": STRING, "protocol": STRING})
        ),
        "resources": Struct("ResourceRequirements", {"limits": Mapping(QUANTITY), "requests": Mapping(QUANTITY)}),
        "volumeMounts": Listing(
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
        "containers": Listing(CONTAINER),
        "initContainers": Listing(CONTAINER),
        "volumes": Listing(VOLUME),
        "nodeName": STRING,
        "nodeSelector": STRINGS,
        "restartPolicy": STRING,
        "serviceAccountName": STRING,
        "terminationGracePeriodSeconds": INT64,
        "securityContext": Struct("PodSecurityContext", {}),
        "imagePullSecrets": Listing(NAME_REF),
        "tolerations": Listing(Struct("Toleration", {})),
    },
)
SELECTOR = Struct(
    "LabelSelector",
    {
        "matchLabels": STRINGS,
        "matchExpressions": Listing(
            Struct("LabelSelectorRequirement", {"key": STRING, "operator": STRING, "values": TEXTS})
        ),
    },
)
TEMPLATE = Struct("PodTemplateSpec", {"metadata": METADATA, "spec": POD_SPEC})
STATUS = Struct("Status", {"conditions": Listing(Struct("Condition", {"type": STRING, "status": STRING}))})
CONTAINER_STATUSES = Listing(Struct("ContainerStatus", {"name": STRING, "restartCount": INT32, "ready": BOOL}))


def _kind(name: str, **fields: Shape) -> dict[str, Struct]:
    return {name: Struct(name, {"apiVersion": STRING, "kind": STRING, "metadata": METADATA, **fields})}


_WORKLOAD: dict[str, Shape] = {"replicas": INT32, "minReadySeconds": INT32, "selector": SELECTOR, "template": TEMPLATE}
KINDS: dict[str, Struct] = {
    **_kind("Namespace", spec=Struct("NamespaceSpec", {"finalizers": TEXTS}), status=STATUS),
    **_kind(
        "Node",
        spec=Struct("NodeSpec", {"unschedulable": BOOL, "taints": Listing(Struct("Taint", {})), "podCIDR": STRING}),
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
                "selector": STRINGS,
                "clusterIP": STRING,
                "clusterIPs": TEXTS,
                "externalName": STRING,
                "ports": Listing(
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
    **_kind("ConfigMap", data=STRINGS, binaryData=STRINGS, immutable=BOOL),
    **_kind("Secret", data=STRINGS, stringData=STRINGS, type=STRING, immutable=BOOL),
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
        endpoints=Listing(Struct("Endpoint", {"addresses": TEXTS})),
        ports=Listing(Struct("EndpointPort", {"name": STRING, "port": INT32})),
    ),
    **_kind("FeatureFlag", spec=Struct("spec", {})),
    **_kind("Scale", spec=Struct("ScaleSpec", {"replicas": INT32})),
}

# Fields that there are but whose types nobody looks at. An object that is not named here may have any field.
OTHERS: dict[str, frozenset[str]] = {
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
