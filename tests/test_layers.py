"""The layers of the design, read from every import statement."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("router", "serving", "training", "effortwise")
ONLY_IN = {
    "mlflow": ("training/registry.py",),
    "lightgbm": ("router/predictors/boosted.py", "router/learnt/", "training/fit/"),
    "fastapi": ("serving/",),
    "aiohttp": ("serving/", "effortwise/collection/"),
    "sqlite3": ("router/stores/",),
    "xllamacpp": ("serving/backends/llama_cpp.py",),
    "sklearn": ("training/",),
    "pyarrow": ("training/", "effortwise/"),
    "matplotlib": ("effortwise/",),
}
OUTSIDE = ("aiohttp", "fastapi", "httpx", "mlflow", "openai", "requests", "starlette", "urllib", "uvicorn")


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere, dotted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def importers(module: str) -> list[str]:
    """The files that import a module or a part of it, relative to the root."""
    return [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in sources(package)
        if any(name.split(".")[0] == module for name in imports(path))
    ]


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("router", ("serving", "training", "effortwise")),
        ("serving", ("training", "effortwise")),
        ("training", ("serving", "effortwise")),
    ],
)
def test_no_package_imports_what_stands_above_or_beside_it(package: str, forbidden: tuple[str, ...]) -> None:
    """The decision knows neither side, and the two sides never know each other nor the command line."""
    for module in forbidden:
        assert [path for path in importers(module) if path.startswith(f"{package}/")] == []


@pytest.mark.parametrize(
    "library",
    [
        "aiohttp",
        "fastapi",
        "httpx",
        "mlflow",
        "openai",
        "requests",
        "starlette",
        "urllib",
        "urllib3",
        "uvicorn",
    ],
)
def test_the_decision_has_no_http_and_no_mlflow(library: str) -> None:
    """The router's only input and output are its stores."""
    assert [path for path in importers(library) if path.startswith("router/")] == []


@pytest.mark.parametrize(("library", "places"), ONLY_IN.items(), ids=list(ONLY_IN))
def test_a_heavy_library_is_imported_where_its_work_is(library: str, places: tuple[str, ...]) -> None:
    """Each heavy library stays in as few files as its work needs."""
    found = importers(library)
    assert found
    assert [path for path in found if not path.startswith(places)] == []


def test_mlflow_is_imported_in_exactly_one_file() -> None:
    """Another registry would replace one file."""
    assert len(importers("mlflow")) == 1


def test_every_package_has_sources_to_check() -> None:
    """The checks above look at something."""
    assert all(len(sources(package)) > 5 for package in PACKAGES)


def test_help_loads_nothing_heavy() -> None:
    """``effortwise --help`` answers at once, since heavy libraries load when a command needs them."""
    heavy = {
        "aiohttp", "fastapi", "lightgbm", "matplotlib", "mlflow", "numpy", "pyarrow", "scipy", "sklearn",
        "xllamacpp",
    }  # fmt: skip
    program = (
        "import sys\n"
        "sys.argv = ['effortwise', '--help']\n"
        "from effortwise.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    *_, loaded = [line for line in result.stdout.splitlines() if line.startswith("LOADED")]
    assert heavy & set(loaded.split()) == set()
    assert "serve" in result.stdout
