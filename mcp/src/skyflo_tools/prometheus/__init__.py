"""Read from a Prometheus server by its HTTP API."""
