"""The same physics with less work, to the last bit: no search for contacts that cannot be, no stopwatch.

MuJoCo looks at every substep for bodies that may touch, though in these models only the ground touches anything: pairs
listed in the model are tested without a search (half-cheetah 15 % faster, ant 19 %). And MuJoCo's Python package, not
its C library, has every stage of a step timed, dozens of readings of the clock a substep (13 % and 11 %; one thread,
mujoco 4.0.0).
"""

import ctypes
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import mujoco
import numpy as np

from metarl.ranges import checked

LISTED = "listed: "  # begins the names of pairs that `list_contacts` lists
GEOM_FIELDS = tuple(
    f"geom_{name}" for name in ("condim", "friction", "solref", "solimp", "margin", "gap", "priority", "solmix")
)
UNLISTED = ("geom_contype", "geom_conaffinity", "geom_adhesion")  # what pairs cannot follow: 0 where they are listed


@checked
def list_contacts(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """Compile spec with every pair of geoms that can touch listed, so that MuJoCo searches for none.

    Pairs take their parameters from their geoms (`follow_geoms`), and `metarl.envs.batch.Batch` keeps them so. A model
    where moving parts touch each other or more than one fixed geom, or that lists pairs itself, stays as it is.
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
    """The pairs that `list_contacts` listed, [pairs]."""
    return np.array([i for i in range(model.npair) if model.pair(i).name.startswith(LISTED)], int)


def follow_geoms(model: mujoco.MjModel) -> None:
    """Give the listed pairs of a model what its geoms say; ValueError where pairs cannot say it."""
    pairs = listed_pairs(model)
    if not len(pairs):
        return
    for name in UNLISTED:
        if getattr(model, name).any():
            raise ValueError(unlisted(name))
    geoms = {name: getattr(model, name)[None] for name in GEOM_FIELDS}
    for name, (values,) in pair_fields(geoms, model.pair_geom1[pairs], model.pair_geom2[pairs]).items():
        getattr(model, name)[pairs] = values


def unlisted(name: str) -> str:
    """Why the geoms' field of this name cannot be changed, and the remedy."""
    return (
        f"{name} cannot be changed where contacts are listed: change it in `edit` of the World's class, or set "
        "`compiled = staticmethod(mujoco.MjSpec.compile)` there, which is slower"
    )


def pair_fields(geoms: dict[str, np.ndarray], one: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters [n, pairs, …] of contacts between geoms `one` and `other` [pairs], by MuJoCo's rule (mj_contactParam).

    geoms: `GEOM_FIELDS` [n, geoms, …]. The geom of higher priority decides; between equals the larger number does, and
    the solver's parameters are mixed. Margins and gaps add up.
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
        usual = (a[..., :1] > 0) & (b[..., :1] > 0)  # else stiffness and damping, as negative numbers
        return np.where(usual, blend(a, b), np.minimum(a, b))

    def settled(name: str, between_equals: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        a, b = geoms[name][:, one], geoms[name][:, other]
        rank = (first.astype(int) - second).reshape(first.shape + (1,) * (a.ndim - 2))
        return np.where(rank > 0, a, np.where(rank < 0, b, between_equals(a, b)))

    return {
        "pair_dim": settled("geom_condim", np.maximum),
        "pair_friction": settled("geom_friction", np.maximum)[..., [0, 0, 1, 2, 2]],
        "pair_solref": settled("geom_solref", reference),
        "pair_solimp": settled("geom_solimp", blend),
        "pair_margin": geoms["geom_margin"][:, one] + geoms["geom_margin"][:, other],
        "pair_gap": geoms["geom_gap"][:, one] + geoms["geom_gap"][:, other],
    }


def stop_clock() -> None:
    """Take away the clock with which MuJoCo's Python package fills `mjData.timer`, for the whole process.

    A clock of the user's, `mujoco.set_mjcb_time(time.perf_counter)`, stays, and brings the timers back at any time.
    """
    if mujoco.get_mjcb_time() is not None:
        return
    for library in Path(mujoco.__file__).parent.glob("*mujoco.*"):  # libmujoco.so.4.0.0, mujoco.dll, …
        with suppress(OSError, ValueError):  # no library, or one without that name: slower, not wrong
            ctypes.c_void_p.in_dll(ctypes.CDLL(str(library)), "mjcb_time").value = None
