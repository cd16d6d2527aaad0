"""Define an entry of `MCP_SERVERS`: a further tool server, at a URL or as a command that the engine runs."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from skyflo_common.redaction import is_secret_name
from src.api.config.urls import ServerUrl

__all__ = ["McpServer"]

_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_SHORTEST_TOKEN = 16
VariableName = Annotated[str, Field(pattern=_VARIABLE, max_length=200)]
Argument = Annotated[str, Field(max_length=8_192)]
Value = Annotated[SecretStr, Field(max_length=32_768)]


class McpServer(BaseModel):
    """A further tool server. Its claim that a tool only reads counts only if it is trusted.

    At a `url`, `token_env` names the variable with its token, which is sent in `header`. A `command` speaks MCP on its
    standard streams; it gets the variables of `env`, and those of the engine that `env_from` names, and no others.
    `tools` limits which of its tools are offered, `max_tokens` how much their descriptions may take of each model call.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    trusted: bool = False
    tools: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(default=(), max_length=512)
    max_tokens: int = Field(default=12_000, ge=100, le=1_000_000)

    url: ServerUrl | None = None
    header: str = Field(default="Authorization", pattern=r"^[A-Za-z0-9-]{1,64}$")
    token_env: str | None = Field(default=None, pattern=_VARIABLE)

    command: str | None = Field(default=None, min_length=1, max_length=4_096)
    args: tuple[Argument, ...] = Field(default=(), max_length=200, repr=False)
    env: dict[VariableName, Value] = Field(default_factory=dict, max_length=200)
    env_from: tuple[VariableName, ...] = Field(default=(), max_length=200)
    cwd: Path | None = None

    @model_validator(mode="after")
    def _is_reached_one_way(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise ValueError(f"the server {self.name} needs either a url or a command")
        other = {"args", "env", "env_from", "cwd"} if self.command is None else {"header", "token_env"}
        if wrong := sorted(other & self.model_fields_set):
            kind = "url" if self.command is None else "command"
            raise ValueError(f"the server {self.name} has a {kind}, which takes no {', '.join(wrong)}")
        return self

    def secrets(self, environment: Mapping[str, str]) -> tuple[str, ...]:
        """Return the values of this entry, and of the variables that it names, that are hidden wherever they occur."""
        given = {name: value.get_secret_value() for name, value in self.env.items()}
        named = {name: environment.get(name, "") for name in self.env_from}
        values = [value for name, value in (given | named).items() if is_secret_name(name) or _looks_random(value)]
        if self.token_env is not None:
            values.append(environment.get(self.token_env, ""))
        for flag, value in pairwise((*self.args, "")):
            name, _, attached = flag.partition("=")
            if name.startswith("-") and is_secret_name(name):
                values.append(attached or value)
        return tuple(value for value in values if value)


def _looks_random(value: str) -> bool:
    """Whether a value is long and mixes letters and digits, as tokens do and settings seldom do."""
    return (
        len(value) >= _SHORTEST_TOKEN
        and not any(character.isspace() or character == "/" for character in value)
        and any(character.isdigit() for character in value)
        and any(character.isalpha() for character in value)
    )
