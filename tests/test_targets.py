"""The table of targets: what counts as met, and that the pools are those of the published figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks import targets
from training.evaluation.grid import read_grid

TRACES = os.environ.get("EFFORTWISE_TRACES")

BEST_SINGLE = {"arc_c": (0.957, 5.00), "mbpp": (0.690, 9.37)}
"""Quality and USD per 1,000 queries of the best single arm on the logged test split."""


def section(**changed: Any) -> dict[str, Any]:
    """What a report says of a router, with everything just met."""
    point = {"cost_usd": 1.0, "quality": 0.7, "low": 0.6, "high": 0.8}
    over = {"mean": 0.0, "low": -0.01, "high": 0.01}
    arm = {"ece_debiased": 0.02, "low": 0.0, "high": 0.04}
    found = {
        "apgr": 0.7,
        "apgr_interval": {"low": 0.6, "high": 0.8},
        "cpt": {},
        "at_minus_1": {"saving": 0.6, "low": 0.5, "high": 0.7, "met": True, "over_best_single": over},
        "at_equal_cost": {**point, "over_best_single": over},
        "lift_over_shuffle": {"mean": 0.02, "low": 0.01, "high": 0.03},
        "read_off_test": {"at_minus_1": 0.65},
        "calibration": {"arms": [arm, {**arm, "low": 0.01}], "pooled": arm},
    }
    return {**found, **changed}


def test_a_saving_counts_only_at_its_quality() -> None:
    """Enough saved, but at a quality that was not wanted, is a miss."""
    enough = targets.saved(0.5)
    assert enough.met(section())
    assert not targets.saved(0.65).met(section())
    assert not enough.met(section(at_minus_1={**section()["at_minus_1"], "met": False}))
    assert enough.cell(section()) == "60.0 % (50.0 % to 70.0 %) at +0.0 (-1.0 to +1.0); read off test: 65.0 %"


def test_every_set_s_own_targets_are_told_apart() -> None:
    """All just met; each missed by what it measures, and by nothing else."""
    measured = section()["calibration"]
    bad = {"ece_debiased": 0.04, "low": 0.031, "high": 0.05}
    worse = {
        0: section(lift_over_shuffle={"mean": 0.02, "low": -0.01, "high": 0.03}),
        1: section(at_equal_cost={"over_best_single": {"mean": -0.006, "low": -0.1, "high": 0.1}}),
        2: section(calibration={**measured, "pooled": bad}),
        3: section(calibration={**measured, "arms": [bad]}),
    }
    for i, target in enumerate((*targets.EVERY_ROUTER, *targets.EVERY_PREDICTOR)):
        assert target.met(section())
        assert [target.met(each) for each in worse.values()] == [j != i for j in worse]


def test_the_table_is_printed_from_reports_that_lie_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row a target of each router, met or missed; nothing is measured that was not asked for."""
    own = section()
    report = {
        "n_test": 428,
        "protocol": {"folds": None},
        "baselines": {"best_single": {"quality": 0.857, "cost_usd": 0.004}, "plain": own},
        "router": own,
        **{name: own[name] for name in ("apgr", "apgr_interval", "cpt", "calibration")},
    }
    seen = {**own, "first_answer_wrong": {"auroc": 0.8, "low": 0.7, "high": 0.9}}
    seen["at_equal_quality"] = {"saving": 0.3, "low": 0.2, "high": 0.4, "met": True}
    report["router"] = {**own, "at_equal_quality": {"saving": 0.1, "low": 0.0, "high": 0.15, "met": True}}
    report["routers"] = {"answers": seen}
    (tmp_path / "gsm8k.json").write_bytes(orjson.dumps(report))
    targets.print_table(tmp_path, [], tmp_path, 0)
    head, _, *rows = capsys.readouterr().out.splitlines()
    every = len(targets.EVERY_ROUTER)
    assert len(rows) == 1 + every + len(targets.EVERY_PREDICTOR) + 3 + every
    assert all(line.count("|") == head.count("|") for line in rows)
    assert "| gsm8k | 428 (split) | 0.857 at $4.00 | APGR | 0.700 (0.600 to 0.800) |" in rows[0]
    assert rows[0].endswith(">= 0.640 | met |")
    assert rows[-3].endswith("30.0 % (20.0 % to 40.0 %) against 10.0 % | more | met |")


def test_sets_are_told_apart_by_name() -> None:
    """``--only`` names exactly one."""
    names = [each.name for each in targets.SETS]
    assert len(set(names)) == len(names)


def test_a_set_with_an_encoder_needs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, the set is left out of the whole table, and named where it is asked for by itself."""
    (chosen,) = (each for each in targets.SETS if each.encoder)
    monkeypatch.delenv("EFFORTWISE_ENCODER", raising=False)
    monkeypatch.setenv("EFFORTWISE_TRACES", str(tmp_path))
    with pytest.raises(SystemExit, match=f"{chosen.name} needs a sentence encoder: EFFORTWISE_ENCODER"):
        targets.needs_encoder(chosen)
    wanted: list[str] = []
    monkeypatch.setattr(targets, "print_table", lambda _, sets, *__: wanted.extend(s.name for s in sets))
    monkeypatch.setattr("sys.argv", ["targets", "--out", str(tmp_path)])
    targets.main()
    assert wanted == [each.name for each in targets.SETS if not each.encoder]
    monkeypatch.setenv("EFFORTWISE_ENCODER", str(tmp_path))
    targets.needs_encoder(chosen)
    assert targets.encoder_of(chosen) == tmp_path
    assert targets.encoder_of(targets.SETS[0]) is None


@pytest.mark.skipif(TRACES is None, reason="EFFORTWISE_TRACES names no folder of traces")
@pytest.mark.parametrize("name", ["arc_c", "mbpp"])
def test_a_pool_is_that_of_the_published_figures(name: str) -> None:
    """The best single arm on the logged split is as the table of targets has it."""
    (chosen,) = (each for each in targets.SETS if each.name == name)
    assert chosen.models is not None
    grid = read_grid(Path(str(TRACES)) / f"{chosen.file}.parquet", chosen.dataset, chosen.models.split(","))
    quality, cost = grid.reward[grid.test].mean(axis=0), grid.cost_usd[grid.test].mean(axis=0)
    best = int(quality.argmax())
    assert (quality[best], 1000 * cost[best]) == pytest.approx(BEST_SINGLE[name], abs=0.006)
