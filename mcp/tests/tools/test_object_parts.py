"""k8s_get reads a part of an object, and cuts the biggest fields of one that is too long."""

import pytest
from cluster_namespace import KubeNamespace
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.kubernetes.rendering import TEXT_BYTES
from skyflo_tools.tools import get


async def test_cut_leaves_out_the_biggest_fields_and_names_them(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    huge = "{\n" + "".join(f'  "panel{n}": "{"x" * 80}",\n' for n in range(9000)) + "}"
    settings = "[server]\nroot_url=http://wrong.example\n"
    await namespace.create_config_map("dashboards", **{"aaa-huge.json": huge, "zzz-settings.ini": settings})
    arguments: dict[str, JsonValue] = {"kind": "cm", "name": "dashboards", "namespace": namespace.name}
    whole = await tool_client.read("k8s_get", **arguments, output="yaml")
    assert "root_url=http://wrong.example" in whole.text
    assert len(whole.text.encode()) < TEXT_BYTES + 1000
    assert whole.data["shortened"] == [r"data.aaa-huge\.json"]
    assert f"({len(huge)} characters, 9002 lines)" in whole.text
    assert "characters left out]" in whole.text
    data = await tool_client.read("k8s_get", **arguments, path="data")
    assert "root_url=http://wrong.example" in data.text
    assert data.data["shortened"] == [r"data.aaa-huge\.json"]


@pytest.mark.parametrize(
    "path",
    [r"data.config\.yaml", "data['config.yaml']", 'data["config.yaml"]', "{.data.config\\.yaml}", "$.data.config.yaml",
     "data.config.yaml", "/data/config.yaml", ".data['config.yaml']"],
)  # fmt: skip
async def test_part_of_an_object_is_read_by_its_path(
    tool_client: ToolClient, namespace: KubeNamespace, path: str
) -> None:
    await namespace.create_config_map("settings", **{"config.yaml": "a: 1\nb: 2\nc: 3\n", "config": "no"})
    arguments: dict[str, JsonValue] = {"kind": "cm", "name": "settings", "namespace": namespace.name}
    part = await tool_client.read("k8s_get", **arguments, path=path)
    assert part.data["value"] == "a: 1\nb: 2\nc: 3\n"
    assert part.data["path"] == r"data.config\.yaml"
    assert part.text.splitlines()[0].endswith(r"data.config\.yaml: lines 1-3 of 3")
    second = await tool_client.read("k8s_get", **arguments, path=path, lines="2-3")
    assert second.text.splitlines()[1:] == ["b: 2", "c: 3"]
    assert (await tool_client.read("k8s_get", **arguments, path=path, lines="-1")).text.splitlines()[1:] == ["c: 3"]
    assert (await tool_client.call("k8s_get", {**arguments, "path": path, "lines": "4-"})).has_error("bad_arguments")


async def test_ranges_continue_where_the_last_one_ended(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    lines = [f"line {n} {'y' * 60}" for n in range(1000)]
    one_line = "".join(f"<{n}>" for n in range(9000))
    await namespace.create_config_map("big", lines="\n".join(lines), one_line=one_line)
    arguments: dict[str, JsonValue] = {"kind": "cm", "name": "big", "namespace": namespace.name}
    assert await read_all(tool_client, arguments, "data.lines", "\n") == "\n".join(lines)
    assert await read_all(tool_client, arguments, "data.one_line", "") == one_line
    yaml = await tool_client.read("k8s_get", **arguments, lines="1-2")
    assert yaml.text.splitlines()[1] == "kind: ConfigMap"


async def read_all(tool_client: ToolClient, arguments: dict[str, JsonValue], path: str, between: str) -> str:
    """Read a part to its end, range by range."""
    parts, following = [], {}
    while True:
        part = await tool_client.read("k8s_get", **arguments, path=path, **following)
        body = part.text.split("\n", 1)[1]
        assert len(body.encode()) < TEXT_BYTES + 100
        if not part.data["next"]:
            return between.join([*parts, body])
        parts.append(body.rpartition("\n… more: ")[0])
        following = {part.data["unit"]: part.data["next"]}


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("spec.template.spec.containers[0].image", "web:1"),
        ("spec.template.spec.containers[-1].image", "web:1"),
        ("spec.template.spec.containers[*].image", "- web:1"),
        ('spec.template.spec.containers[?(@.name=="app")].image', "web:1"),
        ("metadata.annotations.example.com/note", "kept"),
        (r"metadata.annotations.example\.com/note", "kept"),
        ("metadata.annotations['example.com/note']", "kept"),
        ("spec.replicas", "0"),
    ],
)
async def test_paths_have_indexes_filters_and_keys_with_dots(
    tool_client: ToolClient, namespace: KubeNamespace, path: str, shown: str
) -> None:
    await namespace.create_deployment(replicas=0, annotations={"example.com/note": "kept"})
    part = await tool_client.read("k8s_get", kind="deploy", name="web", namespace=namespace.name, path=path)
    assert part.text.splitlines()[1:] == [shown]


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("spec.none", "path_not_found", "spec has no key none"),
        ("spec.none", "path_not_found", "spec has the keys"),
        ("spec.template.spec.containers[7]", "path_not_found", "is a list of 1 items"),
        ("spec.template.spec.containers.app", "path_not_found", "is a list of 1 items"),
        ("metadata.name.x", "path_not_found", "is a str without fields"),
        ("spec[", "bad_arguments", "not closed"),
        ("spec..replicas", "bad_arguments", "empty step"),
        ("spec[a-b]", "bad_arguments", "not supported"),
    ],
)
async def test_wrong_path_says_what_is_there(
    tool_client: ToolClient, namespace: KubeNamespace, path: str, code: str, said: str
) -> None:
    await namespace.create_deployment(replicas=0)
    arguments: JsonObject = {"kind": "deploy", "name": "web", "namespace": namespace.name, "path": path}
    refused = await tool_client.call("k8s_get", arguments)
    assert refused.has_error(code), refused.text
    assert said in refused.text


async def test_part_of_a_secret_is_masked(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create("secrets", {"metadata": {"name": "db"}, "stringData": {"tls.key": "hunter2-hunter2"}})
    for path in (r"data.tls\.key", "data", ""):
        part = await tool_client.read(
            "k8s_get", kind="secret", name="db", namespace=namespace.name, path=path, lines="1-"
        )
        assert "aHVudGVyMi1odW50ZXIy" not in part.text + str(part.data)
        assert "masked, " in part.text


@pytest.mark.parametrize("path", ["data", "data.x"])
async def test_part_needs_a_name(tool_client: ToolClient, path: str) -> None:
    assert (await tool_client.call("k8s_get", {"kind": "cm", "path": path})).has_error("bad_arguments")


async def test_part_of_an_unchecked_object_is_not_shown(
    tool_client: ToolClient, namespace: KubeNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get, "PART_SECONDS", 0.0)
    await namespace.create_config_map("large", text="token: hidden\n" * 20_000, small="1")
    arguments: JsonObject = {"kind": "cm", "name": "large", "namespace": namespace.name, "path": "data.small"}
    assert (await tool_client.call("k8s_get", arguments)).has_error("too_large_to_check")
