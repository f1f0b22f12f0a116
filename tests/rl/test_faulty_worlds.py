"""Worlds of one's own that bring NaN: rollouts and Gymnasium's forms name the World, the task and the step."""

from typing import Any

import numpy as np
import pytest
from toys import Track, pusher

from metarl.core import adapt
from metarl.envs import Step, TaskEnv, TaskVectorEnv
from metarl.rl.rollout import WorldDistribution


class Faulty(Track):
    """Its third observation, or the reward of its third step, is no number where the task is 1."""

    faults: tuple[str, ...] = ()

    def place(self, ids: Any, *state: np.ndarray) -> None:
        super().place(ids, *state)
        self.clock = 0

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        step, self.clock = super().advance(actions, alive), self.clock + 1
        if "reward" in self.faults and self.clock == 3:
            step.reward[self.tasks[:, 0] == 1] = np.nan
        return step

    def write(self, out: np.ndarray) -> None:
        super().write(out)
        if "observation" in self.faults and self.clock == 3:
            out[self.tasks[:, 0] == 1] = np.inf


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(("what", "value"), [("reward", "nan"), ("number 0 of the observation", "inf")])
def test_what_a_world_gets_wrong_is_not_blamed_on_the_policy(what: str, value: str, *, parallel: bool) -> None:
    """The World, the task and the step are named, in rollouts and in Gymnasium's forms."""
    settings = {"faults": (what.split()[-1],), "parallel": parallel, "__module__": __name__}
    world: Any = type("Faulty", (Faulty,), settings)
    message = r"^Faulty: the {} of sub-environment {} \(task \[1.0\]\) after 3 steps is {}: correct the World"
    message = message.replace("the {}", what if what.startswith("number") else f"the {what}", 1)
    tasks = WorldDistribution(world, trajectories=4, threads=3).tasks([[-1.0], [1.0], [0.5]], np.random.default_rng(0))
    with pytest.raises(ValueError, match=message.format("[04]" if not parallel else "0", value)):
        tasks.trajectories(next(adapt(pusher(), tasks, steps=0))[0])
    single, vector = TaskEnv(world, 1.0), TaskVectorEnv(world, 2, task=[-1.0, 1.0])
    for env, shape, which in ((single, (1,), 0), (vector, (2, 1), 1)):
        env.reset(seed=0)
        for _ in range(2):
            env.step(np.zeros(shape))
        with pytest.raises(ValueError, match=message.format(which, value)):
            env.step(np.zeros(shape))
