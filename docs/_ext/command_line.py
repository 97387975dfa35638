"""A directive that shows the output of ``citrus-sk COMMAND --help``."""

import argparse
import os
from unittest import mock

from docutils import nodes
from docutils.parsers.rst import Directive

from citrus_sk.cli import parser as cli

WIDTH = 62  # characters, the width of the text column of a page


def parsers():
    """Map each command to its parser."""
    commands = argparse.ArgumentParser(prog=cli.PROGRAM).add_subparsers()
    for add in cli.COMMANDS:
        add(commands)
    return commands.choices


def help_of(parser):
    with mock.patch.dict(os.environ, COLUMNS=str(WIDTH + 2), NO_COLOR="1"):
        return parser.format_help()


class CommandLine(Directive):
    def run(self):
        sections = []
        for command, parser in sorted(parsers().items()):
            title = f"{cli.PROGRAM} {command}"
            section = nodes.section(ids=[nodes.make_id(title)], names=[title])
            section += nodes.title(text=title)
            section += nodes.literal_block(text=help_of(parser), language="none")
            sections.append(section)
        return sections


def setup(app):
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
