"""Half-cheetah: equal to Gymnasium's, equal to the MAML paper's physics, rewards by their formulas."""

import gymnasium
import mujoco
import numpy as np
import pytest

from metarl.envs import half_cheetah, make_world
from metarl.envs.physics import ASSETS


@pytest.mark.filterwarnings("ignore:.*settotalmass")
def test_gym_variant_equals_gymnasium(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # Gymnasium's own environment leaves MUJOCO_LOG.TXT
    theirs = gymnasium.make("HalfCheetah-v5").unwrapped
    ours = gymnasium.make("metarl/HalfCheetahVel-v0").unwrapped
    np.testing.assert_array_equal(ours.reset(seed=3)[0], theirs.reset(seed=3)[0])
    actions = np.random.default_rng(0).normal(0.0, 0.8, (200, 6)).astype(np.float32)  # some beyond ±1
    for action in actions:
        mine, _, _, _, my_info = ours.step(action)
        its, _, _, _, its_info = theirs.step(action)
        np.testing.assert_allclose(mine, its, rtol=0, atol=1e-9)
        assert my_info["x_velocity"] == pytest.approx(its_info["x_velocity"], abs=1e-9)


@pytest.mark.filterwarnings("ignore:.*settotalmass")
def test_2017_variant_equals_stepping_mujoco_by_hand(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # loading the file by hand leaves MUJOCO_LOG.TXT
    world = make_world("metarl/HalfCheetahVel-MAML2017-v0", 2)
    rng = np.random.default_rng(0)
    world.set_tasks(1.0)
    world.reset(rng)
    model = mujoco.MjModel.from_xml_path(str(ASSETS / "half_cheetah.xml"))
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = world.qpos[1], world.qvel[1]
    mujoco.mj_forward(model, data)
    assert model.opt.timestep == world.dt == 0.01
    np.testing.assert_allclose(world.observe()[1, 17:], data.subtree_com[1], rtol=0, atol=1e-12)
    for _ in range(200):
        actions = rng.normal(size=(2, 6))
        step = world.step(actions)
        data.ctrl[:] = actions[1]
        mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)
        mujoco.mj_subtreeVel(model, data)
        expected = np.concatenate([data.qpos[1:], data.qvel, data.subtree_com[1]])
        np.testing.assert_allclose(world.observe()[1], expected, rtol=0, atol=1e-9)
        assert step.parts["x_velocity"][1] == pytest.approx(data.subtree_linvel[1, 0], abs=1e-9)


def test_2017_variant_starts_with_its_own_noise() -> None:
    world = half_cheetah.HalfCheetahVel2017(1)
    qpos, qvel = world.initial(np.zeros((4000, 1)), np.random.default_rng(0))
    assert qpos.std() == pytest.approx(0.01, rel=0.02)
    assert qvel.std() == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize("suffix", ["v0", "MAML2017-v0"])
@pytest.mark.parametrize("task", ["Vel", "Dir"])
def test_rewards_equal_their_formulas(task: str, suffix: str) -> None:
    world = make_world(f"metarl/HalfCheetah{task}-{suffix}", 5)
    rng = np.random.default_rng(1)
    goals = np.linspace(0.0, 2.0, 5) if task == "Vel" else np.array([-1.0, 1.0, -1.0, 1.0, 1.0])
    world.set_tasks(goals)
    world.reset(rng)
    before = world.qpos[:, 0].copy()
    actions = rng.normal(0.0, 1.5, (5, 6))
    step = world.step(actions)
    if suffix == "v0":  # the cost sees the action as the policy chose it, Gymnasium's way
        velocity, costly = (world.qpos[:, 0] - before) / 0.05, actions
    else:
        velocity, costly = world.com_velocity[:, 0], np.clip(actions, -1.0, 1.0)
    forward = -np.abs(velocity - goals) if task == "Vel" else goals * velocity
    np.testing.assert_allclose(step.reward, forward - 0.05 * (costly**2).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(step.parts["x_velocity"], velocity, rtol=1e-12)
    assert not step.terminated.any()


@pytest.mark.parametrize("suffix", ["v0", "MAML2017-v0"])
def test_backward_motion_pays_for_task_minus_one(suffix: str) -> None:
    world = make_world(f"metarl/HalfCheetahDir-{suffix}", 2)
    world.set_tasks([-1.0, 1.0])
    world.reset(np.random.default_rng(0))
    world.qvel[:, 0] = -3.0
    step = world.step(np.zeros((2, 6)))
    assert step.parts["x_velocity"].max() < -1.0
    assert step.reward[0] > 1.0 > -1.0 > step.reward[1]
