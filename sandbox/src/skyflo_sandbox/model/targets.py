"""Read which objects a sentence names: kind, names, namespace and cluster. Resolving them comes later."""

import re
from dataclasses import dataclass, replace

from skyflo_sandbox.model.vocabulary import FILLER, NOUNS, kind_of

__all__ = ["Target", "parse_target"]

NAMES_AT_MOST = 6
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?"
_QUOTE = r"[`\"'*]{0,3}"
_END = r"(?![\w/=-])"
_QUOTED = re.compile(rf"[`\"]({_NAME})[`\"]|(?<!\w)'({_NAME})'(?!\w)")
_CLUSTER = re.compile(
    rf"(?i)(?:--(?:context|cluster)[= ]+|\b(?:in|on|of|from|for|use|at)\s+(?:the\s+)?cluster\s+)"
    rf"(?:called\s+|named\s+)?{_QUOTE}(?P<before>[\w.@:/-]*\w){_QUOTE}|"
    rf"\b(?:in|on|of|from|for|at)\s+(?:the\s+|my\s+|our\s+)?{_QUOTE}(?P<after>[\w.@:/-]*\w){_QUOTE}\s+cluster\b"
)
_EVERYWHERE = re.compile(
    r"(?i)--all-namespaces\b|(?<!\S)-A\b|\b(?:all|every|any|each)\s+(?:of\s+)?(?:the\s+|my\s+)?namespaces?\b|"
    r"\bacross\s+(?:all\s+|the\s+|every\s+)*(?:namespaces?|cluster)\b|\bcluster[- ]?wide\b|\beverywhere\b|"
    r"\b(?:in|of|on)\s+(?:the|this|my|our)\s+(?:whole\s+|entire\s+|kubernetes\s+|k8s\s+)*cluster\b"
)
_NAMESPACE = (
    re.compile(rf"(?i)(?:(?<!\S)-n|--namespace)[= ]+{_QUOTE}(?P<name>{_NAME}){_QUOTE}{_END}"),
    re.compile(rf"(?i)\b(?:namespace|ns)\b\s*[:=]?\s*(?:called\s+|named\s+)?{_QUOTE}(?P<name>{_NAME}){_QUOTE}{_END}"),
    re.compile(rf"(?i)(?<![\w/.-]){_QUOTE}(?P<name>{_NAME}){_QUOTE}\s+(?:namespace|ns)\b"),
)
_SLASHED = re.compile(rf"(?<![\w/.:-])(?P<first>{_NAME})/(?P<second>{_NAME})(?:/(?P<third>{_NAME}))?(?![\w/:-])")
_IN = re.compile(rf"(?i)\b(?:in|inside|within)\s+(?:the\s+|my\s+|our\s+)?{_QUOTE}(?P<name>{_NAME}){_QUOTE}{_END}")
_WORD = re.compile(rf"(?<![\w/=.:-]){_NAME}(?![\w/=:])")
_PRONOUN = re.compile(
    r"(?i)\b(?:it|its|it's|that|this|them|they|these|those|the same|the other one|in there)\b(?! (?:is|are)"
    r" (?:any|a)\b)"
)
# In "in X logs" or "in X pods", X is the owner of the logs or pods, not a namespace.
_OWNED = re.compile(r"(?i)^\s*(?:logs?|pods?|deployments?|service|config|replicas?|containers?)\b")


@dataclass(frozen=True)
class Target:
    """The objects that a sentence names. `names` holds words that could be names, the likeliest first."""

    kind: str = ""
    names: tuple[str, ...] = ()
    namespace: str = ""
    everywhere: bool = False
    cluster: str = ""
    pronoun: bool = False


def parse_target(text: str) -> Target:
    """Read the target of a sentence."""
    reader = _Reader(text)
    cluster, everywhere = reader.cluster(), bool(reader.take(_EVERYWHERE))
    namespace = reader.namespace()
    target = Target(cluster=cluster, everywhere=everywhere, namespace=namespace)
    target = reader.slashed(target)
    inside = "" if target.namespace else reader.inside()
    kind, names = reader.words()
    return replace(
        target,
        namespace=target.namespace or inside,
        kind=target.kind or kind,
        names=tuple(dict.fromkeys((*target.names, *names)))[:NAMES_AT_MOST],
        pronoun=_PRONOUN.search(text) is not None,
    )


class _Reader:
    """A text from which each part is removed once it is read."""

    def __init__(self, text: str) -> None:
        self._quoted = {(one or two).lower() for one, two in _QUOTED.findall(text)}
        plain = re.sub(r"(?i)(?<=\w)'(?:s|re|ve|ll|d|m)\b", "", text)
        self._rest = re.sub(r"(?i)\bconfig\s+map(s?)\b", r"configmap\1", plain)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.search(self._rest)
        if match:
            self._cut(match)
        return match

    def _cut(self, match: re.Match[str]) -> None:
        self._rest = f"{self._rest[: match.start()]} , {self._rest[match.end() :]}"

    def cluster(self) -> str:
        """Read the name of a cluster: "cluster prod", "the prod cluster"."""
        for match in _CLUSTER.finditer(self._rest):
            name = match["before"] or match["after"]
            if self._is_name(name) and name.lower() not in ("local", "this", "k8s"):
                self._cut(match)
                return name
        return ""

    def namespace(self) -> str:
        for match in (match for pattern in _NAMESPACE for match in pattern.finditer(self._rest)):
            if self._is_name(match["name"]):
                self._cut(match)
                return match["name"].lower()
        return ""

    def slashed(self, target: Target) -> Target:
        """Read `deployment/checkout`, `shop/checkout` or `shop/deployment/checkout`."""
        match = self.take(_SLASHED)
        if match is None:
            return target
        first, second, third = match["first"].lower(), match["second"].lower(), (match["third"] or "").lower()
        if kind := kind_of(first):
            return replace(target, kind=kind, names=(second,))
        if third:
            return replace(target, namespace=first, kind=kind_of(second), names=(third,))
        return replace(target, namespace=target.namespace or first, names=(second,))

    def inside(self) -> str:
        """Read `in shop`. Whether that is a namespace shows when it is resolved."""
        for match in _IN.finditer(self._rest):
            if self._is_name(match["name"]) and not _OWNED.match(self._rest[match.end() :]):
                self._cut(match)
                return match["name"].lower()
        return ""

    def words(self) -> tuple[str, list[str]]:
        """Read the first kind and the words that could be names. Quoted words and words with digits or dashes come
        first.
        """
        kind = ""
        found: list[str] = []
        words = [match[0].lower() for match in _WORD.finditer(self._rest)]
        for place, word in enumerate(words):
            known = "" if word in self._quoted else kind_of(word)
            kind = kind or known
            beside = [*words[max(place - 1, 0) : place], *words[place + 1 : place + 2]]
            if not known and (self._is_name(word) or (word in NOUNS and any(map(kind_of, beside)))):
                found.append(word)
        return kind, sorted(found, key=self._rank)

    def _rank(self, word: str) -> int:
        if word in self._quoted:
            return 0
        return 1 if re.search(r"[-.\d]", word) else 2

    def _is_name(self, word: str) -> bool:
        word = word.lower()
        if word in self._quoted:
            return True
        return word not in FILLER and not kind_of(word) and not re.fullmatch(r"[\d.]+%?|\d+[a-z]{1,3}", word)
