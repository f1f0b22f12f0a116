"""Settings of nets, objectives and statistics that cannot be: each is refused in one line of ValueError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metarl.losses import mse
from metarl.nets.conv4 import Conv4, FeatureMaps
from metarl.nets.dense import Dense
from metarl.nets.mlp import MLP
from metarl.nets.normalisation import BatchNorm
from metarl.nets.policy import GaussianPolicy
from metarl.nets.recurrent import LSTMCell
from metarl.nets.resnet import ResNet12
from metarl.objectives import final, multi_step
from metarl.statistics import estimate, interquartile_mean, mean, mean_ci95

RNG = np.random.default_rng(0)
CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "weights of 0": (lambda: multi_step(mse, (0.0, 0.0)), r"weights is \(0.0, 0.0\): give at least one .* above 0"),
    "negative weights": (lambda: multi_step(mse, (-1.0, -1.0)), r"weights is \(-1.0, -1.0\): .*from 0 up"),
    "a weight of NaN": (lambda: multi_step(mse, (float("nan"), 1.0)), "each is a finite number from 0 up"),
    "no weights": (lambda: multi_step(mse, ()), r"weights is \(\): give at least one"),
    "a weight": (lambda: multi_step(mse, 1.0), "weights is 1.0: give a sequence"),
    "no loss to weigh": (lambda: multi_step(None, (1.0,)), "loss is None: give a function"),
    "no loss": (lambda: final("mse"), "loss is 'mse': give a function"),
    "no inputs": (lambda: MLP(0, 1), "inputs is 0: give a whole number from 1 up"),
    "half an output": (lambda: MLP(1, 0.5), "outputs is 0.5: give a whole number"),
    "hidden layers of no units": (lambda: MLP(1, 1, hidden=(0,)), r"hidden is \(0,\): .*a whole number from 1 up"),
    "hidden layers of -5 units": (lambda: MLP(1, 1, hidden=(-5,)), r"hidden is \(-5,\)"),
    "a hidden layer": (lambda: MLP(1, 1, hidden=40), "hidden is 40: give a sequence"),
    "another activation": (lambda: MLP(1, 1, activation="elu"), "unknown activation 'elu'"),
    "no deviation": (lambda: GaussianPolicy(1, 1, init_std=0), "init_std is 0: give a finite number above 0"),
    "an infinite deviation": (lambda: GaussianPolicy(1, 1, init_std=float("inf")), "init_std is inf"),
    "an infinite least deviation": (lambda: GaussianPolicy(1, 1, min_std=float("inf")), "min_std is inf"),
    "a deviation above the largest": (lambda: GaussianPolicy(1, 1, init_std=20), "init_std is 20: give one from"),
    "deviations that cross": (lambda: GaussianPolicy(1, 1, min_std=2, max_std=0.5), "from min_std, 2, to max_std, 0.5"),
    "one observation": (lambda: GaussianPolicy(2, 1).normalise(torch.zeros(1, 2)), "give two or more of 2 finite"),
    "other observations": (lambda: GaussianPolicy(2, 1).normalise(torch.zeros(5, 3)), r"the shape \[5, 3\]"),
    "observations that are NaN": (lambda: GaussianPolicy(1, 1).normalise(torch.full((5, 1), torch.nan)), "finite"),
    "observations in NumPy": (lambda: GaussianPolicy(1, 1).normalise(np.zeros((5, 1))), "ndarray.*: give a Tensor"),
    "no filters": (lambda: Conv4(1, 5, filters=0), "filters is 0"),
    "no classes": (lambda: Conv4(1, 0), "outputs is 0: give a whole number from 1 up, or None"),
    "images too small to pool": (lambda: Conv4(1, 5, size=8, pool=True), "images of size 8 vanish"),
    "maps too small to pool": (lambda: FeatureMaps(1, size=7, pool=True), "images of size 7 vanish in three poolings"),
    "another image": (lambda: Conv4(1, 5)(torch.zeros(2, 3, 28, 28)), r"takes images \(1, 28, 28\) and got \(3, 28"),
    "an image of maps": (lambda: FeatureMaps(1)(torch.zeros(2, 3, 28, 28)), r"images \(1, 28, 28\) and got \(3, 28"),
    "an image alone": (lambda: ResNet12(1)(torch.zeros(1, 28, 28)), "the net takes images"),
    "a dense net without layers": (lambda: Dense(1, 5, hidden=()), "hidden is empty: give the size"),
    "a residual net without blocks": (lambda: ResNet12(1, filters=()), "filters is empty: give the number"),
    "a cell without units": (lambda: LSTMCell(1, 0), "hidden is 0"),
    "normalisation of nothing": (lambda: BatchNorm(0), "features is 0"),
    "normalisation without an ε": (lambda: BatchNorm(1, eps=0), "eps is 0"),
    "the mean of no values": (lambda: mean_ci95(np.zeros(0)), r"values have shape \(0,\) and .*: give at least one"),
    "the mean of a table": (lambda: mean_ci95(np.zeros((2, 2))), r"values have shape \(2, 2\)"),
    "the mean of no scores": (lambda: mean(np.zeros((2, 0))), r"scores have shape \(2, 0\)"),
    "the mean of a row": (lambda: interquartile_mean(np.zeros(3)), r"\[..., seeds, tasks\], at least one of"),
    "the interval of a list": (lambda: estimate([[1.0]], mean, rng=RNG), "give a ndarray|give an? ndarray"),
    "the interval of a row": (lambda: estimate(np.zeros(3), mean, rng=RNG), r"scores have shape \(3,\)"),
    "scores of text": (lambda: estimate(np.array([["a"]]), mean, rng=RNG), "are <U1: give numbers"),
    "the mean of text": (lambda: mean_ci95(np.array(["a"])), "are <U1: give at least one number"),
    "the mean of a list": (lambda: interquartile_mean([[1.0]]), "scores is .*: give an? ndarray"),
    "observations that are whole": (
        lambda: GaussianPolicy(1, 1).normalise(torch.zeros(5, 1, dtype=torch.int64)), "give two or more of 1 finite"
    ),
    "no resamples": (lambda: estimate(np.zeros((2, 2)), mean, rng=RNG, resamples=0), "resamples is 0"),
    "no statistic": (lambda: estimate(np.zeros((2, 2)), "mean", rng=RNG), "statistic is 'mean': give a function"),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CALLS)
def test_it_is_refused_in_one_line(name: str) -> None:
    call, message = CALLS[name]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
