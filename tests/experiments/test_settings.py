"""Settings: constructors, the command line and config.json refuse the same values in the same words."""

import json
import math
import pickle
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
import torch
from torch import nn

from metarl.core import Loss
from metarl.experiments.config.derived import settings_class
from metarl.experiments.config.environment import EnvironmentSettings
from metarl.experiments.config.images import ImagesSettings
from metarl.experiments.config.ppo import PPOSettings
from metarl.experiments.config.run import restore
from metarl.experiments.config.settings import check_hidden
from metarl.experiments.config.sinusoid import SinusoidSettings
from metarl.experiments.options import read_options
from metarl.experiments.presets import PRESETS, preset
from metarl.experiments.presets.table import made
from metarl.experiments.runner import new_training
from metarl.learners.gradient import GradientLearner
from metarl.ranges import Positive, Whole, checked

BUILDERS = "metarl.experiments.config.builders"
POINT = preset("point-nav-2017-maml")


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        ("TRPO", "max_kl", math.nan), ("TRPO", "max_kl", math.inf),
        ("TRPO", "damping", -1.0), ("TRPO", "damping", math.nan),
        ("TRPO", "cg_steps", 0), ("TRPO", "cg_steps", True), ("TRPO", "cg_steps", 2.0),
        ("TRPO", "backtracks", 0), ("TRPO", "backtrack", 1.0),
        ("TRPO", "curvature_every", (6,)), ("TRPO", "curvature_every", [6, 15]),
        ("Descent", "step_weights", (math.nan,)), ("Descent", "lr", "0.1"),
        (f"{BUILDERS}:empirical_bayes", "weight", -1.0),
        ("MultiStep", "annealing", 2.0), ("Reptile", "lr", 5.0), (PPOSettings, "clip", math.nan),
        ("GradientLearner", "steps", -1), ("GradientLearner", "lr", (-1.0,)), ("GradientLearner", "lr", 0.1),
        ("IMAML", "strength", 10**400), ("MetaLSTM", "lr", 1.0), (SinusoidSettings, "shots", 0),
        (SinusoidSettings, "hidden", (0,)),
        (EnvironmentSettings, "action_scale", 0.0), (EnvironmentSettings, "init_std", math.inf),
        (EnvironmentSettings, "min_std", math.inf), (EnvironmentSettings, "activation", "sine"),
        (ImagesSettings, "ways", 1), (ImagesSettings, "warp", 0.4), (ImagesSettings, "mirror", 1),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_named_by_its_path(kind: Any, setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^(task|learner|algorithm)\.{setting} is [^\n]*: give [^\n]*$"):
        (settings_class(kind) if isinstance(kind, str) else kind)(**{setting: value})


def test_settings_that_do_not_go_together() -> None:
    sinusoid, cpu = preset("sinusoid-maml"), torch.device("cpu")
    descent, one = sinusoid.algorithm, sinusoid.algorithm.but(step_weights=())
    for config, said in (
        (lambda: replace(sinusoid, algorithm=descent.but(lr=0.1, lr_end=0.2)), "algorithm.lr_end is 0.2, more than lr"),
        (lambda: replace(sinusoid, algorithm=descent.but(step_weights=(0.0, 0.0))), "algorithm.step_weights is"),
        (lambda: replace(POINT, task=POINT.task.but(min_std=2.0)), "task.min_std is 2.0, more than init_std, 1.0"),
        (lambda: replace(POINT, task=POINT.task.but(env="metarl/Point")), "task.env: unknown environment 'metarl/Poi"),
        (lambda: replace(POINT, learner=POINT.learner.but(steps=1)), "algorithm.step_weights has 2 entries for 1 inn"),
        (lambda: replace(sinusoid, learner=settings_class("SiameseNet")(), algorithm=one), "needs 'encoder'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            new_training(config(), cpu)


def test_settings_are_the_keyword_arguments_of_a_constructor() -> None:
    made = {f.name: f.default for f in fields(settings_class("IMAML"))}  # type: ignore[arg-type]
    assert made == {"steps": 16, "lr": (0.1,), "strength": 2.0, "cg_steps": 5, "cautious": False}
    assert settings_class("IMAML") is settings_class("IMAML")
    assert not settings_class("Reptile").uses_query  # type: ignore[attr-defined]
    assert settings_class("ProtoNet")().steps == 1  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="there is no 'IMAMLL'"):
        settings_class("IMAMLL")
    with pytest.raises(ValueError, match=r"there is no 'no\.such:Thing'"):
        settings_class("no.such:Thing")


def test_nets_beyond_the_memory_are_counted_not_made() -> None:
    with pytest.raises(ValueError, match=r"8,100,000,000 parameters, which take 30 GiB"):
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
    changed = ImagesSettings(
        "miniimagenet", "here", ways=7, shots=3, queries=4, train_shots=2, train_queries=3, architecture="resnet12",
        filters=32, shift=2, warp=0.1, mirror=True, same_alphabet=0.5, pretraining=9,
    )  # fmt: skip
    joint = changed.joint_training(images=50)
    marked = {f.name for f in fields(ImagesSettings) if f.metadata.get("few_shot")}
    assert marked == {
        "ways", "shots", "queries", "train_ways", "train_shots", "train_queries", "same_alphabet", "pretraining",
    }  # fmt: skip
    for f in fields(ImagesSettings):
        wanted = f.default if f.name in marked else getattr(changed, f.name)
        wanted = {"joint": True, "ways": 5, "queries": 10}.get(f.name, wanted)
        assert getattr(joint, f.name) == wanted


def test_help_shows_types_choices_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        read_options(EnvironmentSettings, ["--help"], "metarl")
    assert not stop.value.code
    said = " ".join(capsys.readouterr().out.split())
    for words in ("--trajectories INT", "--activation {relu,tanh}", "--action-scale FLOAT", "(default: 1e-06)"):
        assert words in said
    assert "--gae-schedule {None}|{FLOAT FLOAT FLOAT}" in said


def test_options_are_read_as_before() -> None:
    words = ["--hidden", "7", "8", "--horizon", "None", "--inner-gae", "0.9", "0.5", "--normalise", "--discount=1"]
    read = read_options(EnvironmentSettings, words, "metarl")
    assert read == EnvironmentSettings(hidden=(7, 8), horizon=None, inner_gae=(0.9, 0.5), normalise=True, discount=1.0)
    with pytest.raises(ValueError, match=r"^Missing value for argument '--horizon'.*: see metarl --help$"):
        read_options(EnvironmentSettings, ["--horizon"], "metarl")
    with pytest.raises(ValueError, match=r"^Unrecognized options: --bogus: see metarl --help$"):
        read_options(EnvironmentSettings, ["--bogus"], "metarl")
    with pytest.raises(
        ValueError, match=r"^Unrecognized options: --horizn, 3: did you mean --horizon\? see metarl --help$"
    ):
        read_options(EnvironmentSettings, ["--horizn", "3"], "metarl")
    two = r"^Unrecognized options: --hiden, 3, --discont, 1: did you mean --discount and --hidden\? see metarl --help$"
    with pytest.raises(ValueError, match=two):
        read_options(EnvironmentSettings, ["--hiden", "3", "--discont", "1"], "metarl")


def test_anil_s_presets_adapt_the_last_layer_whatever_the_hidden_ones() -> None:
    config = preset("half-cheetah-vel-anil")
    config = replace(config, task=config.task.but(hidden=(8, 8, 8)))
    cpu = torch.device("cpu")
    learner = config.build_learner(config.distribution(cpu), cpu)
    assert set(learner.init()) == {"mean.layers.3.weight", "mean.layers.3.bias"}


class Halved(GradientLearner):
    """MAML whose first step is half as long.

    Args:
        half: the factor of the first step
    """

    @checked
    def __init__(self, net: nn.Module, loss: Loss, *, steps: Whole = 1, half: Positive = 0.5) -> None:
        super().__init__(net, loss, steps=steps, lr=(half * 0.01, 0.01))


def test_a_learner_of_one_s_own_has_settings_help_and_a_preset_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    mine = PRESETS["sinusoid-maml"].but({"learner": made(f"{__name__}:Halved", steps=2, half=0.25)}).config()
    cpu = torch.device("cpu")
    learner = mine.build_learner(mine.distribution(cpu), cpu)
    assert isinstance(learner, Halved)
    assert (learner.steps, learner.lrs) == (2, (0.0025, 0.01))
    assert pickle.loads(pickle.dumps(mine)) == mine
    with pytest.raises(ValueError, match=r"^learner\.half is -1\.0: give a finite number above 0$"):
        mine.learner.but(half=-1.0)
    with pytest.raises(SystemExit):
        read_options(settings_class(f"{__name__}:Halved"), ["--help"], "metarl")
    assert "the factor of the first step (default: 0.5)" in " ".join(capsys.readouterr().out.split())
