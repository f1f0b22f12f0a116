"""Draw a frame of every kind of environment into docs/_static/environments: `python docs/draw_environments.py`.

It needs OpenGL (on a machine without a screen, MUJOCO_GL=egl) for all but the point.
"""

from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image

import metarl.envs  # noqa: F401  (registers the ids)

FOLDER = Path(__file__).parent / "_static" / "environments"
IDS = [  # velocity and direction look alike
    f"metarl/{kind}{variant}-v0"
    for kind in ("HalfCheetahVel", "AntVel", "AntGoal", "PointNav")
    for variant in ("", "-MAML2017")
]
WIDTH, HEIGHT, SECONDS = 480, 320, 0.6  # of the picture; of waving limbs before it is taken


def frame(id: str) -> np.ndarray:
    """The environment after some smooth actions, which show that its limbs move."""
    env = gymnasium.make(id, render_mode="rgb_array", width=WIDTH, height=HEIGHT)
    env.reset(seed=1)
    size = env.action_space.shape[0]
    for step in range(round(SECONDS / env.unwrapped.world.dt)):
        time = step * env.unwrapped.world.dt
        env.step((0.6 * np.sin(9 * time + 2 * np.arange(size))).astype(np.float32))
    picture = env.render()
    env.close()
    return picture


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in IDS:
        path = FOLDER / (name.removeprefix("metarl/").removesuffix("-v0").lower() + ".jpg")
        Image.fromarray(frame(name)).save(path, quality=82, optimize=True)
        print(path)
