"""The graph network against a loop over nodes."""

from __future__ import annotations

import byhand
import torch
from few_shot import FEATURES, WAYS, cloud_episodes
from torch import Tensor, nn
from torch.nn import functional

from metarl.learners.graph import GNN, Edges
from metarl.losses import Samples


def normal(rows: Tensor) -> Tensor:
    """Rows [n, d] with mean 0 and variance 1."""
    return (rows - rows.mean(0)) / (rows.var(0, unbiased=False) + 1e-5).sqrt()


def adjacency(edges: Edges, nodes: Tensor) -> Tensor:
    n = len(nodes)
    x = torch.stack([(nodes[i] - nodes[j]).abs() for i in range(n) for j in range(n)])
    for layer in edges.layers:
        x = functional.leaky_relu(normal(layer(x)))
    scores = edges.last(x).view(n, n)
    rows = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        row = torch.zeros(n).double()
        row[others] = scores[i, others].softmax(0)
        rows.append(row)
    return torch.stack(rows)


def test_logits_are_those_of_a_loop_over_queries_and_nodes() -> None:
    torch.manual_seed(0)
    learner = GNN(nn.Identity(), ways=3, features=4, hidden=6, layers=2).double()
    x, y, query = torch.randn(5, 4).double(), torch.tensor([2, 0, 1, 1, 0]), torch.randn(3, 4).double()
    found = learner.predict(learner.step((), Samples(x, y), 0), query)
    for logits, q in zip(found, query, strict=True):
        labels = torch.cat([torch.full((1, 3), 1 / 3), functional.one_hot(y, 3)]).double()
        nodes = torch.cat([torch.cat([q[None], x]), labels], 1)
        for i, (edges, linear) in enumerate(zip(learner.edges, learner.convolutions, strict=True)):
            new = linear(torch.cat([nodes, adjacency(edges, nodes) @ nodes], 1))
            nodes = torch.cat([nodes, functional.leaky_relu(normal(new))], 1) if i < 2 else new
        torch.testing.assert_close(logits, nodes[0])


def test_widths_are_the_papers() -> None:
    learner = GNN(nn.Identity(), ways=5, features=64)
    assert [c.out_features for c in learner.convolutions] == [48, 48, 5]
    assert [e.layers[0].in_features for e in learner.edges] == [69, 117, 165]
    assert [layer.out_features for layer in learner.edges[0].layers] == [192, 192, 96, 96]


def test_labels_reach_the_query_through_the_graph() -> None:
    torch.manual_seed(0)
    learner = GNN(nn.Linear(8, FEATURES), ways=WAYS, features=FEATURES, hidden=8).double()
    episode = byhand.task(cloud_episodes(), 0)
    x, y = episode.support[0]
    first, second = (learner.predict(learner.step((), Samples(x, z), 0), episode.query.x) for z in (y, (y + 1) % WAYS))
    assert (first - second).abs().max() > 1e-3
