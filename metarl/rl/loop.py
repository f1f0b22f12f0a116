"""The loop of acting and simulating, for some of a meta-batch's tasks; several loops at once where that is faster."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event

import numpy as np

from metarl.envs import World
from metarl.ranges import Count, checked, shown

MOST = 4  # loops at once: more would wait for Python's lock


@dataclass(frozen=True)
class Loop:
    """One episode in every sub-environment of `world`, with the actions of each task's own policy.

    `act`: float32 observations [T, N, obs] to means [T, N, act] and log standard deviations [T, act] or [T, N, act].
    `fields`: where observations, actions, log-probabilities, rewards and mask are recorded, [T, H, N, …].
    `noise`: standard normal, [H, T, N, act]. `scale`: what the environment receives is so many times what is drawn.
    `written`: told after each step how many are complete.
    """

    world: World
    act: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    fields: Sequence[np.ndarray]
    noise: np.ndarray
    scale: float
    written: Callable[[int], None]

    def run(self, stop: Event) -> np.ndarray:
        """Fill the fields; returns which trajectories diverged, [T·N] bool. Tasks and initial states are set before.

        Once `stop` is set it takes no further step. Raises ValueError, naming the World, the task and the step, for an
        observation or reward that is not finite, where nothing diverged.
        """
        observations, actions, log_probs, rewards, mask = self.fields
        world, (horizon, tasks, envs, act_size) = self.world, self.noise.shape
        density = -0.5 * np.square(self.noise).sum(-1) - np.float32(0.5 * act_size * math.log(2 * math.pi))
        alive: np.ndarray | None = None  # [T·N] bool once an episode has ended, None while all go on
        diverged = np.zeros(tasks * envs, bool)
        current = np.empty((tasks * envs, observations.shape[-1]), np.float32)
        shown = current.reshape(tasks, envs, -1)
        for t in range(horizon):
            if stop.is_set():
                break
            world.observe(out=current)
            if alive is not None:
                current[~alive] = 0  # what is shown after the end may be NaN, and NaN times a mask of 0 is still NaN
            world.check_finite("observation", current, step=t)
            observations[:, t] = shown
            mean, log_std = _gaussian(self.act(shown), self.noise.shape[1:])
            log_std = log_std[:, None] if log_std.ndim < mean.ndim else log_std
            action = np.exp(log_std) * self.noise[t]
            action += mean
            actions[:, t] = action
            np.subtract(density[t], log_std.sum(-1), out=log_probs[:, t])
            step = world.step(self.scale * action.reshape(tasks * envs, -1), alive)
            world.check_finite("reward", step.reward, step=t + 1)
            rewards[:, t] = step.reward.reshape(tasks, envs)  # 0 where nothing moved or the physics diverged
            counted = ~step.diverged if alive is None else alive & ~step.diverged
            mask[:, t] = counted.reshape(tasks, envs)
            self.written(t + 1)
            if step.terminated.any():
                diverged |= step.diverged
                alive = counted & ~step.terminated
        return diverged


def _gaussian(outputs: object, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A policy's outputs, if they are means of this shape [T, N, act] and log standard deviations."""
    if isinstance(outputs, tuple) and len(outputs) == 2:
        mean, log_std = outputs
        if np.shape(mean) == shape and np.shape(log_std) in (shape, (shape[0], shape[2])):
            return mean, log_std
        outputs = f"arrays of shapes {np.shape(mean)} and {np.shape(log_std)}"
    else:
        outputs = shown(outputs)
    raise ValueError(
        f"a policy's outputs are {outputs}: give means {shape} and log standard deviations, (mean, log_std)"
    )


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
