"""The demonstration's parts: a service of its own, a client of tasks, and what is measured."""
