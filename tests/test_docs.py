"""The pages name what is there: every table, every stage, every file they link to."""

import re
from pathlib import Path

import pytest

from personahub import schemas
from personahub.config import load
from personahub.errors import ErrorKind
from personahub.mockserver.profiles import PROFILES
from personahub.stages import STAGES

HOUSE = Path(__file__).resolve().parents[1]
PAGES = [HOUSE / "README.md", HOUSE / "CONTRIBUTING.md", *sorted((HOUSE / "docs").rglob("*.md"))]


def test_every_table_is_explained():
    page = (HOUSE / "docs" / "architecture" / "tables.md").read_text()
    assert [name for name in schemas.TABLES if f"`{name}`" not in page] == []


def test_the_readme_has_the_table_of_stages():
    page = (HOUSE / "README.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| [\d., ]+ \| (.+) \|$", page, re.MULTILINE)
    assert rows == [(stage.name, stage.about) for stage in STAGES.values()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_are_there(page):
    named = re.findall(r"`([\w/.-]+(?:\.py|\.yaml|\.md|/))`", page.read_text())
    places = [HOUSE, HOUSE / "personahub", HOUSE / "personahub" / "stages" / "synthesize"]
    given = {"mine.yaml", "haiku.yaml", "dist/", "_scratch/", "_held/", "_journal/"}  # a user's, or a hub's
    assert [name for name in named if name not in given and not any((place / name).exists() for place in places)] == []


def test_files_md_lists_the_reasons_of_rejects():
    rooms = [HOUSE / "personahub" / "documents", HOUSE / "personahub" / "filters"]
    code = "".join(
        file.read_text() for room, names in zip(rooms, ("*.py", "documents.py"), strict=True) for file in room.glob(names)
    )
    given = set(re.findall(r'reject\([^"]*"(\w+)"|return \(?"(\w+)", f"', code))
    table = (HOUSE / "docs" / "files.md").read_text().partition("## Rejects of reading")[2].partition("\n## ")[0]
    listed = set(
        re.findall(r"`([a-z_0-9]+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `")))
    )
    assert listed == {one or other for one, other in given}


def test_every_kind_of_error_is_explained():
    page = (HOUSE / "docs" / "architecture" / "paid-calls.md").read_text().partition("| `error_kind` |")[2].partition("\n\n")[0]
    listed = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in page.splitlines()[2:]))
    assert sorted(listed) == sorted(kind.value for kind in ErrorKind)


def test_endpoints_md_sets_up_each_kind_of_server(tmp_path):
    page = (HOUSE / "docs" / "endpoints.md").read_text()
    blocks = dict(re.findall(r"^\*\*(\w+)\*\*.*?```yaml\n(.*?)```", page, re.MULTILINE | re.DOTALL))
    assert blocks.keys() == PROFILES.keys()
    for name, block in blocks.items():
        file = tmp_path / f"{name}.yaml"
        file.write_text(block)
        assert load([file]).models["default"].base_url in block
        assert block.count("\n") == 5
