"""The speed of sampling trajectories, compared with the physics alone and with the environments of other libraries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import mujoco
import numpy as np
import torch

from metarl.core import Learner, Predictor
from metarl.envs.half_cheetah import HalfCheetahVel
from metarl.envs.physics import MujocoWorld
from metarl.experiments.benchmark.measure import Report, Row, interleave
from metarl.experiments.benchmark.peers import SIZES, peer, peers
from metarl.experiments.config.settings import Cores, Number, Width
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import GaussianPolicy
from metarl.ranges import Settings
from metarl.rl.losses import surrogate
from metarl.rl.rollout import WorldDistribution

ENVS = tuple(f"metarl/{task}Vel{variant}-v0" for variant in ("", "-MAML2017") for task in ("HalfCheetah", "Ant"))


@dataclass(frozen=True)
class Sampling(Settings):
    """The speed of rollouts with a policy for each task, compared with the physics alone and with other libraries.

    The row "matched floor" is the simulation alone of the same actions, in one `mujoco.batch` on all threads; it is
    also measured with MuJoCo's own search for contacts. The row "raw floor" is the simulation of random actions. All
    rows have the same tasks. Episodes are not simulated after they end, and only steps before the end count.
    """

    envs: tuple[str, ...] = ENVS
    """ids of the environments that are measured"""
    tasks: Number = 40
    """number of tasks in the meta-batch"""
    trajectories: Number = 20
    """number of trajectories per task"""
    horizon: Number = 100
    """number of steps of a trajectory"""
    hidden: tuple[Width, ...] = (100, 100)
    """number of units of each hidden layer of the policies"""
    threads: Cores = 0
    """number of simulator threads; 0: the number of cores"""
    repeats: Number = 5
    """number of rounds that are measured, after one that is not"""
    peers: bool = True
    """whether the vector environments of Gymnasium, Stable-Baselines3 and, if installed, EnvPool are also measured"""
    json: Path | None = None
    """JSON file to which the results are written"""

    def run(self) -> list[Report]:
        """Measure all environments, and the computation of actions on all devices."""
        return [*(self.report(env) for env in self.envs), self.acting()]

    def report(self, env: str) -> Report:
        """Measure one environment."""
        distribution = WorldDistribution(
            env, trajectories=self.trajectories, horizon=self.horizon, action_scale=0.3, threads=self.threads
        )
        tasks, predict = distribution.sample(self.tasks, np.random.default_rng(0)), self.policies(distribution)
        world = distribution.world(self.tasks * self.trajectories)
        if not isinstance(world, MujocoWorld):
            raise ValueError(f"{env} is not simulated by MuJoCo: choose environments that are")
        world.set_tasks(np.repeat(tasks.given, self.trajectories, axis=0))
        searching = with_contact_search(type(world))(world.num_envs, threads=world.threads)
        searching.set_tasks(world.tasks)
        replay = matched_replay(distribution, world, predict)
        random = random_replay(world, self.horizon)

        def roll_out() -> int:
            again = distribution.tasks(tasks.given, np.random.default_rng(2))  # the same episodes in each round
            again.trajectories(predict)
            return again.env_steps

        ours, floor, raw = "metarl, policies in the loop", "matched floor", "raw floor"
        plain = "matched floor, contacts searched for"
        calls: dict[str, Callable[[], object]] = {
            ours: roll_out,
            floor: partial(open_loop, world, replay),
            plain: partial(open_loop, searching, replay),
            raw: partial(open_loop, world, random),
        }
        work = {ours: roll_out(), floor: replay.steps, plain: replay.steps, raw: random.steps}
        report = Report(f"{env}: {self.tasks} tasks × {self.trajectories} trajectories", "environment steps")
        names = peers(env) if self.peers else []
        with ExitStack() as stack:
            for name in names:
                for size in SIZES[name]:
                    steps = max(1, self.horizon * 100 // (size * (4 if "Ant" in env else 1)))  # about a second each
                    run = stack.enter_context(peer(name, env, size, threads=world.threads))
                    act = acting(predict, size)
                    run(act, self.horizon // 2)  # because the first steps, in which robots fall, are faster to simulate
                    calls[f"{name}, {size} environments"] = partial(run, act, steps)
                    work[f"{name}, {size} environments"] = size * steps
            timings = interleave(calls, repeats=self.repeats)
        rows = {name: report.add(name, timing, work=work[name]) for name, timing in timings.items()}
        report.compare(rows[ours], rows[floor])
        report.compare(rows[ours], rows[plain])
        report.compare(rows[ours], rows[raw])
        for name in names:
            best: Row = max((row for row in report.rows if row.name.startswith(name)), key=lambda row: row.rate)
            report.compare(rows[ours], best)
        if self.peers and not names:
            report.notes.append("no other library has these environments")
        elif self.peers and "EnvPool" not in names:
            report.notes.append("EnvPool is not installed (pip install envpool)")
        return report

    def acting(self) -> Report:
        """Measure the computation of the actions by NumPy, by torch and on a GPU, from and to NumPy arrays."""
        distribution = WorldDistribution(self.envs[0], trajectories=self.trajectories)
        predict = self.policies(distribution)
        size = self.tasks * self.trajectories
        width = distribution.template.observation_space.shape[0]
        observations = np.zeros((self.tasks, self.trajectories, width), np.float32)
        learner, states = predict.learner, predict.states
        calls = {"NumPy (what rollouts use)": partial(learner.arrays(states), observations)}
        for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
            moved = {name: value.to(device) for name, value in states.items()}
            general = Learner.arrays(deepcopy(learner).to(device), moved)
            calls[f"torch, {device}, transfers included"] = partial(general, observations)
        hundred = {name: partial(_repeat, call, 100) for name, call in calls.items()}
        report = Report(f"{size} actions of {self.tasks} policies, a hundred times", "actions")
        for name, timing in interleave(hundred, repeats=self.repeats).items():
            report.add(name, timing, work=100 * size)
        for row in report.rows[1:]:
            report.compare(report.rows[0], row)
        return report

    def policies(self, distribution: WorldDistribution) -> Predictor:
        """A predictor with different weights for each task."""
        torch.manual_seed(0)
        space, actions = distribution.template.observation_space, distribution.template.action_space
        learner = GradientLearner(GaussianPolicy(space.shape[0], actions.shape[0], hidden=self.hidden), surrogate)
        states = {
            name: value.detach() + 0.01 * torch.randn(self.tasks, *value.shape)
            for name, value in learner.init().items()
        }
        return Predictor(learner, lambda: states)


class Replay(NamedTuple):
    """Actions of a rollout, to be repeated without policies."""

    start: tuple[np.ndarray, ...]  # initial states [N, …]
    controls: np.ndarray  # [H, N, act]
    alive: np.ndarray  # [H, N] bool: False after the end of an episode

    @property
    def steps(self) -> int:
        """The number of environment steps."""
        return int(self.alive.sum())


def record(world: MujocoWorld, start: tuple[np.ndarray, ...], act: Callable[[int], np.ndarray], horizon: int) -> Replay:
    """Take the actions `act(t)` [N, act] in `world` and record them, until each episode ends or has `horizon` steps."""
    controls, masks = [], []
    alive = np.ones(world.num_envs, bool)
    world.place(None, *start)
    for t in range(horizon):
        controls.append(act(t))
        masks.append(alive)
        alive = alive & ~world.step(controls[-1], alive).terminated
    return Replay(start, np.stack(controls), np.stack(masks))


def matched_replay(distribution: WorldDistribution, world: MujocoWorld, predict: Predictor) -> Replay:
    """The actions that the policies take in `world`.

    Raises RuntimeError if their repetition does not end in exactly the same state.
    """
    rng = np.random.default_rng(2)
    policies = predict.arrays()

    def act(_: int) -> np.ndarray:
        observations = np.nan_to_num(world.observe().astype(np.float32))
        mean, log_std = policies(observations.reshape(-1, distribution.trajectories, observations.shape[1]))
        noise = rng.standard_normal(mean.shape, dtype=np.float32)
        actions = distribution.action_scale * (mean + np.exp(log_std)[:, None] * noise)
        return np.clip(actions, -1, 1).reshape(world.num_envs, -1).astype(np.float64)

    replay = record(world, world.initial(world.tasks, rng), act, distribution.horizon)
    end = world.qpos.copy(), world.qvel.copy()
    open_loop(world, replay)
    if not (np.array_equal(world.qpos, end[0]) and np.array_equal(world.qvel, end[1])):
        raise RuntimeError("the replayed actions ended elsewhere than the rollout: their speeds cannot be compared")
    return replay


def random_replay(world: MujocoWorld, horizon: int) -> Replay:
    """Random actions in `world`, for the tasks that it has."""
    rng = np.random.default_rng(1)
    shape = world.num_envs, world.action_space.shape[0]
    start = world.initial(world.tasks, np.random.default_rng(0))
    return record(world, start, lambda t: rng.uniform(-1, 1, shape), horizon)


def with_contact_search(kind: type[MujocoWorld]) -> type[MujocoWorld]:
    """The same environment with MuJoCo's own search for contacts instead of a list of possible contacts."""
    return type("Searching", (kind,), {"compiled": staticmethod(mujoco.MjSpec.compile)})


def machine_speed(*, num_envs: int = 800, steps: int = 30) -> float:
    """The present speed of the machine: steps per second of half-cheetahs with random controls, on all cores."""
    world = with_contact_search(HalfCheetahVel)(num_envs)
    world.set_tasks(1.0)
    random = random_replay(world, steps)
    open_loop(world, random)
    start = perf_counter()
    open_loop(world, random)
    return num_envs * steps / (perf_counter() - start)


def open_loop(world: MujocoWorld, replay: Replay) -> None:
    """Step the simulator as in `replay`, without policies, observations or rewards."""
    batch, ctrl = world.batch, world.ctrl
    world.place(None, *replay.start)
    for control, alive in zip(replay.controls, replay.alive, strict=True):
        ctrl[:] = control
        batch.step(None if alive.all() else alive, nstep=world.frame_skip, stage=world.stage)


def acting(predict: Predictor, size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Policies for `size` environments of another library, of as many tasks as possible."""
    count = next(n for n in range(min(size, len(next(iter(predict.states.values())))), 0, -1) if size % n == 0)
    act = predict.learner.arrays({name: value[:count] for name, value in predict.states.items()})
    rng = np.random.default_rng(0)

    def actions(observations: np.ndarray) -> np.ndarray:
        mean, log_std = act(observations.astype(np.float32).reshape(count, size // count, -1))
        drawn = mean + np.exp(log_std)[:, None] * rng.standard_normal(mean.shape, dtype=np.float32)
        return np.clip(0.3 * drawn.reshape(size, -1), -1, 1)

    return actions


def _repeat(call: Callable[[], object], times: int) -> None:
    for _ in range(times):
        call()
