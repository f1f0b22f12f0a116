"""ProMP updates: epochs of Adam on the clipped loss with a penalty, against the same by hand."""

from functools import partial

import byhand
import pytest
import torch
from byhand import flat
from torch import Tensor
from toys import policy_learner, regressor, rollout_episodes, sample_episodes

from metarl.algorithms.descent import Descent
from metarl.algorithms.proximal import ProMP
from metarl.core import Episodes, meta_gradient
from metarl.learners.gradient import GradientLearner
from metarl.losses import mse, squared_change
from metarl.objectives import final
from metarl.rl.losses import clipped_surrogate, mean_kl, surrogate

ADAM = partial(torch.optim.Adam, lr=0.02)


def weights(learner: GradientLearner) -> Tensor:
    return flat(list(learner.parameters()))


def test_one_epoch_without_penalty_or_clip_is_adam_on_the_surrogate() -> None:
    learner, twin, episodes = policy_learner(steps=2), policy_learner(steps=2), rollout_episodes(steps=2)
    first = ProMP(learner, final(clipped_surrogate(1e6)), mean_kl, optimizer=ADAM, epochs=1, penalty=0.0)
    second = Descent(twin, final(surrogate), optimizer=ADAM)
    for _ in range(3):
        metrics, expected = first.update(episodes), second.update(episodes)
        assert metrics["loss"] == pytest.approx(expected["loss"], rel=1e-12)
        torch.testing.assert_close(weights(learner), weights(twin), rtol=1e-9, atol=1e-12)


def objective_by_hand(learner: GradientLearner, old: list[list[byhand.Params]], episodes: Episodes) -> Tensor:
    """mean_T of the clipped surrogate + 0.5·Σ_k KL(before step k, old ‖ new) on support k, by torch.distributions."""
    terms = []
    for t in range(len(old)):
        episode = byhand.task(episodes, t)
        states = byhand.adapted(dict(learner.net.named_parameters()), episode.support, byhand.ratio_loss, lr=0.1)
        query, valid = episode.query, episode.query.mask.bool()
        log_probs = byhand.policy(states[-1], query.observations).log_prob(query.actions).sum(-1)
        ratio = (log_probs - query.log_probs).exp()
        clipped = torch.where(ratio > 1.2, 1.2, torch.where(ratio < 0.8, 0.8, ratio))
        loss = -torch.min(ratio * query.advantages, clipped * query.advantages)[valid].mean()
        for state, before, batch in zip(states, old[t], episode.support, strict=False):
            loss = loss + 0.5 * byhand.mean_kl(state, before, batch)
        terms.append(loss)
    return torch.stack(terms).mean()


@pytest.mark.parametrize("chunk", [None, 2])
def test_epochs_equal_the_paper_s_objective_by_hand(chunk: int | None) -> None:
    learner, twin, episodes = policy_learner(steps=2), policy_learner(steps=2), rollout_episodes(steps=2)
    algorithm = ProMP(
        learner, final(clipped_surrogate(0.2)), mean_kl, optimizer=ADAM, epochs=3, penalty=0.5, chunk=chunk
    )
    params, optimizer = dict(twin.net.named_parameters()), ADAM(twin.parameters())
    for _ in range(2):  # the second update's old policies are those after the first
        old = [
            [{n: v.detach().clone() for n, v in state.items()} for state in states]
            for states in (
                byhand.adapted(params, byhand.task(episodes.support, t), byhand.ratio_loss, lr=0.1) for t in range(3)
            )
        ]
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = objective_by_hand(twin, old, episodes)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        metrics = algorithm.update(episodes)
        torch.testing.assert_close(weights(learner), weights(twin), rtol=1e-8, atol=1e-11)
        assert metrics["loss"] == pytest.approx(losses[0], rel=1e-10)
        assert metrics["kl"] > 1e-4


def test_the_penalty_is_flat_at_the_old_parameters_and_pulls_back_after_a_move() -> None:
    learner, episodes = policy_learner(steps=2), rollout_episodes(steps=2)
    algorithm = ProMP(
        learner,
        final(lambda predict, batch: 0 * surrogate(predict, batch)),
        mean_kl,
        optimizer=ADAM,
        penalty=1.0,
    )
    with torch.no_grad():
        old = learner(episodes, lambda predicts, ep: tuple(p(b[0]) for p, b in zip(predicts, ep.support, strict=False)))
    judged = episodes._replace(old=old)
    value, gradients = meta_gradient(learner, judged, algorithm.penalised)
    assert value == pytest.approx(0, abs=1e-14)
    assert flat(gradients).norm() < 1e-14
    start = weights(learner)
    move = 1e-3 * torch.randn(len(start), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.nn.utils.vector_to_parameters(start + move, list(learner.parameters()))
    value, gradients = meta_gradient(learner, judged, algorithm.penalised)
    assert value > 0
    # nearly quadratic: the slope along the move is twice the value
    assert float(flat(gradients) @ move) == pytest.approx(2 * value, rel=0.05)


def test_it_also_serves_regression() -> None:
    """A large penalty, over many epochs, keeps the predictions closer to where they were."""
    moves = []
    for penalty in (0.0, 100.0):
        learner, episodes = regressor(lr=0.1), sample_episodes()
        algorithm = ProMP(learner, final(mse), squared_change, optimizer=ADAM, epochs=20, penalty=penalty)
        moves.append(algorithm.update(episodes)["kl"])
    assert 0 < moves[1] < 0.1 * moves[0]


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="epochs is 0"):
        ProMP(regressor(), final(mse), squared_change, optimizer=ADAM, epochs=0)
    with pytest.raises(ValueError, match="takes no inner step"):
        ProMP(regressor(steps=0), final(mse), squared_change, optimizer=ADAM)
    with pytest.raises(ValueError, match="clip is 0"):
        clipped_surrogate(0)
