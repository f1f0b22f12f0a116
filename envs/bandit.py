"""Bernoulli bandits with 5, 10 or 50 arms, each of which has its own probability of a reward of 1.

They are from section 3.1 of the RL² paper (Duan et al. 2016, arXiv 1611.02779), with 10, 100 or 500 steps.
"""

from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete

from metarl.envs.goals import Uniform
from metarl.envs.random_streams import RandomStreams
from metarl.envs.world import Step, World


class Bandit(World):
    """Choose an arm: r = 1 with the probability of this arm, otherwise 0.

    A task consists of the probabilities of all arms, each ~ U[0, 1]. There is no state; the observation is always 1.
    """

    goals: ClassVar[Uniform]
    default_horizon = 100
    observation_space = Box(0.0, 1.0, (1,), np.float64)
    dt = 1.0  # nominal

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        self.action_space: Discrete = Discrete(len(self.goals.space.low))  # type: ignore[assignment]
        self.streams = RandomStreams(num_envs)

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        """Seeds [n] of the random rewards in n episodes."""
        return (self.streams.seeds(len(tasks), rng),)

    def place(self, ids: Any, *state: np.ndarray) -> None:
        """Start episodes of the sub-environments `ids` with state = seeds [n] of their random rewards."""
        self.streams.state[self.check_state(ids, state, seeds=self.streams.state)] = state[0]

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        probability = np.take_along_axis(self.tasks, actions[:, None], axis=1)[:, 0]
        reward = (self.streams.uniform(alive) < probability).astype(np.float64)
        parts = {"reward_goal": reward.copy(), "regret": self.tasks.max(axis=1) - probability}
        never = np.zeros(self.num_envs, bool)
        return Step(reward, never, never.copy(), parts)

    def write(self, out: np.ndarray) -> None:
        out[:] = 1.0


class Bandit5(Bandit):
    """A bandit with five arms."""

    goals = Uniform([0.0] * 5, [1.0] * 5)


class Bandit10(Bandit):
    """A bandit with ten arms."""

    goals = Uniform([0.0] * 10, [1.0] * 10)


class Bandit50(Bandit):
    """A bandit with fifty arms."""

    goals = Uniform([0.0] * 50, [1.0] * 50)
