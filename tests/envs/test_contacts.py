"""Models with listed contacts and no clock: the same numbers, and no model changed that must not be."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np
import pytest

from metarl.envs.ant import AntVel, AntVel2017
from metarl.envs.contacts import list_contacts, stop_clock
from metarl.envs.half_cheetah import HalfCheetahVel, HalfCheetahVel2017
from metarl.envs.physics import ASSETS, MujocoWorld, quiet

CONTACT = ("geom", "dim", "dist", "pos", "frame", "includemargin", "friction", "solref", "solreffriction", "solimp")


@pytest.mark.filterwarnings("ignore:.*settotalmass")
@pytest.mark.parametrize(
    ("world", "pairs"), [(HalfCheetahVel, 8), (HalfCheetahVel2017, 8), (AntVel, 13), (AntVel2017, 13)]
)
def test_the_same_contacts_and_states_to_the_last_bit(world: type[MujocoWorld], pairs: int) -> None:
    spec = mujoco.MjSpec.from_file(str(ASSETS / world.xml))
    world.edit(spec)
    with quiet():
        models = spec.compile(), world.model()
    assert [model.npair for model in models] == [0, pairs]
    plain, listed = (mujoco.MjData(model) for model in models)
    rng, most = np.random.default_rng(0), 0
    for _ in range(600):
        plain.ctrl[:] = listed.ctrl[:] = rng.uniform(-1, 1, models[0].nu)
        for model, data in zip(models, (plain, listed), strict=True):
            mujoco.mj_step(model, data)
        assert plain.ncon == listed.ncon
        for field in CONTACT:
            np.testing.assert_array_equal(getattr(plain.contact, field), getattr(listed.contact, field), field)
        np.testing.assert_array_equal(plain.qpos, listed.qpos)
        np.testing.assert_array_equal(plain.qvel, listed.qvel)
        np.testing.assert_array_equal(plain.cfrc_ext, listed.cfrc_ext)
        most = max(most, plain.ncon)
    assert most > 1  # it did stand on something


GROUND = '<geom type="plane" size="9 9 .1"/>'
BALL = '<body pos="0 0 1"><freejoint/><geom size=".1" {0}/></body>'
QUIET_BALL = BALL.format('conaffinity="0"')


@pytest.mark.parametrize(
    ("world", "listed"),
    [
        (GROUND + QUIET_BALL + QUIET_BALL, 2),
        (GROUND + QUIET_BALL + BALL.format('contype="0" conaffinity="0"'), 1),
        (GROUND + BALL.format("") + BALL.format(""), 0),  # the balls touch each other
        ('<geom type="box" size="9 9 .1"/>' + QUIET_BALL + '<geom type="plane" size="9 9 .1"/>', 0),  # two grounds
        (GROUND + BALL.format('conaffinity="0" gap=".01"'), 0),
        (QUIET_BALL, 0),
    ],
)
def test_only_contacts_with_one_ground_are_listed(world: str, listed: int) -> None:
    model = list_contacts(mujoco.MjSpec.from_string(f"<mujoco><worldbody>{world}</worldbody></mujoco>"))
    assert model.npair == listed
    assert bool((model.geom_contype | model.geom_conaffinity).any()) == (not listed)


def test_a_model_with_pairs_of_its_own_stays_as_it_is() -> None:
    own = '<contact><pair geom1="floor" geom2="ball" condim="1"/></contact>'
    parts = GROUND.replace("geom", 'geom name="floor"', 1) + QUIET_BALL.replace("<geom", '<geom name="ball"', 1)
    model = list_contacts(mujoco.MjSpec.from_string(f"<mujoco><worldbody>{parts}</worldbody>{own}</mujoco>"))
    assert model.npair == 1
    assert model.pair_dim.tolist() == [1]
    assert model.geom_contype.all()


@pytest.fixture
def bare() -> Iterator[tuple[mujoco.MjModel, mujoco.MjData]]:
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{GROUND}{QUIET_BALL}</worldbody></mujoco>")
    yield model, mujoco.MjData(model)
    mujoco.set_mjcb_time(None)


def test_no_clock_but_the_users(bare: tuple[mujoco.MjModel, mujoco.MjData]) -> None:
    model, data = bare
    stop_clock()
    mujoco.mj_step(model, data)
    assert data.timer[mujoco.mjtTimer.mjTIMER_STEP].duration == 0
    mujoco.set_mjcb_time(time.perf_counter)
    stop_clock()
    assert mujoco.get_mjcb_time() is time.perf_counter
    mujoco.mj_step(model, data)
    assert data.timer[mujoco.mjtTimer.mjTIMER_STEP].duration > 0


def test_quiet_lasts_until_the_last_thread_is_out(
    bare: tuple[mujoco.MjModel, mujoco.MjData], capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inside, go = threading.Event(), threading.Event()

    def diverge() -> None:
        bare[1].qvel[0] = np.nan
        mujoco.mj_step(*bare)

    def other() -> None:
        with quiet():
            inside.set()
            go.wait()
            diverge()

    thread = threading.Thread(target=other)
    with quiet():
        thread.start()
        inside.wait()
    go.set()
    thread.join()
    assert bare[1].warning[mujoco.mjtWarning.mjWARN_BADQVEL].number == 1
    assert not [*tmp_path.iterdir()]
    assert mujoco.get_mju_user_warning() is None
    mujoco.mj_resetData(*bare)
    diverge()  # not quiet
    assert "QVEL" in "".join(capfd.readouterr()) + "".join(file.read_text() for file in tmp_path.iterdir())
