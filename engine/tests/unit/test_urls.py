"""The forms of URLs in settings."""

import pytest
from pydantic import TypeAdapter, ValidationError

from src.api.config.urls import BaseUrl, HttpUrl, ServerUrl

UNREADABLE = "host or port can't be read"


@pytest.mark.parametrize(
    ("form", "url"),
    [
        (HttpUrl, "http://models:8000/v1"),
        (HttpUrl, "https://ann:p%40ss@models.example/v1?version=2"),
        (HttpUrl, "http://[::1]:8000/v1"),
        (ServerUrl, "https://tools.example/mcp?team=a"),
        (BaseUrl, "https://skyflo.example/ui"),
    ],
)
def test_url_is_kept_as_it_is(form: type[str], url: str) -> None:
    assert TypeAdapter(form).validate_python(url) == url


@pytest.mark.parametrize(
    ("form", "url", "says"),
    [
        (HttpUrl, "models.example/v1", "pattern"),
        (HttpUrl, "ftp://models/v1", "pattern"),
        (HttpUrl, "http://the models/v1", "pattern"),
        (HttpUrl, "http:///v1", UNREADABLE),
        (HttpUrl, "http://ann:hunter2@:80/v1", UNREADABLE),
        (HttpUrl, "http://[models/v1", UNREADABLE),
        (HttpUrl, "http://models:port/v1", UNREADABLE),
        (HttpUrl, "http://models:0/v1", UNREADABLE),
        (HttpUrl, "http://models:65536/v1", UNREADABLE),
        (ServerUrl, "https://ann:hunter2@tools/mcp", "pattern"),
        (ServerUrl, "https://tools:x/mcp", UNREADABLE),
        (BaseUrl, "https://skyflo.example/ui?a=1", "pattern"),
        (BaseUrl, "https://skyflo.example:x/ui", UNREADABLE),
    ],
)
def test_url_without_a_usable_host_is_refused(form: type[str], url: str, says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(form).validate_python(url)
    assert says in refused.value.errors()[0]["msg"]
