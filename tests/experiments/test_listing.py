"""`metarl list`: a row a task with its methods, those that are asked for, and no waiting for torch."""

import subprocess
import sys

import pytest

from metarl.experiments.cli import main
from metarl.experiments.listing import List, matching, table
from metarl.experiments.presets import TASKS


def said(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The lines of `metarl list words`."""
    capsys.readouterr()
    main(["list", *words])
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("command", ["--help", "--version", "list", "list half-cheetah", "list --help", "list --json"])
def test_what_is_quick_imports_nothing_slow(command: str) -> None:
    code = (
        "import sys; from metarl.experiments.cli import main\n"
        f"try: main({command.split()!r})\n"
        "finally: print(sorted({'torch', 'numpy', 'tyro', 'rich', 'mujoco'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_row_has_a_task_what_it_is_and_its_methods(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys)
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    starts = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert starts == ["task", *(task.name for task in TASKS), "Train", "Tasks"]
    cells = "".join(line[56:] for line in lines[1:-3])
    for task in TASKS:
        assert all(method in cells for method in task.methods)
    (at,) = (i for i, line in enumerate(lines) if line.startswith("half-cheetah-vel "))
    row = "half-cheetah-vel            run at the goal velocity    maml, fomaml, meta-sgd, anil, gmps, promp,"
    assert lines[at] == row
    assert lines[at + 1] == "half-cheetah-vel-2017                                   reptile, pretrained, oracle"


def test_sizes_of_one_data_set_share_their_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "miniimagenet", "prot") == [
        "task                      what it is                  methods",
        "miniimagenet-5way-1shot   tell N new classes apart,   protonet",
        "miniimagenet-5way-5shot   from K images of each",
        "miniimagenet-20way-1shot",
        "miniimagenet-20way-5shot",
    ]


def test_words_choose_presets() -> None:
    half_cheetah = [task for task in TASKS if "half-cheetah" in task.name]
    assert matching(["half-cheetah"]) == half_cheetah
    assert matching(["cheetah"]) == half_cheetah  # after a hyphen
    assert [(task.name, task.methods) for task in matching(["half-cheetah-dir-maml"])] == [
        ("half-cheetah-dir", ("maml",))  # and no fomaml
    ]
    assert {task.methods for task in matching(["promp", "2017"])} == {("promp",)}
    assert len(matching(["promp", "2017"])) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cheeta-vel"], "no preset has 'cheeta-vel' in its name: did you mean half-cheetah-vel or cheetah or"),
        (["protnet"], "no preset has 'protnet' in its name: did you mean protonet"),
        (["ant", "protonet"], "no preset has 'ant' and 'protonet' in its name: `metarl list` shows all"),
        ([""], "no preset has '' in its name: `metarl list` shows all"),
    ],
)
def test_words_that_choose_none(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*`metarl list` shows all$") as caught:
        matching(words)
    assert str(caught.value).startswith(message)


def test_help_explains_and_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        List.parse(["half-cheetah", "--help"])
    assert "metarl list half-cheetah " in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"^Unrecognized options: --json: see metarl list --help$"):
        List.parse(["--json", "x"])


def test_a_narrow_and_a_wide_terminal() -> None:
    wide = list(table(TASKS, width=400))
    assert sum("nearest-neighbour" in line for line in wide) == 1
    assert all("maml, fomaml" in line for line in wide if line.startswith("half-cheetah-vel "))
    narrow = list(table(TASKS, width=40))
    assert max(len(line[56:]) for line in narrow) <= 20
