"""The redactor: masks secrets in trees, in manifests and in free text."""

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Collection, Iterable

from skyflo_common.jsontypes import Json, JsonObject
from skyflo_common.redaction.accounts import redact_accounts
from skyflo_common.redaction.assignments import redact_assignments
from skyflo_common.redaction.budget import LONGEST_TEXT, WINDOW, Budget, Exhausted, Mask
from skyflo_common.redaction.commands import redact_commands
from skyflo_common.redaction.dressing import undress, unescape_entities
from skyflo_common.redaction.masks import TOO_LARGE, Fingerprints, is_mask
from skyflo_common.redaction.quoted_text import redact_quoted
from skyflo_common.redaction.secret_lines import redact_secret_documents
from skyflo_common.redaction.standard_input import redact_standard_input
from skyflo_common.redaction.structure import TreeRedaction, is_of_secret_kind
from skyflo_common.redaction.tokens import redact_tokens
from skyflo_common.redaction.urls import redact_urls
from skyflo_common.redaction.values import KnownValues, is_distinctive
from skyflo_common.redaction.xml_text import redact_xml
from skyflo_common.redaction.yaml_text import Unreadable, looks_structured, read_documents, write_documents

__all__ = ["Redactor"]

_SHORTEST_TEXT = 6
_DEEPEST_NESTING = 4
_HINTS = (
    "pass", "pwd", "pw", "secret", "token", "cred", "key", "client-", "jwt", "webhook", "authorization", "cookie",
    "salt", "htpasswd", "dockerc", "auth", "psk", "code", "otp",
)  # fmt: skip
_COMMENT = re.compile(r"(?m)(?:^|(?<=[ \t]))#[^\n]*")
_MANIFEST = re.compile(r"""(?m)^[ \t-]{0,80}["']?(?:apiVersion|kind|metadata|spec|data|stringData)["']?[ \t]{0,8}:""")


class Redactor:
    """Masks what looks like a secret, what stands where secrets stand, and the values given as `secrets`.

    `key` is the installation's own (32 bytes), so that fingerprints of one installation say nothing in another. Masking
    twice changes nothing. Work is bounded: a value beyond the bounds is masked as a whole.
    """

    def __init__(self, key: bytes, secrets: Collection[str] = ()) -> None:
        self.fingerprints = Fingerprints(key)
        self._secrets = frozenset(secrets)
        self._known = KnownValues(self._secrets)

    def with_secrets(self, secrets: Iterable[str]) -> "Redactor":
        """Return a redactor that also hides these values wherever they occur."""
        added = frozenset(secrets) - self._secrets
        return Redactor(self.fingerprints.key, self._secrets | added) if added else self

    def mask(self, value: str | bytes) -> str:
        """Return what may be shown of a secret value: its length and a keyed fingerprint."""
        return self.fingerprints.mask(value)

    def redact(self, value: Json, *, budget: Budget | None = None) -> Json:
        """Return the JSON value without secrets. Texts in it that are YAML or JSON are masked by their meaning."""
        return self._run(budget).tree(value)

    def redact_text(self, text: str, *, budget: Budget | None = None) -> str:
        """Return a text of any kind without secrets: prose, logs, diffs, command lines, parts of manifests."""
        return self._run(budget).whole_text(text)

    def redact_manifest(self, text: str, *, is_secret: bool = False, budget: Budget | None = None) -> str:
        """Return YAML or JSON without secrets by parsing it; a text that can't be parsed is masked as a whole.

        `is_secret` says that the text is a Secret or a patch of one. If anything is masked, the text is written again
        in block style and without comments.
        """
        return self._run(budget).manifest(text, is_secret=is_secret)

    def redact_arguments(
        self, arguments: JsonObject, bodies: Collection[str] = (), *, budget: Budget | None = None
    ) -> JsonObject:
        """Return a tool call's arguments without secrets.

        `bodies` names the arguments that are manifests or patches. Other texts that look like a manifest but can't be
        read are masked as a whole, too.
        """
        redacted = self._run(budget, is_strict=True, bodies=bodies).tree(arguments)
        return redacted if isinstance(redacted, dict) else dict.fromkeys(arguments, TOO_LARGE)

    def holds_secret(
        self, arguments: JsonObject, bodies: Collection[str] = (), *, budget: Budget | None = None
    ) -> bool:
        """Tell whether arguments hold values of a Kubernetes Secret, or one of the secrets of this installation.

        What else is masked, such as a literal password, counts only if it can't be read. True beyond the bounds.
        """
        run = self._run(budget, is_strict=True, bodies=bodies)
        run.tree(arguments)
        return run.holds_secret

    def hidden_values(self, value: Json, *, budget: Budget | None = None) -> frozenset[str]:
        """Return every value that `redact` would mask, and the data of Secrets decoded, to hide it elsewhere."""
        run = self._run(budget)
        run.tree(value)
        return frozenset(run.found)

    def hide_values(self, value: Json, values: Collection[str]) -> Json:
        """Return a JSON value in which only these values are masked, in any spelling and also inside of base64."""
        known = KnownValues(values)
        return _hide(value, known, self.mask, Budget()) if known else value

    def _run(self, budget: Budget | None, *, is_strict: bool = False, bodies: Collection[str] = ()) -> "_Run":
        return _Run(self.fingerprints, self._known, budget or Budget(), is_strict, bodies)


class _Run:
    """One redaction: its bounds, and the values that it has masked so far."""

    def __init__(
        self, fingerprints: Fingerprints, known: KnownValues, budget: Budget, is_strict: bool, bodies: Collection[str]
    ) -> None:
        self.found: dict[str, None] = {}
        self.holds_secret = False
        self._fingerprints = fingerprints
        self._known = known
        self._budget = budget
        self._is_strict = is_strict
        self._bodies = bodies
        self._nesting = 0
        self._trees = TreeRedaction(self._mask, self._mask_encoded, self._leaf, budget)

    def tree(self, value: Json) -> Json:
        try:
            if self._bodies and isinstance(value, dict):
                value = self._with_bodies_redacted(value)
            return self._hide_found(self._trees.redact(value))
        except (Exhausted, RecursionError):
            self.holds_secret = True
            return self._give_up(value)

    def whole_text(self, text: str) -> str:
        try:
            redacted = self._hide_found(self._free_text(text))
            return redacted if isinstance(redacted, str) else TOO_LARGE
        except (Exhausted, RecursionError):
            return self._fingerprints.mask(text)

    def manifest(self, text: str, *, is_secret: bool) -> str:
        try:
            redacted = self._hide_found(self._body(text, is_secret))
            return redacted if isinstance(redacted, str) else TOO_LARGE
        except (Exhausted, RecursionError):
            return self._fingerprints.mask(text)

    def _give_up(self, value: Json) -> Json:
        return self._fingerprints.mask(value) if isinstance(value, str) else TOO_LARGE

    def _with_bodies_redacted(self, arguments: JsonObject) -> JsonObject:
        is_secret = is_of_secret_kind(arguments)
        return {
            name: self._body(item, is_secret) if name in self._bodies and isinstance(item, str) else item
            for name, item in arguments.items()
        }

    def _body(self, text: str, is_secret: bool) -> str:
        if not text.strip() or is_mask(text):
            return text
        redacted = self._structured(text, is_secret)
        return self._mask_unreadable(text, is_secret) if redacted is None else redacted

    def _leaf(self, text: str, is_secret: bool) -> str:
        """Redact a string of a tree, which may be a manifest or free text."""
        if is_mask(text):
            return text
        if self._known.is_known(text):
            return self._mask_known(text)
        if is_secret:
            return self._body(text, is_secret)
        if looks_structured(text) and self._nesting < _DEEPEST_NESTING:
            redacted = self._structured(text, is_secret=False)
            if redacted is not None:
                return redacted
        if self._is_strict and _is_like_a_manifest(text):
            return self._mask_unreadable(text, is_secret)
        return self._free_text(text)

    def _structured(self, text: str, is_secret: bool) -> str | None:
        """YAML or JSON masked by its meaning, or None if the text is no such structure."""
        try:
            documents = read_documents(text, self._budget)
        except Unreadable:
            return None
        if not any(isinstance(document, dict | list) for document in documents):
            return None
        self._nesting += 1
        try:
            redacted = [self._trees.redact(document, is_secret=is_secret) for document in documents]
            if (
                "*" in text and self._trees.masked_scalars
            ):  # aliases put a masked leaf into places whose names are harmless
                redacted = [self._trees.redact(document, is_secret=is_secret) for document in documents]
        finally:
            self._nesting -= 1
        if redacted != documents:
            return write_documents(redacted, like=text)
        text = self._known.hide(text, self._mask_known, self._budget.check) if self._known else text
        return _COMMENT.sub(lambda comment: self._free_text(comment.group()), text) if "#" in text else text

    def _free_text(self, text: str) -> str:
        if len(text) > LONGEST_TEXT:
            raise Exhausted
        if self._known:
            text = self._known.hide(text, self._mask_known, self._budget.check)
        if len(text) < _SHORTEST_TEXT:
            return text
        shown = self._undressed(text)
        if (unescaped := unescape_entities(shown)) == shown:
            return shown
        again = self._undressed(unescaped)  # only now: in XML, an escaped `<` is no end of a value
        return shown if again == unescaped else again

    def _undressed(self, text: str) -> str:
        dressed = undress(text)
        return dressed.show(self._plain_text(dressed.plain)) if dressed else self._plain_text(text)

    def _plain_text(self, text: str) -> str:
        if self._nesting < _DEEPEST_NESTING:
            text = redact_quoted(text, self._quoted, self._budget)
        text = redact_tokens(text, self._mask, self._budget)
        text = redact_urls(text, self._mask, self._budget)
        text = redact_accounts(text, self._mask, self._budget)
        lowered = text.lower()
        if any(hint in lowered for hint in _HINTS):
            text = redact_secret_documents(text, self._mask_encoded, self._budget)
            text = redact_xml(text, self._mask, self._budget)
            text = redact_assignments(text, self._mask, self._budget)
        text = redact_standard_input(text, self._mask, self._budget)
        return redact_commands(text, self._mask, self._budget)

    def _quoted(self, text: str) -> str:
        self._nesting += 1
        try:
            return self._leaf(text, is_secret=False)
        finally:
            self._nesting -= 1

    def _mask(self, value: str) -> str:
        self.found[value] = None
        return self._fingerprints.mask(value)

    def _mask_known(self, value: str) -> str:
        self.holds_secret = True
        return self._mask(value)

    def _mask_unreadable(self, text: str, is_secret: bool) -> str:
        self.holds_secret = self.holds_secret or is_secret or "secret" in text.lower()
        return self._fingerprints.mask(text)

    def _mask_encoded(self, value: str) -> str:
        """Mask a value of a Secret; base64 gets the fingerprint of its decoded bytes."""
        self.holds_secret = True
        self.found[value] = None
        try:
            decoded = b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return self._fingerprints.mask(value)
        self.found[decoded.decode("utf-8", errors="replace")] = None
        return self._fingerprints.mask(decoded)

    def _hide_found(self, value: Json) -> Json:
        """Hide what was masked in one place wherever else it stands, unless it is like a word."""
        values = [found for found in self.found if is_distinctive(found)]
        if not values:
            return value
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        known = KnownValues(values)
        return (
            _hide(value, known, self._fingerprints.mask, self._budget)
            if known.occurs_in(text, self._budget.check)
            else value
        )


def _hide(value: Json, known: KnownValues, mask: Mask, budget: Budget) -> Json:
    budget.count_node()
    if isinstance(value, str):
        return mask(value) if known.is_known(value) else known.hide(value, mask, budget.check)
    if isinstance(value, list):
        return [_hide(item, known, mask, budget) for item in value]
    if isinstance(value, dict):
        return {known.hide(key, mask, budget.check): _hide(item, known, mask, budget) for key, item in value.items()}
    return value


def _is_like_a_manifest(text: str) -> bool:
    start = text.lstrip()[:5]
    if start[:1] in ("{", "["):
        return ":" in text
    is_marked = start[:4] in ("---\n", "--- ") or start == "%YAML"
    return "\n" in text and (is_marked or bool(_MANIFEST.search(text, 0, WINDOW)))
