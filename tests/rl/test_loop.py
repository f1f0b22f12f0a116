"""Loops that act and simulate at once: what one loop records, errors, and how many there are."""

import logging
import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
import torch
from toys import Track, pusher, track_learner

from metarl.core import Predictor, adapt
from metarl.envs.world import Step
from metarl.learners.gradient import GradientLearner
from metarl.rl.distributions import Gaussian
from metarl.rl.loop import count_loops
from metarl.rl.losses import surrogate
from metarl.rl.rollout import WorldDistribution, WorldTasks


class Parallel(Track):
    parallel = True
    edge = 0.57
    breaks_at = 0.6


def three(threads: int) -> WorldTasks:
    """Three tasks of four trajectories; on three threads each task has a loop of its own."""
    distribution = WorldDistribution(Parallel, trajectories=4, threads=threads)
    return distribution.tasks(np.array([[-1.0], [1.0], [0.5]]), np.random.default_rng(1))


def test_several_loops_record_what_one_does(caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        batches = [tasks.query(next(adapt(pusher(), tasks, steps=0))[0]) for tasks in map(three, (1, 3))]
    for one, two in zip(*batches, strict=True):
        assert torch.equal(one, two)
    assert not batches[0].mask[:, -1].any()  # every episode ended on the way
    first, second = (record.getMessage() for record in caplog.records)
    assert first == second
    assert "12 of 12" not in first


def test_an_error_in_one_loop_stops_the_others_and_is_raised_when_all_have_ended() -> None:
    """The third task's policy has NaN weights; the next rollout finds the others at rest."""
    tasks = three(threads=3)
    good, _ = next(adapt(pusher(0.1), tasks, steps=0))
    broken = {name: value.clone() for name, value in good.states.items()}
    broken["mean.layers.1.bias"][2] = float("nan")
    with pytest.raises(ValueError, match=r"Parallel: action \[nan\] of sub-environment 0 \(task \[0.5\]\)"):
        tasks.trajectories(Predictor(good.learner, lambda: broken))
    worlds = tasks.distribution.simulator.worlds(3, 3)  # type: ignore[attr-defined]
    rest = [world.observe() for world in worlds]
    time.sleep(0.05)
    np.testing.assert_array_equal(rest, [world.observe() for world in worlds])
    assert tasks.trajectories(good).mask.all()


class Held(Parallel):
    """Stays in its third step until it is let go, and counts its steps."""

    edge = breaks_at = float("inf")
    inside, let_go = threading.Semaphore(0), threading.Event()
    taken = 0

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        self.taken += 1
        if self.taken == 3 and not self.let_go.is_set():
            self.inside.release()
            assert self.let_go.wait(20)
        return super().advance(actions, alive)


def test_no_loop_goes_on_after_ctrl_c_however_often_it_is_pressed() -> None:
    def press() -> None:
        for _ in range(3):  # once all loops are in their third step
            Held.inside.acquire(timeout=20)
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        Held.let_go.set()

    tasks = WorldDistribution(Held, trajectories=4, threads=3).tasks([-1.0, 1.0, 0.5], np.random.default_rng(1))
    predict, _ = next(adapt(pusher(), tasks, steps=0))
    presses = threading.Thread(target=press)
    presses.start()
    with pytest.raises(KeyboardInterrupt):
        tasks.trajectories(predict)
    worlds = tasks.distribution.simulator.worlds(3, 3)  # type: ignore[attr-defined]
    assert [world.taken for world in worlds] == [3, 3, 3]  # type: ignore[attr-defined]
    time.sleep(0.05)
    assert [world.taken for world in worlds] == [3, 3, 3]  # type: ignore[attr-defined]
    presses.join()
    again = WorldDistribution(Held, trajectories=4, threads=1).tasks([-1.0, 1.0, 0.5], np.random.default_rng(2))
    tasks.rng = np.random.default_rng(2)
    for one, other in zip(tasks.trajectories(predict), again.trajectories(predict), strict=True):
        assert torch.equal(one, other)


def test_policies_that_are_not_numpy_act_in_one_loop() -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.push = torch.nn.Parameter(torch.tensor([0.2]))

        def forward(self, x: torch.Tensor) -> Gaussian:
            return Gaussian(self.push.expand(*x.shape[:-1], 1), torch.full((1,), -12.0))

    learner = GradientLearner(Plain(), surrogate)
    assert not learner.in_numpy
    assert track_learner().in_numpy
    tasks = three(threads=3)
    predict, _ = next(adapt(learner, tasks, steps=0))
    seen = tasks.trajectories(predict)
    torch.testing.assert_close(seen.actions[:, 0], torch.full((3, 4, 1), 0.2), rtol=0, atol=1e-4)
    assert [key[1:] for key in tasks.distribution.simulator._worlds] == [(3, 1)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("tasks", "threads", "wanted"), [(40, 2, 2), (40, 16, 4), (40, 6, 2), (12, 6, 3), (5, 2, 1), (1, 8, 1), (40, 1, 1)]
)
def test_loops_share_tasks_and_threads_evenly(tasks: int, threads: int, wanted: int) -> None:
    assert count_loops(tasks, threads) == wanted
