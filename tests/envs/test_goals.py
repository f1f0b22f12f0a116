"""Task distributions: ranges, uniformity, determinism."""

import numpy as np
import pytest

from metarl.envs import WORLDS, ids

RANGES = {
    "metarl/HalfCheetahVel-v0": (0.0, 3.0),
    "metarl/HalfCheetahVel-MAML2017-v0": (0.0, 2.0),
    "metarl/AntVel-v0": (0.0, 3.0),
    "metarl/AntVel-MAML2017-v0": (0.0, 3.0),
    "metarl/AntDir2D-v0": (0.0, 2.0 * np.pi),
    "metarl/AntGoal-MAML2017-v0": (-3.0, 3.0),
    "metarl/PointNav-MAML2017-v0": (-0.5, 0.5),
}


@pytest.mark.parametrize("id", ids())
def test_samples_are_allowed_deterministic_and_float64(id: str) -> None:
    world = WORLDS[id]
    tasks = world.sample_tasks(500, np.random.default_rng(3))
    assert tasks.dtype == np.float64
    assert tasks.shape == (500, *world.goals.space.shape)
    assert world.goals.allows(tasks).all()
    np.testing.assert_array_equal(tasks, world.sample_tasks(500, np.random.default_rng(3)))
    one_by_one = np.random.default_rng(3)
    assert world.sample_tasks(1, one_by_one).shape == (1, *world.goals.space.shape)


@pytest.mark.parametrize(("id", "bounds"), RANGES.items())
def test_uniform_ranges(id: str, bounds: tuple[float, float]) -> None:
    low, high = bounds
    tasks = WORLDS[id].sample_tasks(20000, np.random.default_rng(0))
    width = high - low
    assert low <= tasks.min() < low + 0.01 * width
    assert high - 0.01 * width < tasks.max() <= high
    assert tasks.mean() == pytest.approx((low + high) / 2, abs=0.01 * width)
    assert tasks.std() == pytest.approx(width / np.sqrt(12), rel=0.02)


@pytest.mark.parametrize("id", [i for i in ids() if "Dir-" in i])
def test_directions_are_forward_and_backward(id: str) -> None:
    tasks = WORLDS[id].sample_tasks(2000, np.random.default_rng(0))
    assert set(tasks.ravel()) == {-1.0, 1.0}
    assert abs(tasks.mean()) < 0.06


def test_disc_is_uniform_in_area() -> None:
    radius = np.linalg.norm(WORLDS["metarl/AntGoal-v0"].sample_tasks(20000, np.random.default_rng(0)), axis=1)
    assert radius.max() <= 3.0
    assert np.mean(radius < 1.5) == pytest.approx(0.25, abs=0.01)


def test_corners() -> None:
    tasks = WORLDS["metarl/PointNav-v0"].sample_tasks(4000, np.random.default_rng(0))
    corners, counts = np.unique(tasks, axis=0, return_counts=True)
    assert corners.tolist() == [[-2.0, -2.0], [-2.0, 2.0], [2.0, -2.0], [2.0, 2.0]]
    assert counts.min() > 900
