"""The text that a model gets of a tool result's content blocks."""

import pytest

from src.api.agent.content_blocks import text_of_blocks
from src.api.schemas.base import Json

BLOCKS: list[tuple[Json, str]] = [
    ({"type": "text", "text": "hello"}, "hello"),
    (
        {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/plain", "text": "inside"}},
        "[resource file:///a, text/plain]\ninside",
    ),
    ({"type": "resource", "resource": {"uri": "file:///a", "text": ""}}, "[resource file:///a]\n"),
    (
        {"type": "resource", "resource": {"uri": "file:///b", "blob": "AAAA"}},
        "[binary resource file:///b, about 3 bytes, not shown to the model]",
    ),
    (
        {"type": "resource_link", "uri": "https://h/r", "name": "r", "description": "a\n\nb", "size": 7},
        "[link to the resource https://h/r, 7 bytes; its content was not read] r a b",
    ),
    (
        {"type": "image", "mimeType": "image/png", "data": "AAAA"},
        "[image, image/png, about 3 bytes, not shown to the model]",
    ),
    ({"type": "hologram"}, "[hologram, not shown to the model]"),
    ({"type": "resource", "resource": "odd"}, "[resource, not shown to the model]"),
    ({"type": "resource_link", "uri": 7, "size": "x"}, "[link to the resource ; its content was not read]"),
    ("not a block", ""),
]


@pytest.mark.parametrize(("block", "text"), BLOCKS)
def test_block_becomes_text_or_is_named(block: Json, text: str) -> None:
    assert text_of_blocks([block]) == text


@pytest.mark.promise("bounded")
def test_fields_of_a_block_are_short_and_on_one_line() -> None:
    link: Json = {"type": "resource_link", "uri": "u" * 9000, "name": "n\n" * 9000, "description": "d" * 9000}
    text = text_of_blocks([link])
    assert len(text) < 1700
    assert "\n" not in text
