"""Graph networks on support and query (Garcia and Bruna 2018)."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.learners.metric import Embedded
from metarl.learners.support import SupportLearner, Ways
from metarl.ranges import Count, Range, Whole, checked


class GNN(SupportLearner):
    """A graph network on the graph of a query and the support (Garcia and Bruna 2018, section 4).

    Each query has its own graph with the support, so that predictions are not transductive. Nodes are [f(x), label],
    with one-hot labels for the support and a uniform one for the query. Each layer concatenates the result of a graph
    convolution to the nodes' features; one more graph convolution gives the logits.

    Args:
        hidden: hidden units of the nets for edges; graph convolutions have half as many channels
        layers: number of graph convolutions before the last one
    """

    @checked
    def __init__(
        self,
        encoder: nn.Module,
        *,
        ways: Ways,
        features: Count,
        hidden: Annotated[int, Range(2)] = 96,
        layers: Whole = 2,
    ) -> None:
        super().__init__(encoder, ways=ways)
        width = features + ways
        self.edges, self.convolutions = nn.ModuleList(), nn.ModuleList()
        for i in range(layers + 1):
            outputs = hidden // 2 if i < layers else ways
            self.edges.append(Edges(width, hidden))
            self.convolutions.append(nn.Linear(2 * width, outputs))
            width += outputs

    def read(self, features: Tensor, labels: Tensor) -> Embedded:
        return Embedded(features, labels)

    def logits(self, state: Embedded, features: Tensor) -> Tensor:
        unknown = torch.full((len(features), self.ways), 1 / self.ways, dtype=features.dtype, device=features.device)
        query = torch.cat([features, unknown], 1)[:, None]
        support = torch.cat(list(state), 1).expand(len(features), -1, -1)
        nodes = torch.cat([query, support], 1)  # [m, n + 1, features + ways]
        for i, (edges, convolution) in enumerate(zip(self.edges, self.convolutions, strict=True)):
            new = convolution(torch.cat([nodes, edges(nodes) @ nodes], 2))
            if i + 1 == len(self.edges):
                break
            nodes = torch.cat([nodes, functional.leaky_relu(normalised(new, (1,)))], 2)
        return new[:, 0]


class Edges(nn.Module):
    """The adjacency A_ij = softmax_{j ≠ i} MLP(|x_i − x_j|), [m, n, n], of nodes [m, n, width] (section 4.2).

    Each layer is normalised over the edges of its own graph instead of the paper's batch normalisation.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        sizes = (width, 2 * hidden, 2 * hidden, hidden, hidden)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.last = nn.Linear(hidden, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        x = (nodes[:, :, None] - nodes[:, None]).abs()
        for layer in self.layers:
            x = functional.leaky_relu(normalised(layer(x), (1, 2)))
        loops = torch.eye(nodes.shape[1], dtype=torch.bool, device=nodes.device)
        return self.last(x).squeeze(-1).masked_fill(loops, -torch.inf).softmax(2)


def normalised(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """x, normalised to mean 0 and variance 1 over `axes`."""
    x = x - x.mean(axes, keepdim=True)
    return x * (x.square().mean(axes, keepdim=True) + 1e-5).rsqrt()
