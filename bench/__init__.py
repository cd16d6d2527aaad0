"""Measures the engine beside floors: the same work done by the least code that could do it. `make bench`."""
