"""TaskVectorEnv: a World as a Gymnasium vector environment."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike

from metarl.envs.single import check_open, check_render_mode, task_option, task_stream
from metarl.envs.world import World, build
from metarl.ranges import Count, Whole, check, checked


class TaskVectorEnv(gymnasium.vector.VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """num_envs sub-environments that are stepped together, equal to as many `TaskEnv` objects with the same seeds.

    Each sub-environment has its own random number generator, and samples its task and then its state at each reset,
    also at automatic ones. Tasks are fixed by `task` or `set_tasks`, or for one episode by
    `reset(options={"task": …})`. A sub-environment whose episode has ended is reset by the next step, which ignores its
    action (Gymnasium's default mode, NEXT_STEP).
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012  (Gymnasium's declaration)

    @checked
    def __init__(
        self,
        world: type[World] | Callable[..., World],
        num_envs: Count = 1,
        *,
        max_episode_steps: Count | None = None,
        task: ArrayLike | None = None,
        render_mode: str | None = None,
        width: Count = 480,
        height: Count = 480,
        threads: Whole = 0,
    ) -> None:
        """Wrap num_envs sub-environments of `world`, whose episodes are truncated after max_episode_steps actions.

        `world` is a World class or a function (num_envs, *, threads) that returns a World. `task` fixes the tasks
        [N, task], or one task [task] for all. `threads` is the number of simulator threads (0: the number of cores).
        """
        self.world = build(world, num_envs, threads=threads)
        self.num_envs = num_envs
        modes = [mode for mode in self.world.render_modes if mode != "human"]
        self.metadata = {
            "autoreset_mode": AutoresetMode.NEXT_STEP,
            "render_modes": modes,
            "render_fps": round(1.0 / self.world.dt),
        }
        self.render_mode = check_render_mode(self.world.name, render_mode, modes)
        self.single_observation_space = self.world.observation_space
        self.single_action_space = self.world.action_space
        self.observation_space = batch_space(self.world.observation_space, num_envs)
        self.action_space = batch_space(self.world.action_space, num_envs)
        self.task_space = self.world.task_space
        self._size = {"width": width, "height": height}
        self._limit = np.inf if max_episode_steps is None else max_episode_steps
        self._steps = np.full(num_envs, -1)  # number of steps of each episode, or -1 before the first episode
        self._finished = np.zeros(num_envs, bool)
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._seeds = [-1] * num_envs
        self._fixed = False
        self.set_tasks(task)

    @property
    def tasks(self) -> np.ndarray:
        """The current tasks, [N, task], or NaN before the first reset if they are not fixed."""
        return self.world.tasks.copy()

    def set_tasks(self, tasks: ArrayLike | None) -> None:
        """Fix the tasks [N, task], or one for all, for all further episodes; None: sample tasks at each reset again."""
        if tasks is not None:
            self.world.set_tasks(tasks)
        self._fixed = tasks is not None
        self._kept = self.tasks

    @checked
    def sample_tasks(self, n: Whole, rng: np.random.Generator | None = None) -> np.ndarray:
        """Sample n tasks, [n, task], by default with the generator of the first sub-environment."""
        return self.world.sample_tasks(n, self._generator(0) if rng is None else rng)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start episodes. The seed of sub-environment i is seed + i, or seed[i] for a sequence.

        Options are "task", the tasks [N, task] (or one for all) of these episodes, and "reset_mask" [N] bool, which
        sub-environments are reset.
        """
        check_open(self.world.name, self.closed)
        check(dict | None, options, f"{self.world.name}: options")
        options = dict(options or {})
        mask = self._mask(options.pop("reset_mask", None))
        ids = np.flatnonzero(mask)
        task = task_option(self.world.name, options)
        self._seed(seed, ids)
        self._start(ids, task)
        observations = self.world.observe()
        self._check_finite("observation", observations, mask)
        return observations, self._infos({}, mask, mask)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take actions [N, act], or [N] in a Discrete space.

        Returns observations [N, obs], rewards [N], terminated [N] and truncated [N], bool, and infos of arrays [N, …].
        Sub-environments whose episodes ended in the previous step start a new episode instead, with a reward of 0.
        """
        check_open(self.world.name, self.closed)
        if (self._steps < 0).any():
            which = np.flatnonzero(self._steps < 0)[0]
            raise ValueError(f"{self.world.name}: no episode of sub-environment {which} has begun: call reset first")
        alive = ~self._finished
        step = self.world.step(actions, None if alive.all() else alive)
        self._steps += 1
        if not alive.all():
            self._start(np.flatnonzero(~alive), None)
        cut = step.terminated & (False if step.truncated is None else step.truncated)
        terminated = step.terminated & ~cut
        truncated = cut | (self._steps >= self._limit)
        self._finished = terminated | truncated
        measured = {"diverged": step.diverged, **step.parts}
        infos = self._infos(measured, alive, np.ones(self.num_envs, bool))
        observations = self.world.observe()
        self._check_finite("reward", step.reward, ~step.diverged)
        self._check_finite("observation", observations, ~step.diverged)
        return observations, step.reward, terminated, truncated, infos

    def render(self) -> tuple[np.ndarray | None, ...] | None:  # type: ignore[override]
        """Images [height, width, 3] uint8 of all sub-environments, or None without a render mode."""
        check_open(self.world.name, self.closed)
        if self.render_mode is None:
            return None
        return tuple(self.world.render(i, self.render_mode, **self._size) for i in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        if hasattr(self, "world"):  # not if the constructor raised an error
            self.world.close()

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generators of the sub-environments."""
        return tuple(self._generator(i) for i in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seeds of the sub-environments."""
        return tuple(self._seeds if self.np_random else ())

    def _seed(self, seed: int | Sequence[int | None] | None, ids: np.ndarray) -> None:
        if seed is None:
            return
        check(Whole | Sequence[Whole | None], seed, f"{self.world.name}: seed")
        seeds = list(seed) if isinstance(seed, Sequence | np.ndarray) else [seed + i for i in range(self.num_envs)]
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.world.name}: {len(seeds)} seeds for {self.num_envs} sub-environments")
        for i in ids:
            if seeds[i] is not None:
                self._generators[i], self._seeds[i] = np_random(int(seeds[i]))

    def _generator(self, i: int) -> np.random.Generator:
        generator = self._generators[i]
        if generator is None:
            generator, self._seeds[i] = np_random()
            self._generators[i] = generator
        return generator

    def _mask(self, mask: Any) -> np.ndarray:
        if mask is None:
            return np.ones(self.num_envs, bool)
        if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != (self.num_envs,) or not mask.any():
            wanted = f"a bool array [{self.num_envs}] with at least one True"
            raise ValueError(f"{self.world.name}: reset_mask must be {wanted}, not {mask}")
        return mask

    def _start(self, ids: np.ndarray, task: Any) -> None:
        """Start episodes of the sub-environments `ids`, with sampled tasks unless they are fixed or given."""
        if task is not None:
            self.world.set_tasks(self.world.as_tasks(task, self.num_envs)[ids], ids)
        elif self._fixed:
            self.world.set_tasks(self._kept[ids], ids)
        else:
            streams = [task_stream(self._generator(i)) for i in ids]
            self.world.set_tasks(np.concatenate([self.world.sample_tasks(1, stream) for stream in streams]), ids)
        states = [self.world.initial(self.world.tasks[[i]], self._generator(i)) for i in ids]
        self.world.place(ids, *(np.concatenate(part) for part in zip(*states, strict=True)))
        self._steps[ids] = 0
        self._finished[ids] = False

    def _check_finite(self, what: str, values: np.ndarray, known: np.ndarray) -> None:
        """Raise ValueError, with World, task and step, if values [N, …] are not finite where known [N] is True."""
        if not np.isfinite(values).all():
            wrong = np.flatnonzero(known & ~np.isfinite(values).reshape(self.num_envs, -1).all(axis=1))
            if len(wrong):
                self.world.check_finite(what, values, step=int(self._steps[wrong[0]]))

    def _infos(self, measured: dict[str, np.ndarray], known: np.ndarray, tasked: np.ndarray) -> dict[str, Any]:
        """The infos in Gymnasium's vector form: for each key, an array [N, …], and "_key", the mask [N] of entries."""
        tasks = self.tasks
        tasks[~tasked] = None if tasks.dtype == object else 0
        infos = {"task": tasks, "_task": tasked}
        if known.any():
            for key, values in measured.items():
                infos |= {key: values, f"_{key}": known.copy()}
        return infos
