"""The outer step size of Descent: a torch scheduler steps once an update and is saved with the optimiser."""

import torch
from toys import regressor, sample_episodes

from metarl.algorithms.descent import Descent
from metarl.learners.gradient import GradientLearner
from metarl.losses import mse
from metarl.objectives import final


def descent(learner: GradientLearner) -> Descent:
    return Descent(
        learner,
        final(mse),
        optimizer=lambda p: torch.optim.SGD(p, lr=0.5),
        scheduler=lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=5),
    )


def test_the_rate_falls_and_resumes() -> None:
    episodes, learner = sample_episodes(), regressor(lr=0.1)
    algorithm, lrs = descent(learner), []
    for k in range(5):
        lrs.append(algorithm.optimizer.param_groups[0]["lr"])
        algorithm.update(episodes)
        if k == 2:
            resumed = descent(learner)
            resumed.load_state_dict(algorithm.state_dict())
            assert resumed.optimizer.param_groups[0]["lr"] == algorithm.optimizer.param_groups[0]["lr"]
            algorithm = resumed
    torch.testing.assert_close(lrs, [0.5, 0.4, 0.3, 0.2, 0.1])
    before = [p.detach().clone() for p in learner.parameters()]
    algorithm.update(episodes)  # the rate has reached 0
    assert all(torch.equal(a, b) for a, b in zip(before, learner.parameters(), strict=True))
