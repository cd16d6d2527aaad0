"""`skyflo`, the command: a client of the engine's HTTP interface, on a terminal and in scripts."""
