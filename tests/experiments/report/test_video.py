"""Films: frames, sizes, what the halves show and say, and what is said where nothing can be filmed."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from metarl.envs import TaskEnv, make_world
from metarl.envs.point import PointNav, PointNav2017
from metarl.experiments import runner
from metarl.experiments.presets import preset
from metarl.experiments.report.captions import goal_in_words, measured_in_words
from metarl.experiments.report.frames import FORMATS, Panel, Shot, compose
from metarl.experiments.report.video import check_drawing, film_run, record
from metarl.files import atomic_write

HORIZON = 9
BAND = FORMATS[".mp4"].band


def small(name: str, path: Path, **task: Any) -> Path:
    """A run folder of `name` after one small iteration."""
    config = preset(name)
    if config.task.episodes:
        config = replace(config, task=config.task.but(trajectories=2, **task))
    runner.start(name, replace(config, iterations=1, meta_batch=2), path, device=torch.device("cpu"))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small("point-nav-2017-maml", tmp_path_factory.mktemp("runs") / "point", horizon=HORIZON)


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUJOCO_GL is not set, and is not set by one test for the next."""
    monkeypatch.setenv("MUJOCO_GL", "")


def film(run: Path, out: Path, **options: Any) -> np.ndarray:
    """The film's frames [n, height, width, 3]."""
    film_run(run, out, **{"steps": None, "seed": 0} | options)
    return iio.imread(out)[..., :3]


def halves(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of both halves without their edges, where the codec smears the text and the line between them."""
    width = FORMATS[".mp4"].width
    return tuple(frames[:, BAND + 8 :, i * width + 8 : (i + 1) * width - 8].astype(int) for i in range(2))  # type: ignore[return-value]


def test_mp4_shows_both_policies_from_one_initial_state(run: Path, tmp_path: Path) -> None:
    frames = film(run, tmp_path / "film.mp4", steps=2)
    assert frames.shape == (HORIZON + 1, 480, 960, 3)
    assert iio.immeta(tmp_path / "film.mp4")["fps"] == 10
    left, right = halves(frames)
    assert np.abs(left[0] - right[0]).mean() < 1  # the codec alone
    assert (np.abs(left[-1] - right[-1]) > 100).sum() > 100  # the red points are apart
    assert (np.abs(right[0] - right[-1]) > 100).sum() > 100
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_gif_is_small_and_shows_every_second_step_and_the_last(run: Path, tmp_path: Path) -> None:
    frames = film(run, tmp_path / "film.gif")
    assert frames.shape == (6, 306, 640, 3)  # steps 0, 2, 4, 6, 8, 9
    assert iio.immeta(tmp_path / "film.gif")["duration"] == 200
    assert (tmp_path / "film.gif").stat().st_size < 50_000
    film_run(run, tmp_path / "again.gif", steps=None, seed=0)
    assert (tmp_path / "again.gif").read_bytes() == (tmp_path / "film.gif").read_bytes()
    other = film(run, tmp_path / "other.gif", seed=1)
    assert (other[0] != frames[0]).any()  # another goal


def test_no_gradient_steps_no_difference(run: Path, tmp_path: Path) -> None:
    frames = film(run, tmp_path / "film.mp4", steps=0)
    left, right = halves(frames)
    assert np.abs(left - right).mean() < 1
    assert (np.abs(frames[:, :BAND, :480].astype(int) - frames[:, :BAND, 480:]) > 100).any()  # titles


@pytest.mark.parametrize(
    ("steps", "fps", "titles", "slowed"),
    [
        (None, 10, ("before adaptation", "after 2 gradient steps"), ""),  # as many as in training
        (1, 100, ("before adaptation", "after 1 gradient step"), "slowed 4 times"),
    ],
)
def test_captions(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int | None, fps: int, titles: Any, slowed: str
) -> None:
    said = {}

    def spy(panels: Any, **options: Any) -> Any:
        said.update(options, panels=panels)
        return compose(panels, **options)

    monkeypatch.setattr("metarl.experiments.report.video.compose", spy)
    monkeypatch.setattr(PointNav2017, "dt", 1 / fps)
    film(run, tmp_path / "film.gif", steps=steps)
    assert tuple(panel.title for panel in said["panels"]) == titles
    assert said["slowed"] == slowed
    assert all(panel.goal.startswith("goal: (") for panel in said["panels"])


class Towards:
    """A policy that goes to a point at full speed; it refuses to be sampled."""

    def __init__(self, goal: np.ndarray) -> None:
        self.goal = goal

    def predict(self, observation: np.ndarray, *, deterministic: bool = False) -> tuple[np.ndarray, None]:
        assert deterministic
        return np.clip((self.goal - observation) / PointNav2017.stride, -1, 1), None


def shots(goal: tuple[float, float], target: tuple[float, float], **options: int) -> list[Shot]:
    env = TaskEnv(PointNav2017, goal, render_mode="rgb_array", width=96, height=72)
    return record(env, Towards(np.array(target)), **{"horizon": 7, "every": 3, "seed": 0} | options)  # type: ignore[arg-type]


def test_record_shows_every_nth_step_and_the_last() -> None:
    taken = shots((0.3, 0.0), (-0.5, 0.0))
    assert [shot.step for shot in taken] == [0, 3, 6, 7]
    assert not any(shot.over for shot in taken)
    assert taken[1].total == pytest.approx(-(0.4 + 0.5 + 0.6))
    assert taken[3].total == pytest.approx(-(0.4 + 0.5 + 0.6 + 0.7 + 3 * 0.8))
    assert [shot.measured for shot in taken] == ["", "distance 0.60 m", "distance 0.80 m", "distance 0.80 m"]
    assert taken[0].picture.shape == (72, 96, 3)
    assert (taken[0].picture != taken[1].picture).any()


def test_both_halves_start_where_the_seed_says() -> None:
    env = TaskEnv(PointNav, (2.0, 2.0), render_mode="rgb_array")
    starts = [record(env, Towards(np.zeros(2)), horizon=1, every=1, seed=seed)[0].picture for seed in (0, 0, 1)]  # type: ignore[arg-type]
    assert (starts[0] == starts[1]).all()
    assert (starts[0] != starts[2]).any()


def test_an_episode_that_ends_early_holds_its_last_picture() -> None:
    short, long = shots((0.2, 0.0), (0.2, 0.0), every=1), shots((0.2, 0.0), (-0.5, 0.0), every=1)
    assert [shot.step for shot in short] == [0, 1, 2]
    assert [shot.over for shot in short] == [False, False, True]
    assert [shot.step for shot in shots((0.2, 0.0), (0.2, 0.0), every=5)] == [0, 2]
    form = FORMATS[".mp4"]._replace(width=96, height=72)
    panels = [Panel(short, "a", "", (0, 0, 0)), Panel(long, "b", "", (0, 0, 0))]
    frames = [np.asarray(f) for f in compose(panels, slowed="", form=form)]
    assert len(frames) == 8
    assert all((frame[form.band :, :95] == frames[2][form.band :, :95]).all() for frame in frames[3:])
    assert (frames[2][form.band :, :95] == short[-1].picture[:, :95]).all()
    assert (frames[-1][form.band :, 97:] == long[-1].picture[:, 1:]).all()


@pytest.mark.parametrize(
    ("env", "task", "goal", "measured"),
    [
        ("metarl/HalfCheetahVel-v0", [1.516], "goal: 1.52 m/s", "velocity 3.00 m/s"),
        ("metarl/AntDir-v0", [1], "goal: forward", "velocity 3.00 m/s"),
        ("metarl/HalfCheetahDir-MAML2017-v0", [-1], "goal: backward", "velocity 3.00 m/s"),
        ("metarl/AntDir2D-v0", [np.pi / 2], "goal: heading 90°", "velocity along it -4.00 m/s"),
        ("metarl/AntGoal-v0", [1, -2], "goal: (1.00, -2.00) m", "distance 5.00 m"),
        ("metarl/PointNav-v0", [2, -2], "goal: (2.00, -2.00) m", "distance 4.47 m"),
    ],
)
def test_goals_and_measurements_in_words(env: str, task: list[float], goal: str, measured: str) -> None:
    world = make_world(env, 1)
    single = TaskEnv(type(world), task)
    info = {"x_velocity": 3.0, "y_velocity": -4.0, "x_position": 4.0, "y_position": 2.0}
    assert goal_in_words(world, np.array(task)) == goal
    assert measured_in_words(single, info) == measured
    assert measured_in_words(single, {}) == ""


def message(run: Path, out: Path, **options: Any) -> str:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        film_run(run, out, **{"steps": None, "seed": 0} | options)
    assert not out.exists()
    return str(caught.value)


def test_errors_name_the_thing_and_the_remedy(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "film.gif"
    assert "sinusoid-maml, which is supervised" in message(small("sinusoid-maml", tmp_path / "sinusoid"), out)
    assert "is not a run folder" in message(tmp_path, out)
    assert ".mp4, .gif" in message(run, tmp_path / "film.avi")
    assert "folder does not exist" in message(run, tmp_path / "none" / "film.gif")
    assert "2 numbers: leave out --task" in message(run, out, tasks=[1.0])
    assert "steps is -1" in message(run, out, steps=-1)
    with monkeypatch.context() as patch:
        patch.setattr(PointNav2017, "render_modes", ())
        assert "cannot be filmed, because PointNav2017 does not render images" in message(run, out)
    cheetah = small("half-cheetah-vel-maml", tmp_path / "cheetah", horizon=2)
    said = message(cheetah, out, tasks=[1.0, 9.0])
    assert "task [9.0] is not allowed: give finite values between [0.0] and [3.0]" in said

    def no_opengl(self: TaskEnv) -> None:
        raise RuntimeError("no context")

    monkeypatch.setattr(TaskEnv, "render", no_opengl)
    text = message(cheetah, out)
    assert "HalfCheetahVel: OpenGL cannot draw" in text
    assert "MUJOCO_GL=osmesa" in text


@pytest.mark.parametrize("module", ["PIL.ImageFont", "imageio", "imageio_ffmpeg"])
def test_without_a_package_the_extra_is_named(
    run: Path, tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert 'pip install "metarl-torch[video]"' in message(run, tmp_path / "film.mp4")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
@pytest.mark.parametrize(
    ("given", "backend"),
    [({}, "egl"), ({"MUJOCO_GL": "osmesa"}, "osmesa"), ({"DISPLAY": ":0"}, ""), ({"WAYLAND_DISPLAY": "wayland-0"}, "")],
)
def test_egl_draws_where_there_is_no_display(
    given: dict[str, str], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    check_drawing(TaskEnv(PointNav2017, (0.0, 0.0), render_mode="rgb_array"))
    assert os.environ["MUJOCO_GL"] == backend


def test_a_film_of_the_half_cheetah_from_the_command_line(tmp_path: Path) -> None:
    run, out = small("half-cheetah-dir-2017-maml", tmp_path / "run", horizon=2), tmp_path / "film.mp4"
    env = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"}
    command = [sys.executable, "-m", "metarl.experiments.cli", "video", str(run), "--out", str(out)]
    command += ["--task", "-1", "--task", "1"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if "OpenGL cannot draw here" in done.stderr:
        pytest.skip("no OpenGL here")
    assert (done.returncode, done.stdout) == (0, f"video: {out}\n"), done.stderr
    frames = iio.imread(out)
    assert frames.shape == (3, 480, 960, 3)
    assert frames[0, BAND:].std() > 10
    assert iio.immeta(out)["fps"] == 25  # 100 actions a second, slowed


def test_a_failed_film_leaves_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "film.gif"
    out.write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), atomic_write(out) as path:
        fail(path)
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["film.gif"]


def test_several_goals_are_each_shown_after_adaptation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cheetah = small("half-cheetah-dir-2017-maml", tmp_path / "cheetah", horizon=2)
    shown: list[Panel] = []
    monkeypatch.setattr(TaskEnv, "render", lambda self: np.zeros((240, 320, 3), np.uint8))

    def spy(panels: Any, **options: Any) -> Any:
        shown.extend(panels)
        return compose(panels, **options)

    monkeypatch.setattr("metarl.experiments.report.video.compose", spy)
    film_run(cheetah, tmp_path / "film.gif", tasks=[1.0, -1.0, 1.0], steps=2, seed=0)
    assert [panel.goal for panel in shown] == ["goal: forward", "goal: backward", "goal: forward"]
    assert [panel.title for panel in shown] == ["after 2 gradient steps"] * 3
    assert shown[0].shots[-1].total == shown[2].shots[-1].total != shown[1].shots[-1].total
    assert iio.imread(tmp_path / "film.gif").shape[2] == 3 * 320


@pytest.mark.parametrize("task", [None, 0.25])
def test_an_environment_written_for_gymnasium_is_fitted_into_the_film(
    task: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 × 30 pixels, whose white column moves with the point; its episodes are truncated after four steps."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "envs")
    run = small("environment-maml", tmp_path / "drawn", env="test_informed_envs:me/Drawn-v0", horizon=HORIZON)
    frames = film(run, tmp_path / "film.mp4", tasks=() if task is None else (task,))
    assert frames.shape == (5, 480, 960, 3)
    left, right = halves(frames)
    assert left.max() > 200  # a white column
    assert np.abs(left[0] - right[0]).mean() < 1
    assert np.abs(left[0] - left[-1]).max() > 100  # it moves
    undrawn = small("environment-maml", tmp_path / "line", env="own_envs:me/OwnPendulum-v0", horizon=HORIZON)
    monkeypatch.setitem(sys.modules, "pygame", None)
    assert "render raised DependencyNotInstalled: pygame is not installed" in message(undrawn, tmp_path / "none.gif")
