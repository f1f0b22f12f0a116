"""Several processes: the same numbers as one, for every outer loop, any number of tasks and tasks of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learners.few_shot import Clouds, learner_of
from processes import together
from torch import nn
from toys import Waves, regressor

import metarl as ml
from metarl import distributed
from metarl.algorithms.multi_step import MultiStep
from metarl.core import Distribution, Learner
from metarl.train import train

Numbers = dict[str, Any]
Found = dict[str, list[Numbers]]
TASKS, ITERATIONS = 6, 5


@dataclass(frozen=True)
class Case:
    """An outer loop over a new learner, and tasks; `exact`: processes have whole parts, so all bits are the same."""

    outer: Callable[[], ml.Algorithm]
    tasks: Callable[[], Distribution]
    exact: bool = True
    tolerance: float = 0.0


def policy(kind: Callable[..., Learner] = ml.MAML, steps: int = 1) -> Learner:
    torch.manual_seed(0)
    net = ml.nets.GaussianPolicy(17, 6, hidden=(8, 8), activation="tanh", init_std=0.5)
    return kind(net, ml.losses.surrogate, lr=0.1, steps=steps)


def cheetah(**options: Any) -> Distribution:
    return ml.tasks.Environment("metarl/HalfCheetahVel-v0", trajectories=3, horizon=10, threads=1, **options)


def net(outputs: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return ml.nets.MLP(1, outputs, hidden=(8,))


def sinusoid() -> Distribution:
    return ml.tasks.Sinusoid(shots=5)


CASES = {
    "trust region": Case(lambda: ml.TRPO(policy(), chunk=2), cheetah),
    "ProMP": Case(lambda: ml.ProMP(policy(), epochs=3, chunk=1), cheetah),
    "FOMAML": Case(lambda: ml.TRPO(policy(ml.FOMAML), chunk=1), lambda: cheetah(info=("reward_goal",))),
    "Reptile of policies": Case(lambda: ml.Reptile(policy(steps=2), lr=0.5, chunk=2), cheetah),
    "MAML": Case(lambda: ml.Descent(ml.MAML(net(), ml.losses.mse, lr=0.01), chunk=2), sinusoid),
    "MAML, parts of processes": Case(lambda: ml.Descent(ml.MAML(net(), ml.losses.mse)), sinusoid, False, 1e-5),
    "MAML in float64": Case(lambda: ml.Descent(regressor(lr=0.01)), lambda: Doubled(), False, 1e-10),
    "Reptile": Case(lambda: ml.Reptile(ml.MAML(net(), ml.losses.mse, steps=3), chunk=1), sinusoid),
    "Adam's moments": Case(lambda: ml.Reptile(ml.Adam(net(), ml.losses.mse, steps=3), chunk=1), sinusoid),
    "Alpha MAML": Case(
        lambda: ml.AlphaMAML(ml.AlphaLearner(net(), ml.losses.mse, lr=0.01), lr=0.01, chunk=2), sinusoid
    ),
    "MAML++": Case(
        lambda: MultiStep(ml.MAMLPlusPlus(net(), ml.losses.mse, steps=2), iterations=ITERATIONS, chunk=2), sinusoid
    ),
    "ProtoNet": Case(lambda: ml.Descent(learner_of("prototypes"), chunk=2), Clouds),
    "ProtoNet, parts of processes": Case(  # not by Adam, which makes steps of the rounding errors of a bias
        lambda: ml.Descent(learner_of("prototypes"), optimizer=lambda p: torch.optim.SGD(p, lr=0.1)),
        Clouds, exact=False, tolerance=1e-5,
    ),
    "tasks of one's own": Case(lambda: ml.Descent(ml.MAML(net(), ml.losses.mse, lr=0.1), chunk=2), Waves),
}  # fmt: skip


class Doubled(ml.tasks.Sinusoid):
    """Sinusoids in float64."""

    def sample(self, n: int, rng: np.random.Generator) -> ml.Tasks:
        tasks = super().sample(n, rng)
        return type(tasks)(type(tasks._samples)(*(part.double() for part in tasks._samples)), self.shots, self.queries)


def trained(name: str) -> Numbers:
    """The metrics of all iterations, the weights and the scores after them."""
    torch.set_num_threads(1)
    outer, tasks = CASES[name].outer(), CASES[name].tasks()
    rows = list(train(outer, tasks, iterations=ITERATIONS, meta_batch=TASKS))
    for row in rows:
        del row["seconds_sampling"], row["seconds_update"]
    scores = ml.evaluate(outer.learner, tasks, steps=1, num_tasks=5, chunk=1)
    return {"rows": rows, "weights": [p.detach() for p in outer.learner.parameters()], "scores": scores}


@pytest.fixture(scope="module", params=[2, 3])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What each process has found, by case."""
    folder = tmp_path_factory.mktemp("found")

    def work(rank: int) -> None:
        torch.save({name: trained(name) for name in CASES}, folder / f"{rank}.pt")

    together(request.param, work)
    parts = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(request.param)]
    return {name: [part[name] for part in parts] for name in CASES}


ALONE: dict[str, Numbers] = {}


@pytest.mark.parametrize("name", CASES)
def test_processes_have_the_numbers_that_one_has(name: str, found: Found) -> None:
    alone = ALONE.setdefault(name, trained(name))
    case = CASES[name]
    assert len(alone["rows"]) == ITERATIONS
    for one in found[name]:
        for mine, first in zip(one["weights"], found[name][0]["weights"], strict=True):
            assert torch.equal(mine, first)  # of all processes
        if case.exact:
            assert one["rows"] == alone["rows"]
        for mine, its in zip(one["weights"], alone["weights"], strict=True):
            assert (mine - its).abs().max() <= case.tolerance * its.abs().max()
        if case.exact:
            np.testing.assert_array_equal(one["scores"], alone["scores"])
        else:
            np.testing.assert_allclose(one["scores"], alone["scores"], rtol=1e-4)


def test_parts_stay_whole_where_there_are_enough_and_tasks_are_shared_evenly_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shared(tasks: int, chunk: int | None, count: int) -> list[tuple[int, int]]:
        monkeypatch.setattr(distributed, "count", lambda: count)
        found = []
        for rank in range(count):
            monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
            rows = distributed.rows(tasks, chunk)
            found.append((rows.start, rows.stop))
        return found

    assert shared(7, 2, 1) == [(0, 7)]
    assert shared(7, 2, 2) == [(0, 4), (4, 7)]
    assert shared(7, 2, 3) == [(0, 4), (4, 6), (6, 7)]
    assert shared(7, None, 3) == [(0, 3), (3, 5), (5, 7)]
    assert shared(7, 3, 5) == [(0, 2), (2, 3), (3, 5), (5, 6), (6, 7)]
    for tasks in range(1, 12):
        for count in range(1, tasks + 1):
            for chunk in (None, 1, 2, 3, 20):
                parts = shared(tasks, chunk, count)
                assert parts[0][0] == 0
                assert parts[-1][1] == tasks
                assert all(a < b for a, b in parts)
                assert all(before[1] == after[0] for before, after in pairwise(parts))
    with pytest.raises(ValueError, match="4 processes share 3 tasks: start at most 3, or give more tasks"):
        shared(3, None, 4)


def test_one_process_exchanges_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(distributed, "_processes", lambda: pytest.fail("it was asked for others"))
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    assert distributed.gather(3) == [3]
    assert distributed.first()
    assert distributed.run_on_first(lambda: 5) == 5
    trained("MAML")
