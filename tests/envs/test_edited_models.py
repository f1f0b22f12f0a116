"""Hopper, walker, half-cheetah, ant and humanoid: equal to Gymnasium's own with the same edited model, step by step."""

from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

from metarl.envs import make_world
from metarl.envs.dynamics import Factors

NO_CONTACT = {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "HopperParams": ("Hopper-v5", {}),
    "Walker2dParams": ("Walker2d-v5", {}),
    "HalfCheetahParams": ("HalfCheetah-v5", {}),
    "AntParams": ("Ant-v5", NO_CONTACT),
    "HumanoidDir2D": ("Humanoid-v5", NO_CONTACT),
}
EVERY = pytest.mark.parametrize("name", CASES)


def original(name: str) -> Any:
    """Gymnasium's own environment."""
    id, options = CASES[name]
    return gymnasium.make(id, **options).unwrapped


@EVERY
@pytest.mark.filterwarnings("ignore:.*settotalmass")
def test_equals_gymnasium_with_the_same_edited_model(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # Gymnasium's own environment leaves MUJOCO_LOG.TXT
    ours, ends = gymnasium.make(f"metarl/{name}-v0").unwrapped, set()
    goals, strongest = ours.world.goals, 0.4 if "Humanoid" in name else 1.0
    for seed in range(3):
        theirs, rng = original(name), np.random.default_rng(seed)
        task = goals.sample(1, rng)[0] if isinstance(goals, Factors) else np.zeros(1)  # humanoids run along +x
        if isinstance(goals, Factors):
            for field, factors in goals.by_field(task[None]).items():
                getattr(theirs.model, field)[-factors.shape[1] :] *= factors[0]
            mujoco.mj_setConst(theirs.model, theirs.data)
        start, _ = ours.reset(seed=seed, options={"task": task})
        np.testing.assert_array_equal(start, theirs.reset(seed=seed)[0])
        for action in rng.normal(0.0, 0.3 + 0.4 * seed, (250, *ours.action_space.shape)):  # some beyond ±1
            mine, reward, ended, _, info = ours.step(action)
            its, its_reward, its_end, _, its_info = theirs.step(strongest * action)
            np.testing.assert_allclose(mine, its, rtol=0, atol=1e-9)
            assert reward == pytest.approx(its_reward, abs=1e-9)
            assert info["x_velocity"] == pytest.approx(its_info["x_velocity"], abs=1e-9)
            assert ended == its_end
            ends.add(ended)
    assert ends == ({False} if "HalfCheetah" in name else {False, True})


@pytest.mark.parametrize("name", ["HopperParams", "Walker2dParams"])
def test_stands_where_gymnasium_says_so(name: str) -> None:
    theirs, world, rng = original(name), make_world(f"metarl/{name}-v0", 500), np.random.default_rng(0)
    world.qpos[:] = rng.uniform(-0.25, 0.25, world.qpos.shape)
    world.qpos[:, 1] = rng.uniform(0.5, 2.2, 500)
    world.qpos[::2, 2] *= 5.0
    world.qvel[:] = rng.uniform(-100.5, 100.5, world.qvel.shape)
    expected = []
    for qpos, qvel in zip(world.qpos, world.qvel, strict=True):
        theirs.data.qpos[:], theirs.data.qvel[:] = qpos, qvel
        expected.append(theirs.is_healthy)
    assert world.healthy().tolist() == expected
    assert 0.1 < np.mean(expected) < 0.9


def test_humanoids_are_paid_along_their_angle() -> None:
    angles = np.array([0.0, np.pi / 2, np.pi, 0.3])
    world = make_world("metarl/HumanoidDir2D-v0", 4)
    world.set_tasks(angles)
    world.place(None, np.tile(world.init_qpos, (4, 1)), np.tile([2.0, 1.0, *[0.0] * 21], (4, 1)))
    step = world.step(np.full((4, 17), 0.5))
    along = step.parts["x_velocity"] * np.cos(angles) + step.parts["y_velocity"] * np.sin(angles)
    np.testing.assert_allclose(step.reward, 1.25 * along + 5.0 - 0.1 * 17 * 0.2**2, rtol=1e-12)
    assert step.parts["x_velocity"] == pytest.approx(2.0, abs=0.3)
    assert step.parts["y_velocity"] == pytest.approx(1.0, abs=0.3)
