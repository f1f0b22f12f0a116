"""The rollout loop for a share of the tasks of a meta-batch; several loops may run on threads at the same time."""

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

MAX_LOOPS = 4  # maximum number of loops at the same time; more would wait for Python's global interpreter lock


class Share(NamedTuple):
    """T tasks of a meta-batch that are simulated together, and the random numbers of their episodes."""

    rows: slice  # the indices of the tasks in the meta-batch
    tasks: np.ndarray  # [T·N, …], the tasks of all sub-environments
    state: tuple[np.ndarray, ...]  # initial states, arrays [T·N, …] for `World.place`
    noise: np.ndarray  # [H, T, N, …], random numbers for sampling actions


class Simulator(Protocol):
    """Runs the shares of a meta-batch: on threads, one after the other, or in worker processes."""

    def parts(self, tasks: int, *, parallel: bool) -> int:
        """The number of shares into which `tasks` tasks are split, on which results do not depend.

        `parallel` is whether policies can be evaluated on several threads.
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
        """Simulate all shares and fill the fields [T, H, N, …]. Returns which trajectories diverged, [T·N] bool.

        `written(steps, writer=i)` is called when the first `steps` steps of share i are complete.
        """


def split_evenly(tasks: int, parts: int) -> list[slice]:
    """Split `tasks` tasks into `parts` slices whose sizes differ by at most one."""
    ends = [tasks * part // parts for part in range(parts + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


@dataclass(frozen=True)
class Loop:
    """One episode in every sub-environment of `world`, with the policy of each task.

    - `act`: a function from float32 observations [T, N, obs] to an action distribution
    - `fields`: arrays [T, H, N, …] for observations, actions, log-probabilities, rewards, mask and info
    - `scale`: factor for sampled actions, if the action space is a Box
    - `info`: the names of the entries of `Step.parts` that are recorded
    - `written`: a function that is called after each step with the number of complete steps
    """

    world: World
    share: Share
    act: Callable[[np.ndarray], ActionDistribution]
    fields: Sequence[np.ndarray]
    scale: float
    info: Sequence[str]
    written: Callable[[int], None]

    def run(self, stop: Event) -> np.ndarray:
        """Set tasks and states, and fill the fields. Returns which trajectories diverged, [T·N] bool.

        The loop ends when `stop` is set. Raises ValueError, with the name of the World, the task and the step, for an
        observation or reward that is not finite although the simulation did not diverge.
        """
        observations, actions, log_probs, rewards, mask, info = self.fields
        world, (tasks, horizon, envs) = self.world, mask.shape
        world.set_tasks(self.share.tasks)
        world.place(None, *self.share.state)
        alive: np.ndarray | None = None  # [T·N] bool, or None as long as no episode has ended
        diverged = np.zeros(tasks * envs, bool)
        current = np.empty((tasks * envs, observations.shape[-1]), np.float32)
        by_task = current.reshape(tasks, envs, -1)
        for t in range(horizon):
            if stop.is_set():
                break
            if alive is not None and not alive.any():
                self._fill_rest(t)
                break
            world.observe(out=current)
            if alive is not None:
                current[~alive] = 0  # because observations after the end may be NaN, also if multiplied by a mask of 0
            world.check_finite("observation", current, step=t)
            observations[:, t] = by_task
            action, log_prob = as_distribution(self.act(by_task)).sample(self.share.noise[t])
            _check_sampled(action, log_prob, actions[:, t].shape)
            actions[:, t], log_probs[:, t] = action, log_prob
            in_space = to_action(world.action_space, action.reshape(tasks * envs, -1), scale=self.scale)
            step = world.step(in_space, alive)
            world.check_finite("reward", step.reward, step=t + 1)
            rewards[:, t] = step.reward.reshape(tasks, envs)  # 0 after the end, and if the physics diverged
            valid = ~step.diverged if alive is None else alive & ~step.diverged
            mask[:, t] = valid.reshape(tasks, envs)
            for i, name in enumerate(self.info):
                info[:, t, :, i] = _part(world, step.parts, name).reshape(tasks, envs)
            self.written(t + 1)
            if step.terminated.any():
                diverged |= step.diverged
                alive = valid & ~step.terminated
        return diverged

    def _fill_rest(self, first: int) -> None:
        """Fill the steps from `first` on, when all episodes have ended, with the actions at observations of 0.

        They are masked, but losses compute their log-probabilities, which must be finite.
        """
        observations, actions, log_probs, *others = self.fields
        for field in (observations, *others):
            field[:, first:] = 0
        distribution = as_distribution(self.act(np.zeros(observations[:, 0].shape, np.float32)))
        for t in range(first, actions.shape[1]):
            actions[:, t], log_probs[:, t] = distribution.sample(self.share.noise[t])
        self.written(actions.shape[1])


def _check_sampled(action: np.ndarray, log_prob: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless a policy samples actions of this shape, [T, N, act], and their log-probabilities."""
    if action.shape != shape or log_prob.shape != shape[:-1]:
        raise ValueError(
            f"a policy samples actions {action.shape} and log-probabilities {log_prob.shape}: return {shape} and "
            f"{shape[:-1]}, for T tasks, N environments and the entries of an action"
        )


def _part(world: World, parts: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in parts:
        raise ValueError(f"{world.name} has no {name!r} in its steps: info may contain {', '.join(parts) or 'nothing'}")
    return parts[name]


@checked
def count_loops(tasks: Count, threads: Count) -> int:
    """The number of loops that share `tasks` tasks and the simulator's threads equally.

    In a single loop, the other cores would wait while one core computes actions and rewards; several loops overlap this
    with simulation. Results do not depend on the number, because a policy is always evaluated on [N, obs].
    """
    return next(n for n in range(MAX_LOOPS, 0, -1) if tasks % n == threads % n == 0)


def run_loops(loops: Sequence[Loop]) -> np.ndarray:
    """Run all loops at the same time, each on a thread. Returns which trajectories diverged, [T·N] bool.

    When this function ends, also by an error or by Ctrl-C (even if it is pressed repeatedly), all loops have ended, so
    that their worlds can be reused.
    """
    stop, go = Event(), Event()
    if len(loops) == 1:
        return loops[0].run(stop)

    def run(loop: Loop) -> np.ndarray:
        go.wait()  # until all loops are in `running`; a loop that is missing there after an interrupt finds `stop` set
        return loop.run(stop)

    running: list[Future[np.ndarray]] = []
    threads = ThreadPoolExecutor(len(loops), "rollout")  # threads of this call only, which are never forked
    try:
        for loop in loops:
            running.append(threads.submit(run, loop))
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
    """End all loops after their present step, and ignore further interrupts until then."""
    while True:
        try:
            stop.set()
            go.set()
            wait(running)
            return
        except KeyboardInterrupt:
            continue
