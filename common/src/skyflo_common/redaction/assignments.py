"""Redact values that stand behind a secret's name in free text, in the ways in which programs write that.

`password=x`, `"apiKey": "x"`, `token: |` with lines below, `--password x`, and
`name: DB_PASSWORD` with `value: x` behind it.
"""

import re

from skyflo_common.redaction.accounts import is_unlike_a_word
from skyflo_common.redaction.budget import Budget, Mask, matches, replace_matches
from skyflo_common.redaction.long_values import long_value
from skyflo_common.redaction.masks import starts_with_mask
from skyflo_common.redaction.names import is_object_reference, is_plain_value, is_secret_name, word_set, words_of
from skyflo_common.redaction.quoted_text import end_of_quoted

__all__ = ["redact_assignments"]

_SHORTEST_VALUE = 3
_LONGEST_NAME = 128
_LONGEST_INDENT = 256
_WORD = re.compile(
    r"pass|pwd|pw|secret|token|cred|key|jwt|authorization|cookie|webhook|salt|dockerc|htpasswd|auth|psk|codes?\b|otp"
)
_REST_OF_NAME = re.compile(r"[A-Za-z0-9_.-]*+")
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_SIGN = re.compile(r"""\\{0,3}["'`]?\]?([ \t]{0,8})(=>|:=|==?|:)([ \t]{0,8})""")
_PAIR = re.compile(
    r"""\\{0,3}["']?[ \t]{0,8}+,?[ \t]{0,8}+(?:(?:\\{1,3}n|\r?\n)[+\- \t]{0,200}+)?\\{0,3}["']?"""
    r"""(?:[Vv]alue|default(?:Value)?)\\{0,3}["']?[ \t]{0,3}[:=][ \t]{0,8}"""
)
_BEFORE_PAIR = re.compile(r"""(?:[Nn]ame|[Kk]ey|field)\\{0,3}["']?[ \t]{0,3}[:=][ \t]{0,3}\\{0,3}["']?\Z""")
_VALUE_BEFORE = re.compile(
    r"""alue\\{0,3}["']?[ \t]{0,3}[:=][ \t]{0,8}\\{0,3}["']?([^"'\\\n{}]{3,512}+)\\{0,3}["']?[ \t]{0,8},?[ \t]{0,8}"""
    r"""(?:(?:\\{1,3}n|\r?\n)(?:\+|-(?=[ \t]{2}))?[ \t]{0,200}+)?\{?\\{0,3}["']?\Z"""
)
_LONGEST_PAIR = 768
_LINE_START = frozenset(" \t+-\"'>|\\")
_QUOTES = ("'", '"', "`")
_ESCAPED_QUOTE = re.compile(r"""\\{1,3}["']|''(?=[^\s',;:(){}\[\]])""")
_TAGS = re.compile(r"(?:[!&][A-Za-z0-9_!./:-]{1,64}[ \t]{1,4}){1,2}")
_END_OF_BARE = re.compile(r"""[\s"'\\,;&(){}\[\]<>`](?:(?<!\\)|(?=["'nrt]))""")
_TO_QUOTE = re.compile(r"""[^"'`\\\n]++""")
_ALIAS = re.compile(r"\*([A-Za-z0-9_-]{1,64})")
_ANCHOR = re.compile(r"(&([A-Za-z0-9_-]{1,64})[ \t]{1,8})([^\s&*|>#][^\n]{0,4096}+)")
_LIST = re.compile(r"\[[^\[\]{}:]{1,4096}\]")
_BLOCK = re.compile(r"\A(?:[!&]\S{0,80}[ \t]{1,8}){0,2}[|>][-+0-9]{0,2}[ \t]{0,80}(?:#[^\n]*)?\Z")
_PROPERTIES = re.compile(r"\A[!&]\S{0,80}(?:[ \t]{1,8}[!&]\S{0,80})?[ \t]{0,80}\Z")
_LINE_WITH_NAME = re.compile(r"""\A[+\- \t]*+["']?[A-Za-z0-9_./-]{1,253}["']?[ \t]?:(?:[ \t]|\Z)""")
_NEXT_ARGUMENT = re.compile(
    r"""[ \t]{1,4}|\\{0,3}["'][ \t]{0,3},[ \t]{0,3}(?:\r?\n[ \t]{0,200}+)?(?=\\{0,3}["'])"""
    r"""|[ \t]{0,4}\r?\n([+\- \t]{1,200}+)"""
)
_NEXT_ITEM = re.compile(r"[ \t]{0,3},[ \t]{0,3}()(?=[^\s,\[\]]{3,512}[ \t]{0,3}[,\]])")
_SAID = re.compile(
    r"[ \t]{1,4}(?:(?:for|of)(?:[ \t]{1,2}user)?[ \t]{1,2}\S{1,64}[ \t]{1,2})?"
    r"(?:(?:(?:is|was)[ \t]{1,4})?(?:(?:re)?set|changed) to|is|was):?[ \t]{1,4}"
)
_END_OF_LINE = re.compile(r"[ \t]{0,8}(?:\r?\n|\Z)")
_BEFORE_FLAG = frozenset(" \t\n\"'`[(,=")
_ALL_ALPHA = re.compile(r"\A[A-Za-z' ,.()-]+\Z")
_SENTENCE = word_set(
    "access account an and any are argument at authentication be cannot check contains could did does doesn't "
    "error expected expired failed field flag for from has have if in incorrect instead invalid is it key login "
    "mismatch missing must not of on option or parameter please provided rejected required secret should "
    "signature that the this to token too unauthorized unexpected unknown use user using value was when which "
    "will with without wrong"
)
_SENTENCE_STARTS = word_set(
    "authentication cannot does expected expired has incorrect invalid is mismatch missing must not please "
    "rejected required should too unauthorized was"
)
_KINDS = word_set(
    "pod pods po deployment deployments deploy replicaset replicasets rs statefulset statefulsets sts daemonset "
    "daemonsets ds job jobs cronjob cronjobs cj service services svc ingress ingresses ing secret secrets "
    "configmap configmaps cm serviceaccount serviceaccounts sa namespace namespaces ns node nodes pvc "
    "persistentvolumeclaim pv role rolebinding clusterrole clusterrolebinding hpa networkpolicy rollout rollouts "
    "application applications certificate externalsecret secretstore clustersecretstore sealedsecret helmrelease "
    "endpoints endpointslice crd lease"
)
_WORDS_OF_PROSE = word_set("token secret jwt cookie credential credentials authorization bearer creds")
_WHOLE_LINE = frozenset([("authorization",), ("proxy", "authorization"), ("cookie",), ("set", "cookie")])
_SPACE_IS_SIGN = frozenset([("requirepass",), ("masterauth",), ("rootpw",)])
_SAID_NAMES = word_set("password passwd passphrase passcode")


def redact_assignments(text: str, mask: Mask, budget: Budget) -> str:
    """Mask the values of secret names in a text of any kind."""
    lowered = text.lower()
    if len(lowered) != len(text):  # there are characters whose lower case is longer
        lowered = "".join(char.lower() if char.isascii() else char for char in text)
    return _Scanner(text, mask, budget).run(lowered)


def _bare_value(text: str, at: int) -> str:
    """Return what stands at `at` without quotes, "" if nothing does."""
    end = _END_OF_BARE.search(text, at)
    return text[at : end.start() if end else len(text)]


class _Scanner:
    """Goes through a text from one word that hints at a secret to the next."""

    def __init__(self, text: str, mask: Mask, budget: Budget) -> None:
        self._text = text
        self._mask = mask
        self._budget = budget
        self._parts: list[str] = []
        self._copied = 0
        self._at = 0
        self._aliases: set[str] = set()
        """Anchors of YAML that stand under a secret's name, in a text that can't be parsed."""

    def run(self, lowered: str) -> str:
        for found in matches(_WORD, lowered, self._budget):
            if found.start() >= self._at:
                self._look(found.start(), found.end())
        text = "".join([*self._parts, self._text[self._copied :]]) if self._parts else self._text
        return replace_matches(_ANCHOR, text, self._anchored, self._budget) if self._aliases else text

    def _anchored(self, found: re.Match[str]) -> str:
        is_shown = found[2] not in self._aliases or found[3].startswith(("{", "[")) or starts_with_mask(found[3])
        return found[0] if is_shown else found[1] + self._mask(found[3])

    def _look(self, start: int, end: int) -> None:
        """Find the whole name around a word, and mask the value behind it if there is one."""
        text = self._text
        rest = _REST_OF_NAME.match(text, end)
        end = rest.end() if rest else end
        self._at = end
        first = max(self._copied, start - _LONGEST_NAME)
        while start > first and text[start - 1] in _NAME:
            start -= 1
        name = text[start:end]
        if not is_secret_name(name):
            return
        if end == len(text):
            self._value_before(name, end)
        elif sign := _SIGN.match(text, end):
            self._assigned(name, start, sign)
        elif name.startswith("-") and (start == 0 or text[start - 1] in _BEFORE_FLAG):
            self._flag(name, start, end)
        elif _BEFORE_PAIR.search(text, max(0, start - 24), start):
            self._pair(name, end)
        elif text[end] in " \t":
            self._spaced(name, start, end)

    def _assigned(self, name: str, start: int, sign: re.Match[str]) -> None:
        before, operator, after = sign.groups()
        at = sign.end()
        if name == "PASS" and operator == ":":  # a test's result
            return
        if operator == ":" and self._names_an_object(name, start, bool(after)):
            return
        line = self._line_of(start)
        ends_line = self._text[at : at + 1] in ("", "\n", "\r")
        words = words_of(name)
        if line is not None and ((operator == ":" and (after or ends_line)) or (operator == "=" and before and after)):
            self._line_value(name, line, at)
        elif words in _WHOLE_LINE and not ends_line and self._text[at] not in "\"'`\\{[":
            self._to_quote(name, at)
        else:
            self._inline_value(name, at, is_prose=operator == ":" and bool(after or before))

    def _names_an_object(self, name: str, start: int, spaced: bool) -> bool:
        """`pod/token-7d9f: Started` and `registry/jwt:1.0` are about an object and an image of that name."""
        before = self._text[max(0, start - 64) : start]
        if before.endswith("/"):
            kind = re.split(r"[^A-Za-z.]", before[:-1])[-1]
            return not spaced or kind.lower().partition(".")[0] in _KINDS or kind == "checksum"
        if not spaced:
            return before.rstrip("\"' ").endswith(("image:", "image=", "image", 'image":'))
        tail = name.rpartition("-")[2]
        return "-" in name and name.islower() and any(char.isdigit() for char in tail)

    def _line_of(self, start: int) -> int | None:
        """The indentation of the line that begins with this name, or None if other text stands before it."""
        depth = 0
        while start > 0 and depth < _LONGEST_INDENT:
            char = self._text[start - 1]
            if char == "\n":
                return depth
            if char not in _LINE_START:
                return None
            start -= 1
            depth += char not in "\"'"
        return depth if start == 0 else None

    def _line_value(self, name: str, depth: int, at: int) -> None:
        """The rest of a line, and the lines below that belong to it."""
        text = self._text
        end = self._end_of_line(at)
        value = text[at:end].rstrip("\r")
        stripped = value.strip()
        if span := long_value(text, at):
            self._replace_value(name, *span)
        elif _BLOCK.match(stripped):
            self._mask_block(end, depth)
        elif not stripped or stripped.startswith("#") or _PROPERTIES.match(stripped):
            self._mask_block(end, depth, only_scalars=True)
        elif stripped[0] in "\"'`":
            self._quoted_value(name, at, depth)
        elif stripped[0] == "\\":
            self._inline_value(name, at, is_prose=True)
        elif stripped[0] == "[":
            self._inline_value(name, at, is_prose=False)
        elif stripped[0] == "*" and (alias := _ALIAS.fullmatch(stripped)):
            self._aliases.add(alias[1])
        elif stripped[0] not in "{*&" or not self._is_plain(name, stripped):
            self._rest_of_line(name, at, stripped, depth)

    def _rest_of_line(self, name: str, at: int, value: str, depth: int) -> None:
        if value[0] == "{" and (":" in value or len(value) == 1):
            return  # its own names are looked at
        value = value.rstrip(",")
        words = value.split(None, 2)
        if self._is_plain(name, value) or len(value) < _SHORTEST_VALUE:
            return
        is_sentence = len(words) > 1 and words[0].lower().strip(",.") in _SENTENCE_STARTS
        if is_sentence or (self._is_prose_name(name) and _ALL_ALPHA.match(value)):
            return
        start = at + len(self._text[at : at + _LONGEST_INDENT]) - len(self._text[at : at + _LONGEST_INDENT].lstrip())
        end = start + len(value)
        below, content = self._block(self._end_of_line(end), depth, only_scalars=True)
        if content and below > end:
            self._replace(start, below, self._mask(f"{value}\n{content}") + "\n")
        else:
            self._replace(start, end, self._mask(value))

    def _quoted_value(self, name: str, at: int, depth: int) -> None:
        """A value in quotes, which may go on in the lines below."""
        text = self._text
        quote = text[at]
        end = end_of_quoted(text, at)
        while quote == "'" and text.startswith("''", end):  # an escaped quote in YAML
            end = end_of_quoted(text, end + 1)
        if text[end : end + 1] == quote or text[end : end + 1] not in ("", "\n", "\r"):
            self._replace_value(name, at + 1, end)
            return
        below, content = self._block(end, depth)
        value = text[at + 1 : end]
        if content:
            self._replace(at, below, self._mask(f"{value}\n{content}") + "\n")
        else:
            self._replace_value(name, at + 1, end)

    def _inline_value(self, name: str, at: int, *, is_prose: bool) -> None:
        text = self._text
        if tags := _TAGS.match(text, at):
            at = tags.end()
        if starts_with_mask(text, at):
            return
        if escaped := _ESCAPED_QUOTE.match(text, at):
            start, limit = escaped.end(), min(len(text), escaped.end() + 8192)
            line_end = self._end_of_line(start, limit)
            close = text.find(escaped.group(), start, line_end)
            self._replace_value(name, start, close if close >= 0 else line_end)
        elif text[at : at + 1] in _QUOTES:
            self._replace_value(name, at + 1, end_of_quoted(text, at))
        elif listed := _LIST.match(text, at):
            self._replace_value(name, listed.start(), listed.end())
        elif bare := _bare_value(text, at):
            value = bare.rstrip(".:") if is_prose else bare
            if len(value) >= _SHORTEST_VALUE and not (is_prose and self._is_word(name, value)):
                self._replace_value(name, at, at + len(value))

    def _to_quote(self, name: str, at: int) -> None:
        """A header's value: everything to the end of the line or of the string that it is in."""
        if found := _TO_QUOTE.match(self._text, at):
            value = found.group().rstrip()
            if not (_ALL_ALPHA.match(value) and " " in value and value.split()[0].lower() in _SENTENCE):
                self._replace_value(name, at, at + len(value))

    def _flag(self, name: str, start: int, end: int) -> None:
        """`--password x`, on one line or as two items of a list."""
        before = self._text[max(0, start - 4) : start].rstrip()
        following = _NEXT_ARGUMENT.match(self._text, end)
        if following is None and before.endswith(("[", ",")):
            following = _NEXT_ITEM.match(self._text, end)
        if following is None or "--" in (following[1] or "") or (following[1] and "-" not in following[1]):
            return
        at = following.end()
        if self._text[at : at + 1] == "-":
            return
        if _bare_value(self._text, at).lower() not in _SENTENCE:
            self._inline_value(name, at, is_prose=False)

    def _pair(self, name: str, end: int) -> None:
        """`name: DB_PASSWORD` with `value: x` behind it, before it, or in the next line."""
        is_behind = self._value_before(name, end)
        found = _PAIR.match(self._text, end)
        if found and not (is_behind and "-" in found.group()):  # behind a dash, the next pair of a list begins
            line = self._text.rfind("\n", end, found.end())
            at = found.end()
            if line >= 0 and self._text[at : at + 1] not in "\"'\\":
                self._line_value(name, found.end() - line - len("value: ") - 1, at)
            else:
                self._inline_value(name, at, is_prose=False)

    def _value_before(self, name: str, end: int) -> bool:
        """Mask the value of a pair that stands before its name, if one does."""
        first = max(self._copied, end - len(name) - _LONGEST_PAIR)
        key = _BEFORE_PAIR.search(self._text, max(first, end - len(name) - 24), end - len(name))
        at = self._text.rfind("alue", first, key.start()) if key else -1
        found = _VALUE_BEFORE.match(self._text, at, key.start()) if key and at > first else None
        if found is None:
            return False
        self._replace_value(name, found.start(1), found.end(1))
        self._at = max(self._at, end)
        return True

    def _spaced(self, name: str, start: int, end: int) -> None:
        """`requirepass x` of Redis, `PASSWORD 'x'` of SQL, `db.password x` of properties, `the password is x`."""
        if (said := _SAID.match(self._text, end)) and words_of(name)[-1] in _SAID_NAMES:
            self._said(name, said.end())
            return
        at = end + 1
        while self._text[at : at + 1] in (" ", "\t") and at < end + 8:
            at += 1
        is_set = self._text[max(0, start - 4) : start].upper() == "SET " or self._line_of(start) is not None
        if (words_of(name) in _SPACE_IS_SIGN and is_set) or (
            self._text[at : at + 1] in ("'", '"')
            and not self._is_prose_name(name)
            and name.lower().endswith("password")
        ):
            self._inline_value(name, at, is_prose=False)
        elif words_of(name) in _SPACE_IS_SIGN:
            self._said(name, at)
        elif words_of(name)[-1] in _SAID_NAMES or (set("._") & set(name) and self._line_of(start) is not None):
            self._said(name, at, whole_line=True)
        elif self._text[max(0, start - 2) : start] == "/:":  # `npm config set //registry/:_authToken x`
            self._said(name, at)

    def _said(self, name: str, at: int, *, whole_line: bool = False) -> None:
        """A value that no sign announces: only a word that holds a digit is taken for one, no number."""
        value = _bare_value(self._text, at).rstrip(".")
        if whole_line and not _END_OF_LINE.match(self._text, at + len(value)):
            return
        if is_unlike_a_word(value):
            self._replace_value(name, at, at + len(value))

    def _mask_block(self, at: int, depth: int, *, only_scalars: bool = False) -> None:
        below, content = self._block(at, depth, only_scalars=only_scalars)
        if not content or starts_with_mask(content):
            return
        first = self._text[at:below].lstrip("\r\n")
        indent = first[: len(first) - len(first.lstrip("+- \t"))]
        self._replace(at, below, f"\n{indent}{self._mask(content)}\n")

    def _block(self, at: int, depth: int, *, only_scalars: bool = False) -> tuple[int, str]:
        """The end and the text of the lines below that are indented more; with `only_scalars` none that hold names."""
        lines: list[str] = []
        end = at
        while end < len(self._text):
            following = self._end_of_line(end + 1)
            line = self._text[end + 1 : following]
            bare = line.strip(" +-\t\r")
            if bare and (len(line) - len(line.lstrip("+- \t")) <= depth):
                break
            if only_scalars and (not bare or bare[0] in "{[#" or _LINE_WITH_NAME.match(line)):
                break
            lines.append(line.strip(" \r"))
            end = following
            if len(lines) % 256 == 0:
                self._budget.check()
        content = "\n".join(lines).strip("\n")
        return (min(end + 1, len(self._text)), content) if content.strip() else (at, "")

    def _replace_value(self, name: str, start: int, end: int) -> None:
        value = self._text[start:end]
        if not self._is_plain(name, value):
            self._replace(start, end, self._mask(value))

    def _replace(self, start: int, end: int, replacement: str) -> None:
        self._parts += [self._text[self._copied : start], replacement]
        self._copied = self._at = end

    def _end_of_line(self, at: int, limit: int | None = None) -> int:
        limit = len(self._text) if limit is None else limit
        found = self._text.find("\n", at, limit)
        return found if found >= 0 else limit

    @staticmethod
    def _is_plain(name: str, value: str) -> bool:
        return starts_with_mask(value) or is_plain_value(name, value) or is_object_reference(name, value)

    @staticmethod
    def _is_prose_name(name: str) -> bool:
        words = words_of(name)
        return bool(words) and words[-1] in _WORDS_OF_PROSE

    def _is_word(self, name: str, value: str) -> bool:
        """Whether a bare word behind a colon belongs to a sentence: `unexpected token: something`."""
        return value.lower() in _SENTENCE or (self._is_prose_name(name) and value.isalpha())
