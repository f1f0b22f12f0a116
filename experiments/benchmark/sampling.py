"""How fast trajectories are sampled: against the same physics without a policy, and against others' environments."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

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
    """Trajectories a second with the policies of all tasks in the loop, against the physics alone and other libraries.

    "matched floor": the same actions replayed open-loop through one `mujoco.batch` on all threads; also with MuJoCo's
    own search for contacts, as the model's file has it. "raw floor": random controls.
    """

    envs: tuple[str, ...] = ENVS
    tasks: Number = 40
    trajectories: Number = 20
    horizon: Number = 100
    hidden: tuple[Width, ...] = (100, 100)
    threads: Cores = 0
    """simulator threads; 0: all cores"""
    repeats: Number = 5
    peers: bool = True
    """also Gymnasium's and Stable-Baselines3's vector environments, and EnvPool where it is installed"""
    json: Path | None = None

    def run(self) -> list[Report]:
        """One report for each environment, and one of where the policies act."""
        return [*(self.report(env) for env in self.envs), self.acting()]

    def report(self, env: str) -> Report:
        """Time one environment."""
        distribution = WorldDistribution(
            env, trajectories=self.trajectories, horizon=self.horizon, action_scale=0.3, threads=self.threads
        )
        tasks, predict = distribution.sample(self.tasks, np.random.default_rng(0)), self.policies(distribution)
        world = distribution.world(self.tasks * self.trajectories)
        if not isinstance(world, MujocoWorld):
            raise ValueError(f"{env} is not simulated by MuJoCo: there is no floor to compare it with")
        replay = matched(distribution, world, predict)
        random = np.random.default_rng(1).uniform(-1, 1, (self.horizon, world.num_envs, world.action_space.shape[0]))
        count = world.num_envs * self.horizon
        ours, floor, raw = "metarl, policies in the loop", "matched floor", "raw floor"
        plain = "matched floor, contacts searched for"
        calls: dict[str, Callable[[], object]] = {
            ours: lambda: tasks.trajectories(predict),
            floor: partial(replay, world),
            plain: partial(replay, searching(type(world))(world.num_envs, threads=world.threads)),
            raw: partial(open_loop, world, random, None),
        }
        work = dict.fromkeys(calls, count)
        report = Report(f"{env}: {self.tasks} tasks × {self.trajectories} trajectories", "environment steps")
        names = peers(env) if self.peers else []
        with ExitStack() as stack:
            for name in names:
                for size in SIZES[name]:
                    steps = max(1, self.horizon * 100 // (size * (4 if "Ant" in env else 1)))  # a second or so each
                    run = stack.enter_context(peer(name, env, size, threads=world.threads))
                    act = acting(predict, size)
                    run(act, self.horizon // 2)  # to where ours are on average: falling, at first, is cheap to simulate
                    calls[f"{name}, {size} environments"] = partial(run, act, steps)
                    work[f"{name}, {size} environments"] = size * steps
            timings = interleave(calls, repeats=self.repeats)
        rows = {name: report.add(name, timing, work=work[name]) for name, timing in timings.items()}
        report.compare(rows[ours], rows[floor])
        report.compare(rows[ours], rows[plain])
        report.compare(rows[ours], rows[raw])
        for name in names:
            best: Row = max((row for row in report.rows if row.name.startswith(name)), key=lambda row: row.lr)
            report.compare(rows[ours], best)
        if self.peers and not names:
            report.notes.append("no other library has these environments")
        elif self.peers and "EnvPool" not in names:
            report.notes.append("EnvPool is not installed (pip install envpool)")
        return report

    def acting(self) -> Report:
        """One action of all policies, observations and actions in the simulator's memory: NumPy, torch, a GPU."""
        distribution = WorldDistribution(self.envs[0], trajectories=self.trajectories)
        predict = self.policies(distribution)
        size = self.tasks * self.trajectories
        shown = np.zeros((self.tasks, self.trajectories, distribution.template.observation_space.shape[0]), np.float32)
        learner, states = predict.learner, predict.states
        calls = {"NumPy (what rollouts use)": partial(learner.arrays(states), shown)}
        for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
            moved = {name: value.to(device) for name, value in states.items()}
            general = Learner.arrays(deepcopy(learner).to(device), moved)
            calls[f"torch, {device}, transfers included"] = partial(general, shown)
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


def matched(distribution: WorldDistribution, world: MujocoWorld, predict: Predictor) -> Callable[[MujocoWorld], None]:
    """A function that replays, open-loop and in such a world, what the policies do in this one.

    Raises RuntimeError where the replay does not end in the same state, to the last bit.
    """
    seed = np.random.default_rng(2)
    start = world.initial(world.tasks, seed)
    acted: list[np.ndarray] = []
    act = predict.arrays()
    world.place(None, *start)
    for _ in range(distribution.horizon):
        shown = world.observe().astype(np.float32)
        mean, log_std = act(shown.reshape(-1, distribution.trajectories, shown.shape[1]))
        noise = seed.standard_normal(mean.shape, dtype=np.float32)
        actions = distribution.action_scale * (mean + np.exp(log_std)[:, None] * noise)
        acted.append(np.clip(actions, -1, 1).reshape(world.num_envs, -1).astype(np.float64))
        world.simulate(acted[-1], None)
    end = world.qpos.copy(), world.qvel.copy()
    replay = partial(open_loop, controls=np.stack(acted), start=start)
    replay(world)
    if not (np.array_equal(world.qpos, end[0]) and np.array_equal(world.qvel, end[1])):
        raise RuntimeError("the replayed actions ended elsewhere than the rollout: the floor would be other work")
    return replay


def searching(kind: type[MujocoWorld]) -> type[MujocoWorld]:
    """The same environment with MuJoCo's own search for contacts, as its model's file has it."""
    return type("Searching", (kind,), {"compiled": staticmethod(mujoco.MjSpec.compile)})


def yardstick(*, num_envs: int = 800, steps: int = 30) -> float:
    """Steps a second of half-cheetah under random controls, physics alone and on all cores: the machine's speed now."""
    world = searching(HalfCheetahVel)(num_envs)
    random = np.random.default_rng(1).uniform(-1, 1, (steps, num_envs, world.action_space.shape[0]))
    open_loop(world, random, None)
    start = perf_counter()
    open_loop(world, random, None)
    return num_envs * steps / (perf_counter() - start)


def open_loop(world: MujocoWorld, controls: np.ndarray, start: tuple[np.ndarray, ...] | None) -> None:
    """Step the simulator with `controls` [H, N, act] and do nothing else: MuJoCo's own speed."""
    batch, ctrl = world.batch, world.ctrl
    world.place(None, *(start or world.initial(world.tasks, np.random.default_rng(0))))
    for control in controls:
        ctrl[:] = control
        batch.step(None, nstep=world.frame_skip, stage=world.stage)


def acting(predict: Predictor, size: int) -> Callable[[np.ndarray], np.ndarray]:
    """The same policies for `size` environments of another library: as many tasks as fit, at least one."""
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
