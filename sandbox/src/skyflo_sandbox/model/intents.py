"""Parse a user message into a request: small talk, a change, or something to read."""

import re
from dataclasses import replace
from typing import Literal

from skyflo_sandbox.model import values
from skyflo_sandbox.model.change_grammar import parse_change
from skyflo_sandbox.model.targets import Target, parse_target
from skyflo_sandbox.model.user_request import UserRequest

__all__ = ["parse_request"]

TEXT_CHARACTERS = 4_000
_STRAIGHT = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'}  # curly quotation marks


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(alternatives)})(?!\w)")


def _only(*alternatives: str) -> re.Pattern[str]:
    """Match a message that holds only these words."""
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
_NO = re.compile(
    r"(?:no|nope|nah|cancel|never ?mind|don't|do not|leave it|forget it|not now)"
    r"(?:,? (?:thanks?(?: you)?|please|leave it.{0,20}|not now|forget it|cancel(?: it| that)?|stop|don't|do not))?|"
    r"(?:no,? )?(?:don't|do not)(?! know| see| understand| get).{0,80}|cancel (?:it|that|this|the \w+)"
)
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
_OFF_TOPIC = re.compile(
    r"\b(?:write|compose|generate|draw|invent|imagine|paint|sing|translate|recommend)\b|"
    rf"\bwhat(?:'s| is| are)(?: an?)? {_KIND}\s*\?*$|\bwhat is an? |\bwhat does (?:a|an|it mean)\b|"
    r"\b(?:difference between|best practices?|pros and cons|how does|how do (?:i|you)|how can i|how to|should i)\b|"
    r"\bwhat (?:is|are) (?:kubernetes|k8s|helm|docker|etcd)\b"
)
# Off topic, unless the message also speaks of trouble, logs or a kind: a service may be called `weather`.
_OFF_TOPIC_WORDS = _words(
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
_API_VERBS = {"see": "get", "read": "get", "change": "patch", "edit": "patch", "scale": "patch"}
_ROLLOUT = re.compile(r"\brollout (?:status|done|finished|complete)|\b(?:is|how far is|status of) the rollout\b")
_RUNNING = re.compile(
    r"\bwhat(?:'s| is| are)? (?:\w+ )?(?:running|deployed|there|in)\b|\bwhat do (?:i|we) have\b|\bget all\b"
)
_IMAGES = re.compile(r"\bimages\b|\bimage (?:names?|versions?|tags?)\b")
# A list with such words would need a filter or an order that no rule makes. They end before the place.
_NO_FILTER = re.compile(
    r"(?i)\b(?:that|which|who)?\s*\b(?:(?:are|is|were|was|have|has)\s+)?(?:(?:not\s+)?(?:more|less|older|newer|younger|longer|"
    r"higher|lower|greater|larger|bigger|smaller|fewer) than|(?:sort|sorted|order|ordered|group|grouped) by|except|"
    r"excluding|without|only|whose|between|top \d+|most|least|highest|lowest|oldest|newest|largest|biggest|smallest|"
    r"using|consuming)\b.*?(?=\s+in\b|\s+-n\b|[?.!]*$)"
)


def parse_request(message: str) -> UserRequest:
    """Parse a message. A message that no rule covers has the intent `other` or, for a change, `refused`."""
    text = _normalize(message)
    low = text.lower()
    found = _parse_small_talk(low)
    if found:
        return found
    if _ABOUT_IT.search(low) and "```" not in message:
        return UserRequest("why", parse_target(text))
    found = parse_change(message)
    if found:
        return found
    if _is_off_topic(low):
        return UserRequest("other")
    found = _parse_read(text, low)
    return UserRequest("also", found.target) if found.intent == "other" and _ALSO.match(low) else found


def _normalize(message: str) -> str:
    text = re.sub(r"```.*?(?:```|\Z)", " ", message[:TEXT_CHARACTERS], flags=re.DOTALL)
    return " ".join(text.translate(_STRAIGHT).split())


def _parse_small_talk(low: str) -> UserRequest | None:
    bare = low.strip(" .!?,")
    if bare and _AGAIN.fullmatch(bare):
        return UserRequest("again")
    if bare and _GREETING.fullmatch(bare):
        return UserRequest("greeting")
    if bare and _YES.fullmatch(bare) and _AGREES.search(bare):
        return UserRequest("yes")
    if bare and _THANKS.fullmatch(bare):
        return UserRequest("thanks")
    if _NO.fullmatch(bare):
        return UserRequest("no")
    return UserRequest("help") if _HELP.search(low) else None


def _is_off_topic(low: str) -> bool:
    """Whether no cluster could answer it, or it is not in English."""
    if _OFF_TOPIC.search(low) or (_FOREIGN.search(low) and not _ENGLISH.search(low)):
        return True
    is_about_objects = _TROUBLE.search(low) or _LOGS.search(low) or re.search(_KIND, low)
    return _OFF_TOPIC_WORDS.search(low) is not None and not is_about_objects


def _parse_read(text: str, low: str) -> UserRequest:
    if match := _SELECTOR.search(text):
        rest = f"{text[: match.start()]} {text[match.end() :]}"
        return replace(_parse_read(rest, rest.lower()), selector=match["labels"])
    if (match := _NO_FILTER.search(text)) and _SHOW.search(low):
        rest = f"{text[: match.start()]} {text[match.end() :]}"
        return replace(_parse_read(rest, rest.lower()), unused=match[0].strip())
    if match := _CAN_I.search(low):
        return UserRequest("can_i", parse_target(text), verb=_API_VERBS.get(match["verb"], match["verb"]))
    return _parse_named_read(text, low)


def _parse_named_read(text: str, low: str) -> UserRequest:
    """Parse a read by its noun: clusters, rollouts, logs, events, images. Anything else is a question about state."""
    target = parse_target(text)
    asks_why = _WHY.search(low) is not None
    if _CLUSTERS.search(low) and not target.kind:
        return UserRequest("clusters", target)
    if _ROLLOUT.search(low):
        return UserRequest("rollout", target)
    if _LOGS.search(low) and not asks_why:
        wanted = values.log_filter(text)
        return UserRequest(
            "logs", parse_target(wanted.rest), grep=wanted.grep, tail=wanted.tail, previous=wanted.previous
        )
    if _EVENTS.search(low) and not asks_why:
        return UserRequest("events", target, unhealthy="warning" in low)
    if _IMAGES.search(low) and not (asks_why or _TROUBLE.search(low) or target.names) and target.kind in ("", "pods"):
        return UserRequest("images", target)
    return _parse_question(target, low, asks_why)


def _parse_question(target: Target, low: str, asks_why: bool) -> UserRequest:
    """Parse a question about the state of one object, of some or of all."""
    yaml, in_trouble = _YAML.search(low) is not None, _TROUBLE.search(low) is not None
    if target.kind and not target.names and _SHOW.search(low) and not asks_why:
        return UserRequest("list", target, unhealthy=_UNHEALTHY.search(low) is not None, yaml=yaml)
    if target.names and not asks_why and (intent := _show_intent(target, low, in_trouble)):
        return UserRequest(intent, target if intent == "describe" else replace(target, kind="pods"), yaml=yaml)
    if _RUNNING.search(low) and not (asks_why or in_trouble or target.names):
        return UserRequest("running", target)
    if asks_why or in_trouble or (_STATE.search(low) and _has_subject(target, low)):
        slow = re.search(r"\bslow|\blatency|\btime ?outs?\b", low) is not None
        return UserRequest("why", target, slow=slow, whole=_WHOLE.search(low) is not None)
    if target.kind and len(low.split()) <= 8:
        return UserRequest("describe" if target.names and target.kind != "pods" else "list", target)
    points_at_focus = target.pronoun and _POINT.search(low)
    return UserRequest("describe" if points_at_focus else "other", target, yaml=yaml)


def _show_intent(target: Target, low: str, in_trouble: bool) -> Literal["list", "describe"] | None:
    """Decide whether to list the pods of a named object or to describe it; None for neither."""
    if re.search(r"\brestarts\b", low):
        return "list"
    if in_trouble or not _POINT.search(low):
        return None
    return "list" if target.kind == "pods" and not re.search(r"\bdescribe\b|\bpod\b", low) else "describe"


def _has_subject(target: Target, low: str) -> bool:
    """Whether a word such as "check" comes with an object, or with a word for the whole cluster."""
    whole = re.search(r"\beverything\b|\bcluster\b|\boverview\b|\bhealth\b|\bstatus\b|\ball good\b|\bcheck\b", low)
    return bool(target.names or target.namespace or target.everywhere or target.pronoun or target.kind or whole)
