"""PPO by Stable-Baselines3: its policy is our learner's, it learns, and its run folders are like all others."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from toys import Track, Waves

from metarl.core import Predictor
from metarl.envs import register
from metarl.experiments.cli import main
from metarl.experiments.config.derived import settings_class
from metarl.experiments.config.environment import EnvironmentSettings
from metarl.experiments.config.ppo import PPOSettings
from metarl.experiments.config.run import Config
from metarl.experiments.config.sinusoid import SinusoidSettings
from metarl.experiments.presets import environments, preset
from metarl.experiments.pretraining import Pretraining, copy_policy
from metarl.experiments.runner import new_learner
from metarl.nets.policy import GaussianPolicy

CPU = torch.device("cpu")
TINY = ("--meta-batch", "8", "--task.trajectories", "3", "--task.horizon", "10", "--checkpoint-every", "1")
TINY = (*TINY, "--algorithm.batch-size", "40", "--algorithm.epochs", "2", "--test-tasks", "4")


@cache
def track() -> Config:
    """Its environment is known from now on to these tests, not to those of every environment."""
    register("tests/Track-v0", Track)
    return Config(
        EnvironmentSettings(env="tests/Track-v0", trajectories=4, hidden=(16,), activation="tanh", init_std=0.5),
        settings_class("GradientLearner")(steps=0),
        PPOSettings(lr=3e-3, batch_size=64, value_hidden=(16,)),
        meta_batch=64,
        iterations=12,
    )


def pretraining(config: Config) -> Pretraining:
    distribution = config.distribution(CPU)
    training = config.training(new_learner(config, distribution, CPU), distribution, CPU)
    assert isinstance(training, Pretraining)
    return training


def returns(config: Config) -> list[float]:
    return [metrics["return_0"] for metrics in pretraining(config).updates(0)]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_copied_policy_is_the_same_policy(activation: str) -> None:
    config = replace(track(), task=EnvironmentSettings(env="metarl/AntGoal-v0", hidden=(7, 5), activation=activation))
    training = pretraining(config)
    theirs, net = training.policy, training.net
    assert isinstance(theirs, ActorCriticPolicy)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in theirs.parameters():  # SB3's own biases are 0 and its actions nearly so
            parameter.copy_(0.5 * torch.randn_like(parameter))
    copy_policy(theirs, net)
    observations, actions = torch.randn(50, 27), torch.randn(50, 8)
    with torch.no_grad():
        _, log_probs, _ = theirs.evaluate_actions(observations, actions)
        mean = theirs.get_distribution(observations).mode()
        mine = net(observations)
    torch.testing.assert_close(mine[0], mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mine.log_prob(actions), log_probs, rtol=1e-5, atol=1e-5)
    acted, _ = training.learner.arrays({k: v[None] for k, v in training.learner.init().items()})(
        observations[None].numpy()
    )
    np.testing.assert_allclose(acted[0], mean.numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="same sizes"):
        copy_policy(theirs, GaussianPolicy(27, 8, hidden=(7, 6)))


def test_what_is_logged_is_what_the_learner_would_score() -> None:
    """An episode of `return_0` is one that our own rollouts count: scale, horizon, reward, task distribution."""
    config = replace(track(), task=track().task.but(action_scale=0.3, horizon=9), meta_batch=2000, iterations=1)
    training = pretraining(config)
    before = {name: value.detach()[None].clone() for name, value in training.learner.init().items()}
    (metrics,) = training.updates(0)
    tasks = config.distribution(CPU).sample(500, np.random.default_rng(0))
    states = {name: value.expand(500, *value.shape[1:]) for name, value in before.items()}
    score = tasks.score(Predictor(training.learner, lambda: states))
    assert metrics["return_0"] == pytest.approx(float(score.mean()), abs=0.1)  # −9.0; four standard errors
    assert metrics["env_steps"] == 18_000


def test_an_oracle_learns_what_a_policy_for_all_tasks_cannot() -> None:
    """Blind, nothing beats staying in the middle: five steps at distance 1. Told the goal, 0.8 + 0.6 + 0.4 + 0.2."""
    blind = returns(replace(track(), iterations=25))
    oracle = returns(replace(track(), task=replace(track().task, observe_goal=True), iterations=25))
    assert oracle[0] < -4.5
    assert np.mean(oracle[-3:]) > -3.2
    assert -5.4 < np.mean(blind[-3:]) < -4.7


def test_every_iteration_draws_anew_and_repeats_by_its_seed() -> None:
    same, again, other = (returns(replace(track(), iterations=3, seed=seed)) for seed in (0, 0, 1))
    assert same == again
    assert same != other
    still = returns(replace(track(), iterations=3, algorithm=track().algorithm.but(lr=1e-12)))
    assert len(set(still)) == 3


def test_the_step_size_falls() -> None:
    training = pretraining(replace(track(), iterations=4, algorithm=PPOSettings(lr=1e-3, lr_end=2e-4)))
    lrs = []
    for _ in training.updates(0):
        lrs.append(training.policy.optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(lrs, [1e-3, 8e-4, 6e-4, 4e-4])


def test_the_learner_follows_and_a_restored_training_goes_on_the_same() -> None:
    whole = pretraining(track())
    start = [p.detach().clone() for p in whole.learner.parameters()]
    steps = whole.updates(0)
    for _ in range(2):
        next(steps)
    state = {k: torch.utils._pytree.tree_map(lambda x: x.clone() if torch.is_tensor(x) else x, v)
             for k, v in whole.state_dict().items()}  # fmt: skip
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(start, whole.learner.parameters(), strict=True))
    resumed = pretraining(replace(track(), seed=track().seed))
    resumed.load_state_dict(state)
    theirs, mine = next(resumed.updates(2)), next(steps)
    assert {k: v for k, v in theirs.items() if "seconds" not in k} == {
        k: v for k, v in mine.items() if "seconds" not in k
    }


def test_weights_that_are_not_numbers_stop_the_run_in_one_line() -> None:
    training = pretraining(replace(track(), algorithm=track().algorithm.but(lr=1e30)))
    with pytest.raises(FloatingPointError, match="PPO's update"):
        list(training.updates(0))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="environments"):
        Config(SinusoidSettings(), settings_class("GradientLearner")(), PPOSettings())
    distribution = track().distribution(CPU)
    learner = new_learner(track(), distribution, CPU)
    with pytest.raises(ValueError, match="PPOSettings is not an outer loop"):
        track().outer_loop(learner)
    with pytest.raises(ValueError, match="Waves"):
        track().training(learner, Waves(), CPU)
    for wrong in ({"epochs": 0}, {"lr_end": 1.0}, {"clip": 0.0}, {"gae_lambda": 1.5}, {"batch_size": 1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PPOSettings(**wrong)  # type: ignore[arg-type]


def test_presets_have_their_budget_in_environment_steps() -> None:
    for task in (task.name for task in environments.TASKS if "oracle" in task.methods and task.name != "environment"):
        for method, budgets in {"pretrained": (3_000_000, 1_000_000), "oracle": (10_240_000, 3_072_000)}.items():
            budget = budgets[task.startswith("point-nav")]
            config = preset(f"{task}-{method}")
            assert config.iterations * config.env_steps == pytest.approx(budget, rel=0.03)
            assert vars(config.task)["observe_goal"] == (method == "oracle")
            assert config.learner.steps == 0
            assert vars(config.learner)["lr"] == vars(preset(f"{task}-maml").learner)["lr"]
            assert config.task.quick(config).iterations == config.iterations
            assert config.task.quick(config).meta_batch == config.meta_batch
    assert preset("half-cheetah-vel-2017-maml").env_steps == 2 * 20 * 10 * 200
    assert preset("half-cheetah-vel-2017-reptile").env_steps == 3 * 20 * 10 * 200
    assert preset("sinusoid-maml").env_steps == 0


@pytest.mark.parametrize("preset", ["point-nav-pretrained", "half-cheetah-vel-oracle"])
def test_from_training_to_scores_and_pictures(preset: str, tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "run" / "evaluation.json"
    main(["train", preset, *TINY, "--iterations", "2", "--out", str(run)])
    main(["evaluate", str(run), "--json", str(file)])
    result = json.loads(file.read_text())
    assert result["steps"] == ([0] if "oracle" in preset else [0, 1, 2, 3])  # an oracle has nothing to adapt to
    assert len(set(result["mean"])) == len(result["steps"])
    main(["plot", str(run), "--out", str(tmp_path / "plot.png")])
    assert (tmp_path / "plot.png").exists()
    header, *rows = (run / "progress.csv").read_text().splitlines()
    assert header.startswith("iteration,env_steps,return_0,")
    assert [row.split(",")[:2] for row in rows] == [["1", "80"], ["2", "160"]]
