"""Read YAML scalars by the rules of Go's yaml.v2, which kubectl uses through sigs.k8s.io/yaml.

They are those of neither YAML 1.1 nor YAML 1.2: `on` is a boolean, `22:30` and dates are strings, `012` is ten.
"""

import binascii
import math
import re
import struct
from base64 import b64decode

from skyflo_common.jsontypes import JsonValue

TAG = "tag:yaml.org,2002:"
_INT64, _UINT64 = 2**63, 2**64
_INTEGER = re.compile(r"([-+]?)(?:0x([0-9a-f]+)|0b([01]+)|0o?([0-7]+)|(0|[1-9][0-9]*))", re.ASCII | re.IGNORECASE)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_DOT_FLOAT = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?", re.ASCII)
_FLOAT32_DIGITS = 9
_PLAIN_EXPONENTS = range(-4, 6)
"""The exponents of ten with which a float key is written without an exponent."""


def _spellings(*words: str) -> list[str]:
    return [form for word in words for form in (word, word.capitalize(), word.upper())]


_WORDS: dict[str, JsonValue] = {
    **dict.fromkeys(_spellings("y", "yes", "true", "on"), True),
    **dict.fromkeys(_spellings("n", "no", "false", "off"), False),
    **dict.fromkeys(["", "~", *_spellings("null")], None),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
    **dict.fromkeys([sign + form for sign in ("", "+") for form in (".inf", ".Inf", ".INF")], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
}
_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "null": (type(None),),
}


def resolve_plain(text: str) -> JsonValue:
    """Return the value of an unquoted scalar without a tag."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == ".":
        return _parse_float(text.replace("_", "")) if _DOT_FLOAT.fullmatch(text) else text
    if text[0] not in "+-0123456789":
        return text
    digits = text.replace("_", "")
    if (integer := _parse_integer(digits)) is not None:
        return integer
    number = _parse_float(digits) if _FLOAT.fullmatch(digits) else text
    return text if isinstance(number, str) else number


def resolve_tagged(text: str, tag: str) -> JsonValue:
    """Return the value of a scalar with an explicit tag. Raises ValueError if the text does not fit the tag."""
    name = tag.removeprefix(TAG)
    if name == "binary":
        return _decode_binary(text)
    if tag == name or name not in _TYPES:
        return text  # strings, timestamps and unknown tags
    value = resolve_plain(text)
    if not isinstance(value, _TYPES[name]) or (isinstance(value, bool) and name != "bool"):
        raise ValueError(f"{text[:40]!r} does not fit the tag !!{name}")
    return float(value) if name == "float" and isinstance(value, int) else value


def key_text(key: JsonValue) -> str:
    """Return a mapping's key as the string that JSON needs. Raises ValueError for keys that kubectl refuses."""
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int) and -_INT64 <= key < _INT64:
        return str(key)
    if isinstance(key, float):
        return _format_float32(key)
    if isinstance(key, str):
        return key
    raise ValueError("a key is null, a list, a mapping or a number beyond 64 bits: write it in quotes")


def json_number(value: JsonValue) -> JsonValue:
    """Return a scalar as kubectl sends it in JSON: `1.0` is 1. Raises ValueError for infinities and NaN."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("infinities and NaN can't be sent: write them in quotes if a string is meant")
        return int(value) if value.is_integer() and -_INT64 <= value < _INT64 else value
    if isinstance(value, int) and not isinstance(value, bool) and not -_INT64 <= value < _INT64:
        return float(value)
    return value


def _parse_integer(text: str) -> int | None:
    found = _INTEGER.fullmatch(text)
    if found is None:
        return None
    sign, *forms = found.groups()
    number = next(int(digits, base) for digits, base in zip(forms, (16, 2, 8, 10), strict=True) if digits is not None)
    number = -number if sign == "-" else number
    in_range = -_INT64 <= number < _INT64 or (sign == "" and number < _UINT64)
    return number if in_range else None


def _parse_float(text: str) -> float | str:
    """Return the number, or the text itself if it is beyond the range of a float."""
    number = float(text)
    return number if math.isfinite(number) else text


def _decode_binary(text: str) -> str:
    try:
        data = b64decode("".join(text.split("\n")), validate=True)
    except binascii.Error as error:
        raise ValueError("a !!binary value is not base64") from error
    return data.decode("utf-8", errors="replace")


def _format_float32(number: float) -> str:
    """Format a float key with the fewest digits that name the same 32-bit float, as kubectl does."""
    try:
        single = struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        single = math.copysign(math.inf, number)
    if not math.isfinite(single):
        return ".nan" if math.isnan(single) else ".inf" if single > 0 else "-.inf"
    texts = (f"{single:.{digits}e}" for digits in range(_FLOAT32_DIGITS))
    text = next(text for text in texts if struct.unpack("f", struct.pack("f", float(text)))[0] == single)
    mantissa, _, exponent = text.partition("e")
    if int(exponent) not in _PLAIN_EXPONENTS:
        return text
    decimals = len(mantissa.lstrip("-").replace(".", "")) - 1 - int(exponent)
    return f"{float(text):.{max(0, decimals)}f}"
