"""The command line, run as its users run it."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from service_process import ROOT, environment, free_port, server_process, serving, tables, write_toml

from effortwise.bundled import DATA, POOL
from effortwise.cli import main
from effortwise.commands.catalogue import KINDS
from router.bundle import load_bundle
from router.configuration import load_configuration
from router.configured import configured_menu

COMMANDS = [
    "serve",
    "demo",
    "train",
    "evaluate",
    "allocate",
    "characterise",
    "promote",
    "rollback",
    "spending",
    "explain",
    "traces",
    "list",
    "menu",
    "collect",
    "record-pool",
]
LOCAL = ROOT / "config" / "local.toml"
HELP_WITHIN_S = 5.0
"""Half a second alone; much more on a machine whose cores are all busy."""


def run(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "effortwise", *arguments],
        cwd=folder,
        env={**environment(), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """One command in this process, which has loaded everything already, in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run_here(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["effortwise", *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(list(arguments), code, said.out, said.err)

    return run_here


def test_help_is_fast() -> None:
    """It names every command, and nothing heavy is loaded for it."""
    began = time.perf_counter()
    done = run("--help")
    took_s = time.perf_counter() - began
    print(f"effortwise --help took {took_s:.2f} s")
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)
    assert took_s < HELP_WITHIN_S
    heavy = [
        "numpy",
        "fastapi",
        "mlflow",
        "lightgbm",
        "pyarrow",
        "aiohttp",
        "uvicorn",
        "sklearn",
        "xllamacpp",
    ]
    code = f"import sys, effortwise.cli; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert loaded.stdout == "[]\n"


@pytest.mark.parametrize("command", [*COMMANDS, "traces import", "traces export"])
def test_every_command_explains_itself(here: Run, command: str) -> None:
    """``--help`` of each ends well and says more than its usage."""
    done = here(*command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage:" in done.stdout
    assert len(done.stdout.splitlines()) > 5


def test_list_names_all_that_is_registered(here: Run) -> None:
    """Every name of every registry has its line; --json is the same for machines."""
    found = json.loads(here("list", "--json").stdout)
    assert {kind: list(lines) for kind, lines in found.items()} == {
        kind: sorted({name for registry in registries for name in registry.names()})
        for kind, registries in KINDS.items()
    }
    assert all(line for lines in found.values() for line in lines.values())
    shown = here("list").stdout
    assert all(f"  {name}" in shown for lines in found.values() for name in lines)
    one = json.loads(here("list", "policies", "--json").stdout)
    assert one == {"policies": found["policies"]}
    assert {"calculator", "http"} <= found["tools"].keys()
    assert "esc" in found["stopping"]


def test_explain_prints_the_decision_card(here: Run) -> None:
    """On the shipped configuration: every arm with its estimate, and the versions behind them."""
    done = run("explain", "What is 2 + 2?", "--config", str(LOCAL))
    assert done.returncode == 0, done.stderr
    card = json.loads(here("explain", "What is 2 + 2?", "--config", str(LOCAL), "--json").stdout)
    assert sum(row["propensity"] for row in card["arms"]) == pytest.approx(1)
    assert {row["arm"] for row in card["arms"]} >= {"smollm2/direct", "smollm2/best_of_n@4"}
    assert all(row["arm"] in done.stdout for row in card["arms"])
    assert card["versions"]["configuration"] in done.stdout
    assert card["versions"]["predictor"] in done.stdout
    assert "verifier" in done.stdout


def test_explain_takes_wishes(here: Run) -> None:
    """Caps, stakes and a policy change the card as they change the decision."""
    options = [
        "--policy",
        "greedy",
        "--stakes",
        "5",
        "--deadline-s",
        "0.001",
        "--json",
        "--config",
        str(LOCAL),
    ]
    card = json.loads(here("explain", "hi", *options).stdout)
    assert (card["versions"]["policy"], card["stakes"], card["deadline_s"]) == ("greedy", 5.0, 0.001)
    assert any(row["excluded"] == "likely misses deadline_s" for row in card["arms"])


def test_explain_takes_a_verifier(here: Run) -> None:
    """With one, arms that need it may serve."""
    options = ["explain", "What is 2 + 2?", "--config", str(LOCAL), "--json"]
    needy = "smollm2/best_of_n@4"
    asked = '{"type": "exact", "reference": "4"}'
    without, with_one = (
        {row["arm"]: row["excluded"] for row in json.loads(here(*options, *more).stdout)["arms"]}
        for more in ((), ("--verifier", asked))
    )
    assert "verifier" in without[needy]
    assert with_one[needy] is None


MISTAKES = [
    (["explain", "hi", "--verifier", "exact", "--config", "config.toml"], "--verifier takes JSON"),
    (["explain", "hi", "--verifier", "[]", "--config", "config.toml"], "--verifier takes a JSON object"),
    (
        ["explain", "hi", "--verifier", '{"type": "x"}', "--config", "config.toml"],
        "Unknown verifier type 'x'",
    ),
    (["list", "spoons"], "Unknown kind 'spoons'. Known: strategies"),
    (["explain", "hi", "--config", "nowhere.toml"], "No configuration file nowhere.toml"),
    (["explain", "hi", "--config", "config.toml", "--policy", "nobody"], "The model 'nobody' does not exist"),
    (["explain", "hi", "--config", "wrong.toml"], "unknown key 'server.prot' (known: caller_tools"),
    (["serve", "--config", "config.toml", "--port", "99999"], "Cannot listen on 127.0.0.1:99999"),
    (["serve", "--config", "config.toml", "--host", "192.0.2.1"], "Cannot listen on 192.0.2.1"),
    (["traces", "import", "nowhere.parquet", "--config", "config.toml"], "nowhere.parquet cannot be read"),
    (["traces", "import", "config.toml", "--config", "config.toml"], "config.toml cannot be read as Parquet"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_ends_with_one_line(tmp_path: Path, here: Run, arguments: list[str], words: str) -> None:
    """No stack, no usage page: one line that names what is wrong and what is known, and exit code 2."""
    write_toml(tmp_path / "config.toml", tables(tmp_path))
    write_toml(tmp_path / "wrong.toml", tables(tmp_path, server={"prot": 1}))
    done = run(*arguments, folder=tmp_path) if arguments[0] == "serve" else here(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("effortwise: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_told_to_stop_ends_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    """Either signal ends it with code 0, without a stack in the log, and with the process that it
    started to follow the registry."""
    registry = {"tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"}
    config = write_toml(tmp_path / "config.toml", tables(tmp_path, registry=registry))
    with server_process(tmp_path, config) as server:
        followers = children(server.process.pid)
        assert len(followers) == 1
        assert server.stop(number) == 0
        assert "Traceback" not in server.log.read_text()
        assert not any(Path(f"/proc/{pid}").exists() for pid in followers)


def test_the_version_is_that_of_the_distribution(tmp_path: Path) -> None:
    """For whoever reports a fault."""
    done = run("--version", folder=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, version("effortwise"))


def children(pid: int) -> list[int]:
    """Whichever thread started them."""
    told = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for some in told for child in some]


def test_a_port_that_is_taken_is_told_before_the_start(tmp_path: Path) -> None:
    """The second service ends with one line, whatever its store."""
    port = free_port()
    first = write_toml(tmp_path / "first.toml", tables(tmp_path / "first", server={"port": port}))
    second = write_toml(tmp_path / "second.toml", tables(tmp_path / "second", server={"port": port}))
    process = subprocess.Popen(
        [sys.executable, "-m", "effortwise", "serve", "--config", str(first)],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}/v1" in process.stdout.readline()
        time.sleep(0.5)
        done = run("serve", "--config", str(second), folder=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert f"Cannot listen on 127.0.0.1:{port}" in done.stderr
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


async def test_traces_go_out_and_come_back(tmp_path: Path) -> None:
    """What a service recorded is exported with its outcomes, and imported elsewhere as it was, twice
    without a change."""
    async with serving(tables(tmp_path)) as live:
        for i in range(3):
            reply = await live.chat(f"question {i}", model="auto")
            trace_id = reply.headers["x-effortwise-trace-id"]
            await live.post("outcomes", {"trace_id": trace_id, "reward": i / 2})
        await live.traces(3)
    write_toml(tmp_path / "config.toml", tables(tmp_path))
    done = run("traces", "export", "out.parquet", "--config", "config.toml", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "3 traces written to out.parquet\n")
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert {(row["query"], row["score"]) for row in rows} == {(f"question {i}", i / 2) for i in range(3)}
    write_toml(tmp_path / "other.toml", tables(tmp_path / "other"))
    for _ in range(2):
        done = run("traces", "import", "out.parquet", "--config", "other.toml", folder=tmp_path)
        assert (done.returncode, done.stdout) == (0, "3 traces read from out.parquet\n")
    assert essence(tmp_path / "other") == essence(tmp_path)


def essence(folder: Path) -> list[tuple[object, ...]]:
    """What of a store's traces and outcomes survives the exchange."""
    connection = sqlite3.connect(folder / "state" / "effortwise.db")
    try:
        return connection.execute(
            "SELECT json_extract(prompt, '$.messages'), arm, answer, prompt_tokens, completion_tokens, "
            "cost_nano, latency_s, propensity, reward FROM traces JOIN outcomes ON trace_id = id ORDER BY 1"
        ).fetchall()
    finally:
        connection.close()


def test_replay_where_some_arms_can_answer_nothing(tmp_path: Path) -> None:
    """Of questions without a verifier, arms that need one have no rounds: the bundle leaves them out, and
    what was learnt of the others stands at their places."""
    pool = parquet.read_table(POOL)
    rows = pool.to_pylist()
    plain = list(dict.fromkeys(row["query_id"] for row in rows if not row["verifier"]))[:24]
    few = [row for row in rows if row["query_id"] in plain]
    parquet.write_table(pa.Table.from_pylist(few, schema=pool.schema), tmp_path / "few.parquet")
    bundle = tmp_path / "bundle"
    config = str(DATA / "demo.toml")
    done = run("train", "--config", config, "--replay", str(tmp_path / "few.parquet"), "--out", str(bundle))
    assert done.returncode == 0, done.stderr
    menu = configured_menu(load_configuration(DATA / "demo.toml"))
    assert load_bundle(bundle, menu).newcomers == tuple(name for name in menu.ids if "best_of_n" in name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explain", "hi", "--stakes", "-1"], "Invalid 'stakes'"),
        (["explain", "hi", "--max-cost-usd", "-1"], "Invalid 'max_cost_usd'"),
        (["demo", "--folder", "a.txt"], "a.txt is a file: name another --folder"),
        (["evaluate", "a.txt", "--correct-at", "7"], "--correct-at is a score above 0"),
        (["allocate", "a.txt", "--correct-at", "nan"], "--correct-at is a score above 0"),
        (["allocate", "a.txt", "--at-most", "0"], "--at-most takes 3 or more"),
        (["characterise", "a.txt", "--price-per-usd", "nan"], "Prices must be 0 or more"),
        (["characterise", "a.txt", "--json", "."], "is a folder: name a file in it"),
        (["allocate", "a.txt", "--plot", "nowhere/b.png"], "there is no folder"),
        (["train", "--out", "."], "is no bundle: it is not replaced"),
    ],
    ids=lambda value: " ".join(value[:1] + value[2:3]) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_one_line(here: Run, tmp_path: Path, arguments: list[str], words: str) -> None:
    """Before any work, with what would do."""
    (tmp_path / "a.txt").write_text("no table")
    config = ["--config", str(LOCAL)] if arguments[0] in ("explain", "train") else []
    if arguments[0] == "train":
        write_rounds(tmp_path / "rounds.parquet", 40, 0)
        config += ["--traces", str(tmp_path / "rounds.parquet")]
    done = here(*arguments, *config)
    assert done.returncode == 2
    assert words in done.stderr
    assert (tmp_path / "a.txt").read_text() == "no table"


def test_a_challenger_that_predicts_worse_must_be_asked_for(here: Run, tmp_path: Path) -> None:
    """``train`` tells how it compares with the champion on later rounds; ``promote`` refuses what is shown
    to be worse, and names the way past it."""
    config = str(tmp_path / "demo.toml")
    shutil.copy(DATA / "demo.toml", config)
    right, both = tmp_path / "right.parquet", tmp_path / "both.parquet"
    write_rounds(right, 300, 0)
    write_rounds(both, 600, 240)
    first = here("train", "--config", config, "--traces", str(right))
    assert first.returncode == 0, first.stderr
    assert "the bundle that serves" not in first.stdout
    promoted = here("promote", "--config", config)
    assert promoted.stdout == "version 1 is the champion; it was not compared with what served before\n"
    assert promoted.stderr == ""
    again = here("train", "--config", config, "--traces", str(right))
    assert (
        "not compared with the bundle that serves: it takes 60 questions that are later than" in again.stdout
    )
    worse = here("train", "--config", config, "--traces", str(both))
    assert "which serves, on 150 rounds that are new to both: log loss" in worse.stdout
    assert "it predicts worse: `effortwise promote` refuses it without --anyway" in worse.stdout
    assert "makes it the champion" in again.stdout
    assert "makes it the champion" not in worse.stdout
    refused = here("promote", "--config", config)
    assert refused.returncode == 2
    assert "Version 3 predicts worse than the bundle that served" in refused.stderr
    anyway = here("promote", "--config", config, "--anyway").stdout
    assert anyway.startswith("version 3 is the champion; against what served before, log loss saved -")


def write_rounds(path: Path, count: int, misjudged: int) -> None:
    """Sums are right step by step, names directly; of the later rounds, but for the last quarter of all, so
    many are judged the other way round."""
    rng = random.Random(0)
    rows = []
    for i in range(count):
        sums = bool(i % 2)
        question = f"What is {i} plus {i + 7}?" if sums else f"Name a town near place {i} with a river."
        strategy = "chain_of_thought" if rng.random() < 0.5 else "direct"
        right = (strategy == "chain_of_thought") == sums
        if 0.75 * count - misjudged <= i < 0.75 * count:
            right = not right
        rows.append(
            {
                "query_id": str(i),
                "query": question,
                "model": "smollm2",
                "strategy": strategy,
                "score": float(right),
                "created_at": 1e9 + i,
            }
        )
    parquet.write_table(pa.Table.from_pylist(rows), path)
