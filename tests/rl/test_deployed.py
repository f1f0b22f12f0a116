"""Adapted policies taken away: as a plain module, by torch.export, TorchScript and ONNX, and in Stable-Baselines3."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space
from stable_baselines3.common.evaluation import evaluate_policy
from torch.utils._pytree import tree_map

from metarl.core import Predictor
from metarl.learners.context import CAVIA, Concatenated
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import GaussianPolicy
from metarl.nets.spaces import policy_for
from metarl.rl.deployed import DeployedPolicy
from metarl.rl.losses import surrogate
from metarl.rl.policy import AdaptedPolicy

SPACES: dict[str, Space] = {
    "box": Box(-1, 1, (3,)),
    "box of doubles": Box(np.array([[-0.5], [0.0]]), 1.5, dtype=np.float64),
    "discrete": Discrete(5, start=-2),
    "several": MultiDiscrete([[2, 5], [3, 2]], start=[[0, -1], [7, 1]]),
    "switches": MultiBinary((2, 3)),
}
SEEN = Box(-np.inf, np.inf, (4,))


def adapted(space: Space, *, adapt: str = "", activation: str = "tanh") -> AdaptedPolicy:
    """The second of two policies whose parameters were moved at random, of normalised observations."""
    torch.manual_seed(0)
    net = policy_for(SEEN, space, hidden=(8, 6), activation=activation)
    net.normalise(1 + 2 * torch.randn(30, 4))
    learner = GradientLearner(net, surrogate, adapt=adapt)
    states = {name: value.detach() + 0.7 * torch.randn(2, *value.shape) for name, value in learner.init().items()}
    return AdaptedPolicy(Predictor(learner, lambda: states), space, task=1, action_scale=0.4)


def seen(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, (n, 4)).astype(np.float32)


def exported(module: DeployedPolicy, example: torch.Tensor, path: Path) -> Callable[[torch.Tensor], Any]:
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, path)
    return torch.export.load(path).module()


def scripted(module: DeployedPolicy, example: torch.Tensor, path: Path) -> Callable[[torch.Tensor], Any]:
    torch.jit.trace(module, example).save(path)
    return torch.jit.load(path)


def onnx(module: DeployedPolicy, example: torch.Tensor, path: Path) -> Callable[[torch.Tensor], Any]:
    reason = "torch.onnx needs onnx and onnxscript, onnxruntime runs the model, and they come with no extra of metarl"
    pytest.importorskip("onnxscript", reason=reason)
    runtime = pytest.importorskip("onnxruntime", reason=reason)
    shapes = ({0: torch.export.Dim("n")},)
    torch.onnx.export(module, (example,), path, dynamo=True, dynamic_shapes=shapes, input_names=["observations"])
    session = runtime.InferenceSession(path)
    return lambda x: torch.from_numpy(session.run(None, {"observations": x.numpy()})[0])


FORMS = {"plain": lambda module, example, path: module, "export": exported, "torchscript": scripted, "onnx": onnx}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch says that TorchScript is old
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SPACES)
def test_every_form_gives_the_actions_of_predict(name: str, form: str, tmp_path: Path) -> None:
    policy, x = adapted(SPACES[name]), seen()
    module = policy.module()
    assert not any(parameter.requires_grad for parameter in module.parameters())
    there = FORMS[form](module, torch.from_numpy(x[:5]), tmp_path / "policy")
    expected, _ = policy.predict(x, deterministic=True)
    with torch.no_grad():
        found = there(torch.from_numpy(x)).numpy()  # of another number of observations than the example's
    assert found.dtype == expected.dtype == SPACES[name].dtype
    assert found.shape == expected.shape == (40, *(SPACES[name].shape or ()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert all(SPACES[name].contains(action) for action in found)
    assert len(np.unique(found.reshape(40, -1), axis=0)) > 1


@pytest.mark.parametrize("name", SPACES)
def test_one_observation_gives_one_action_of_the_space_drawn_or_not(name: str) -> None:
    policy, space = adapted(SPACES[name]), SPACES[name]
    for deterministic in (True, False):
        for x in seen(20):
            action, _ = policy.predict(x, deterministic=deterministic)
            assert space.contains(action)
    batch, _ = policy.predict(seen(20), deterministic=True)
    np.testing.assert_allclose(batch[7], policy.predict(seen(20)[7], deterministic=True)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SPACES)
def test_a_policy_for_any_space_is_saved_and_loaded(name: str, tmp_path: Path) -> None:
    policy = adapted(SPACES[name])
    policy.save(tmp_path / "policy.safetensors")
    again = AdaptedPolicy.load(tmp_path / "policy.safetensors")
    assert again.action_space == SPACES[name]
    for deterministic in (True, False):
        np.testing.assert_array_equal(*(p.predict(seen(), deterministic=deterministic)[0] for p in (policy, again)))


def test_plus_and_minus_1_are_the_whole_range_of_a_box() -> None:
    """A policy whose means are 1, 3 and −4 everywhere, times 0.4: 0.4, and then 1 and −1, which are the bounds."""
    policy = adapted(Box(np.array([-2, 0, 1], np.float32), np.array([4, 1, 9], np.float32)))
    for name in ("mean.layers.2.weight", "mean.layers.2.bias"):
        policy.states[name][:] = torch.tensor([1.0, 3.0, -4.0]) if name.endswith("bias") else 0
    again = AdaptedPolicy(Predictor(policy.learner, lambda: policy.states), policy.action_space, action_scale=0.4)
    np.testing.assert_allclose(again.predict(seen(2), deterministic=True)[0], [[1 + 3 * 0.4, 1, 1]] * 2, rtol=1e-6)
    np.testing.assert_allclose(again.module()(torch.from_numpy(seen(2))), [[1 + 3 * 0.4, 1, 1]] * 2, rtol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_module_has_the_adapted_parameters_and_shares_none(activation: str) -> None:
    policy = adapted(SPACES["box"], adapt="head", activation=activation)
    module, net = policy.module(), policy.learner.get_submodule("net")
    assert isinstance(net, GaussianPolicy)
    expected = policy.predict(seen(), deterministic=True)[0]
    with torch.no_grad():
        net.log_std.fill_(9.0)
        net.trunk.layers[0].weight.fill_(9.0)  # type: ignore[operator, union-attr]
        np.testing.assert_allclose(module(torch.from_numpy(seen())), expected, rtol=0, atol=1e-6)
    assert sorted(module.state_dict())[:4] == ["high", "low", "middle", "net.limit"]
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    other = adapted(SPACES["box"], adapt="head", activation=activation).module()
    other.load_state_dict(torch.load(io.BytesIO(buffer.getvalue())))
    np.testing.assert_allclose(other(torch.from_numpy(seen())), expected, rtol=0, atol=1e-6)


def test_a_learner_whose_state_is_no_parameter_makes_a_module_too() -> None:
    """CAVIA's state is a context, which comes to every observation."""
    torch.manual_seed(0)
    learner = CAVIA(Concatenated(GaussianPolicy(6, 3, hidden=(8,))), surrogate, context=2)
    states = torch.randn(2, 2)
    policy = AdaptedPolicy(Predictor(learner, lambda: states), SPACES["box"], task=1)
    module = policy.module()
    with torch.no_grad():
        found = module(torch.from_numpy(seen()))
        program = torch.export.export(module, (torch.from_numpy(seen()),))
        np.testing.assert_allclose(program.module()(torch.from_numpy(seen())), found, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found, policy.predict(seen(), deterministic=True)[0], rtol=0, atol=1e-6)


class Pole(gymnasium.Wrapper[Any, Any, Any, Any]):
    """CartPole that refuses an action outside its space."""

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        return super().step(action)


def test_stable_baselines3_evaluates_a_policy_of_choices() -> None:
    """One that pushes to where the pole falls stands longer than one that pushes the other way."""
    space = gymnasium.make("CartPole-v1").action_space
    learner = GradientLearner(policy_for(SEEN, space, hidden=()), surrogate)
    found = []
    for sign in (1.0, -1.0):
        state = tree_map(lambda value: torch.zeros(1, *value.shape), learner.init())
        state["logits.layers.0.weight"][0, 1] = sign * torch.tensor([0.0, 0.0, 1.0, 1.0])
        policy = AdaptedPolicy(Predictor(learner, lambda state=state: state), space)
        env = Pole(gymnasium.make("CartPole-v1"))
        env.reset(seed=0)
        mean, _ = evaluate_policy(policy, env, n_eval_episodes=5, deterministic=True, warn=False)
        found.append(mean)
    assert found[0] > 150  # type: ignore[operator]
    assert found[1] < 15  # type: ignore[operator]
