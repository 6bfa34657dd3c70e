"""The files around the code agree with one another: addresses, versions, links."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from airrep.version import __version__

pytestmark = pytest.mark.docs
ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
HOME = PROJECT["urls"]["Source"]
# Files that stand on their own: shown on a package index, or by the forge beside the code.
PAGES = ["README.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "CHANGELOG.md",
         ".github/pull_request_template.md"]  # fmt: skip
FORMS = sorted(path.name for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


def _links(text):
    """Targets of every Markdown link, image and bare address."""
    return re.findall(r"\]\(([^)\s]+)\)|<(https?:[^>\s]+)>", text)


def _slugs(page):
    """The names that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_has_no_relative_link():
    """They lead nowhere on a package index."""
    readme = (ROOT / "README.md").read_text("utf-8")
    links = [link or bare for link, bare in _links(readme)]
    assert len(links) > 20
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_into_the_repository_name_a_file_and_a_heading(page):
    text = (ROOT / page).read_text("utf-8")
    for link in (link or bare for link, bare in _links(text)):
        if not link.startswith(HOME):
            assert not link.startswith("https://github.com/"), link
            continue
        within = re.fullmatch(rf"{re.escape(HOME)}/(?:blob|tree)/main/([^#]+)(?:#(.+))?", link)
        if within is None:
            assert link.removeprefix(HOME) in {"", "/issues", "/security/advisories/new"}, link
            continue
        assert (ROOT / within[1]).exists(), link
        if within[2]:
            assert within[2] in _slugs((ROOT / within[1]).read_text("utf-8")), link


def test_every_address_of_the_project_is_of_one_repository():
    assert all(url.startswith(HOME) for url in PROJECT["urls"].values())
    for name, path in (("Documentation", "docs"), ("Changelog", "CHANGELOG.md")):
        assert (ROOT / path).exists()
        assert PROJECT["urls"][name].endswith(f"/main/{path}")


def test_the_citation_is_of_this_version_of_this_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["title"] == PROJECT["name"]
    assert citation["version"] == __version__
    assert citation["license"] == PROJECT["license"]
    assert citation["abstract"] == PROJECT["description"]
    assert citation["repository-code"] == HOME
    authors = [author["name"] for author in citation["authors"]]
    assert authors == [author["name"] for author in PROJECT["authors"]]


@pytest.mark.parametrize("name", FORMS)
def test_issue_forms_are_what_the_forge_reads(name):
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE" / name).read_text("utf-8"))
    if name == "config.yml":
        assert all(link["url"].startswith(HOME) for link in form["contact_links"])
        return
    assert {"name", "description", "body"} <= set(form)
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in asked}) == len(asked) > 0
    assert all(field["attributes"]["label"] for field in asked)
    assert any(field.get("validations", {}).get("required") for field in asked)


def test_the_classifiers_name_the_oldest_python_that_is_allowed():
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert PROJECT["requires-python"] == f">={named[0]}"
    minors = [int(version.partition(".")[2]) for version in named]
    assert minors == list(range(minors[0], minors[0] + len(minors)))
