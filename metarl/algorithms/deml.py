"""Deep meta-learning: features are learned jointly by meta-learning and by classification (Zhou et al. 2018)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import Parameter, functional

from metarl.algorithms.base import exclusive, require_finite
from metarl.algorithms.descent import Descent
from metarl.core import Episodes, Learner, Predictor
from metarl.learners.laplace import Headed
from metarl.ranges import Count, NonNegative, Positive, checked
from metarl.tasks.joint import Joint


class DEML(Descent):
    """Gradient descent on the sum of a meta-learning loss and a classification loss, which share an encoder.

    See Zhou et al. 2018, section 3. Its three modules are the concept generator G, which is the encoder of a `Headed`
    net; the meta-learner, which adapts to tasks on the features of G; and the concept discriminator D, a linear
    classifier of the features of `external` images, whose classes may differ from those of the tasks. All three are
    learned jointly:

    minimise E_task[query loss of the learner] + weight · E_(x, y)[cross-entropy of D(G(x)) and y].

    The meta-learner of the paper is Meta-SGD: `GradientLearner(Headed(encoder, …), loss, adapt="head", learn_lr=True)`.
    D belongs to the outer loop, and is not needed after training. Each update draws one batch of `external` images.
    Raises ValueError for a learner whose net is not a `Headed`.

    Args:
        weight: weight of the classification loss, which is added to the query loss
        lr: learning rate of Adam in the outer loop
        lr_end: learning rate to which lr is annealed linearly over the iterations; by default lr is constant
        iterations: number of updates over which the learning rate is annealed
        freeze: the start of the names of parameters of the learner that are not meta-learned
    """

    @checked
    def __init__(
        self,
        learner: Learner,
        external: Joint,
        *,
        weight: NonNegative = 1.0,
        lr: Positive = 1e-3,
        lr_end: NonNegative | None = None,
        iterations: Count | None = None,
        freeze: str = "",
        chunk: Count | None = None,
    ) -> None:
        net = getattr(learner, "net", None)
        if not isinstance(net, Headed):
            kind = "has no net" if net is None else f"has the net {type(net).__name__}"
            raise ValueError(f"{type(learner).__name__} {kind}: give DEML a learner whose net is a Headed")
        head = net.head.weight
        self.encoder, self.external, self.weight = net.encoder, external, weight
        self.discriminator = nn.Linear(head.shape[1], len(external.classes)).to(head.device, head.dtype)
        super().__init__(learner, lr=lr, lr_end=lr_end, iterations=iterations, freeze=freeze, chunk=chunk)

    def _trainable(self, freeze: str = "") -> list[Parameter]:
        return [*super()._trainable(freeze), *self.discriminator.parameters()]

    def concept_loss(self) -> Tensor:
        """The cross-entropy (nats) of the discriminator on a new batch of external images."""
        rng = np.random.default_rng(int(torch.randint(2**62, ())))  # the same batch in every process
        batch = self.external.sample(1, rng).query(Predictor(self.learner, tuple))
        features = self.encoder(batch.x[0].to(self.discriminator.weight.dtype))
        return functional.cross_entropy(self.discriminator(features), batch.y[0])

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        concepts = self.concept_loss()
        loss, gradients = self.meta_gradient(self.learner, episodes, self.objective, chunk=self.chunk)
        shared, own = list(self.learner.parameters()), list(self.discriminator.parameters())
        found = torch.autograd.grad(self.weight * concepts, [*shared, *own], allow_unused=True, materialize_grads=True)
        norm = self._assign_gradient(a + b for a, b in zip(gradients, found, strict=False))
        for parameter, gradient in zip(own, found[len(shared) :], strict=True):
            require_finite("the gradient of the discriminator", float(gradient.norm()))
            parameter.grad = gradient
        self.optimizer.step()
        if self.scheduler:
            self.scheduler.step()
        return {"loss": loss, "concept_loss": concepts.item(), "gradient_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "discriminator": self.discriminator.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.discriminator.load_state_dict(state["discriminator"])
