"""Choices as actions, from the rollout to the outer loop: meta-learning on a track with two, three or nine moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete, MultiBinary, MultiDiscrete
from torch.utils._pytree import tree_map
from toys import Track

from metarl.algorithms.base import Algorithm
from metarl.algorithms.proximal import ProMP
from metarl.algorithms.trust_region import TRPO
from metarl.core import adapt, collect
from metarl.envs.world import Step
from metarl.evaluation import evaluate
from metarl.learners.gradient import GradientLearner
from metarl.learners.maml import ANIL, FOMAML, MAML
from metarl.nets.spaces import policy_for
from metarl.objectives import final
from metarl.rl.distributions import Categorical
from metarl.rl.guidance import Guided, imitation
from metarl.rl.losses import surrogate
from metarl.rl.rollout import WorldDistribution
from metarl.train import train


class Moves(Track):
    """`Track` with moves of 0.2 to the left (the space's first number), to the right (its second)."""

    action_space: Any = Discrete(2, start=3)

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        return super().advance(self.moves(actions)[:, None], alive)

    def moves(self, actions: np.ndarray) -> np.ndarray:
        return 2.0 * (actions - 3) - 1


class Several(Moves):
    """The sum of a move of −1, 0 or 1 and one of −½, 0 or ½."""

    action_space = MultiDiscrete([3, 3])

    def moves(self, actions: np.ndarray) -> np.ndarray:
        return (actions - 1) @ np.array([1.0, 0.5])


class Switches(Moves):
    """One switch drives to the right, one to the left."""

    action_space = MultiBinary(2)

    def moves(self, actions: np.ndarray) -> np.ndarray:
        return actions[:, 0].astype(float) - actions[:, 1]


WORLDS = {"choice": Moves, "choices": Several, "switches": Switches}
METHODS: dict[str, Callable[[Any], Algorithm]] = {
    "maml": lambda net: TRPO(MAML(net, surrogate, lr=0.5)),
    "fomaml": lambda net: TRPO(FOMAML(net, surrogate, lr=0.5)),
    "anil": lambda net: TRPO(ANIL(net, surrogate, lr=0.5)),
    "promp": lambda net: ProMP(MAML(net, surrogate, lr=0.5), optimizer=lambda p: torch.optim.Adam(p, lr=0.02)),
}


def distribution(world: type[Moves]) -> WorldDistribution:
    return WorldDistribution(world, trajectories=10, threads=1)


def net(world: type[Moves]) -> Any:
    torch.manual_seed(0)
    return policy_for(world.observation_space, world.action_space, hidden=(8,))


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_the_world_receives_what_was_recorded_and_the_log_probability_is_the_adapted_policy_s(
    world: type[Moves],
) -> None:
    """Moves are 0.2 each, so what is observed one step later says which they were."""
    tasks = distribution(world).tasks([-1.0, 1.0], np.random.default_rng(0))
    for predict, _ in adapt(MAML(net(world), surrogate, lr=1.0), tasks, steps=1):
        seen = tasks.trajectories(predict)
        went = (seen.observations[:, 1:, :, 0] - seen.observations[:, :-1, :, 0]) / 0.2
        actions = seen.actions[:, :-1].reshape(-1, seen.actions.shape[-1]).numpy()
        moves = world(1).moves(actions[:, 0] + 3 if world is Moves else actions)
        np.testing.assert_allclose(went, np.clip(moves.reshape(went.shape), -1, 1), atol=1e-5)
        for task in range(2):
            policy = predict.learner.module({name: value[task] for name, value in predict.states.items()})
            expected = policy(seen.observations[task]).log_prob(seen.actions[task])
            torch.testing.assert_close(seen.log_probs[task], expected, rtol=1e-5, atol=1e-5)


def net_learner(world: type[Moves]) -> MAML:
    return MAML(net(world), surrogate, lr=0.5)


RUNS = [*(("choice", method) for method in METHODS), ("choices", "promp"), ("switches", "maml")]


@pytest.mark.parametrize(("name", "method"), RUNS)
def test_adaptation_is_learned(name: str, method: str) -> None:
    """The two goals are −1 and 1, so without adaptation no policy does better on both than one that stays about."""
    world = WORLDS[name]
    tasks, algorithm = distribution(world), METHODS[method](net(world))
    metrics = list(train(algorithm, tasks, iterations=20, meta_batch=10, seed=1))
    assert all(np.isfinite(list(row.values())).all() for row in metrics)
    scores = evaluate(algorithm.learner, tasks, steps=1, num_tasks=40, rng=np.random.default_rng(5)).mean(1)
    before = evaluate(net_learner(world), tasks, steps=1, num_tasks=40, rng=np.random.default_rng(5)).mean(1)
    assert scores[1] > scores[0] + 1
    assert scores[1] > before[1] + 0.5


def test_the_meta_gradient_is_that_of_finite_differences() -> None:
    """Of the surrogate after one inner step, in float64, along a random direction, on a fixed batch."""
    learner = GradientLearner(net(Moves), surrogate, lr=0.5)
    episodes = collect(learner, distribution(Moves).sample(3, np.random.default_rng(0)))
    episodes = tree_map(lambda leaf: leaf.double(), episodes)
    learner.double()
    parameters = list(learner.parameters())
    torch.manual_seed(1)
    values, direction = [p.detach().clone() for p in parameters], [torch.randn_like(p) for p in parameters]

    def loss(step: float) -> torch.Tensor:
        for parameter, value, way in zip(parameters, values, direction, strict=True):
            parameter.data.copy_(value + step * way)
        return learner(episodes, final(surrogate)).mean()

    gradients = torch.autograd.grad(loss(0.0), parameters)
    along = sum(float((g * way).sum()) for g, way in zip(gradients, direction, strict=True))
    differences = float(loss(1e-5) - loss(-1e-5)) / 2e-5
    assert along == pytest.approx(differences, rel=1e-6)
    assert abs(along) > 1e-3


def test_the_results_are_the_same_for_any_number_of_threads() -> None:
    class Parallel(Moves):
        parallel = True

    batches = []
    for threads in (1, 2):
        tasks = WorldDistribution(Parallel, trajectories=4, threads=threads).tasks(
            [-1.0, 1.0], np.random.default_rng(1)
        )
        batches.append(tasks.query(next(adapt(net_learner(Moves), tasks, steps=0))[0]))
    for one, two in zip(*batches, strict=True):
        assert torch.equal(one, two)


def test_an_expert_of_choices_is_imitated() -> None:
    def expert(observations: torch.Tensor, tasks: torch.Tensor) -> Categorical:
        right = 5 * (tasks[:, None, None] - observations)
        return Categorical(torch.cat([-right, right], -1))

    guided, learner = Guided(distribution(Moves), expert), net_learner(Moves)
    algorithm = ProMP(
        learner, final(imitation), optimizer=lambda p: torch.optim.Adam(p, lr=0.03), epochs=5, penalty=0.1
    )
    metrics = list(train(algorithm, guided, iterations=20, meta_batch=10))
    assert metrics[-1]["loss"] < 0.5 * metrics[0]["loss"]
