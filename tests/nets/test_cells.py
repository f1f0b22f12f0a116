"""Nets of repeated cells against their definition in plain calls of torch; texts of cells."""

from __future__ import annotations

import byhand
import pytest
import torch
from byhand import flat, relative_error
from torch import Tensor
from torch.nn import functional

from metarl.core import Episodes, meta_gradient
from metarl.learners.gradient import GradientLearner
from metarl.losses import Samples, cross_entropy
from metarl.nets.cells import OPERATIONS, Branch, CellNet, format_cell, parse_cell
from metarl.objectives import final

CELL = "0-conv3+1-max3 2-sep3+0-identity 1-dil3+0-avg3"  # the second block takes the first; both others are ends


def net(cell: str = CELL) -> CellNet:
    torch.manual_seed(0)
    made = CellNet(2, 3, cell=cell, size=9, filters=4, cells=2).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def by_hand(params: dict[str, Tensor], x: Tensor) -> Tensor:
    """The net of the cell `CELL`."""

    def norm(x: Tensor, name: str) -> Tensor:
        return functional.batch_norm(x, None, None, params[f"{name}.weight"], params[f"{name}.bias"], training=True)

    last = norm(functional.conv2d(x, params["first.weight"], stride=2, padding=1), "first_norm")
    before = last
    for i in range(2):
        branches, relu = f"cells.{i}.operations", functional.relu
        conv = functional.conv2d(relu(last), params[f"{branches}.0.layers.0.weight"], padding=1)
        first = norm(conv, f"{branches}.0.norm") + functional.max_pool2d(before, 3, 1, 1)
        deep = functional.conv2d(relu(first), params[f"{branches}.2.layers.0.weight"], padding=1, groups=4)
        wide = functional.conv2d(deep, params[f"{branches}.2.layers.1.weight"])
        second = norm(wide, f"{branches}.2.norm") + last
        dilated = functional.conv2d(relu(before), params[f"{branches}.4.layers.0.weight"], padding=2, dilation=2)
        third = norm(dilated, f"{branches}.4.norm") + functional.avg_pool2d(last, 3, 1, 1)
        joined = functional.conv2d(relu(torch.cat([second, third], 1)), params[f"cells.{i}.join.weight"])
        new = norm(joined, f"cells.{i}.norm")
        before, last = functional.max_pool2d(last, 2), functional.max_pool2d(new, 2)
    pooled = functional.relu(last).mean((2, 3))
    return functional.linear(pooled, params["head.weight"], params["head.bias"])


def samples(tasks: int, n: int, seed: int) -> Samples:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(tasks, n, 2, 9, 9, generator=rng, dtype=torch.float64)
    return Samples(x, torch.randint(3, (tasks, n), generator=rng))


def test_logits_are_those_of_the_definition() -> None:
    made, x = net(), samples(1, 6, 1).x[0]
    expected = by_hand(dict(made.named_parameters()), x)
    assert relative_error(made(x).detach(), expected.detach()) < 1e-12
    assert CellNet(2, None, cell=CELL, size=9, filters=4, cells=2)(x.float()).shape == (6, 4)


@pytest.mark.parametrize("first_order", [True, False])
def test_meta_gradient_is_that_of_a_loop_over_tasks(first_order: bool) -> None:
    made, data = net(), Episodes((samples(3, 5, 1),) * 2, samples(3, 7, 2))

    def loss(params: dict[str, Tensor], batch: Samples) -> Tensor:
        return functional.cross_entropy(by_hand(params, batch.x), batch.y)

    params, total = dict(made.named_parameters()), torch.zeros((), dtype=torch.float64)
    for t in range(3):
        task, adapted = byhand.task(data, t), params
        for support in task.support:
            gradients = torch.autograd.grad(loss(adapted, support), list(adapted.values()), create_graph=True)
            moves = [gradient.detach() if first_order else gradient for gradient in gradients]
            adapted = {name: p - 0.1 * move for (name, p), move in zip(adapted.items(), moves, strict=True)}
        total = total + loss(adapted, task.query) / 3
    expected = flat(torch.autograd.grad(total, list(params.values())))
    learner = GradientLearner(made, cross_entropy, steps=2, lr=0.1, first_order=first_order)
    _, found = meta_gradient(learner, data, final(cross_entropy))
    assert relative_error(flat(found), expected) < 1e-9


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_keeps_the_size(operation: str) -> None:
    made = net(f"0-{operation}+1-{operation}")
    assert made.cells[0](*torch.randn(2, 3, 4, 5, 5, dtype=torch.float64)).shape == (3, 4, 5, 5)


def test_a_cell_is_written_as_text() -> None:
    cell = parse_cell(CELL)
    assert cell[1] == (Branch(2, "sep3"), Branch(0, "identity"))
    assert parse_cell(format_cell(cell)) == cell
    for wrong, message in (
        ("", "has no blocks"), ("0-conv3", "block '0-conv3': write STATE"), ("0-conv7+1-max3", "operations among"),
        ("0-conv3+2-max3", "number 0: give states 0 … 1"), ("-1-conv3+0-max3", "write STATE"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            parse_cell(wrong)
    with pytest.raises(ValueError, match="vanish in 3 cells: give 15 or more"):
        CellNet(1, 5, cell=CELL, size=14)
    with pytest.raises(ValueError, match=r"takes images \(2, 9, 9\)"):
        net()(torch.zeros(1, 2, 8, 8, dtype=torch.float64))
