"""MuJoCo worlds, which simulate all sub-environments in one native `mujoco.batch.Batch`, with Gymnasium's model files.

For speed, there is one call of the batch per action and no Python loop over sub-environments. Island solving is
disabled, which is 5 % faster with identical results; see `metarl.envs.contacts` for contacts and timers. Trajectories
are equal to those of Gymnasium's v5 environments for any number of threads.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import mujoco
import numpy as np
from gymnasium.spaces import Box

from metarl.envs.contacts import list_contacts, stop_clock
from metarl.envs.goals import Square
from metarl.envs.imports import safe_path
from metarl.envs.world import World

if TYPE_CHECKING:
    from metarl.envs.batch import Batch

ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
FOLLOWING = {"type": mujoco.mjtCamera.mjCAMERA_TRACKING, "trackbodyid": 1, "distance": 4.0}
ABOVE = {"type": mujoco.mjtCamera.mjCAMERA_FREE, "lookat": np.zeros(3), "distance": 10.0, "elevation": -60.0}
DIVERGED = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADCTRL) + 1)

_lock = threading.Lock()
_inside = 0  # number of threads within `quiet`


class MujocoWorld(World):
    """A World of MuJoCo simulations; qpos [N, nq], qvel [N, nv] and ctrl [N, nu] are live float64 views.

    Subclasses define the XML file, the number of substeps per action and the size of observations. They may edit the
    model.
    """

    xml: ClassVar[str]  # name of the model file in Gymnasium's package
    frame_skip: ClassVar[int] = 5  # number of substeps per action
    observation_size: ClassVar[int]
    stage: ClassVar[mujoco.mjtStage] = mujoco.mjtStage.mjSTAGE_NONE  # computations that follow the last substep
    compiled: ClassVar[Callable[[mujoco.MjSpec], mujoco.MjModel]] = staticmethod(list_contacts)
    """Compiles the model; with `staticmethod(mujoco.MjSpec.compile)`, MuJoCo itself searches for contacts."""
    render_modes = ("human", "rgb_array")
    parallel = True

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        kind = batches(self.name)
        stop_clock()
        model = self.model()
        self.batch = kind(model, num_envs, self.threads)
        self.qpos, self.qvel, self.ctrl = self.batch.qpos, self.batch.qvel, self.batch.ctrl
        self._warnings = self.batch.warning[:, DIVERGED, 1]  # [N, 4] numbers of bad qpos, qvel, qacc, ctrl
        self.init_qpos, self.init_qvel = self.start(model)
        self.dt = model.opt.timestep * self.frame_skip
        self.observation_space = Box(-np.inf, np.inf, (self.observation_size,), np.float64)
        self.action_space = Box(-1.0, 1.0, (model.nu,), np.float32)
        self._renderer: Any = None

    @classmethod
    def model(cls) -> mujoco.MjModel:
        """The compiled model, from the file `xml` after `edit`."""
        spec = mujoco.MjSpec.from_file(str(ASSETS / cls.xml))
        cls.edit(spec)
        with warnings.catch_warnings(), quiet():
            warnings.filterwarnings("ignore", message=".*settotalmass")  # Gymnasium's half_cheetah.xml uses it
            model = cls.compiled(spec)
        model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_ISLAND)
        return model

    @classmethod
    def edit(cls, spec: mujoco.MjSpec) -> None:
        """Change the model before it is compiled; by default nothing."""

    @classmethod
    def start(cls, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        """The mean initial state: qpos [nq], qvel [nv]."""
        return model.qpos0.copy(), np.zeros(model.nv)

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """qpos [n, nq] ± U(0.1) and qvel [n, nv] + N(0, 0.1²), sampled in the order of Gymnasium's v5 environments."""
        qpos = self.init_qpos + rng.uniform(-0.1, 0.1, (len(tasks), len(self.init_qpos)))
        qvel = self.init_qvel + 0.1 * rng.standard_normal((len(tasks), len(self.init_qvel)))
        return qpos, qvel

    def around_start(self, n: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """qpos [n, nq] and qvel [n, nv], each ± U(noise), sampled in the order of Gymnasium's v5 environments."""
        start = np.concatenate([self.init_qpos, self.init_qvel])
        state = start + rng.uniform(-noise, noise, (n, len(start)))
        return state[:, : len(self.init_qpos)], state[:, len(self.init_qpos) :]

    def place(self, ids: Any, *state: np.ndarray) -> None:
        """Put the sub-environments `ids` into the state qpos [n, nq], qvel [n, nv], and reset everything else."""
        rows = self.check_state(ids, state, qpos=self.qpos, qvel=self.qvel)
        self.batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self.qpos[rows], self.qvel[rows] = state
        with quiet():
            self.batch.forward(ids)

    def simulate(self, controls: np.ndarray, alive: np.ndarray | None) -> np.ndarray:
        """Simulate one action with controls [N, nu], which MuJoCo clips to ±1. Returns which diverged, [N] bool."""
        self.ctrl[:] = controls
        with quiet():
            self.batch.step(alive, nstep=self.frame_skip, stage=self.stage)
        return self._warnings.any(axis=1)

    def render(self, index: int, mode: str, *, width: int = 480, height: int = 480) -> np.ndarray | None:
        """Render a sub-environment with Gymnasium's renderer, which needs OpenGL (MUJOCO_GL=egl, osmesa or glfw).

        A goal position is shown as a green disc on the ground, and seen from above.
        """
        self.check_drawing(index, mode, width, height)
        with safe_path():
            from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer  # it loads a graphics library

        if self._renderer is not None and (self._renderer.width, self._renderer.height) != (width, height):
            self.close()
        if self._renderer is None:
            model = self.batch.get_model(index)
            model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
            model.vis.global_.offheight = max(model.vis.global_.offheight, height)
            place = isinstance(self.goals, Square)
            camera, name = (ABOVE, None) if place else (FOLLOWING, "track")  # the name is used for images only
            self._renderer = MujocoRenderer(model, mujoco.MjData(model), camera, width, height, camera_name=name)
        self.batch.get_data(index, self._renderer.data)
        mujoco.mj_forward(self._renderer.model, self._renderer.data)
        try:
            if self._renderer.viewer is None:
                self._renderer.render(mode)
            if isinstance(self.goals, Square):
                self._renderer.viewer.add_marker(**goal_marker(self.tasks[index]))
            return self._renderer.render(mode)
        except Exception as error:  # all backends raise different errors if OpenGL is missing
            remedy = "set MUJOCO_GL=egl or MUJOCO_GL=osmesa before Python starts, or use a display"
            raise RuntimeError(f"{self.name}: OpenGL cannot draw here; {remedy}") from error

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


class CentreOfMass(MujocoWorld):
    """A MuJoCo World with the physics of the MAML paper: one substep per action, and velocities of the centre of mass.

    As in rllab and cbfinn/maml_rl (rllab/envs/mujoco/mujoco_env.py, normalized_env.py), actions are clipped first,
    positions and velocities are computed again after the step, and the initial noise is N(0, 0.01²) and N(0, 0.1²).
    """

    frame_skip = 1
    stage = mujoco.mjtStage.mjSTAGE_VEL

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        self.com = self.batch.sensor("com").data  # [N, 3] m, a live view
        self.com_velocity = self.batch.sensor("com_velocity").data  # [N, 3] m/s, a live view

    @classmethod
    def edit(cls, spec: mujoco.MjSpec) -> None:
        for name, kind in (("com", "SUBTREECOM"), ("com_velocity", "SUBTREELINVEL")):
            spec.add_sensor(
                name=name,
                type=getattr(mujoco.mjtSensor, f"mjSENS_{kind}"),
                objtype=mujoco.mjtObj.mjOBJ_BODY,
                objname="torso",
            )

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """qpos [n, nq] + N(0, 0.01²) and qvel [n, nv] + N(0, 0.1²), independent for each coordinate."""
        qpos = self.init_qpos + 0.01 * rng.standard_normal((len(tasks), len(self.init_qpos)))
        qvel = self.init_qvel + 0.1 * rng.standard_normal((len(tasks), len(self.init_qvel)))
        return qpos, qvel


def batches(world: str) -> type[Batch]:
    """The class `Batch`, for the World with this name. Raises ValueError if MuJoCo is too old to have batches."""
    if int(mujoco.__version__.partition(".")[0]) < 4:
        raise ValueError(
            f"{world} is simulated by mujoco.batch, which needs MuJoCo 4.0 or newer, and this is {mujoco.__version__}: "
            "pip install 'mujoco>=4.0', in an environment without metaworld, which needs an older version"
        )
    from metarl.envs.batch import Batch  # here, because everything else works with an older MuJoCo

    return Batch


def goal_marker(task: np.ndarray) -> dict[str, Any]:
    """A disc around the goal position `task` [2] (m), for Gymnasium's viewers."""
    return {
        "type": mujoco.mjtGeom.mjGEOM_CYLINDER,
        "pos": np.array([*task, 0.0]),
        "size": np.array([0.4, 0.01, 0.0]),  # radius and half the height (m)
        "rgba": np.array([0.18, 0.63, 0.26, 1.0], np.float32),
    }


def _forked() -> None:
    """Reset the lock in a child process, because a thread that held it does not exist there."""
    global _lock, _inside
    _lock, _inside = threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


@contextmanager
def quiet() -> Iterator[None]:
    """In this context, MuJoCo prints no warnings and does not write MUJOCO_LOG.TXT, unless the user set a handler.

    Several threads may be in this context at the same time; the last one restores MuJoCo's handler.
    """
    global _inside
    with _lock:
        ours = mujoco.get_mju_user_warning() in (None, _ignore)
        if ours:
            _inside += 1
            mujoco.set_mju_user_warning(_ignore)
    try:
        yield
    finally:
        if ours:
            with _lock:
                _inside -= 1
                if not _inside:
                    mujoco.set_mju_user_warning(None)


def _ignore(message: str) -> None:
    """Ignore warnings, because simulations that diverge are reported in `Step.diverged`."""
