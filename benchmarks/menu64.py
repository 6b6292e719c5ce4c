"""A menu of 64 arms over four mock models, and a bundle learnt for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from router.configuration import load_configuration
from router.configured import configured_menu
from router.features import Extractor
from router.query import Query
from training.rounds import Round
from training.train import train

_CONFIGURATION = """
[store]
path = "{folder}/effortwise.db"

[decision]
policy = "greedy"
bundle = "{folder}/bundle"
price_per_usd = 1e6

[policies.greedy]
type = "greedy"

[backends.mock]
type = "openai_compatible"
base_url = "http://127.0.0.1:{port}/v1"
"""
_MODEL = """
[models.m{i}]
backend = "mock"
usd_per_million_prompt_tokens = {prompt}
usd_per_million_completion_tokens = {completion}
"""
_MENU = """
[[menu]]
strategy = "direct"
models = {models}

[[menu]]
strategy = "chain_of_thought"
models = {models}

[[menu]]
strategy = "self_consistency"
models = {models}
n = [2, 4, 8, 16, 32]

[[menu]]
strategy = "self_consistency"
template = "direct"
models = {models}
n = [2, 4, 8, 16]

[[menu]]
strategy = "best_of_n"
models = {models}
n = [2, 4, 8, 16, 32]
"""
_SUBJECTS = [
    "add 17 and 25",
    "walk in the hills",
    "write a poem",
    "name a capital",
    "sort a list",
    "explain tides",
]
ROUNDS = 4000


def write_configuration(folder: Path, upstream_port: int) -> Path:
    """The configuration's file."""
    models = [f"m{i}" for i in range(4)]
    text = _CONFIGURATION.format(folder=folder, port=upstream_port)
    text += "".join(_MODEL.format(i=i, prompt=0.1 * 4**i, completion=0.4 * 4**i) for i in range(4))
    text += _MENU.format(models=models).replace("'", '"')
    path = folder / "overhead.toml"
    path.write_text(text)
    return path


def save_learnt_bundle(config: Path, folder: Path) -> None:
    """Learn a boosted bundle from simulated rounds that need many trees, as real ones may."""
    menu = configured_menu(load_configuration(config))
    rng = np.random.default_rng(0)
    eases = rng.random((5, len(_SUBJECTS), 4)).round()  # by length, subject and model: trees must tell
    rounds = []
    for i in range(ROUNDS):
        arm = menu.arms[int(rng.integers(len(menu)))]
        repeats, subject = int(rng.integers(1, 6)), i % len(_SUBJECTS)
        text = f"Please {_SUBJECTS[subject]} number {rng.integers(10_000)} " * repeats
        ease = eases[repeats - 1, subject, int(arm.models[0].name[1:])] + 0.03 * np.log2(arm.compute)
        query = Query([{"role": "user", "content": text}])
        cost = 1e-5 * arm.compute * float(rng.lognormal(0, 0.3))
        rounds.append(Round(query, arm.id, float(rng.random() < ease), f"q{i}", cost_usd=cost, latency_s=0.1))
    train(rounds, menu, Extractor.of(), "boosted").save(folder)
