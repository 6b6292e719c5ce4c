"""Registries: one file adds one thing."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import router.registry
from router.errors import ConfigurationError
from router.policies import POLICIES
from router.registry import Registry
from router.strategies import STRATEGIES
from router.strategies.direct import Direct

PACKAGE = "plugins_for_tests"


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[object]:
    """A registry over a package of three modules, of which one explodes and one is a part of others."""
    folder = tmp_path / PACKAGE
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "good.py").write_text(
        "class Other:\n    name = 'other'\n"
        "class Good(Other):\n    name = 'good'\n"
        "class Heir(Good):\n    pass\n"
    )
    (folder / "explosive.py").write_text("raise RuntimeError('imported')\n")
    (folder / "_part.py").write_text("raise RuntimeError('imported')\n")
    (folder / "nameless.py").write_text("class Nameless:\n    name = 'another'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        monkeypatch.delitem(sys.modules, name)
    return Registry("plug-in", PACKAGE)


def test_names_are_found_without_importing(plugins: Registry[object]) -> None:
    """Listing imports no module, so that one heavy or broken plug-in costs the others nothing."""
    assert plugins.names() == list(plugins) == ["explosive", "good", "nameless"]
    assert len(plugins) == 3
    assert "explosive" in plugins
    assert f"{PACKAGE}.good" not in sys.modules


def test_a_module_with_a_leading_underscore_is_a_part_of_others(plugins: Registry[object]) -> None:
    """It registers nothing."""
    assert "_part" not in plugins
    with pytest.raises(ConfigurationError):
        plugins["_part"]


def test_a_name_gives_the_class_that_bears_it_itself(plugins: Registry[object]) -> None:
    """Neither what the module imports nor what inherits the name is taken for it; one load is enough."""
    assert plugins["good"].__name__ == "Good"
    assert plugins["good"] is plugins["good"]


@pytest.mark.parametrize("name", ["bad", "", "good "])
def test_an_unknown_name_lists_the_known_ones(plugins: Registry[object], name: str) -> None:
    """The error names what was asked and what there is."""
    with pytest.raises(ConfigurationError, match=r"Unknown plug-in .* Known: explosive, good, nameless\."):
        plugins[name]
    assert name not in plugins


@pytest.mark.parametrize("name", [None, 3, ["good"], {"good": 1}])
def test_what_is_no_name_is_unknown(plugins: Registry[object], name: object) -> None:
    """A caller's JSON may hold anything."""
    assert name not in plugins


def test_a_module_without_its_class_says_so(plugins: Registry[object]) -> None:
    """A file under a registry's package must hold its class."""
    with pytest.raises(ConfigurationError, match="holds no class with name = 'nameless'"):
        plugins["nameless"]


def test_another_distribution_registers_by_entry_point(
    plugins: Registry[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group is ``effortwise.`` and the package's last part; the class is loaded when asked for."""
    point = importlib.metadata.EntryPoint(
        "foreign", "router.strategies.direct:Direct", f"effortwise.{PACKAGE}"
    )
    found = importlib.metadata.EntryPoints([point])
    monkeypatch.setattr(router.registry, "entry_points", lambda **asked: found.select(**asked))
    assert plugins.names() == ["explosive", "foreign", "good", "nameless"]
    assert plugins["foreign"] is Direct


def test_asking_for_a_loaded_name_again_searches_nothing(
    plugins: Registry[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests name verifiers: the search through installed distributions must not be repeated for each."""
    assert plugins["good"]

    def searched(**asked: str) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(router.registry, "entry_points", searched)
    assert "good" in plugins
    assert plugins["good"]


@pytest.mark.parametrize("registry", [STRATEGIES, POLICIES], ids=["strategies", "policies"])
def test_every_registered_class_describes_itself(registry: Registry[object]) -> None:
    """A name and a one-line summary stand on every class; the summary is what ``effortwise list`` prints."""
    for name, kind in registry.items():
        assert kind.name == name
        assert 0 < len(kind.summary) <= 100
        assert "\n" not in kind.summary


def test_listing_strategies_loads_none_of_them() -> None:
    """In a fresh interpreter, the names of the shipped strategies cost no import of their modules."""
    program = (
        "import sys; from router.strategies import STRATEGIES; names = STRATEGIES.names(); "
        "print([name for name in names if 'router.strategies.' + name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parent.parent,
    )
    assert result.stdout.strip() == "[]"
