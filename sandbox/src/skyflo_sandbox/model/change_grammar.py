"""Parse a request for a change. A rule accounts for every word of the message, or no change is proposed."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from skyflo_sandbox.model import values
from skyflo_sandbox.model.targets import Target, parse_target
from skyflo_sandbox.model.user_request import Intent, UserRequest
from skyflo_sandbox.model.vocabulary import FILLER, KINDS, NOUNS, kind_of

__all__ = ["accepted_forms", "parse_change"]

REQUEST_CHARACTERS = 600
SPAN_WORDS = 30
_STRAIGHT = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'}  # curly quotation marks
_NAME = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
_KIND = "|".join(sorted({word for plural, words in KINDS.items() for word in (plural, *words)}, key=len, reverse=True))
_TARGET = (
    rf"(?:the |my |our )?(?:(?P<kind>{_KIND})(?:/| (?:called |named )?)(?P<name>{_NAME})"
    rf"|(?P<inside>{_NAME})/(?P<within>{_NAME})|(?P<first>{_NAME})(?: (?P<behind>{_KIND}))?|(?P<pronoun>it|this|that))"
)
_PRONOUNS = ("it", "this", "that")
_NUMBER = rf"(?P<number>\d{{1,6}}|{'|'.join(values.NUMBER_WORDS)})"
_REPLICAS = r"(?: replicas?| pods?| instances?| copies)?"
_UP_OR_DOWN = r"(?P<direction>up|down)"
_PREVIOUS = r"(?: to (?:the |its )?previous (?:version|revision|image))?"
_IMAGE = (
    r"(?P<image>[a-z0-9][\w.-]*(?::\d+(?=/))?(?:/[\w.-]+)*(?:(?::\w[\w.-]{0,127})(?:@sha256:[0-9a-f]{64})?"
    r"|@sha256:[0-9a-f]{64}))"
)
_CONTAINER = rf"(?P<container>{_NAME})"

_RULES: tuple[tuple[Intent, str], ...] = (
    ("scale", rf"scale {_TARGET}(?: {_UP_OR_DOWN})? to {_NUMBER}{_REPLICAS}"),
    ("scale", rf"scale {_UP_OR_DOWN} {_TARGET} to {_NUMBER}{_REPLICAS}"),
    ("scale", rf"scale {_TARGET} {_UP_OR_DOWN} (?P<by>by) {_NUMBER}{_REPLICAS}"),
    ("scale", rf"scale {_UP_OR_DOWN} {_TARGET} (?P<by>by) {_NUMBER}{_REPLICAS}"),
    ("scale", rf"scale {_TARGET} --replicas[= ]{_NUMBER}"),
    ("scale", rf"scale --replicas[= ]{_NUMBER} {_TARGET}"),
    ("scale", rf"set (?:the )?(?:number of )?replicas (?:of|for) {_TARGET} to {_NUMBER}"),
    ("scale", rf"set {_TARGET} to {_NUMBER} replicas?"),
    ("scale", rf"give {_TARGET} {_NUMBER} replicas?"),
    ("scale", rf"run {_NUMBER} replicas? of {_TARGET}"),
    ("scale", rf"(?P<add>add) {_NUMBER} (?:more )?replicas? to {_TARGET}"),
    ("scale", rf"(?P<remove>remove) {_NUMBER} replicas? from {_TARGET}"),
    ("scale", rf"scale (?:{_UP_OR_DOWN} )?{_TARGET}"),
    ("scale", rf"scale {_TARGET} {_UP_OR_DOWN}"),
    ("restart", rf"(?:rollout )?restart {_TARGET}"),
    ("roll_back", rf"(?:roll back|rollback) {_TARGET}{_PREVIOUS}"),
    ("roll_back", rf"roll {_TARGET} back{_PREVIOUS}"),
    ("roll_back", rf"rollout undo {_TARGET}"),
    ("roll_back", rf"undo the (?:last )?rollout of {_TARGET}"),
    ("delete", rf"(?:delete|remove|get rid of) {_TARGET}"),
    ("fix", rf"(?:fix|repair|heal) {_TARGET}"),
    ("fix", r"(?:fix|repair|heal) (?P<all>everything|all(?: the| of the)? problems)"),
    ("image", rf"(?:set|change|update) (?:the )?image (?:of|for|on) {_TARGET} to {_IMAGE}"),
    ("image", rf"(?:set|change|update) (?:the )?image of container {_CONTAINER} (?:of|in) {_TARGET} to {_IMAGE}"),
    ("image", rf"(?:update|change|switch) {_TARGET} to (?:the )?(?:image )?{_IMAGE}"),
    ("image", rf"set image {_TARGET} {_CONTAINER}={_IMAGE}"),
    ("image", rf"use (?:the )?image {_IMAGE} for {_TARGET}"),
    ("image", rf"deploy (?:the )?image {_IMAGE} to {_TARGET}"),
)
_PATTERNS = tuple((intent, re.compile(rule, re.IGNORECASE)) for intent, rule in _RULES)
_DELETE_NAMESPACE = re.compile(
    rf"(?:delete|remove) (?:the )?(?:(?:namespace|ns)[ /](?P<after>{_NAME})|(?P<before>{_NAME}) namespace)",
    re.IGNORECASE,
)
_VALUE = r"(?P<value>\"[^\"]*\"|'[^']*'|`[^`]*`|[^\s,;]+)"
_SET_RULES = (
    re.compile(
        rf"(?i:set|add|put|change|update) [`\"']?(?P<key>[A-Za-z_][\w.-]*)[`\"']? ?= ?{_VALUE}"
        r" (?i:in|to|on|of) (?P<rest>.+)"
    ),
    re.compile(
        r"(?i:set|change|update) (?i:the )?(?i:key |value of )?"
        r"[`\"']?(?P<key>[A-Z][A-Z0-9_]{2,}|[a-z][\w-]*\.[\w.-]*\w)[`\"']?"
        rf" (?i:in|of) (?P<rest>.+) (?i:to) {_VALUE}"
    ),
)
# `set memory=1Gi in web` means a resource, an image or a count, not a key of a ConfigMap.
_NOT_KEYS_WORDS = """
cpu image images limits mem memory replica replicas requests resources size storage
"""
_NOT_KEYS = frozenset(_NOT_KEYS_WORDS.split())
_APPLY = re.compile(
    r"(?:apply|create|deploy)(?: (?:this|these|that|it|the following))?"
    r"(?: (?:yaml|manifests?|objects?))?(?: below)?",
    re.IGNORECASE,
)

_CLUSTER = (
    re.compile(r"(?i)(?<!\S)(?:in|on|from) (?:the )?cluster (?P<name>[\w.@:/-]*\w)(?![\w/=:-])"),
    re.compile(r"(?i)(?<!\S)(?:in|on|from) (?:the )?(?P<name>[\w.@:/-]*\w) cluster(?![\w/=:-])"),
    re.compile(r"(?i)(?<!\S)--(?:context|cluster)[= ](?P<name>[\w.@:/-]*\w)(?![\w/=:-])"),
)
_END = r"(?![\w/=:-])(?!\.\w)"
_NAMESPACE = (
    re.compile(rf"(?i)(?<!\S)(?:-n|--namespace)[= ](?P<name>{_NAME}){_END}"),
    re.compile(rf"(?i)(?<!\S)(?:in|from|of) (?:the )?(?:namespace|ns) (?P<name>{_NAME}){_END}"),
    re.compile(rf"(?i)(?<!\S)(?:in|from|of) (?:the )?(?P<name>{_NAME}) (?:namespace|ns){_END}"),
    re.compile(rf"(?i)(?<!\S)in (?:the |my |our )?(?P<name>{_NAME}){_END}"),
)
_POLITE_START = re.compile(
    r"(?i)^(?:(?:please|pls|hi|hello|hey|ok|okay|now|skyflo|kubectl|(?:can|could|would|will) you|help me(?: to)?|"
    r"go ahead and|let's|i (?:want|need|would like)(?: you)? to|i'd like(?: you)? to)(?:,? |$))+"
)
_POLITE_END = re.compile(r"(?i)(?:,? (?:please|pls|now|right now|for me|thanks|thank you))+$")
_POLITE_QUESTION = re.compile(r"(?i)\b(?:can|could|would|will) you\b")

_CLAUSE_BORDER = re.compile(
    r"[.;:!?,\n]\s+|\s+(?:and|then|but|or|also|plus|otherwise|else|so|if|unless|once|when|until|before|after|because)\s+",
    re.IGNORECASE,
)
_BEFORE_VERB = re.compile(
    r"(?i)^(?:(?:please|pls|hi|hello|hey|ok|okay|now|skyflo|kubectl|(?:can|could|would|will) you|help me(?: to)?|"
    r"go ahead(?: and)?|let's|let us|just|only|also|first|next|finally|then|and|maybe|try to|make sure to|"
    r"(?:i|we|you) (?:want|need|have|ought|would like)(?: you)? to|(?:i|we)'d like(?: you)? to|"
    r"(?:i|we|you) (?:should|must)|do not|don't|never|not)(?:,? |$))+"
)
_CREATING_WORDS = """
allow annotate apply attach autoscale bind block build configure copy create define deploy enforce expose
generate grant helm install isolate launch make mount provision push run setup
"""
_CREATING = frozenset(_CREATING_WORDS.split())
_CHANGING_WORDS = """
add adjust allocate bounce bump change clean clear convert cordon correct cut deactivate decrease delete
destroy disable double downgrade drain drop edit enable erase evict exec execute expand extend fix force give
grow halve heal increase kill label limit lower migrate mitigate modify move patch pause port-forward prune
purge put quadruple raise reboot rebuild recover recreate recycle redeploy reduce release remediate remove
rename repair replace repoint reset resize resolve restart restore resume revert rewrite roll rollback rollout
rotate run scale set shrink shut solve start stop suspend switch taint terminate trim triple turn uncordon
undo uninstall unset untaint update upgrade use wipe
"""
_CHANGING = frozenset(_CHANGING_WORDS.split())
_ROLLOUT_NOUN = re.compile(r"(?i)rollout(?! (?:restart|undo|pause|resume)\b)")
_FIRST_WORD = re.compile(r"^[\"'`]?([a-z][a-z-]*)")

_FORMS: Mapping[str, str] = {
    "scale": "`scale NAME to 3`, `scale NAME up by 2`",
    "restart": "`restart NAME`",
    "roll_back": "`roll back NAME`",
    "delete": "`delete KIND NAME`",
    "fix": "`fix NAME`, `fix everything in NAMESPACE`",
    "image": "`set image of NAME to IMAGE:TAG`",
    "set": "`set KEY=value in CONFIGMAP`",
    "apply": "`apply` with YAML below it",
}
"""How each change is asked for."""
_FORMS_OF_VERB: Mapping[str, tuple[str, ...]] = {
    "roll": ("roll_back",),
    "rollback": ("roll_back",),
    "rollout": ("restart", "roll_back"),
    "undo": ("roll_back",),
    "revert": ("roll_back",),
    "remove": ("delete", "scale"),
    "kill": ("delete",),
    "repair": ("fix",),
    "resolve": ("fix",),
    "update": ("image", "set"),
    "change": ("image", "set"),
    "upgrade": ("image",),
    "set": ("image", "set", "scale"),
    "add": ("set", "scale"),
    "increase": ("scale",),
    "decrease": ("scale",),
    "reduce": ("scale",),
    "deploy": ("apply", "image"),
    "create": ("apply",),
    "patch": ("set", "image", "apply"),
} | {name: (name,) for name in _FORMS}


def accepted_forms(verb: str) -> str:
    """The sentences that a rule accepts for a verb, or all of them for a verb without a rule."""
    return ", ".join(_FORMS[name] for name in _FORMS_OF_VERB.get(verb, tuple(_FORMS)))


def parse_change(message: str) -> UserRequest | None:
    """Parse the change that a message asks for.

    Returns a request with the intent `refused` where a word is left over, and None where no change is asked for.
    """
    manifest = values.manifest(message)
    if manifest:
        return _parse_apply(message, manifest)
    text = " ".join(message.translate(_STRAIGHT).split())
    verb = _verb_of(text)
    if verb is None:
        return None
    if len(text) > REQUEST_CHARACTERS:
        return UserRequest("refused", verb=verb, unused="a request of this length")
    return _match(text, is_whole=True) or _refuse(text, verb)


def _verb_of(text: str) -> str | None:
    """The first verb at the start of a clause that asks for a change."""
    for clause in _CLAUSE_BORDER.split(text):
        rest = _BEFORE_VERB.sub("", clause.strip())
        word = _FIRST_WORD.match(rest.lower())
        if word and word[1] in _CHANGING | _CREATING and not _ROLLOUT_NOUN.match(rest):
            return word[1]
        if re.match(r"(?i)(?:get rid of|set up|shut down)\b", rest):
            return rest.split()[0].lower()
    return None


def _match(text: str, *, is_whole: bool = False) -> UserRequest | None:
    """The change that these words ask for, if one rule accounts for all of them."""
    if is_whole and text.endswith("?") and not _POLITE_QUESTION.search(text):
        return None
    text = _POLITE_END.sub("", _POLITE_START.sub("", text.rstrip(" .!?")))
    return _match_set(text) or _match_rules(text)


def _match_set(text: str) -> UserRequest | None:
    """`set KEY=value in NAME`: the value is taken as it stands, so it is matched before places are taken out."""
    for pattern in _SET_RULES:
        match = pattern.fullmatch(text)
        if match is None or match["key"].lower() in _NOT_KEYS:
            continue
        place = _take_place(_without_quotes(match["rest"]))
        named = re.fullmatch(_TARGET, place.rest, re.IGNORECASE)
        target = _target(named, place, _quoted_words(match["rest"])) if named else None
        if target and target.kind in ("", "configmaps"):
            return UserRequest("set", target, key=match["key"], value=_unquoted(match["value"]))
    return None


def _match_rules(text: str) -> UserRequest | None:
    quoted = _quoted_words(text)
    plain = _without_quotes(re.sub(r"(?i)\bconfig map(s?)\b", r"configmap\1", text))
    if match := _DELETE_NAMESPACE.fullmatch(plain):
        name = (match["after"] or match["before"]).lower()
        return UserRequest("delete", Target(kind="namespaces", names=(name,))) if _is_name(name, quoted) else None
    place = _take_place(plain)
    for intent, pattern in _PATTERNS:
        match = pattern.fullmatch(place.rest)
        request = _request(intent, match, place, quoted) if match else None
        if request:
            return request
    return None


def _request(intent: Intent, match: re.Match[str], place: "_Place", quoted: frozenset[str]) -> UserRequest | None:
    found = match.groupdict()
    if found.get("all"):
        return UserRequest(intent, Target(namespace=place.namespace, cluster=place.cluster), whole=True)
    target = _target(match, place, quoted)
    if target is None:
        return None
    request = UserRequest(
        intent, target, image=found.get("image") or "", container=(found.get("container") or "").lower()
    )
    if intent != "scale":
        return request
    number = values.number(found["number"]) if found.get("number") else None
    direction = (found.get("direction") or "").lower()
    if number is not None and (found.get("by") or found.get("add") or found.get("remove")):
        by = -number if direction == "down" or found.get("remove") else number
        return replace(request, by=by, direction=direction)
    return replace(request, number=number, direction=direction)


@dataclass(frozen=True)
class _Place:
    """The words without the namespace and the cluster that they name."""

    rest: str
    namespace: str = ""
    cluster: str = ""


def _take_place(text: str) -> _Place:
    """Take out one cluster and one namespace. Another one stays, so that no rule matches."""
    cluster = namespace = ""
    for pattern in _CLUSTER:
        match = pattern.search(text)
        if match and match["name"].lower() not in ("this", "the", "my", "our", "a"):
            cluster, text = match["name"], _without(text, match)
            break
    for pattern in _NAMESPACE:
        match = pattern.search(text)
        if match and _is_name(match["name"], frozenset()):
            namespace, text = match["name"].lower(), _without(text, match)
            break
    return _Place(text, namespace, cluster)


def _without(text: str, match: re.Match[str]) -> str:
    return " ".join(f"{text[: match.start()]} {text[match.end() :]}".split()).strip(" ,")


def _target(match: re.Match[str], place: _Place, quoted: frozenset[str]) -> Target | None:
    """The one object that the words name, or None where a word can't be a name."""
    found = {key: (value or "").lower() for key, value in match.groupdict().items()}
    namespace = place.namespace
    if found["pronoun"] or found["first"] in _PRONOUNS:
        is_plain = not (namespace or found["behind"])
        return Target(pronoun=True, cluster=place.cluster) if is_plain else None
    if found["within"]:
        if namespace or not (_is_name(found["inside"], quoted) and _is_name(found["within"], quoted)):
            return None
        return Target(names=(found["within"],), namespace=found["inside"], cluster=place.cluster)
    kind, name = found["kind"] or found["behind"], found["name"] or found["first"]
    is_noun = bool(kind) and name in NOUNS
    is_kind_as_name = bool(found["kind"]) and kind_of(name) != "" and name not in KINDS
    if not (_is_name(name, quoted) or is_noun or is_kind_as_name):
        return None
    # `app` and `workload` stand for any kind of workload.
    known = "" if kind.startswith(("app", "workload")) else kind_of(kind)
    return Target(kind=known, names=(name,), namespace=namespace, cluster=place.cluster)


def _is_name(word: str, quoted: frozenset[str]) -> bool:
    """Whether a word can only be a name: no word of the language, no kind, no number and no quantity."""
    word = word.lower()
    if word in quoted:
        return True
    return word not in FILLER and not kind_of(word) and not re.fullmatch(r"[\d.]+|\d+[a-z]{1,3}", word)


def _quoted_words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in re.findall(r"(?<!\w)[`\"']([\w./-]+)[`\"'](?!\w)", text))


def _without_quotes(text: str) -> str:
    """Take off quotation marks around words; an apostrophe inside a word stays."""
    return re.sub(r"(?<!\w)[`\"'*]+|[`\"'*]+(?!\w)", "", text)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'`" else text


def _refuse(text: str, verb: str) -> UserRequest:
    """Say which words no rule accounts for: those around the longest part that a rule does."""
    words = text.split()
    span = next(_matching_spans(words), None) if len(words) <= SPAN_WORDS else None
    if span is None:
        target = Target() if verb in _CREATING else parse_target(text)
        return UserRequest("refused", target, verb=verb)
    first, last, request = span
    before, after = " ".join(words[:first]), " ".join(words[last:])
    unused = " … ".join(part for part in (_POLITE_START.sub("", before).strip(" ,"), after) if part)
    return UserRequest("refused", request.target, verb=verb, unused=unused or "?")


def _matching_spans(words: list[str]) -> Iterator[tuple[int, int, UserRequest]]:
    """Parts of a message that are a request by themselves, the longest first."""
    for length in range(len(words), 1, -1):
        for first in range(len(words) - length + 1):
            request = _match(" ".join(words[first : first + length]).rstrip(","))
            if request:
                yield first, first + length, request


def _parse_apply(message: str, manifest: str) -> UserRequest | None:
    """`apply` with one block of YAML. Any other word around it is left over."""
    text = " ".join(message.replace(manifest.strip(), " ").translate(_STRAIGHT).split())
    text = " ".join(re.sub(r"```[a-zA-Z]*", " ", text).split())
    verb = _verb_of(text)
    if text and verb is None:
        return None
    place = _take_place(_without_quotes(text.rstrip(" .:!")))
    words = _POLITE_END.sub("", _POLITE_START.sub("", place.rest)).strip(" :,")
    target = Target(namespace=place.namespace, cluster=place.cluster)
    if not _APPLY.fullmatch(words):
        return UserRequest("refused", target, verb=verb or "apply", unused=words)
    return UserRequest("apply", target, manifest=manifest)
