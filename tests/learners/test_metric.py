"""Prototypes, siamese pairs and relations against cases worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.learners.metric import Comparison, ProtoNet, RelationNet, SiameseNet, relation_mse, verification
from metarl.learners.support import class_means, squared_distances
from metarl.losses import Samples

SUPPORT = Samples(torch.tensor([[0.0, 0.0], [3.0, 1.0], [2.0, 0.0], [5.0, 5.0]]), torch.tensor([0, 1, 0, 1]))
QUERY = torch.tensor([[1.0, 0.0], [4.0, 0.0]])


def after_support(learner: ProtoNet | SiameseNet | RelationNet, x: Tensor = QUERY) -> Tensor:
    return learner.predict(learner.step((), SUPPORT, 0), x)


def test_prototypes_are_class_means_and_logits_squared_distances() -> None:
    logits = after_support(ProtoNet(nn.Identity(), ways=2))  # prototypes (1, 0) and (4, 3)
    torch.testing.assert_close(logits, -torch.tensor([[0.0, 18.0], [9.0, 9.0]]))


def test_prototypes_may_have_other_ways_after_training() -> None:
    learner = ProtoNet(nn.Identity(), ways=2)
    learner.ways = 3
    assert learner.predict(learner.step((), Samples(SUPPORT.x, torch.tensor([0, 1, 2, 2])), 0), QUERY).shape == (2, 3)


def test_a_class_that_is_not_there_has_mean_0() -> None:
    means = class_means(SUPPORT.x, functional.one_hot(SUPPORT.y, 3).float())
    torch.testing.assert_close(means, torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 0.0]]))


def test_squared_distances_are_torchs() -> None:
    a, b = torch.randn(4, 3).double(), torch.randn(5, 3).double()
    torch.testing.assert_close(squared_distances(a, b), torch.cdist(a, b).square())


def siamese() -> SiameseNet:
    learner = SiameseNet(nn.Identity(), ways=2, features=2)
    with torch.no_grad():
        learner.same.weight.copy_(torch.tensor([[-1.0, 2.0]]))
        learner.same.bias.fill_(0.5)
    return learner


def test_siamese_logits_are_of_the_most_similar_image_of_a_class() -> None:
    # from (1, 0) to class 0: |1, 0|, |1, 0|; to 1: |2, 1|, |4, 5|. From (4, 0): |4, 0|, |2, 0|; |1, 1|, |1, 5|
    torch.testing.assert_close(after_support(siamese()), torch.tensor([[-0.5, 6.5], [-1.5, 9.5]]))


def test_untrained_siamese_is_a_nearest_neighbour() -> None:
    learner = SiameseNet(nn.Identity(), ways=2, features=2)
    assert after_support(learner, torch.tensor([[1.0, 0.0], [4.0, 1.0]])).argmax(1).tolist() == [0, 1]
    torch.testing.assert_close(learner.same.weight.norm(), torch.tensor(1.0))


def test_verification_weighs_the_two_kinds_of_pairs_alike() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.0], [0.5, 3.0, 1.0]])

    def same(z: float) -> float:
        return math.log1p(math.exp(-z))

    expected = (same(1) + same(1)) / 2 + (same(2) + same(0) + same(-0.5) + same(-3)) / 4
    found = verification(lambda x: logits, Samples(QUERY, torch.tensor([0, 2])))
    assert float(found) == pytest.approx(expected / 2, rel=1e-6)


def test_relation_sees_the_sum_of_a_class_then_the_query() -> None:
    class Weighted(nn.Module):
        def forward(self, pairs: Tensor) -> Tensor:
            return (pairs * torch.tensor([1.0, 10.0, 100.0, 1000.0])).sum(1, keepdim=True)

    logits = after_support(RelationNet(nn.Identity(), Weighted(), ways=2), torch.tensor([[1.0, 0.0], [4.0, 2.0]]))
    # class sums (2, 0) and (8, 6)
    torch.testing.assert_close(logits, torch.tensor([[102.0, 168.0], [2402.0, 2468.0]]))


def test_relation_of_feature_maps_joins_their_channels() -> None:
    torch.manual_seed(0)
    maps = Samples(torch.randn(4, 3, 8, 8), SUPPORT.y)
    net, query = Comparison(3, 8), torch.randn(5, 3, 8, 8)
    learner = RelationNet(nn.Identity(), net, ways=2)
    found = learner.predict(learner.step((), maps, 0), query)
    sums = [maps.x[[0, 2]].sum(0), maps.x[[1, 3]].sum(0)]
    pairs = torch.stack([torch.cat([sums[k], q]) for q in query for k in range(2)])
    torch.testing.assert_close(found, net(pairs).view(5, 2))
    assert net.head[0].in_features == 3 * 2 * 2
    with pytest.raises(ValueError, match="size 3 vanish"):
        Comparison(3, 3)


def test_relation_mse_is_of_scores() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])  # scores 1/2 and 3/4
    found = relation_mse(lambda x: logits, Samples(QUERY[:1], torch.tensor([1])))
    assert float(found) == pytest.approx((0.25 + 0.0625) / 2, rel=1e-6)
