"""Deep meta-learning from the command line, with external images in a folder."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metarl.experiments.cli import main

SIZES = "--iterations 2 --meta-batch 2 --task.filters 4 --task.queries 2 --task.ways 3 --log-every 1"
SIZES += " --task.pretraining 1"


@pytest.mark.usefixtures("asked")
def test_external_images_of_a_folder(tmp_path: Path) -> None:
    rng, data = np.random.default_rng(0), tmp_path / "photographs"
    for c in range(10):  # without folders of splits, 6 of them are of the training split
        (data / f"class{c}").mkdir(parents=True)
        for i in range(3):
            Image.fromarray(rng.integers(256, size=(40, 30, 3), dtype=np.uint8)).save(data / f"class{c}" / f"{i}.png")
    losses = []
    for name, external in (("own", []), ("external", ["--external", str(data)])):
        run = tmp_path / name
        main(["train", "omniglot-5way-1shot-deml", *SIZES.split(), *external, "--out", str(run)])
        with (run / "progress.csv").open() as file:
            losses.append([float(row["concept_loss"]) for row in csv.DictReader(file)])
    assert abs(losses[0][0] - math.log(12)) < 0.7  # the 12 training classes of the tasks
    assert abs(losses[1][0] - math.log(6)) < 0.5


@pytest.mark.usefixtures("asked")
def test_a_missing_folder_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "omniglot-5way-1shot-deml", *SIZES.split(), "--external", "nowhere", "--out", f"{tmp_path}/run"])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "there is no folder nowhere: give a folder that has a folder of images for each class" in said
    assert not (tmp_path / "run").exists()
