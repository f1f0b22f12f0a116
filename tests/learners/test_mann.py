"""MANN against its equations in NumPy, head by head and row by row, and a task that takes memory."""

from __future__ import annotations

from typing import Any

import byhand
import numpy as np
import pytest
import torch
from few_shot import cloud_episodes
from torch import nn

from metarl.algorithms.descent import Descent
from metarl.core import Episodes
from metarl.learners.mann import MANN
from metarl.losses import Samples, cross_entropy
from metarl.objectives import final


def mann(**settings: Any) -> MANN:
    torch.manual_seed(0)
    sizes = {"controller": 6, "slots": 5, "width": 3, "heads": 2, "decay": 0.9}
    return MANN(nn.Identity(), ways=3, features=8, **{**sizes, **settings}).double()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return a @ b / np.sqrt((a @ a + 1e-6) * (b @ b + 1e-6))


def by_hand(learner: MANN, inputs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The logits after the last of the elements (x, label)."""
    p = {name: value.detach().numpy() for name, value in learner.named_parameters()}
    heads, slots, width = learner.heads, learner.slots, learner.width
    h = c = np.zeros(6)
    memory, usage = np.zeros((slots, width)), np.zeros(slots)
    reading, reads = np.zeros((heads, slots)), np.zeros(heads * width)
    for x, label in inputs:
        gates = (
            p["controller.inputs.weight"] @ np.concatenate([x, label, reads])
            + p["controller.inputs.bias"] + p["controller.hidden.weight"] @ h
        )  # fmt: skip
        i, f, g, o = gates.reshape(4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        keys = np.tanh(p["keys.weight"] @ h + p["keys.bias"]).reshape(heads, width)
        alphas = sigmoid(p["gates.weight"] @ h + p["gates.bias"])
        least = np.argsort(usage, kind="stable")[:heads]
        memory[least] = 0
        usage = 0.9 * usage
        for head in range(heads):
            for row in range(slots):
                weight = alphas[head] * reading[head, row] + (1 - alphas[head]) * (row == least[head])
                memory[row] += weight * keys[head]
                usage[row] += weight
        for head in range(heads):
            scores = np.exp([p["strengths"][head, 0] * cosine(keys[head], row) for row in memory])
            reading[head] = scores / scores.sum()
        usage = usage + reading.sum(0)
        reads = (reading @ memory).ravel()
    return p["head.weight"] @ np.concatenate([h, reads]) + p["head.bias"]


@pytest.mark.parametrize("heads", [1, 2])
def test_logits_are_those_of_the_papers_equations(heads: int) -> None:
    learner, episode = mann(heads=heads), byhand.task(cloud_episodes(shots=4), 0)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.mul_(3)  # so that memory matters
    (x, y), query = episode.support[0], episode.query.x
    logits = learner.predict(learner.states(episode.support)[1], query).detach().numpy()
    labels = [*np.eye(3)[y.numpy()], np.zeros(3)]  # 12 images, 5 rows: rows are used again
    for i in range(len(query)):
        inputs = list(zip([*x.numpy(), query[i].numpy()], labels, strict=True))
        np.testing.assert_allclose(logits[i], by_hand(learner, inputs), rtol=1e-9)


def test_an_element_is_written_with_its_label_to_the_least_used_rows() -> None:
    learner, episode = mann(slots=16), byhand.task(cloud_episodes(shots=1), 0)
    with torch.no_grad():
        learner.gates.bias.fill_(-50.0)  # write to the least used rows only
    (x, y), _ = episode.support[0], episode.query
    state = learner.states(episode.support)[1]
    other = learner.step((), Samples(x, torch.cat([y[:-1], (y[-1:] + 1) % 3])), 0)
    changed = (state.rows[0] - other.rows[0]).abs().amax(dim=1) > 1e-9
    assert changed.sum() == learner.heads
    assert not state.label.any()  # a query has none
    assert (state.rows[0].norm(dim=1) > 0.1).sum() == 3 * learner.heads


def test_a_strong_key_reads_one_row() -> None:
    episode = byhand.task(cloud_episodes(shots=1), 0)
    largest = [mann(strength=s).states(episode.support)[1].reading.max().item() for s in (1.0, 100.0)]
    assert largest[0] < 0.7
    assert largest[1] > 0.9


def halves(rng: np.random.Generator) -> Episodes:
    """32 tasks of two classes at opposite ends of a line through 0: which end is which, the one shot tells."""
    angle = rng.uniform(0, 2 * np.pi, (32, 1, 1))
    centre = np.concatenate([np.cos(angle), np.sin(angle)], 2)

    def batch(each: int) -> Samples:
        y = rng.permuted(np.broadcast_to(np.arange(2 * each) % 2, (32, 2 * each)), axis=1)
        x = (2 * y - 1)[..., None] * centre + 0.1 * rng.normal(size=(32, 2 * each, 2))
        return Samples(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y))

    return Episodes((batch(1),), batch(4))


def test_two_halves() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    learner = MANN(nn.Identity(), ways=2, features=2, controller=16, slots=4, width=8, heads=2)
    outer = Descent(learner, final(cross_entropy), optimizer=lambda p: torch.optim.Adam(p, lr=0.01))
    losses = [outer.update(halves(rng))["loss"] for _ in range(100)]
    assert losses[0] == pytest.approx(np.log(2), abs=0.05)
    assert np.mean(losses[-10:]) < 0.1


def test_there_are_rows_for_all_heads() -> None:
    with pytest.raises(ValueError, match="4 heads write to 3 slots"):
        mann(heads=4, slots=3)
