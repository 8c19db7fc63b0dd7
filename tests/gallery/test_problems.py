"""The registry, the modules, the commands and docs/gallery.md name the same problems; each file says what was learnt."""

import importlib
import inspect
import itertools
import pathlib
import re

import pytest

from spanax.cli.gallery import gallery
from spanax.gallery.problems import BY_NAME, PROBLEMS, Problem

ROOT = pathlib.Path(__file__).parent.parent.parent
FOLDER = ROOT / "spanax" / "gallery"
DOCS = (ROOT / "docs" / "gallery.md").read_text()
# Files beside the problems: what several of them, the command line or users import.
OTHERS = {"__init__", "index", "names", "policy_losses", "problems", "results", "trained"}
NAMES = [problem.name for problem in PROBLEMS]


def test_every_problem_has_a_module_and_every_module_is_a_problem_in_the_registry():
    files = {path.stem for path in FOLDER.glob("*.py")} - OTHERS
    assert files == {problem.module.rpartition(".")[2] for problem in PROBLEMS}
    assert len(BY_NAME) == len(PROBLEMS) and all((FOLDER / f"{name}.py").is_file() for name in OTHERS)


def test_every_problem_has_a_command_and_the_help_has_their_order_and_groups():
    commands = [
        (command.name or command.callback.__name__, command.rich_help_panel) for command in gallery.registered_commands
    ]
    assert commands == [(problem.name, problem.group) for problem in PROBLEMS]
    assert NAMES[0] == "tour"
    groups = [problem.group for problem in PROBLEMS]
    # A group is one heading: its problems stand together.
    assert sum(one != other for one, other in itertools.pairwise(groups)) == len(set(groups)) - 1


def test_the_docs_have_a_section_for_each_in_the_same_order():
    sections = re.findall(r"(?m)^## ([\w-]+): .*$", DOCS)
    assert [name for name in sections if name in BY_NAME] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_section_shows_a_picture_that_a_page_can_carry(name):
    section = re.search(rf"(?ms)^## {name}: .*?(?=^## |\Z)", DOCS)
    assert section is not None
    for picture in re.findall(r"!\[[^\]]{20,}\]\((pictures/[\w-]+\.png)\)", section[0]) or [""]:
        assert 0 < (ROOT / "docs" / picture).stat().st_size < 180_000, picture


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_as_one_file_that_ends_with_what_was_learnt(name):
    path = FOLDER / f"{BY_NAME[name].module.rpartition('.')[2]}.py"
    lines = path.read_text().splitlines()
    assert len(lines) < 200
    last = "\n".join(lines[-15:])
    assert re.search(r"(?m)^# What was learnt", last), "its last lines are to say what was learnt"


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_into_a_folder(name):
    if BY_NAME[name].missing():
        pytest.skip(f"needs {BY_NAME[name].needs}")
    parameters = inspect.signature(importlib.import_module(BY_NAME[name].module).run).parameters
    assert next(iter(parameters)) == "out"
    # aim is one throw, which no option makes shorter.
    assert name == "aim" or {"quick", "seed"} <= set(parameters)


def test_titles_fit_a_line_and_have_no_full_stop():
    for problem in PROBLEMS:
        assert 20 < len(problem.title) < 90 and not problem.title.endswith("."), problem.name


def test_what_is_missing_is_told_by_the_module_and_nothing_is_imported():
    problem = Problem("x", "a title", "a group", ("json", "no_such_module_anywhere"))
    assert problem.missing() == ("no_such_module_anywhere",) and problem.module == "spanax.gallery.x"
