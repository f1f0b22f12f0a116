"""An adapted policy for use elsewhere, through Stable-Baselines3's `predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Space
from numpy.typing import ArrayLike
from safetensors import safe_open
from safetensors.torch import save
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from metarl.core import Learner, Predictor, adapt
from metarl.description import NotRestorable, build, describe
from metarl.envs.world import numbers
from metarl.files import atomic_write, regular_file
from metarl.ranges import Positive, Whole, checked
from metarl.rl.actions import build_space, describe_space, to_action
from metarl.rl.deployed import DeployedPolicy
from metarl.rl.distributions import as_distribution
from metarl.rl.rollout import WorldDistribution
from metarl.trees import count_tasks


class AdaptedPolicy:
    """The policy of one task of `predictor`, deterministic or sampling its actions from a generator of its own.

    Its actions are in `action_space`: in a Box they are `action_scale` times what the policy draws, of which ±1 are the
    bounds, and cut there.
    `save` keeps it in a file, from which `AdaptedPolicy.load` gives it back; `module` makes a plain net of it.
    """

    @checked
    def __init__(
        self,
        predictor: Predictor,
        action_space: Space,
        *,
        task: int = 0,
        action_scale: Positive = 1.0,
        seed: Whole = 0,
    ) -> None:
        tasks = count_tasks(predictor.states)
        if not 0 <= task < tasks:
            raise ValueError(f"task is {task}: the predictor has {tasks} tasks, numbered from 0")
        self.learner, self.action_space, self.action_scale = predictor.learner, action_space, action_scale
        self.states = tree_map(lambda leaf: leaf[task : task + 1].detach().cpu().clone(), predictor.states)
        self.act = predictor.arrays(slice(task, task + 1))
        self.rng = np.random.default_rng(seed)

    def save(self, path: str | Path) -> None:
        """Write the policy to the file `path`, .safetensors: the net's description, its weights, the adapted state.

        Raises NotRestorable where the net does not remember what it was made with (see `metarl.described.Described`).
        """
        build(description := describe(self.learner))  # raises what `load` would
        tensors = {f"learner.{name}": value for name, value in self.learner.state_dict().items()}
        tensors |= {f"state.{i}": leaf for i, leaf in enumerate(tree_leaves(self.states))}
        metadata = {
            "learner": json.dumps(description),
            "action_space": json.dumps(describe_space(self.action_space)),
            "action_scale": repr(float(self.action_scale)),
        }
        with atomic_write(Path(path)) as draft:
            draft.write_bytes(save({name: value.cpu().contiguous() for name, value in tensors.items()}, metadata))

    @classmethod
    def load(cls, path: str | Path, *, seed: int = 0) -> AdaptedPolicy:
        """The policy in a file that `save` wrote. Raises ValueError, naming the file, where it is none or damaged."""
        file = regular_file(Path(path))
        try:
            with safe_open(file, "pt") as stored:
                metadata = stored.metadata()
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (not a dict)
            learner: Learner = build(json.loads(metadata["learner"]))
            learner.load_state_dict({k[8:]: value for k, value in tensors.items() if k.startswith("learner.")})
            leaves, spec = tree_flatten(learner.init())
            states = tree_unflatten([tensors[f"state.{i}"] for i in range(len(leaves))], spec)
            space, scale = build_space(json.loads(metadata["action_space"])), float(metadata["action_scale"])
        except NotRestorable:
            raise
        except Exception as error:  # safetensors and torch raise types of their own for a damaged file
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{file} is no adapted policy, or damaged ({reason}): save it anew") from None
        return cls(Predictor(learner, lambda: states), space, action_scale=scale, seed=seed)

    def module(self) -> DeployedPolicy:
        """The policy as a plain `torch.nn.Module`: observations [n, obs] to the actions of `predict`, deterministic."""
        net = self.learner.module(tree_map(lambda leaf: leaf[0], self.states))
        return DeployedPolicy(net.cpu(), self.action_space, action_scale=self.action_scale)

    def predict(
        self,
        observation: ArrayLike,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Actions for observations [obs] or [n, obs], one or [n, …] in `action_space`; `state` comes back as it was.

        They are drawn from the policy, or with `deterministic=True` are its most probable ones.
        """
        seen = numbers("observations", observation).astype(np.float32)
        if seen.ndim not in (1, 2):
            raise ValueError(
                f"observations have shape {seen.shape}: give [obs] or [n, obs], flattened as Gymnasium's "
                "FlattenObservation does"
            )
        if not np.isfinite(seen).all():
            raise ValueError("observations are not finite: look for NaN in the environment they come from")
        flat = np.atleast_2d(seen)
        try:
            distribution = as_distribution(self.act(flat[None]))
        except RuntimeError as error:  # torch's, which names a matrix product
            reason = str(error).splitlines()[0]
            raise ValueError(f"the policy does not take observations of shape {seen.shape} ({reason})") from None
        if deterministic:
            drawn = distribution.mode()
        else:
            drawn, _ = distribution.sample(distribution.noise(self.rng, (1, len(flat))))
        action, space = to_action(self.action_space, drawn[0], scale=self.action_scale), self.action_space
        if isinstance(space, Box):
            action = np.clip(action, space.low, space.high)
        return action.reshape((*seen.shape[:-1], *action.shape[1:])), state


@checked
def adapt_policy(
    learner: Learner,
    distribution: WorldDistribution,
    task: Any,
    *,
    steps: Whole | None = None,
    seed: Whole = 0,
) -> AdaptedPolicy:
    """Adapt `learner` to one task (the environment's `task`) for `steps` inner steps (default: as trained)."""
    tasks = distribution.tasks([task], np.random.default_rng(seed))
    *_, (predictor, _) = adapt(learner, tasks, steps=learner.steps if steps is None else steps)
    space = distribution.template.action_space
    return AdaptedPolicy(predictor, space, action_scale=distribution.action_scale, seed=seed)
