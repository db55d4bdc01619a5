"""Each setting, metric, command and flag is described, and every link in the documents leads somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import load_command_class

from tickhub.api import urls
from tickhub.core.flags import HOLD, INFORMATIONAL, Flag

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
PACKAGES = ("tickhub", "ingest", "quality", "storage", "chains")
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(DOCS.rglob("*.md"))
VARIABLE = re.compile(r"\b(TICKHUB_[A-Z0-9_]+|DATABASE_URL|REDIS_URL|REPLICA_URLS)\b")
COMMANDS = sorted(
    path.stem for path in (ROOT / "tickhub/management/commands").glob("*.py") if not path.stem.startswith("_")
)


def sources() -> Iterator[str]:
    """Yield the text of every module of the product."""
    yield (ROOT / "manage.py").read_text()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.read_text()


def variables_read() -> set[str]:
    """Return the environment variables that stand as strings of their own in the code."""
    return {name for text in sources() for name in re.findall(rf'"{VARIABLE.pattern}"', text)}


def rows(path: Path) -> dict[str, str]:
    """Return the rows of a document's tables by the first name in code type."""
    found = re.findall(r"^\| `([^`]+)`.*$", path.read_text(), re.MULTILINE)
    lines = [line for line in path.read_text().splitlines() if line.startswith("| `")]
    return dict(zip(found, lines, strict=True))


def section(path: Path, title: str) -> str:
    """Return the text under a heading of the second level."""
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", path.read_text(), re.DOTALL | re.MULTILINE)
    return match[1] if match else ""


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings as they are shown on the web."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_variable_that_the_code_reads_is_described() -> None:
    described = set(VARIABLE.findall((DOCS / "settings.md").read_text()))

    assert variables_read() - described == set()


def test_no_variable_is_described_that_the_code_does_not_read() -> None:
    described = {name for path in DOCUMENTS for name in VARIABLE.findall(path.read_text())}

    assert described - variables_read() == set()


def test_defaults_and_bounds_of_numbers_are_those_of_the_code() -> None:
    described = rows(DOCS / "settings.md")
    code = (ROOT / "tickhub/settings.py").read_text()
    numbers = re.findall(r'env\.integer\("(\w+)", ([\d_]+), least=([\d_]+), most=([\d_]+)\)', code)

    wrong = {
        name: described[name]
        for name, default, least, most in numbers
        if f"| {int(default)} | {int(least)}–{int(most)} |" not in described[name]
    }
    assert len(numbers) >= 9
    assert wrong == {}


def test_every_metric_is_described_and_no_other() -> None:
    declared = set(re.findall(r'"(tickhub_\w+)"', (ROOT / "tickhub/core/metrics.py").read_text()))

    assert set(rows(DOCS / "metrics.md")) == declared


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described_with_its_options(command: str) -> None:
    text = section(DOCS / "commands.md", command)
    parser = load_command_class("tickhub", command).create_parser("manage.py", command)
    # Those that Django gives every command are described by its own documents; --data-dir at the top.
    common = {action.dest for action in load_command_class("django.core", "check").create_parser("", "")._actions}
    options = {
        option
        for action in parser._actions
        if action.dest not in common | {"data_dir", "help"}
        for option in action.option_strings
    }

    assert text != ""
    assert {option for option in options if f"`{option}" not in text} == set()


def test_every_address_of_the_api_is_described_and_that_it_asks_for_no_login() -> None:
    text = (DOCS / "api.md").read_text()
    addresses = {str(pattern.pattern).replace("<int:certificate_id>", "ID") for pattern in urls.urlpatterns}

    assert {address for address in addresses if not re.search(rf"`(GET |POST )?{re.escape(address)}", text)} == set()
    assert "without a login" in section(DOCS / "api.md", "Who may read")


def test_every_flag_is_described_with_its_bit_and_effect() -> None:
    described = rows(DOCS / "quality.md")

    wrong = [
        flag.name
        for flag in Flag
        if f"| {flag.bit_length() - 1} | {effect(flag)} |" not in described.get(str(flag.name), "")
    ]
    assert wrong == []


def effect(flag: Flag) -> str:
    if flag & HOLD:
        return "hold"
    return "information" if flag & INFORMATIONAL else "flag"


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    first = "\n".join(lines[:10])

    assert len(lines) < 120
    assert "pip install uv && uv run manage.py up" in first
    assert "pip install uv && uv run pytest" in first


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        is_there = target.exists() and (not anchor or anchor in anchors(target))
        if not link.startswith(("http://", "https://")) and not is_there:
            broken.append(link)

    assert broken == []


def test_every_file_that_is_named_exists() -> None:
    named = re.compile(r"`((?:tickhub|ingest|quality|storage|tests|deploy|docs)/[\w/.-]*)`")
    missing = [
        f"{document.name}: {path}"
        for document in DOCUMENTS
        for path in named.findall(document.read_text())
        if not (ROOT / path).exists()
    ]

    assert missing == []


def test_decision_records_have_their_three_parts() -> None:
    records = sorted((DOCS / "adr").glob("*.md"))

    assert records
    for record in records:
        assert re.findall(r"^## (.*)$", record.read_text(), re.MULTILINE) == ["Context", "Decision", "Consequences"]
