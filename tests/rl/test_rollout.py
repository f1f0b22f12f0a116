"""Rollouts on a point on a line: shapes, masks, rewards, goals, whose weights act, divergence, repeatability."""

import logging
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch.func import vmap
from toys import Track, pusher, track_learner

from metarl.core import adapt, collect
from metarl.envs import World
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import GaussianPolicy
from metarl.rl.advantages import advantages
from metarl.rl.guidance import Guided
from metarl.rl.losses import Rollout, surrogate
from metarl.rl.rollout import WorldDistribution, episode_returns

GOALS = np.array([[-1.0], [1.0], [0.5]])


class Walled(Track):
    edge = 0.5


class Fragile(Track):
    breaks_at = 0.5


class Shattered(Fragile):
    afterwards = float("nan")


def first_rollout(learner: GradientLearner, world: type[World], *, seed: int = 0, **settings: Any) -> Rollout:
    """A batch of the learner before adaptation on GOALS."""
    tasks = WorldDistribution(world, **{"trajectories": 4, "threads": 1, **settings}).tasks(
        GOALS, np.random.default_rng(seed)
    )
    predict, _ = next(adapt(learner, tasks, steps=0))
    return tasks.query(predict)


def test_axes_are_task_time_environment_feature() -> None:
    batch = first_rollout(track_learner(), Track)
    assert batch.observations.shape == batch.actions.shape == (3, 5, 4, 1)
    assert {leaf.shape for leaf in batch[2:]} == {(3, 5, 4)}
    assert {leaf.dtype for leaf in batch} == {torch.float32}
    assert first_rollout(track_learner(), Track, horizon=2, trajectories=6).mask.shape == (3, 2, 6)
    # an environment's observation is where its own last action took it
    moved = batch.observations[:, :-1] + 0.2 * batch.actions[:, :-1].clamp(-1, 1)
    torch.testing.assert_close(batch.observations[:, 1:], moved, rtol=0, atol=1e-6)
    assert batch.observations[:, 0].unique().numel() == 12
    assert batch.observations[:, 0].abs().max() <= 0.05


def test_each_tasks_environments_get_its_goal() -> None:
    batch = first_rollout(track_learner(), Track)
    x = batch.observations[..., 0] + 0.2 * batch.actions[..., 0].clamp(-1, 1)
    expected = -(x - torch.from_numpy(GOALS).float()[:, :, None]).abs()
    torch.testing.assert_close(batch.rewards, expected, rtol=0, atol=1e-6)


def test_nothing_counts_after_a_termination() -> None:
    batch = first_rollout(pusher(), Walled)  # x = 0.2, 0.4, 0.6 ± 0.05: the third step ends it, and counts
    assert batch.mask.tolist() == np.broadcast_to(np.array([1, 1, 1, 0, 0])[:, None], (3, 5, 4)).tolist()
    assert not batch.rewards[:, 3:].any()
    assert not batch.advantages[:, 3:].any()
    assert batch.rewards[:, :3].all()
    torch.testing.assert_close(episode_returns(batch), batch.rewards[:, :3].sum(1))


def test_some_trajectories_end_and_others_go_on() -> None:
    learner = track_learner()
    assert isinstance(learner.net, GaussianPolicy)
    learner.net.log_std.data.fill_(0.0)
    batch = first_rollout(learner, Walled, trajectories=30, horizon=12)
    x = batch.observations[..., 0] + 0.2 * batch.actions[..., 0].clamp(-1, 1)
    over = x.abs() > 0.5
    expected = 1 - ((over.cumsum(1) - over.long()) > 0).float()  # valid until the step that ends it, included
    assert torch.equal(batch.mask, expected)
    lengths = batch.mask.sum(1)
    assert lengths.min() < 12
    assert lengths.max() == 12


def test_advantages_are_those_of_the_options() -> None:
    batch = first_rollout(track_learner(), Walled, discount=0.7, gae_lambda=0.3)
    expected = advantages(batch.observations, batch.rewards, batch.mask, discount=0.7, gae_lambda=0.3)
    assert torch.equal(batch.advantages, expected)
    assert not torch.allclose(batch.advantages, advantages(batch.observations, batch.rewards, batch.mask))


@pytest.mark.parametrize(
    ("share", "discount", "gae_lambda"), [(0.0, 0.5, 0.1), (0.125, 0.6, 0.3), (0.25, 0.7, 0.5), (0.9, 0.7, 0.5)]
)
def test_credit_lengthens_over_a_share_of_training(share: float, discount: float, gae_lambda: float) -> None:
    schedule = (0.5, 0.1, 0.25)
    distribution = WorldDistribution(Walled, trajectories=4, discount=0.7, gae_lambda=0.5, gae_schedule=schedule)
    for earlier in (0.7, share):  # what counts is where training is, not where it was
        distribution.set_progress(earlier)
    tasks = distribution.tasks(GOALS, np.random.default_rng(0))
    predict, _ = next(adapt(track_learner(), tasks, steps=0))
    batch = tasks.query(predict)
    expected = advantages(batch.observations, batch.rewards, batch.mask, discount=discount, gae_lambda=gae_lambda)
    torch.testing.assert_close(batch.advantages, expected)


@pytest.mark.parametrize("from_", [None, (0.5, 0.1, 0.25)])
def test_inner_steps_have_a_credit_of_their_own(from_: tuple[float, float, float] | None) -> None:
    distribution = WorldDistribution(
        Walled, trajectories=4, discount=0.7, gae_lambda=0.5, gae_schedule=from_, inner_gae=(0.9, 0.2)
    )
    distribution.set_progress(0.0)
    learner = track_learner(steps=2, lr=0.5)
    episodes = collect(learner, distribution.tasks(GOALS, np.random.default_rng(0)))
    discount, gae_lambda = (0.7, 0.5) if from_ is None else from_[:2]
    credits = [(0.9, 0.2), (0.9, 0.2), (discount, gae_lambda)]
    for batch, (gamma, lam) in zip([*episodes.support, episodes.query], credits, strict=True):
        gains = [
            advantages(o, r, m, discount=gamma, gae_lambda=lam)
            for o, r, m in zip(batch.observations[:, None], batch.rewards[:, None], batch.mask[:, None], strict=True)
        ]
        torch.testing.assert_close(batch.advantages, torch.cat(gains))


def test_log_probs_are_of_the_policy_that_acted_and_each_step_acts_with_adapted_weights() -> None:
    learner = track_learner(steps=2, lr=0.5)
    episodes = collect(learner, WorldDistribution(Track, trajectories=6).tasks(GOALS, np.random.default_rng(0)))
    batches = [*episodes.support, episodes.query]
    states = [vmap(partial(lambda support, k: learner.states(support)[k], k=k))(episodes.support) for k in range(3)]
    for k, batch in enumerate(batches):
        for j, state in enumerate(states):
            said = vmap(lambda s, x, a: learner.predict(s, x).log_prob(a))(state, batch.observations, batch.actions)
            error = float((said - batch.log_probs).detach().abs().max())
            assert error < 1e-4 if j == k else error > 1e-2, (k, j)
    assert not torch.equal(batches[0].observations[:, 0], batches[1].observations[:, 0])  # fresh starts


def test_actions_are_recorded_as_drawn_and_scaled_for_the_environment() -> None:
    whole, tenth = (first_rollout(pusher(0.9), Track, action_scale=scale) for scale in (1.0, 0.1))
    for batch in (whole, tenth):
        torch.testing.assert_close(batch.actions, torch.full((3, 5, 4, 1), 0.9), rtol=0, atol=1e-4)
    strides = [(batch.observations[:, 1:] - batch.observations[:, :-1]).mean().item() for batch in (whole, tenth)]
    assert strides == pytest.approx([0.18, 0.018], rel=1e-3)
    assert first_rollout(pusher(3.0), Track).actions.min() > 2.9  # not clipped


def test_metrics_are_returns_after_each_step_and_the_steps_simulated() -> None:
    tasks = WorldDistribution(Walled, trajectories=4).tasks(GOALS, np.random.default_rng(0))
    learner = pusher(steps=2, lr=1e-9)
    episodes = collect(learner, tasks)
    metrics = tasks.metrics(episodes)
    assert set(metrics) == {"return_0", "return_1", "return_2", "env_steps"}
    assert metrics["env_steps"] == 3 * (3 * 4 * 3)  # three batches of 3 tasks × 4 trajectories × 3 steps
    for k, batch in enumerate([*episodes.support, episodes.query]):
        assert metrics[f"return_{k}"] == pytest.approx(float(batch.rewards.sum(1).mean()), rel=1e-6)
    assert set(tasks.metrics(collect(learner, tasks, query=False))) == {"return_0", "return_1", "env_steps"}


def test_score_is_the_mean_return_of_each_task() -> None:
    tasks = WorldDistribution(Walled, trajectories=200).tasks(GOALS, np.random.default_rng(0))
    predict, _ = next(adapt(pusher(), tasks, steps=0))
    # from 0 ± 0.05 through 0.2, 0.4, 0.6
    assert tasks.score(predict).tolist() == pytest.approx([-(1.2 + 1.4 + 1.6), -(0.8 + 0.6 + 0.4), -0.5], abs=0.02)


@pytest.mark.parametrize("world", [Fragile, Shattered])
def test_a_trajectory_that_diverged_is_cut_before_and_named(world: type[World], caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        batch = first_rollout(pusher(), world)
    assert batch.mask.tolist() == np.broadcast_to(np.array([1, 1, 0, 0, 0])[:, None], (3, 5, 4)).tolist()
    (record,) = caplog.records
    assert f"12 of 12 trajectories of {world.__name__} (first: number 0, task [-1.])" in record.getMessage()
    assert batch.rewards[:, :2].all()
    assert not batch.rewards[:, 2:].any()
    for name, leaf in zip(batch._fields, batch, strict=True):
        assert leaf.isfinite().all(), name


def test_memory_is_what_a_rollout_records() -> None:
    distribution = WorldDistribution("metarl/HalfCheetahVel-v0", trajectories=3, horizon=7)
    assert distribution.memory(5) == 4 * 5 * 7 * 3 * (17 + 6 + 3)
    assert Guided(distribution, lambda seen, tasks: (seen, tasks)).memory(5) == distribution.memory(5)
    learner = GradientLearner(GaussianPolicy(17, 6, hidden=(4,)), surrogate)
    tasks = distribution.sample(5, np.random.default_rng(0))
    seen = tasks.trajectories(next(adapt(learner, tasks, steps=0))[0])
    assert sum(leaf.nbytes for leaf in seen) == distribution.memory(5)


def test_no_warning_without_divergence(caplog: Any) -> None:
    first_rollout(pusher(), Walled)
    assert not caplog.records


def test_same_generator_same_rollout() -> None:
    first, again, other = (first_rollout(track_learner(), Track, seed=seed) for seed in (0, 0, 1))
    for name, one, two, three in zip(first._fields, first, again, other, strict=True):
        assert torch.equal(one, two), name
        assert name == "mask" or not torch.equal(one, three), name


def test_interleaved_meta_batches_do_not_disturb_each_other() -> None:
    """Meta-batches of one size share a simulator; each finds its own goals there."""
    learner, distribution = track_learner(), WorldDistribution(Track, trajectories=4)
    one, two = (distribution.tasks(goals, np.random.default_rng(0)) for goals in (GOALS, -GOALS))
    predict, _ = next(adapt(learner, one, steps=0))
    first, mirrored = one.query(predict), two.query(predict)
    alone = WorldDistribution(Track, trajectories=4).tasks(-GOALS, np.random.default_rng(0)).query(predict)
    assert torch.equal(mirrored.rewards, alone.rewards)
    assert not torch.equal(mirrored.rewards, first.rewards)


def test_threads_do_not_change_a_bit() -> None:
    torch.manual_seed(0)
    learner = GradientLearner(GaussianPolicy(17, 6, hidden=(8,)), surrogate, steps=1)
    batches = []
    for threads in (1, 2):
        distribution = WorldDistribution("metarl/HalfCheetahVel-v0", trajectories=3, horizon=12, threads=threads)
        episodes = collect(learner, distribution.sample(2, np.random.default_rng(0)))
        batches.append([*episodes.support[0], *episodes.query])
    for one, two in zip(*batches, strict=True):
        assert torch.equal(one, two)
    assert batches[0][4].unique().numel() > 50
    assert distribution.simulator.parts(2, parallel=True) == 2  # the second time each task had a loop of its own


def test_memory_is_used_again_but_never_while_somebody_holds_it() -> None:
    learner, distribution = track_learner(), WorldDistribution(Track, trajectories=4)

    def episodes(seed: int) -> Rollout:
        tasks = distribution.tasks(GOALS, np.random.default_rng(seed))
        return collect(learner, tasks).query

    kept = episodes(0)
    copies = [leaf.clone() for leaf in kept]
    other = episodes(1)
    for leaf, copy, new in zip(kept, copies, other, strict=True):
        assert torch.equal(leaf, copy)
        assert leaf.data_ptr() != new.data_ptr()
    home = other.observations.data_ptr()
    del other, leaf, new
    assert home in (episodes(2).observations.data_ptr(), episodes(2).observations.data_ptr())


def test_sampled_tasks_come_from_the_worlds_goals() -> None:
    distribution = WorldDistribution(Track)
    goals = distribution.sample(100, np.random.default_rng(0)).goals
    assert goals.shape == (100, 1)
    assert set(goals.flatten()) == {-1.0, 1.0}
    assert distribution.horizon == Track.default_horizon
    assert distribution.metric == "return"


def test_settings_out_of_range_are_refused() -> None:
    nan, inf = float("nan"), float("inf")
    cases: list[tuple[str, list[Any]]] = [
        ("trajectories", [0, -1, 2.5, nan, "4", True]),
        ("horizon", [0, -1, 2.5]),
        ("discount", [1.1, -0.1, nan, inf, None]),
        ("gae_lambda", [1.1, nan]),
        ("gae_schedule", [(0.9, 0.5, 0.0), (0.9, 0.5, 1.5), (0.9, 1.5, 0.5), (0.9, 0.5), (nan, 0.5, 0.5), 0.9]),
        ("inner_gae", [(-0.1, 0.5), (0.5, nan), (0.5,)]),
        ("action_scale", [0, -1.0, nan, inf]),
        ("threads", [-1, 1.5]),
        ("env", [3, None]),
    ]
    for name, values in cases:
        for value in values:
            with pytest.raises(ValueError, match=rf"^{name} is .*: give [^\n]*$"):
                WorldDistribution(**{"env": Track, name: value})


def test_actions_after_the_end_have_the_probabilities_of_the_policy() -> None:
    """Also where all episodes have ended and nothing is simulated any more: a ratio of 1 keeps losses finite."""
    learner = pusher()
    tasks = WorldDistribution(Walled, trajectories=4, threads=1).tasks(GOALS, np.random.default_rng(0))
    predict, _ = next(adapt(learner, tasks, steps=0))
    seen = tasks.trajectories(predict)
    assert not seen.mask[:, 3:].any()
    assert not seen.observations[:, 3:].any()
    said = vmap(lambda s, x, a: learner.predict(s, x).log_prob(a))(predict.states, seen.observations, seen.actions)
    torch.testing.assert_close(said, seen.log_probs, rtol=1e-3, atol=1e-2)
    assert seen.actions[:, 3:].unique().numel() > 10
