"""Adapted policies with the `predict` method of Stable-Baselines3, which can be saved, loaded and exported."""

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
    """The policy that is adapted to one task of `predictor`.

    Its actions are in `action_space`. In a Box, they are the policy's outputs multiplied by `action_scale`, where ±1
    are mapped to the bounds and larger values are clipped. Actions are sampled with the policy's own random number
    generator, from `seed`. `save` writes the policy to a file, `AdaptedPolicy.load` reads it, and `module` converts it
    to a plain `torch.nn.Module`.
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
            raise ValueError(f"task is {task}: give a number from 0 to {tasks - 1}, as the predictor has {tasks} tasks")
        self.learner, self.action_space, self.action_scale = predictor.learner, action_space, action_scale
        self.states = tree_map(lambda leaf: leaf[task : task + 1].detach().cpu().clone(), predictor.states)
        self.act = predictor.arrays(slice(task, task + 1))
        self.rng = np.random.default_rng(seed)

    def save(self, path: str | Path) -> None:
        """Write the policy to a .safetensors file: the network's description and weights, and the adapted state.

        Raises NotRestorable if the network does not record its constructor's arguments (see
        `metarl.described.Described`).
        """
        build(description := describe(self.learner))  # raises the errors that `load` would raise
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
        """Read a policy from a file that `save` wrote. Raises ValueError if the file is damaged or contains none."""
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
        except Exception as error:  # safetensors and torch raise several types for a damaged file
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{file} is no adapted policy, or is damaged ({reason}): save it again") from None
        return cls(Predictor(learner, lambda: states), space, action_scale=scale, seed=seed)

    def module(self) -> DeployedPolicy:
        """The policy as a plain `torch.nn.Module`, which maps observations [n, obs] to its most probable actions."""
        net = self.learner.module(tree_map(lambda leaf: leaf[0], self.states))
        return DeployedPolicy(net.cpu(), self.action_space, action_scale=self.action_scale)

    def predict(
        self,
        observation: ArrayLike,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """The action for one observation [obs], or actions [n, …] for observations [n, obs]; also returns `state`.

        Actions are sampled from the policy or, if `deterministic`, are the most probable ones. The arguments are those
        of Stable-Baselines3; `state` and `episode_start` have no effect.
        """
        observations = numbers("observations", observation).astype(np.float32)
        shape = observations.shape
        if observations.ndim not in (1, 2):
            raise ValueError(
                f"observations have shape {shape}: give [obs] or [n, obs], flattened as by Gymnasium's "
                "FlattenObservation"
            )
        if not np.isfinite(observations).all():
            raise ValueError("observations are not finite: look for NaN in the environment they come from")
        flat = np.atleast_2d(observations)
        try:
            distribution = as_distribution(self.act(flat[None]))
        except RuntimeError as error:  # torch's, which names a matrix product
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"the policy cannot use observations of shape {shape} ({reason}): give those of its environment"
            ) from None
        if deterministic:
            outputs = distribution.mode()
        else:
            outputs, _ = distribution.sample(distribution.noise(self.rng, (1, len(flat))))
        action, space = to_action(self.action_space, outputs[0], scale=self.action_scale), self.action_space
        if isinstance(space, Box):
            action = np.clip(action, space.low, space.high)
        return action.reshape((*shape[:-1], *action.shape[1:])), state


@checked
def adapt_policy(
    learner: Learner,
    distribution: WorldDistribution,
    task: Any,
    *,
    steps: Whole | None = None,
    seed: Whole = 0,
) -> AdaptedPolicy:
    """Adapt `learner` to one `task` of the environment for `steps` inner steps (by default, as many as in training)."""
    tasks = distribution.tasks([task], np.random.default_rng(seed))
    *_, (predictor, _) = adapt(learner, tasks, steps=learner.steps if steps is None else steps)
    space = distribution.template.action_space
    return AdaptedPolicy(predictor, space, action_scale=distribution.action_scale, seed=seed)
