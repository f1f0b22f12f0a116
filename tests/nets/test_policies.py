"""Policies of every kind: the NumPy form against torch, task by task, and the standard deviation of states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from metarl.core import Learner
from metarl.learners.gradient import GradientLearner
from metarl.nets.discrete import BernoulliPolicy, CategoricalPolicy, MultiCategoricalPolicy
from metarl.nets.policy import GaussianPolicy, MLPPolicy
from metarl.rl.losses import surrogate

POLICIES: dict[str, Callable[[], MLPPolicy]] = {
    "gaussian": lambda: GaussianPolicy(5, 2, hidden=(8, 6), activation="tanh"),
    "gaussian of states": lambda: GaussianPolicy(5, 2, hidden=(8, 6), state_std=True, min_std=0.5, max_std=2),
    "categorical": lambda: CategoricalPolicy(5, 4, hidden=(8, 6), activation="tanh"),
    "multi-categorical": lambda: MultiCategoricalPolicy(5, [4, 2, 3], hidden=(8, 6)),
    "bernoulli": lambda: BernoulliPolicy(5, 3, hidden=(8, 6)),
}


@pytest.mark.parametrize("adapt", ["", "head"])
@pytest.mark.parametrize("name", POLICIES)
def test_numpy_and_the_general_way_are_torch_for_every_task(name: str, adapt: str) -> None:
    torch.manual_seed(0)
    policy = POLICIES[name]()
    policy.normalise(2 + 3 * torch.randn(50, 5))
    learner = GradientLearner(policy, surrogate, adapt=adapt)
    states = {key: value.detach() + 0.5 * torch.randn(3, *value.shape) for key, value in learner.init().items()}
    x = np.random.default_rng(0).normal(size=(3, 7, 5)).astype(np.float32)
    fast, general = learner.arrays(states)(x), Learner.arrays(learner, states)(x)
    assert type(fast) is type(general) is type(policy(torch.zeros(5)))
    for task in range(3):
        net = learner.module({key: value[task] for key, value in states.items()})
        expected = tree_leaves(net(torch.from_numpy(x[task])))
        for found in (fast, general):
            for leaves, wanted in zip(tree_leaves(found), expected, strict=True):
                assert leaves.dtype == np.float32
                np.testing.assert_allclose(leaves[task], wanted, rtol=1e-4, atol=1e-5)
    assert np.abs(tree_leaves(fast)[0][0] - tree_leaves(fast)[0][1]).max() > 0.1


@pytest.mark.parametrize("name", POLICIES)
def test_the_head_is_the_last_layer(name: str) -> None:
    policy = POLICIES[name]()
    assert policy.head is policy.trunk.layers[2]
    start = "mean" if "gaussian" in name else "logits"
    assert GradientLearner(policy, surrogate, adapt="head").names == [
        f"{start}.layers.2.{p}" for p in ("weight", "bias")
    ]


def test_a_standard_deviation_of_states_varies_within_its_bounds() -> None:
    torch.manual_seed(0)
    policy, plain = POLICIES["gaussian of states"](), POLICIES["gaussian"]()
    log_std = policy(10 * torch.randn(200, 5)).log_std
    assert log_std.shape == (200, 2)
    assert log_std.min().exp().item() == pytest.approx(0.5)
    assert log_std.max().exp().item() == pytest.approx(2)
    assert log_std.std() > 0.1
    assert plain(torch.randn(200, 5)).log_std.shape == (2,)
    with torch.no_grad():
        policy.head.weight[2:] = policy.head.bias[2:] = 0  # type: ignore[index]
        policy.log_std.copy_(torch.tensor([0.3, -0.4]))  # type: ignore[operator]
    torch.testing.assert_close(policy(torch.randn(4, 5)).log_std, torch.tensor([0.3, -0.4]).expand(4, 2))
