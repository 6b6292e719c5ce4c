"""The documents are executed: what they say of names, links, files, settings and code is checked here."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel
from service_process import ServerProcess, environment, server_process

import router
import router.configuration
import router.errors
import training
from effortwise.commands.catalogue import KINDS
from router.configuration import Configuration, load_configuration, parse_configuration
from router.configured import configured_menu, configured_policies
from router.effort import EFFORTS, STYLES
from router.registry import Registry
from router.templates import TEMPLATES
from serving.problems import problem_of
from serving.request_checks import WISHES

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
GUIDES = [ROOT / "CONTRIBUTING.md", *PAGES]
DOCUMENTS = [path for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *GUIDES) if path.exists()]
RUN = "<!-- run -->"
SETTINGS = sorted([*(ROOT / "config").glob("*.toml"), *(ROOT / "effortwise" / "data").glob("*.toml")])

_BLOCK = re.compile(
    r"^(?P<marker><!-- run -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_TARGET = re.compile(r"# (?P<path>[\w/]+\.py)(?:, (?P<table>\w+))?$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a document. marked: whether it is to be run."""

    document: Path
    number: int
    language: str
    text: str
    marked: bool

    def __str__(self) -> str:
        return f"{self.document.name}:{self.number}"

    @property
    def target(self) -> re.Match[str] | None:
        """The file that a recipe's first line names."""
        return _TARGET.match(self.text.partition("\n")[0])


def blocks(documents: list[Path], *languages: str) -> list[Block]:
    """The blocks of some languages."""
    return [
        Block(path, number, found["language"], found["text"], bool(found["marker"]))
        for path in documents
        for number, found in enumerate(_BLOCK.finditer(path.read_text()))
        if found["language"] in languages
    ]


def named(kind: str, page: str) -> list[tuple[str, str]]:
    """The names of a kind in ``effortwise list``, each with the page that tells of it."""
    return [line for registry in KINDS[kind] for line in shipped(registry, page)]


def shipped(registry: Registry[Any], page: str) -> list[tuple[str, str]]:
    """Those that this distribution ships."""
    return [(name, page) for name in registry if registry[name].__module__.startswith(("router", "serving"))]


SHIPPED = [
    *named("strategies", "strategies.md"),
    *((name, "strategies.md") for name in TEMPLATES),
    *named("policies", "policies.md"),
    *named("verifiers", "verifiers.md"),
    *named("domains", "domains.md"),
    *named("features", "training.md"),
    *named("predictors", "training.md"),
    *named("confidence", "training.md"),
    *named("backends", "operations.md"),
    *named("stores", "operations.md"),
    *named("tools", "sandbox.md"),
    *named("stopping", "strategies.md"),
]


@pytest.mark.parametrize(("name", "page"), SHIPPED, ids=[f"{page}-{name}" for name, page in SHIPPED])
def test_every_registered_name_has_its_line(name: str, page: str) -> None:
    """A section's title or a table's row begins with the name."""
    text = (ROOT / "docs" / page).read_text()
    assert re.search(rf"^(?:##+ |\| ){re.escape(f'`{name}`')}", text, re.MULTILINE)


@pytest.mark.parametrize(
    "name", [name for kind in ("strategies", "verifiers") for name, _ in named(kind, "any")]
)
def test_every_strategy_and_verifier_has_its_section(name: str) -> None:
    """Beside the line, a title on some page names it: there stand its options, its use and its cost."""
    assert any(re.search(rf"^##+ .*`{name}`", path.read_text(), re.MULTILINE) for path in PAGES)


def test_every_endpoint_wish_and_error_code_is_in_the_api() -> None:
    """What the wire knows, the page tells."""
    text = (ROOT / "docs" / "api.md").read_text()
    source = "".join((ROOT / "serving" / name).read_text() for name in ("app.py", "problems.py"))
    paths = set(re.findall(r'"(/(?:v1/)?[a-z]+[\w/]*)(?:/\{[\w:]+\})?"', source)) - {"/docs"}
    codes = set(re.findall(r'"([a-z]+_[a-z_]+)"', source.partition("_RULES")[2].partition("def ")[0]))
    assert len(paths) > 5
    assert len(codes) > 10
    known = {*paths, *codes, *WISHES}
    assert {word for word in known if word not in text} == set()


def test_the_effort_table_is_the_codes() -> None:
    """Each level of ``reasoning_effort`` stands with its factor and its cap, and each style has its row."""
    text = (ROOT / "docs" / "effort.md").read_text()
    for level, wish in EFFORTS.items():
        assert f"| `{level}` | {wish.stakes:g} | {wish.calls or 'no cap'} |" in text
    assert {style for style in STYLES if f"| `{style}` |" not in text} == set()


ARGUMENTS = {
    "UnknownModel": ("name", []),
    "BackendRefused": ("words", 500),
    "AllowanceExhausted": ("words", 1.0),
}
"""Of errors that take more than their words."""


def test_the_error_table_is_the_codes() -> None:
    """Each error of the tree that reaches a caller stands with its status and code."""
    text = (ROOT / "docs" / "api.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| (\d{3}) \|", text, re.MULTILINE))
    assert len(rows) > 12
    for name, status in rows.items():
        error = getattr(router.errors, name)(*ARGUMENTS.get(name, ("words",)))
        assert problem_of(error).status == int(status), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_resolve(document: Path) -> None:
    """Every link to a file of the project, and every picture, is there; so is the title after its #."""
    for found in _LINK.finditer(_BLOCK.sub("", document.read_text())):
        target, _, anchor = found["target"].partition("#")
        if "://" in target:
            continue
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), found[0]
        assert not anchor or anchor in titles(path), found[0]


def titles(document: Path) -> set[str]:
    """The anchors of a document's titles, as code hosts make them."""
    found = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


@pytest.mark.parametrize("block", blocks(DOCUMENTS, "python"), ids=str)
def test_python_compiles(block: Block) -> None:
    """No block has a slip of the pen."""
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", blocks(DOCUMENTS, "json"), ids=str)
def test_json_parses(block: Block) -> None:
    """Bodies and replies are printed as they go over the wire."""
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks(DOCUMENTS, "toml"), ids=str)
def test_toml_is_a_configuration(block: Block) -> None:
    """A whole file is checked as one; a part, within the example configuration."""
    values = tomllib.loads(block.text)
    if "models" not in values or "backends" not in values:
        example = tomllib.loads((ROOT / "config" / "example.toml").read_text())
        joined = [*example["menu"], *values.get("menu", ())]
        values = {
            **example,
            **values,
            "menu": joined,
            "policies": {**example["policies"], **values.get("policies", {})},
            "tools": {**example["tools"], **values.get("tools", {})},
        }
    decided(parse_configuration(values))


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.name)
def test_a_shipped_configuration_is_one(path: Path) -> None:
    """Every file in config/ and the demonstration's loads, with its menu and its policies."""
    decided(load_configuration(path))


def decided(configuration: Configuration) -> None:
    """Build what the decision needs of a configuration."""
    menu = configured_menu(configuration)
    configured_policies(configuration, menu)


def test_the_example_configuration_has_every_key() -> None:
    """A key that the code knows stands in config/example.toml, if only behind a comment sign."""
    text = (ROOT / "config" / "example.toml").read_text()
    sections = [kind for kind in vars(router.configuration).values() if isinstance(kind, type)]
    tables = [kind for kind in sections if issubclass(kind, BaseModel) and kind is not Configuration]
    keys = {key for table in tables for key in table.model_fields}
    assert len(keys) > 30
    assert {key for key in keys if not re.search(rf"^(?:# )?{key} = ", text, re.MULTILINE)} == set()


def modules(package: ModuleType) -> Iterator[str]:
    """The names of a package's modules."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield found.name


@pytest.mark.parametrize(
    "name", [*modules(router), *modules(training), "serving.resilience", "serving.backends.llama_cpp"]
)
def test_docstring_examples_run(name: str) -> None:
    """What a docstring shows is what comes out."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def sources() -> list[Path]:
    """The project's own text files."""
    kinds = {".py", ".md", ".toml", ".ipynb", ".csv", ".txt", ".yml", ".json", ".jsonl"}
    hidden = re.compile(r"^(?:\.(?!ci)|build$|dist$|state$|.*\.egg-info$|__pycache__$)")
    found = [ROOT / "Makefile", ROOT / ".ci" / "run"]
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not hidden.match(name)]
        found += [Path(folder) / name for name in names if Path(name).suffix in kinds]
    return found


def test_no_file_tells_of_the_machine_it_was_written_on() -> None:
    """No path of a workplace stands anywhere."""
    forbidden = ["/" + "work/", "/" + "tmp/w", "/" + "farm/", "/" + "root/", "/" + "home/"]
    told = {
        (str(path.relative_to(ROOT)), word)
        for path in sources()
        for word in forbidden
        if word in path.read_text(errors="replace")
    }
    assert told == set()


RECIPES = [block for block in blocks([ROOT / "CONTRIBUTING.md"], "python") if block.target]
NAMES = (
    "tie_break",
    "cheapest",
    "urgency",
    "contains",
    "cautious",
    "head_count",
    "counted",
    "plan_first",
    "translation",
    "word_count",
    "two_of_a_kind",
)
SUITES = (
    "strategies",
    "policies",
    "features",
    "verifiers",
    "predictors",
    "confidence",
    "stores",
    "templates",
    "domains",
    "tools",
    "stopping",
)


@pytest.fixture(scope="module")
def copy_with_recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project into which every recipe of CONTRIBUTING was written."""
    copy = tmp_path_factory.mktemp("recipes")
    for package in ("router", "serving", "training", "effortwise", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "*.parquet", "bundle", "golden")
        shutil.copytree(ROOT / package, copy / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", copy)
    for block in RECIPES:
        write_recipe(copy, block)
    return copy


def write_recipe(copy: Path, block: Block) -> None:
    """A new file; or, where the file is there, its new end, or the line after a table of it."""
    target = block.target
    assert target is not None
    path = copy / target["path"]
    if target["table"]:
        start, opening, rest = re.split(rf"^({target['table']}\b.*= \{{\n)", path.read_text(), flags=re.M)
        table, closing, end = rest.partition("\n}\n")
        path.write_text(start + opening + table + closing + block.text + end)
    elif path.exists():
        path.write_text(f"{path.read_text()}\n\n{block.text}")
    else:
        path.write_text(block.text)


def run_in(copy: Path, *arguments: str) -> str:
    """Run Python in the copy; its output."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_the_conformance_suites_pick_the_recipes_up(copy_with_recipes: Path) -> None:
    """Each suite over a registry tests the new file by its name, and it passes."""
    suites = [f"tests/test_{name}.py" for name in SUITES]
    output = run_in(
        copy_with_recipes, "-m", "pytest", *suites, "-p", "no:cacheprovider", "-rp", "-k", " or ".join(NAMES)
    )
    assert {name for name in NAMES if f"[{name}" not in output and f"-{name}" not in output} == set()


USE = """
import asyncio, json, sys
from router.bundle import load_bundle, save_bundle
from router.configuration import parse_configuration
from router.confidence import CONFIDENCE
from router.configured import configured_menu
from router.features import Extractor
from router.ledger import Allowance
from router.predictors import PREDICTORS
from router.predictors.constant import Constant
from router.query import Query, Wishes
from router.stores import STORES
from serving.service import compose

priced = {"usd_per_million_prompt_tokens": 1.0, "usd_per_million_completion_tokens": 1.0}
configuration = parse_configuration({
    "store": {"path": "state/one.db"},
    "decision": {"features": ["length", "urgency"]},
    "backends": {"bird": {"type": "parrot", "words": 3}},
    "models": {"bird": {"backend": "bird", **priced}},
    "menu": [{"strategy": "tie_break", "models": ["bird"]},
             {"strategy": "self_consistency", "models": ["bird"], "n": 4, "template": "plan_first"}],
    "policies": {"auto": {"type": "cheapest"}},
})
menu = configured_menu(configuration)
predictor = PREDICTORS["cautious"](Constant.prior(menu))
from pathlib import Path
save_bundle(Path("bundle"), menu, Extractor.of(("length", "urgency")), predictor, CONFIDENCE["head_count"]())

async def main():
    service = compose(configuration, {}, Path("bundle"))
    assert service.allocator.bundle.difficulty.name == "cautious"
    service.store = service.recorder.store = STORES["counted"](configuration.store.path)
    await service.start()
    told = []
    for target in ("auto", "bird/self_consistency:plan_first@4"):
        query = Query([{"role": "user", "content": "say it urgently please"}], target,
                      wishes=Wishes(verifier={"type": "contains", "text": "i"}))
        answered = await service.execution.answer(query, Allowance("default"))
        arm, answer = answered.plan.arm.id, answered.answers[0]
        told.append([arm, answer.candidate.text, answer.verdict.ruling, answered.usage.calls])
    await service.stop()
    print(json.dumps({"told": told, "written": sum(service.store.groups)}))

asyncio.run(main())
"""


def test_a_request_is_served_with_all_recipes(copy_with_recipes: Path) -> None:
    """Their strategy, template, policy, feature, verifier, backend, predictors and store serve together."""
    used = json.loads(run_in(copy_with_recipes, "-c", USE).splitlines()[-1])
    first, second = used["told"]
    assert first == ["bird/tie_break@3", "say it urgently", "pass", 2]
    assert second == ["bird/self_consistency:plan_first@4", "First write a", "pass", 4]
    assert used["written"] >= 7  # a menu; two reservations, two traces and two verdicts


def test_every_kind_of_part_has_its_recipe() -> None:
    """A registry without a recipe would leave a contributor alone."""
    packages = {str(Path(block.target["path"]).parent) for block in RECIPES if block.target}
    without = [
        kind
        for kind, registries in KINDS.items()
        if packages.isdisjoint(registry.package.replace(".", "/") for registry in registries)
    ]
    assert without == []


README = [path for path in [ROOT / "README.md"] if path.exists()]
RUNNABLE = [block for block in blocks(README, "bash", "python") if block.marked]


@pytest.fixture(scope="module")
def readme_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The service that the README starts, on a free port, in a folder of its own."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "config", folder / "config")
    with server_process(folder, folder / "config" / "local.toml", within_s=120) as server:
        yield server


@pytest.mark.embedded
@pytest.mark.parametrize("block", RUNNABLE, ids=str)
def test_readme_blocks_run(block: Block, readme_service: ServerProcess) -> None:
    """A block behind the marker works as printed, but for the port; replies are no errors."""
    port = readme_service.url.rpartition(":")[2].removesuffix("/v1")
    text = re.sub(r"\b8000\b", port, block.text)
    commands: Mapping[str, list[str]] = {
        "bash": ["bash", "-euo", "pipefail", "-c"],
        "python": [sys.executable, "-c"],
    }
    done = subprocess.run(
        [*commands[block.language], text], cwd=readme_service.log.parent, env=with_tools(),
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert '"error"' not in done.stdout


def with_tools() -> dict[str, str]:
    """The environment in which a reader has activated the installation."""
    return {**environment(), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def test_a_marker_stands_before_a_block() -> None:
    """A marker that precedes nothing would leave a block untested."""
    assert sum(path.read_text().count(f"{RUN}\n") for path in README) == len(RUNNABLE)
