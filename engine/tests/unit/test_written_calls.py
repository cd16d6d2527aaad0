"""Test that tool calls written as text are distinguished from answers, and in time that grows with the text."""

import processor_time
import pytest

from src.api.agent.written_calls import find_written_call

TOOLS = ("k8s_get", "k8s_logs")

CALLS = {
    "hermes and qwen": '<tool_call>\n{"name": "k8s_get", "arguments": {"kind": "pods"}}\n</tool_call>',
    "after some prose": 'I will look.\n\n<tool_call>{"name": "k8s_get", "arguments": {}}</tool_call>',
    "qwen coder": "<function=k8s_get>\n<parameter=kind>\npods\n</parameter>\n</function>",
    "mistral": '[TOOL_CALLS][{"name": "k8s_get", "arguments": {"kind": "pods"}}]',
    "deepseek": "<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>function",
    "kimi": "<|tool_calls_section_begin|><|tool_call_begin|>functions.k8s_get:0<|tool_call_argument_begin|>{}",
    "llama with a tag": '<|python_tag|>{"name": "k8s_get", "parameters": {}}',
    "llama as json": '{"name": "k8s_get", "parameters": {"kind": "pods"}}',
    "llama as python": '[k8s_get(kind="pods"), k8s_logs(pod="web")]',
    "gemma": '```tool_code\nprint(default_api.k8s_get(kind="pods"))\n```',
    "gpt-oss": '<|channel|>commentary to=functions.k8s_get <|constrain|>json<|message|>{"kind":"pods"}',
    "gpt-oss without its marks": 'commentary to=functions.k8s_get json{"kind":"pods"}',
    "claude": '<function_calls>\n<invoke name="k8s_get">',
    "minimax": '<minimax:tool_call>\n<invoke name="k8s_get">',
    "react": 'Thought: look\nAction: k8s_get\nAction Input: {"kind": "pods"}',
    "openai's own form": '{"tool_calls": [{"type": "function", "function": {"name": "k8s_get", "arguments": "{}"}}]}',
    "a code block": 'Let me look.\n```json\n{"tool": "k8s_get", "args": {"kind": "pods"}}\n```',
    "several objects": '{"name": "k8s_get", "arguments": {}}\n{"name": "k8s_logs", "arguments": {}}',
    "the tool's name as key": '{"k8s_get": {"kind": "pods"}}',
    "with a prefix": '{"recipient_name": "functions.k8s_get", "parameters": {}}',
}

ANSWERS = {
    "prose": "The pods are fine.",
    "an example after much text": f'{"Long text. " * 40}\n```json\n{{"name": "k8s_get", "arguments": {{}}}}\n```',
    "an example in the midst": 'Send\n```json\n{"name": "k8s_get", "arguments": {}}\n```\nand wait.',
    "another tool": '{"name": "rm", "arguments": {}}',
    "an object with such a name": '{"name": "k8s_get", "namespace": "shop"}',
    "a manifest": '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "k8s_get"}}',
    "a tag in a sentence": "Models write `<tool_call>` before their calls.",
    "a tag in a code block": "It looks so:\n```\n<tool_call>\n```\nThat is all.",
    "the tool in a sentence": "I would call k8s_get(kind=pods) next.",
    "json that goes on": '{"name": "k8s_get", "arguments": {}} is what I would send.',
    "nothing": "",
}


@pytest.mark.parametrize("text", CALLS.values(), ids=list(CALLS))
def test_written_call_is_found(text: str) -> None:
    assert find_written_call(text, TOOLS)


@pytest.mark.parametrize("text", ANSWERS.values(), ids=list(ANSWERS))
def test_answer_is_no_call(text: str) -> None:
    assert find_written_call(text, TOOLS) is None


def test_without_tools_nothing_is_a_call() -> None:
    assert find_written_call(CALLS["llama as json"], ()) is None


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    "piece",
    [
        "```a\n",
        "x```\n",
        "{",
        '{"a":',
        "[",
        "<tool_call",
        "\n{",
        "Action: a\n",
        "to=functions",
        '{"name":"k8s_get","args":{}}',
    ],
)
def test_hostile_text_takes_bounded_time(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    with processor_time.at_most(1):
        find_written_call(text, TOOLS)
