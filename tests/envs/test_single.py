"""TaskEnv: every id is a proper Gymnasium environment, and Stable-Baselines3 trains on it as it stands."""

import pickle
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common import env_checker

from metarl.envs import WORLDS, Step, TaskEnv, TaskVectorEnv, World, ids, make_world, register
from metarl.envs.goals import TargetVelocity

EVERY = pytest.mark.parametrize("id", ids())
HORIZONS = {"Point": 100, "Bandit": 100, "TabularMDP": 10}


@EVERY
def test_is_a_proper_environment(id: str) -> None:
    env = gymnasium.make(id)
    assert env.spec is not None
    assert env.spec.max_episode_steps == next((steps for kind, steps in HORIZONS.items() if kind in id), 200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*Box observation space m.*imum value is")  # as in all of MuJoCo's
        check_env(env.unwrapped, skip_render_check=True)
        env_checker.check_env(env)


@EVERY
def test_stable_baselines3_trains_on_it(id: str) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = PPO("MlpPolicy", gymnasium.make(id), n_steps=128, batch_size=64, n_epochs=1, seed=0, device="cpu")
        assert model.learn(256).num_timesteps == 256
    finally:
        torch.set_num_threads(threads)


@EVERY
def test_task_is_drawn_anew_at_every_reset_and_by_the_seed(id: str) -> None:
    env = gymnasium.make(id)
    drawn = [env.reset(seed=5)[1]["task"], *(env.reset()[1]["task"] for _ in range(12))]
    again = [env.reset(seed=5)[1]["task"], *(env.reset()[1]["task"] for _ in range(12))]
    np.testing.assert_array_equal(drawn, again)
    assert len({tuple(task) for task in drawn}) > 1
    assert env.unwrapped.sample_tasks(4).shape == (4, *env.unwrapped.task_space.shape)


def test_a_task_can_be_fixed_for_good_or_for_an_episode() -> None:
    env = gymnasium.make("metarl/HalfCheetahVel-v0", task=2.5).unwrapped
    assert env.reset(seed=0)[1]["task"] == 2.5
    assert env.reset(options={"task": 0.5})[1]["task"] == 0.5
    assert env.step(np.zeros(6))[4]["task"] == 0.5
    assert env.reset()[1]["task"] == 2.5
    env.set_task(1.0)
    assert env.reset()[1]["task"] == 1.0
    env.set_task(None)
    assert env.reset()[1]["task"] != env.reset()[1]["task"]


def test_refuses_what_it_does_not_know() -> None:
    env = gymnasium.make("metarl/HalfCheetahDir-v0").unwrapped
    with pytest.raises(ValueError, match=r"does not know the options \['goal'\]: give only 'task'"):
        env.reset(options={"goal": 1})
    with pytest.raises(ValueError, match=r"task \[3.0\] is not allowed"):
        env.reset(options={"task": 3})
    with pytest.raises(ValueError, match=r"render_mode 'movie' is not available: choose from \['human', 'rgb_array'\]"):
        TaskEnv(WORLDS["metarl/AntVel-v0"], render_mode="movie")


def test_info_carries_the_parts_of_the_reward() -> None:
    env = gymnasium.make("metarl/AntVel-v0")
    env.reset(seed=0)
    _, reward, _, _, info = env.step(np.full(8, 0.5, np.float32))
    assert reward == pytest.approx(sum(value for key, value in info.items() if key.startswith("reward_")))
    assert info["diverged"] is False
    assert {"x_velocity", "y_velocity", "task"} <= set(info)


def test_pickles() -> None:
    env = TaskEnv(WORLDS["metarl/AntDir-v0"], 1.0)
    copy = pickle.loads(pickle.dumps(env))
    np.testing.assert_array_equal(copy.reset(seed=1)[0], env.reset(seed=1)[0])
    assert copy.task == 1.0


class Train(World):
    """A user's own world: a train on a line, asked for a speed; an action is the speed."""

    goals = TargetVelocity(0.0, 1.0)
    default_horizon = 7
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    dt = 1.0

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return (rng.normal(size=(len(tasks), 1)),)

    def place(self, ids: object, *state: np.ndarray) -> None:
        if not hasattr(self, "x"):
            self.x = np.zeros((self.num_envs, 1))
        self.x[slice(None) if ids is None else ids] = state[0]

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        self.x += actions if alive is None else actions * alive[:, None]
        never = np.zeros(self.num_envs, bool)
        return Step(self.goals.score(self.tasks, self.x, actions), never, never.copy(), {})

    def write(self, out: np.ndarray) -> None:
        out[:] = self.x


def test_a_users_own_world_gets_every_form_in_one_line() -> None:
    register("test/Train-v0", Train)
    try:
        env_checker.check_env(gymnasium.make("test/Train-v0"))
        vector = gymnasium.make_vec("test/Train-v0", num_envs=3)
        vector.reset(seed=0, options={"task": 0.5})
        _, reward, _, _, _ = vector.step(np.full((3, 1), 0.25, np.float32))
        np.testing.assert_allclose(reward, -0.25)
        assert make_world("test/Train-v0", 2).num_envs == 2
        assert TaskVectorEnv(Train, 2).num_envs == 2
    finally:
        del WORLDS["test/Train-v0"], gymnasium.registry["test/Train-v0"]
