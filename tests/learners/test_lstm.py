"""The LSTM that reads a support, against torch's own LSTM on whole sequences, and toys that it learns."""

from __future__ import annotations

import byhand
import numpy as np
import pytest
import torch
from few_shot import FEATURES, INPUTS, WAYS, Clouds, cloud_episodes
from torch import Tensor, nn
from torch.nn import functional
from toys import Waves, random_samples

from metarl.algorithms.descent import Descent
from metarl.evaluation import evaluate
from metarl.learners.lstm import LSTMClassifier, LSTMRegressor
from metarl.losses import Samples, mse
from metarl.nets.mlp import MLP
from metarl.nets.recurrent import LSTMCell
from metarl.train import train


def torch_lstm(cell: LSTMCell) -> nn.LSTM:
    """torch's LSTM with the same weights."""
    made = nn.LSTM(cell.inputs.in_features, cell.size).double()
    weights = {"weight_ih": cell.inputs.weight, "weight_hh": cell.hidden.weight, "bias_ih": cell.inputs.bias}
    for name, value in weights.items():
        setattr(made, f"{name}_l0", nn.Parameter(value.detach()))
    nn.init.zeros_(made.bias_hh_l0)
    return made


def last(cell: LSTMCell, rows: list[Tensor]) -> Tensor:
    """The last hidden state of a sequence."""
    return torch_lstm(cell)(torch.stack(rows))[0][-1]


def regressor() -> LSTMRegressor:
    torch.manual_seed(0)
    return LSTMRegressor(mse, hidden=6).double()


def test_regression_is_the_end_of_a_sequence_for_each_query() -> None:
    learner, rng = regressor(), np.random.default_rng(0)
    support, query = (byhand.task(random_samples(1, n, rng), 0) for n in (5, 3))
    found = learner.predict(learner.states((support,))[1], query.x)
    one, none = torch.ones(1).double(), torch.zeros(2).double()
    before = [torch.cat([x, y, one]) for x, y in zip(*support, strict=True)]
    for i, x in enumerate(query.x):
        torch.testing.assert_close(found[i], learner.head(last(learner.cell, [*before, torch.cat([x, none])])))


def test_a_further_step_continues_the_sequence_and_the_start_has_read_nothing() -> None:
    learner, rng = regressor(), np.random.default_rng(0)
    points = byhand.task(random_samples(1, 7, rng), 0)
    once = learner.states((points,))[-1]
    twice = learner.states((Samples(points.x[:2], points.y[:2]), Samples(points.x[2:], points.y[2:])))[-1]
    torch.testing.assert_close(twice, once)
    alone = learner.predict(learner.init(), points.x)
    expected = last(learner.cell, [functional.pad(points.x[3], (0, 2))])
    torch.testing.assert_close(alone[3], learner.head(expected))


def test_logits_are_the_end_of_a_sequence_for_each_query() -> None:
    torch.manual_seed(0)
    learner = LSTMClassifier(nn.Tanh(), ways=3, features=8, hidden=6).double()
    episode = byhand.task(cloud_episodes(), 0)
    (x, y), query = episode.support[0], episode.query.x
    logits = learner.predict(learner.states(episode.support)[1], query)
    before = list(torch.cat([x.tanh(), functional.one_hot(y, 3).double()], 1))
    for i in range(len(query)):
        row = functional.pad(query[i].tanh(), (0, 3))
        torch.testing.assert_close(logits[i], learner.head(last(learner.cell, [*before, row])))


def test_waves() -> None:
    """The mean squared error falls to less than a tenth of that of any prediction without a support."""
    torch.manual_seed(0)
    learner = LSTMRegressor(mse, hidden=16)
    for _ in train(Descent(learner, lr=0.01), Waves(), iterations=300, meta_batch=20):
        pass
    blind, after = evaluate(learner, Waves(), steps=1, num_tasks=100, rng=np.random.default_rng(1)).mean(1)
    assert blind > 0.9 * Waves.blind
    assert after < 0.1 * Waves.blind


def test_clouds() -> None:
    """After training, at least 0.65 of the queries are right; a third is chance."""
    torch.manual_seed(0)
    encoder = MLP(INPUTS, FEATURES, hidden=(10,), activation="tanh")
    learner = LSTMClassifier(encoder, ways=WAYS, features=FEATURES, hidden=48)
    for _ in train(Descent(learner, lr=0.01), Clouds(), iterations=200, meta_batch=16):
        pass
    after = evaluate(learner, Clouds(), steps=1, num_tasks=200, rng=np.random.default_rng(1)).mean(1)[1]
    assert after > 0.65


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="hidden is 0"):
        LSTMRegressor(mse, hidden=0)
    with pytest.raises(ValueError, match="loss is None"):
        LSTMRegressor(None)  # type: ignore[arg-type]
