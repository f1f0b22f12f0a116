"""What needs no native world runs with MuJoCo 3.3, and what needs one, or Meta-World, says what to install."""

from __future__ import annotations

import subprocess
import sys

import mujoco
import pytest

import metarl as ml
import metarl.envs

NATIVE = ("HalfCheetahVel", "AntVel", "HopperParams", "HumanoidDir2D", "AntGoal-MAML2017")


@pytest.mark.parametrize("name", NATIVE)
def test_a_native_world_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mujoco, "__version__", "3.3.0")
    world, _, _ = name.partition("-")
    with pytest.raises(ValueError, match=rf"\A{world}.* 4\.0 .* 3\.3\.0: pip install 'mujoco>=4\.0'.*\Z"):
        metarl.envs.make_world(f"metarl/{name}-v0", 2)
    with pytest.raises(ValueError, match="pip install 'mujoco>=4"):
        ml.tasks.Environment(f"metarl/{name}-v0", trajectories=2)


def test_only_native_worlds_import_the_batch() -> None:
    code = (
        "import sys, numpy, metarl.envs, metarl.rl.rollout, metarl.experiments.config.environment as e\n"
        "for name in ('PointNav', 'CartPoleParams', 'Bandit5'):\n"
        "    world = metarl.envs.make_world(f'metarl/{name}-v0', 2)\n"
        "    world.set_tasks(world.sample_tasks(2, numpy.random.default_rng(0)))\n"
        "    world.reset(numpy.random.default_rng(0))\n"
        "print('mujoco.batch' in sys.modules, 'mujoco' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "False True\n"


def test_without_meta_world_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "metaworld", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "metarl.envs.meta_world", raising=False)
    for make in (
        lambda: ml.tasks.meta_world("ML1", "reach-v3"),
        lambda: ml.tasks.Environment("metarl.envs.meta_world:metarl/ML10-train"),
    ):
        with pytest.raises(ValueError, match=r"\A.*Meta-World is not installed: pip install \"metarl-torch\[metaworld"):
            make()
