"""An environment of one's own: a pendulum whose mass, drawn anew for each task, is not observed."""

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.pendulum import PendulumEnv

import metarl as ml


class MassPendulum(PendulumEnv):
    """Gymnasium's pendulum with a mass of 0.5 to 2 kg, the task, which `reset(options={"task": …})` sets."""

    def sample_tasks(self, n, rng):
        return rng.uniform(0.5, 2.0, n)

    def reset(self, *, seed=None, options=None):
        self.m = float((options or {}).get("task", 1.0))
        return super().reset(seed=seed)

    def step(self, action):
        observation, reward, terminated, truncated, _ = super().step(action)
        return observation, reward, terminated, truncated, {"upright": float(np.cos(self.state[0]))}


gymnasium.register("me/MassPendulum-v0", entry_point=MassPendulum, max_episode_steps=200)

if __name__ == "__main__":
    tasks = ml.tasks.Environment("me/MassPendulum-v0", trajectories=20, horizon=100, info=("upright",))
    policy = ml.nets.GaussianPolicy(3, 1, hidden=(64, 64), activation="tanh")  # 3 observations, 1 action
    outer = ml.TRPO(ml.MAML(policy, ml.losses.surrogate, lr=0.1), max_kl=0.05, chunk=4)
    run = ml.fit(outer, tasks, iterations=100, meta_batch=20, out="runs/pendulum")
    print(ml.evaluate(run.learner, tasks, steps=2, num_tasks=40).mean(axis=1))  # return after 0, 1 and 2 steps
