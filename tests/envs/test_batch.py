"""Batches with listed contacts: as MuJoCo's own where geoms are changed, and in a process that was forked."""

import mujoco
import numpy as np
import pytest
from forks import in_child

from metarl.envs import TaskVectorEnv, World, make_world
from metarl.envs.ant import AntVel
from metarl.envs.contacts import GEOM_FIELDS, follow_geoms, list_contacts, pair_fields
from metarl.envs.half_cheetah import HalfCheetahVel
from metarl.envs.physics import MujocoWorld

CHANGES = {  # factor, and what is added
    "geom_friction": (0.2, 0.0), "geom_solref": (2.0, 0.0), "geom_solimp": (0.8, 0.0),
    "geom_margin": (1.0, 0.02), "geom_solmix": (3.0, 0.0),
}  # fmt: skip


def searching(kind: type[MujocoWorld]) -> type[MujocoWorld]:
    return type("Searching", (kind,), {"compiled": staticmethod(mujoco.MjSpec.compile)})


def rolled(world: World, *, steps: int = 60) -> np.ndarray:
    """Observations [steps, N, obs] under fixed random actions."""
    world.set_tasks(1.0)
    world.reset(np.random.default_rng(0))
    rows = []
    for action in np.random.default_rng(1).uniform(-1, 1, (steps, world.num_envs, *world.action_space.shape)):
        world.step(action)
        rows.append(world.observe())
    return np.array(rows)


@pytest.mark.parametrize("kind", [HalfCheetahVel, AntVel])
@pytest.mark.parametrize("field", CHANGES)
def test_contacts_follow_geoms_of_each_simulation(kind: type[MujocoWorld], field: str) -> None:
    listed, searched, plain = kind(3, threads=1), searching(kind)(3, threads=1), kind(3, threads=1)
    assert listed.batch.model.npair
    assert not searched.batch.model.npair
    for world in (listed, searched):
        values, (factor, shift) = world.batch.expand(field), CHANGES[field]
        values[1:, : values.shape[1] // 2] *= factor  # of some geoms, so that what is mixed differs, too
        values[2] *= factor
        values[1:] += shift
    found, unchanged = rolled(listed), rolled(plain)
    np.testing.assert_array_equal(found, rolled(searched))
    np.testing.assert_array_equal(found[:, 0], unchanged[:, 0])
    if field != "geom_solmix":  # where all is alike it does not matter how it is mixed
        assert np.abs(found[:, 1:] - unchanged[:, 1:]).max() > 0.01


def test_contacts_follow_integers_named_views_and_later_changes() -> None:
    worlds = HalfCheetahVel(2, threads=1), searching(HalfCheetahVel)(2, threads=1)
    found = []
    for world in worlds:
        world.batch.expand("geom_condim")[1] = 1
        world.batch.geom("ffoot").priority = 1
        first = rolled(world, steps=20)
        world.batch.geom("floor").friction = 0.05  # in the middle of an episode
        found.append([*first, *rolled(world, steps=20)])
    np.testing.assert_array_equal(*found)


class Slippery(HalfCheetahVel):
    @classmethod
    def model(cls) -> mujoco.MjModel:
        model = super().model()
        model.geom_friction *= 0.2
        return model


class SlipperySearching(Slippery):
    compiled = staticmethod(mujoco.MjSpec.compile)


def test_contacts_follow_a_model_that_was_changed_when_compiled() -> None:
    np.testing.assert_array_equal(rolled(Slippery(2)), rolled(SlipperySearching(2)))
    worlds = HalfCheetahVel(2), searching(HalfCheetahVel)(2)
    for world in worlds:
        models = [world.batch.get_model(i) for i in range(2)]
        models[1].geom_friction *= 0.2
        world.batch.set_models(models)
    one, other = map(rolled, worlds)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one[:, 1], rolled(Slippery(2))[:, 1])


@pytest.mark.parametrize("field", ["geom_contype", "geom_conaffinity", "geom_adhesion", "pair_friction", "pair_dim"])
def test_what_pairs_cannot_follow_is_refused(field: str) -> None:
    world = HalfCheetahVel(2)
    wanted = "follows the geoms" if field.startswith("pair_") else "cannot be changed, because contacts are listed"
    with pytest.raises(ValueError, match=rf"^{field} {wanted}[^\n]*$"):
        world.batch.expand(field)
    searching(HalfCheetahVel)(2).batch.expand(field)
    if not field.startswith("pair_"):
        model = HalfCheetahVel.model()
        getattr(model, field)[:] = 1
        with pytest.raises(ValueError, match=rf"^{field} {wanted}"):
            world.batch.set_models(model)


def attributes(rng: np.random.Generator) -> str:
    """Contact parameters of a geom, some of them at the edges of MuJoCo's rule."""
    standard = f"{rng.uniform(0.01, 0.1)} {rng.uniform(0.5, 2)}"
    solref = standard if rng.random() < 0.7 else f"-{rng.uniform(100, 1000)} -{rng.uniform(10, 100)}"
    values = {
        "condim": rng.choice([1, 3, 4, 6]), "friction": f"{rng.uniform(0, 2)} {rng.uniform(0, 0.1)} 0.001",
        "solref": solref, "solimp": f"{rng.uniform(0.1, 0.9)} {rng.uniform(0.9, 0.99)} 0.002 0.5 2",
        "margin": rng.choice([0, rng.uniform(0, 0.1)]), "gap": rng.choice([0, rng.uniform(0, 0.05)]),
        "solmix": rng.choice([0, 1, rng.uniform(0, 2)]), "priority": rng.choice([0, 0, 0, 1]),
    }  # fmt: skip
    return " ".join(f'{name}="{value}"' for name, value in values.items())


def test_pairs_have_the_parameters_of_mujocos_own_contacts() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        balls = "".join(
            f'<body pos="{i} 0 .02"><freejoint/><geom size=".1" conaffinity="0" {attributes(rng)}/></body>'
            for i in range(4)
        )
        ground = f'<geom type="plane" size="9 9 .1" {attributes(rng)}/>'
        model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{ground}{balls}</worldbody></mujoco>")
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        geoms = {name: getattr(model, name)[None] for name in GEOM_FIELDS}
        found = pair_fields(geoms, data.contact.geom1, data.contact.geom2)
        assert data.ncon == 4
        np.testing.assert_array_equal(found["pair_dim"][0], data.contact.dim)
        np.testing.assert_array_equal(found["pair_solref"][0], data.contact.solref)
        np.testing.assert_array_equal(found["pair_solimp"][0], data.contact.solimp)
        np.testing.assert_array_equal(np.maximum(found["pair_friction"][0], mujoco.mjMINMU), data.contact.friction)
        np.testing.assert_array_equal(found["pair_margin"][0], data.contact.includemargin)


def test_a_gap_does_as_without_listing() -> None:
    text = '<geom type="plane" size="9 9 .1"/><body pos="0 0 .12"><freejoint/><geom size=".1" conaffinity="0"/></body>'
    spec = mujoco.MjSpec.from_string(f"<mujoco><worldbody>{text}</worldbody></mujoco>")
    searched, listed = spec.compile(), list_contacts(spec)
    assert listed.npair == 1
    seen = []
    for model in (searched, listed):
        model.geom_margin[:], model.geom_gap[:] = 0.01, (0.02, 0.03)
        follow_geoms(model)
        data = mujoco.MjData(model)
        counts = []
        for _ in range(30):
            mujoco.mj_step(model, data)
            counts.append((data.ncon, data.nefc, data.qpos[2]))
        seen.append(counts)
    assert seen[0] == seen[1]
    assert max(count for count, *_ in seen[0]) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_a_world_goes_on_in_a_forked_process(threads: int) -> None:
    """With the same numbers, also where fields are expanded, and in a child's child; the parent's stays as it was."""
    world, other = (make_world("metarl/AntVel-MAML2017-v0", 4, threads=threads) for _ in range(2))
    for each in (world, other):
        each.batch.expand("geom_friction")[:2] *= 0.3
        rolled(each, steps=3)
    live = world.qpos  # a view made before the fork
    wanted = rolled(other, steps=20)

    def child() -> None:
        np.testing.assert_array_equal(rolled(world, steps=20), wanted)
        np.testing.assert_array_equal(live, world.batch.qpos)
        np.testing.assert_array_equal(live, other.qpos)
        in_child(lambda: np.testing.assert_array_equal(rolled(world, steps=20), wanted))
        fresh = make_world("metarl/AntVel-MAML2017-v0", 4, threads=threads)
        fresh.batch.expand("geom_friction")[:2] *= 0.3
        np.testing.assert_array_equal(rolled(fresh, steps=20), wanted)

    in_child(child)
    np.testing.assert_array_equal(rolled(world, steps=20), wanted)


def test_a_vector_environment_goes_on_in_a_forked_process() -> None:
    def played(env: TaskVectorEnv) -> list[np.ndarray]:
        return [np.concatenate(env.step(np.full((4, 6), 0.3))[:2], axis=None) for _ in range(12)]

    envs = [TaskVectorEnv(HalfCheetahVel, 4, max_episode_steps=5, threads=2) for _ in range(2)]
    for env in envs:
        env.reset(seed=1)
    wanted = played(envs[0])
    in_child(lambda: np.testing.assert_array_equal(played(envs[1]), wanted))
    np.testing.assert_array_equal(played(envs[1]), wanted)


def test_a_child_may_drop_and_leave_what_it_never_used() -> None:
    worlds = [HalfCheetahVel(4, threads=2)]
    worlds[0].set_tasks(1.0)
    worlds[0].reset(np.random.default_rng(0))
    in_child(worlds.clear)
