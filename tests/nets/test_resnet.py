"""ResNet-12: its size, and its features and meta-gradient against torch's own layers."""

from __future__ import annotations

import pytest
import torch
from byhand import Params, flat, relative_error
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from metarl.nets.resnet import ResNet12


def encoder() -> ResNet12:
    """A small float64 net away from its initial scales and shifts."""
    torch.manual_seed(0)
    net = ResNet12(2, filters=(3, 4, 5, 6)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net


def by_hand(params: Params, x: Tensor) -> Tensor:
    def normalised(x: Tensor, name: str, padding: int) -> Tensor:
        x = functional.conv2d(x, params[f"{name}.convolution.weight"], padding=padding)
        return functional.batch_norm(
            x, None, None, params[f"{name}.norm.weight"], params[f"{name}.norm.bias"], training=True
        )

    for i in range(4):
        name = f"blocks.{i}"
        y = functional.leaky_relu(normalised(x, f"{name}.layers.0", 1), 0.1)
        y = functional.leaky_relu(normalised(y, f"{name}.layers.1", 1), 0.1)
        y = normalised(y, f"{name}.layers.2", 1) + normalised(x, f"{name}.shortcut", 0)
        x = functional.max_pool2d(functional.leaky_relu(y, 0.1), 2)
    return x.flatten(2).mean(2)


@pytest.mark.parametrize(("filters", "millions"), [((64, 160, 320, 640), 12.42), ((64, 128, 256, 512), 8.0)])
def test_sizes_are_the_papers(filters: tuple[int, ...], millions: float) -> None:
    with torch.device("meta"):
        net = ResNet12(3, filters=filters)
        assert net(torch.empty(2, 3, 84, 84)).shape == (2, filters[-1])
    assert net.features == filters[-1]
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


def test_features_are_torchs() -> None:
    net, x = encoder(), torch.randn(3, 2, 35, 35, dtype=torch.float64)
    assert relative_error(net(x).detach(), by_hand(dict(net.named_parameters()), x).detach()) < 1e-10


def test_a_head_makes_features_logits() -> None:
    torch.manual_seed(0)
    net, x = ResNet12(1, 5, filters=(3, 4, 5, 6)), torch.randn(4, 1, 28, 28)
    features = net.blocks(x).mean((2, 3))
    assert net.head is not None
    torch.testing.assert_close(net(x), functional.linear(features, net.head.weight, net.head.bias))


def test_gradient_after_an_inner_step_under_vmap_is_that_of_a_loop() -> None:
    net, images = encoder(), torch.randn(2, 4, 2, 16, 16, dtype=torch.float64)
    params, goal = dict(net.named_parameters()), torch.randn(2, 4, 6, dtype=torch.float64)

    def loss(p: Params, x: Tensor, y: Tensor) -> Tensor:
        return (functional_call(net, p, (x,)) - y).square().mean()

    def after(p: Params, x: Tensor, y: Tensor) -> Tensor:
        slopes = grad(loss)(p, x, y)
        return loss({name: value - 0.3 * slopes[name] for name, value in p.items()}, x, y)

    total = vmap(after, in_dims=(None, 0, 0))(params, images, goal).sum()
    found = flat(torch.autograd.grad(total, list(params.values())))
    terms = []
    for x, y in zip(images, goal, strict=True):
        before = (by_hand(params, x) - y).square().mean()
        slopes = torch.autograd.grad(before, list(params.values()), create_graph=True)
        moved = {name: value - 0.3 * s for (name, value), s in zip(params.items(), slopes, strict=True)}
        terms.append((by_hand(moved, x) - y).square().mean())
    expected = flat(torch.autograd.grad(torch.stack(terms).sum(), list(params.values())))
    assert relative_error(found, expected) < 1e-8


def test_images_are_checked() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 15, 84\)"):
        ResNet12(3)(torch.zeros(2, 3, 15, 84))
