"""Learners in several Python threads, and in a process that was forked: the same numbers as one after the other."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from byhand import flat
from torch import Tensor
from toys import Waves, regressor, sample_episodes

from metarl.algorithms.descent import Descent
from metarl.algorithms.reptile import Reptile
from metarl.algorithms.trust_region import TRPO
from metarl.core import Learner, adapt, meta_gradient
from metarl.evaluation import evaluate
from metarl.losses import mse, squared_change
from metarl.objectives import final
from metarl.parts import lock

SGD = partial(torch.optim.SGD, lr=0.01)
ALGORITHMS: dict[str, Callable[[Any], Any]] = {
    "descent": lambda learner: Descent(learner, final(mse), optimizer=SGD),
    "reptile": lambda learner: Reptile(learner, lr=0.5),
    "trust region": lambda learner: TRPO(learner, mse, squared_change, damping=0.1),
}


def waves_learner(*, seed: int = 0) -> Learner:
    return regressor(seed=seed, hidden=40, steps=3, lr=0.1).float()


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def scores(learner: Learner, seed: int) -> np.ndarray:
    return np.concatenate([
        evaluate(learner, Waves(), steps=3, num_tasks=5, rng=np.random.default_rng((seed, i))) for i in range(10)
    ])  # fmt: skip


def test_one_learner_in_two_threads_scores_as_in_one() -> None:
    learner = waves_learner()
    expected = [scores(learner, seed) for seed in range(4)]
    found = at_once(*(partial(scores, learner, seed) for seed in range(4)))
    np.testing.assert_array_equal(found, expected)


def test_two_learners_in_two_threads_score_as_in_one() -> None:
    learners = [waves_learner(seed=seed) for seed in range(2)]
    expected = [scores(learner, 0) for learner in learners]
    np.testing.assert_array_equal(at_once(*(partial(scores, learner, 0) for learner in learners)), expected)
    assert not np.array_equal(*expected)


@pytest.mark.parametrize("chunk", [None, 2])
def test_meta_gradients_of_one_learner_in_two_threads(chunk: int | None) -> None:
    learner = regressor(steps=3, lr=0.2)

    def gradients(seed: int) -> Tensor:
        episodes = sample_episodes(steps=3, seed=seed)
        return torch.stack([flat(meta_gradient(learner, episodes, final(mse), chunk=chunk)[1]) for _ in range(6)])

    expected = [gradients(seed) for seed in range(3)]
    for one, other in zip(at_once(*(partial(gradients, seed) for seed in range(3))), expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_updates_of_one_learner_take_turns(name: str) -> None:
    """Two threads with an outer loop each, which make the same updates: who comes first does not matter."""
    together, alone = regressor(steps=2, lr=0.2), regressor(steps=2, lr=0.2)

    def updates(algorithm: Any) -> None:
        for _ in range(5):
            algorithm.update(sample_episodes(steps=2))

    for _ in range(2):
        updates(ALGORITHMS[name](alone))
    at_once(*(partial(updates, ALGORITHMS[name](together)) for _ in range(2)))
    assert torch.equal(flat(list(together.parameters())), flat(list(alone.parameters())))


def test_arrays_of_one_learner_in_two_threads() -> None:
    learner = waves_learner()
    (first, _), *_, (last, _) = adapt(learner, Waves().sample(4, np.random.default_rng(0)), steps=3)
    x = np.linspace(-1, 1, 40, dtype=np.float32).reshape(4, 10, 1)

    def predicted(predict: Any) -> np.ndarray:
        return np.stack([predict.arrays()(x) for _ in range(30)])

    expected = [predicted(first), predicted(last)]
    np.testing.assert_array_equal(at_once(partial(predicted, first), partial(predicted, last)), expected)


def test_locks_are_one_for_each_learner_and_lie_beside_it() -> None:
    learner, other = waves_learner(), waves_learner()
    assert lock(learner) is lock(learner)
    assert lock(learner) is not lock(other)
    with lock(learner), lock(learner):  # by one thread
        twin = copy.deepcopy(learner)
        assert lock(twin) is not lock(learner)
        pickle.dumps(learner.state_dict())


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12's, that a process with threads is forked
@pytest.mark.parametrize("chunk", [None, 2])
def test_an_update_in_a_forked_process_after_one_in_its_parent(two_threads: None, chunk: int | None) -> None:
    learner = regressor(steps=2, lr=0.2)
    algorithm = Descent(learner, final(mse), optimizer=SGD, chunk=chunk)
    large = torch.ones(1200, 1200)
    assert (large @ large).sum() == 1200**3  # on both of torch's own threads
    algorithm.update(sample_episodes(steps=2))
    with ThreadPoolExecutor(1) as other:
        other.submit(lock(learner).acquire).result()  # as another thread may, while this one forks
        child = os.fork()
        if not child:
            done = 1
            try:
                algorithm.update(sample_episodes(steps=2))
                done = int((large @ large).sum() != 1200**3)
            finally:
                os._exit(done)
        other.submit(lock(learner).release).result()
    assert ended(child) == 0


def ended(child: int, *, seconds: float = 20) -> int | None:
    """The exit status of a child process; None, and it is killed, where it does not end in time."""
    for _ in range(int(seconds * 20)):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
