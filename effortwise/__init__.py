"""The composition root: the command line, the demonstration, the shipped workload, pool and bundle."""

__version__ = "0.1.0"
