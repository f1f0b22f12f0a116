"""A checkpoint is read only as it was written, by the run that wrote it, into a learner that it fits."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from training import STORED, run, training

from metarl.run import checkpoint
from metarl.run.checkpoint import Record, evenly_spaced, read_record, write
from metarl.run.folder import RunFolder

FIRST = "net.layers.0.weight"
FILES = ("weights.safetensors", "state.pt", "progress.csv", "checkpoint.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("made") / "run").path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def load(path: Path) -> None:
    RunFolder.open(path).load(training())


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found_wherever_it_is(path: Path, name: str) -> None:
    file = RunFolder.open(path).newest() / name
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(len(whole), size=25):
        bits = bytearray(whole)
        bits[place] ^= 1 << rng.integers(8)
        file.write_bytes(bits)
        if name != "checkpoint.json":
            with pytest.raises(ValueError, match=rf"00000010 is damaged \({name} was changed"):
                load(path)
            continue
        try:  # a number behind the checkpoint may have changed; the weights and the state cannot
            record = RunFolder.open(path).record()
        except ValueError as error:
            assert "damaged" in str(error) or "another run" in str(error)  # noqa: PT017
        else:
            assert (record.run, record.iteration) == (RunFolder.open(path).config["run"], 10)
    file.write_bytes(whole)
    load(path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["missing", "empty", "cut", "folder", "pipe", "dangling link", "device"])
def test_a_file_that_is_not_there_as_a_file_is_named(path: Path, name: str, how: str) -> None:
    file = RunFolder.open(path).newest() / name
    content = file.read_bytes()
    file.unlink()
    if how in ("empty", "cut"):
        file.write_bytes(content[: len(content) // 2] if how == "cut" else b"")
    elif how == "folder":
        file.mkdir()
    elif how == "pipe":
        os.mkfifo(file)
    elif how != "missing":
        file.symlink_to("/dev/zero" if how == "device" else path / "nothing")
    with pytest.raises(ValueError, match=r"checkpoint .*00000010 is damaged"):
        load(path)


def test_a_checkpoint_of_another_iteration_or_run_is_refused(path: Path, tmp_path: Path) -> None:
    folder = path / "checkpoints"
    shutil.copytree(folder / "00000008", folder / "00000012")
    with pytest.raises(ValueError, match=r"00000012 is damaged \(it is of iteration 8\)"):
        load(path)
    shutil.rmtree(folder / "00000012")
    other = run(tmp_path / "other")
    shutil.rmtree(folder / "00000010")
    shutil.copytree(other.checkpoint(10), folder / "00000010")
    with pytest.raises(ValueError, match="00000010 is a checkpoint of another run"):
        load(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: {**w, FIRST: w[FIRST].double()}, "is float64 .4, 1., and .* is float32"),
        (lambda w: {**w, FIRST: torch.zeros(5, 1)}, "is float32 .5, 1., and .* is float32 .4, 1."),
        (lambda w: {**w, "more": torch.zeros(1)}, "more is float32 .1., and .* is missing"),
        (lambda w: {name: w[name] for name in list(w)[1:]}, "bias is missing, and"),
        (lambda w: {**w, FIRST: torch.full((4, 1), torch.inf)}, "layers.0.weight is not finite"),
        (lambda w: {**w, FIRST: torch.full((4, 1), torch.nan)}, "layers.0.weight is not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    path: Path,
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newest = RunFolder.open(path).newest()
    weights = load_file(newest / "weights.safetensors")
    shutil.rmtree(newest)
    changed = change(weights)
    monkeypatch.setattr(checkpoint, "save", lambda _: save(changed))  # with the checksum of what is in it
    write(newest, training(), Record(RunFolder.open(path).config["run"], 10), "")
    with pytest.raises(ValueError, match=words):
        load(path)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    broken = training()
    with torch.no_grad():
        next(broken.learner.parameters()).fill_(torch.nan)
    folder = RunFolder.create(tmp_path / "run", STORED)
    with pytest.raises(FloatingPointError, match=r"net.layers.0.weight is not finite after iteration 3"):
        folder.save(broken, Record("id", 3), "")
    assert folder.checkpoints() == []


def test_all_files_can_be_read_by_whom_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write(tmp_path / "00000001", training(), Record("id", 1), "")
    finally:
        os.umask(old)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "00000001").iterdir()} == {0o644}
    assert read_record(tmp_path / "00000001") == Record("id", 1)


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "sync", full)
    with pytest.raises(OSError, match=r"cannot write .*00000001 \(No space left on device\)"):
        write(tmp_path / "00000001", training(), Record("id", 1), "")
    assert list(tmp_path.iterdir()) == []


def test_few_evenly_spaced_iterations_with_the_last_one() -> None:
    assert evenly_spaced([], 3) == []
    assert evenly_spaced([10, 20, 30], 3) == [10, 20, 30]
    assert evenly_spaced([10, 20, 30, 40], 3) == [20, 40]
    assert evenly_spaced([10, 20, 30, 40, 50], 3) == [10, 30, 50]
    assert evenly_spaced([10, 20, 30, 40, 50], 0) == [10, 20, 30, 40, 50]
    many = evenly_spaced(list(range(10, 751, 10)), 6)
    assert (len(many), many[-1]) == (6, 750)
