"""The version is one, wherever it stands."""

import pathlib
import re

import pytest

import spanax as sx

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    "file, pattern", [("CITATION.cff", r"^version: (.*)$"), ("docs/citing.md", r"version += \{(.*)\}")]
)
def test_files_name_the_version(file, pattern):
    assert re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE) == [sx.__version__]


def test_changelog_names_no_later_version():
    """Above the current version there is only what is not released yet."""
    titles = re.findall(r"^## (?:\[)?([\w.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert titles[0] == "Unreleased"
    assert titles[1:2] in ([], [sx.__version__])
