"""What is written from the code is as the code is now, and every setting is there with words of its own."""

import re
import tomllib
from pathlib import Path

import pytest
from pages import PAGES, ROOT

from gateway.config import Config, load, reference

SAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.toml"))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    assert (ROOT / name).read_text() == PAGES[name](), f"{name} is stale: run `make docs`"


@pytest.mark.parametrize("name", SAMPLES)
def test_every_example_is_a_good_configuration(name: str) -> None:
    load(ROOT / "examples" / name)


def test_every_setting_has_words_and_stands_in_the_example_and_the_page() -> None:
    example = (ROOT / "examples/gateway.toml").read_text()
    page = (ROOT / "docs/configuration.md").read_text()
    count = 0
    for table in reference.tables():
        assert table.meaning
        assert table.header in example
        for setting in table.settings:
            assert len(setting.meaning) > 20, f"{table.name}.{setting.key} has no words"
            assert f"{setting.key} = {setting.value}" in example
            assert f"### `{table.name}.{setting.key}`" in page
            count += 1
    assert count > 70


def test_the_example_sets_every_default_as_it_is() -> None:
    given = load(ROOT / "examples/gateway.toml")
    for name in Config.model_fields.keys() - {"regions"}:
        assert getattr(given, name) == getattr(Config(), name)


def test_what_stands_in_a_comment_of_the_example_is_good_too(tmp_path: Path) -> None:
    text = (ROOT / "examples/gateway.toml").read_text()
    rows = [re.sub(r"^# (?=\w+ = |\[\[)", "", row) for row in text.splitlines()]
    tomllib.loads("\n".join(rows))
    (tmp_path / "gateway.toml").write_text("\n".join(rows))
    assert load(tmp_path / "gateway.toml").outbox.webhooks[0].url.startswith("https://")


def test_the_programme_s_six_regions() -> None:
    regions = load(ROOT / "examples/programme.toml").regions
    assert [region.name for region in regions] == [
        "North America",
        "Latin America",
        "Europe, Middle East, Africa",
        "Asia Pacific",
        "India",
        "Japan",
    ]
    assert len({region.alias for region in regions}) == 5
    assert {str(region.timezone) for region in regions} == {
        "America/Moncton",
        "America/Sao_Paulo",
        "Europe/London",
        "Australia/Brisbane",
        "Asia/Kolkata",
        "Asia/Tokyo",
    }
