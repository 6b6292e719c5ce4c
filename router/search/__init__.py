"""Search: what the strategies share that search over reasoning steps.

A ``Path`` is the steps so far; a ``Guide`` says how steps are written and valued; a ``Search`` is one search
under way, with all paths that it found. The strategies themselves only choose which paths go on.
"""
