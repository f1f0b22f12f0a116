"""Frames of the MuJoCo environments, where OpenGL can draw."""

import os
import subprocess
import sys

import numpy as np
import pytest

DRAW = """
import sys
import gymnasium, numpy as np
import metarl.envs
frames = []
for id in ("metarl/HalfCheetahVel-v0", "metarl/AntGoal-v0"):
    env = gymnasium.make(id, render_mode="rgb_array", width=160, height=120)
    env.reset(seed=0)
    for _ in range(3):
        frames.append(env.render())
        env.step(env.action_space.sample())
    env.close()
vector = gymnasium.make_vec("metarl/AntVel-MAML2017-v0", num_envs=2, render_mode="rgb_array", width=160, height=120)
vector.reset(seed=0)
frames += vector.render()
vector.close()
ant = gymnasium.make("metarl/AntGoal-v0", render_mode="rgb_array", width=160, height=120)
ant.reset(seed=0, options={"task": [1.0, 0.5]})
frames.append(ant.render())
ant.close()
np.save(sys.argv[1], np.stack(frames))
"""


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Frames [9, 120, 160, 3] drawn by a process of its own, since MUJOCO_GL is read once a process."""
    path = tmp_path_factory.mktemp("frames") / "frames.npy"
    reasons = []
    for backend in [os.environ["MUJOCO_GL"]] if "MUJOCO_GL" in os.environ else ["egl", "osmesa"]:
        command = [sys.executable, "-c", DRAW, str(path)]
        done = subprocess.run(command, env={**os.environ, "MUJOCO_GL": backend}, capture_output=True, text=True)
        if done.returncode == 0:
            return np.load(path)
        reasons.append(f"{backend}: {done.stderr.strip().splitlines()[-1]}")
    if all("gl" in reason.lower() for reason in reasons):
        pytest.skip(f"no OpenGL here ({'; '.join(reasons)})")
    raise AssertionError("; ".join(reasons))


def test_frames_show_something_that_moves(frames: np.ndarray) -> None:
    assert frames.shape == (9, 120, 160, 3)
    assert frames.dtype == np.uint8
    for frame in frames:
        assert frame.std() > 10
    assert (frames[0] != frames[2]).any()
    assert (frames[3] != frames[5]).any()
    assert (frames[6] != frames[7]).any()  # two ants, two poses


def test_a_goal_that_is_a_place_is_green(frames: np.ndarray) -> None:
    red, green, blue = frames[8].astype(int).transpose(2, 0, 1)
    disc = (green > 1.8 * red) & (green > 1.8 * blue)
    assert 20 < disc.sum() < 1000
    red, green, blue = frames[6].astype(int).transpose(2, 0, 1)  # a velocity is no place
    assert not ((green > 1.8 * red) & (green > 1.8 * blue)).any()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux may lack a display")
def test_without_a_display_the_remedy_is_named() -> None:
    headless = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-c", DRAW, "unused"]
    done = subprocess.run(command, env={**headless, "MUJOCO_GL": "glfw"}, capture_output=True, text=True)
    assert "RuntimeError: HalfCheetahVel: OpenGL cannot draw here; set MUJOCO_GL=egl" in done.stderr
