"""The peer in JAX draws the tasks that metarl draws, and has the layers of the benchmark's nets."""

import numpy as np
import pytest
from torch import nn

from metarl.experiments.benchmark import sinusoid_iterations
from metarl.experiments.benchmark.jax_peer import network
from metarl.tasks.sinusoid import Sinusoid


def test_its_tasks_are_those_of_metarl() -> None:
    tasks = Sinusoid(shots=5, queries=10).sample(4, np.random.default_rng(3))
    x, y = sinusoid_iterations.sample(np.random.default_rng(3), 4, 15)
    for ours, theirs in ((x, "x"), (y, "y")):
        expected = np.concatenate([getattr(part, theirs).numpy() for part in (tasks._support, tasks._query)], 1)
        np.testing.assert_array_equal(ours, expected)


def test_a_layer_without_a_counterpart_is_named() -> None:
    with pytest.raises(ValueError, match=r"^GELU has no counterpart in JAX here: use Linear, ReLU, Conv2d"):
        network(None, nn.Sequential(nn.Linear(1, 1), nn.GELU()))


def test_iterations_of_training_are_the_same_in_jax() -> None:
    pytest.importorskip("jax", reason="jax is not installed")
    pytest.importorskip("optax", reason="optax is not installed")
    report = sinusoid_iterations.sinusoid_iterations(repeats=1, compiled=False)  # raises if parameters differ
    assert [row.name for row in report.rows] == [sinusoid_iterations.METARL, sinusoid_iterations.JAX]
    assert set(report.ratios) == {(sinusoid_iterations.METARL, sinusoid_iterations.JAX)}
