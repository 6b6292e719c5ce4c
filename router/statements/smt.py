"""Checks with Z3 that something follows from facts, as a script of its own (see ``router.statements``).

The statement is SMT-LIB whose last assertion denies what is claimed; those before it are the facts. It holds
where the facts can be true, and not together with the denial; a model of both is the counter-example.
"""

import re
import sys

MOST_MS = 4_000
_COMMANDS = re.compile(
    r"\((?:check-sat|get-model|get-value|exit|set-option|set-info)\b[^()]*(?:\([^()]*\))?\s*\)"
)


def ruling(statement: str) -> str:
    """``holds`` where the facts are consistent and the last assertion contradicts them."""
    import z3

    asserted = list(z3.parse_smt2_string(_COMMANDS.sub("", statement)))
    if not asserted:
        return "unknown: nothing was asserted"
    solver = z3.Solver()
    solver.set("timeout", MOST_MS)
    solver.add(asserted[:-1])
    facts = solver.check()
    if facts == z3.unsat:
        return "fails: the facts contradict each other"
    solver.add(asserted[-1])
    denied = solver.check()
    if denied == z3.sat:
        return f"fails: a counter-example is {_on_one_line(str(solver.model()))}"
    return "holds" if (facts, denied) == (z3.sat, z3.unsat) else "unknown: this could not be decided"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.stdout.write(ruling(sys.stdin.read()) + "\n")
