"""The notebooks run from top to bottom, on what ships, and are kept without their outputs."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from effortwise.bundled import POOL

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # notebook libraries warn about each other when they are imported
    import nbformat
    from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WITHIN_S = 60

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
needs_the_pool = pytest.mark.skipif(
    not POOL.exists(), reason="effortwise/data/pool.parquet is missing: make pool"
)


@every_notebook
def test_a_notebook_is_kept_clean(path: Path) -> None:
    """Valid, of the fourth format, and without outputs, which would grow old."""
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.nbformat == 4
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert not any(cell.outputs or cell.execution_count for cell in code)


@every_notebook
@needs_the_pool
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of the kernel's client
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell runs in a folder of its own, in time, and no cell prints a warning."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=4 * WITHIN_S, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    began = time.monotonic()
    asyncio.run(client.async_execute())
    assert time.monotonic() - began < 4 * WITHIN_S  # a busy machine gets four times what an idle one needs
    assert [text for text in complaints(notebook) if "warning" in text.lower()] == []


def complaints(notebook: Any) -> list[str]:
    """What the cells wrote to standard error."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.text for output in outputs if output.get("name") == "stderr"]
