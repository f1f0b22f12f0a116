"""PPO on one and on two of torch's threads: the same weights to the last bit."""

from dataclasses import replace

import torch

from metarl.experiments.presets import preset
from metarl.experiments.runner import new_training


def weights(threads: int) -> torch.Tensor:
    torch.set_num_threads(threads)
    config = replace(preset("half-cheetah-vel-2017-pretrained"), meta_batch=32, iterations=1)
    training, _ = new_training(config, torch.device("cpu"))
    for _ in training.updates(0):
        pass
    return torch.cat([p.detach().flatten() for p in training.learner.parameters()])


def test_weights_do_not_depend_on_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    try:
        assert torch.equal(weights(1), weights(2))
    finally:
        torch.set_num_threads(before)
