"""The names of presets: each has its settings, and mistakes find the nearest one."""

import pytest

from metarl.experiments.presets import PRESETS, TASKS, environments, images, nearest, preset, similar, sinusoid
from metarl.experiments.presets.table import Preset, made


def test_every_preset_has_the_settings_that_its_name_says() -> None:
    assert list(PRESETS) == [f"{task.name}-{method}" for task in TASKS for method in task.methods]
    assert len(TASKS) == len(sinusoid.TASKS) + len(images.TASKS) + len(environments.TASKS)
    config = preset("omniglot-small-20way-5shot-protonet")
    task = vars(config.task)
    assert (task["images"], task["ways"], task["shots"], task["train_ways"]) == ("omniglot-small", 20, 5, 20)
    assert type(config.learner).__name__ == "ProtoNetSettings"
    assert vars(preset("ant-goal-2017-maml").task)["env"] == "metarl/AntGoal-MAML2017-v0"
    assert vars(preset("ant-dir-2d-maml").task)["env"] == "metarl/AntDir2D-v0"
    assert vars(preset("sinusoid-10shot-reptile").task)["shots"] == 10


def test_every_preset_can_be_made() -> None:
    for name in PRESETS:
        config = preset(name)
        assert config.test_steps >= config.learner.steps or name.endswith(("oracle", "meta-sgd", "imaml")), name


def test_settings_are_changed_by_their_dotted_names() -> None:
    base = Preset(made("a:A", x=1), made("b:B", y=2), made("c:C"), {"meta_batch": 3})
    other = base.but({"task.x": 4, "learner.z": 5, "algorithm": made("d:D", w=6), "meta_batch": 7})
    assert other == Preset(made("a:A", x=4), made("b:B", y=2, z=5), made("d:D", w=6), {"meta_batch": 7})
    assert base.learner.settings == {"y": 2}  # as it was


def test_the_nearest_names() -> None:
    assert nearest("imamll", ["imaml", "cavia"]) == "did you mean imaml?"
    assert nearest("x", ["imaml", "adam"]) == "choose one of imaml, adam"
    assert similar("x", ["imaml", "adam"]) == ""
    with pytest.raises(ValueError, match="unknown preset 'sinusoid-mamll': did you mean sinusoid-maml"):
        preset("sinusoid-mamll")
