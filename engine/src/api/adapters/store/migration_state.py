"""Keep the models as of each migration, without building all of them for each operation as Tortoise does.

With an empty database that took longer than the rest of the engine's start: 47 operations, 20 models, and for each of
those its filters and queries, which no migration uses. So the models of a migration can't query.
"""

from collections.abc import Mapping
from typing import Self

from tortoise.migrations.schema_generator.state import State
from tortoise.migrations.schema_generator.state_apps import StateApps

__all__ = ["create_state"]


def create_state(connections: Mapping[str, str]) -> State:
    """Return the state before the first migration. `connections` names the connection of each app."""
    return _State(models={}, apps=_Models(dict(connections)))


class _Models(StateApps):
    """The models of a state. An operation replaces those that it is about, and changes none.

    So states can share them, while no model refers to another one: a replaced model would be referred to by the others.
    """

    def unregister_model(self, app_label: str, model_name: str) -> None:
        self.apps.get(app_label, {}).pop(model_name, None)

    def copy(self) -> Self:
        copy = type(self)(dict(self._default_connections), self._connections)
        copy.apps = {label: dict(models) for label, models in self.apps.items()}
        return copy

    def _build_initial_querysets(self) -> None:
        for model in (model for models in self.apps.values() for model in models.values()):
            meta = model._meta  # noqa: SLF001 -- as its base does
            meta.finalise_fields()
            if meta.fetch_fields:
                raise NotImplementedError(f"the table {meta.db_table} refers to another one: see `_Models`")


class _State(State):
    apps: _Models

    def clone(self) -> Self:
        models = {key: model.clone() for key, model in self.models.items()}
        return type(self)(models=models, apps=self.apps.copy())
