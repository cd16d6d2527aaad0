"""Show a part of one object: a field by its path, and a range of its lines or characters."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field, JsonValue

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.errors import InvalidArguments, ToolFailure
from skyflo_tools.kubernetes.json_paths import Every, format_path, parse_path, select
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, count_fitting_lines, to_yaml
from skyflo_tools.kubernetes.shrinking import MAX_CUTS_NAMED, describe_cuts, shrink
from skyflo_tools.output import is_unchecked
from skyflo_tools.tool import ToolOutput

Range = Annotated[str, Field(max_length=21, pattern=r"^(\d{1,10}(-\d{0,10})?|-\d{1,10})?$")]


@dataclass(frozen=True)
class PartRange:
    """Which part of an object is wanted."""

    path: str
    lines: str
    characters: str

    @property
    def is_given(self) -> bool:
        return bool(self.path or self.lines or self.characters)


class PartResult(BaseModel):
    """A part of an object. `first`, `last` and `total` count lines or characters, from 1."""

    kind: str
    name: str
    namespace: str
    path: str
    value: JsonValue = None
    """The part itself, if all of it is shown."""
    unit: str
    first: int
    last: int
    total: int
    next: str
    """The range to ask for next, or empty at the end."""
    shortened: list[str] = []
    """Paths of fields that were shortened."""


def render_part(found: KubeObject, body: JsonObject, part: PartRange) -> ToolOutput[PartResult]:
    """Show a part of a redacted object. Raises InvalidArguments if the path or the range does not exist."""
    if part.lines and part.characters:
        raise InvalidArguments("give either lines or characters")
    if is_unchecked(body):
        raise ToolFailure(
            f"{found} is too large to be checked for secrets, so no part of it can be shown", code="too_large_to_check"
        )
    steps = parse_path(part.path)
    matches = select(body, steps)
    is_one = len(matches) == 1 and Every() not in steps
    at = matches[0].parts if is_one else ()
    value = matches[0].value if is_one else [match.value for match in matches]
    is_as_it_is = bool(part.lines or part.characters) or isinstance(value, str)
    shown, cuts = (value, []) if is_as_it_is else shrink(value, TEXT_BYTES, at)
    text = shown if isinstance(shown, str) else to_yaml(shown).removesuffix("...\n")
    chosen = _choose_characters(text, part.characters) if part.characters else _choose_lines(text, part.lines)
    result = PartResult(
        kind=found.kind,
        name=found.name,
        namespace=found.namespace,
        path=format_path(at) or part.path,
        value=shown if chosen.first <= 1 and not chosen.next else None,
        unit=chosen.unit,
        first=chosen.first,
        last=chosen.last,
        total=chosen.total,
        next=chosen.next,
        shortened=[cut.path for cut in cuts[:MAX_CUTS_NAMED]],
    )
    where = f"{found}, {result.path}" if result.path else str(found)
    title = f"{where}: {'shortened' if cuts else f'{chosen.unit} {chosen.first}-{chosen.last} of {chosen.total}'}"
    rest = f"\n… more: pass {chosen.unit}={chosen.next}" if chosen.next else ""
    return ToolOutput(f"{title}\n{chosen.text}{rest}{describe_cuts(cuts)}", result)


@dataclass(frozen=True)
class _Chosen:
    """The text of a range, and the range that continues it."""

    text: str
    unit: str
    first: int
    last: int
    total: int
    next: str = ""


def _choose_lines(text: str, wanted: str) -> _Chosen:
    lines = text.removesuffix("\n").split("\n")
    first, last = _parse_range(wanted, len(lines), "lines")
    chosen = lines[first - 1 : last]
    fitting = count_fitting_lines(chosen, TEXT_BYTES)
    if fitting == 0 and chosen:  # a single line that is too long
        begins = sum(len(line) + 1 for line in lines[: first - 1])
        return _choose_characters(text, f"{begins + 1}-{begins + len(chosen[0])}")
    end = first + fitting - 1
    following = f"{end + 1}-{last}" if end < last else ""
    return _Chosen("\n".join(chosen[:fitting]), "lines", first, end, len(lines), following)


def _choose_characters(text: str, wanted: str) -> _Chosen:
    first, last = _parse_range(wanted, len(text), "characters")
    chosen = text[first - 1 : last].encode()[:TEXT_BYTES].decode(errors="ignore")
    end = first + len(chosen) - 1
    following = f"{end + 1}-{last}" if end < last else ""
    return _Chosen(chosen, "characters", first, end, len(text), following)


def _parse_range(wanted: str, total: int, unit: str) -> tuple[int, int]:
    """Return the first and the last of a range such as `5`, `5-9`, `5-` or `-9` (the last nine), counted from 1."""
    begin, dash, end = wanted.partition("-")
    if not wanted:
        return 1, total
    if not begin:
        return max(1, total - int(end) + 1), total
    first, last = int(begin), int(end) if end else (total if dash else int(begin))
    if not 1 <= first <= max(1, total) or last < first:
        raise InvalidArguments(f"{unit}={wanted} does not exist: the part has {total} {unit}")
    return first, min(last, total)
