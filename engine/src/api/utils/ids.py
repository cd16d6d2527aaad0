"""Ids."""

import uuid_utils

__all__ = ["Uuid7"]


class Uuid7:
    """Ids that are unique for ever and sort by when they were made (UUID version 7)."""

    def new(self) -> str:
        return str(uuid_utils.uuid7())
