"""The names of presets: each has its settings, each setting its name, and mistakes find the nearest one."""

from metarl.experiments import encoded, inner, locomotion, presets
from metarl.experiments.names import (
    IMAGE_METHODS,
    LOCOMOTION_METHODS,
    SINUSOID_METHODS,
    TASKS,
    nearest,
    similar,
)


def test_every_preset_has_the_settings_that_its_name_says() -> None:
    assert len(presets.PRESETS) == 461
    assert presets.PRESETS.keys() == {f"{task.name}-{method}" for task in TASKS for method in task.methods}
    config = presets.preset("omniglot-small-20way-5shot-protonet")
    assert (config.task.images, config.task.ways, config.task.shots) == ("omniglot-small", 20, 5)
    assert config.learner == encoded.EncodedConfig("protonet")
    assert presets.preset("ant-goal-2017-maml").task.env == "metarl/AntGoal-MAML2017-v0"
    assert presets.preset("ant-dir-2d-maml").task.env == "metarl/AntDir2D-v0"
    assert presets.preset("sinusoid-10shot-reptile").task.shots == 10


def test_every_method_with_settings_is_named() -> None:
    assert set(SINUSOID_METHODS) == presets.SINUSOIDS.keys()
    assert set(LOCOMOTION_METHODS) == locomotion.METHODS.keys()
    assert set(IMAGE_METHODS) == presets.MAMLS.keys() | presets.IMAGE_INNER.keys() | encoded.IMAGES.keys()
    assert set(inner.ADAPTED) - {"adam"} <= set(IMAGE_METHODS)


def test_the_nearest_names() -> None:
    assert nearest("imamll", ["imaml", "cavia"]) == "did you mean imaml?"
    assert nearest("x", ["imaml", "adam"]) == "choose one of imaml, adam"
    assert similar("x", ["imaml", "adam"]) == ""
