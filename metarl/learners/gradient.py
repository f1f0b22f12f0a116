"""Gradient descent as the inner loop, of which MAML, FOMAML, Meta-SGD and ANIL are special cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_leaves, tree_map

from metarl.adaptable import check_names
from metarl.core import Episodes, Learner, Loss, Predict, Tree, with_cached_output
from metarl.ranges import Positive, Whole, checked
from metarl.rematerialise import rematerialised_forward
from metarl.sums import one_number


class GradientLearner(Learner):
    """Gradient descent on the support loss from the meta-parameters θ: θ' = θ − α∇L_support(θ), `steps` times.

    With the default settings this is MAML (Finn et al. 2017, eq. 1), with `first_order=True` FOMAML (section 5.2), with
    `learn_lr=True` Meta-SGD (Li et al. 2017, eq. 2), and with `adapt="head"` ANIL (Raghu et al. 2020). The state is
    {name: tensor}. Raises ValueError if `adapt` matches no parameter.

    Args:
        steps: number of inner steps
        lr: inner learning rate α, or one for each step; the last holds for further steps (in the paper 0.1, then 0.05)
        first_order: treat the inner gradient as a constant in the outer loop
        learn_lr: learn a separate α, which starts at `lr`, for every parameter
        adapt: the start of the names of the parameters that are adapted; by default all, and "head" is the last layer
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """

    @checked
    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        *,
        steps: Whole = 1,
        lr: Positive | Sequence[Positive] = 0.1,
        first_order: bool = False,
        learn_lr: bool = False,
        adapt: str = "",
        rematerialise: bool = False,
    ) -> None:
        super().__init__()
        self.net, self.loss, self.steps, self.first_order = net, loss, steps, first_order
        self.rematerialise = rematerialise
        self.names = check_names(net, adapt, "adapt")
        self.lrs = tuple(float(r) for r in np.atleast_1d(np.asarray(lr, dtype=float)))
        if not self.lrs:
            raise ValueError("lr is an empty sequence: give one learning rate, or one for each inner step")
        if learn_lr and len(self.lrs) > 1:
            raise ValueError("learn_lr uses the same α at all inner steps: give lr as a number, not a sequence")
        parameters = dict(net.named_parameters())
        self.learned = (
            nn.ParameterDict({n.replace(".", "/"): torch.full_like(parameters[n], self.lrs[0]) for n in self.names})
            if learn_lr
            else None
        )

    def init(self) -> dict[str, Tensor]:
        parameters = dict(self.net.named_parameters())
        return {name: parameters[name] for name in self.names}

    def step(self, state: dict[str, Tensor], batch: Any, k: int) -> dict[str, Tensor]:
        gradients = grad(lambda s: self.loss(partial(self.predict, s), batch))(state)
        if self.first_order:
            gradients = tree_map(torch.detach, gradients)
        return self.descend(state, gradients, k)

    def descend(self, state: dict[str, Tensor], gradients: dict[str, Tensor], k: int) -> dict[str, Tensor]:
        """θ − α∇L at inner step `k`, for one task or for stacked tasks."""
        if self.learned is not None:
            lrs = {name: self.learned[name.replace(".", "/")] for name in state}
        else:
            lrs = dict.fromkeys(state, self.lrs[min(k, len(self.lrs) - 1)])
        return {name: value - lrs[name] * gradients[name] for name, value in state.items()}

    def batched_forward(self, episodes: Episodes, objective: Callable[..., Tree]) -> Tree:
        """As in `Learner`, but faster: one call of autograd on the sum of the losses gives the gradients of all tasks.

        `torch.func.grad` would wrap each operation a second time. The outputs on the support batches in the inner steps
        are cached for objectives that use them, unless the steps are first-order.
        """
        if self.rematerialise:
            return rematerialised_forward(self, episodes, objective)
        count, outer = len(tree_leaves(episodes)[0]), torch.is_grad_enabled()
        state = {name: value.expand(count, *value.shape) for name, value in self.init().items()}
        states, recorded = [state], []
        for k, batch in enumerate(episodes.support):
            state, output = self._step_and_output(state, batch, k)
            states.append(state)
            if not (outer and self.first_order):  # in that case, the graphs of the outputs are freed
                recorded.append(output if outer else tree_map(torch.detach, output))

        def with_recorded(states: list[dict[str, Tensor]], recorded: list[Tree], episode: Episodes) -> Tree:
            predicts: list[Predict] = [partial(self.predict, state) for state in states]
            for k, (output, batch) in enumerate(zip(recorded, episode.support, strict=False)):
                predicts[k] = with_cached_output(predicts[k], batch[0], output)
            return objective(predicts, episode)

        return vmap(with_recorded, randomness="different")(states, recorded, episodes)

    def batched_step(self, states: dict[str, Tensor], batch: Any, k: int) -> dict[str, Tensor]:
        return self._step_and_output(states, batch, k)[0]

    def _step_and_output(self, state: dict[str, Tensor], batch: Any, k: int) -> tuple[dict[str, Tensor], Tree]:
        """The states of all tasks after inner step `k`, and the outputs from which their losses are computed."""
        outer = torch.is_grad_enabled()
        with torch.enable_grad():
            inputs = {  # under no_grad even a view of a parameter has requires_grad set
                name: value if outer and value.requires_grad else value.detach().requires_grad_()
                for name, value in state.items()
            }
            loss, output = vmap(self._loss_and_output, randomness="different")(inputs, batch)
            found = torch.autograd.grad(
                loss.sum(), list(inputs.values()), create_graph=outer and not self.first_order, materialize_grads=True
            )
        return self.descend(state, dict(zip(state, found, strict=True)), k), output

    def _loss_and_output(self, state: dict[str, Tensor], batch: Any) -> tuple[Tensor, Tree]:
        """The inner loss of one task, and the outputs from which it is computed."""
        output = self.predict(state, batch[0])
        loss = self.loss(with_cached_output(partial(self.predict, state), batch[0], output), batch)
        return one_number(loss, "the inner loss"), output

    def predict(self, state: dict[str, Tensor], x: Tree) -> Tree:
        return functional_call(self.net, state, (x,))

    def module(self, state: dict[str, Tensor]) -> nn.Module:
        """A copy of the net with the adapted parameters of one task."""
        net = deepcopy(self.net).requires_grad_(False)
        for name, value in state.items():
            net.get_parameter(name).copy_(value)
        return net

    @property
    def in_numpy(self) -> bool:
        return hasattr(self.net, "arrays")

    def arrays(self, states: dict[str, Tensor]) -> Callable[[np.ndarray], Tree]:
        adapt = getattr(self.net, "arrays", None)
        if adapt is None:
            return super().arrays(states)
        count = len(next(iter(states.values())))
        params = {name: value.detach().expand(count, *value.shape) for name, value in self.net.named_parameters()}
        return adapt({name: value.detach().cpu().numpy() for name, value in {**params, **states}.items()})
