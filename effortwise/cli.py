"""The command line. Each command imports what it needs when it runs, so that ``--help`` is fast."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from router.errors import EffortwiseError

app = typer.Typer(
    name="effortwise",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
traces = typer.Typer(help="Exchange traces in the interchange form (Parquet).", no_args_is_help=True)
app.add_typer(traces, name="traces")
models = typer.Typer(help="The configured models, and the probe of their native effort.")
app.add_typer(models, name="models")

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file.", envvar="EFFORTWISE_CONFIG")
]
LOCAL = Path("config/local.toml")


def main() -> None:
    """Run the command line; an error of the project's own ends it with one line."""
    try:
        app()
    except EffortwiseError as error:
        print(f"effortwise: {error}", file=sys.stderr)
        sys.exit(2)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(version("effortwise"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Decides, for every query, how hard a language model should think, and proves that it was right."""


@app.command()
def serve(
    config: ConfigPath = LOCAL,
    port: Annotated[int | None, typer.Option(help="Listen here instead of server.port.")] = None,
    host: Annotated[str | None, typer.Option(help="Listen here instead of server.host.")] = None,
) -> None:
    """Serve the OpenAI-compatible endpoint."""
    from effortwise.commands.serve import serve as run

    run(config, host, port)


Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of every random choice.")]


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where to work and leave the picture.")] = Path("state/demo"),
    seed: Annotated[int, typer.Option(help="Of the tasks.")] = 1,
    explore: Annotated[int, typer.Option(help="Tasks to learn from.")] = 320,
    fresh: Annotated[int, typer.Option(help="Fresh tasks to compare on.")] = 48,
) -> None:
    """The whole loop before your eyes: serve, explore, judge, train, swap, compare."""
    from effortwise.commands.demo import demo as run

    run(folder, seed, explore, fresh)


@app.command()
def collect(
    workload: Annotated[
        str, typer.Option(help="tasks, reasoning-gym:NAME[,NAME...], or a .jsonl file of prompts.")
    ] = "tasks",
    url: Annotated[str, typer.Option(help="The running service.")] = "http://127.0.0.1:8000",
    count: Annotated[int | None, typer.Option(help="How many tasks: 100, or all of a file.")] = None,
    seed: Annotated[int, typer.Option(help="Of generated tasks.")] = 0,
    model: Annotated[str, typer.Option(help="auto, or a policy's, an arm's or a model's name.")] = "auto",
    concurrency: Annotated[int, typer.Option(help="Tasks at once.")] = 8,
    api_key_env: Annotated[
        str | None, typer.Option(help="The environment variable that holds the API key.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The journal, from which an interrupted run goes on.")] = Path(
        "state/collect.jsonl"
    ),
) -> None:
    """Drive a running service with checkable tasks, judge its answers and post the outcomes."""
    from effortwise.commands.collect import Target
    from effortwise.commands.collect import collect as run

    run(workload, count, seed, Target(url, model, concurrency, api_key_env), out)


@app.command()
def train(
    config: ConfigPath = LOCAL,
    traces_file: Annotated[
        Path | None, typer.Option("--traces", help="Learn from this Parquet file instead of the store.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="Learn from these recorded draws, replayed by every arm of the menu.")
    ] = None,
    kind: Annotated[str, typer.Option(help="auto, constant, logistic or boosted.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Write the bundle here, and register nothing.")] = None,
    seed: Seed = 0,
) -> None:
    """Learn the next bundle from traces and their outcomes, and register it as challenger."""
    from effortwise.commands.train import train as run

    run(config, traces_file, replay, kind, out, seed)


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(help="Logged traces in the interchange form (Parquet).")],
    dataset: Annotated[str | None, typer.Option(help="Which data set, where the file holds several.")] = None,
    models: Annotated[
        str | None, typer.Option(help="The pool, by commas; parts of names do. Default: all with costs.")
    ] = None,
    folds: Annotated[
        str | None, typer.Option(help="Repeats x folds over all queries, such as 5x5, in place of the split.")
    ] = None,
    labels: Annotated[int | None, typer.Option(help="Train on no more queries than this.")] = None,
    leave_out: Annotated[
        str | None, typer.Option(help="task or domain: test on those that no training query is of.")
    ] = None,
    correct_at: Annotated[float, typer.Option(help="A score from here on is a right answer.")] = 0.99,
    answers: Annotated[
        str | None,
        typer.Option(help="Also ask cheap arms first and read their answers: learnt, or arms in order."),
    ] = None,
    also_learn: Annotated[
        str | None,
        typer.Option(help="Models outside the pool to learn from, too: names by commas, or all."),
    ] = None,
    also_learn_from: Annotated[
        str | None,
        typer.Option(help="Other data sets to learn from, too, by commas: NAME, FILE or FILE:NAME."),
    ] = None,
    encoder: Annotated[
        Path | None, typer.Option(help="Folder of an ONNX sentence encoder, for features on top.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the frontier here, as PNG and SVG.")] = None,
    seed: Seed = 0,
) -> None:
    """Measure what a router learnt from logged traces is worth, on traces that it has not seen."""
    from effortwise.commands.evaluate import evaluate as run
    from effortwise.commands.evaluate import protocol_of

    protocol = protocol_of(folds, labels, leave_out, seed, encoder)
    run(file, dataset, models, protocol, correct_at, answers, also_learn, also_learn_from, json, plot)


@app.command()
def allocate(
    path: Annotated[Path, typer.Argument(help="Logged traces with several samples a query (Parquet).")],
    dataset: Annotated[str | None, typer.Option(help="Data sets of the file, with commas.")] = None,
    models: Annotated[str | None, typer.Option(help="Parts of models' names, with commas.")] = None,
    folds: Annotated[str | None, typer.Option(help="Repeats x folds, such as 5x5.")] = None,
    at_most: Annotated[int, typer.Option(help="The largest vote.")] = 40,
    prices: Annotated[
        str, typer.Option(help="What a draw must gain, in quality, for our stopping rule to make it.")
    ] = "0.0005,0.0025",
    fewer: Annotated[
        str, typer.Option(help="How many times fewer draws than the largest vote our rule is to make.")
    ] = "6",
    correct_at: Annotated[float, typer.Option(help="A score from here on is right.")] = 0.99,
    json: Annotated[Path | None, typer.Option(help="Write all figures here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write pictures (PNG and SVG) here.")] = None,
    seed: Seed = 0,
) -> None:
    """Measure how many samples to give to which query, and when to stop, on recorded samples."""
    from effortwise.commands.allocate import allocate as run

    run(path, dataset, models, folds, at_most, prices, fewer, correct_at, json, plot, seed)


@app.command()
def characterise(
    file: Annotated[Path, typer.Argument(help="Logged traces in the interchange form (Parquet).")],
    dataset: Annotated[str | None, typer.Option(help="Data sets of the file, with commas.")] = None,
    models: Annotated[str | None, typer.Option(help="Parts of models' names, with commas.")] = None,
    price_per_usd: Annotated[
        float, typer.Option(help="Quality units that a US dollar must buy, where costs are known.")
    ] = 100.0,
    price_per_draw: Annotated[
        float, typer.Option(help="Quality units that a draw must buy, where costs are unknown.")
    ] = 0.005,
    json: Annotated[Path | None, typer.Option(help="Write all figures here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves here, as PNG and SVG.")] = None,
    seed: Seed = 0,
) -> None:
    """Fit how quality grows with compute, per domain, model and strategy, and where more stops paying."""
    from effortwise.commands.characterise import characterise_file

    names = [[n.strip() for n in text.split(",")] if text else [] for text in (dataset, models)]
    prices = price_per_usd, price_per_draw
    characterise_file(file, names[0], names[1] or None, prices, json, plot, seed)


@app.command()
def promote(
    config: ConfigPath = LOCAL,
    version: Annotated[
        int | None, typer.Option(help="This version instead of the challenger, such as one rolled back.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also if it predicts worse than the bundle that serves.")
    ] = False,
) -> None:
    """Make the challenger the champion; a running service swaps to it."""
    from effortwise.commands.registry import promote as run

    run(config, version, anyway)


@app.command()
def rollback(config: ConfigPath = LOCAL) -> None:
    """Make the champion before this one the champion again."""
    from effortwise.commands.registry import rollback as run

    run(config)


@app.command()
def spending(
    config: ConfigPath = LOCAL,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what every account has spent in its present window, and what it has left."""
    from effortwise.commands.spending import spending as run

    run(config, json)


@app.command(hidden=True)
def follow(config: ConfigPath = LOCAL) -> None:
    """Fetch the champion whenever the alias moves; ``serve`` starts this beside itself."""
    from effortwise.commands.registry import follow as run

    run(config)


@app.command()
def explain(
    text: Annotated[str, typer.Argument(help="The question.")],
    config: ConfigPath = LOCAL,
    policy: Annotated[str, typer.Option(help="The policy to ask.")] = "auto",
    max_cost_usd: Annotated[float | None, typer.Option(help="Hard cap on the answer's cost.")] = None,
    deadline_s: Annotated[float | None, typer.Option(help="Hard limit on its time.")] = None,
    stakes: Annotated[float, typer.Option(help="What a right answer is worth.")] = 1.0,
    verifier: Annotated[str | None, typer.Option(help="A request's verifier, as JSON.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the decision card of a question: every arm, its estimate, and why this one."""
    from effortwise.commands.explain import explain as run

    run(config, text, policy, max_cost_usd, deadline_s, stakes, verifier, json)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="strategies, policies, predictors, ...; all without.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what is registered, one line each."""
    from effortwise.commands.catalogue import catalogue

    catalogue(kind, json)


@app.command()
def menu(
    domain: Annotated[str, typer.Argument(help="mathematics, code, logic, ...: effortwise list domains.")],
    model: Annotated[str, typer.Option(help="The configured model that is to answer.")],
) -> None:
    """Print the default menu of a domain as TOML, ready to paste into the configuration."""
    from effortwise.commands.menu import menu as run

    run(domain, model)


@app.command("record-pool")
def record_pool(
    path: Annotated[Path, typer.Argument(help="The Parquet file to write.")] = Path("pool.parquet"),
    queries: Annotated[int, typer.Option(help="Tasks of the workload.")] = 100,
    samples: Annotated[int, typer.Option(help="Draws per task and prompt template.")] = 6,
    seed: Annotated[int, typer.Option(help="Of the tasks.")] = 2026,
) -> None:
    """Record the embedded model's own answers to the checkable workload."""
    from effortwise.commands.pool import record

    record(path, queries, samples, seed)


@models.callback(invoke_without_command=True)
def models_(
    context: typer.Context,
    config: ConfigPath = LOCAL,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The configured models with their prices and what their upstreams take."""
    if context.invoked_subcommand is not None:
        return
    from effortwise.commands.models import models as run

    run(config, json)


@models.command("probe")
def models_probe(
    name: Annotated[str, typer.Argument(help="A configured model with an effort.")],
    config: ConfigPath = LOCAL,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try each declared level of a model's effort with one small call, and print what came back."""
    from effortwise.commands.models import probe_model

    probe_model(config, name, json)


@traces.command("export")
def traces_export(
    path: Annotated[Path, typer.Argument(help="The Parquet file to write.")], config: ConfigPath = LOCAL
) -> None:
    """Write the store's traces with their outcomes."""
    from effortwise.commands.traces import export

    export(config, path)


@traces.command("import")
def traces_import(
    path: Annotated[Path, typer.Argument(help="The Parquet file to read.")],
    config: ConfigPath = LOCAL,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset of the file.")] = None,
) -> None:
    """Read traces with their outcomes into the store; a repeat changes nothing."""
    from effortwise.commands.traces import import_

    import_(config, path, dataset)
