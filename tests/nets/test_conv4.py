"""Conv4 against torch's own convolution and batch normalisation, up to the meta-gradient of a loop over tasks."""

from __future__ import annotations

from typing import Any

import byhand
import pytest
import torch
from byhand import Params, flat, relative_error
from torch import Tensor
from torch.nn import functional

from metarl.core import Episodes, meta_gradient
from metarl.learners.gradient import GradientLearner
from metarl.losses import Samples, cross_entropy
from metarl.nets.conv4 import Conv4, FeatureMaps
from metarl.objectives import final

FORM = pytest.mark.parametrize("pool", [False, True], ids=["stride", "pool"])


def classifier(*, pool: bool = False, size: int = 17) -> Conv4:
    """A small float64 Conv4, 2 channels to 3 classes, away from its initial scales and shifts."""
    torch.manual_seed(0)
    net = Conv4(2, 3, size=size, filters=4, pool=pool).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net


def episodes(*, tasks: int = 3, steps: int = 2, size: int = 17) -> Episodes:
    rng = torch.Generator().manual_seed(1)

    def batch(n: int) -> Samples:
        y = torch.randint(3, (tasks, n), generator=rng)
        return Samples(torch.randn(tasks, n, 2, size, size, generator=rng, dtype=torch.float64), y)

    return Episodes(tuple(batch(5) for _ in range(steps)), batch(7))


def by_hand(params: Params, x: Tensor, *, pool: bool) -> Tensor:
    for i in range(4):
        name = f"blocks.{i}."
        x = functional.conv2d(x, params[f"{name}convolution.weight"], stride=1 if pool else 2, padding=1)
        scale, shift = params[f"{name}norm.weight"], params[f"{name}norm.bias"]
        x = functional.batch_norm(x, None, None, scale, shift, training=True).relu()
        x = functional.max_pool2d(x, 2) if pool else x
    return functional.linear(x.flatten(1) if pool else x.mean((2, 3)), params["head.weight"], params["head.bias"])


def hand_gradient(net: Conv4, data: Episodes, *, lr: float, adapt: str, pool: bool) -> Tensor:
    def loss(params: Params, batch: Any) -> Tensor:
        return functional.cross_entropy(by_hand(params, batch.x, pool=pool), batch.y)

    params, total = dict(net.named_parameters()), torch.zeros((), dtype=torch.float64)
    for t in range(len(data.query.x)):
        task = byhand.task(data, t)
        total = total + loss(byhand.adapted(params, task.support, loss, lr=lr, adapt=adapt)[-1], task.query) / 3
    return flat(torch.autograd.grad(total, list(params.values())))


@FORM
def test_logits_and_gradient_are_those_of_torch(pool: bool) -> None:
    net, batch = classifier(pool=pool), byhand.task(episodes(), 0).query
    x = batch.x.requires_grad_()
    found, expected = net(x), by_hand(dict(net.named_parameters()), x, pool=pool)
    assert relative_error(found.detach(), expected.detach()) < 1e-12
    by = [x, *net.parameters()]
    pair = [torch.autograd.grad(functional.cross_entropy(logits, batch.y), by) for logits in (found, expected)]
    assert relative_error(flat(pair[0]), flat(pair[1])) < 1e-10


@FORM
@pytest.mark.parametrize("adapt", ["", "blocks.0", "blocks.2.norm", "head"])
def test_meta_gradient_is_that_of_a_loop_over_tasks(pool: bool, adapt: str) -> None:
    net, data = classifier(pool=pool), episodes()
    learner = GradientLearner(net, cross_entropy, steps=2, lr=0.3, adapt=adapt)
    expected = hand_gradient(net, data, lr=0.3, adapt=adapt, pool=pool)
    for chunk in (None, 1):
        found = flat(meta_gradient(learner, data, final(cross_entropy), chunk=chunk)[1])
        assert relative_error(found, expected) < 1e-10


def test_meta_gradient_by_images() -> None:
    net, data = classifier(), byhand.task(episodes(), 0)
    x = data.support[0].x.requires_grad_()
    params = dict(net.named_parameters())

    def after_a_step(call: Any) -> Tensor:
        loss = functional.cross_entropy(call(params, x), data.support[0].y)
        inner = torch.autograd.grad(loss, list(params.values()), create_graph=True)
        moved = {name: p - 0.3 * g for (name, p), g in zip(params.items(), inner, strict=True)}
        return torch.autograd.grad(functional.cross_entropy(call(moved, data.query.x), data.query.y), x)[0]

    found = after_a_step(lambda p, images: torch.func.functional_call(net, p, (images,)))
    assert relative_error(found, after_a_step(lambda p, images: by_hand(p, images, pool=False))) < 1e-10


def test_float32_meta_gradient_is_near_float64s() -> None:
    net, data = classifier(), episodes()
    exact = hand_gradient(net, data, lr=0.3, adapt="", pool=False)
    single = Episodes(*torch.utils._pytree.tree_map(lambda v: v.float() if v.is_floating_point() else v, tuple(data)))
    learner = GradientLearner(net.float(), cross_entropy, steps=2, lr=0.3)
    assert relative_error(flat(meta_gradient(learner, single, final(cross_entropy))[1]).double(), exact) < 1e-4


def test_normalisation_is_of_the_batch_in_evaluation_too() -> None:
    net, x = classifier().eval(), torch.randn(6, 2, 17, 17, dtype=torch.float64)
    assert not torch.allclose(net(x)[:3], net(x[:3]))
    assert [name for name, _ in net.named_buffers()] == []


def test_sizes_are_the_papers() -> None:
    omniglot, mini = Conv4(1, 5), Conv4(3, 5, size=84, filters=32, pool=True)
    assert omniglot.head.in_features == 64
    assert mini.head.in_features == 800
    assert mini(torch.randn(2, 3, 84, 84)).shape == (2, 5)


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"size 15 vanish"):
        Conv4(1, 5, size=15, pool=True)
    with pytest.raises(ValueError, match=r"takes images \(1, 28, 28\) and got \(3, 28, 28\)"):
        Conv4(1, 5)(torch.zeros(2, 3, 28, 28))


@pytest.mark.parametrize(("pool", "features"), [(False, 6), (True, 6 * 4)])
def test_without_outputs_it_gives_the_features(pool: bool, features: int) -> None:
    torch.manual_seed(0)
    whole, encoder = Conv4(1, 5, size=32, filters=6, pool=pool), Conv4(1, None, size=32, filters=6, pool=pool)
    assert encoder.features == features
    encoder.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("head")})
    x = torch.randn(7, 1, 32, 32)
    found = encoder(x)
    assert found.shape == (7, features)
    assert whole.head is not None
    torch.testing.assert_close(whole.head(found), whole(x))


def test_maps_are_conv4s_modules_with_the_last_at_full_size() -> None:
    for size, pool, side in ((28, False, 4), (84, True, 10), (19, False, 3)):
        maps, conv4 = FeatureMaps(1, size=size, filters=6, pool=pool), Conv4(1, None, size=size, filters=6, pool=pool)
        x = torch.rand(3, 1, size, size)
        assert maps.side == side
        assert maps(x).shape == (3, 6, side, side)
        assert {name: p.shape for name, p in maps.named_parameters()} == {
            name: p.shape for name, p in conv4.named_parameters()
        }
