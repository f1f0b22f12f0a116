"""Dynamics that vary: the model simulated is the model of the task, as if it had been compiled so."""

import mujoco
import numpy as np
import pytest
from forks import in_child

from metarl.envs import TaskVectorEnv, make_world
from metarl.envs.ant import AntParams
from metarl.envs.dynamics import Factors, VaryingDynamics
from metarl.envs.half_cheetah import HalfCheetahParams
from metarl.envs.hopper import HopperParams, Walker2dParams
from metarl.envs.physics import ASSETS, quiet

KINDS = [HopperParams, Walker2dParams, HalfCheetahParams, AntParams]
EVERY = pytest.mark.parametrize("kind", KINDS)
FIELDS = ("body_mass", "body_inertia", "dof_damping", "geom_friction")
DERIVED = ("body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0", "actuator_acc0")


def started(kind: type[VaryingDynamics], num_envs: int, *, threads: int = 1) -> VaryingDynamics:
    world, rng = kind(num_envs, threads=threads), np.random.default_rng(0)
    world.set_tasks(world.sample_tasks(num_envs, rng))
    world.reset(rng)
    return world


def rolled(world: VaryingDynamics, steps: int = 40) -> np.ndarray:
    """Observations [steps, N, obs] under fixed random actions, the same in every sub-environment."""
    rows = []
    for action in np.random.default_rng(1).uniform(-1, 1, (steps, *world.action_space.shape)):
        world.step(np.tile(action, (world.num_envs, 1)))
        rows.append(world.observe())
    return np.array(rows)


def check_simulated(world: VaryingDynamics) -> None:
    """Every sub-environment simulates the file's model times the factors of its task."""
    with quiet():
        standard = type(world).model()
    factors = world.goals.by_field(world.tasks)
    for i in range(world.num_envs):
        model = world.batch.get_model(i)
        for name in FIELDS:
            expected = getattr(standard, name).copy()
            expected[-factors[name].shape[1] :] *= factors[name][i]
            np.testing.assert_array_equal(getattr(model, name), expected, name)


def test_a_task_lists_masses_inertias_damping_and_friction() -> None:
    goals = Factors(bodies=2, dofs=1, geoms=1)
    fields = goals.by_field(np.arange(12.0)[None])
    assert fields["body_mass"].tolist() == [[0, 1]]
    assert fields["body_inertia"].tolist() == [[[2, 3, 4], [5, 6, 7]]]
    assert fields["dof_damping"].tolist() == [[8]]
    assert fields["geom_friction"].tolist() == [[[9, 10, 11]]]


def test_logarithms_of_factors_are_uniform() -> None:
    goals = Walker2dParams.goals
    fields = goals.by_field(goals.sample(4000, np.random.default_rng(0)))
    for name, factors in fields.items():
        powers = np.log(factors) / np.log(1.3 if name == "dof_damping" else 1.5)
        assert -3.0 <= powers.min() < -2.99, name
        assert 2.99 < powers.max() <= 3.0, name
        np.testing.assert_allclose(powers.mean(axis=0), 0.0, atol=0.15)
        np.testing.assert_allclose(powers.std(axis=0), np.sqrt(3), rtol=0.05)


@EVERY
def test_the_model_simulated_is_the_task_told(kind: type[VaryingDynamics]) -> None:
    world = kind(4, threads=1)
    for field, factors in world.goals.by_field(world.tasks).items():
        values = getattr(world.batch.model, field)
        assert factors[0].shape == (values[1:] if "body" in field else values).shape
    rng, tasks = np.random.default_rng(0), kind.sample_tasks(8, np.random.default_rng(1))
    world.set_tasks(tasks[:4])
    world.reset(rng)
    check_simulated(world)
    world.set_tasks(tasks[4:6], [1, 3])
    world.reset(rng, [1])  # the third is asked for another task in the middle of its episode
    world.step(np.zeros((4, *world.action_space.shape)))
    check_simulated(world)
    world.set_tasks(tasks[0])
    world.step(np.zeros((4, *world.action_space.shape)))
    check_simulated(world)


def test_every_episode_of_a_vector_environment_has_the_dynamics_that_it_tells() -> None:
    env = TaskVectorEnv(HopperParams, 3, max_episode_steps=7, threads=1)
    told = [env.reset(seed=0)[1]["task"]]
    for _ in range(20):
        check_simulated(env.world)
        told.append(env.step(np.zeros((3, 3)))[4]["task"])
        np.testing.assert_array_equal(told[-1], env.world.tasks)
    assert len(np.unique(np.concatenate(told), axis=0)) > 6  # new ones at every reset


@EVERY
def test_each_sub_environment_is_as_if_it_were_alone(kind: type[VaryingDynamics]) -> None:
    world = started(kind, 3, threads=2)
    start, found = (world.qpos.copy(), world.qvel.copy()), rolled(world)
    for i in range(3):
        alone = kind(1)
        alone.set_tasks(world.tasks[i])
        alone.place(None, *(part[[i]] for part in start))
        np.testing.assert_array_equal(found[:, i], rolled(alone)[:, 0])


@pytest.mark.parametrize("kind", [Walker2dParams, HalfCheetahParams, AntParams])
def test_listed_contacts_have_the_frictions_of_the_task(kind: type[VaryingDynamics]) -> None:
    searching = type("Searching", (kind,), {"compiled": staticmethod(mujoco.MjSpec.compile)})
    listed, searched = started(kind, 3), started(searching, 3)
    assert listed.batch.model.npair
    assert not searched.batch.model.npair
    found = rolled(listed, 100)
    np.testing.assert_array_equal(found, rolled(searched, 100))
    slippery = kind(3)
    slippery.set_tasks(listed.tasks)
    slippery.goals.by_field(slippery.tasks)["geom_friction"][:] = 1.0  # a view: frictions alone are the file's
    slippery.reset(np.random.default_rng(0))
    assert np.abs(rolled(slippery, 100) - found).max() > 0.01


def recompiled(task: np.ndarray) -> mujoco.MjModel:
    """Walker2d compiled anew from its file with the masses, inertias, damping and friction of a task [61]."""
    spec = mujoco.MjSpec.from_file(str(ASSETS / Walker2dParams.xml))
    standard, factors = spec.compile(), Walker2dParams.goals.by_field(task[None])
    spec.compiler.inertiafromgeom = 0
    for body in spec.bodies[1:]:
        body.explicitinertial = True
        body.mass = standard.body_mass[body.id] * factors["body_mass"][0, body.id - 1]
        body.inertia = standard.body_inertia[body.id] * factors["body_inertia"][0, body.id - 1]
        body.ipos, body.iquat = standard.body_ipos[body.id], standard.body_iquat[body.id]
    for dof, joint in enumerate(spec.joints):
        joint.damping = np.asarray(joint.damping) * factors["dof_damping"][0, dof]
    for geom in spec.geoms:
        geom.friction = np.asarray(geom.friction) * factors["geom_friction"][0, geom.id]
    return spec.compile()


def test_constants_that_follow_are_those_of_a_model_compiled_so() -> None:
    """And they matter: with the file's own inverse weights, contacts and joint limits are softer or harder."""
    world = Walker2dParams(1)
    task = world.sample_tasks(1, np.random.default_rng(0))[0]
    inertia = world.goals.by_field(task[None])["body_inertia"]
    inertia[:] = inertia[..., :1]  # a compiler refuses inertias that no solid has
    task = np.concatenate([task[:7], inertia.ravel(), task[28:]])
    world.set_tasks(task)
    world.reset(np.random.default_rng(0))
    ours, theirs = world.batch.get_model(0), recompiled(task)
    for name in (*FIELDS, *DERIVED):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12, atol=1e-12, err_msg=name)
    stale = Walker2dParams.model()
    for name in (*FIELDS, "pair_friction"):
        getattr(stale, name)[:] = getattr(ours, name)
    assert np.abs(stale.dof_invweight0 / theirs.dof_invweight0 - 1).max() > 0.4
    datas = {}
    for model in (theirs, stale):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = world.qpos[0], world.qvel[0]
        datas[model] = data
    for action in np.random.default_rng(1).uniform(-1, 1, (100, 6)):
        world.step(action[None])
        for model, data in datas.items():
            data.ctrl[:] = action
            mujoco.mj_step(model, data, 4)
        np.testing.assert_allclose(world.qpos[0], datas[theirs].qpos, rtol=0, atol=1e-9)
    assert np.abs(world.qpos[0] - datas[stale].qpos).max() > 0.01


def test_tasks_change_in_a_forked_process() -> None:
    world, other = started(Walker2dParams, 4, threads=2), started(Walker2dParams, 4, threads=2)
    tasks = world.sample_tasks(4, np.random.default_rng(7))

    def again(world: VaryingDynamics) -> np.ndarray:
        world.set_tasks(tasks)
        world.reset(np.random.default_rng(3))
        return rolled(world)

    wanted = again(other)

    def child() -> None:
        np.testing.assert_array_equal(again(world), wanted)
        check_simulated(world)

    in_child(child)
    np.testing.assert_array_equal(again(world), wanted)


def test_a_world_without_tasks_simulates_the_file() -> None:
    world = make_world("metarl/HopperParams-v0", 2)
    world.place(None, *world.initial(world.tasks, np.random.default_rng(0)))
    np.testing.assert_array_equal(world.batch.get_model(1).body_mass, HopperParams.model().body_mass)
