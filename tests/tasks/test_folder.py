"""One's own images in class folders: what is read, how they are split, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pictures import class_folders, png, write
from PIL import Image

from metarl.tasks.datasets.folder import FOLDERS, data_folder, image_folder
from metarl.tasks.images import Images


@pytest.fixture
def split_folders(tmp_path: Path) -> Path:
    for split, classes in (("train", 4), ("val", 2), ("test", 3)):
        class_folders(tmp_path / split, classes, 3, prefix=f"{split}-")
    return tmp_path


def test_split_folders_are_the_splits(split_folders: Path) -> None:
    names = {split: image_folder(split_folders, split, size=6).names for split in ("train", "validation", "test")}
    assert names == {
        "train": ("train-00", "train-01", "train-02", "train-03"),
        "validation": ("val-00", "val-01"),
        "test": ("test-00", "test-01", "test-02"),
    }


def test_images_are_those_of_their_class(split_folders: Path) -> None:
    classes = image_folder(split_folders, "train", size=6)
    assert classes.images.shape == (12, 3, 6, 6)
    assert classes.counts.tolist() == [3] * 4
    assert classes.images[:, 1, 2, 3].tolist() == [10 * c + i for c in range(4) for i in range(3)]
    grey = image_folder(split_folders, "train", size=5, grey=True)
    assert grey.images.shape == (12, 1, 5, 5)
    Images(classes, ways=4, shots=1, queries=2).sample(2, np.random.default_rng(0))


def test_channels_rows_and_columns_keep_their_places(tmp_path: Path) -> None:
    pixels = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    write(tmp_path / "train" / "a" / "0.png", out.getvalue())
    found = image_folder(tmp_path, "train", size=4).images[0]
    assert (found.numpy() == pixels.transpose(2, 0, 1)).all()


def test_class_folders_alone_are_divided_by_seed(tmp_path: Path) -> None:
    class_folders(tmp_path, 25, 1)

    def names(seed: int) -> list[set[str]]:
        return [{*image_folder(tmp_path, split, size=2, seed=seed).names} for split in FOLDERS]

    first = names(0)
    assert [len(split) for split in first] == [16, 4, 5]
    assert len(set.union(*first)) == 25
    assert first == names(0) != names(1)


def test_other_files_and_hidden_folders_are_left_out(split_folders: Path) -> None:
    write(split_folders / "train" / ".hidden" / "0.png", png(1))
    write(split_folders / "train" / "train-00" / "notes.txt", b"no image")
    write(split_folders / "train" / "train-00" / "._0.png", b"what macOS leaves")
    write(split_folders / "train" / "list.csv", b"no folder")
    classes = image_folder(split_folders, "train", size=6)
    assert len(classes) == 4
    assert classes.counts[0] == 3


def test_damaged_data_are_refused_in_one_line(split_folders: Path) -> None:
    broken = split_folders / "test" / "test-01" / "1.png"
    whole = broken.read_bytes()
    for content in (b"", b"not an image", whole[: len(whole) // 2]):
        broken.write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot read the image .*test-01/1.png \(.*\): replace") as error:
            image_folder(split_folders, "test", size=6)
        assert "\n" not in str(error.value)
    broken.write_bytes(whole)
    assert len(image_folder(split_folders, "test", size=6)) == 3


def test_what_is_missing_is_named(split_folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no folder .*nowhere"):
        image_folder(tmp_path / "nowhere", "train")
    with pytest.raises(ValueError, match="split is 'eval': give one of 'train', 'validation', 'test'"):
        image_folder(split_folders, "eval")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="size is 0"):
        image_folder(split_folders, "train", size=0)
    (split_folders / "train" / "train-02" / "moved").mkdir()
    for path in (split_folders / "train" / "train-02").glob("*.png"):
        path.rename(path.parent / "moved" / path.name)
    with pytest.raises(ValueError, match=r"train-02 holds no images \(.*.png.*\): fill"):
        image_folder(split_folders, "train")
    (split_folders / "val").rename(tmp_path / "away")
    with pytest.raises(ValueError, match=r"no split 'validation' in .*: choose from train, test"):
        image_folder(split_folders, "validation")


def test_what_a_run_will_need_is_found_when_distributions_are_made(split_folders: Path) -> None:
    train = Images(image_folder(split_folders, "train", size=6), ways=4, shots=1, queries=2)
    assert train.sample(1, np.random.default_rng(0)).n == 1
    with pytest.raises(ValueError, match="ways is 4, but there are only 2 classes: lower ways"):
        Images(image_folder(split_folders, "validation", size=6), ways=4, shots=1, queries=2)
    with pytest.raises(ValueError, match="class test-00 has 3 images, but 2 shots and 2 queries need 4"):
        Images(image_folder(split_folders, "test", size=6), ways=3, shots=2, queries=2)


def test_a_class_in_two_splits_is_refused(split_folders: Path) -> None:
    class_folders(split_folders / "test", 1, 2, prefix="train-")
    with pytest.raises(ValueError, match="class train-00 is in the train and in the test split"):
        image_folder(split_folders, "validation")


def test_ambiguous_or_empty_folders_are_refused(split_folders: Path, tmp_path: Path) -> None:
    (split_folders / "valid").mkdir()
    with pytest.raises(ValueError, match=r"both .*val and .*valid exist"):
        image_folder(split_folders, "train")
    (tmp_path / "bare" / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match="train has no class folders"):
        image_folder(tmp_path / "bare", "train")
    class_folders(tmp_path / "few", 4, 1)
    with pytest.raises(ValueError, match="few has 4 class folders: at least 5 are needed"):
        image_folder(tmp_path / "few", "train")


def test_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.setenv("METARL_DATA", str(tmp_path))
    assert data_folder(tmp_path / "a") == tmp_path / "a"
    assert data_folder() == tmp_path
    monkeypatch.chdir(tmp_path)
    assert data_folder(Path("a")) == tmp_path / "a"
    with pytest.raises(ValueError, match=r"no folder .*b: create it, or correct --data"):
        data_folder(tmp_path / "b")
    monkeypatch.setenv("METARL_DATA", str(tmp_path / "b"))
    with pytest.raises(ValueError, match="correct METARL_DATA"):
        data_folder()
    monkeypatch.delenv("METARL_DATA")
    assert data_folder().name == "metarl"
