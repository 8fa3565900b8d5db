"""The weights as an operator meets them: printed, and refused with the field's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from api.app import create_app
from api.ranking.weights import Weights, WeightsError, flat
from connectors.settings import Settings
from headrace.commands.config import config
from tests.unit.api_fakes import KEY, World


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "weights.toml"
    monkeypatch.setenv("HEADRACE_RANKING", str(path))
    monkeypatch.setenv("COLUMNS", "300")
    return path


def test_config_shows_every_weight_and_what_the_file_sets(file: Path) -> None:
    file.write_text("[first_pass]\nshare = 8\n")
    shown = CliRunner().invoke(config)
    assert shown.exit_code == 0, shown.output
    lines = {line.split("│")[1].strip(): line for line in shown.output.splitlines() if "│" in line}
    assert set(flat(Weights())) <= set(lines)
    assert "8.0" in lines["first_pass.share"]
    assert "HEADRACE_RANKING" in lines["first_pass.share"]
    assert "default" in lines["first_pass.like"]
    assert str(file) in lines["HEADRACE_RANKING"]


def test_config_and_api_name_the_field_that_is_wrong(file: Path) -> None:
    file.write_text("[demotions]\nseen = 2\n")
    shown = CliRunner().invoke(config)
    assert shown.exit_code == 2
    assert "`demotions.seen`" in shown.output
    with pytest.raises(WeightsError, match=r"demotions\.seen"):
        create_app(Settings(jwt_secret=KEY))


def test_the_application_ranks_by_the_file(file: Path) -> None:
    file.write_text('ranker = "weighted"\n')
    stores = World().app.state.services.stores
    app = create_app(Settings(jwt_secret=KEY), stores=stores)
    assert app.state.services.ranker.name == "weighted"
