"""N-way K-shot sampling: which images, which labels, how likely, and that nothing leaks from support to query."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest
import torch
from pictures import numbered
from torch import Tensor
from toys import regressor

from metarl.core import Predictor
from metarl.losses import Samples
from metarl.tasks.images import ImageClasses, Images, apply_warps, draw_distinct, draw_warps

COUNTS = [7, 12, 9, 7, 20, 8]


def fixed(function: Any) -> Predictor:
    """A predictor that is `function` of x."""

    class Fixed(Predictor):
        def __call__(self, x: Tensor) -> Tensor:
            return function(x)

    return Fixed(regressor(), dict)


NOTHING = fixed(lambda x: x)


def numbers(x: Tensor) -> np.ndarray:
    """Which images of `numbered` x [T, n, …] are."""
    return (255 * x[:, :, 0, 0, 0]).round().long().numpy()


def draw(*, n: int = 40, seed: int = 0, counts: list[int] = COUNTS, **settings: Any) -> tuple[Samples, Samples]:
    tasks = Images(numbered(counts), **settings).sample(n, np.random.default_rng(seed))
    assert tasks.n == n
    return tasks.support(NOTHING, 0), tasks.query(NOTHING)


def test_shapes_types_and_range() -> None:
    classes = numbered([30] * 6, channels=3, size=4)
    tasks = Images(classes, ways=4, shots=2, queries=3).sample(5, np.random.default_rng(0))
    for batch, n in ((tasks.support(NOTHING, 0), 8), (tasks.query(NOTHING), 12)):
        assert (batch.x.shape, batch.x.dtype) == ((5, n, 3, 4, 4), torch.float32)
        assert (batch.y.shape, batch.y.dtype) == ((5, n), torch.int64)
        assert batch.x.max() > 0.5  # images reach 179/255
        assert torch.equal(batch.x[:, :, 0, 0, 0] * 255, (batch.x[:, :, 0, 0, 0] * 255).round())
    white = ImageClasses(torch.full((8, 1, 2, 2), 255, dtype=torch.uint8), ("a", "b"), np.array([4, 4]))
    assert torch.equal(
        Images(white, ways=2, queries=1).sample(1, np.random.default_rng(0)).query(NOTHING).x, torch.ones(1, 2, 1, 2, 2)
    )


def test_labels_are_one_to_one_with_classes_and_counts_are_right() -> None:
    support, query = draw(ways=4, shots=2, queries=5)
    bounds = np.cumsum(COUNTS)
    x = np.concatenate([numbers(support.x), numbers(query.x)], 1)
    y = np.concatenate([support.y.numpy(), query.y.numpy()], 1)
    for images, labels in zip(np.searchsorted(bounds, x, side="right"), y, strict=True):
        pairs = {*zip(images.tolist(), labels.tolist(), strict=True)}
        assert len(pairs) == len({c for c, _ in pairs}) == len({label for _, label in pairs}) == 4
    assert (np.sort(support.y, 1) == np.repeat(np.arange(4), 2)).all()
    assert (np.sort(query.y, 1) == np.repeat(np.arange(4), 5)).all()


def test_no_image_is_twice_in_a_task() -> None:
    support, query = draw(ways=6, shots=3, queries=4, n=60)  # the smallest classes are used up
    for images in np.concatenate([numbers(support.x), numbers(query.x)], 1):
        assert len(set(images.tolist())) == 6 * 7


def test_every_image_of_every_class_is_drawn_for_support_and_query_alike() -> None:
    support, query = draw(ways=3, shots=3, queries=3, n=1500)
    expected = np.concatenate([np.full(c, 1500 * 3 * 3 / 6 / c) for c in COUNTS])
    for batch in (support, query):
        found = np.bincount(numbers(batch.x).ravel(), minlength=sum(COUNTS))
        assert (abs(found - expected) < 5 * np.sqrt(expected)).all()


def test_labels_and_order_carry_no_meaning() -> None:
    support, query = draw(ways=3, shots=1, queries=2, n=3000)
    classes = np.searchsorted(np.cumsum(COUNTS), numbers(support.x), side="right")
    for c in range(6):  # each class takes each label equally often
        found = np.bincount(support.y.numpy()[classes == c], minlength=3)
        assert (abs(found - 500) < 110).all()
    for batch in (support, query):  # each label comes at each place equally often
        for place in batch.y.T:
            assert (abs(np.bincount(place, minlength=3) - 1000) < 130).all()


def test_draws_follow_the_generator() -> None:
    first, again, other = (draw(ways=3, queries=3, shift=1, seed=seed) for seed in (0, 0, 1))
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)
        assert not torch.equal(a.x, c.x)


def test_every_inner_step_sees_the_same_support() -> None:
    tasks = Images(numbered(COUNTS), queries=3).sample(2, np.random.default_rng(0))
    assert tasks.support(NOTHING, 0) is tasks.support(NOTHING, 4)


def test_distinct_is_uniform_over_ordered_choices() -> None:
    found = draw_distinct(np.full(24_000, 4), 3, np.random.default_rng(0))
    kinds, times = np.unique(found, axis=0, return_counts=True)
    assert [tuple(kind) for kind in kinds] == sorted(permutations(range(4), 3))
    assert (abs(times - 1000) < 160).all()  # 5 sd
    below = np.array([[3, 5], [9, 4]])
    mixed = draw_distinct(below, 3, np.random.default_rng(0))
    assert mixed.shape == (2, 2, 3)
    assert (mixed < below[..., None]).all()
    assert sorted(mixed[0, 0]) == [0, 1, 2]


def test_score_is_the_share_of_right_answers_on_the_query() -> None:
    tasks = Images(numbered([3, 3]), ways=2, shots=1, queries=2).sample(6, np.random.default_rng(0))
    query = tasks.query(NOTHING)

    def logits(x: Tensor) -> Tensor:
        assert torch.equal(x, query.x)
        right = torch.nn.functional.one_hot(query.y, 2).float()
        right[1, 0] = 1 - right[1, 0]  # one wrong of four in the second task
        right[2] = 1 - right[2]
        return right

    torch.testing.assert_close(tasks.score(fixed(logits)), torch.tensor([1, 0.75, 0, 1, 1, 1]))


def test_shift_moves_images_and_repeats_their_border() -> None:
    picture = torch.arange(50, dtype=torch.uint8).view(1, 2, 5, 5)
    classes = ImageClasses(picture.repeat(8, 1, 1, 1), ("a", "b"), np.array([4, 4]))
    tasks = Images(classes, ways=2, shots=1, queries=3, shift=2).sample(50, np.random.default_rng(0))
    padded = torch.nn.functional.pad(picture.float(), (2, 2, 2, 2), mode="replicate")[0]
    moved = {
        (dy, dx): padded[:, 2 - dy : 7 - dy, 2 - dx : 7 - dx] / 255 for dy in range(-2, 3) for dx in range(-2, 3)
    }
    for batch in (tasks.support(NOTHING, 0), tasks.query(NOTHING)):
        seen = set()
        for image in batch.x.flatten(0, 1):
            seen |= {move for move, expected in moved.items() if torch.equal(image, expected)}
        assert len(seen) > 20  # of the 25 moves; each image is one of them:
        assert all(any(torch.equal(image, expected) for expected in moved.values()) for image in batch.x.flatten(0, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ways": 7}, "ways is 7, but there are only 6 classes"),
        ({"ways": 1}, "ways is 1: give a whole number from 2 up"),
        ({"shots": 0}, "shots is 0"),
        ({"queries": 0}, "queries is 0"),
        ({"shift": -1}, "shift is -1"),
        ({"shots": 3, "queries": 5}, "class c0 has 7 images, but 3 shots and 5 queries need 8"),
    ],
)
def test_what_cannot_be_drawn_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Images(numbered(COUNTS), **{"queries": 3, **settings})


def test_the_tightest_task_is_drawn() -> None:
    support, query = draw(ways=6, shots=3, queries=4, n=1)
    assert support.x.shape[1] + query.x.shape[1] == 42


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_tasks() -> None:
    settings: dict[str, Any] = {"ways": 3, "queries": 4, "shift": 1}
    there, here = (draw(device=device, **settings) for device in ("cuda", "cpu"))
    for a, b in zip(there, here, strict=True):
        assert a.x.is_cuda
        assert a.y.is_cuda
        torch.testing.assert_close(a.x.cpu(), b.x)
        assert torch.equal(a.y.cpu(), b.y)


def test_warped_images_are_turned_and_scaled_about_the_middle() -> None:
    x = torch.rand(1, 2, 2, 6, 6)
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    out = apply_warps(x, torch.stack([torch.eye(2), turn])[None])
    torch.testing.assert_close(out[0, 0], x[0, 0])
    torch.testing.assert_close(out[0, 1], torch.rot90(x[0, 1], 1, (1, 2)))
    ramp = torch.arange(6.0).expand(1, 1, 1, 6, 6)  # 2.5 in the middle
    double = apply_warps(ramp, 2 * torch.eye(2)[None, None])[0, 0, 0, 3]
    torch.testing.assert_close(double, torch.tensor([0.0, 0.0, 1.5, 3.5, 5.0, 5.0]))


def test_warps_are_drawn_from_the_tasks_random_numbers() -> None:
    first, again, other = (draw(n=3, seed=seed, queries=2, warp=0.1)[1].x for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    drawn = draw_warps(0.1, torch.zeros(200, 50, dtype=torch.int64), np.random.default_rng(0))
    assert drawn is not None
    torch.testing.assert_close(drawn.mean((0, 1)), torch.eye(2), atol=0.005, rtol=0)
    torch.testing.assert_close(drawn.std((0, 1)), torch.full((2, 2), 0.1), atol=0.005, rtol=0)
    with pytest.raises(ValueError, match=r"warp is 0\.5"):
        draw(warp=0.5)


def test_a_score_that_is_not_transductive_shows_each_query_with_the_support_alone() -> None:
    seen: list[np.ndarray] = []

    def predict(x: Tensor) -> Tensor:
        seen.append(numbers(x))
        return torch.nn.functional.one_hot(torch.arange(x.shape[1]) % 2, 2).expand(len(x), -1, -1)

    settings: dict[str, Any] = {"ways": 2, "shots": 1, "queries": 3}
    tasks = Images(numbered(COUNTS), transductive=False, **settings).sample(4, np.random.default_rng(0))
    score = tasks.score(fixed(predict))
    support, query = tasks.support(NOTHING, 0), tasks.query(NOTHING)
    assert len(seen) == 6
    for i, images in enumerate(seen):
        np.testing.assert_array_equal(images, np.c_[numbers(support.x), numbers(query.x)[:, i]])
    torch.testing.assert_close(score, (query.y == 0).float().mean(1))  # the third of each batch is called 0
    together = Images(numbered(COUNTS), **settings).sample(4, np.random.default_rng(0))
    seen.clear()
    together.score(fixed(predict))
    np.testing.assert_array_equal(seen[0], numbers(query.x))


def alphabets() -> ImageClasses:
    """Three alphabets of 4, 6 and 2 characters, an image of each numbered, and all mirrored."""
    plain = numbered([3] * 12)
    names = [f"{a}/character{c}" for a, count in (("A", 4), ("B", 6), ("C", 2)) for c in range(count)]
    return replace(plain, names=tuple(names)).mirrored()


def test_families_are_alphabets_alike_mirrored() -> None:
    found = [set(family) for family in alphabets().families]
    sizes = np.cumsum([0, 4, 6, 2])
    plain = [set(range(a, b)) for a, b in pairwise(sizes)]
    assert found == [*plain, *({12 + i for i in family} for family in plain)]
    assert [len(family) for family in numbered(COUNTS).families] == [len(COUNTS)]  # no alphabets: one family


@pytest.mark.parametrize("same_alphabet", [0.0, 0.5, 1.0])
def test_alike_is_the_share_of_tasks_of_one_alphabet(same_alphabet: float) -> None:
    classes = alphabets()
    family = np.full(len(classes), -1)
    for i, members in enumerate(classes.families):
        family[members] = i
    tasks = Images(classes, ways=3, queries=1, same_alphabet=same_alphabet).sample(2000, np.random.default_rng(0))
    drawn = family[tasks._picks[0].indices.numpy() // 3]  # [T, ways]
    assert (np.sort(tasks._picks[0].indices.numpy() // 3) == np.sort(tasks._picks[1].indices.numpy() // 3)).all()
    same = (drawn == drawn[:, :1]).all(1)
    by_chance = 2 * (4 * 3 * 2 + 6 * 5 * 4) / (24 * 23 * 22)
    assert same.mean() == pytest.approx(same_alphabet + (1 - same_alphabet) * by_chance, abs=0.03)
    if same_alphabet == 1:  # alphabets as likely as they are large; two characters are too few for three ways
        share = np.bincount(drawn[:, 0], minlength=6) / len(drawn)
        np.testing.assert_allclose(share, [0.2, 0.3, 0, 0.2, 0.3, 0], atol=0.03)


def test_alike_needs_alphabets_that_are_large_enough() -> None:
    with pytest.raises(ValueError, match=r"same_alphabet is 1\.0, but no alphabet has 7 classes"):
        Images(alphabets(), ways=7, queries=1, same_alphabet=1.0)
    with pytest.raises(ValueError, match=r"same_alphabet is 1\.5: give a finite number from 0 to 1"):
        Images(alphabets(), ways=2, queries=1, same_alphabet=1.5)


def test_memory_is_that_of_the_batches() -> None:
    tasks = Images(numbered([30] * 6, channels=3, size=8), ways=4, shots=2, queries=3)
    sampled = tasks.sample(5, np.random.default_rng(0))
    of_batches = sum(leaf.nbytes for batch in (sampled.support(NOTHING, 0), sampled.query(NOTHING)) for leaf in batch)
    assert of_batches <= tasks.memory(5) < 1.2 * of_batches
