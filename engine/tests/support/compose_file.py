"""Read `deployment/local.docker-compose.yaml` and the Dockerfile: what each service runs, and with which settings."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from tests.support.services import PROJECT

__all__ = ["COMPOSE", "DEPLOYMENT", "DOCKERFILE", "Compose", "Service", "Target", "interpolate", "read_compose_file"]

DEPLOYMENT = PROJECT / "deployment"
COMPOSE = DEPLOYMENT / "local.docker-compose.yaml"
DOCKERFILE = (DEPLOYMENT / "Dockerfile").read_text()

Duration = Annotated[str, Field(pattern=r"^\d+s$")]
Port = Annotated[str, Field(pattern=r"^127\.0\.0\.1:\d+:\d+$")]
Image = Annotated[str, Field(pattern=r"^[a-z0-9/-]+:(local|\d[\w.-]*)$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Build(Part):
    context: str
    dockerfile: str
    target: str


class EnvironmentFile(Part):
    path: str
    required: bool


class HealthCheck(Part):
    test: list[str] = Field(min_length=2)
    interval: Duration
    timeout: Duration
    retries: int


class Dependency(Part):
    condition: Literal["service_healthy", "service_completed_successfully"]


class Service(Part):
    """The parts of a service that we use, under the names of the Compose specification."""

    image: Image
    build: Build | None = None
    profiles: list[str] = []
    command: list[str] = []
    entrypoint: list[str] = []
    environment: dict[str, str] = {}
    env_file: list[EnvironmentFile] = []
    ports: list[Port] = []
    volumes: list[str] = []
    healthcheck: HealthCheck | None = None
    depends_on: dict[str, Dependency] = {}
    init: bool = False
    read_only: bool = False
    tmpfs: list[str] = []
    cap_drop: list[str] = []
    security_opt: list[str] = []
    restart: Literal["no", "unless-stopped"] = "no"
    stop_grace_period: Duration | None = None


class Compose(Part):
    name: str
    services: dict[str, Service]
    volumes: dict[str, None]


def read_compose_file() -> Compose:
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return Compose.model_validate({key: value for key, value in document.items() if not key.startswith("x-")})


def interpolate(value: str, variables: Mapping[str, str]) -> str:
    """Replace `${NAME:-default}` as compose does."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1]) or found[2], value)


@dataclass
class Target:
    """What a container of an image runs, by the target of the Dockerfile that the image is built from."""

    environment: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    health_check: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, name: str) -> "Target":
        found = cls()
        for part in ("runtime", name):
            [body] = re.findall(rf"^FROM \S+ AS {part}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
            body = body.replace("\\\n", " ")
            for instruction, rest in re.findall(r"^(ENV|ENTRYPOINT|CMD) (.+)$", body, re.MULTILINE):
                if instruction == "ENV":
                    found.environment |= dict(pair.split("=", 1) for pair in rest.split())
                else:
                    found.command += json.loads(rest)
            for check in re.findall(r"^HEALTHCHECK .*?CMD (\[.+\])$", body, re.MULTILINE):
                found.health_check = json.loads(check)
        return found
