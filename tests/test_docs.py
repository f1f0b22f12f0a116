"""The documentation: its code runs, at a small size; its commands parse; links lead somewhere; nothing is left out."""

import json
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest

import metarl.envs
from metarl.experiments.cli import parse
from metarl.experiments.presets import PRESETS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
NOTEBOOKS = sorted(DOCS.glob("notebooks/*.ipynb"))
SMALLER = {  # settings of a published size, and what the tests give them
    r"\biterations=\d+": "iterations=2",
    r"\bmeta_batch=\d+": "meta_batch=2",
    r"\bnum_tasks=\d+": "num_tasks=3",
    r"\btrajectories=\d+": "trajectories=5",
    r"\bhorizon=\d+": "horizon=10",
    r"\bn_trials=\d+": "n_trials=2",
}
# Pages whose code needs a package that the package's extras do not bring.
NEEDS = {"guides/sweeps.md": "optuna", "environments/meta_world.md": "metaworld"}


def name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def blocks(page: Path, *languages: str) -> list[str]:
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def code_of(page: Path) -> str:
    if page.suffix == ".ipynb":
        cells = json.loads(page.read_text())["cells"]
        return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return "\n\n".join(blocks(page, "python"))


def commands_of(page: Path) -> list[str]:
    """The lines that call `metarl`, with a loop's variables filled in."""
    lines = "\n".join(blocks(page, "console", "bash")).splitlines()
    lines = [line.strip().removeprefix("$ ").replace("$lr", "0.01") for line in lines]
    return [line for line in lines if line.startswith("metarl ")]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to run in; environments that are registered meanwhile are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    worlds, registry = dict(metarl.envs.WORLDS), dict(gymnasium.registry)
    yield tmp_path
    for now, before in ((metarl.envs.WORLDS, worlds), (gymnasium.registry, registry)):
        for added in now.keys() - before.keys():
            del now[added]


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("page", [pytest.param(p, id=name(p)) for p in (*PAGES, *NOTEBOOKS) if code_of(p)])
def test_code_runs(page: Path, alone: Path) -> None:
    if name(page) in NEEDS:
        pytest.importorskip(NEEDS[name(page)])
    code = code_of(page)
    for large, small in SMALLER.items():
        code = re.sub(large, small, code)
    script = alone / "page.py"
    script.write_text(code)
    runpy.run_path(str(script), run_name="__main__")


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in PAGES if commands_of(page)])
def test_commands_parse(page: Path, alone: Path) -> None:
    for line in commands_of(page):
        words = shlex.split(line)[1:]
        if "--help" in words:
            with pytest.raises(SystemExit, match=r"^0$"):
                parse(words)
        else:
            parse(words)


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in (ROOT / "README.md", *PAGES)]
)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)\s]+)\)|^:(?:img-top|file): (\S+)", text, re.MULTILINE)
    for link in (a or b for a, b in links):
        path = link.partition("#")[0]
        if path and "://" not in link and not link.startswith("mailto:"):
            assert (page.parent / path).exists(), link


def test_every_method_has_a_page() -> None:
    methods = {method for preset in PRESETS for method in [config_method(preset)]}
    pages = {page.stem for page in DOCS.glob("methods/*.md")}
    assert methods - pages == set()


def config_method(preset: str) -> str:
    """The method's name as its page is called, of a preset TASK-METHOD."""
    pages = sorted((page.stem.replace("_", "-") for page in DOCS.glob("methods/*.md")), key=len, reverse=True)
    return next((page.replace("-", "_") for page in pages if preset.endswith(f"-{page}")), preset)


@pytest.mark.parametrize("id", metarl.envs.ids())
def test_every_environment_is_described(id: str) -> None:
    assert any(f"`{id}`" in page.read_text() for page in DOCS.glob("environments/*.md") if page.stem != "index")


@pytest.fixture
def extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(DOCS / "_ext"), *sys.path])


@pytest.mark.usefixtures("extensions")
def test_docstrings_read_as_they_stand() -> None:
    from plain_docstrings import plain

    assert plain("    θ ← θ − α·‖w_k‖, *f* of `x*y` and **kwargs") == (
        r"    θ ← θ − α·‖w\_k‖, *f* of ``x*y`` and \*\*kwargs"
    )


@pytest.mark.usefixtures("extensions")
def test_arguments_become_fields() -> None:
    from plain_docstrings import with_fields

    lines = ["What it is.", "", "Args:", r"    max\_kl: bound", "        on the KL", "    lr: rate", "", "More."]
    fields = [":param max_kl: bound", "        on the KL", ":param lr: rate"]
    assert list(with_fields(lines)) == ["What it is.", "", *fields, "", "More."]


@pytest.mark.usefixtures("extensions")
def test_every_setting_is_listed_with_its_help() -> None:
    from setting_rows import rows, settings_of

    listed = {part: settings_of(part) for part in ("run", "task", "learner", "algorithm")}
    found = [row for part, kinds in listed.items() for kind in kinds.values() for row in rows(kind, part)]
    assert [option for option, _, text in found if not text] == []
    options = {option: default for option, default, _ in found}
    expected = {"--iterations": "500", "--data": "None", "--task.ways": "5", "--learner.margin": "0.1"}
    assert {option: options[option] for option in expected} == expected


@pytest.mark.usefixtures("extensions")
def test_charts_show_the_method_among_the_others() -> None:
    from charts import figure

    steps = figure("half-cheetah-vel-2017-0.125", "promp")
    assert steps.count('class="other"') == 5
    assert steps.count('class="dot"') == 4  # after 0 … 3 gradient steps
    assert "mean return of promp after each gradient step, on 40 held-out tasks (3 seeds" in steps
    alone = figure("omniglot-small-5way-1shot", "protonet")
    assert alone.count('class="other-dot"') == 26
    with pytest.raises(ValueError, match="has no nobody: maml, fomaml"):
        figure("omniglot-small-5way-1shot", "nobody")
