"""Learners, tasks and losses that do not fit together: each call is refused in one line of ValueError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toys import Waves, WaveTasks, regressor, sample_episodes

from metarl.core import (
    Distribution,
    Episodes,
    Predictor,
    Tasks,
    adapt,
    collect,
    meta_gradient,
    meta_gradient_and_outputs,
)
from metarl.evaluation import evaluate
from metarl.learners.gradient import GradientLearner
from metarl.learners.metric import ProtoNet
from metarl.losses import Samples, cross_entropy, mse, squared_change
from metarl.nets.mlp import MLP
from metarl.nets.policy import GaussianPolicy
from metarl.objectives import final, multi_step
from metarl.train import Stream, generator

FLAT = MLP(1, 1, hidden=(3,))
RNG = np.random.default_rng(0)


def learner(**settings: Any) -> GradientLearner:
    return GradientLearner(MLP(1, 1, hidden=(3,)), mse, **settings)


def policies() -> GradientLearner:
    return GradientLearner(GaussianPolicy(1, 1, hidden=(3,)), mse)


class Given(Tasks):
    """Tasks of given batches and scores."""

    def __init__(self, support: Any, query: Any = None, score: Any = None, *, n: int = 2) -> None:
        self.n, self.batches, self.scored = n, (support, support if query is None else query), score

    def support(self, predict: Predictor, step: int) -> Any:
        return self.batches[0]

    def query(self, predict: Predictor) -> Any:
        return self.batches[1]

    def score(self, predict: Predictor) -> Any:
        return predict(self.batches[1].x).mean((1, 2)) if self.scored is None else self.scored


class Giving(Distribution):
    """A distribution that gives what it is told to."""

    metric = "loss"

    def __init__(self, given: Any, *, need: int = 0) -> None:
        self.given, self.need = given, need

    def memory(self, n: int) -> int:
        return self.need * n

    def sample(self, n: int, rng: np.random.Generator) -> Any:
        if self.need:
            raise AssertionError("nothing is sampled that cannot fit")
        return self.given


def samples(tasks: int = 2, n: int = 3, *, inputs: int = 1, x: float = 0.5, y: float = 0.5) -> Samples:
    return Samples(torch.full((tasks, n, inputs), x), torch.full((tasks, n, 1), y))


def judged(**settings: Any) -> np.ndarray:
    return evaluate(learner(), **{"tasks": Waves(), "steps": 1, "num_tasks": 2, "rng": RNG, **settings})


def gradient(episodes: Any, objective: Any = None, **settings: Any) -> Any:
    return meta_gradient(learner(), episodes, final(mse) if objective is None else objective, **settings)


GOOD = Episodes((samples(),), samples())
BAD_DATA: dict[str, tuple[Callable[[], Any], str]] = {
    "a net of one input": (
        lambda: gradient(Episodes((samples(inputs=3),), samples(inputs=3))),
        r"the net takes \[..., 1\] and got \[3, 3\]: build it for this size",
    ),
    "torch's own net of one input": (
        lambda: meta_gradient(
            GradientLearner(nn.Linear(1, 1), mse), Episodes((samples(inputs=3),), samples(inputs=3)), final(mse)
        ),
        r"GradientLearner cannot compute with support\[0\].x \[2, 3, 3\] float32, .*: .*; net, loss, objective",
    ),
    "whole numbers": (
        lambda: gradient(Episodes((Samples(torch.ones(2, 3, 1, dtype=torch.int64), torch.ones(2, 3, 1)),), samples())),
        r"cannot compute with support\[0\].x \[2, 3, 1\] int64, .*sizes, types, devices and labels",
    ),
    "another precision": (lambda: gradient(sample_episodes()), "cannot compute with .*float64"),
    "another device": (
        lambda: gradient(Episodes((Samples(*(leaf.to("meta") for leaf in samples())),), samples())), "cannot compute"
    ),
    "targets that would be stretched": (
        lambda: gradient(Episodes((Samples(torch.ones(2, 3, 1), torch.ones(2, 3)),), samples())),
        r"outputs \[3, 1\] are compared with targets \[3\]: give both the same shape",
    ),
    "no samples": (lambda: gradient(Episodes((samples(n=0),), samples())), r"targets \[0, 1\]: .*and not empty"),
    "no tasks": (lambda: gradient(Episodes((samples(0),), samples(0))), "of one size"),
    "no episodes": (lambda: gradient(samples()), "episodes is of the type Samples: give an Episodes"),
    "support and query of different tasks": (
        lambda: gradient(Episodes((samples(2),), samples(3))),
        r"of one size ≥ 1: found support\[0\].x \[2, 3, 1\] float32, .*query.x \[3, 3, 1\] float32",
    ),
    "numbers in place of tensors": (lambda: gradient(Episodes((Samples(1, 2),), samples())), "of one size"),
    "nothing": (lambda: gradient(Episodes((), ())), "found no tensor in Episodes"),
    "a loss in place of an objective": (lambda: gradient(GOOD, mse), "cannot compute with .*net, loss, objective"),
    "no function": (lambda: gradient(GOOD, 3), "objective is 3: give a function"),
    "an objective that is no number": (
        lambda: gradient(GOOD, lambda predicts, e: predicts[-1](e.query.x)),
        r"the objective returned of the type Tensor of shape \[3, 1\]: return a scalar",
    ),
    "an objective that is a Python number": (lambda: gradient(GOOD, lambda p, e: 1.0), "objective returned 1.0: "),
    "an objective without a gradient": (lambda: gradient(GOOD, lambda p, e: torch.zeros(())), "cannot compute with"),
    "an inner loss that is no number": (
        lambda: meta_gradient(
            GradientLearner(FLAT, lambda predict, batch: (predict(batch.x) - batch.y).square()), GOOD, final(mse)
        ),
        "the inner loss returned of the type",
    ),
    "one of every loss that is no number": (
        lambda: gradient(GOOD, multi_step(lambda predict, batch: predict(batch.x), (1.0,))),
        "the loss returned of the type",
    ),
    "weights of other steps": (lambda: gradient(GOOD, multi_step(mse, (0.5, 0.5))), "2 weights for 1 inner steps"),
    "parts of 0 tasks": (lambda: gradient(GOOD, chunk=0), "chunk is 0: give a whole number from 1 up"),
    "parts of half a task": (lambda: gradient(GOOD, chunk=0.5), "chunk is 0.5: give a whole number"),
    "outputs of another function": (
        lambda: meta_gradient_and_outputs(learner(), GOOD, final(mse)), "cannot compute with"
    ),
    "a replay without episodes": (lambda: learner()(samples(), final(mse)), "episodes is of the type Samples"),
    "logits for numbers": (
        lambda: cross_entropy(lambda x: torch.zeros(3, 2), Samples(torch.zeros(3, 1), torch.zeros(3))),
        r"y is float32 \[3\] and the logits are \[3, 2\]: give .* the index of a class",
    ),
    "labels in a column": (
        lambda: cross_entropy(lambda x: torch.zeros(3, 2), Samples(torch.zeros(3, 1), torch.zeros(3, 1).long())),
        r"y is int64 \[3, 1\]",
    ),
    "no labels": (
        lambda: cross_entropy(lambda x: torch.zeros(0, 2), Samples(torch.zeros(0, 1), torch.zeros(0).long())),
        "give at least one",
    ),
    "a change of other outputs": (lambda: squared_change(torch.zeros(3, 1), torch.zeros(3), ()), "the same shape"),
    "a predictor asked for other tasks": (
        lambda: next(adapt(learner(), Given(samples()), steps=0))[0](torch.zeros(3, 4, 1)),
        "inputs and states must be the task, of one size",
    ),
    "a predictor asked for text": (
        lambda: next(adapt(learner(), Given(samples()), steps=0))[0]("x"), "found of the type str, .*float32"
    ),
    "arrays of other tasks": (
        lambda: next(adapt(learner(), Given(samples()), steps=0))[0].arrays()(np.zeros((3, 4, 1), np.float32)),
        r"inputs and states must be the task, .*: found \[3, 4, 1\] float32",
    ),
    "arrays of doubles": (
        lambda: next(adapt(learner(), Given(samples()), steps=0))[0].arrays()(np.zeros((2, 4, 1))), "cannot compute"
    ),
    "a list in place of arrays": (
        lambda: next(adapt(learner(), Given(samples()), steps=0))[0].arrays()([0.0]), "cannot compute with .*ndarray"
    ),
    "policies of other tasks": (
        lambda: next(adapt(policies(), Given(samples()), steps=0))[0].arrays()(np.zeros((3, 4, 1), np.float32)),
        r"observations have the shape \(3, 4, 1\): give \[T, N, obs\] of 2 tasks",
    ),
    "a predictor asked for other inputs": (
        lambda: next(adapt(learner(), Given(samples()), steps=0))[0](torch.zeros(2, 4, 5)), "the net takes"
    ),
}  # fmt: skip
BAD_TASKS: dict[str, tuple[Callable[[], Any], str]] = {
    "NaN in the support": (
        lambda: collect(learner(), Given(samples(x=torch.nan))),
        "x in the support of inner step 0 holds NaN or infinite numbers: correct the data",
    ),
    "infinity in the query": (
        lambda: collect(learner(), Given(samples(), samples(y=torch.inf))), "y in the query holds NaN or infinite"
    ),
    "a support of fewer tasks": (
        lambda: collect(learner(), Given(samples(1))),
        r"the support of inner step 0 has 1 tasks, but 2 were sampled: it is x \[1, 3, 1\] float32",
    ),
    "a query of more tasks": (lambda: collect(learner(), Given(samples(), samples(3))), "the query has 3 tasks"),
    "no query": (lambda: collect(learner(), Given(samples(), ())), "query must be the task.*no tensor in tuple"),
    "a support of text": (lambda: collect(learner(), Given("text")), "found of the type str"),
    "a distribution in place of tasks": (lambda: collect(learner(), Waves()), "type Waves: give a Tasks"),
    "a net in place of a learner": (lambda: collect(FLAT, Given(samples())), "type MLP: give a Learner"),
    "fewer than no steps": (lambda: adapt(learner(), Given(samples()), steps=-1), "steps is -1: give a whole number"),
    "half a step": (lambda: adapt(learner(), Given(samples()), steps=0.5), "steps is 0.5: give a whole number"),
    "judging no learner": (lambda: evaluate(FLAT, Waves(), steps=1, num_tasks=2), "learner is of the type MLP"),
    "judging on no distribution": (lambda: judged(tasks=Given(samples())), "type Given: give a Distribution"),
    "judging on no tasks": (lambda: judged(num_tasks=0), "num_tasks is 0: give a whole number from 1 up"),
    "judging on half a task": (lambda: judged(num_tasks=1.5), "num_tasks is 1.5"),
    "judging after fewer than no steps": (lambda: judged(steps=-2), "steps is -2"),
    "judging by a seed": (lambda: judged(rng="0"), "rng is .0.: give a whole number"),
    "judging after no step": (lambda: judged(at=[]), "at is .*: give numbers of steps from 0 to 1"),
    "judging after other steps": (lambda: judged(at=np.array([0, 2])), "give numbers of steps from 0 to 1"),
    "judging after some number": (lambda: judged(at=1), "at is 1: give a Collection, or None"),
    "a distribution that gives others": (
        lambda: judged(tasks=Giving(Given(samples(3), n=3))),
        "Giving returned 3 tasks instead of 2 tasks: see its sample",
    ),
    "a distribution that gives none": (lambda: judged(tasks=Giving(None)), "Giving returned a NoneType instead of 2"),
    "one score for all": (
        lambda: judged(tasks=Giving(Given(samples(), score=torch.zeros(())))),
        r"score returned .*: return a score for each task, \[2\]",
    ),
    "a score in NumPy": (
        lambda: judged(tasks=Giving(Given(samples(), score=np.zeros(2)))), "score returned of the type ndarray"
    ),
    "more tasks than fit": (
        lambda: judged(tasks=Giving(None, need=2**34), num_tasks=2**20),
        r"1048576 tasks need at least 16,777,216 GiB of memory and this machine has [\d,]+: sample",
    ),
    "a seed that is negative": (lambda: generator(Stream.TEST, -1), "seed is -1"),
    "a seed that is a fraction": (lambda: generator(Stream.TEST, 0.5), "seed is 0.5"),
    "no stream": (lambda: generator(7, 0), "stream is 7: give a Stream"),
}  # fmt: skip
CALLS = BAD_DATA | BAD_TASKS


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CALLS)
def test_it_is_refused_in_one_line(name: str) -> None:
    call, message = CALLS[name]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_what_torch_said_is_kept_as_the_cause() -> None:
    with pytest.raises(ValueError, match="cannot compute") as caught:
        meta_gradient(GradientLearner(nn.Linear(2, 1), mse), GOOD, final(mse))
    assert type(caught.value.__cause__) is RuntimeError


def test_a_lack_of_memory_is_not_called_a_misfit() -> None:
    def loss(predict: Any, batch: Any) -> Tensor:
        raise torch.OutOfMemoryError("no memory")

    with pytest.raises(torch.OutOfMemoryError, match="no memory"):
        gradient(GOOD, final(loss))


def test_a_system_without_a_solution_stops_as_training_that_diverges() -> None:
    with pytest.raises(FloatingPointError, match=r"cannot solve its linear system \(.*\): .*outer learning rate"):
        gradient(GOOD, lambda predicts, e: torch.linalg.inv(0 * predicts[-1](e.query.x).expand(3, 3)).sum())


def test_what_follows_from_predictions_may_be_infinite() -> None:
    """Trajectories of a policy that diverged, say: training and scores have words of their own for it."""

    class Rolling(WaveTasks):
        def support(self, predict: Predictor, step: int) -> Samples:
            batch = super().support(predict, step)
            return Samples(batch.x, predict(batch.x) * torch.nan)

    x = torch.zeros(2, 30, 1)
    assert torch.isnan(collect(learner(), Rolling(x, x)).support[0].y).all()


def test_a_learner_without_parameters_predicts_in_numpy() -> None:
    support = Samples(torch.eye(2)[None], torch.arange(2)[None])
    *_, (predict, _) = adapt(ProtoNet(nn.Flatten(), ways=2), Given(support, n=1), steps=1)
    assert predict.arrays()(np.eye(2, dtype=np.float32)[None])[0].argmax(-1).tolist() == [0, 1]


def test_a_double_learner_takes_doubles() -> None:
    assert np.isfinite(meta_gradient(regressor(), sample_episodes(), final(mse))[0])
