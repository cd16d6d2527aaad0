"""Objects that are too long lose their largest fields, and each cut is named."""

from hypothesis import given, settings
from hypothesis import strategies as st

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.kubernetes.json_paths import parse_path, select
from skyflo_tools.kubernetes.rendering import to_yaml
from skyflo_tools.kubernetes.shrinking import describe_cuts, shrink
from skyflo_tools.shortening import find_left_out_mark
from tests.support.examples import up_to

LIMIT = 4000
SIZES = st.sampled_from([0, 3, 50, 700, 9000])
TEXTS = st.builds(lambda char, size: char * size, st.sampled_from(["x", "x y\n", '"\\', "ü"]), SIZES)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    TEXTS | st.integers(),
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.sampled_from("abcdefgh"), inner, max_size=8),
    max_leaves=60,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status", "data"]), VALUES))
@settings(max_examples=up_to(150))
def test_result_fits_and_names_what_was_cut(body: dict[str, JsonValue]) -> None:
    small, cuts = shrink(body, LIMIT)
    assert len(to_yaml(small).encode()) <= LIMIT
    if len(to_yaml(body).encode()) > LIMIT * 1.5:
        assert cuts
    if not cuts:
        assert small == body
        return
    assert find_left_out_mark(small)
    for cut in cuts:
        assert select(body, parse_path(cut.path))
    assert cuts[0].path in describe_cuts(cuts)


def pod(containers: int, variables: int) -> JsonObject:
    env: list[JsonValue] = [{"name": f"SETTING_{n}", "value": "an ordinary value"} for n in range(variables)]
    names = [f"c{n}" for n in range(containers)]
    ended: JsonObject = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    return {
        "kind": "Pod",
        "spec": {"containers": [{"name": name, "image": "web:1", "env": env} for name in names]},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": name, "lastState": ended, "restartCount": 7} for name in names],
        },
    }


def test_state_behind_a_long_spec_stays() -> None:
    for containers, variables in ((1, 500), (3, 300), (20, 40)):
        body = pod(containers, variables)
        small, cuts = shrink(body, 16_000)
        assert to_yaml(small).count("OOMKilled") == containers
        assert all(".env" in cut.path for cut in cuts)


def test_many_small_entries_are_counted() -> None:
    body: JsonObject = {"data": {f"key-{n:05}": "value" for n in range(5000)}, "kind": "ConfigMap"}
    small, cuts = shrink(body, LIMIT)
    assert "entries left out" in to_yaml(small)
    assert [str(cut) for cut in cuts] == ["data (5000 entries)"]
