"""Tabular Markov decision processes with ten states, five actions, and random rewards and transitions.

They are from section 3.2 of the RL² paper (Duan et al. 2016, arXiv 1611.02779), which has 10 to 100 episodes per task.
"""

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from metarl.envs.goals import Goals
from metarl.envs.random_streams import RandomStreams
from metarl.envs.world import Step, World
from metarl.ranges import Count, checked

STATES, ACTIONS = 10, 5
LARGEST = 10.0  # maximum absolute value of a mean reward, which is nine standard deviations from its mean


class Tables(Goals):
    """Mean rewards ~ N(1, 1), and transition probabilities ~ flat Dirichlet, for every action in every state.

    A task consists of the means [states, actions], followed by the probabilities [states, actions, next states].
    """

    @checked
    def __init__(self, states: Count, actions: Count) -> None:
        self.states, self.actions = states, actions
        means, probabilities = states * actions, states * actions * states
        super().__init__([-LARGEST] * means + [0.0] * probabilities, [LARGEST] * means + [1.0] * probabilities)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        rows = self.states * self.actions
        means = 1.0 + rng.standard_normal((n, rows))
        transitions = rng.dirichlet(np.ones(self.states), (n, rows))
        return np.concatenate([means, transitions.reshape(n, -1)], axis=1)

    def split(self, tasks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean rewards [n, states · actions] and transitions [n, states · actions, states] of tasks [n, task]."""
        rows = self.states * self.actions
        return tasks[:, :rows], tasks[:, rows:].reshape(len(tasks), rows, self.states)

    def allows(self, tasks: np.ndarray) -> np.ndarray:
        sums = self.split(tasks)[1].sum(axis=2)
        return super().allows(tasks) & (np.abs(sums - 1.0) < 1e-5).all(axis=1)

    @property
    def allowed(self) -> str:
        return f"mean rewards within ±{LARGEST}, followed by probabilities of the next states that add up to 1"


class TabularMDP(World):
    """Choose one of 5 actions in 10 states: r ~ N(μ, 1), where μ is the mean reward of the action in this state.

    The observation is the one-hot state. Episodes have 10 steps and start in the first state.
    """

    goals = Tables(STATES, ACTIONS)
    default_horizon = 10
    observation_space = Box(0.0, 1.0, (STATES,), np.float64)
    action_space = Discrete(ACTIONS)  # type: ignore[assignment]
    dt = 1.0  # nominal

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        self.streams = RandomStreams(num_envs)
        self.state = np.zeros(num_envs, int)

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        """Seeds [n] of the random rewards and transitions in n episodes."""
        return (self.streams.seeds(len(tasks), rng),)

    def place(self, ids: Any, *state: np.ndarray) -> None:
        """Put the sub-environments `ids` into the first state, with state = seeds [n] of their random numbers."""
        rows = self.check_state(ids, state, seeds=self.streams.state)
        self.streams.state[rows] = state[0]
        self.state[rows] = 0

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        every, row = np.arange(self.num_envs), self.state * ACTIONS + actions
        means, transitions = self.goals.split(self.tasks)
        mean = means[every, row]
        reward = mean + self.streams.normal(alive)
        uniform = self.streams.uniform(alive)
        after = (transitions[every, row].cumsum(axis=1) <= uniform[:, None]).sum(axis=1).clip(max=STATES - 1)
        self.state = after if alive is None else np.where(alive, after, self.state)
        never = np.zeros(self.num_envs, bool)
        parts = {"reward_goal": reward.copy(), "mean_reward": mean, "state": self.state.astype(np.float64)}
        return Step(reward, never, never.copy(), parts)

    def write(self, out: np.ndarray) -> None:
        out[:] = self.state[:, None] == np.arange(STATES)
