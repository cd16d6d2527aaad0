"""The command `skyflo`: a client of the engine's HTTP API for terminals and scripts."""
