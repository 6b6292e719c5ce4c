"""Benchmarks that print a table; run one as ``python -m benchmarks.<name>``."""
