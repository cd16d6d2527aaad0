"""The CLUSTERS setting."""

from skyflo_tools.kubernetes.clusters import parse_contexts


def test_context_names_may_contain_colons() -> None:
    arn = "arn:aws:eks:eu-west-1:1:cluster/prod"
    parsed = parse_contexts(f" {arn}:read, staging ,,")
    assert [(each.name, each.writable) for each in parsed] == [(arn, False), ("staging", True)]
