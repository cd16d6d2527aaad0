"""Test that errors of model hosts are recognised by their sentence, and a context that is too long by its own."""

import json

import pytest

from src.api.adapters.model.catalog import ModelCatalog
from src.api.adapters.model.errors import ErrorRedactor, build_error, describe_error, parse_error
from src.api.errors import ModelContextExceeded, ModelRefused
from src.api.schemas.base import Json

BODIES: dict[str, tuple[Json, str]] = {
    "openai": ({"error": {"message": "no such model", "type": "x"}}, "no such model"),
    "a text": ({"error": "no such model"}, "no such model"),
    "ollama": ({"error": "model 'x' not found"}, "model 'x' not found"),
    "fastapi, a text": ({"detail": "Not Found"}, "Not Found"),
    "fastapi, a list": (
        {"detail": [{"loc": ["body", "messages", 1, "content"], "msg": "Field required", "type": "missing"}]},
        "body.messages.1.content: Field required",
    ),
    "fastapi, several": (
        {"detail": [{"loc": ["body", "a"], "msg": "one"}, {"loc": ["body", "b"], "msg": "two"}]},
        "body.a: one; body.b: two",
    ),
    "fastapi, an object": ({"detail": {"message": "no such model", "code": 7}}, "no such model"),
    "mistral": (
        {"object": "error", "message": {"detail": [{"loc": ["body", "x"], "msg": "Extra inputs are not permitted"}]}},
        "body.x: Extra inputs are not permitted",
    ),
    "gemini": ([{"error": {"code": 400, "message": "API key not valid", "status": "INVALID"}}], "API key not valid"),
    "json in a text": ({"error": {"message": '{"error":{"message":"no such model"}}'}}, "no such model"),
    "python's bytes": ('b\'{"error": {"message": "no such model"}}\'', "no such model"),
    "python's bytes behind a name": (
        'AnthropicException - b\'{"message": "bad \\\\u00fc"}\'',
        "AnthropicException - bad \u00fc",
    ),
    "python's notation of an object": (
        "Error code: 422 - {'detail': [{'loc': ['body', 'x'], 'msg': 'Extra inputs'}]}",
        "body.x: Extra inputs",
    ),
    "openrouter": (
        {"error": {"message": "Provider returned error", "metadata": {"raw": '{"message": "no such model"}'}}},
        "Provider returned error: no such model",
    ),
    "problem details": ({"title": "Bad request", "detail": "no such model"}, "no such model"),
    "a list of texts": ({"errors": ["one", "two"]}, "one; two"),
    "unknown members": ({"fault": "x"}, '{"fault": "x"}'),
    "braces that are no json": ("a {b} c", "a {b} c"),
}


@pytest.mark.parametrize("name", BODIES)
def test_error_is_told_by_its_sentence(name: str) -> None:
    body, sentence = BODIES[name]
    assert describe_error(body) == sentence
    error = parse_error(body, 400, ErrorRedactor())
    assert type(error) is ModelRefused
    assert sentence in error.detail


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("body", ["[" * 50_000, "b'" + "x" * 500_000, '{"error":' * 5_000, [["a" * 9_000] * 9_000]])
def test_hostile_errors_are_bounded(body: Json) -> None:
    assert len(parse_error(body, 400, ErrorRedactor()).detail) < 1_000


TOO_LONG: dict[str, tuple[int | None, str, int | None]] = {
    "openai": (
        400,
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 20000 tokens.",
        8192,
    ),
    "openrouter": (
        400,
        (
            "This endpoint's maximum context length is 8192 tokens. However, you requested about 9001 tokens"
            " (1 of text input)."
        ),
        8192,
    ),
    "anthropic": (400, "prompt is too long: 208310 tokens > 200000 maximum", 200000),
    "anthropic with an answer": (
        400,
        (
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input "
            "length or `max_tokens`"
        ),
        200000,
    ),
    "gemini": (
        400,
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        1048576,
    ),
    "vllm": (
        400,
        (
            "The decoder prompt (length 20000) is longer than the maximum model length of 8192. Make sure "
            "that `max_model_len` is no smaller than the number of text tokens."
        ),
        8192,
    ),
    "vllm of old": (
        400,
        "max_model_len is 8192 but the prompt has 20000 tokens, which exceeds the context length",
        8192,
    ),
    "sglang": (
        400,
        (
            "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested "
            "a total of 20000 tokens"
        ),
        8192,
    ),
    "llama.cpp": (
        400,
        "the request exceeds the available context size, try increasing it (context size 8192 tokens)",
        8192,
    ),
    "lm studio": (
        400,
        (
            "Trying to keep the first 12000 tokens when context the overflows. However, the model is loaded "
            "with context length of only 4096 tokens"
        ),
        4096,
    ),
    "mistral": (
        400,
        ("Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context" " length"),
        32768,
    ),
    "xai": (400, "This model's maximum prompt length is 131072 but the request contains 143000 tokens.", 131072),
    "dashscope": (400, "Range of input length should be [1, 30720]", 30720),
    "moonshot": (400, "Invalid request: Your request exceeded model token limit: 8192", 8192),
    "tgi": (422, "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000", 4096),
    "tgi with an answer": (
        422,
        "`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000 `inputs` tokens and 20",
        4097,
    ),
    "bedrock": (400, "Input is too long for requested model.", None),
    "cohere": (
        400,
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000",
        4081,
    ),
    "groq": (413, "Please reduce the length of the messages or completion.", None),
    "zhipu": (400, "Prompt exceeds max length", None),
    "minimax": (400, "invalid params, context window exceeds limit (2013)", None),
    "ollama": (500, "the input length exceeds the context length", None),
    "with thousands": (400, "The maximum context length is 32,768 tokens", 32768),
    "inside of a stream": (None, "Context size has been exceeded.", None),
}


@pytest.mark.parametrize("name", TOO_LONG)
def test_context_that_is_too_long_is_recognised(name: str) -> None:
    status, message, limit = TOO_LONG[name]
    error = build_error(status, "", message)
    assert isinstance(error, ModelContextExceeded)
    assert error.limit == limit


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (429, "", "Request too large: tokens per minute (TPM): Limit 6000, Requested 8000"),
        (413, "", "Request too large for model in organization on tokens per minute (TPM): Limit 6000, Requested 8000"),
        (400, "", "Invalid value for `context`"),
        (400, "", "messages: text content is too short"),
        (401, "", "You exceeded your context limit"),
        (400, "", "max_tokens is too large: 99999. This model supports at most 4096 completion tokens"),
        (400, "", "The image is too large"),
    ],
)
def test_other_refusals_are_no_context_errors(status: int, kind: str, message: str) -> None:
    assert not isinstance(build_error(status, kind, message), ModelContextExceeded)


def test_code_of_the_error_is_enough() -> None:
    body: Json = {"error": {"message": "no", "code": "context_length_exceeded"}}
    assert isinstance(parse_error(body, 400, ErrorRedactor()), ModelContextExceeded)


def test_size_in_a_member_is_read() -> None:
    body = {
        "error": {"code": 400, "type": "exceed_context_size_error", "message": "the request exceeds it", "n_ctx": 4096}
    }
    error = parse_error(json.loads(json.dumps(body)), 400, ErrorRedactor())
    assert isinstance(error, ModelContextExceeded)
    assert error.limit == 4096


@pytest.mark.parametrize(("limit", "window"), [(8192, 8192), (None, 16_384), (1_000_000, 16_384)])
def test_refused_size_is_kept_for_the_model(limit: int | None, window: int) -> None:
    catalog = ModelCatalog(table=None, window=32_768)
    with pytest.raises(ModelContextExceeded), catalog.learning_window("m"):
        raise ModelContextExceeded("too long", limit)
    assert (catalog.window("m"), catalog.window("another")) == (window, 32_768)
