"""Networks: the NumPy path against torch, initialisation, log-std bounds."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from metarl.core import Learner
from metarl.learners.gradient import GradientLearner
from metarl.nets.mlp import MLP, Tanh
from metarl.nets.policy import GaussianPolicy
from metarl.rl.losses import surrogate


def stacked_learner(activation: str, *, adapt: str = "", tasks: int = 3) -> tuple[GradientLearner, dict[str, Tensor]]:
    """A policy learner and the states of tasks that differ."""
    torch.manual_seed(0)
    net = GaussianPolicy(5, 2, hidden=(16, 8), activation=activation)
    learner = GradientLearner(net, surrogate, adapt=adapt)
    states = {n: p.detach() + 0.3 * torch.randn(tasks, *p.shape) for n, p in learner.init().items()}
    return learner, states


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("adapt", ["", "mean.layers.2"])
def test_numpy_path_equals_torch_for_every_task(activation: str, adapt: str) -> None:
    learner, states = stacked_learner(activation, adapt=adapt)
    x = np.random.default_rng(0).normal(size=(3, 7, 5)).astype(np.float32)
    kept = x.copy()
    mean, log_std = learner.arrays(states)(x)
    assert mean.dtype == log_std.dtype == np.float32
    np.testing.assert_array_equal(x, kept)
    generic_mean, generic_log_std = Learner.arrays(learner, states)(x)
    for t in range(3):
        net = GaussianPolicy(5, 2, hidden=(16, 8), activation=activation)
        net.load_state_dict({**learner.net.state_dict(), **{n: v[t] for n, v in states.items()}})
        with torch.no_grad():
            expected_mean, expected_log_std = net(torch.from_numpy(x[t]))
        for found, found_log_std in ((mean, log_std), (generic_mean, generic_log_std)):
            np.testing.assert_allclose(found[t], expected_mean, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(found_log_std[t], expected_log_std, rtol=1e-6)
    assert np.abs(mean[0] - mean[1]).max() > 0.1


def test_a_net_without_a_numpy_path_goes_through_torch() -> None:
    learner = GradientLearner(MLP(2, 1, hidden=(4,)), surrogate)
    states = {n: p.detach().expand(2, *p.shape) for n, p in learner.init().items()}
    x = np.ones((2, 3, 2), np.float32)
    np.testing.assert_allclose(learner.arrays(states)(x)[1], learner.net(torch.ones(3, 2)).detach(), rtol=1e-6)


def test_mlp_is_affine_activation_affine() -> None:
    net = MLP(2, 1, hidden=(2,), activation="relu")
    with torch.no_grad():
        for parameter, values in zip(
            net.parameters(), ([[1.0, 0.0], [0.0, -1.0]], [0.5, 0.0], [[2.0, 3.0]], [-1.0]), strict=True
        ):
            parameter.copy_(torch.tensor(values))
    assert net(torch.tensor([[1.0, 2.0], [-2.0, -4.0]])).flatten().tolist() == [2 * 1.5 - 1, 3 * 4.0 - 1]
    net.activation = "tanh"
    expected = 2 * math.tanh(1.5) + 3 * math.tanh(-2.0) - 1
    assert net(torch.tensor([1.0, 2.0])).item() == pytest.approx(expected, rel=1e-6)


def test_tanh_equals_torchs_whatever_the_layout() -> None:
    x = torch.linspace(-12, 12, 100_001)
    np.testing.assert_allclose(Tanh.apply(x), torch.tanh(x.double()), rtol=3e-7)
    strided = x[:99].view(9, 11).mT
    assert torch.equal(Tanh.apply(strided), Tanh.apply(strided.contiguous()))


def test_tanh_is_differentiable_in_every_way_that_torchs_is() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, dtype=torch.float64)
    inputs = x.clone().requires_grad_()
    assert torch.autograd.gradcheck(Tanh.apply, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(Tanh.apply, inputs)

    def third(tanh: Callable[[Tensor], Tensor]) -> Tensor:
        def first(x: Tensor) -> Tensor:
            return grad(lambda x: tanh(x).pow(3).sum())(x).sum()

        return vmap(grad(lambda x: grad(first)(x).sum()), in_dims=1, out_dims=1)(x)

    torch.testing.assert_close(third(Tanh.apply), third(torch.tanh))


def test_wrong_activation_names_the_choices() -> None:
    with pytest.raises(ValueError, match="unknown activation 'sigmoid': choose one of relu, tanh"):
        MLP(1, 1, activation="sigmoid")


def test_log_std_is_clamped_at_both_ends_in_torch_and_numpy() -> None:
    net = GaussianPolicy(1, 3, hidden=(2,), min_std=0.1, max_std=2.0)
    with torch.no_grad():
        net.log_std.copy_(torch.tensor([-9.0, math.log(0.5), 9.0]))
    expected = [math.log(0.1), math.log(0.5), math.log(2.0)]
    np.testing.assert_allclose(net(torch.zeros(4, 1))[1].detach(), expected, rtol=1e-6)
    arrays = {name: value.detach().numpy()[None] for name, value in net.named_parameters()}
    np.testing.assert_allclose(net.arrays(arrays)(np.zeros((1, 4, 1), np.float32))[1][0], expected, rtol=1e-6)


def test_policy_starts_as_rllabs() -> None:
    torch.manual_seed(0)
    net = GaussianPolicy(20, 6, hidden=(100, 100), init_std=0.5)
    assert net.log_std.tolist() == pytest.approx([math.log(0.5)] * 6)
    for layer in net.mean.layers:
        assert isinstance(layer, nn.Linear)
        bound = math.sqrt(6 / (layer.in_features + layer.out_features))  # Glorot-uniform
        largest = float(layer.weight.detach().abs().max())
        assert 0.95 * bound < largest <= bound
        assert not layer.bias.any()


def test_a_policy_of_other_sizes_says_so() -> None:
    learner, states = stacked_learner("relu")
    with pytest.raises(ValueError, match="takes 5 observations and got 6"):
        learner.arrays(states)(np.zeros((3, 7, 6), np.float32))


def test_normalised_observations_have_mean_0_and_deviation_1() -> None:
    torch.manual_seed(0)
    net = GaussianPolicy(4, 2, hidden=(8, 8))
    seen = torch.randn(5000, 4) * torch.tensor([3.0, 0.5, 0.01, 1.0]) + torch.tensor([1.0, -2.0, 0.0, 7.0])
    net.normalise(seen)
    inputs: list[Tensor] = []
    net.mean.register_forward_hook(lambda _, x, __: inputs.append(x[0]))
    net(seen)
    torch.testing.assert_close(inputs[0].mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    expected = torch.tensor([1.0, 1.0, 0.1, 1.0])  # what hardly varies is divided by 0.1
    torch.testing.assert_close(inputs[0].std(0), expected, atol=2e-3, rtol=0)
    net(torch.tensor([[1e6, 0.0, -1e6, 0.0]]))
    assert inputs[1].abs().max() == 10
    x = np.random.default_rng(0).normal(size=(1, 6, 4)).astype(np.float32) * 5
    stacked = {name: value.detach()[None].numpy() for name, value in net.named_parameters()}
    np.testing.assert_allclose(net.arrays(stacked)(x)[0][0], net(torch.from_numpy(x[0]))[0].detach(), atol=1e-5)
