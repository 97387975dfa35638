"""The command line: ``citrus-sk demo``, ``citrus-sk models``.

Each command has a function that adds its parser and a function that runs it; `COMMANDS` lists
the former. What a command needs is imported when it runs, so that ``--help`` stays quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import __version__

PROGRAM = "citrus-sk"
INTERRUPTED = 130  # what shells report after Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        The arguments; those of the process if None.

    Returns
    -------
    int
        Exit status: 0 if all went well, 1 if the command failed, 130 after Ctrl-C. Wrong
        arguments exit with 2 from within argparse.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (ImportError, OSError) as error:  # a missing extra, a folder that is not writable
        print(f"{PROGRAM} {arguments.command}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{PROGRAM} {arguments.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Pre-trained conv-transformers for small bio-signal data sets.",
        epilog=f"'{PROGRAM} COMMAND --help' explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    return parser


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        help="train and cross-validate on real smart-watch recordings",
        description=(
            "Train on real smart-watch recordings of seven shoulder exercises, cross-validate by "
            "person over three fractions of the labels, and write a learning curve (PNG) and a "
            "model (joblib). Works offline and takes a few minutes. Needs the demo extra: "
            'pip install "citrus-sk[demo]".'
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("citrus-demo"),
        metavar="FOLDER",
        help="where to write; made if need be, and files of an earlier run are replaced",
    )
    parser.add_argument(
        "--folds",
        type=_integer_between(2, 10),
        default=3,
        metavar="N",
        help="number of folds the ten people are split into, 2 to 10",
    )
    parser.add_argument(
        "--seed",
        type=_integer_between(0, 2**32 - 1),
        default=0,
        help="seed of the folds, the draws and the training",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    parser.set_defaults(run=_run_demo)


def _run_demo(arguments: argparse.Namespace) -> None:
    from ._demo import run_demo

    run_demo(
        arguments.out, n_splits=arguments.folds, seed=arguments.seed, progress=not arguments.quiet
    )


def _add_models(commands: Any) -> None:
    parser = commands.add_parser(
        "models",
        help="list the pre-trained checkpoints that ship with this version",
        description=(
            "List the pre-trained checkpoints that ship with this version, one a line. Each is a "
            "value for pretrained= of CitrusClassifier."
        ),
    )
    parser.set_defaults(run=_run_models)


def _run_models(arguments: argparse.Namespace) -> None:
    from . import list_pretrained

    names = list_pretrained()
    if names:
        print("\n".join(names))
    else:
        print(
            f"No pre-trained checkpoint ships with citrus_sk {__version__}. "
            "CitrusClassifier(pretrained=None) trains from scratch."
        )


def _integer_between(low: int, high: int) -> Callable[[str], int]:
    """Make a type for argparse; its name is what argparse calls a value that is no number."""

    def integer(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return integer


COMMANDS = (_add_demo, _add_models)
