"""A real Prometheus for tests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

from tests.support.ports import free_port
from tests.support.process_guard import GuardedProcess
from tests.support.services import UnavailableError, run_service, temporary_folder

CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yaml]
scrape_configs:
{jobs}
- job_name: itself
  static_configs: [{{targets: ['127.0.0.1:{port}']}}]
- job_name: shop
  static_configs: [{{targets: ['127.0.0.1:1'], labels: {{team: shop}}}}]
"""
RULES = """\
groups:
- name: shop
  rules:
  - {record: shop:orders, expr: vector(42)}
  - alert: ShopDown
    expr: up{job="shop"} == 0
    labels: {severity: critical}
    annotations: {summary: 'no orders in {{ $labels.team }}'}
  - alert: ShopSlow
    expr: vector(1)
    for: 1h
"""


@contextmanager
def prometheus(jobs: str = "") -> Iterator[str]:
    """Start Prometheus of Debian's package, which scrapes itself and a target that is down. Yields its address.

    `jobs` are further entries of its `scrape_configs`, in YAML.

    Raises:
        UnavailableError: there is none.
    """
    binary = shutil.which("prometheus")
    if binary is None:
        raise UnavailableError("no prometheus: on Debian, apt-get install prometheus")
    port = free_port()
    with temporary_folder("prometheus", None) as folder:
        (folder / "prometheus.yaml").write_text(CONFIG.format(port=port, jobs=jobs))
        (folder / "rules.yaml").write_text(RULES)
        job = GuardedProcess(
            str(folder),
            (
                binary,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ),
        )
        with run_service(job, lambda: _is_ready(port)):
            yield f"http://127.0.0.1:{port}"


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
