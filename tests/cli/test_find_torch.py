"""`spanax find --torch`, as a user types it."""

import json
import sys

import pytest
from typer.testing import CliRunner

from spanax.cli._app import app

MODULE = """
import torch
from torch import nn

print("printed by the module")
x, y = torch.ones(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
entropy = lambda output: nn.functional.cross_entropy(output, y)


class Net(nn.Sequential):
    def __init__(self, middle):
        super().__init__(nn.Linear(4, 8), middle, nn.Linear(8, 3))


class Round(nn.Module):
    def forward(self, h):
        return torch.round(3 * h)


def alive():
    return Net(nn.Tanh()), (x,), entropy


def dead():
    return Net(Round()), (x,), entropy


def without_loss():
    return Net(Round()), x


def overflows():
    return Net(nn.Tanh()), (x * torch.inf,)


def nothing():
    return Net(nn.Tanh())


def fails():
    return Net(nn.Tanh()), (x[:, :2],)
"""


@pytest.fixture(autouse=True)
def user_code(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    sys.modules.pop("nets", None)


def find(*options):
    return CliRunner().invoke(app, ["find", *options])


@pytest.mark.parametrize(("name", "status"), [("alive", 0), ("dead", 1), ("without_loss", 1), ("overflows", 1)])
def test_the_status_is_1_where_there_is_an_alarm(name, status):
    result = find("--torch", f"nets:{name}")
    assert result.exit_code == status, result.output
    if name == "dead":
        assert "nets.py:17" in result.stdout and "0.weight" in result.stdout


def test_one_json_object():
    report = json.loads(find("--torch", "nets:dead", "--json").stdout)
    assert report["starved"] == ["0.weight", "0.bias"] and report["gaps"][0]["line"] == 17


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--torch", "nets:nothing"], "has to be a function that returns (model, args)"),
        (["--torch", "nets:fails"], "fails when it is called"),
        (["--torch", "nets:alife"], "nets:alive"),
        (["--torch", "nets:alive", "nets:dead"], "too many"),
        (["nets:dead"], "--torch MODULE:MAKE"),
        ([], "--torch MODULE:MAKE"),
    ],
)
def test_what_cannot_be_looked_at_has_status_2(options, message):
    result = find(*options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
