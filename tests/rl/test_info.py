"""What is measured beside the return: over steps, episodes and inner steps, in logs and in evaluations."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from own_envs import Line, MassPendulum
from toys import Track, pusher

from metarl.core import adapt, collect
from metarl.evaluation import evaluate, evaluate_with_info
from metarl.learners.maml import MAML
from metarl.nets.policy import GaussianPolicy
from metarl.rl.info import reduced, reductions
from metarl.rl.losses import surrogate
from metarl.rl.rollout import WorldDistribution

NAN = float("nan")


def test_means_and_maxima_are_over_the_steps_that_have_a_value() -> None:
    values = torch.tensor([[[[1.0], [5.0]], [[3.0], [NAN]], [[9.0], [7.0]]], [[[NAN], [NAN]]] * 3])  # [2, 3, 2, 1]
    mask = torch.tensor([[[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]]] * 2)
    means, largest = (reduced({"x": how}, values, mask)["x"] for how in ("mean", "max"))
    assert means[0] == (2 + 6) / 2
    assert largest[0] == (3 + 7) / 2
    assert torch.stack([means[1], largest[1]]).isnan().all()
    with pytest.raises(ValueError, match="'x' is in the info of no step: leave it out of info, or correct the name"):
        reduced({"x": "mean"}, values * NAN, mask)


def test_names_and_how_they_are_taken() -> None:
    assert reductions(("a", "b")) == {"a": "mean", "b": "mean"}
    assert reductions({"a": "max"}) == {"a": "max"}
    for wrong in ({"a": "median"}, (3,)):
        with pytest.raises(ValueError, match=r"^info\["):
            reductions(wrong)  # type: ignore[arg-type]


def test_in_every_episode_the_mass_simulated_is_the_tasks() -> None:
    """Of a hundred tasks, in the order in which they were drawn, before and after a step."""
    torch.manual_seed(0)
    distribution = WorldDistribution(MassPendulum, trajectories=3, horizon=4, workers=1, info=("mass",))
    tasks = distribution.sample(100, np.random.default_rng(0))
    metrics = tasks.metrics(collect(MAML(GaussianPolicy(3, 1, hidden=(4,)), surrogate), tasks))
    assert len(tasks.measured) == 2
    for k, measured in enumerate(tasks.measured):
        np.testing.assert_allclose(measured["mass"], tasks.goals[:, 0], rtol=1e-6)
        assert metrics[f"mass_{k}"] == pytest.approx(tasks.goals.mean(), rel=1e-6)


def test_parts_of_a_worlds_steps_are_measured_too() -> None:
    torch.manual_seed(0)
    distribution = WorldDistribution("metarl/PointNav-v0", trajectories=2, horizon=3, info={"distance": "max"})
    tasks = distribution.sample(4, np.random.default_rng(0))
    learner = MAML(GaussianPolicy(2, 2, hidden=(4,)), surrogate)
    seen = tasks.trajectories(next(adapt(learner, tasks, steps=0))[0])
    places = seen.observations + 0.2 * seen.actions.clamp(-1, 1)
    distances = (places - torch.from_numpy(tasks.goals).float()[:, None, None]).norm(dim=-1)
    torch.testing.assert_close(tasks.measured[0]["distance"], distances.amax(1).mean(1))
    with pytest.raises(ValueError, match=r"^Track has no 'speed' in its steps: info may contain nothing$"):
        evaluate(pusher(), WorldDistribution(Track, info=["speed"]), steps=0, num_tasks=1)


def test_evaluations_have_scores_and_what_was_measured_with_them() -> None:
    """A policy that pushes by 1: the middle of the range and half of it, 0.4 a step, to 2.4 after six."""
    tasks = WorldDistribution(
        partial(Line, edge=1.5), trajectories=2, horizon=9, workers=1, info={"t": "max", "near": "mean"}
    )
    learner: Any = pusher(1.0)
    scores, info = evaluate_with_info(learner, tasks, steps=1, num_tasks=5, rng=3)
    np.testing.assert_array_equal(scores, evaluate(learner, tasks, steps=1, num_tasks=5, rng=3))
    assert scores.shape == info["t"].shape == info["near"].shape == (2, 5)
    assert (info["t"][0] == 4).all()  # 0.4, 0.8, 1.2, 1.6 ± 0.05
    assert set(np.round(info["near"][0] * 4).tolist()) <= {0, 1, 2}
    (only,) = evaluate_with_info(learner, tasks, steps=1, num_tasks=5, rng=3, at=(1,))[1]["t"]
    np.testing.assert_array_equal(only, info["t"][1])
