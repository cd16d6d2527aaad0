"""Render objects as YAML, and truncate long text."""

import yaml

from skyflo_common.jsontypes import JsonValue

TEXT_BYTES = 16 * 1024


class YamlDumper(yaml.CSafeDumper):
    """YAML as kubectl writes it: long strings as blocks, no anchors."""

    def ignore_aliases(self, _: object) -> bool:
        return True


def _represent_str(dumper: yaml.CSafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


YamlDumper.add_representer(str, _represent_str)


def to_yaml(value: JsonValue) -> str:
    return yaml.dump(value, Dumper=YamlDumper, sort_keys=False, allow_unicode=True, width=120)


def limit_lines(lines: list[str], limit: int, what: str, advice: str = "") -> str:
    """Join the lines that fit into `limit` bytes, and append how many are left out."""
    kept = count_fitting_lines(lines, limit)
    if kept == len(lines):
        return "\n".join(lines)
    shown = lines[:kept] or [truncate(lines[0], limit)]
    left = len(lines) - len(shown)
    rest = [f"… {left} more {what}" + (f", {advice}" if advice else "")] if left else []
    return "\n".join([*shown, *rest])


def count_fitting_lines(lines: list[str], limit: int) -> int:
    """Return how many of the first lines fit into `limit` bytes."""
    size = 0
    for count, line in enumerate(lines):
        size += len(line.encode()) + 1
        if size > limit:
            return count
    return len(lines)


def truncate(text: str, limit: int) -> str:
    """Truncate text to `limit` bytes, and append how many bytes are missing."""
    data = text.encode()
    if len(data) <= limit:
        return text
    return f"{data[:limit].decode(errors='ignore')}… {len(data) - limit} more bytes"
