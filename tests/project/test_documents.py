"""What a user reads first is true: links lead somewhere, commands can be typed, versions agree, tables are in step."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from grefine_core import __version__
from grefine_core.cli import build_parser
from grefine_core.models import NEEDED, REGISTRY

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = sorted((ROOT / "web" / "docs").glob("*.md"))


def commands(path: Path) -> list[str]:
    """What a page tells one to type, without comments: indented lines (one may go on in the next), and inline code."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split("  #")[0].split(" # ")[0].strip() for line in re.findall(r"^ {4}(.*)$", text, re.MULTILINE)]
    found = [*lines, *re.findall(r"`([^`\n]+)`", text)]
    found = [re.sub(r"^python -m grefine_core\.cli\b", "grefine", each) for each in found]
    return [each for each in found if re.match(r"grefine [a-z]+ [^|]", each)]


@pytest.mark.parametrize("path", [*DOCUMENTS, *PAGES], ids=lambda path: path.name)
def test_commands_can_be_typed_as_they_stand(path):
    for command in commands(path):
        # A last … is a value, or stands for more of what is there.
        complaint = complaint_about(command) and complaint_about(command.removesuffix("…"))
        # Inline, a command may be short of what is required; no word of it may be wrong.
        short = "the following arguments are required" in complaint and path != README
        assert short or not complaint, f"{command}: {complaint}"


def complaint_about(command: str) -> str:
    """What the command line says to it, nothing if it takes it."""
    message = io.StringIO()
    with contextlib.redirect_stderr(message), contextlib.suppress(SystemExit):
        build_parser().parse_args(shlex.split(command)[1:])
    return message.getvalue()


def test_a_wrong_command_would_be_noticed():
    assert "invalid choice" in complaint_about("grefine modles list")
    assert "unrecognized arguments" in complaint_about("grefine models list --hots")


def test_the_readme_shows_every_command():
    shown = {command.split()[1] for command in commands(README)}
    actions = next(action for action in build_parser()._actions if action.dest == "command")
    assert actions.choices is not None
    assert set(actions.choices) <= shown


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_readme_leads_to_every_document():
    text = README.read_text(encoding="utf-8")
    for path in DOCUMENTS[1:]:
        assert path.relative_to(ROOT).as_posix() in text, path.name


def test_the_readme_lists_every_template():
    listed = re.findall(r"^\| `(grefine_\w+)` \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))


def page_tool() -> ModuleType:
    """tools/write_models_page.py, of its own each time."""
    spec = importlib.util.spec_from_file_location("write_models_page", ROOT / "tools" / "write_models_page.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_the_page_of_models_is_in_step_with_the_registry():
    assert page_tool().main(["--check"]) == 0
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    for entry in REGISTRY:
        row = re.search(rf"^\| `{entry.id}` \|(.*)$", page, re.MULTILINE)
        assert row, entry.id
        assert entry.licence in row[1]
        assert entry.shipped is not None or f"models/{entry.folder}/{entry.names[0]}" in row[1], entry.id
        assert entry.repository is None or f"huggingface.co/{entry.repository}/" in row[1]
    assert all(f"| `{name}` |" in page for name in NEEDED)


def test_a_page_out_of_step_is_noticed(tmp_path):
    tool = page_tool()
    tool.PAGE = tmp_path / "models.md"
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    tool.PAGE.write_text(page.replace("598.5 MB", "1 MB"), encoding="utf-8")
    assert tool.main(["--check"]) == 1
    assert tool.main([]) == 0
    assert tool.PAGE.read_text(encoding="utf-8") == page
    with pytest.raises(ValueError, match="files"):
        tool.filled(page.replace("<!-- files:", "<!-- "))


def test_the_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[([^\]]+)\](?: - (\S+))?$", text, re.MULTILINE)
    released = [(version, date) for version, date in versions if version != "Unreleased"]
    assert released[0][0] == __version__
    for version, date in released:
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}|Unreleased", date), version
    parts = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert set(parts) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Known limits"}
    assert [len(version) for version, _ in released]
