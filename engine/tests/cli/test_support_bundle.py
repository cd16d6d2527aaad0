"""Test `skyflo support-bundle`: it holds what helps, and no value of a setting that may be secret."""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from src.api.config.settings import Settings
from src.api.support_bundle import _describe
from tests.support.terminal import Shell

pytestmark = pytest.mark.promise("secrets")

WORD = "canary{}x7q"
"""Each setting gets a word of its own; none of them may be in the bundle."""


def key(n: int) -> str:
    return f"{WORD.format(n)}-Zk3vR8tW1mP5sD9fG2hJ4"


SERVERS = [
    {"name": "one", "command": "true", "args": ["--token", key(1), key(2)], "env": {"SOME_VALUE": key(3)}},
    {"name": "two", "url": f"http://127.0.0.1:1/{key(4)}", "token_env": "TWO_TOKEN"},
]
CANARIES = {
    "APP_NAME": key(10),
    "APP_VERSION": key(11),
    "APP_DESCRIPTION": key(12),
    "API_V1_STR": f"/{key(13)}",
    "UI_DIST": f"/nowhere/{key(14)}",
    "CHECKPOINTER_DATABASE_URL": f"postgres://ada:{key(15)}@127.0.0.1:1/x",
    "REDIS_URL": f"redis://ada:{key(16)}@127.0.0.1:1/0",
    "CORS_ORIGINS": f"https://{key(17)}.example",
    "PUBLIC_URL": f"https://localhost/{key(18)}",
    "SMTP_USERNAME": key(19),
    "SMTP_FROM": f"{key(20)}@example.com",
    "SMTP_HOST": key(21),
    "SMTP_PASSWORD": key(22),
    "OIDC_CLIENT_ID": key(23),
    "OIDC_CLIENT_SECRET": key(24),
    "OIDC_SCOPES": f"openid {key(25)}",
    "OIDC_GROUPS_CLAIM": key(26),
    "OIDC_ROLES": json.dumps({key(27): "admin"}),
    "OIDC_NAME": key(28),
    "OIDC_ISSUER": f"https://localhost:1/{key(29)}",
    "JWT_SECRET": key(30),
    "AUDIT_KEY": key(31),
    "MCP_SERVER_URL": f"http://127.0.0.1:1/{key(32)}",
    "MCP_SERVER_TOKEN": f"{key(33)},{key(53)}",
    "MCP_GRANT_KEY": f"{key(34)},{key(54)}",
    "MCP_SERVERS": json.dumps(SERVERS),
    "CLUSTERS": key(35),
    "POLICY_FILE": f"/nowhere/{key(36)}",
    "INTEGRATIONS_SECRET_NAMESPACE": "canary37x7q",
    "LLM_MODEL": f"openai/{key(38)}",
    "LLM_HOST": f"http://ada:{key(39)}@127.0.0.1:1/{key(40)}",
    "LLM_TITLE_MODEL": key(41),
    "INTEGRATIONS_KUBE_CONTEXT": key(42),
    "CREDENTIALS_KEY": f"{key(43)},{key(44)}",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:1/{key(45)}",
    "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {key(46)}",
    "METRICS_TOKEN": key(47),
}
OTHERS = {"TWO_TOKEN": key(50), "OPENAI_API_KEY": key(51), "AWS_SECRET_ACCESS_KEY": key(52)}
ELSEWHERE = {"TRUSTED_PROXIES", "METRICS_ADDRESS", "POSTGRES_DATABASE_URL", "DATA_DIR"}
"""Networks and addresses only; tested on its own; a folder that the test needs."""


def read_bundle(file: Path) -> dict[str, str]:
    with tarfile.open(file) as archive:
        found = {each.name: archive.extractfile(each) for each in archive.getmembers()}
        return {name.removeprefix("skyflo-support/"): one.read().decode() for name, one in found.items() if one}


def make_bundle(tmp_path: Path, settings: dict[str, str]) -> dict[str, str]:
    log, target = tmp_path / "engine.log", tmp_path / "bundle.tar.gz"
    log.write_text("".join(f"a line with {value}\n" for value in settings.values()))
    shell = Shell(tmp_path, "http://127.0.0.1:1", {**settings, "SKYFLO_ENV_FILE": ""})
    done = shell.run("support-bundle", "--output", str(target), "--log", str(log))
    assert done.code == 0, done.err
    assert target.stat().st_mode & 0o777 == 0o600
    assert shell.run("support-bundle", "--output", str(target)).code != 0, "an existing file is not replaced"
    return read_bundle(target)


def test_every_text_setting_has_a_canary() -> None:
    shown = {
        name.upper()
        for name, field in Settings.model_fields.items()
        if _describe("some text", field) != "set" or "int" in str(field.annotation) or "float" in str(field.annotation)
    }
    texts = {name.upper() for name in Settings.model_fields} - {"ENVIRONMENT"} - shown
    assert texts - {name for name in texts if "bool" in str(Settings.model_fields[name.lower()].annotation)} == (
        set(CANARIES) | ELSEWHERE
    )


def test_bundle_describes_the_installation_without_any_canary(tmp_path: Path, migrated_sqlite: Path) -> None:
    data = tmp_path / "canary60x7q"
    data.mkdir()
    shutil.copy(migrated_sqlite, data / "skyflo.sqlite3")
    files = make_bundle(tmp_path, {**CANARIES, **OTHERS, "DATA_DIR": str(data), "LLM_MAX_ITERATIONS": "17"})
    assert [name for name, text in files.items() if "canary" in text or "Zk3vR8tW1mP5sD9fG2hJ4" in text] == []
    read: dict[str, Any] = {name: json.loads(text) for name, text in files.items() if name.endswith(".json")}
    assert set(files) == {"versions.json", "settings.json", "database.json", "checks.json", "log.txt"}
    assert read["versions.json"]["skyflo-engine"]
    settings = read["settings.json"]
    assert (settings["LLM_MAX_ITERATIONS"], settings["LLM_MODEL"], settings["LOG_LEVEL"]) == (17, "set", "default")
    assert settings["MCP_SERVERS"][0] == {"number": 1, "kind": "command", "trusted": False, "tools": 0}
    assert "OPENAI_API_KEY" in settings["variables"]
    database = read["database.json"]
    assert (database["pending"], database["rows"]["runs"]) == ([], 0)
    assert {"settings", "database", "tools", "engine"} <= {each["check"] for each in read["checks.json"]}
    assert files["log.txt"].count("\n") > 20


def test_unreachable_database_is_described_without_its_password(tmp_path: Path) -> None:
    url = f"postgres://ada:{key(70)}@127.0.0.1:1/{key(71)}"
    files = make_bundle(tmp_path, {"POSTGRES_DATABASE_URL": url, "JWT_SECRET": key(72), "CREDENTIALS_KEY": key(73)})
    assert "canary" not in "".join(files.values())
    assert json.loads(files["database.json"])["error"]


def test_invalid_settings_are_named(tmp_path: Path) -> None:
    files = make_bundle(tmp_path, {"JWT_SECRET": key(80), "LLM_TEMPERATURE": key(81), "DATA_DIR": str(tmp_path)})
    assert "log.txt" not in files, "without the settings, their secrets can't be masked"
    assert json.loads(files["settings.json"])["problems"][0].startswith("LLM_TEMPERATURE")
    assert "canary" not in files["settings.json"] + files["checks.json"]
