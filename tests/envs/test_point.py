"""2-D navigation: rewards, termination and starts of both variants."""

import numpy as np
import pytest

from metarl.envs import World, make_world


def at(name: str, positions: list[list[float]], tasks: list[list[float]]) -> World:
    world = make_world(f"metarl/{name}", len(positions))
    world.set_tasks(tasks)
    world.place(None, np.array(positions))
    return world


def test_corners_pay_progress_only_near_the_right_corner() -> None:
    goal = [2.0, 2.0]
    world = at("PointNav-v0", [[0.1, 0.1], [1.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [0.1, 0.1]], [goal] * 6)
    step = world.step(np.array([[1.0, 0.0], [1.0, 1.0], [-1.0, -1.0], [1.0, 0.0], [5.0, 5.0], [1.0, 1.0]]))
    expected = np.sqrt(2) * np.array([0.0, 0.2, -0.2, 0.0, 0.2, 0.2])  # the first is within 0.5 of the centre
    np.testing.assert_allclose(step.reward, expected, atol=1e-12)
    np.testing.assert_allclose(world.observe()[4], [1.2, 1.2])  # the action is clipped
    assert not step.terminated.any()


def test_2017_variant_pays_minus_the_distance_and_ends_at_the_goal() -> None:
    world = at("PointNav-MAML2017-v0", [[0.0, 0.0]] * 3, [[0.3, -0.4], [0.1, 0.05], [0.1, 0.0]])
    step = world.step(np.array([[0.0, 0.0], [9.0, 0.5], [1.0, 0.11]]))
    np.testing.assert_allclose(step.reward, [-0.5, 0.0, -0.011], atol=1e-12)
    assert step.terminated.tolist() == [False, True, False]


def test_starts() -> None:
    rng = np.random.default_rng(0)
    (corner,) = make_world("metarl/PointNav-v0", 1).initial(np.zeros((2000, 2)), rng)
    assert -0.2 <= corner.min() < -0.19
    assert 0.19 < corner.max() <= 0.2
    (origin,) = make_world("metarl/PointNav-MAML2017-v0", 1).initial(np.zeros((3, 2)), rng)
    assert not origin.any()


def test_a_picture_shows_point_and_goal() -> None:
    world = at("PointNav-v0", [[0.0, 1.0]], [[2.0, -2.0]])
    image = world.render(0, "rgb_array", width=120, height=100)
    assert image is not None
    assert image.shape == (100, 120, 3)
    rows, columns = np.nonzero((image == (46, 160, 67)).all(axis=2))
    assert rows.mean() == pytest.approx(49.5 + 2.0 / 3.0 * 50, abs=1)  # below, since y points up
    assert columns.mean() == pytest.approx(59.5 + 2.0 / 3.0 * 50, abs=1)
    rows, columns = np.nonzero((image == (207, 34, 46)).all(axis=2))
    assert rows.mean() == pytest.approx(49.5 - 1.0 / 3.0 * 50, abs=1)
    world.place(None, np.array([[-30.0, 0.0]]))
    outside = world.render(0, "rgb_array", width=120, height=100)
    assert outside is not None
    rows, columns = np.nonzero((outside == (207, 34, 46)).all(axis=2))
    assert columns.min() == 0  # at the edge
    assert columns.max() < 4
    assert rows.mean() == pytest.approx(49.5, abs=1)
