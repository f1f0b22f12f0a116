"""One distribution used by several Python threads, and by processes forked from this one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
import torch
from forks import in_child
from torch.utils._pytree import tree_leaves
from toys import Track, track_learner

from metarl.core import Distribution, Episodes, collect
from metarl.envs.physics import quiet
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import GaussianPolicy
from metarl.rl.distributions import Gaussian
from metarl.rl.guidance import Guided
from metarl.rl.losses import surrogate
from metarl.rl.rollout import WorldDistribution


def point(guided: bool = False) -> tuple[GradientLearner, Distribution]:
    torch.manual_seed(0)
    learner = GradientLearner(GaussianPolicy(2, 2, hidden=(8,)), surrogate)
    distribution = WorldDistribution("metarl/PointNav-v0", trajectories=5, horizon=25, threads=2)
    if guided:
        return learner, Guided(distribution, lambda seen, tasks: Gaussian(tasks[:, None, None] - seen, torch.zeros(2)))
    return learner, distribution


def cheetah() -> tuple[GradientLearner, Distribution]:
    torch.manual_seed(0)
    learner = GradientLearner(GaussianPolicy(17, 6, hidden=(8,)), surrogate)
    return learner, WorldDistribution("metarl/HalfCheetahVel-v0", trajectories=3, horizon=10, threads=2)


def collected(pair: tuple[GradientLearner, Distribution], seed: int) -> Episodes:
    return collect(pair[0], pair[1].sample(4, np.random.default_rng(seed)))


def same(one: Episodes, other: Episodes) -> None:
    for batch, wanted in zip([*one.support, one.query], [*other.support, other.query], strict=True):
        for found, leaf in zip(tree_leaves(batch), tree_leaves(wanted), strict=True):
            assert torch.equal(found, leaf)


@pytest.mark.parametrize("guided", [False, True])
def test_threads_do_not_mix_their_rollouts(*, guided: bool) -> None:
    pair = point(guided)
    alone = [collected(pair, seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(lambda seed: collected(pair, seed), range(12)), alone, strict=True):
            same(found, wanted)


@pytest.mark.parametrize("make", [point, cheetah])
def test_a_forked_process_goes_on_and_begins_anew(make: object) -> None:
    """A distribution that was used before the fork and one made after it give the numbers of the parent."""
    pair = make()  # type: ignore[operator]
    wanted = collected(pair, 0)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.randn(2_000_000).exp_().sum()  # OpenMP's own threads, which stay behind
    finally:
        in_child(lambda: (same(collected(pair, 0), wanted), same(collected(make(), 0), wanted)))  # type: ignore[operator]
        torch.set_num_threads(threads)
    same(collected(pair, 0), wanted)


def test_a_fork_in_the_middle_of_another_threads_rollout() -> None:
    """What the thread holds is not locked in the child."""
    pair = point()
    wanted = collected(pair, 0)
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with pair[1].lock, quiet():  # type: ignore[attr-defined]
            held.set()
            over.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    try:
        in_child(lambda: same(collected(pair, 0), wanted))
    finally:
        over.set()
        thread.join()


def test_a_distribution_can_be_copied_before_it_has_simulated() -> None:
    distribution = WorldDistribution(Track, trajectories=4, threads=1)
    learner = track_learner()
    wanted = collected((learner, distribution), 0)
    same(collected((learner, deepcopy(distribution)), 0), wanted)
