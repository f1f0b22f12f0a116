"""The package as it is installed, released and cited: one name, one version, all files, all that it needs."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import metarl
import metarl.envs
import metarl.experiments
from metarl.run.folder import versions

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
FILES = sorted(Path(folder) / name for folder, _, names in os.walk(ROOT / "metarl", followlinks=True) for name in names)
SOURCES = [file for file in FILES if file.suffix == ".py"]
DISTRIBUTIONS = {"PIL": "pillow", "imageio_ffmpeg": "imageio", "stable_baselines3": "stable-baselines3"}
NEVER_ASKED_FOR = {"envpool"}  # the benchmark measures it where it happens to be installed


def plain(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()  # type: ignore[index]


def imported(file: Path) -> set[str]:
    """The distributions that a file imports anywhere in it, this one and Python's own aside."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    packages = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"metarl"}
    return {plain(DISTRIBUTIONS.get(package, package)) for package in packages}


def test_one_version() -> None:
    """It stands in metarl/__init__.py, from where pyproject takes it; the citation and the changelog repeat it."""
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    assert re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE) == [metarl.__version__]
    newest = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert re.fullmatch(re.escape(metarl.__version__) + r" – (unreleased|\d{4}-\d\d-\d\d)", newest)
    assert versions()["metarl"] == metarl.__version__


def test_the_package_is_one_tree() -> None:
    """Links make envs/ and experiments/ part of metarl/ for all that reads files, and no file is a module twice."""
    for name in ("envs", "experiments"):
        assert (ROOT / "metarl" / name).readlink() == Path("..") / name
        assert (ROOT / "metarl" / name / "__init__.py").samefile(ROOT / name / "__init__.py")
    assert Path(metarl.envs.__file__).samefile(ROOT / "envs" / "__init__.py")
    assert not {"envs", "experiments"} & {name.split(".")[0] for name in sys.modules}
    assert not [file for file in FILES if file.is_symlink()]


def test_every_folder_of_modules_is_a_package() -> None:
    """A folder without __init__.py would be missing from the wheel."""
    assert len(SOURCES) > 100
    assert not [file.parent for file in SOURCES if not (file.parent / "__init__.py").exists()]


def test_what_is_imported_is_asked_for() -> None:
    """The tests' environment has more than a user's, who would meet a missing package at its first import."""
    extras = PROJECT["optional-dependencies"]
    optional = (*extras["plot"], *extras["video"], *extras["metaworld"])
    asked = {plain(name) for name in (*PROJECT["dependencies"], *optional)}
    missing = {(file.name, name) for file in SOURCES for name in imported(file) - asked - NEVER_ASKED_FOR}
    assert not missing


def test_nothing_is_asked_for_in_vain() -> None:
    used = {name for file in SOURCES for name in imported(file)}
    assert not {plain(name) for name in PROJECT["dependencies"]} - used


def test_everything_that_is_asked_for_has_an_exact_version() -> None:
    extras = [name for names in PROJECT["optional-dependencies"].values() for name in names]
    asked = {plain(name) for name in (*PROJECT["dependencies"], *extras)} - {plain(PROJECT["name"])}
    assert not asked - {plain(name) for name in PINS}


@pytest.mark.parametrize("file", ["tests.yml", "docs.yml", "release.yml"])
def test_workflows_call_the_commands_that_one_calls_by_hand(file: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = re.findall(r"run: make ([\w-]+)$", (ROOT / ".github" / "workflows" / file).read_text(), re.MULTILINE)
    assert called
    assert not set(called) - targets


def test_the_tests_run_on_each_python_that_is_named() -> None:
    named = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
    assert named == re.findall(r'"(3\.\d+)"', re.findall(r"python: \[(.+)\]", workflow)[0])
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_advice_names_the_distribution() -> None:
    """`pip install metarl` would install another project."""
    advice = [re.findall(r"pip install [^`\n]*", file.read_text()) for file in SOURCES]
    told = [word for words in advice for text in words for word in re.findall(r"metarl[\w-]*", text)]
    assert set(told) == {PROJECT["name"]}


def test_the_package_is_found_without_the_folder_it_stands_in(tmp_path: Path) -> None:
    code = "import metarl.envs, metarl.experiments.cli, pickle; print(pickle.loads(pickle.dumps(metarl.envs.World)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "<class 'metarl.envs.world.World'>\n"
