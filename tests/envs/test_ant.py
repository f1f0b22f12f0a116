"""Ant: equal to Gymnasium's, equal to the MAML paper's physics, rewards by their formulas."""

import gymnasium
import mujoco
import numpy as np
import pytest

from metarl.envs import World, make_world
from metarl.envs.physics import ASSETS

GYM = ["AntVel-v0", "AntDir-v0", "AntDir2D-v0", "AntGoal-v0"]
PAPER = ["AntVel-MAML2017-v0", "AntDir-MAML2017-v0", "AntGoal-MAML2017-v0"]


def moving(name: str, tasks: object, velocity: tuple[float, float]) -> World:
    """A world with these tasks whose torsos move with this velocity (m/s), feet in the air."""
    world = make_world(f"metarl/{name}", len(np.atleast_1d(tasks)))
    world.set_tasks(tasks)
    world.reset(np.random.default_rng(0))
    world.qpos[:] = world.init_qpos
    world.qpos[:, 2] = 0.9
    world.qvel[:] = 0.0
    world.qvel[:, :2] = velocity
    world.batch.forward()
    return world


def test_gym_variant_equals_gymnasium() -> None:
    theirs = gymnasium.make("Ant-v5", include_cfrc_ext_in_observation=False).unwrapped
    ours = gymnasium.make("metarl/AntVel-v0").unwrapped
    np.testing.assert_array_equal(ours.reset(seed=3)[0], theirs.reset(seed=3)[0])
    for action in np.random.default_rng(0).normal(0.0, 0.8, (200, 8)).astype(np.float32):
        mine, _, _, _, my_info = ours.step(action)
        its, _, _, _, its_info = theirs.step(action)
        np.testing.assert_allclose(mine, its, rtol=0, atol=1e-9)
        for key in ("x_velocity", "y_velocity"):
            assert my_info[key] == pytest.approx(its_info[key], abs=1e-9)


def test_2017_variant_equals_stepping_mujoco_by_hand() -> None:
    world = make_world("metarl/AntVel-MAML2017-v0", 2)
    rng = np.random.default_rng(0)
    world.set_tasks(1.0)
    world.reset(rng)
    xml = (ASSETS / "ant.xml").read_text().replace('timestep="0.01"', 'timestep="0.02"')
    xml = xml.replace("<geom conaffinity", '<geom solref=".02 1" solimp=".8 .8 .01" conaffinity', 1)  # the default
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = world.qpos[1], world.qvel[1]
    mujoco.mj_forward(model, data)
    assert model.opt.timestep == world.dt == 0.02
    touched = 0.0
    for _ in range(150):
        actions = rng.normal(size=(2, 8))
        step = world.step(actions)
        data.ctrl[:] = actions[1]
        mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)
        mujoco.mj_subtreeVel(model, data)
        mujoco.mj_rnePostConstraint(model, data)
        forces = np.clip(data.cfrc_ext, -1.0, 1.0).ravel()
        state = [data.qpos, data.qvel, forces, data.xmat[1], data.subtree_com[1]]
        np.testing.assert_allclose(world.observe()[1], np.concatenate(state), rtol=0, atol=1e-9)
        assert step.parts["x_velocity"][1] == pytest.approx(data.subtree_linvel[1, 0], abs=1e-9)
        touched = max(touched, np.abs(forces).max())
        forward = 1.0 - abs(data.subtree_linvel[1, 0] - 1.0)
        costs = 0.005 * (np.clip(actions[1], -1.0, 1.0) ** 2).sum() + 0.0005 * (forces**2).sum()
        assert step.reward[1] == pytest.approx(forward + 0.05 - costs, abs=1e-9)
        assert step.terminated[1] == (not 0.2 <= data.qpos[2] <= 1.0)
    assert touched == 1.0  # the ant did stand on something


def test_2017_variant_starts_crouched_as_rllab_does() -> None:
    world = make_world("metarl/AntDir-MAML2017-v0", 1)
    np.testing.assert_array_equal(world.init_qpos, [0, 0, 0.55, 1, 0, 0, 0, 0, 1, 0, -1, 0, -1, 0, 1])
    assert world.batch.model.geom_solimp[3].tolist()[:3] == [0.8, 0.8, 0.01]


@pytest.mark.parametrize("name", ["AntDir-v0", "AntDir-MAML2017-v0"])
def test_backward_motion_pays_for_task_minus_one(name: str) -> None:
    step = moving(name, [-1.0, 1.0], (-2.0, 0.0)).step(np.zeros((2, 8)))
    assert step.parts["reward_goal"][0] == pytest.approx(-step.parts["reward_goal"][1])
    assert step.parts["reward_goal"][0] > 1.0


def test_headings_are_angles_anticlockwise_from_x() -> None:
    angles = [0.0, np.pi / 2, np.pi, 3 * np.pi / 2, np.pi / 4]
    for velocity, best in (((2.0, 0.0), 0), ((0.0, 2.0), 1), ((-2.0, 0.0), 2), ((0.0, -2.0), 3), ((1.5, 1.5), 4)):
        step = moving("AntDir2D-v0", angles, velocity).step(np.zeros((5, 8)))
        assert step.parts["reward_goal"].argmax() == best
        assert step.parts["reward_goal"][best] > 1.0


@pytest.mark.parametrize("name", GYM + PAPER)
def test_rewards_equal_their_formulas(name: str) -> None:
    world = make_world(f"metarl/{name}", 6)
    rng = np.random.default_rng(1)
    world.set_tasks(world.sample_tasks(6, rng))
    world.reset(rng)
    actions = rng.normal(size=(6, 8))
    step = world.step(actions)
    p, task, paper = step.parts, world.tasks, "2017" in name
    a2 = ((np.clip(actions, -1.0, 1.0) if paper else actions) ** 2).sum(axis=1)
    l1 = np.abs(np.stack([p["x_position"], p["y_position"]], axis=1) - task[:, -2:]).sum(axis=1)
    expected = {
        "AntVel": 1.0 - np.abs(p["x_velocity"] - task[:, 0]) + 0.05 - 0.005 * a2,
        "AntDir": task[:, 0] * p["x_velocity"] + (0.05 - 0.005 * a2 if paper else 1.0 - 0.5 * a2),
        "AntDir2D": p["x_velocity"] * np.cos(task[:, 0]) + p["y_velocity"] * np.sin(task[:, 0]) + 1.0 - 0.5 * a2,
        "AntGoal": 4.0 - l1 + 0.05 - 0.005 * a2 if paper else -l1 - 0.1 * a2,
    }[name.split("-")[0]]
    if paper:
        expected = expected - 0.0005 * (np.clip(world.batch.cfrc_ext, -1.0, 1.0) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(step.reward, expected, rtol=1e-12)
    np.testing.assert_allclose(step.reward, sum(v for k, v in p.items() if k.startswith("reward_")), rtol=1e-12)


@pytest.mark.parametrize("name", GYM + PAPER)
def test_terminates_outside_the_healthy_heights(name: str) -> None:
    low = {"AntDir-v0": 0.0}.get(name, 0.2)
    ends = name != "AntGoal-v0"
    world = moving(name, np.ones((5, make_world(f"metarl/{name}", 1).tasks.shape[1])), (0.0, 0.0))
    world.qpos[:, 2] = [low - 0.01, low + 0.01, 0.99, 1.01, np.nan]
    assert world.fallen().tolist() == [ends, False, False, ends, ends]
    world.qpos[:, 2] = [0.6, 1.5, 0.7, 0.8, 0.9]
    assert world.step(np.zeros((5, 8))).terminated.tolist() == [False, ends, False, False, False]
