"""Collection: a running service is driven with checkable tasks, and its answers are judged."""
