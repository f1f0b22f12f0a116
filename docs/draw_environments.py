"""Draw a frame of every kind of environment into docs/_static/environments: `python docs/draw_environments.py`.

It needs OpenGL (on a machine without a screen, MUJOCO_GL=egl) for all but the point, the cart and the pendulum.
"""

from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image

import metarl.envs  # noqa: F401  (registers the ids)

FOLDER = Path(__file__).parent / "_static" / "environments"
KINDS = ("HalfCheetahVel", "AntVel", "AntGoal", "PointNav")  # velocity and direction look alike
UPRIGHT = ("HopperParams", "Walker2dParams", "HumanoidDir2D")  # they fall soon
SECONDS = {  # of waving limbs before the picture is taken
    **{f"metarl/{kind}{variant}-v0": 0.6 for kind in KINDS for variant in ("", "-MAML2017")},
    **{f"metarl/{kind}-v0": 0.3 for kind in UPRIGHT},
    "metarl/CartPoleParams-v0": 0.2,
    "metarl/PendulumParams-v0": 0.6,
}
WIDTH, HEIGHT = 480, 320


def frame(id: str) -> np.ndarray:
    """The environment after some smooth actions, which show that its limbs move."""
    env = gymnasium.make(id, render_mode="rgb_array", width=WIDTH, height=HEIGHT)
    env.reset(seed=1)
    space = env.action_space
    for step in range(round(SECONDS[id] / env.unwrapped.world.dt)):
        time = step * env.unwrapped.world.dt
        waving = 0.6 * np.sin(9 * time + 2 * np.arange(space.shape[0] if space.shape else 1))
        env.step(waving.astype(np.float32) if space.shape else int(waving[0] > 0))
    picture = env.render()
    env.close()
    return picture


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in SECONDS:
        path = FOLDER / (name.removeprefix("metarl/").removesuffix("-v0").lower() + ".jpg")
        Image.fromarray(frame(name)).save(path, quality=82, optimize=True)
        print(path)
