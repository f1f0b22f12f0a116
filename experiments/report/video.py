"""Films side by side, as .mp4 or .gif: one task before and after adaptation, or several after it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metarl.envs import TaskEnv
from metarl.envs.goals import Corners, Direction, Goals, Heading, Square, TargetVelocity
from metarl.experiments.report.labels import gradient_steps
from metarl.experiments.report.output import check_output
from metarl.files import atomic_write
from metarl.rl.policy import AdaptedPolicy, adapt_policy
from metarl.rl.rollout import WorldDistribution
from metarl.run.load import load
from metarl.train import Stream, generator

if TYPE_CHECKING:
    from PIL.Image import Image

FASTEST = 25  # actions shown a second: the 2017 environments take 50 or 100 a second and are slowed down
BAND, TEXT, BEFORE, AFTER = (24, 26, 30), (235, 235, 235), (240, 180, 90), (110, 190, 245)  # colours
GAP = (128, 128, 128)  # colour of the line between the halves
PALETTE = 96  # colours of a GIF, besides those above


class Format(NamedTuple):
    """The size of a half's picture and of the band of text above it, in pixels, and how many actions pass a frame."""

    width: int
    height: int
    band: int
    font: int
    every: int

    @property
    def line(self) -> int:
        """Pixels from one line of text to the next."""
        return self.band // 3


FORMATS = {".mp4": Format(480, 384, 96, 20, every=1), ".gif": Format(320, 240, 66, 14, every=2)}


class Shot(NamedTuple):
    """A moment of an episode."""

    picture: np.ndarray  # [height, width, 3] uint8
    step: int
    measured: str  # "velocity 1.43 m/s"
    total: float  # return so far
    over: bool  # the episode ended here, before its time


class Panel(NamedTuple):
    """One of the episodes side by side."""

    shots: Sequence[Shot]
    title: str
    goal: str
    colour: tuple[int, int, int]  # of the title


def film_run(run_folder: str | Path, out: Path, *, tasks: Sequence[float] = (), steps: int | None, seed: int) -> None:
    """Film the trained initialisation of `run_folder` on one task before and after `steps` gradient steps, into `out`.

    `tasks` are goals where a goal is one number; with more than one, the film shows each after adaptation. Without, a
    held-out task is drawn with `seed`. `steps` defaults to the learner's inner steps. All start in the same state and
    take the policy's mean action. Raises ValueError for a supervised run, a task outside the space, an `out` of another
    kind or without a folder, and where OpenGL or an extra package is missing.
    """
    out = check_output(out, list(FORMATS))
    write = _writer(out.suffix.lower())
    if steps is not None and steps < 0:
        raise ValueError(f"steps is {steps}: give 0 or a positive number")
    trained = load(run_folder)
    distribution, learner = trained.tasks, trained.learner
    if not isinstance(distribution, WorldDistribution):
        preset = trained.folder.config["preset"]
        raise ValueError(f"{run_folder} is a run of {preset}, supervised: there is nothing to film")
    steps = learner.steps if steps is None else steps
    form = FORMATS[out.suffix.lower()]
    goals = [choose_task(distribution, task, seed) for task in tasks or (None,)]
    shown = [(goals[0], 0), (goals[0], steps)] if len(goals) == 1 else [(goal, steps) for goal in goals]
    panels = []
    for goal, k in shown:
        env = TaskEnv(type(distribution.template), goal, render_mode="rgb_array", width=form.width, height=form.height)
        try:
            check_drawing(env)
            policy = adapt_policy(learner, distribution, goal, steps=k, seed=seed)
            shots = record(env, policy, horizon=distribution.horizon, every=form.every, seed=seed)
        finally:
            env.close()
        title = f"after {gradient_steps(k)}" if k or len(goals) > 1 else "before adaptation"
        panels.append(Panel(shots, title, goal_in_words(env.world.goals, goal), AFTER if k else BEFORE))
    real = env.metadata["render_fps"]
    rate = min(real, FASTEST)
    slowed = f"slowed {real / rate:.3g} times" if rate < real else ""
    frames = compose(panels, slowed=slowed, form=form)
    with atomic_write(out) as path:
        write(path, frames, rate / form.every)


def choose_task(distribution: WorldDistribution, task: float | None, seed: int) -> np.ndarray:
    """The goal [task]: `task` where given, else one of the test stream, drawn with `seed`."""
    world = distribution.template
    if task is None:
        return world.sample_tasks(1, generator(Stream.TEST, seed))[0]
    size = world.task_space.shape[0]
    if size != 1:
        raise ValueError(f"a task of {world.name} has {size} numbers: leave out --task and choose one by --seed")
    return np.array([task])


def record(env: TaskEnv, policy: AdaptedPolicy, *, horizon: int, every: int, seed: int) -> list[Shot]:
    """An episode of the policy's mean actions from the initial state of `seed`: every `every`-th step and the last."""
    observation, info = env.reset(seed=seed)
    shots, total, over = [], 0.0, False
    for step in range(horizon + 1):
        if step > 0:
            action, _ = policy.predict(observation, deterministic=True)
            observation, reward, over, _, info = env.step(action)
            total += reward
        if over or step == horizon or step % every == 0:
            picture = env.render()
            assert picture is not None
            shots.append(Shot(picture, step, measured_in_words(env, info), total, over))
        if over:
            break
    return shots


def goal_in_words(goals: Goals, task: np.ndarray) -> str:
    """What `task` [task] asks for."""
    if isinstance(goals, TargetVelocity):
        return f"goal: {task[0]:.2f} m/s"
    if isinstance(goals, Direction):
        return f"goal: {'forward' if task[0] > 0 else 'backward'}"
    if isinstance(goals, Heading):
        return f"goal: heading {np.degrees(task[0]):.0f}°"
    if isinstance(goals, Square | Corners):
        return f"goal: ({task[0]:.2f}, {task[1]:.2f}) m"
    return f"task: {', '.join(f'{value:.3g}' for value in task)}"


def measured_in_words(env: TaskEnv, info: dict[str, Any]) -> str:
    """What `info` says of the quantity that the goal is about; "" before the first step and where it says nothing."""
    goals, task = env.world.goals, env.task
    if isinstance(goals, TargetVelocity | Direction) and "x_velocity" in info:
        return f"velocity {info['x_velocity']:.2f} m/s"
    if isinstance(goals, Heading) and "y_velocity" in info:
        along = info["x_velocity"] * np.cos(task[0]) + info["y_velocity"] * np.sin(task[0])
        return f"velocity along it {along:.2f} m/s"
    if isinstance(goals, Square | Corners) and "y_position" in info:
        return f"distance {np.hypot(info['x_position'] - task[0], info['y_position'] - task[1]):.2f} m"
    return ""


def compose(panels: Sequence[Panel], *, slowed: str, form: Format) -> Iterator[Image]:
    """The film's frames; an episode that has ended holds its last picture while the others go on."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=form.font)
    for i in range(max(len(panel.shots) for panel in panels)):
        frame = Image.new("RGB", (form.width * len(panels), form.band + form.height), BAND)
        draw = ImageDraw.Draw(frame)
        for column, panel in enumerate(panels):
            shot, left = panel.shots[min(i, len(panel.shots) - 1)], column * form.width
            frame.paste(Image.fromarray(shot.picture), (left, form.band))
            rows = (
                (panel.title, f"{'ended at ' if shot.over else ''}step {shot.step}", panel.colour),
                (panel.goal, slowed, TEXT),
                (shot.measured, f"return {shot.total:.1f}", TEXT),
            )
            for row, (text, right, fill) in enumerate(rows):
                y = round((row + 0.5) * form.line)
                draw.text((left + form.font // 2, y), text, font=font, fill=fill, anchor="lm")
                draw.text((left + form.width - form.font // 2, y), right, font=font, fill=fill, anchor="rm")
        for left in range(form.width, frame.width, form.width):
            draw.rectangle([(left - 1, 0), (left, frame.height)], fill=GAP)
        yield frame


def _writer(suffix: str) -> Callable[[Path, Iterator[Image], float], None]:
    """What writes frames as `suffix`. ValueError where a package is missing."""
    try:
        import_module("PIL.ImageFont")
        if suffix == ".mp4":
            import_module("imageio")
            import_module("imageio_ffmpeg").get_ffmpeg_exe()  # RuntimeError where the package came without it
    except (ImportError, RuntimeError) as error:
        raise ValueError(f'films need imageio, ffmpeg, Pillow ({error}): pip install "metarl-torch[video]"') from None
    return _write_mp4 if suffix == ".mp4" else _write_gif


def _write_mp4(path: Path, frames: Iterator[Image], rate: float) -> None:
    import imageio.v2 as imageio
    from imageio_ffmpeg import count_frames_and_secs

    shots = [np.asarray(frame) for frame in frames]
    writer: Any = imageio.get_writer(path, format="FFMPEG", fps=rate, quality=8, ffmpeg_log_level="error")
    try:
        with writer:
            for shot in shots:
                writer.append_data(shot)
        whole = count_frames_and_secs(str(path))[0] == len(shots)
    except (OSError, RuntimeError):  # with all that ffmpeg has to say
        whole = False
    if not whole:
        raise OSError("ffmpeg could not write all of the film")


def _write_gif(path: Path, frames: Iterator[Image], rate: float) -> None:
    """One palette for all frames and no dithering, so that what stands still costs nothing."""
    from PIL.Image import Dither

    first = next(frames)
    palette = first.quantize(PALETTE)
    text = [channel for colour in (BAND, TEXT, BEFORE, AFTER, GAP) for channel in colour]
    palette.putpalette([*(palette.getpalette() or [])[: 3 * PALETTE], *text])
    images = (frame.quantize(palette=palette, dither=Dither.NONE) for frame in chain([first], frames))
    next(images).save(path, format="GIF", save_all=True, append_images=images, duration=round(1000 / rate), loop=0)


def check_drawing(env: TaskEnv) -> None:
    """Draw once, before the work. Without a display OpenGL is asked of EGL, unless MUJOCO_GL says otherwise."""
    if sys.platform == "linux" and not any(os.environ.get(v) for v in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")):
        os.environ["MUJOCO_GL"] = "egl"  # read when the first picture is drawn
    env.reset(seed=0)
    try:
        env.render()
    except RuntimeError:
        raise ValueError(
            f"{env.world.name}: OpenGL cannot draw here (MUJOCO_GL is {os.environ.get('MUJOCO_GL', 'not set')}): "
            "install EGL (Debian: apt install libegl1) and set MUJOCO_GL=egl, or draw in software with "
            "MUJOCO_GL=osmesa (apt install libosmesa6)"
        ) from None
