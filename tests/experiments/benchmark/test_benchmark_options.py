"""The benchmarks' options: each mistake is one line, before anything is measured."""

import os
from pathlib import Path

import pytest

from metarl.experiments.benchmark.__main__ import main


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "Expected one of {sampling, update"),
        ("speed", "speed"),
        ("sampling --tasks 0", "tasks is 0: give a whole number from 1"),
        ("sampling --threads 100000", "threads is 100000"),
        ("sampling --hidden 0", "hidden is (0,)"),
        ("update --repeats nan", "repeats is 'nan'"),
        ("iteration --device gpu", "device is 'gpu': give one of 'auto', 'cpu', 'cuda'"),
        ("scaling --tasks", "tasks is empty"),
        ("scaling --plot x.txt", ".png, .pdf, .svg"),
        ("accuracy --iterations 0", "iterations is 0"),
        ("supervised --repeats 0", "repeats is 0"),
        ("supervised --json x.txt", "must end in one of .json"),
        ("supervised --json none/x.json", "its folder does not exist"),
        ("supervised --json pipe.json", "it is a pipe, choose another name"),
    ],
)
def test_a_mistake_is_one_line(
    options: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.json")
    with pytest.raises(SystemExit) as stop:
        main(options.split())
    assert stop.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert said in text
    assert text.count("\n") == 1
