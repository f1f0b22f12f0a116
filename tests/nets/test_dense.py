"""Batch normalisation and MAML's net without convolutions, against torch's own layers."""

from __future__ import annotations

import pytest
import torch
from byhand import Params, flat, relative_error
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from metarl.nets.dense import Dense
from metarl.nets.normalisation import BatchNorm


def net(outputs: int | None = 3) -> Dense:
    """A small float64 net away from its initial scales and shifts."""
    torch.manual_seed(0)
    net = Dense(2, outputs, size=4, hidden=(8, 6)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net


def by_hand(params: Params, x: Tensor) -> Tensor:
    x = x.flatten(1)
    for i in range(2):
        x = functional.linear(x, params[f"layers.{i}.weight"])
        x = functional.batch_norm(x, None, None, params[f"norms.{i}.weight"], params[f"norms.{i}.bias"], training=True)
        x = x.relu()
    return functional.linear(x, params["head.weight"], params["head.bias"]) if "head.weight" in params else x


@pytest.mark.parametrize("outputs", [3, None])
def test_net_is_torchs(outputs: int | None) -> None:
    dense, x = net(outputs), torch.randn(5, 2, 4, 4, dtype=torch.float64)
    said = dense(x).detach()
    assert said.shape == (5, outputs or dense.features)
    assert relative_error(said, by_hand(dict(dense.named_parameters()), x).detach()) < 1e-10


def test_net_has_the_papers_layers_and_takes_only_its_size() -> None:
    dense = Dense(1, 5)
    assert [layer.weight.shape for layer in dense.layers] == [(256, 784), (128, 256), (64, 128), (64, 64)]
    with pytest.raises(ValueError, match=r"takes images \(1, 28, 28\) and got \(3, 28, 28\)"):
        dense(torch.zeros(2, 3, 28, 28))


def test_gradient_after_an_inner_step_under_vmap_is_that_of_a_loop() -> None:
    dense, images = net(), torch.randn(2, 4, 2, 4, 4, dtype=torch.float64)
    params, labels = dict(dense.named_parameters()), torch.randint(3, (2, 4))

    def after_a_step(p: Params, x: Tensor, y: Tensor) -> Tensor:
        slopes = grad(lambda q: functional.cross_entropy(functional_call(dense, q, (x,)), y))(p)
        moved = {name: value - 0.5 * slopes[name] for name, value in p.items()}
        return functional.cross_entropy(functional_call(dense, moved, (x,)), y)

    batched = vmap(grad(after_a_step), in_dims=(None, 0, 0))(params, images, labels)
    for t in range(2):
        start = {name: p.detach().requires_grad_() for name, p in params.items()}
        loss = functional.cross_entropy(by_hand(start, images[t]), labels[t])
        slopes = torch.autograd.grad(loss, list(start.values()), create_graph=True)
        moved = {name: p - 0.5 * s for (name, p), s in zip(start.items(), slopes, strict=True)}
        after = functional.cross_entropy(by_hand(moved, images[t]), labels[t])
        expected = torch.autograd.grad(after, list(start.values()))
        assert relative_error(flat([batched[name][t] for name in start]), flat(expected)) < 1e-9


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6, 3, 5, 4)])
def test_normalisation_is_torchs(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    norm, x = BatchNorm(3).double(), 4 + 2 * torch.randn(shape, dtype=torch.float64)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2.0, 0.5]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, 3.0]))
    torch.testing.assert_close(norm(x), functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True))
