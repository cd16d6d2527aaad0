"""Requests to the API server."""

from skyflo_tools.kubernetes.client import json_request


def test_post_request_is_not_a_read() -> None:
    assert not json_request("POST", "/", {}).is_read
