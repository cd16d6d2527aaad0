"""What a person wants, by their words: an intent, its subject and its values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from skyflo_sandbox.model import values
from skyflo_sandbox.model.subjects import Subject, subject_of

__all__ = ["Intent", "Request", "understood"]

Intent = Literal[
    "again", "also", "apply", "can_i", "clusters", "delete", "describe", "events", "fix", "greeting",
    "help", "image", "list", "logs", "no", "other", "restart", "roll_back", "rollout", "running", "scale",
    "set", "thanks", "why", "yes",
]  # fmt: skip
TEXT_CHARACTERS = 4_000
_STRAIGHT = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'}  # curly quotation marks


@dataclass(frozen=True)
class Request:
    """What is wanted. Fields that an intent does not need stay empty. `by` is how many replicas more or fewer.

    `whole`: the question is about everything, whatever the conversation was about.
    """

    intent: Intent
    subject: Subject = field(default_factory=Subject)
    number: int | None = None
    by: int | None = None
    key: str = ""
    value: str = ""
    image: str = ""
    selector: str = ""
    grep: str = ""
    tail: int = 0
    previous: bool = False
    manifest: str = ""
    verb: str = ""
    unhealthy: bool = False
    slow: bool = False
    whole: bool = False
    yaml: bool = False


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(alternatives)})(?!\w)")


def _only(*alternatives: str) -> re.Pattern[str]:
    """Nothing but these words."""
    return re.compile(rf"(?:(?:{'|'.join(alternatives)})(?!\w)[\s,.!]*)+")


_AGREED = (
    "yes", "yep", "yeah", "yup", "sure", "ok", "okay", "go ahead", "do it", "do that", "do so", "go for it",
    "proceed", "confirm(?:ed)?", "make it so", "apply it", "apply that", "sounds good", "alright",
    "all right", "approved?", "absolutely", "exactly", "correct",
)  # fmt: skip
_YES = _only(
    *_AGREED, "please", "then", "now", "thanks", "thank you", "and", "great", "good", "fine", "perfect",
    "right",
)  # fmt: skip
_AGREES = _words(*_AGREED)
_NO = re.compile(r"(?:no|nope|nah|cancel|never ?mind|don't|do not|leave it|forget it|not now)(?!\w).{0,40}")
_GREETING = _only(
    "hi", "hello", "hey", "hiya", "yo", "good (?:morning|afternoon|evening|day)", "greetings", "there",
    "skyflo", "everyone", "team", "how are you", "how is it going", "how's it going",
)  # fmt: skip
_THANKS = _only(
    "thanks", "thank you", "thx", "cheers", "great", "cool", "nice", "perfect", "awesome", "so", "very",
    "much", "a lot", "good", "job", "well done", "ok", "okay",
)  # fmt: skip
_AGAIN = _only(
    "please", "continue", "go on", "keep going", "again", "try again", "retry", "once more", "look again",
    "check again", "try it again",
)  # fmt: skip
_ALSO = re.compile(
    r"(?:and |now |ok |okay )?(?:(?:what|how) about|same (?:for|with)|and|also)\b(?! (?:why|show|list|fix|scale))"
)
_HELP = re.compile(
    r"^(?:please )?help(?: me)?(?: please)?\W*$|^\?+$|\bwhat (?:can|could|do|are) you\b|\bwho are you\b|"
    r"\bhow (?:do|can) i use (?:you|this)\b|"
    r"\bare you (?:an? |really )*(?:real|ai|gpt|llm|bot|human|robot|language|model|machine|chatgpt|claude)\b|"
    r"\b(?:which|what) (?:language )?model\b|\bwhat can i (?:ask|say|do)\b|\babout yourself\b|"
    r"\bnew here\b|^(?:\w+[.!,]? )?what is this\W*$|\byour (?:abilities|capabilities|commands)\b"
)
_KIND = (
    r"(?:pods?|deployments?|services?|replicasets?|namespaces?|nodes?|configmaps?|containers?|ingress(?:es)?|clusters?)"
)
_OTHER = re.compile(
    r"^(?:please |can you |could you )*(?:create|expose|drain|cordon|exec|port-forward)\b|"
    r"\b(?:write|compose|generate|draw|invent|imagine|paint|sing|translate|recommend)\b|"
    rf"\bwhat(?:'s| is| are)(?: an?)? {_KIND}\s*\?*$|\bwhat is an? |\bwhat does (?:a|an|it mean)\b|"
    r"\b(?:difference between|best practices?|pros and cons|how does|how do (?:i|you)|how can i|how to|should i)\b|"
    r"\bwhat (?:is|are) (?:kubernetes|k8s|helm|docker|etcd)\b"
)
# Off the subject, unless something of that name is said to be in trouble.
_ELSEWHERE = _words(
    "poem", "joke", "story", "song", "haiku", "limerick", "essay", "weather", "recipe", "lyrics", "novel", "riddle",
    "capital of", "president", "football", "bitcoin", "meaning of life", "dockerfile", "helm chart", "terraform",
    "tutorial", "homework",
)  # fmt: skip
_ABOUT_IT = re.compile(
    r"\bhow (?:do|can|should|could) (?:i|we|you) (?:fix|solve|repair|resolve|heal)\b|"
    r"\bwhat (?:should|shall) (?:i|we) do\b|^(?:and |so )?what (?:now|next)\W*$|"
    r"\bdid (?:it|that|this|(?:my|the) (?:last )?\w+) (?:work|help)\b"
)
_FOREIGN = re.compile(
    r"\b(?:warum|wieso|ist|nicht|und|der|das|mein|meine|zeige?|alle|welche|wie|bitte|pourquoi|est|les|"
    r"des|montre|quels?|que|por|qué|cuáles|muestra|los|las|"
    r"está|perché|sono|mostra|quali|por que|não|waarom|niet|toon|dlaczego|hvorfor)\b"
)
_ENGLISH = re.compile(
    r"\b(?:the|is|are|in|of|why|what|which|show|list|get|how|to|my|me|and|please|it|scale|restart|fix|delete|logs)\b"
)

_WHY = _words(
    "why", "how come", "(?:root )?cause", "causing", "reasons?", "diagnos\\w*", "investigate",
    "troubleshoot", "debug", "analy[sz]e", "what happened",
    "what(?:'s| is) (?:wrong|the (?:problem|matter|issue)|going on|happening|up)",
)  # fmt: skip
_TROUBLE = _words(
    "fail(?:s|ed|ing|ure|ures)?", "broken?", "crash\\w*", "pending", "slow\\w*", "stuck", "restarting",
    "unreachable", "unhealthy", "unavailable", "down", "dying", "hang(?:s|ing)?", "flapping", "timing out",
    "wrong", "problems?", "issues?", "trouble",
    "(?:not|isn't|aren't|won't|doesn't|can't|cannot|don't) (?:\\w+ )?"
    "(?:work|start|run|ready|reach|respond|come|healthy|ok|up|avail|connect|schedul|get)\\w*",
    "oom\\w*", "unschedulable", "not reachable", "unready",
)  # fmt: skip
_STATE = _words(
    "status", "state", "health", "healthy", "ok(?:ay)?", "overview", "check", "fine", "all good", "alright",
    "summary", "doing", "how (?:is|are)", "how's", "up", "running", "ready", "working", "alive",
    "reachable", "everything", "look at",
)  # fmt: skip
_UNHEALTHY = _words(
    "(?:not|isn't|aren't) (?:\\w+ )?(?:healthy|ready|running|well|ok(?:ay)?|available|working|up)",
    "un(?:healthy|ready|well|available)", "fail(?:ing|ed)", "broken", "crash\\w*", "pending", "bad",
    "stuck", "restarting", "with (?:problems|errors|issues)", "in trouble", "imagepullbackoff",
    "errimagepull", "wrong", "down",
)  # fmt: skip
_SHOW = _words(
    "list", "show", "get", "display", "count", "print", "fetch", "view", "how many", "which", "what(?:'s)?",
    "give me", "number of", "are there", "any", "tell me", "find", "see",
)  # fmt: skip
_POINT = _words(
    "list", "show", "get", "display", "describe", "inspect", "examine", "details?",
    "tell me (?:more )?about", "view", "look at", "how many", "info(?:rmation)?", "(?:what|which) (?:image|version)s?",
    "explain", "yaml", "manifest", "find",
)  # fmt: skip
_WHOLE = _words(
    "everything", "anything", "all good", "overview", "clusters?", "any problems", "all of (?:it|them)",
    "namespaces?",
)  # fmt: skip
_SELECTOR = re.compile(
    r"(?i)(?:\b(?:with |by )?labels?(?: selector)?|(?<!\S)-l|--selector)[ =:]+[`\"']?"
    r"(?P<labels>[\w./-]+=[\w.-]+(?:,[\w./-]+=[\w.-]+)*)[`\"']?"
)
_YAML = _words("yaml", "manifest", "-o ?(?:yaml|json)")
_FIX = re.compile(
    r"\b(?:fix(?:es)?|repair|heal|solve|resolve|mend|remedy)\b|\bsort (?:\S+ ){1,3}out\b|\bmake \S+"
    r" (?:work|healthy|run)\b|"
    r"\b(?:get|bring) (?:\S+ ){1,3}(?:back|running|working|healthy)\b"
)
_SCALE = re.compile(
    r"\b(?:up|down)?-?scal(?:e|ing)\b|"
    r"\b(?:set|give|run|change|increase|decrease|reduce|raise|add|remove)\b.*\breplicas?\b|"
    r"\b(?:add|remove|run) (?:\d+|\w+) (?:more )?(?:replicas?|instances?|copies|pods)\b"
)
_RESTART = re.compile(r"(?<!keep )(?<!does )(?<!did )\b(?:restart|bounce|reboot|recycle)\b|\brecreate\b.*\bpods?\b")
_ROLL_BACK = re.compile(
    r"\broll(?:ing|ed)?(?: \S+){0,3} ?-?back\b|\brollout undo\b|\bundo\b|\brevert\b|\bback to the"
    r" (?:previous|last|old)\b|"
    r"\b(?:use|deploy|to) the (?:previous|last|old) (?:version|revision|image)\b"
)
_DELETE = _words("delete", "remove", "kill", "destroy", "get rid of", "rm", "erase")
_ACTS: Mapping[str, Intent] = {"fix": "fix", "roll_back": "roll_back", "delete": "delete", "restart": "restart"}
_PART = _words("labels?", "annotations?", "keys?", "variables?", "taints?", "finalizers?", "entry", "field", "value")
_LOGS = _words("logs?", "log lines?", "stdout", "stderr")
_EVENTS = _words("events?", "warnings")
_CLUSTERS = re.compile(
    r"\b(?:list|which|what|show|get|how many|are|any)\b.*\b(?:clusters|contexts)\b|^(?:clusters|contexts)\b|"
    r"\b(?:which|what) (?:cluster|context)\b"
)
_CAN_I = re.compile(
    r"(?:\bcan i|\bmay i|\bam i allowed to|\bcan-i|\bdo i have (?:the )?(?:rights?|permissions?) to) "
    r"(?P<verb>get|list|watch|create|update|patch|delete|see|read|change|edit|scale)\b"
)
_VERBS = {"see": "get", "read": "get", "change": "patch", "edit": "patch", "scale": "patch"}
_ROLLOUT = re.compile(r"\brollout (?:status|done|finished|complete)|\b(?:is|how far is|status of) the rollout\b")
_APPLY = _words("apply", "create", "deploy", "update", "change", "install", "make", "add", "run", "use")
_RUNNING = re.compile(
    r"\bwhat(?:'s| is| are)? (?:\w+ )?(?:running|deployed|there|in)\b|\bwhat do (?:i|we) have\b|\bget all\b"
)
_SET = _words("set", "add", "change", "put", "update", "use")


def understood(said: str) -> Request:
    """The request in a message. What is not understood has the intent `other`."""
    text = _tidied(said)
    low = text.lower()
    found = _small_talk(low) or _with_manifest(said, low)
    if found:
        return found
    if _ABOUT_IT.search(low):
        return Request("why", subject_of(text))
    if _is_elsewhere(low):
        return Request("other", subject_of(text))
    found = _change(text, low) or _look(text, low)
    return Request("also", found.subject) if found.intent == "other" and _ALSO.match(low) else found


def _tidied(said: str) -> str:
    text = re.sub(r"```.*?(?:```|\Z)", " ", said[:TEXT_CHARACTERS], flags=re.DOTALL)
    return " ".join(text.translate(_STRAIGHT).split())


def _small_talk(low: str) -> Request | None:
    bare = low.strip(" .!?,")
    for intent, pattern in (("again", _AGAIN), ("greeting", _GREETING)):
        if bare and pattern.fullmatch(bare):
            return Request("again" if intent == "again" else "greeting")
    if bare and _YES.fullmatch(bare) and _AGREES.search(bare):
        return Request("yes")
    if bare and _THANKS.fullmatch(bare):
        return Request("thanks")
    if _NO.fullmatch(bare):
        return Request("no")
    return Request("help") if _HELP.search(low) else None


def _with_manifest(said: str, low: str) -> Request | None:
    manifest = values.manifest(said)
    if not manifest or _WHY.search(low) or _DELETE.search(low):
        return None
    return Request("apply", subject_of(_tidied(said.replace(manifest.strip(), " "))), manifest=manifest)


def _is_elsewhere(low: str) -> bool:
    """Whether it is about something that no cluster can tell."""
    if _OTHER.search(low) or (_FOREIGN.search(low) and not _ENGLISH.search(low)):
        return True
    named = _TROUBLE.search(low) or _LOGS.search(low) or re.search(_KIND, low)
    return _ELSEWHERE.search(low) is not None and not named


def _change(text: str, low: str) -> Request | None:
    """A wish to change something. A question about why something happens is none."""
    if low.startswith(("why", "how come")) or _CAN_I.search(low):
        return None
    return _new_value(text, low) or (None if _WHY.search(low) else _act(text, low))


def _new_value(text: str, low: str) -> Request | None:
    if _SET.search(low) and (found := values.assignment(text)):
        return Request("set", subject_of(found.rest), key=found.key, value=found.value)
    wanted, rest = values.image(text)
    if wanted and not _SHOW.search(low):
        return Request("image", subject_of(re.sub(r"(?i)\bimages?\b", " ", rest)), image=wanted)
    return None


def _act(text: str, low: str) -> Request | None:
    """The first verb that changes something; a question about it is no order."""
    verbs = {"fix": _FIX, "roll_back": _ROLL_BACK, "scale": _SCALE, "delete": _DELETE, "restart": _RESTART}
    intent = next((name for name, pattern in verbs.items() if pattern.search(low)), "")
    if not intent or (intent in ("scale", "restart") and low.startswith(("how many", "is ", "does ", "did "))):
        return None
    if intent == "scale":
        number, by = values.replicas(text)
        return Request("scale", subject_of(text), number=number, by=by, verb="down" if " down" in low else "up")
    subject = subject_of(text)
    if intent == "delete" and _PART.search(low):
        return Request("other", subject)
    if intent == "delete" and subject.namespace and not (subject.names or subject.kind) and "namespace" in low:
        subject = Subject(kind="namespaces", names=(subject.namespace,), cluster=subject.cluster)
    return Request(_ACTS[intent], subject)


def _look(text: str, low: str) -> Request:
    """A wish to know something."""
    if match := _SELECTOR.search(text):
        found = _look(f"{text[: match.start()]} {text[match.end() :]}", low)
        return replace(found, selector=match["labels"])
    subject = subject_of(text)
    if match := _CAN_I.search(low):
        return Request("can_i", subject, verb=_VERBS.get(match["verb"], match["verb"]))
    why = _WHY.search(low) is not None
    if _CLUSTERS.search(low) and not subject.kind:
        return Request("clusters", subject)
    if _ROLLOUT.search(low):
        return Request("rollout", subject)
    if _LOGS.search(low) and not why:
        wish = values.log_wish(text)
        return Request("logs", subject_of(wish.rest), grep=wish.grep, tail=wish.tail, previous=wish.previous)
    if _EVENTS.search(low) and not why:
        return Request("events", subject, unhealthy="warning" in low)
    return _state(subject, low, why)


def _state(subject: Subject, low: str, why: bool) -> Request:
    """A question about how things are: one, some or all of them."""
    yaml, trouble = _YAML.search(low) is not None, _TROUBLE.search(low) is not None
    if subject.kind and not subject.names and _SHOW.search(low) and not why:
        return Request("list", subject, unhealthy=_UNHEALTHY.search(low) is not None, yaml=yaml)
    if subject.names and not why and (shown := _shown(subject, low, trouble)):
        return Request(shown, subject if shown == "describe" else replace(subject, kind="pods"), yaml=yaml)
    if _RUNNING.search(low) and not (why or trouble or subject.names):
        return Request("running", subject)
    if why or trouble or (_STATE.search(low) and _is_about_something(subject, low)):
        slow = re.search(r"\bslow|\blatency|\btime ?outs?\b", low) is not None
        return Request("why", subject, slow=slow, whole=_WHOLE.search(low) is not None)
    if subject.kind and len(low.split()) <= 8:
        return Request("describe" if subject.names and subject.kind != "pods" else "list", subject)
    pointed = subject.pronoun and _POINT.search(low)
    return Request("describe" if pointed else "other", subject, yaml=yaml)


def _shown(subject: Subject, low: str, trouble: bool) -> Literal["list", "describe"] | None:
    """Whether the pods of something named are to be listed, or itself described."""
    if re.search(r"\brestarts\b", low):
        return "list"
    if trouble or not _POINT.search(low):
        return None
    return "list" if subject.kind == "pods" and not re.search(r"\bdescribe\b|\bpod\b", low) else "describe"


def _is_about_something(subject: Subject, low: str) -> bool:
    """A word such as "check" needs an object, or has to be about all of it."""
    whole = re.search(r"\beverything\b|\bcluster\b|\boverview\b|\bhealth\b|\bstatus\b|\ball good\b|\bcheck\b", low)
    return bool(subject.names or subject.namespace or subject.everywhere or subject.pronoun or subject.kind or whole)
