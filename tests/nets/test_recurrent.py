"""The hand-written LSTM against torch's."""

import torch
from torch import Tensor, nn
from torch.func import vmap

from metarl.nets.recurrent import LSTMCell


def pair() -> tuple[LSTMCell, nn.LSTM]:
    torch.manual_seed(0)
    ours, theirs = LSTMCell(3, 4).double(), nn.LSTM(3, 4).double()
    with torch.no_grad():
        ours.inputs.weight.copy_(theirs.weight_ih_l0)
        ours.hidden.weight.copy_(theirs.weight_hh_l0)
        ours.inputs.bias.copy_(theirs.bias_ih_l0 + theirs.bias_hh_l0)
    return ours, theirs


def test_gates_are_torchs() -> None:
    (ours, theirs), x = pair(), torch.randn(6, 2, 3).double()
    expected, (hidden, cell) = theirs(x)
    torch.testing.assert_close(ours.run(x), expected)
    state: tuple[Tensor, Tensor] = (torch.zeros(2, 4).double(), torch.zeros(2, 4).double())
    for row in x:
        state = ours(row, state)
    torch.testing.assert_close(state, (hidden[0], cell[0]))


def test_a_case_by_hand() -> None:
    """One unit, all weights 0, biases i 0, f 0, g large, o large: c' = c/2 + 1/2 and h' = tanh c'."""
    cell = LSTMCell(1, 1)
    with torch.no_grad():
        cell.inputs.weight.zero_(), cell.hidden.weight.zero_()
        cell.inputs.bias.copy_(torch.tensor([0.0, 0.0, 50.0, 50.0]))
    hidden, memory = cell(torch.ones(1, 1), (torch.ones(1, 1), torch.full((1, 1), 3.0)))
    torch.testing.assert_close(memory, torch.tensor([[2.0]]))
    torch.testing.assert_close(hidden, torch.tensor([[2.0]]).tanh())


def test_under_vmap_with_weights_of_each_task() -> None:
    (ours, _), x = pair(), torch.randn(5, 6, 2, 3).double()
    weights = torch.randn(5, 16, 4).double()

    def run(weight: Tensor, x: Tensor) -> Tensor:
        return torch.func.functional_call(_Run(ours), {"cell.hidden.weight": weight}, (x,))

    found = vmap(run)(weights, x)
    for task in range(5):
        torch.testing.assert_close(found[task], run(weights[task], x[task]))


class _Run(nn.Module):
    def __init__(self, cell: LSTMCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        return self.cell.run(x)
