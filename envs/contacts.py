"""Faster simulation with identical results: a list of possible contacts instead of a search, and no timers.

In each substep, MuJoCo searches for bodies that may touch. In these models, only the ground can be touched, so that all
possible pairs can be listed in the model (half-cheetahs are 15 % faster, ants 19 %). Besides, MuJoCo's Python package
measures the time of each stage of a step. Without these timers, half-cheetahs are 13 % and ants 11 % faster (one
thread, mujoco 4.0.0).
"""

import ctypes
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import mujoco
import numpy as np

from metarl.ranges import checked

LISTED = "listed: "  # beginning of the names of pairs that `list_contacts` adds
GEOM_FIELDS = tuple(
    f"geom_{name}" for name in ("condim", "friction", "solref", "solimp", "margin", "gap", "priority", "solmix")
)
UNLISTED = ("geom_contype", "geom_conaffinity", "geom_adhesion")  # 0 in models with listed pairs, which cannot follow


@checked
def list_contacts(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """Compile a model with a list of all pairs of geoms that can touch, so that MuJoCo does not search for contacts.

    The parameters of pairs are computed from their geoms (`follow_geoms`), and `metarl.envs.batch.Batch` updates them.
    A model is not changed if moving parts can touch each other or more than one fixed geom, or if it has pairs already.
    """
    for index, geom in enumerate(spec.geoms):
        geom.name = geom.name or f"geom {index}"
    model = spec.compile()
    fixed = model.body_weldid[model.geom_bodyid] == 0
    can = (model.geom_contype[:, None] & model.geom_conaffinity) != 0
    can |= can.T
    ground = fixed & can.any(axis=1)
    special = model.npair or model.nexclude or model.nflex or model.geom_gap.any() or model.geom_adhesion.any()
    if special or ground.sum() != 1 or can[np.ix_(~fixed, ~fixed)].any():
        return model
    for one in np.flatnonzero(ground):
        for other in np.flatnonzero(can[one] & ~fixed):
            names = model.geom(one).name, model.geom(other).name
            spec.add_pair(name=f"{LISTED}{names[1]}", geomname1=names[0], geomname2=names[1])
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = 0
    model = spec.compile()
    follow_geoms(model)
    return model


def listed_pairs(model: mujoco.MjModel) -> np.ndarray:
    """The indices of the pairs that `list_contacts` added, [pairs]."""
    return np.array([i for i in range(model.npair) if model.pair(i).name.startswith(LISTED)], int)


def follow_geoms(model: mujoco.MjModel) -> None:
    """Compute the parameters of listed pairs from the geoms. Raises ValueError for fields that pairs cannot follow."""
    pairs = listed_pairs(model)
    if not len(pairs):
        return
    for name in UNLISTED:
        if getattr(model, name).any():
            raise ValueError(cannot_change(name))
    geoms = {name: getattr(model, name)[None] for name in GEOM_FIELDS}
    for name, (values,) in pair_fields(geoms, model.pair_geom1[pairs], model.pair_geom2[pairs]).items():
        getattr(model, name)[pairs] = values


def cannot_change(name: str) -> str:
    """The error message for a change of a field of geoms that listed pairs cannot follow."""
    return (
        f"{name} cannot be changed, because contacts are listed: change it in `edit` of the World's class, or set "
        "`compiled = staticmethod(mujoco.MjSpec.compile)` there, which is slower"
    )


def pair_fields(geoms: dict[str, np.ndarray], one: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
    """The parameters [n, pairs, …] of contacts between geoms `one` and `other` [pairs], as MuJoCo computes them.

    `geoms` contains the arrays [n, geoms, …] of `GEOM_FIELDS`. The parameters are those of the geom with the higher
    priority. For equal priorities, they are the larger numbers, but parameters of the solver are mixed. Margins and
    gaps are added (mj_contactParam in MuJoCo's source).
    """
    (first, second), (weight, weight2) = (
        (geoms[name][:, one], geoms[name][:, other]) for name in ("geom_priority", "geom_solmix")
    )
    least = mujoco.mjMINVAL
    share = np.where(weight < least, 0.0, 1.0)
    share[(weight < least) & (weight2 < least)] = 0.5
    both = (weight >= least) & (weight2 >= least)
    share[both] = weight[both] / (weight[both] + weight2[both])

    def blend(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return share[..., None] * a + (1 - share[..., None]) * b

    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        usual = (a[..., :1] > 0) & (b[..., :1] > 0)  # otherwise negative numbers, which are stiffness and damping
        return np.where(usual, blend(a, b), np.minimum(a, b))

    def combined(name: str, for_equal_priority: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        a, b = geoms[name][:, one], geoms[name][:, other]
        rank = (first.astype(int) - second).reshape(first.shape + (1,) * (a.ndim - 2))
        return np.where(rank > 0, a, np.where(rank < 0, b, for_equal_priority(a, b)))

    return {
        "pair_dim": combined("geom_condim", np.maximum),
        "pair_friction": combined("geom_friction", np.maximum)[..., [0, 0, 1, 2, 2]],
        "pair_solref": combined("geom_solref", reference),
        "pair_solimp": combined("geom_solimp", blend),
        "pair_margin": geoms["geom_margin"][:, one] + geoms["geom_margin"][:, other],
        "pair_gap": geoms["geom_gap"][:, one] + geoms["geom_gap"][:, other],
    }


def stop_clock() -> None:
    """Remove the clock with which MuJoCo's Python package measures `mjData.timer`, for the whole process.

    A clock that the user has set is not removed. `mujoco.set_mjcb_time(time.perf_counter)` activates the timers again.
    """
    if mujoco.get_mjcb_time() is not None:
        return
    for library in Path(mujoco.__file__).parent.glob("*mujoco.*"):  # libmujoco.so.4.0.0, mujoco.dll, …
        with suppress(OSError, ValueError):  # if it cannot be removed, the simulation is only slower
            ctypes.c_void_p.in_dll(ctypes.CDLL(str(library)), "mjcb_time").value = None
