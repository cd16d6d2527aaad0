"""The channel of Redis on which queued runs are offered, and how many processes listen there."""

from typing import Final

__all__ = ["OFFERS", "count_listeners"]

OFFERS: Final = "offers"


def count_listeners(redis_url: str, seconds: float) -> int:
    """Return how many processes take the runs of others: each listens on one connection. Raises RedisError, OSError."""
    from redis import Redis

    with Redis.from_url(redis_url, socket_connect_timeout=seconds, socket_timeout=seconds) as connection:
        [(_, count)] = connection.pubsub_numsub(OFFERS)
        return int(count)
