"""Bernoulli bandits: arms that pay 1 or 0, each with a probability of its own. `Bandit5`, `Bandit10`, `Bandit50`.

Section 3.1 of the RL² paper (Duan et al. 2016, arXiv 1611.02779), which plays 10, 100 or 500 times.
"""

from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete

from metarl.envs.chance import Chance
from metarl.envs.goals import Uniform
from metarl.envs.world import Step, World


class Bandit(World):
    """Choose an arm: r = 1 with the arm's probability, else 0. A task is the probabilities of the arms, each ~ U[0, 1].

    A bandit has no state: the observation is the number 1, so that any net has an input.
    """

    goals: ClassVar[Uniform]
    default_horizon = 100
    observation_space = Box(0.0, 1.0, (1,), np.float64)
    dt = 1.0  # nominal

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        self.action_space: Discrete = Discrete(len(self.goals.space.low))  # type: ignore[assignment]
        self.chance = Chance(num_envs)

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        """Seeds [n] of the episodes' luck."""
        return (self.chance.seeds(len(tasks), rng),)

    def place(self, ids: Any, *state: np.ndarray) -> None:
        """Begin episodes of the sub-environments ids with state = seeds [n] of their luck."""
        self.chance.state[self.check_state(ids, state, seeds=self.chance.state)] = state[0]

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        probability = np.take_along_axis(self.tasks, actions[:, None], axis=1)[:, 0]
        reward = (self.chance.uniform(alive) < probability).astype(np.float64)
        parts = {"reward_goal": reward.copy(), "regret": self.tasks.max(axis=1) - probability}
        never = np.zeros(self.num_envs, bool)
        return Step(reward, never, never.copy(), parts)

    def write(self, out: np.ndarray) -> None:
        out[:] = 1.0


class Bandit5(Bandit):
    """Five arms."""

    goals = Uniform([0.0] * 5, [1.0] * 5)


class Bandit10(Bandit):
    """Ten arms."""

    goals = Uniform([0.0] * 10, [1.0] * 10)


class Bandit50(Bandit):
    """Fifty arms."""

    goals = Uniform([0.0] * 50, [1.0] * 50)
