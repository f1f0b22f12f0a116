"""The loop of acting and simulating, for some of a meta-batch's tasks; several loops at once where that is faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from threading import Event
from typing import NamedTuple, Protocol

import numpy as np

from metarl.core import Predictor
from metarl.envs import World
from metarl.ranges import Count, checked
from metarl.rl.actions import to_action
from metarl.rl.distributions import ActionDistribution, as_distribution

MOST = 4  # loops at once: more would wait for Python's lock


class Share(NamedTuple):
    """T of a meta-batch's tasks, which are simulated together, and what is drawn for their episodes beforehand."""

    rows: slice  # which tasks of the meta-batch
    tasks: np.ndarray  # [T·N, …], of each sub-environment
    state: tuple[np.ndarray, ...]  # arrays [T·N, …] that `World.place` takes
    noise: np.ndarray  # [H, T, N, …], what actions are drawn from


class Simulator(Protocol):
    """What runs the shares of a meta-batch: on threads, in turn, or in worker processes."""

    def parts(self, tasks: int, *, parallel: bool) -> int:
        """How many shares to make of `tasks` tasks; `parallel`: whether policies can act on several threads.

        What is seen and done does not depend on it.
        """

    def run(
        self,
        shares: Sequence[Share],
        predict: Predictor,
        fields: Sequence[np.ndarray],
        *,
        scale: float,
        written: Callable[..., None],
    ) -> np.ndarray:
        """Simulate all shares and fill the fields [T, H, N, …]; returns which trajectories diverged, [T·N] bool."""


def even(tasks: int, parts: int) -> list[slice]:
    """`tasks` tasks in so many parts, as even as can be."""
    ends = [tasks * part // parts for part in range(parts + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


@dataclass(frozen=True)
class Loop:
    """One episode in every sub-environment of `world`, with the actions of each task's own policy.

    `act`: float32 observations [T, N, obs] to an action distribution.
    `fields`: where observations, actions, log-probabilities, rewards, mask and info are recorded, [T, H, N, …].
    `scale`: what the environment receives is so many times what is drawn, in a Box.
    `info`: the names of what is recorded of the steps' parts. `written`: told after each step how many are complete.
    """

    world: World
    share: Share
    act: Callable[[np.ndarray], ActionDistribution]
    fields: Sequence[np.ndarray]
    scale: float
    info: Sequence[str]
    written: Callable[[int], None]

    def run(self, stop: Event) -> np.ndarray:
        """Set tasks, then states, and fill the fields; returns which trajectories diverged, [T·N] bool.

        Once `stop` is set it takes no further step. Raises ValueError, naming the World, the task and the step, for an
        observation or reward that is not finite, where nothing diverged.
        """
        observations, actions, log_probs, rewards, mask, info = self.fields
        world, (tasks, horizon, envs) = self.world, mask.shape
        world.set_tasks(self.share.tasks)
        world.place(None, *self.share.state)
        alive: np.ndarray | None = None  # [T·N] bool once an episode has ended, None while all go on
        diverged = np.zeros(tasks * envs, bool)
        current = np.empty((tasks * envs, observations.shape[-1]), np.float32)
        shown = current.reshape(tasks, envs, -1)
        for t in range(horizon):
            if stop.is_set():
                break
            if alive is not None and not alive.any():
                self._after_the_end(t)
                break
            world.observe(out=current)
            if alive is not None:
                current[~alive] = 0  # what is shown after the end may be NaN, and NaN times a mask of 0 is still NaN
            world.check_finite("observation", current, step=t)
            observations[:, t] = shown
            action, log_prob = as_distribution(self.act(shown)).sample(self.share.noise[t])
            _check_drawn(action, log_prob, actions[:, t].shape)
            actions[:, t], log_probs[:, t] = action, log_prob
            received = to_action(world.action_space, action.reshape(tasks * envs, -1), scale=self.scale)
            step = world.step(received, alive)
            world.check_finite("reward", step.reward, step=t + 1)
            rewards[:, t] = step.reward.reshape(tasks, envs)  # 0 where nothing moved or the physics diverged
            counted = ~step.diverged if alive is None else alive & ~step.diverged
            mask[:, t] = counted.reshape(tasks, envs)
            for i, name in enumerate(self.info):
                info[:, t, :, i] = _part(world, step.parts, name).reshape(tasks, envs)
            self.written(t + 1)
            if step.terminated.any():
                diverged |= step.diverged
                alive = counted & ~step.terminated
        return diverged

    def _after_the_end(self, first: int) -> None:
        """Record the steps from `first` on, when all episodes have ended: actions at observations of 0, none taken.

        They do not count, but their probabilities are looked at.
        """
        observations, actions, log_probs, *others = self.fields
        for field in (observations, *others):
            field[:, first:] = 0
        distribution = as_distribution(self.act(np.zeros(observations[:, 0].shape, np.float32)))
        for t in range(first, actions.shape[1]):
            actions[:, t], log_probs[:, t] = distribution.sample(self.share.noise[t])
        self.written(actions.shape[1])


def _check_drawn(action: np.ndarray, log_prob: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless a policy draws actions of this shape, [T, N, act], each with its log-probability."""
    if action.shape != shape or log_prob.shape != shape[:-1]:
        raise ValueError(
            f"a policy draws actions {action.shape} and log-probabilities {log_prob.shape}: give {shape} and "
            f"{shape[:-1]}, for T tasks, N environments and the numbers in an action"
        )


def _part(world: World, parts: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in parts:
        raise ValueError(f"{world.name} has no {name!r} in its steps: info may name {', '.join(parts) or 'nothing'}")
    return parts[name]


@checked
def loops(tasks: Count, threads: Count) -> int:
    """How many loops share `tasks` tasks and the simulator's threads evenly.

    In a single loop the other cores wait while one computes actions and rewards; loops of their own overlap that with
    simulation. The numbers do not depend on it: a task's policy acts on the same [N, obs] in whichever loop.
    """
    return next(n for n in range(MOST, 0, -1) if tasks % n == threads % n == 0)


def run(together: Sequence[Loop]) -> np.ndarray:
    """Run loops at once, each on a thread; returns which trajectories diverged, [T·N] bool.

    No loop goes on after it has ended, be it by an error in one of them or by Ctrl-C, pressed as often as one likes:
    their worlds are used again.
    """
    stop, go = Event(), Event()
    if len(together) == 1:
        return together[0].run(stop)

    def begun(loop: Loop) -> np.ndarray:
        go.wait()  # until all are known: one that an interrupt keeps from `running` finds `stop` set
        return loop.run(stop)

    running: list[Future[np.ndarray]] = []
    threads = ThreadPoolExecutor(len(together), "rollout")  # of this call alone: none outlives it, none is forked
    try:
        for loop in together:
            running.append(threads.submit(begun, loop))
        go.set()
        unfinished = wait(running, return_when=FIRST_EXCEPTION).not_done
    except BaseException:
        _end(running, stop, go)
        raise
    finally:
        threads.shutdown(wait=False)
    if unfinished:
        _end(running, stop, go)
    return np.concatenate([each.result() for each in running])


def _end(running: Sequence[Future[np.ndarray]], stop: Event, go: Event) -> None:
    """Have all loops end with the step they are at, whatever interrupts come meanwhile."""
    while True:
        try:
            stop.set()
            go.set()
            wait(running)
            return
        except KeyboardInterrupt:
            continue
