"""Expressions in a model's text, read by ``math_verify`` where that is known to end.

Its parser leaves powers as they stand, but works binomials, remainders and the like out at once, so only
commands that it leaves alone are let through. What is read is compared in ``_equality``.
"""

from __future__ import annotations

import logging
import math
import re
from typing import Any

from router.said_number import NUMBER, hedged

MAX_EXPRESSION_CHARACTERS = 200
MAX_EXPONENT = 1_000
"""Of one power, and of powers of powers together."""
_COMMANDS = frozenset(
    ("frac", "dfrac", "tfrac", "cfrac", "sqrt", "cdot", "times", "div", "pm", "mp", "pi", "infty", "cup",
     "left", "right", "text", "mathrm", "textbf", "mathbf", "boxed", "fbox", "circ", "degree", "sin", "cos",
     "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "log", "exp",
     "le", "leq", "ge", "geq", "lt", "gt", "neq", "ne", "in", "emptyset", "varnothing", "mathbb", "begin",
     "end", "displaystyle", "quad", "qquad", "big", "Big", "lvert", "rvert", "vert", "approx", "to", "dots",
     "ldots", "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta",
     "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi", "chi", "psi",
     "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Sigma", "Phi", "Psi", "Omega")
)  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_WORKED_OUT = re.compile(
    r"!|\b(?:binom\w*|factorial\w*|gcd|lcm|mod|sum|prod\w*|int|integra\w*|lim|diff|det|choose|[CP]\s*\()",
    re.IGNORECASE,
)
"""Short to write, and endless to evaluate."""
_POWER = re.compile(r"\^|\*\*")
_EXPONENT = re.compile(
    r"\s*(?:\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}|\(([^()]*)\)|([-+]?(?:\\?[A-Za-z]+|[\d.]+)))"
)
_MATHEMATICAL = re.compile(r"[\\^_{}]")  # signs of LaTeX: without them the text may be prose
_WORD = re.compile(r"[A-Za-z]{2,}")
_BRACED = re.compile(r"^\s*\{([^{}\\]*)\}\s*$")
_NUMERAL = re.compile(r"\d*\.\d+|\d+")


def evaluable(text: str) -> bool:
    """Whether a text is short, and nothing in it could take for ever to evaluate: no command or name that
    is worked out when it is read, no power in an exponent, and no exponent beyond ``MAX_EXPONENT``."""
    if not 0 < len(text) <= MAX_EXPRESSION_CHARACTERS or _WORKED_OUT.search(text):
        return False
    return all(command in _COMMANDS for command in _COMMAND.findall(text)) and _powers_bounded(text)


def parsed(text: str) -> list[Any]:
    """The SymPy expression in a text of LaTeX or prose, with its source; empty where there is none, or prose
    names several numbers or denies one."""
    import math_verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns once that its time-out is off
    if (
        "$" not in text
        and "\\boxed" not in text
        and _MATHEMATICAL.search(text) is None
        and _WORD.search(text)
    ):
        if hedged(text) or len(NUMBER.findall(text)) > 1:
            return []
    elif "$" not in text and "\\boxed" not in text:
        text = f"${_BRACED.sub(_as_set, text)}$"
    found: list[Any] = math_verify.parse(text, parsing_timeout=None)
    return found


def _as_set(braces: re.Match[str]) -> str:
    return rf"\{{{braces[1]}\}}"


def _powers_bounded(text: str) -> bool:
    """Exponents of groups multiply, since a group may hold powers; each of a lone base stands for itself."""
    nested, largest = 1.0, 1.0
    for power in _POWER.finditer(text):
        exponent = _EXPONENT.match(text, power.end())
        if exponent is None or _POWER.search(exponent[0]) or _POWER.match(text[exponent.end() :].lstrip()):
            return False
        reach = _reach(exponent[0])
        if text[: power.start()].rstrip()[-1:] in (")", "}", "]", "|"):
            nested *= reach
        else:
            largest = max(largest, reach)
    return nested * largest <= MAX_EXPONENT


def _reach(exponent: str) -> float:
    """How large or small an exponent's numbers could make it."""
    return math.prod(
        max(10.0 ** len(part) if "." in part else float(part), 1.0) for part in _NUMERAL.findall(exponent)
    )
