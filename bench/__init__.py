"""Benchmarks that compare the engine with floors: the least code that does the same work."""
