"""Outer loops that cannot be, or cannot take what they are given: each call is refused in one line of ValueError."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from toys import Waves, regressor, sample_episodes

from metarl.algorithms.alpha import AlphaLearner, AlphaMAML
from metarl.algorithms.base import Algorithm
from metarl.algorithms.descent import Descent
from metarl.algorithms.fixed import Fixed
from metarl.algorithms.multi_step import MultiStep
from metarl.algorithms.proximal import ProMP
from metarl.algorithms.reptile import Reptile
from metarl.algorithms.trust_region import TRPO
from metarl.core import Episodes
from metarl.learners.baselines import NearestNeighbour
from metarl.learners.context import CAVIA, Concatenated
from metarl.learners.gradient import GradientLearner
from metarl.learners.metric import ProtoNet
from metarl.losses import mse, squared_change
from metarl.nets.mlp import MLP
from metarl.objectives import final, multi_step
from metarl.train import MetaTraining, train

NAN, INF = float("nan"), float("inf")
SGD = partial(torch.optim.SGD, lr=0.01)


def alpha(learner: Any = None, **settings: Any) -> AlphaMAML:
    own = AlphaLearner(MLP(1, 1), mse).double() if learner is None else learner
    return AlphaMAML(own, **{"objective": final(mse), "lr": 0.1, "inner_hyper": 0.1, "outer_hyper": 0.1, **settings})


def of(make: Callable[..., Algorithm], *arguments: Any) -> Callable[..., Algorithm]:
    """`make` with the learner first, then `arguments`, and settings."""
    return lambda learner=None, **settings: make(regressor() if learner is None else learner, *arguments, **settings)


LOOPS: dict[str, Callable[..., Algorithm]] = {
    "descent": of(partial(Descent, optimizer=SGD), final(mse)),
    "multi-step": of(partial(MultiStep, iterations=9), mse),
    "proximal": of(partial(ProMP, optimizer=SGD), final(mse), squared_change),
    "reptile": of(Reptile),
    "trust region": of(partial(TRPO, damping=0.1), mse, squared_change),
    "alpha": alpha,
    "freeze": of(Fixed),
}
JUDGING = [name for name in LOOPS if name not in ("reptile", "freeze")]
LEARNING = [name for name in LOOPS if name != "freeze"]
BAD: dict[str, dict[str, tuple[Any, ...]]] = {  # values that a setting cannot have
    "trust region": {
        "max_kl": (0, -1, NAN, INF), "damping": (-1, NAN, INF), "backtrack": (0, 1, 2, -1, NAN),
        "cg_steps": (0, -1, 2.5), "backtracks": (0, -1),
        "curvature_every": ((1, 0), (1,), 3, (1.5, 1)), "recompute": ("no",),
        "step_weights": ((0,), (-1,), (NAN,), (INF,), 1.0), "divergence": (None, "kl"),
    },
    "reptile": {"lr": (0, -1, 5, NAN), "lr_end": (-1, 2, INF), "iterations": (0, -1, 2.5)},
    "multi-step": {"annealing": (-1, 1.5, NAN), "iterations": (0, 1.5), "lr_end": (-1, NAN), "loss": (3,)},
    "proximal": {"epochs": (0, -1, 1.5), "penalty": (-1, NAN, INF), "divergence": (None,)},
    "alpha": {"lr": (0, -1, NAN), "inner_hyper": (-1, NAN), "outer_hyper": (-1, INF), "objective": (3,)},
    "descent": {"optimizer": (0.1,), "scheduler": (0.1,), "objective": ("mse",)},
}  # fmt: skip
MAKE: dict[str, Callable[..., Any]] = {
    "trust region": lambda **k: TRPO(regressor(), **{"loss": mse, "divergence": squared_change, **k}),
    "reptile": lambda **k: Reptile(regressor(), **k),
    "multi-step": lambda **k: MultiStep(regressor(), **{"loss": mse, "iterations": 9, **k}),
    "proximal": lambda **k: ProMP(
        regressor(), **{"objective": final(mse), "divergence": squared_change, "optimizer": SGD, **k}
    ),
    "alpha": alpha,
    "descent": lambda **k: Descent(regressor(), **{"objective": final(mse), "optimizer": SGD, **k}),
}
SETTINGS = [
    pytest.param(name, setting, value, id=f"{name}: {setting} {value}")
    for name, settings in BAD.items() for setting, values in settings.items() for value in values
]  # fmt: skip


@pytest.mark.parametrize(("name", "setting", "value"), SETTINGS)
def test_settings_outside_their_range(name: str, setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{setting} is .*: give ") as caught:
        MAKE[name](**{setting: value})
    assert "\n" not in str(caught.value)


def frozen() -> GradientLearner:
    learner = regressor()
    learner.get_parameter("net.layers.0.bias").requires_grad_(False)
    return learner


EPISODES = sample_episodes()
CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    **{f"{name}: a net": (partial(make, MLP(1, 1)), "learner is of the type MLP: give an? (Alpha)?Learner")
       for name, make in LOOPS.items()},
    **{f"{name}: chunk {chunk}": (partial(make, chunk=chunk), f"chunk is {chunk}: give a whole number")
       for name, make in LOOPS.items() for chunk in (0, -2, 1.5)},
    **{f"{name}: no episodes": (partial(LOOPS[name]().update, EPISODES.query), "type Samples: give an Episodes")
       for name in LOOPS},
    **{f"{name}: no query": (
           partial(LOOPS[name]().update, EPISODES._replace(query=())),
           "uses the query, and the episodes have none: collect them with query=True")
       for name in JUDGING},
    **{f"{name}: support and query of different tasks": (
           partial(LOOPS[name]().update, Episodes(EPISODES.support, sample_episodes(tasks=5).query)),
           r"of one size ≥ 1: found support\[0\].x \[4, 6, 1\] float64")
       for name in LEARNING},
    **{f"{name}: nothing to learn": (partial(LOOPS[name], NearestNeighbour(ways=2)), "no parameter to|adapts none")
       for name in LEARNING if name != "alpha"},
    **{f"{name}: a parameter that is frozen": (partial(LOOPS[name], frozen()), "use `freeze` to exclude it")
       for name in LEARNING if name != "alpha"},
    **{f"{name}: another's state": (partial(make().load_state_dict, {"foreign": 1}), "state has the entries .*foreign")
       for name, make in LOOPS.items()},
    "everything fixed": (lambda: LOOPS["descent"](freeze="net"), "GradientLearner has no parameter to learn"),
    "fixed by a number": (lambda: LOOPS["descent"](freeze=3), "freeze is 3: give a text"),
    "half a layer's name": (lambda: LOOPS["reptile"](freeze="net.lay"), "freeze is 'net.lay', but no"),
    "Alpha MAML of a plain learner": (lambda: alpha(regressor()), "type GradientLearner: give an AlphaLearner"),
    "Reptile of prototypes": (lambda: Reptile(ProtoNet(MLP(1, 2), ways=2)), "ProtoNet with 1 inner steps adapts none"),
    "Reptile of contexts": (lambda: Reptile(CAVIA(Concatenated(MLP(3, 1)), mse, context=2)), "CAVIA .* adapts none"),
    "Reptile without steps": (lambda: Reptile(regressor(steps=0)), "with 0 inner steps adapts none: give it steps"),
    "Reptile that speeds up": (lambda: Reptile(regressor(), lr=0.1, lr_end=0.5, iterations=9), "give 0 ≤ lr_end ≤ lr"),
    "multi-step without steps": (lambda: LOOPS["multi-step"](regressor(steps=0)), "takes no inner step"),
    "proximal without steps": (lambda: LOOPS["proximal"](regressor(steps=0)), "takes no inner step"),
    "an optimiser that is none": (
        lambda: Descent(regressor(), final(mse), optimizer=lambda p: 3), "the result of optimizer is 3: give an Opt"
    ),
    "a scheduler that is none": (
        lambda: Descent(regressor(), final(mse), optimizer=SGD, scheduler=lambda o: 3), "the result of scheduler is 3"
    ),
    "an optimiser's own refusal": (
        lambda: Descent(regressor(), final(mse), optimizer=partial(torch.optim.SGD, lr=-1)), "Invalid learning rate"
    ),
    "weights of other steps": (
        lambda: TRPO(regressor(), mse, squared_change, step_weights=(1, 1)), "2 entries for 1 inner steps"
    ),
    "every with other weights": (
        lambda: Descent(regressor(), multi_step(mse, (1, 1)), optimizer=SGD).update(EPISODES),
        "2 weights for 1 inner steps",
    ),
    "a loss that is no number": (
        lambda: TRPO(regressor(), lambda p, b: p(b.x), squared_change).update(EPISODES), "the loss returned of"
    ),
    "a divergence that is no number": (
        lambda: TRPO(regressor(), mse, lambda new, old, b: new - old).update(EPISODES),
        r"the divergence returned of the type Tensor of shape \[7, 1\]: return a scalar",
    ),
    "a penalty that is no number": (
        lambda: ProMP(regressor(), final(mse), lambda new, old, b: new - old, optimizer=SGD).update(EPISODES),
        "the divergence returned",
    ),
    "a loss for an objective": (
        lambda: Descent(regressor(), mse, optimizer=SGD).update(EPISODES), "cannot compute with .*objective"
    ),
    "a count that is none": (lambda: Reptile(regressor()).load_state_dict({"count": "3"}), "count is '3': give"),
    "a state that is none": (lambda: Reptile(regressor()).load_state_dict(3), "has the type int, but Reptile"),
    "training a learner": (lambda: train(regressor(), Waves(), iterations=1, meta_batch=1), "give an Algorithm"),
    "training on nothing": (lambda: train(Fixed(regressor()), None, iterations=1, meta_batch=1), "distribution is N"),
    "training for ever": (lambda: train(Fixed(regressor()), Waves(), iterations=INF, meta_batch=1), "iterations is"),
    "training from before the start": (
        lambda: train(Fixed(regressor()), Waves(), iterations=1, meta_batch=1, start=-1), "start is -1"
    ),
    "half a task": (lambda: MetaTraining(Fixed(regressor()), Waves(), iterations=1, meta_batch=0.5), "meta_batch is"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_it_is_refused_in_one_line(name: str) -> None:
    call, message = CALLS[name]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_more_tasks_than_fit_are_refused_before_any_is_made() -> None:
    class Large(Waves):
        def memory(self, n: int) -> int:
            return n * 2**34

        def sample(self, n: int, rng: Any) -> Any:
            raise AssertionError("nothing is sampled that cannot fit")

    updates = train(Fixed(regressor()), Large(), iterations=1, meta_batch=10**6)
    with pytest.raises(ValueError, match=r"1000000 tasks need at least 16,000,000 GiB of memory and this machine has"):
        next(updates)


class Headed(nn.Module):
    """A net of one's own, whose last layer has a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.out = nn.Linear(1, 4), nn.Linear(4, 1)

    @property
    def head(self) -> nn.Module:
        return self.out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.body(x).tanh())


@pytest.mark.parametrize("name", ["descent", "multi-step", "proximal", "reptile"])
@pytest.mark.parametrize("freeze", ["net.head", "net.out"])
def test_a_fixed_head_that_tasks_adapt_begins_at_0_and_stays(name: str, freeze: str) -> None:
    learner = GradientLearner(Headed(), mse, steps=2).double()
    start = learner.get_parameter("net.body.weight").detach().clone()
    algorithm = LOOPS[name](learner, freeze=freeze)
    for _ in range(2):
        algorithm.update(sample_episodes(steps=2))
        assert not learner.get_parameter("net.out.weight").any()
        assert not learner.get_parameter("net.out.bias").any()
    assert not torch.equal(learner.get_parameter("net.body.weight"), start)


def test_a_fixed_head_that_tasks_do_not_adapt_is_kept() -> None:
    """At 0 it would let no gradient through."""
    learner = GradientLearner(Headed(), mse, adapt="body").double()
    head = learner.get_parameter("net.out.weight").detach().clone()
    LOOPS["descent"](learner, freeze="net.head").update(sample_episodes())
    assert torch.equal(learner.get_parameter("net.out.weight"), head)
    assert head.all()
