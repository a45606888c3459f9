"""Do the documents point at things that exist, and are the bundled guests and machines
described?"""

import re

import pytest

from launch.build import bundled as guests
from launch.cli import app
from launch.system import bundled as machines
from tests.conventions.sources import ROOT

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SKIPPED = (".venv", "build", "runs", "tests/golden", "tests/oracle")


def documents():
    """Every Markdown file of ours."""
    found = sorted(ROOT.rglob("*.md"))
    return [p for p in found if not p.relative_to(ROOT).as_posix().startswith(SKIPPED)]


def test_relative_links_resolve():
    broken, seen = [], 0
    for path in documents():
        for target in LINK.findall(CODE.sub("", path.read_text())):
            if "://" in target or target.startswith("mailto:"):
                continue
            seen += 1
            if not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert seen >= 5
    assert not broken


def test_a_document_has_one_title():
    for path in documents():
        lines = CODE.sub("", path.read_text()).splitlines()
        assert len([line for line in lines if line.startswith("# ")]) == 1, path


def test_the_readme_names_only_commands_that_exist():
    text = (ROOT / "README.md").read_text()
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    used = set(re.findall(r"^(?:\.venv/bin/)?stramash ([a-z]+)", text, re.MULTILINE))
    assert len(used) >= 5
    assert used <= commands


@pytest.mark.parametrize("name", guests())
def test_every_guest_says_what_it_does(name):
    first = guests()[name].read_text().split("*/")[0]
    assert "SPDX-License-Identifier: GPL-2.0-or-later" in first
    assert len(first.split()) > 12


@pytest.mark.parametrize("name", machines())
def test_every_machine_says_what_it_is(name):
    assert machines()[name].read_text().startswith("# ")


def test_decisions_are_numbered_and_complete():
    text = (ROOT / "DECISIONS.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [int(section.split(".")[0]) for section in sections] == list(range(1, len(sections) + 1))
    for section in sections:
        for part in ("**Context.**", "**Choice.**", "**Rejected.**"):
            assert part in section, section.splitlines()[0]
