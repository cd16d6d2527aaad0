"""Diffs are read by people: line by line, and nothing in them is invisible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.kubernetes.diffs import diff_objects

CLEAN = "".join(f"location /a{n} {{\n    proxy_pass http://backend-{n}:8080;\n}}\n" for n in range(25))
TEXTS = {
    "clean": CLEAN,
    "trailing blank": CLEAN.replace("backend-3:8080;", "backend-3:8080; "),
    "tab": CLEAN.replace("    proxy_pass http://backend-3", "\tproxy_pass http://backend-3"),
    "crlf": CLEAN.replace("\n", "\r\n"),
    "cr": CLEAN.replace("\n", "\r"),
    "emoji": CLEAN.replace("/a3 ", "/a3\U0001f680 "),
    "bidi": CLEAN.replace("/a3 ", "/a3\u202e "),
    "bell": CLEAN.replace("/a3 ", "/a3\x07 "),
    "separators": CLEAN.replace("/a3 ", "/a3\u2028\x85\x0c "),
    "leading blank": " " + CLEAN,
    "leading break": "\n\n" + CLEAN,
    "no break at the end": CLEAN.rstrip(),
    "comment": CLEAN.replace("/a3 ", "# /a3: - "),
    "looks like yaml": CLEAN.replace("location /a3", "--- a: &b *c"),
}


def config(text: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"nginx.conf": text}}


@pytest.mark.promise("bound")
@pytest.mark.parametrize("name", TEXTS)
def test_changed_line_of_a_text_is_one_line_of_the_diff(name: str) -> None:
    text = TEXTS[name]
    lines = diff_objects(config(text), config(text.replace("backend-2:8080", "backend-2:9090")), "cm")
    changed = [line for line in lines[2:] if line[0] in "+-"]
    assert [line.rstrip("␍") for line in changed] == [
        "-        proxy_pass http://backend-2:8080;",
        "+        proxy_pass http://backend-2:9090;",
    ]
    assert all(character.isprintable() for line in lines for character in line)


@pytest.mark.promise("bound")
@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a\nb\n", "a\nb", "|-"),
        ("a\nb\n", "a\nb \n", "b␠"),
        ("a\n    b\n", "a\n\tb\n", "␉b"),
        ("a\nb\n", "a\r\nb\n", "a␍"),
        ("a\nb\n", "a\nb\u200b\n", "b<U+200B>"),
        ("ab", "a\u202eb", "a<U+202E>b"),
        ("ab", "a\u200bb", "<U+200B>"),
    ],
)
def test_difference_in_odd_characters_is_visible(before: str, after: str, shown: str) -> None:
    lines = diff_objects(config(before), config(after), "cm")
    assert any(line.startswith("+") and shown in line for line in lines[2:])


def test_text_can_not_pass_for_another_value() -> None:
    """A key or value that looks like what stands for a text internally is shown as it is."""
    body: JsonObject = {"data": {"text-0123456789abcdef-0": "text-0123456789abcdef-0", "a": "b\nc\n"}}
    diff = "\n".join(diff_objects(None, body, "cm"))
    assert "+  text-0123456789abcdef-0: text-0123456789abcdef-0" in diff
    assert "+  a: |\n+    b\n+    c" in diff


@given(st.lists(st.sampled_from("abc"), max_size=30), st.lists(st.sampled_from("abc"), max_size=30))
def test_hunks_are_those_of_a_unified_diff(old: list[str], new: list[str]) -> None:
    """`patch` would turn the old text into the new one by them."""
    before, after = (config("".join(f"{line}\n" for line in lines) + "end\n") for lines in (old, new))
    texts = [diff_objects(None, body, "cm")[3:] for body in (before, after)]
    (_, *old_lines), (_, *new_lines) = (["", *(line[1:] for line in lines)] for lines in texts)
    lines = diff_objects(before, after, "cm")
    assert bool(lines) == (old != new)
    assert apply_hunks(old_lines, lines[2:]) == new_lines


def apply_hunks(old: list[str], lines: list[str]) -> list[str]:
    result, at = [], 0
    for line in lines:
        if line.startswith("@@"):
            start, _, count = line.split()[1].removeprefix("-").partition(",")
            first = int(start) - (count != "0")
            result += old[at:first]
            at = first
            continue
        if line[0] in " -":
            assert old[at] == line[1:]
            at += 1
        if line[0] in " +":
            result.append(line[1:])
    return result + old[at:]


def test_one_changed_line_of_a_long_repetitive_text_is_one_line_of_the_diff() -> None:
    lines = [f"    - {n % 7}\n" for n in range(20_000)]
    changed = [*lines[:9000], "    - x\n", *lines[9001:]]
    diff = diff_objects(config("".join(lines)), config("".join(changed)), "cm")
    assert [line.strip() for line in diff[2:] if line[0] in "+-"] == ["-        - 5", "+        - x"]
