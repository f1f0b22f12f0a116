"""The gradient learner: MAML, FOMAML, Meta-SGD and ANIL are settings of one inner loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_leaves, tree_map

from metarl.adaptable import check_names
from metarl.core import Episodes, Learner, Loss, Predict, Tree, recalling
from metarl.ranges import Positive, Whole, checked
from metarl.sums import one_number


class GradientLearner(Learner):
    """θ' = θ − α∇L_support(θ), `steps` times (MAML, Finn et al. 2017, eq. 1). The state is {name: tensor}.

    `rate` is α: a number, or a sequence of one α a step, whose last holds for all further steps (the paper's
    locomotion runs use 0.1, then 0.05). Settings:

    - `first_order=True`: the inner gradient is taken as a constant (FOMAML, section 5.2).
    - `learn_rate=True`: every parameter has its own learned α (Meta-SGD, Li et al. 2017, eq. 2), starting at `rate`.
    - `fast="head"`: only the net's last layer is adapted (ANIL, Raghu et al. 2020), or, by the start of their names,
      any other parameters: "mean" for a policy without its log-std, say.

    Raises ValueError when `fast` matches no parameter.
    """

    @checked
    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        *,
        steps: Whole = 1,
        rate: Positive | Sequence[Positive] = 0.1,
        first_order: bool = False,
        learn_rate: bool = False,
        fast: str = "",
    ) -> None:
        super().__init__()
        self.net, self.loss, self.steps, self.first_order = net, loss, steps, first_order
        self.names = check_names(net, fast, "fast")
        self.rates = tuple(float(r) for r in np.atleast_1d(np.asarray(rate, dtype=float)))
        if not self.rates:
            raise ValueError("rate is an empty sequence: give one step size, or one for each inner step")
        if learn_rate and len(self.rates) > 1:
            raise ValueError("learn_rate starts every parameter at one rate: give a number, not a sequence")
        parameters = dict(net.named_parameters())
        self.learned = (
            nn.ParameterDict({n.replace(".", "/"): torch.full_like(parameters[n], self.rates[0]) for n in self.names})
            if learn_rate
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
        """θ − α∇L at inner step `k`, of one task or of several stacked."""
        if self.learned is not None:
            rates = {name: self.learned[name.replace(".", "/")] for name in state}
        else:
            rates = dict.fromkeys(state, self.rates[min(k, len(self.rates) - 1)])
        return {name: value - rates[name] * gradients[name] for name, value in state.items()}

    def together(self, episodes: Episodes, objective: Callable[..., Tree]) -> Tree:
        """As in `Learner`, faster: the gradient of the sum of the tasks' losses is each task's own.

        One call of autograd gives all; `torch.func.grad` would wrap every operation a second time. An objective that
        asks what was said of a support batch when its step was taken hears it again, unless steps are first-order.
        """
        count, outer = len(tree_leaves(episodes)[0]), torch.is_grad_enabled()
        first_order = outer and self.first_order
        losses = vmap(self._loss_and_said, randomness="different")
        state = {name: value.expand(count, *value.shape) for name, value in self.init().items()}
        states, heard = [state], []
        for k, batch in enumerate(episodes.support):
            with torch.enable_grad():
                inputs = {  # under no_grad even a view of a parameter says that it requires gradients
                    name: value if outer and value.requires_grad else value.detach().requires_grad_()
                    for name, value in state.items()
                }
                loss, said = losses(inputs, batch)
                found = torch.autograd.grad(
                    loss.sum(), list(inputs.values()), create_graph=outer and not first_order, materialize_grads=True
                )
            state = self.descend(state, dict(zip(state, found, strict=True)), k)
            states.append(state)
            if not first_order:  # whose graphs are freed by now
                heard.append(said if outer else tree_map(torch.detach, said))

        def judge(states: list[dict[str, Tensor]], heard: list[Tree], episode: Episodes) -> Tree:
            predicts: list[Predict] = [partial(self.predict, state) for state in states]
            for k, (said, batch) in enumerate(zip(heard, episode.support, strict=False)):
                predicts[k] = recalling(predicts[k], batch[0], said)
            return objective(predicts, episode)

        return vmap(judge, randomness="different")(states, heard, episodes)

    def _loss_and_said(self, state: dict[str, Tensor], batch: Any) -> tuple[Tensor, Tree]:
        """The inner loss of one task, and what it heard."""
        said = self.predict(state, batch[0])
        loss = self.loss(recalling(partial(self.predict, state), batch[0], said), batch)
        return one_number(loss, "the inner loss"), said

    def predict(self, state: dict[str, Tensor], x: Tree) -> Tree:
        return functional_call(self.net, state, (x,))

    @property
    def in_numpy(self) -> bool:
        return hasattr(self.net, "arrays")

    def arrays(self, states: dict[str, Tensor]) -> Callable[[np.ndarray], Tree]:
        fast = getattr(self.net, "arrays", None)
        if fast is None:
            return super().arrays(states)
        count = len(next(iter(states.values())))
        params = {name: value.detach().expand(count, *value.shape) for name, value in self.net.named_parameters()}
        return fast({name: value.detach().cpu().numpy() for name, value in {**params, **states}.items()})
