"""Settings of environments: which environment is of tests, and what of an episode's info counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metarl.envs.point import PointNav, PointNav2017
from metarl.experiments.config.environment import EnvironmentSettings
from metarl.tasks.datasets.folder import Split

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("test_env", "split", "world"),
    [
        ("metarl/PointNav-MAML2017-v0", "train", PointNav),
        ("metarl/PointNav-MAML2017-v0", "validation", PointNav),
        ("metarl/PointNav-MAML2017-v0", "test", PointNav2017),
        (None, "test", PointNav),
    ],
)
def test_tests_may_be_in_another_environment(test_env: str | None, split: Split, world: type[Any]) -> None:
    settings = EnvironmentSettings(env="metarl/PointNav-v0", test_env=test_env)
    assert type(settings.distribution(CPU, threads=1, split=split).template) is world


def test_of_an_episode_the_mean_or_the_largest_counts() -> None:
    settings = EnvironmentSettings(env="metarl/PointNav-v0", info=("reward_goal",), info_max=("distance",))
    assert settings.distribution(CPU, threads=1, split="train").info == {"reward_goal": "mean", "distance": "max"}
    with pytest.raises(ValueError, match=r"\Atask.info_max has 'distance', which is also in info: leave it"):
        EnvironmentSettings(info=("reward_goal", "distance"), info_max=("distance",))
