"""The sampling benchmark at a tiny size: what is compared is the same work, and nothing is left running."""

import multiprocessing
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from metarl.envs import make_world
from metarl.envs.physics import MujocoWorld
from metarl.experiments.benchmark import peers, sampling
from metarl.experiments.benchmark.measure import Timing
from metarl.experiments.benchmark.sampling import Replay, Sampling, matched_replay, open_loop, random_replay
from metarl.rl.rollout import WorldDistribution

TINY = {"tasks": 2, "trajectories": 2, "horizon": 4, "hidden": (8,), "repeats": 1}


def test_peers_run_quietly_and_are_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sampling, "SIZES", dict.fromkeys(peers.SIZES, (2,)))
    env, _ = Sampling(envs=("metarl/HalfCheetahVel-v0",), **TINY).run()  # type: ignore[arg-type]
    names = [row.name for row in env.rows]
    assert names[:3] == [
        "metarl, policies in the loop",
        "matched floor",
        "matched floor, contacts searched for",
    ]
    assert {"SyncVectorEnv, 2 environments", "AsyncVectorEnv, 2 environments", "SubprocVecEnv, 2 environments"} <= {
        *names
    }
    assert (names[0], "SyncVectorEnv, 2 environments") in env.ratios
    assert not multiprocessing.active_children()
    assert "WARNING" not in "".join(capfd.readouterr())
    assert not [*tmp_path.iterdir()]  # no MUJOCO_LOG.TXT


def test_the_papers_physics_has_no_peers() -> None:
    env, acting = Sampling(envs=("metarl/AntVel-MAML2017-v0",), **TINY).run()  # type: ignore[arg-type]
    assert len(env.rows) == 4
    assert env.notes == ["no other library has these environments"]
    assert acting.rows[0].work == 400
    with pytest.raises(ValueError, match="PointNav-v0 is not simulated by MuJoCo"):
        Sampling(envs=("metarl/PointNav-v0",), **TINY).run()  # type: ignore[arg-type]


def test_the_matched_floor_is_the_same_trajectory(monkeypatch: pytest.MonkeyPatch) -> None:
    distribution = WorldDistribution("metarl/HalfCheetahVel-v0", trajectories=2, horizon=6, action_scale=0.3)
    world = distribution.world(4)
    world.set_tasks(1.0)
    predict = Sampling(**TINY).policies(distribution)  # type: ignore[arg-type]
    replay = matched_replay(distribution, world, predict)  # type: ignore[arg-type]
    assert replay.steps == 4 * 6
    open_loop(world, replay)  # type: ignore[arg-type]
    first = world.qpos.copy()  # type: ignore[attr-defined]
    open_loop(world, replay)  # type: ignore[arg-type]
    np.testing.assert_array_equal(world.qpos, first)  # type: ignore[attr-defined]

    def weaker(world: object, replay: Replay) -> None:
        open_loop(world, replay._replace(controls=0.9 * replay.controls))  # type: ignore[arg-type]

    monkeypatch.setattr(sampling, "open_loop", weaker)
    with pytest.raises(RuntimeError, match="ended elsewhere"):
        matched_replay(distribution, world, predict)  # type: ignore[arg-type]


def test_the_floor_has_the_dynamics_of_the_tasks_and_stops_where_episodes_end() -> None:
    """Each replayed walker ends in the state that it had when its episode ended in a rollout of its own task."""
    world = make_world("metarl/Walker2dParams-v0", 3)
    assert isinstance(world, MujocoWorld)
    tasks = world.sample_tasks(3, np.random.default_rng(0))
    world.set_tasks(tasks)
    replay = random_replay(world, 60)
    lengths = replay.alive.sum(0)
    assert replay.steps == lengths.sum()
    assert lengths.max() < 60  # all fall
    open_loop(world, replay)
    for i, length in enumerate(lengths):
        single = make_world("metarl/Walker2dParams-v0", 1)
        single.set_tasks(tasks[[i]])
        single.place(None, *(state[[i]] for state in replay.start))
        ended = [single.step(control[[i]]).terminated[0] for control in replay.controls[:length, :]]
        assert ended == [False] * (length - 1) + [True]
        np.testing.assert_array_equal(single.qpos[0], world.qpos[i])  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [1, 3, 20])
def test_other_libraries_meet_the_same_policies(size: int) -> None:
    distribution = WorldDistribution("metarl/HalfCheetahVel-v0", trajectories=2)
    predict = Sampling(**TINY).policies(distribution)  # type: ignore[arg-type]
    actions = sampling.acting(predict, size)(np.zeros((size, 17)))
    assert actions.shape == (size, 6)
    assert np.abs(actions).max() <= 1
    assert np.ptp(actions) > 0


def test_rates_count_steps_and_the_best_size_of_a_peer_is_the_one_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    stepped: list[int] = []

    def fake(make: object, theirs: str, size: int, threads: int) -> tuple[Callable[..., None], Callable[[], None]]:
        return lambda act, steps: stepped.append(steps), lambda: closed.append(f"{theirs}, {size}")

    def timed(calls: Mapping[str, Callable[[], object]], *, repeats: int) -> dict[str, Timing]:
        seconds = {"matched floor": 0.5, "Other, 5 environments": 4.0}
        return {name: Timing(seconds.get(name, 1.0), 0, 9) for name in calls}

    monkeypatch.setattr(sampling, "interleave", timed)
    monkeypatch.setattr(sampling, "peers", lambda env: ["Other"])
    monkeypatch.setattr(sampling, "SIZES", {"Other": (5, 10)})
    monkeypatch.setitem(peers.MAKERS, "Other", fake)
    report = Sampling(**TINY).report("metarl/HalfCheetahVel-v0")  # type: ignore[arg-type]
    assert {row.name: row.rate for row in report.rows} == {
        "metarl, policies in the loop": 16,  # 2 tasks × 2 trajectories × 4 steps in 1 s
        "matched floor": 32,
        "matched floor, contacts searched for": 16,
        "raw floor": 16,
        "Other, 5 environments": 100,  # 5 × 80 steps in 4 s
        "Other, 10 environments": 400,
    }
    assert {reference: ratio for (_, reference), ratio in report.ratios.items()} == {
        "matched floor": 0.5, "matched floor, contacts searched for": 1, "raw floor": 1, "Other, 10 environments": 0.04,
    }  # fmt: skip
    assert stepped == [2, 2]  # on the way to where they are measured; `timed` calls nothing
    assert closed == ["HalfCheetah-v5, 10", "HalfCheetah-v5, 5"]


@pytest.mark.parametrize("name", ["SyncVectorEnv", "EnvPool"])
@pytest.mark.parametrize(("env", "observations"), [("metarl/HalfCheetahVel-v0", 17), ("metarl/AntVel-v0", 27)])
def test_other_libraries_show_what_ours_show(name: str, env: str, observations: int) -> None:
    if name == "EnvPool":
        pytest.importorskip("envpool")
    seen = []

    def act(shown: np.ndarray) -> np.ndarray:
        seen.append(shown.copy())
        return np.zeros((2, 6 if observations == 17 else 8))

    with peers.peer(name, env, 2, threads=1) as run:
        run(act, 1)
        run(act, 2)
    assert [shown.shape for shown in seen] == 3 * [(2, observations)]
    assert not np.array_equal(seen[0], seen[1])  # the second call goes on from where the first ended


def test_every_task_has_a_policy_of_its_own() -> None:
    distribution = WorldDistribution("metarl/HalfCheetahVel-v0", trajectories=2)
    states = Sampling(**TINY).policies(distribution).states  # type: ignore[arg-type]
    for name, value in states.items():
        assert not value[0].equal(value[1]), name
