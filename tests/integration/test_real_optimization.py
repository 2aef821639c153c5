"""Does optimizing help a real model on real data? Asked of the example that says so."""

from __future__ import annotations

import importlib
import statistics
from pathlib import Path

import pytest

import dspex
from dspex.datasets import sentiment, split
from dspex.local import LocalServer

pytestmark = pytest.mark.realmodel


def test_a_search_over_demonstrations_beats_the_mean_of_random_draws_on_held_out_rows(
    local_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples"))
    example = importlib.import_module("optimize_real_model")
    rows = split(sentiment(), train=40, dev=24, test=50, seed=1)
    lm = dspex.LM(
        "llamacpp/" + local_server.model,
        base_url=local_server.base_url,
        model_type="text",
        temperature=0,
        max_tokens=8,
    )
    with dspex.System("real", lm=lm, adapter=dspex.PlainAdapter(), store=False, control_socket=False):
        zero_shot, chance, found, better = example.experiment(rows.train, rows.dev, rows.test, draws=2, candidates=2)
    assert zero_shot.percent > 60  # always answering one class scores 50
    assert found.percent > statistics.mean(score.percent for score in chance)
    assert better.optimization.candidates == 5
