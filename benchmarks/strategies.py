"""Does each strategy earn its place? Success against tokens, calls and wall time, beside plain sampling.

``python -m benchmarks.strategies live [--tasks N] [--budgets 2 4 8] [--work FILE.jsonl]``: every strategy on
the embedded model over the checkable workload. Finished runs stand in the work file: an interruption loses
none, and more tasks can be added later. ``... recorded FILE.parquet``: those that recorded samples can
replay. ``... table FILE.jsonl``: the table alone.

Each strategy runs under a cap on its upstream calls and is compared with plain sampling of as many tokens:
with a vote where no verifier is at hand, with best-of-n where the task's own check is.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import orjson
from rich.progress import Progress

from benchmarks.replayed import replayed_table
from benchmarks.same_tokens import ONE_CALL, Measured, print_table
from effortwise.pool import MODEL, NOTIONAL_TARIFF
from effortwise.task import Task
from effortwise.workload import generate, judge
from router.arm import Arm
from router.backend import Backend
from router.budget import Budget
from router.bundle import cold_bundle
from router.candidate import Answer
from router.confidence.agreement import Agreement
from router.errors import BackendError, OutOfCompute
from router.menu import Menu
from router.metering import Meter, Metered
from router.model_card import ModelCard
from router.prospect import Prospect, Prospects
from router.query import Query, Wishes
from router.run import Run
from router.sections import SandboxSection
from router.strategies import Strategy
from router.strategies.agreement_cascade import AgreementCascade
from router.strategies.any_time import AnyTime
from router.strategies.beam_search import BeamSearch
from router.strategies.best_of_n import BestOfN
from router.strategies.budget_forcing import BudgetForcing
from router.strategies.cascade import Cascade, Stage
from router.strategies.chain_of_thought import ChainOfThought
from router.strategies.direct import Direct
from router.strategies.formal_check import FormalCheck
from router.strategies.mixture_of_models import MixtureOfModels
from router.strategies.monte_carlo_tree_search import MonteCarloTreeSearch
from router.strategies.particle_filtering import ParticleFiltering
from router.strategies.program_of_thought import ProgramOfThought
from router.strategies.prompt_bandit import PromptBandit
from router.strategies.react import React
from router.strategies.self_consistency import SelfConsistency
from router.strategies.tree_of_thoughts import TreeOfThoughts
from router.strategies.verify_and_refine import VerifyAndRefine
from router.tools.calculator import Calculator
from router.verifiers import make_verifier
from serving.backends.llama_cpp import LlamaCpp
from serving.sandbox import configured_sandbox

CARD = ModelCard(MODEL, NOTIONAL_TARIFF, 96, 2048, logprobs=True, continues=True)
SEED = 4
TASKS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """A strategy at any budget. checked: runs with the task's own check as its verifier, as a client can who
    knows how a right answer looks (unit tests, a schema). once: makes one call at every budget, and is run
    at the smallest only."""

    name: str
    of_budget: Callable[[int], Strategy]
    checked: bool = False
    plain: bool = False
    once: bool = False


def stages(*strategies: Strategy) -> tuple[Stage, ...]:
    """Stages under their arms' ids."""
    return tuple(Stage(f"{each.family}@{each.compute:g}", each) for each in strategies)


m = MODEL
direct = Direct(m)

ALONE = (
    Entry(ONE_CALL, lambda b: direct, plain=True, once=True),
    Entry("chain_of_thought", lambda b: ChainOfThought(m), once=True),
    Entry("chain_of_thought, plan first", lambda b: ChainOfThought(m, prompt="plan_then_solve"), once=True),
    Entry("vote (direct)", lambda b: SelfConsistency(m, b, "direct", stop_at=1.0), plain=True),
    Entry("vote (step by step)", lambda b: SelfConsistency(m, b, stop_at=1.0), plain=True),
    Entry("self_consistency, Adaptive-Consistency", lambda b: SelfConsistency(m, b, "direct")),
    Entry("best_of_n, judge", lambda b: BestOfN(m, max(2, b // 2), judge=m)),
    Entry("best_of_n, pairwise judge", lambda b: BestOfN(m, max(2, b // 3 + 1), judge=m, compare="pairwise")),
    Entry("best_of_n, likelihood", lambda b: BestOfN(m, b, by="likelihood")),
    Entry("mixture_of_models (of one)", lambda b: MixtureOfModels((m,) * max(2, b - 1))),
    Entry("verify_and_refine, self-critique", lambda b: VerifyAndRefine(m, max(2, b // 2))),
    Entry("program_of_thought", lambda b: ProgramOfThought(m, max(1, b // 2))),
    Entry("formal_check", lambda b: FormalCheck(m, max(1, b // 2))),
    Entry("react, calculator", lambda b: React(m, max(2, b - 1), tools="calculator")),
    Entry("beam_search, judge", lambda b: BeamSearch(m, max(1, (b - 3) // 2))),
    Entry("tree_of_thoughts, judge", lambda b: TreeOfThoughts(m, max(2, b // 2), depth=2, branch=2)),
    Entry("monte_carlo_tree_search, judge", lambda b: MonteCarloTreeSearch(m, max(1, b // 3), depth=2)),
    Entry(
        "monte_carlo_tree_search, adaptive",
        lambda b: MonteCarloTreeSearch(m, max(1, b // 3), depth=2, branching="adaptive"),
    ),
    Entry("particle_filtering, judge", lambda b: ParticleFiltering(m, max(2, b // 4), depth=2)),
    Entry("prompt_bandit, judge", lambda b: PromptBandit(m, max(2, b // 2), judge=m)),
    Entry("budget_forcing", lambda b: BudgetForcing(m, max(1, b // 2))),
    Entry("cascade, direct then vote", lambda b: Cascade(stages(direct, SelfConsistency(m, max(2, b - 1))))),
    Entry(
        "agreement_cascade, direct and steps, then vote",
        lambda b: AgreementCascade(stages(direct, ChainOfThought(m), SelfConsistency(m, max(2, b - 2)))),
    ),
    Entry("any_time, direct then vote", lambda b: AnyTime(stages(direct, SelfConsistency(m, max(2, b - 1))))),
)
"""Without a verifier; ``n`` is what fits the calls."""

CHECKED = (
    Entry("best of n (direct)", lambda b: BestOfN(m, b), checked=True, plain=True),
    Entry("best of n (step by step)", lambda b: BestOfN(m, b, "chain_of_thought"), checked=True, plain=True),
    Entry("verify_and_refine, check", lambda b: VerifyAndRefine(m, b), checked=True),
    Entry("prompt_bandit, check", lambda b: PromptBandit(m, b), checked=True),
    Entry(
        "tree_of_thoughts, check",
        lambda b: TreeOfThoughts(m, b, depth=2, branch=2, value="verifier"),
        checked=True,
    ),
    Entry(
        "monte_carlo_tree_search, check",
        lambda b: MonteCarloTreeSearch(m, max(1, b // 2), depth=2, value="verifier"),
        checked=True,
    ),
)
"""With the task's own check."""

ENTRIES = (*ALONE, *CHECKED)


def main() -> None:
    """Run what is asked for, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    live = kinds.add_parser("live")
    live.add_argument("--tasks", type=int, default=36)
    live.add_argument("--budgets", type=int, nargs="+", default=[2, 4, 8])
    live.add_argument("--work", type=Path, default=Path("state/strategies.jsonl"))
    live.add_argument("--threads", type=int, help="of the model; one, where the machine does other work too")
    kinds.add_parser("recorded").add_argument("file", type=Path)
    kinds.add_parser("table").add_argument("file", type=Path)
    arguments = parser.parse_args()
    if arguments.kind == "recorded":
        replayed_table(arguments.file)
        return
    if arguments.kind == "live":
        arguments.work.parent.mkdir(parents=True, exist_ok=True)
        tasks = generate(SEED, arguments.tasks)
        asyncio.run(_measure(tasks, arguments.budgets, arguments.work, arguments.threads))
    print_table(read(arguments.work if arguments.kind == "live" else arguments.file))


def read(work: Path) -> list[Measured]:
    """The finished runs."""
    if not work.exists():
        return []
    return [Measured(**orjson.loads(line)) for line in work.read_bytes().splitlines()]


async def _measure(tasks: Sequence[Task], budgets: Sequence[int], work: Path, threads: int | None) -> None:
    backend = LlamaCpp(slots=8, context_tokens=2048, threads=threads)
    done = {(each.task, each.entry, each.budget) for each in read(work)}
    todo = [
        (task, entry, budget)
        for task in tasks
        for entry in ENTRIES
        for budget in (budgets[:1] if entry.once else budgets)
        if (task.id, entry.name, budget) not in done
    ]
    with Progress() as bar, work.open("ab") as file:
        shown = bar.add_task("running", total=len(todo))
        waiting = iter(todo)

        async def run_on() -> None:
            for task, entry, budget in waiting:
                measured = await run_once(task, entry, budget, backend)
                file.write(orjson.dumps(asdict(measured)) + b"\n")
                file.flush()
                bar.advance(shown)

        try:
            await asyncio.gather(*(run_on() for _ in range(TASKS_AT_ONCE)))
        finally:
            await backend.aclose()


async def run_once(task: Task, entry: Entry, budget: int, backend: Backend) -> Measured:
    """One task by one strategy under a cap on its calls."""
    strategy = entry.of_budget(budget)
    run = _run(task, entry, budget, backend)
    run.prospects = _prospects(strategy, run.query)
    began = time.perf_counter()
    answer = await _answer(strategy, run)
    wall_s = time.perf_counter() - began
    usage = run.meter.usage
    reward = judge(task, answer.candidate.text) if answer else 0.0
    return Measured(
        task.id,
        entry.name,
        budget,
        entry.checked,
        entry.plain,
        reward,
        usage.total_tokens,
        usage.calls,
        wall_s,
    )


async def _answer(strategy: Strategy, run: Run) -> Answer | None:
    try:
        return await strategy.answer(run)
    except (OutOfCompute, BackendError):
        return run.incumbent


def _run(task: Task, entry: Entry, budget: int, backend: Backend) -> Run:
    meter = Meter(Budget(calls=budget))
    check = task.check if entry.checked else None
    query = _query(task, entry.name, budget, check)
    return Run(
        query,
        meter,
        {MODEL: Metered(backend, CARD, meter)},
        {MODEL: CARD},
        Agreement(),
        make_verifier(check) if check else None,
        sandbox=_sandbox(),
        tools={"calculator": Calculator()},
    )


def _prospects(strategy: Strategy, query: Query) -> Mapping[str, Prospect]:
    """What the cold-start prior says of each stage: without it no further stage is worth anything."""
    arms = [
        Arm(stage.arm_id, stage.strategy, (CARD,), stage.strategy.family)
        for stage in getattr(strategy, "stages", ())
    ]
    if not arms:
        return {}
    menu = Menu(tuple(arms))
    bundle = cold_bundle(menu)
    return Prospects(menu, bundle.difficulty.estimate(bundle.extractor(query)))


def _query(task: Task, name: str, budget: int, check: Mapping[str, object] | None) -> Query:
    query = task.query()
    seed = zlib.crc32(f"{task.id}:{name}:{budget}".encode())
    return replace(
        query,
        id=f"{task.id}:{name}:{budget}",
        parameters={**query.parameters, "seed": seed},
        wishes=Wishes(verifier=check),
    )


_sandbox = partial(configured_sandbox, SandboxSection())


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
