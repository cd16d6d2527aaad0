"""Redact trees of JSON or YAML by what their places mean: kinds, names, lists of arguments, steps of a patch."""

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field

from skyflo_common.jsontypes import Json, JsonObject
from skyflo_common.redaction.accounts import is_unlike_a_word
from skyflo_common.redaction.budget import Budget, Mask
from skyflo_common.redaction.commands import redact_arguments_of_commands
from skyflo_common.redaction.masks import TOO_DEEP, is_mask
from skyflo_common.redaction.names import (
    is_name_of_object,
    is_object_reference,
    is_plain_value,
    is_plural_of_secrets,
    is_secret_name,
    word_set,
)
from skyflo_common.redaction.yaml_text import DEEPEST, Scalar

__all__ = ["TreeRedaction", "is_of_secret_kind"]

_SHORTEST_NUMBER = 4
_SECRET_KINDS = word_set("secret secrets secretlist v1/secret v1/secrets core/v1/secret v1/secretlist")
_KIND_KEYS = ("kind", "resource", "resource_type", "resourceType")
_COMMANDS = (("command", "args"), ("entrypoint", "command"))
_LONG = 32
_PRIVATE_OF_JWK = word_set("d p q dp dq qi k oth")
_SEALED = ("data", "stringData")
_BODIES = word_set("patch body manifest manifests object value values resource_body content yaml json")
_NAME_KEYS = ("name", "Name", "key", "Key", "field", "parameter")
_VALUE_KEYS = word_set("value Value val default defaultValue values")
_VALUE_OF_NAMED = word_set("value plain plaintext literal content text raw string stringValue inline default")
_OPERATIONS = word_set("add remove replace move copy test")
_CONFIGURATION = word_set("name enabled create path file type namespace provider annotations labels key")
_PLACED_BY_NUMBER = re.compile(r"/(?:env/(?:\d+|-)/value|(?:args|command)/(?:\d+|-))\Z")


@dataclass
class TreeRedaction:
    """One redaction of a tree. It returns copies and keeps keys where they are."""

    mask: Mask
    mask_encoded: Mask
    redact_string: Callable[[str, bool], str]
    """Redacts a leaf; the flag is true for the text of a Secret."""
    budget: Budget
    masked_scalars: dict[int, Scalar] = field(default_factory=dict)
    """The leaves of YAML that were masked, by identity: an alias puts the same leaf into several places."""

    def redact(self, value: Json, depth: int = 0, *, is_secret: bool = False) -> Json:
        """Return the tree without secrets. `is_secret` says that it is a Secret or a patch of one."""
        self.budget.count_node()
        if depth > DEEPEST:
            return TOO_DEEP
        if isinstance(value, str):
            return self._string(value, is_secret=is_secret)
        if isinstance(value, list):
            return self._list(value, depth, is_secret=is_secret)
        if isinstance(value, dict):
            return self._object(value, depth, is_secret=is_secret)
        return value

    def _string(self, value: str, *, is_secret: bool = False) -> str:
        if id(value) in self.masked_scalars:
            return self.mask(value)
        redacted = self.redact_string(value, is_secret)
        return value if redacted == value else redacted  # keeps how YAML wrote it

    def _list(self, items: list[Json], depth: int, *, is_secret: bool = False) -> Json:
        texts = [item for item in items if isinstance(item, str)]
        if len(texts) != len(items):
            return [self.redact(item, depth + 1, is_secret=is_secret) for item in items]
        redacted: list[Json] = []
        flag = ""
        for item in redact_arguments_of_commands(texts, self.mask):
            self.budget.count_node()
            if flag and not item.startswith("--"):
                redacted.append(self._hide(flag, item, depth))
            else:
                redacted.append(self._string(item))
            is_flag = item.startswith("-") and "=" not in item and " " not in item
            flag = item if is_flag and is_secret_name(item) else ""
        return redacted

    def _object(self, value: JsonObject, depth: int, *, is_secret: bool = False, named: str = "") -> Json:
        is_secret = is_secret or is_of_secret_kind(value)
        if _is_step(value):
            return self._step(value, depth, is_secret=is_secret)
        value = self._with_arguments_redacted(value)
        pair = named or next((name for key in _NAME_KEYS if is_secret_name(name := _text(value, key))), "")
        redacted: JsonObject = {}
        for key, item in value.items():
            shown = self._string(key)
            if is_secret and key in (*_SEALED, "items"):
                redacted[shown] = self._of_secret(key, item, depth + 1)
            elif key == "stringData":
                redacted[shown] = self._seal(item, depth + 1)
            elif is_secret and key in _BODIES:
                redacted[shown] = self.redact(item, depth + 1, is_secret=True)
            elif pair and key in (_VALUE_OF_NAMED if named else _VALUE_KEYS):
                redacted[shown] = self._hide(pair, item, depth + 1)
            elif _is_secret_member(key, value):
                redacted[shown] = self._hide(key, item, depth + 1)
            elif isinstance(item, dict | list) and is_plural_of_secrets(key):
                redacted[shown] = self._hide_plural(item, depth + 1)
            else:
                redacted[shown] = self.redact(item, depth + 1)
        return redacted

    def _hide_plural(self, item: JsonObject | list[Json], depth: int) -> Json:
        if isinstance(item, dict):
            return self._hide_members(item, depth)
        return [self._member(each, depth + 1) for each in item]

    def _member(self, item: Json, depth: int) -> Json:
        """An item of `tokens: [...]`, which may as well be the name of an object."""
        is_value = (
            isinstance(item, str) and is_unlike_a_word(item) and (len(item) >= _LONG or not is_name_of_object(item))
        )
        return self._hide("value", item, depth) if is_value else self.redact(item, depth)

    def _with_arguments_redacted(self, value: JsonObject) -> JsonObject:
        """A container whose arguments stand apart from its command; without one its image names the program."""
        for program, arguments in _COMMANDS:
            command, given = _texts(value.get(program)), _texts(value.get(arguments))
            image = _text(value, "image").rpartition("/")[2].partition("@")[0].partition(":")[0]
            if given and (command := command or [image]):
                redacted: list[Json] = [*redact_arguments_of_commands([*command, *given], self.mask)]
                value = {**value, arguments: redacted[len(command) :]}
        return value

    def _of_secret(self, key: str, item: Json, depth: int) -> Json:
        if key in _SEALED or not isinstance(item, list):
            return self._seal(item, depth)
        return [self.redact(each, depth + 1, is_secret=True) for each in item]

    def _step(self, step: JsonObject, depth: int, *, is_secret: bool) -> Json:
        """Redact one step of a JSON patch by the path that it changes."""
        path = _text(step, "path").strip()
        names = [name.replace("~1", "/").replace("~0", "~") for name in path.split("/")[1:]]
        redacted: JsonObject = {}
        for key, item in step.items():
            if key != "value":
                redacted[key] = self.redact(item, depth + 1)
            elif names[:1] == ["stringData"] or (is_secret and names[:1] == ["data"]):
                redacted[key] = self._seal(item, depth + 1)
            elif is_secret and (not names or names == [""]):
                redacted[key] = self.redact(item, depth + 1, is_secret=True)
            elif _PLACED_BY_NUMBER.search(path) and isinstance(item, str) and not item.startswith("-"):
                redacted[key] = self._hide("value", item, depth + 1)
            elif named := next((name for name in reversed(names) if not name.isdigit() and name != "-"), ""):
                redacted[key] = self._under(named, item, depth + 1)
            else:
                redacted[key] = self.redact(item, depth + 1)
        return redacted

    def _under(self, name: str, item: Json, depth: int) -> Json:
        if is_secret_name(name):
            return self._hide(name, item, depth)
        if isinstance(item, dict | list) and is_plural_of_secrets(name):
            return self._hide_plural(item, depth)
        return self.redact(item, depth)

    def _hide_members(self, value: JsonObject, depth: int) -> Json:
        """An object of named secrets, but for the members that configure them."""
        redacted: JsonObject = {}
        for key, item in value.items():
            is_leaf = not isinstance(item, dict | list)
            hides = is_leaf and key not in _CONFIGURATION and not (is_object_reference(key, str(item)))
            redacted[self._string(key)] = (
                self._hide(key, item, depth + 1) if hides else self._under(key, item, depth + 1)
            )
        return redacted

    def _hide(self, name: str, item: Json, depth: int) -> Json:
        """A value under the name of a secret."""
        self.budget.count_node()
        if depth > DEEPEST:
            return TOO_DEEP
        if isinstance(item, dict):
            return self._object(item, depth, named=name)
        if isinstance(item, list):
            return [self._hide(name, each, depth + 1) for each in item]
        if isinstance(item, str):
            is_short_number = isinstance(item, Scalar) and item.is_number and len(item) < _SHORTEST_NUMBER
            if is_mask(item) or is_short_number or is_plain_value(name, item) or is_object_reference(name, item):
                return self._string(item)
            return self._mask(item)
        if isinstance(item, bool) or item is None or len(str(item)) < _SHORTEST_NUMBER:
            return item
        return self.mask(str(item))

    def _seal(self, item: Json, depth: int) -> Json:
        """Whatever a Secret holds: every leaf is masked."""
        self.budget.count_node()
        if depth > DEEPEST:
            return TOO_DEEP
        if isinstance(item, dict):
            return {self._string(key): self._seal(each, depth + 1) for key, each in item.items()}
        if isinstance(item, list):
            return [self._seal(each, depth + 1) for each in item]
        if item is None or item == "" or (isinstance(item, str) and is_mask(item)):
            return item
        return self._mask(item, self.mask_encoded) if isinstance(item, str) else self.mask(json.dumps(item))

    def _mask(self, item: str, mask: Mask | None = None) -> str:
        if isinstance(item, Scalar):
            self.masked_scalars[id(item)] = item
        return (mask or self.mask)(item)


def _text(value: JsonObject, key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _texts(value: Json) -> list[str]:
    """The items of a list that holds texts only, otherwise none."""
    texts = [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
    return texts if isinstance(value, list) and len(texts) == len(value) else []


def is_of_secret_kind(value: JsonObject) -> bool:
    """Tell whether an object is a Secret, or a call's arguments are about one."""
    return any(_text(value, key).strip().lower() in _SECRET_KINDS for key in _KIND_KEYS)


def _is_step(value: JsonObject) -> bool:
    """Whether an object is a step of a JSON patch, or would be one without blanks around its words."""
    path = value.get("path")
    if not isinstance(path, str) or _text(value, "op").strip().lower() not in _OPERATIONS:
        return False
    return not path.strip() or path.strip().startswith("/")


def _is_secret_member(key: str, value: JsonObject) -> bool:
    """Whether a member holds a secret by its name, in the company in which it stands."""
    if key == "auth":
        return _is_basic_auth(_text(value, "auth"))
    if key in _PRIVATE_OF_JWK:
        return "kty" in value
    if key == "secretKey" and not value.keys().isdisjoint(("remoteRef", "sourceRef", "secretName")):
        return False  # the name of a key in a Secret
    return is_secret_name(key)


def _is_basic_auth(text: str) -> bool:
    """Whether a text is `name:password` in base64, as in Docker's configuration."""
    try:
        return b":" in b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
