"""A small emitter of YAML that writes the same values in many of the ways that YAML allows."""

import json
from collections.abc import Callable

from hypothesis import strategies as st

from skyflo_common.jsontypes import Json

Draw = Callable[[st.SearchStrategy[object]], object]


class Emitter:
    """Writes trees as YAML; every choice of style is drawn from Hypothesis."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._anchors: dict[str, str] = {}

    def stream(self, documents: list[Json]) -> str:
        """Several documents, with directives, markers and comments."""
        texts = [self.document(document) for document in documents]
        separator = self._one("---\n", "...\n---\n", "--- # next\n")
        start = self._one("", "---\n", "# a comment\n", "%YAML 1.1\n---\n", "--- # first\n", "\n\n")
        text = start + separator.join(texts) + self._one("", "...\n", "# the end\n")
        return text.replace("\n", "\r\n") if self._one(False, False, False, True) else text

    def document(self, value: Json) -> str:
        self._anchors = {}
        if self._one(False, False, False, False, True):
            return json.dumps(value, indent=self._one(None, 2)) + "\n"
        return self._block(value, 0)

    def _one(self, *choices: object) -> object:
        return self._draw(st.sampled_from(choices))

    def _block(self, value: Json, indent: int) -> str:
        pad = " " * indent
        if isinstance(value, dict):
            return "".join(f"{pad}{self._pair(key, item, indent)}" for key, item in value.items())
        if isinstance(value, list):
            return "".join(f"{pad}-{self._item(item, indent)}" for item in value)
        return f"{pad}{self._scalar(value)}\n"

    def _pair(self, key: str, item: Json, indent: int) -> str:
        pad = " " * indent
        name = self._key(key)
        if self._one(*[False] * 6, True):
            return f"? {name}\n{pad}:{self._value(item, indent)}"
        return f"{name}{self._one('', '', '', ' ')}:{self._value(item, indent)}"

    def _value(self, item: Json, indent: int) -> str:
        """What follows a colon, with its line end."""
        comment = self._one("", "", " # a comment: x", "  # 'quoted\"")
        if isinstance(item, dict | list) and item:
            if self._one(True, True, False):
                step = self._draw(st.integers(1, 4))
                return f"{comment}\n{self._block(item, indent + step)}"
            return f" {self._flow(item)}{comment}\n"
        if self._one(*[False] * 3, True) and isinstance(item, str):
            return self._below(item, indent)
        if isinstance(item, str) and self._one(*[False] * 3, True):
            return self._block_scalar(item, indent)
        return f"{self._one(' ', ' ', '   ')}{self._properties()}{self._scalar(item)}{comment}\n"

    def _item(self, item: Json, indent: int) -> str:
        if isinstance(item, dict | list) and item:
            return f" {self._flow(item)}\n" if self._one(True, False) else f"\n{self._block(item, indent + 2)}"
        return f" {self._properties()}{self._scalar(item)}\n"

    def _below(self, item: str, indent: int) -> str:
        pad = " " * (indent + self._draw(st.integers(1, 5)))
        gap = self._one("", "\n", f"{pad}# between\n")
        tag = self._one("", " !!str", " &below", " !<tag:yaml.org,2002:str>")
        return f"{tag}\n{gap}{pad}{self._scalar(item)}\n"

    def _block_scalar(self, item: str, indent: int) -> str:
        step = self._draw(st.integers(1, 4))
        style, chomp = self._one("|", ">"), self._one("", "-", "+")
        explicit = self._one("", str(step))
        comment = self._one("", " # a block")
        tag = self._one("", "!!str ", "&block ")
        pad = " " * (indent + step)
        return f" {tag}{style}{explicit}{chomp}{comment}\n{pad}{item}\n{self._one('', chr(10))}"

    def _flow(self, value: Json) -> str:
        space = self._one("", " ", "\n          ")
        if isinstance(value, dict):
            pairs = [f"{self._key(key, flow=True)}: {self._flow(item)}" for key, item in value.items()]
            return "{" + space + f",{space or ' '}".join(pairs) + self._one("", ",", " ") + "}"
        if isinstance(value, list):
            return "[" + space + f", {space}".join(self._flow(item) for item in value) + "]"
        return self._properties() + self._scalar(value, flow=True)

    def _properties(self) -> str:
        return str(self._one("", "", "", "!!str ", "! ", "!<tag:yaml.org,2002:str> ", "!secret ", "&x "))

    def _key(self, key: str, flow: bool = False) -> str:
        return str(self._one(key, key, json.dumps(key), f"'{key}'", self._escaped(key)))

    def _scalar(self, value: Json, flow: bool = False) -> str:
        if not isinstance(value, str):
            return json.dumps(value)
        quoted = value.replace("'", "''")
        choices = [json.dumps(value), f"'{quoted}'", self._escaped(value)]
        if value and value[0].isalnum() and not any(char in value for char in ":#,[]{}\"'\\\n"):
            choices += [value, value]
        if not flow and len(value) > 4:
            choices.append(f'"{value[:4]}\\\n          {value[4:]}"')
        return str(self._one(*choices))

    def _escaped(self, value: str) -> str:
        """In double quotes, with some characters as escapes."""
        parts = []
        for char in value:
            form = self._one("{}", "{}", "\\x{:02x}", "\\u{:04x}", "\\U{:08x}")
            parts.append(char if form == "{}" else str(form).format(ord(char)))
        return '"' + "".join(parts) + '"'
