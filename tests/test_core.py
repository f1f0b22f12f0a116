"""The core with a learner of its own, small enough to work out: the state is one number that moves towards y."""

from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toys import regressor, sample_episodes

from metarl.core import Episodes, Learner, Predictor, Tasks, adapt, collect, meta_gradient, split_weighted
from metarl.losses import Samples, mse
from metarl.objectives import final, multi_step
from metarl.tasks.sinusoid import Sinusoid


class Follower(Learner):
    """ŷ = state + x; each step goes `lr`·(k + 1) of the way to the mean of y. Counts how often it steps."""

    def __init__(self, *, steps: int = 2) -> None:
        super().__init__()
        self.steps, self.calls = steps, 0
        self.start = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.lr = nn.Parameter(torch.tensor(0.25, dtype=torch.float64))
        self.unused = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def init(self) -> Tensor:
        return self.start

    def step(self, state: Tensor, batch: Samples, k: int) -> Tensor:
        self.calls += 1
        return state + self.lr * (k + 1) * (batch.y.mean() - state)

    def predict(self, state: Tensor, x: Tensor) -> Tensor:
        return state + x


class Echo(Tasks):
    """Tasks whose support is what the learner predicts at x = task number, plus 1: like rollouts, made with it."""

    def __init__(self, n: int) -> None:
        self.n, self.x = n, torch.arange(n, dtype=torch.float64)[:, None, None]
        self.asked: list[int] = []

    def support(self, predict: Predictor, step: int) -> Samples:
        self.asked.append(step)
        return Samples(self.x, predict(self.x) + 1)

    def query(self, predict: Predictor) -> Samples:
        return Samples(self.x, predict(self.x))

    def score(self, predict: Predictor) -> Tensor:
        return predict(self.x).mean((1, 2))


class Fixed(Echo):
    """Tasks that ignore the predictor, as supervised ones do."""

    def support(self, predict: Predictor, step: int) -> Samples:
        return Samples(self.x, self.x)

    def query(self, predict: Predictor) -> Samples:
        return Samples(self.x, self.x)


def by_hand(task: int) -> list[float]:
    """The follower's states on one `Echo` task: s ← s + 0.25·(k + 1)·((s + task + 1) − s)."""
    return [1.0, 1.0 + 0.25 * (task + 1), 1.0 + 0.75 * (task + 1)]


def test_adapt_yields_each_predictor_with_its_support_batch_and_then_the_last() -> None:
    learner, tasks = Follower(), Echo(3)
    pairs = list(adapt(learner, tasks, steps=2))
    assert len(pairs) == 3
    assert [batch is None for _, batch in pairs] == [False, False, True]
    assert tasks.asked == [0, 1]
    for k, (predict, _) in enumerate(pairs):
        assert predict.states.tolist() == [by_hand(t)[k] for t in range(3)]
        assert not predict.states.requires_grad
    for k in (0, 1):  # the batch of step k was made with the predictor before it
        batch = pairs[k][1]
        assert batch is not None
        assert batch.y.flatten().tolist() == [by_hand(t)[k] + t + 1 for t in range(3)]
    assert len(list(adapt(learner, tasks, steps=0))) == 1


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_collect_records_what_the_learner_saw_and_forward_replays_it(chunk: int | None) -> None:
    learner = Follower()
    episodes = collect(learner, Echo(3), chunk=chunk)
    assert len(episodes.support) == 2
    assert episodes.query.y.flatten().tolist() == [by_hand(t)[2] + t for t in range(3)]
    replayed = learner(episodes, lambda predicts, ep: torch.stack([p(0.0) for p in predicts]), chunk=chunk)
    assert replayed.tolist() == [by_hand(t) for t in range(3)]
    assert collect(learner, Echo(3), query=False).query == ()


def test_supervised_tasks_never_pay_for_states() -> None:
    learner = Follower()
    collect(learner, Fixed(3))
    assert learner.calls == 0
    collect(learner, Sinusoid().sample(3, np.random.default_rng(0)))
    assert learner.calls == 0
    collect(learner, Echo(3))  # one vmapped step each: the second support batch and the query ask
    assert learner.calls == 2


@pytest.mark.parametrize("chunk", [None, 1, 2, 5])
def test_vmapped_forward_equals_a_loop(chunk: int | None) -> None:
    learner, episodes = regressor(steps=2, lr=0.2), sample_episodes(steps=2, tasks=5)
    losses = []
    for t in range(5):
        support = [Samples(*(leaf[t] for leaf in batch)) for batch in episodes.support]
        predict = partial(learner.predict, learner.states(support)[-1])
        losses.append(mse(predict, Samples(*(leaf[t] for leaf in episodes.query))))
    torch.testing.assert_close(learner(episodes, final(mse), chunk=chunk), torch.stack(losses), rtol=1e-13, atol=0)
    assert len(torch.stack(losses).unique()) == 5


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_meta_gradient_worked_by_hand(chunk: int | None) -> None:
    """One step, y = task; query x = y = 0: loss s'², s' = s + r·(task − s); d/ds 2s'(1 − r), d/dr 2s'(task − s)."""
    y = torch.arange(3, dtype=torch.float64)[:, None, None]
    zero = torch.zeros_like(y)
    episodes = Episodes((Samples(y, y),), Samples(zero, zero))
    value, (start, lr, unused) = meta_gradient(Follower(), episodes, final(mse), chunk=chunk)
    after = [0.75, 1.0, 1.25]
    assert value == pytest.approx(sum(a * a for a in after) / 3, rel=1e-14)
    assert start.item() == pytest.approx(sum(2 * a * 0.75 for a in after) / 3, rel=1e-14)
    assert lr.item() == pytest.approx(sum(2 * a * (t - 1) for t, a in enumerate(after)) / 3, rel=1e-14)
    assert unused.tolist() == [0.0, 0.0]


def test_split_cuts_every_leaf_with_its_share() -> None:
    class Pair(NamedTuple):
        a: Tensor
        b: tuple[Tensor, ...]

    tree = Pair(torch.arange(5), (torch.arange(10).view(5, 2),))
    parts = split_weighted(tree, 2)
    assert [part.a.tolist() for part, _ in parts] == [[0, 1], [2, 3], [4]]
    assert [part.b[0].tolist() for part, _ in parts] == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9]]]
    assert [share for _, share in parts] == [0.4, 0.4, 0.2]
    assert [(part.a.tolist(), share) for part, share in split_weighted(tree, None)] == [([0, 1, 2, 3, 4], 1.0)]


def test_arrays_predict_from_the_adapted_states() -> None:
    learner = Follower().float()
    *_, (predict, _) = adapt(learner, FloatEcho(3), steps=2)
    x = np.array([[[10.0]], [[20.0]], [[30.0]]], np.float32)
    out = predict.arrays()(x)
    assert isinstance(out, np.ndarray)
    assert out.flatten().tolist() == [10 + by_hand(0)[2], 20 + by_hand(1)[2], 30 + by_hand(2)[2]]


class FloatEcho(Echo):
    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.x = self.x.float()


def test_every_weighs_the_query_loss_after_each_step() -> None:
    learner, episodes = regressor(steps=2, lr=0.1), sample_episodes(steps=2)
    one, two = learner(episodes, lambda predicts, ep: tuple(mse(p, ep.query) for p in predicts[1:]))
    torch.testing.assert_close(learner(episodes, multi_step(mse, (0.7, 0.3))), 0.7 * one + 0.3 * two)
    torch.testing.assert_close(learner(episodes, multi_step(mse, (0.0, 1.0))), learner(episodes, final(mse)))
    with pytest.raises(ValueError, match="1 weights for 2 inner steps"):
        learner(episodes, multi_step(mse, (1.0,)))
