"""What must be masked: objects of Kubernetes and CI/CD that hold a canary or, as `ENCODED`, its base64."""

import json

from secret_corpus import CANARY, ENCODED, PEM, USER_AND_CANARY

from skyflo_common.jsontypes import Json, JsonObject

ENVIRONMENT_NAMES = [
    "ACCOUNT_PASSWORD", "DISCOUNT_TOKEN", "MYSQL_PWD", "DB_PASS", "SMTP_PASS", "POSTGRES_PASSWORD", "REDIS_PASSWORD",
    "API_TOKEN", "JWT_SECRET", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "STRIPE_API_KEY",
    "GF_SECURITY_ADMIN_PASSWORD", "MINIO_ROOT_PASSWORD", "ENCRYPTION_KEY", "APP_SECRET", "SESSION_COOKIE",
    "SLACK_WEBHOOK_URL", "NPM_TOKEN", "KEYSTORE_PASS", "PASSWORD", "ADMIN_PASSWORD_2", "adminPassword", "dbPwd",
    "clientSecret", "PAT_TOKEN", "BASIC_AUTH_PASSWORD", "TOTP_SECRET", "OTP",
]  # fmt: skip


def pod(environment: list[Json], **container: Json) -> JsonObject:
    spec: JsonObject = {"containers": [{"name": "app", "image": "web:1", "env": environment, **container}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}


def config_map(**data: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {**data}}


_SECRET = {"kind": "Secret", "data": {"a": ENCODED}}
_DOCKER = {"auths": {"registry.example.org": {"auth": USER_AND_CANARY}}}
_KUBECONFIG = (
    f"apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user: {{client-key-data: {ENCODED}, token: {CANARY}}}\n"
)

SECRET_TREES: list[Json] = [
    *(pod([{"name": name, "value": CANARY}]) for name in ENVIRONMENT_NAMES),
    pod([], command=["mysql", "--password", CANARY]),
    pod([], args=["--token", CANARY, "--verbose"]),
    pod([], args=[f"--api-key={CANARY}"]),
    pod([], command=["redis-cli", "-a", CANARY, "ping"]),
    pod([], command=["mysql"], args=["-uroot", f"-p{CANARY}"]),
    pod([], command=["timeout", "5", "redis-cli"], args=["-a", CANARY, "ping"]),
    pod([], command=["rabbitmqctl", "add_user", "joe", f"{CANARY} and more"]),
    pod([], command=["sh", "-c", f"echo {CANARY} | docker login --password-stdin r"]),
    {"containers": [{"image": "quay.io/minio/mc:1", "args": ["alias", "set", "m", "http://m", "joe", CANARY]}]},
    {"services": {"db": {"entrypoint": ["mysql"], "command": [f"-p{CANARY}"]}}},
    pod([], command=["sh", "-c", f"mysql -uroot -p{CANARY} -e 'select 1'"]),
    pod([], command=["curl", "-u", f"joe:{CANARY}", "https://ci"]),
    pod([], livenessProbe={"httpGet": {"path": "/", "httpHeaders": [{"name": "Authorization", "value": CANARY}]}}),
    pod([{"name": "DATABASE_URL", "value": f"postgres://shop:{CANARY}@db/shop"}]),
    {"kind": "Secret", "data": {"a": ENCODED}, "stringData": {"b": CANARY}},
    {"kind": "Secret", "data": {"a": {"nested": [CANARY]}}},
    {"kind": "SecretList", "items": [{"data": {"a": ENCODED}}]},
    {"kind": "List", "items": [{"kind": "Secret", "data": {"a": ENCODED}}]},
    {"kind": "Secret", "metadata": {"annotations": {"last-applied": json.dumps(_SECRET)}}},
    {"metadata": {"name": "x"}, "stringData": {"a": CANARY}},
    config_map(api_key=CANARY),
    config_map(**{"application.yaml": f"spring:\n  datasource:\n    password: {CANARY}\n"}),
    config_map(**{"application.properties": f"spring.datasource.password={CANARY}\nserver.port=80\n"}),
    config_map(**{"config.json": json.dumps({"db": {"pass": CANARY}})}),
    config_map(**{".env": f"DB_HOST=db\nDB_PASS={CANARY}\n"}),
    config_map(kubeconfig=_KUBECONFIG),
    config_map(**{"redis.conf": f"port 6379\nrequirepass {CANARY}\n"}),
    config_map(id_rsa=PEM),
    config_map(**{".pgpass": f"db:5432:shop:joe:{CANARY}\n"}),
    config_map(**{"ipsec.secrets": f': PSK "{CANARY}"\n'}),
    config_map(**{"init.sql": f"CREATE USER x IDENTIFIED BY '{CANARY}';\n"}),
    config_map(url=f"postgres://joe:{CANARY}@db/x"),
    _DOCKER,
    {"type": "kubernetes.io/dockerconfigjson", ".dockerconfigjson": json.dumps(_DOCKER)},
    {"auth": {"rootPassword": CANARY, "existingSecret": ""}},
    {"global": {"postgresql": {"auth": {"password": CANARY, "username": "shop"}}}},
    {"grafana": {"adminPassword": CANARY, "adminUser": "admin"}},
    {"password": {"value": CANARY}},
    {"apiKeys": [CANARY, CANARY]},
    {"passwords": {"alice": CANARY, "bob": CANARY}},
    {"secrets": {"dbUrl": CANARY}},
    {"tokens": [CANARY, "a-name"]},
    {"keys": [{"kty": "RSA", "n": "x", "d": CANARY, "p": CANARY}, {"kty": "oct", "k": CANARY}]},
    {"params": [{"name": "token", "default": CANARY}]},
    {"parameters": [{"name": "adminPassword", "value": CANARY, "forceString": True}]},
    {"Environment": [{"Name": "DB_PASSWORD", "Value": CANARY}]},
    {"key": "password", "value": CANARY},
    {"spec": {"minio": {"accessKey": "x", "secretKey": CANARY}}},
    {"webhook": {"headers": {"Authorization": f"Bearer {CANARY}"}}},
    {"authorization": CANARY},
    {"users": [{"name": "a", "user": {"token": CANARY, "client-key-data": ENCODED}}]},
    {"private_key_id": "0a1b", "private_key": PEM, "type": "service_account"},
    [{"op": "replace", "path": "/data/password", "value": CANARY}],
    [{"op": "add", "path": "/stringData/x", "value": CANARY}],
    [{"op": "replace", "path": "/spec/template/spec/containers/0/env/0/value", "value": CANARY}],
    [{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "DB_PASS", "value": CANARY}}],
    {"kind": "secret", "name": "db", "type": "merge", "patch": {"data": {"x": ENCODED}}},
    {"kind": "Secret", "name": "db", "type": "json", "patch": [{"op": "add", "path": "/data/x", "value": ENCODED}]},
    {"kind": "secrets", "name": "db", "patch": f'[{{"op": "add", "path": "/data/x", "value": "{ENCODED}"}}]'},
    {"kind": "v1/Secret", "name": "db", "patch": f"data: {{x: {ENCODED}}}"},
    {"kind": "secret", "patch": [{"op": "replace", "path": "", "value": {"data": {"x": ENCODED}}}]},
    {"resource": "secrets", "body": {"stringData": {"x": CANARY}}},
    {"spec": {"values": f"auth:\n  password: {CANARY}\n"}},
]  # fmt: skip
