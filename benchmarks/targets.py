"""The routing targets, measured: every set and pool of the table, ours beside the plain baseline.

``python -m benchmarks.targets [--only NAME] [--out FOLDER] [--seed N]``. The traces are found in the folder
that ``EFFORTWISE_TRACES`` names, a sentence encoder in the one that ``EFFORTWISE_ENCODER`` does: without it,
sets that use one are left out. Each set leaves its report as JSON in the folder; a set whose report lies
there already is shown from it, unless it is named by ``--only``. The printed table is Markdown.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from effortwise.programs import likeness_of
from training.evaluation.answer_aware import Answers
from training.evaluation.comparison import Protocol, compare
from training.evaluation.crossfit import Folds
from training.evaluation.grid import Grid, read_grid

Report = Mapping[str, Any]
CALIBRATED = 0.03
FIVE_BY_FIVE = Folds(5, 5)


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached, in words; value and interval of what is measured, and whether it is met, from
    what a report says of one router. shown: how figures are written. remark: more to tell."""

    name: str
    wanted: str
    value: Callable[[Report], float | None]
    interval: Callable[[Report], Report]
    met: Callable[[Report], bool]
    shown: Callable[[float], str]
    remark: Callable[[Report], str] = lambda _: ""

    def cell(self, section: Report) -> str:
        """The figure with its interval and the remark."""
        value, bounds = self.value(section), self.interval(section)
        if value is None:
            return "-"
        between = f"{self.shown(bounds['low'])} to {self.shown(bounds['high'])}"
        return f"{self.shown(value)} ({between}){self.remark(section)}"


@dataclass(frozen=True, slots=True)
class Set:
    """A file's data set with its fixed pool, how it is tested, and what is to be reached by the question
    alone and, where it says so, with cheap answers seen. Fewer than 1,000 tested queries are too few: then
    five passes of five folds."""

    name: str
    file: str
    dataset: str
    models: str | None
    protocol: Protocol
    targets: tuple[Target, ...]
    answers: tuple[Target, ...] = ()
    """Of the answer-aware cascade."""
    also: tuple[str, ...] = ()
    """Models outside the pool that are learnt from: where that lowered the log loss out of fold on training
    rows."""
    encoder: bool = False
    """Whether a sentence encoder's vectors are features, too."""


def main() -> None:
    """Measure what was asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[each.name for each in SETS])
    parser.add_argument("--out", type=Path, default=Path("state/targets"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = os.environ.get("EFFORTWISE_TRACES")
    if folder is None:
        sys.exit("EFFORTWISE_TRACES names no folder of traces.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    wanted = [each for each in SETS if encoder_of(each) or not each.encoder]
    if arguments.only:
        chosen = next(each for each in SETS if each.name == arguments.only)
        needs_encoder(chosen)
        measured(chosen, Path(folder), arguments.out, arguments.seed, afresh=True)
    print_table(arguments.out, [] if arguments.only else wanted, Path(folder), arguments.seed)


def encoder_of(chosen: Set) -> Path | None:
    """The folder of the sentence encoder, where the set uses one and there is one."""
    folder = os.environ.get("EFFORTWISE_ENCODER")
    return Path(folder) if folder and chosen.encoder else None


def needs_encoder(chosen: Set) -> None:
    """Ends the process where the set uses an encoder and there is none."""
    if chosen.encoder and encoder_of(chosen) is None:
        sys.exit(f"{chosen.name} needs a sentence encoder: EFFORTWISE_ENCODER names no folder of one.")


def measured(chosen: Set, traces: Path, out: Path, seed: int, *, afresh: bool = False) -> Report:
    """The report of one set, from the folder or new."""
    path = out / f"{chosen.name}.json"
    if path.exists() and not afresh:
        known: Report = orjson.loads(path.read_bytes())
        return known
    protocol = replace(chosen.protocol, seed=seed, encoder=encoder_of(chosen))
    grid = grid_of(chosen, traces)
    seen = Answers(likeness=likeness_of(grid)) if chosen.answers else None
    found = compare(grid, protocol, lambda words: print(f"{chosen.name}: {words}", file=sys.stderr), seen)
    path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    return found


def grid_of(chosen: Set, traces: Path) -> Grid:
    """A set's queries and its pool's answers."""
    return read_grid(
        traces / f"{chosen.file}.parquet",
        chosen.dataset,
        chosen.models.split(",") if chosen.models else None,
        ignore_split=chosen.protocol.ignores_split,
        also=chosen.also,
    )


def print_table(out: Path, wanted: Sequence[Set], traces: Path, seed: int) -> None:
    """A row for each target; sets that are not wanted are shown where their reports lie in the folder."""
    print("| set | tested | best single | measure | plain | ours | target | |")
    print("|---|---|---|---|---|---|---|---|")
    for each in SETS:
        if each in wanted or (out / f"{each.name}.json").exists():
            found = measured(each, traces, out, seed)
            for target in (*each.targets, *EVERY_ROUTER, *EVERY_PREDICTOR):
                print(row(each, found, target, own_section(found)))
            for target in (*each.answers, *EVERY_ROUTER) if each.answers else ():
                print(row(each, found, target, {**found["routers"]["answers"], "asked": found["router"]}))


def row(chosen: Set, found: Report, target: Target, ours: Report) -> str:
    """One target of one set, by one router's section."""
    seen = "asked" in ours
    best = found["baselines"]["best_single"]
    cells = (
        f"{chosen.name}, answers seen" if seen else chosen.name,
        f"{found['n_test']} ({found['protocol']['folds'] or 'split'})",
        f"{best['quality']:.3f} at ${1000 * best['cost_usd']:.2f}",
        target.name,
        "-" if seen else target.cell(found["baselines"]["plain"]),
        target.cell(ours),
        target.wanted,
        "met" if target.met(ours) else "missed",
    )
    return f"| {' | '.join(cells)} |"


def own_section(found: Report) -> dict[str, Any]:
    """Our router with all that stands at the report's top for it."""
    top = {name: found[name] for name in ("apgr", "apgr_interval", "cpt", "calibration")}
    return {**found["router"], **top}


def percent(share: float) -> str:
    """A share."""
    return f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """A difference in quality, in points."""
    return f"{100 * difference:+.1f}"


def number(value: float) -> str:
    """A measure between 0 and 1."""
    return f"{value:.3f}"


def apgr(least: float) -> Target:
    """RouteLLM's measure."""
    return Target(
        "APGR",
        f">= {number(least)}",
        lambda s: s["apgr"],
        lambda s: s["apgr_interval"],
        lambda s: s["apgr"] >= least,
        number,
    )


def saved(least: float) -> Target:
    """Saved at the price that the training queries promise to be one point below best single; met only
    where the quality came, too."""
    return Target(
        "saved at -1 point",
        f">= {percent(least)}",
        lambda s: s["at_minus_1"]["saving"],
        lambda s: s["at_minus_1"],
        lambda s: s["at_minus_1"]["met"] and s["at_minus_1"]["saving"] >= least,
        percent,
        _came,
    )


def _came(section: Report) -> str:
    """At which quality, and what would have been read off the tested queries."""
    over = section["at_minus_1"]["over_best_single"]
    hindsight = section["read_off_test"]["at_minus_1"]
    read = "none" if hindsight is None else percent(hindsight)
    return (
        f" at {points(over['mean'])} ({points(over['low'])} to {points(over['high'])}); read off test: {read}"
    )


def gained(least: float) -> Target:
    """Quality for best single's cost."""
    return Target(
        "over best single at its cost",
        f">= {points(least)}",
        lambda s: _over(s)["mean"],
        _over,
        lambda s: bool(_over(s)["mean"] >= least),
        points,
    )


def _over(section: Report) -> Report:
    found: Report = section["at_equal_cost"]["over_best_single"]
    return found


def cheaper_than_the_question() -> Target:
    """Cost at best single's quality, all calls billed, against what the question alone needs for it."""
    return Target(
        "saved at equal quality, against the question alone",
        "more",
        lambda s: s["at_equal_quality"]["saving"],
        lambda s: s["at_equal_quality"],
        lambda s: (
            s["at_equal_quality"]["met"]
            and s["at_equal_quality"]["low"] > s["asked"]["at_equal_quality"]["high"]
        ),
        percent,
        lambda s: f" against {percent(s['asked']['at_equal_quality']['saving'])}",
    )


def doubted(least: float) -> Target:
    """How well a wrong first answer is told."""
    return Target(
        "AUROC of the first answer being wrong",
        f">= {number(least)}",
        lambda s: s["first_answer_wrong"]["auroc"],
        lambda s: s["first_answer_wrong"],
        lambda s: bool(s["first_answer_wrong"]["auroc"] >= least),
        number,
    )


def _pooled(section: Report) -> Report:
    found: Report = section["calibration"]["pooled"]
    return found


def worst_arm(section: Report) -> Report:
    """The one whose calibration error is surest to be large."""
    arms: Sequence[Report] = section["calibration"]["arms"]
    return max(arms, key=lambda arm: (float(arm["low"]), float(arm["ece_debiased"])))


EVERY_ROUTER = (
    Target(
        "lift over the shuffle at half of best single's cost",
        "interval above 0",
        lambda s: s["lift_over_shuffle"]["mean"],
        lambda s: s["lift_over_shuffle"],
        lambda s: bool(s["lift_over_shuffle"]["low"] > 0),
        points,
    ),
    gained(-0.005),
)
"""What every router is to reach on every set."""

EVERY_PREDICTOR = (
    Target(
        "pooled calibration error, debiased",
        "<= 0.03",
        lambda s: _pooled(s)["ece_debiased"],
        _pooled,
        lambda s: bool(_pooled(s)["ece_debiased"] <= CALIBRATED),
        number,
    ),
    Target(
        "the worst arm's",
        "interval not above 0.03",
        lambda s: worst_arm(s)["ece_debiased"],
        worst_arm,
        lambda s: bool(worst_arm(s)["low"] <= CALIBRATED),
        number,
    ),
)
"""What every predictor is to reach there."""

EASY = (
    "gemma-3-27b-it,mistral-small-3.1-24b-instruct,llama-4-scout,llama-4-maverick,claude-3.5-sonnet,"
    "claude-sonnet-4"
)
HARD = EASY.removesuffix(",claude-sonnet-4")
ARC = "mistral-7b-chat,mixtral-8x7b-chat,Yi-34B-Chat,llama-2-70b-chat,claude-v1,gpt-4-1106"
MBPP = "mistral-7b-chat,code-llama-34b,Yi-34B-Chat,gpt-3.5-turbo-1106,claude-v1,gpt-4-1106"
MATH = "Qwen2.5-7B,gemini-1.5-flash-exp-0827,Qwen2.5-32B,Qwen2.5-72B,gemini-1.5-pro-exp-0827,grok-2-1212"
MMLU_PRO = "gemini-1.5-flash-002,mathstral-7B,Llama-3.1-8B-Instruct,Llama-3.1-70B-Instruct,gemini-1.5-pro-002"
ROUTERS, GYM = "router_benchmarks", "reasoning_gym"
SPLIT, CROSSED = Protocol(), Protocol(FIVE_BY_FIVE)
TASKS = Protocol(leave_out="task")
EVERY_MODEL = ("all",)

SETS = (
    Set("mmlu_1500", ROUTERS, "routellm_mmlu", None, Protocol(labels=1500), (apgr(0.65),)),
    Set("mmlu", ROUTERS, "routellm_mmlu", None, SPLIT, (apgr(0.70),)),
    Set("mmlu_encoder", ROUTERS, "routellm_mmlu", None, SPLIT, (apgr(0.70),), encoder=True),
    Set(
        "gsm8k",
        ROUTERS,
        "routellm_gsm8k",
        None,
        CROSSED,
        (apgr(0.64),),
        (apgr(0.75), doubted(0.78), cheaper_than_the_question()),
    ),
    Set("gym_easy", GYM, "reasoning_gym_easy", EASY, SPLIT, (saved(0.65),), (saved(0.65),)),
    Set("gym_easy_new_tasks", GYM, "reasoning_gym_easy", EASY, TASKS, (saved(0.65),)),
    Set(
        "gym_hard",
        GYM,
        "reasoning_gym_hard",
        HARD,
        SPLIT,
        (saved(0.65), gained(0.08)),
        (saved(0.65), gained(0.08)),
    ),
    Set("gym_hard_new_tasks", GYM, "reasoning_gym_hard", HARD, TASKS, (saved(0.65), gained(0.08))),
    Set("arc_c", ROUTERS, "routerbench_arc_c", ARC, CROSSED, (saved(0.65),), (saved(0.65),), EVERY_MODEL),
    Set("mbpp", ROUTERS, "routerbench_mbpp", MBPP, CROSSED, (saved(0.50),), (saved(0.50),)),
    Set(
        "math_l5",
        "zeroeval_math",
        "zeroeval_math_l5",
        MATH,
        CROSSED,
        (saved(0.40), gained(0.039)),
        (saved(0.40), gained(0.039)),
        EVERY_MODEL,
    ),
    Set("mmlu_pro", "mmlu_pro", "mmlu_pro", MMLU_PRO, SPLIT, (saved(0.50),), (saved(0.50),)),
)


if __name__ == "__main__":
    main()
