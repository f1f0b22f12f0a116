"""A meta-batch in parts: the same bits on any number of threads, the same numbers in any parts, errors that arrive."""

from collections.abc import Iterator

import pytest
import torch
from byhand import flat, relative_error
from torch import nn
from toys import policy_learner, regressor, rollout_episodes, sample_episodes

from metarl.algorithms.reptile import Reptile
from metarl.core import Episodes, Learner, Tree, meta_gradient
from metarl.losses import mse
from metarl.objectives import final
from metarl.parts import concatenate, map_parts, split
from metarl.rl.losses import surrogate


@pytest.fixture
def threads() -> Iterator[None]:
    """Puts the number of torch's threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("steps", [1, 2])
def test_threads_do_not_change_a_bit_and_parts_not_the_gradient(threads: None, steps: int) -> None:
    learner, episodes = policy_learner(lr=0.3, steps=steps), rollout_episodes(tasks=7, steps=steps)
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        loss, gradient = meta_gradient(learner, episodes, final(surrogate), chunk=2)
        found.append((loss, flat(gradient)))
        with torch.no_grad():
            found[-1] += (learner(episodes, final(surrogate), chunk=2),)
    for loss, gradient, losses in found[1:]:
        assert loss == found[0][0]
        assert torch.equal(gradient, found[0][1])
        assert torch.equal(losses, found[0][2])
    _, whole = meta_gradient(learner, episodes, final(surrogate))
    assert relative_error(found[0][1], flat(whole)) < 1e-12


def test_threads_do_not_change_a_bit_of_reptile(threads: None) -> None:
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        learner = policy_learner(lr=0.3, steps=2)
        before = flat(list(learner.parameters())).clone()
        Reptile(learner, chunk=2).update(rollout_episodes(tasks=7, steps=2))
        found.append(flat(list(learner.parameters())).detach().clone())
        assert not torch.equal(found[-1], before)
    assert torch.equal(found[1], found[0])
    assert torch.equal(found[2], found[0])


def test_threads_work_on_copies_that_share_parameters_and_take_turns_in_order(threads: None) -> None:
    torch.set_num_threads(3)
    module = nn.Linear(2, 1)
    seen: list[nn.Module] = []

    def work(copy: nn.Linear, i: int) -> tuple[int, bool, int]:
        seen.append(copy)
        assert copy.weight is module.weight
        return i, torch.is_grad_enabled(), torch.get_num_threads()

    with torch.no_grad():
        done = map_parts(work, module, list(range(8)))
    assert done == [(i, False, 1) for i in range(8)]
    assert module not in seen
    assert len({id(copy) for copy in seen}) == 3
    assert torch.get_num_threads() == 3


def test_an_error_in_a_part_arrives(threads: None) -> None:
    torch.set_num_threads(2)

    def fail(module: nn.Module, i: int) -> None:
        if i == 3:
            raise FloatingPointError("part 3")

    with pytest.raises(FloatingPointError, match="part 3"):
        map_parts(fail, nn.Linear(1, 1), [0, 1, 2, 3, 4])


def test_parts_joined_are_the_whole() -> None:
    tree: Tree = {"a": torch.arange(5), "b": (torch.arange(10).view(5, 2),)}
    back = concatenate(split(tree, 2))
    assert torch.equal(back["a"], tree["a"])
    assert torch.equal(back["b"][0], tree["b"][0])


@pytest.mark.parametrize(
    "settings", [{}, {"steps": 3}, {"first_order": True}, {"learn_lr": True}, {"adapt": "layers.1"}], ids=str
)
@pytest.mark.parametrize("grad", [True, False])
def test_a_gradient_learner_together_is_each_task_alone(settings: dict[str, object], grad: bool) -> None:
    """The faster form against the general one, task by task with torch.func.grad."""
    steps = 3 if settings.get("steps") else 1
    learner, episodes = regressor(lr=0.2, **settings), sample_episodes(tasks=5, steps=steps)

    def losses(form: type[Learner], data: Episodes) -> torch.Tensor:
        return form.batched_forward(learner, data, final(mse))

    with torch.set_grad_enabled(grad):
        adapt, general = losses(type(learner), episodes), losses(Learner, episodes)
    torch.testing.assert_close(adapt, general, rtol=1e-13, atol=0)
    assert adapt.requires_grad == grad
    if grad:
        parameters = list(learner.parameters())
        found, expected = (
            flat(torch.autograd.grad(loss.sum(), parameters, materialize_grads=True)) for loss in (adapt, general)
        )
        assert relative_error(found, expected) < 1e-12
