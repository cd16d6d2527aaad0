"""Create ids."""

import uuid_utils

__all__ = ["Uuid7"]


class Uuid7:
    """`Ids` of UUID version 7: unique, and sorted by time of creation."""

    def new(self) -> str:
        return str(uuid_utils.uuid7())
