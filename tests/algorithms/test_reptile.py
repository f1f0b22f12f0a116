"""Reptile: θ + ε·mean(θ' − θ), with ε falling linearly, for regression and for policies."""

import byhand
import pytest
import torch
from byhand import flat
from toys import policy_learner, regressor, rollout_episodes, sample_episodes

from metarl.algorithms.reptile import Reptile

KINDS = {
    "regression": (regressor, sample_episodes, byhand.squared_error),
    "policy": (policy_learner, rollout_episodes, byhand.ratio_loss),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_moves_towards_the_mean_adapted_parameters(kind: str, chunk: int | None) -> None:
    make, episodes_of, loss = KINDS[kind]
    learner = make(steps=3, lr=0.2)
    algorithm = Reptile(learner, lr=0.8, lr_end=0.2, iterations=3, chunk=chunk)
    for epsilon in (0.8, 0.6, 0.4, 0.2, 0.2):  # (0.8 − 0.2)/3 less an update, then it stays
        episodes = episodes_of(steps=3)._replace(query=())  # it asks for no query
        params = {name: value.detach().clone().requires_grad_() for name, value in learner.net.named_parameters()}
        ends = [
            flat(list(byhand.adapted(params, byhand.task(episodes.support, t), loss, lr=0.2)[-1].values()))
            for t in range(len(episodes.support[0][0]))
        ]
        start = flat(list(params.values()))
        change = torch.stack(ends).mean(0) - start
        metrics = algorithm.update(episodes)
        after = flat(list(learner.parameters()))
        torch.testing.assert_close(after, start + epsilon * change, rtol=1e-12, atol=1e-14)
        assert metrics["outer_lr"] == pytest.approx(epsilon)
        assert metrics["distance"] == pytest.approx(float(change.norm()), rel=1e-12)
        assert change.norm() > 1e-3
    assert not algorithm.uses_query


def test_what_is_not_adapted_stays() -> None:
    learner = regressor(steps=2, lr=0.2, adapt="layers.1", learn_lr=True)
    before = {name: value.detach().clone() for name, value in learner.named_parameters()}
    Reptile(learner).update(sample_episodes(steps=2))
    moved = {name for name, value in learner.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"net.layers.1.weight", "net.layers.1.bias"}


def test_what_is_fixed_stays_though_tasks_adapt_it() -> None:
    episodes = sample_episodes(steps=2)
    free, freeze = regressor(steps=2, lr=0.2), regressor(steps=2, lr=0.2)
    start = {name: value.detach().clone() for name, value in free.named_parameters()}
    Reptile(free).update(episodes)
    Reptile(freeze, freeze="net.layers.0").update(episodes)
    for name, value in freeze.named_parameters():
        held = name.startswith("net.layers.0.")
        assert torch.equal(value, start[name] if held else free.get_parameter(name))
        assert not torch.equal(free.get_parameter(name), start[name])
    with pytest.raises(ValueError, match="freeze is 'head', but no parameter's name starts with it: GradientLearner"):
        Reptile(free, freeze="head")


def test_no_iterations_are_refused() -> None:
    with pytest.raises(ValueError, match="iterations is 0"):
        Reptile(regressor(), iterations=0)
