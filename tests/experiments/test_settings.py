"""Settings: constructors, the command line and config.json refuse the same values in the same words."""

import json
import math
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
import torch

from metarl.experiments.config import restore
from metarl.experiments.inner import AdaptedConfig, LearnerConfig
from metarl.experiments.options import read_options
from metarl.experiments.outer import DescentConfig, LaplaceConfig, MultiStepConfig, ReptileConfig, TrustRegionConfig
from metarl.experiments.ppo import PPOConfig
from metarl.experiments.presets import PRESETS, preset
from metarl.experiments.settings import check_hidden
from metarl.experiments.tasks import FEW_SHOT, ImagesConfig, LocomotionConfig, SinusoidConfig

POINT = PRESETS["point-nav-2017-maml"]


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        (TrustRegionConfig, "max_kl", math.nan), (TrustRegionConfig, "max_kl", math.inf),
        (TrustRegionConfig, "damping", -1.0), (TrustRegionConfig, "damping", math.nan),
        (TrustRegionConfig, "cg_steps", 0), (TrustRegionConfig, "cg_steps", True), (TrustRegionConfig, "cg_steps", 2.0),
        (TrustRegionConfig, "backtracks", 0), (TrustRegionConfig, "backtrack", 1.0),
        (TrustRegionConfig, "curvature_every", (6,)), (TrustRegionConfig, "curvature_every", [6, 15]),
        (DescentConfig, "step_weights", (math.nan,)), (DescentConfig, "lr", "0.1"), (LaplaceConfig, "weight", -1.0),
        (MultiStepConfig, "annealing", 2.0), (ReptileConfig, "lr", 5.0), (PPOConfig, "clip", math.nan),
        (LearnerConfig, "steps", -1), (LearnerConfig, "lr", (-1.0,)), (LearnerConfig, "lr", 0.1),
        (AdaptedConfig, "lr", 10**400), (SinusoidConfig, "shots", 0), (SinusoidConfig, "hidden", (0,)),
        (LocomotionConfig, "action_scale", 0.0), (LocomotionConfig, "init_std", math.inf),
        (LocomotionConfig, "min_std", math.inf), (LocomotionConfig, "activation", "sine"),
        (ImagesConfig, "ways", 1), (ImagesConfig, "warp", 0.4), (ImagesConfig, "mirror", 1),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_named_by_its_path(kind: Any, setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^(task|learner|algorithm)\.{setting} is [^\n]*: give [^\n]*$"):
        kind(**{setting: value})


def test_settings_that_do_not_go_together() -> None:
    for make, said in (
        (lambda: DescentConfig(lr=0.1, lr_end=0.2), r"algorithm.lr_end is 0.2, more than lr, 0.1"),
        (lambda: DescentConfig(step_weights=(0.0, 0.0)), "algorithm.step_weights is"),
        (lambda: LocomotionConfig(min_std=2.0), "task.min_std is 2.0, more than init_std, 1.0"),
        (lambda: LocomotionConfig("metarl/Point"), "task.env: unknown environment 'metarl/Point': did you mean"),
        (lambda: AdaptedConfig("imamll"), "learner.method is 'imamll': did you mean imaml"),
        (lambda: replace(POINT, learner=AdaptedConfig("imaml")), "for supervised tasks"),
        (lambda: replace(POINT, learner=LearnerConfig(steps=1)), "2 entries for 1 inner steps"),
    ):
        with pytest.raises(ValueError, match=said):
            make()


def test_nets_beyond_the_memory_are_counted_not_made() -> None:
    with pytest.raises(ValueError, match=r"8,100,000,000 parameters, 30 GiB each copy"):
        check_hidden((90_000, 90_000), "hidden")
    check_hidden((100_000,), "hidden")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"iterations": "100"}, "iterations is '100': give a whole number"),
        ({"iterations": None}, "iterations is None"),
        ({"iterations": True}, "iterations is True"),
        ({"iterations": 1e400}, "iterations is inf"),
        ({"iterations": 10**30}, "iterations is 1000000000000000000000000000000"),
        ({"seed": {"a": 1}}, "seed is of the type dict"),
        ({"task": None}, r"settings.task is None: give a part of the settings"),
        ({"task": []}, r"settings.task is \[\]"),
        ({"task": 3}, r"settings.task is 3"),
        ({"learner": {"steps": 1.5}}, "learner.steps is 1.5"),
        ({"learner": {"lr": 0.1}}, "learner.lr is 0.1: give a tuple"),
        ({"learner": {"lr": [[0.1]]}}, "learner.lr is"),
        ({"learner": {"speed": 1}}, "settings.learner has no 'speed'"),
        ({"algorithm": {"curvature_every": [6]}}, r"algorithm.curvature_every is \(6,\): give 2 values"),
        ({"algorithm": {"recompute": "no"}}, "algorithm.recompute is 'no': give True or False"),
        ({"nonsense": 1}, "settings has no 'nonsense'"),
    ],
)
def test_a_config_json_that_was_edited(change: dict[str, Any], said: str) -> None:
    stored = json.loads(json.dumps(asdict(POINT)))
    for name, value in change.items():
        part = stored.get(name)
        stored[name] = part | value if isinstance(part, dict) and isinstance(value, dict) else value
    with pytest.raises(ValueError, match=rf"^{said}[^\n]*$"):
        restore(POINT, stored)


def test_settings_that_are_no_object() -> None:
    for wrong in (None, [], 3, "{}"):
        with pytest.raises(ValueError, match=r"^settings is .*: give a part of the settings"):
            restore(POINT, wrong)


def test_pretraining_keeps_every_setting_but_those_of_few_shot_tasks() -> None:
    changed = ImagesConfig(
        "miniimagenet", "here", ways=7, shots=3, queries=4, train_shots=2, train_queries=3, architecture="resnet12",
        filters=32, shift=2, warp=0.1, mirror=True, same_alphabet=0.5, pretraining=9,
    )  # fmt: skip
    joint = changed.joint_training()
    marked = {f.name for f in fields(ImagesConfig) if f.metadata == FEW_SHOT}
    assert marked == {
        "ways", "shots", "queries", "train_ways", "train_shots", "train_queries", "same_alphabet", "pretraining",
    }  # fmt: skip
    for f in fields(ImagesConfig):
        wanted = True if f.name == "joint" else f.default if f.name in marked else getattr(changed, f.name)
        assert getattr(joint, f.name) == wanted


def test_help_shows_types_choices_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        read_options(LocomotionConfig, ["--help"], "metarl")
    assert not stop.value.code
    said = " ".join(capsys.readouterr().out.split())
    for words in ("--trajectories INT", "--activation {relu,tanh}", "--action-scale FLOAT", "(default: 1e-06)"):
        assert words in said
    assert "--gae-schedule {None}|{FLOAT FLOAT FLOAT}" in said


def test_options_are_read_as_before() -> None:
    words = ["--hidden", "7", "8", "--horizon", "None", "--inner-gae", "0.9", "0.5", "--normalise", "--discount=1"]
    read = read_options(LocomotionConfig, words, "metarl")
    assert read == LocomotionConfig(hidden=(7, 8), horizon=None, inner_gae=(0.9, 0.5), normalise=True, discount=1.0)
    with pytest.raises(ValueError, match=r"^Missing value for argument '--horizon'.*: see metarl --help$"):
        read_options(LocomotionConfig, ["--horizon"], "metarl")
    with pytest.raises(ValueError, match=r"^Unrecognized options: --bogus: see metarl --help$"):
        read_options(LocomotionConfig, ["--bogus"], "metarl")
    with pytest.raises(
        ValueError, match=r"^Unrecognized options: --horizn, 3: did you mean --horizon\? see metarl --help$"
    ):
        read_options(LocomotionConfig, ["--horizn", "3"], "metarl")
    two = r"^Unrecognized options: --hiden, 3, --discont, 1: did you mean --discount and --hidden\? see metarl --help$"
    with pytest.raises(ValueError, match=two):
        read_options(LocomotionConfig, ["--hiden", "3", "--discont", "1"], "metarl")


def test_anil_s_presets_adapt_the_last_layer_whatever_the_hidden_ones() -> None:
    config = preset("half-cheetah-vel-anil")
    config = replace(config, task=replace(config.task, hidden=(8, 8, 8)))  # type: ignore[call-arg]
    cpu = torch.device("cpu")
    learner = config.build_learner(config.distribution(cpu), cpu)
    assert set(learner.init()) == {"mean.layers.3.weight", "mean.layers.3.bias"}
