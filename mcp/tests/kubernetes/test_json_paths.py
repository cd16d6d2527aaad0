"""Paths name every part of an object."""

import processor_time
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyflo_common.jsontypes import JsonValue
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.json_paths import PathParts, format_path, parse_path, select

KEYS = st.text(st.characters(codec="utf-8", exclude_characters=" "), min_size=1, max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)


def places(value: JsonValue, parts: PathParts = ()) -> list[tuple[PathParts, JsonValue]]:
    """Return every place in a value but the root."""
    inner: list[tuple[str | int, JsonValue]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [place for key, item in inner for place in [((*parts, key), item), *places(item, (*parts, key))]]


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_formatted_path_leads_back_to_its_place(body: dict[str, JsonValue]) -> None:
    for parts, value in places(body):
        (match,) = select(body, parse_path(format_path(parts)))
        assert (match.parts, match.value) == (parts, value)


@given(st.text(max_size=40) | st.from_regex(r"[a-z.\[\]'\"*?()@=\\{}$/0-9-]{0,40}"))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        select({"a": [{"b": "c"}], "a.b": {}}, parse_path(text))
    except InvalidArguments:
        return


def test_key_is_preferred_to_a_longer_one_with_dots() -> None:
    body: JsonValue = {"a": {"b": 1}, "a.b": 2, "x.y": {"z.w": 3}, "p": "text", "p.q": 4}
    for path, value in (("a.b", 1), ("['a.b']", 2), ("x.y.z.w", 3), ("p.q", 4), ("/x.y/z.w", 3)):
        (match,) = select(body, parse_path(path))
        assert match.value == value


@pytest.mark.parametrize("path", ["a." * 300, "[" * 1000, "a[" * 400, "\\" * 999, "['" * 400])
def test_hostile_paths_are_refused_quickly(path: str) -> None:
    with processor_time.at_most(1), pytest.raises(InvalidArguments):
        select({"a": {"a": {}}}, parse_path(path))
