"""The command line: ``citrus-sk demo``, ``evaluate``, ``fit``, ``predict`` and others.

Each command has a function that adds its parser and a function that runs it; `COMMANDS` lists
the former. Commands import their modules when they run, so that ``--help`` is fast.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._utils.interrupts import terminate_like_interrupt
from .._utils.temporary import remove_abandoned
from .._utils.version import __version__
from .arguments import DATA, add_data, data_source, integer_between, numbers, repeats
from .recording_parsers import add_fit, add_inspect, add_predict
from .terminal import printable_output

PROGRAM = "citrus-sk"
INTERRUPTED, TERMINATED = 130, 143  # exit statuses of shells after Ctrl-C and SIGTERM
_EXPECTED = (ImportError, OSError, ValueError, TypeError, FloatingPointError, MemoryError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments; None means those of the process.

    Returns
    -------
    int
        Exit status: 0 for success, 1 if the command failed, 130 after Ctrl-C and 143 after
        SIGTERM. For wrong arguments argparse exits with 2.
    """
    with printable_output():
        return _run(sys.argv[1:] if argv is None else argv)


def _run(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    arguments.command_line = shlex.join([PROGRAM, *argv])
    with terminate_like_interrupt() as terminated:
        try:
            remove_abandoned()
            arguments.run(arguments)
        # Such as a missing extra, a folder that is not writable, or a recipe that is not valid.
        except _EXPECTED as error:
            text = str(error) or type(error).__name__
            print(f"{PROGRAM} {arguments.command}: error: {text}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            word = "terminated" if terminated() else "interrupted"
            print(f"\n{PROGRAM} {arguments.command}: {word}", file=sys.stderr)
            return TERMINATED if terminated() else INTERRUPTED
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
        help="output folder, created if needed; files of an earlier run are replaced",
    )
    parser.add_argument(
        "--folds",
        type=integer_between(2, 10),
        default=3,
        metavar="N",
        help="number of folds for the ten people, 2 to 10",
    )
    parser.add_argument(
        "--seed",
        type=integer_between(0, 2**32 - 1),
        default=0,
        help="seed of the folds, the draws and the training",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    parser.set_defaults(run=_run_demo)


def _run_demo(arguments: argparse.Namespace) -> None:
    from .demo import run_demo

    run_demo(
        arguments.out, n_splits=arguments.folds, seed=arguments.seed, progress=not arguments.quiet
    )


def _add_models(commands: Any) -> None:
    parser = commands.add_parser(
        "models",
        help="list the pre-trained checkpoints that ship with this version",
        description=(
            "List the pre-trained checkpoints that ship with this version, and what they were "
            "trained on. Each name is a value for pretrained= of CitrusClassifier."
        ),
    )
    parser.set_defaults(run=_run_models)


def _run_models(arguments: argparse.Namespace) -> None:
    from ..checkpoints.registry import SHIPPED, describe_checkpoint, list_pretrained

    names = list_pretrained()
    if not names:
        print(
            f"No pre-trained checkpoint ships with citrus_sk {__version__}. "
            "CitrusClassifier(pretrained=None) trains from scratch."
        )
        return
    row = "{:<12} {:<6} {:>7} {:>6} {:>6} {:>7}  {}".format
    print(row("name", "preset", "weights", "hours", "people", "size", "trained on"))
    for each in map(describe_checkpoint, names):
        print(
            row(
                each["name"],
                each["preset"] or "custom",
                f"{each['n_parameters'] / 1e6:.2f} M",
                f"{each['hours']:.0f}",
                each["people"],
                f"{each['n_bytes'] / 1e6:.1f} MB",
                ", ".join(each["modalities"]),
            )
        )
    print("\nhours are channel-hours; the model cards describe the intended use:")
    print(SHIPPED)


def _add_pretrain(commands: Any) -> None:
    parser = commands.add_parser(
        "pretrain",
        help="pre-train on your own recordings",
        description=(
            "Pre-train the network on recordings without labels: EDF, BDF, FIF, npz and npy files, "
            "and folders of them. Writes a checkpoint for pretrained= of CitrusClassifier, and a "
            "picture of its reconstructions. The run is saved every few minutes; after a crash or "
            "Ctrl-C, add --resume to the same command to continue."
        ),
    )
    parser.add_argument("data", type=Path, nargs="+", metavar="DATA", help="files and folders")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="checkpoint to write, *.safetensors"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file of parameters of CitrusPretrainer; command-line options override it",
    )
    parser.add_argument("--objective", choices=("freq", "time", "both"), help="default: freq")
    parser.add_argument("--preset", choices=("tiny", "small", "base"), help="default: small")
    parser.add_argument(
        "--pretrained",
        metavar="NAME",
        help="checkpoint whose weights the training starts from, or its path; default: random",
    )
    parser.add_argument(
        "--modalities", nargs="+", metavar="KIND", help="kinds of signal to train on; default: all"
    )
    parser.add_argument(
        "--modality", metavar="KIND", help="modality of all channels; default: by their names"
    )
    parser.add_argument("--sfreq", type=float, metavar="HZ", help="rate to train at; default: 100")
    parser.add_argument(
        "--n-passes", type=float, metavar="N", help="passes over the data; default: 10"
    )
    parser.add_argument(
        "--max-steps", type=int, metavar="N", help="number of batches, instead of passes"
    )
    parser.add_argument(
        "--max-minutes", type=float, metavar="N", help="time limit, by which the run is planned"
    )
    parser.add_argument("--device", help="such as cpu or cuda:1; default: a GPU if there is one")
    parser.add_argument("--seed", type=integer_between(0, 2**31 - 1), help="random seed")
    parser.add_argument(
        "--on-error", choices=("skip", "raise"), help="if a file cannot be read; default: skip"
    )
    parser.add_argument("--resume", action="store_true", help="resume an unfinished run")
    parser.add_argument("--half", action="store_true", help="store weights as float16")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="for converted recordings")
    parser.add_argument(
        "--save-minutes",
        type=float,
        default=5.0,
        metavar="N",
        help="time between saves; default: 5",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    parser.set_defaults(run=_run_pretrain)


def _run_pretrain(arguments: argparse.Namespace) -> None:
    from .pretrain import run_pretrain

    passed = ("objective", "preset", "pretrained", "modalities", "modality", "sfreq", "n_passes",
              "max_steps", "max_minutes")  # fmt: skip
    run_pretrain(
        arguments.data,
        arguments.out,
        recipe=arguments.config,
        resume=arguments.resume,
        half=arguments.half,
        cache=arguments.cache,
        save_minutes=arguments.save_minutes,
        progress=not arguments.quiet,
        random_state=arguments.seed,
        **{name: getattr(arguments, name) for name in (*passed, "device", "on_error")},
    )


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="compare classifiers over fractions of your labels",
        description=(
            "Cross-validate classifiers on fractions of the training folds, by person if there are "
            "groups, and write a report (HTML), scores and times (CSV), and all results (JSON). "
            f"{DATA} To continue an interrupted run, repeat the "
            'command. Most peers need: pip install "citrus-sk[peers]".'
        ),
    )
    add_data(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("citrus-evaluation"),
        metavar="FOLDER",
        help="output folder; default: citrus-evaluation",
    )
    parser.add_argument(
        "--estimators",
        metavar="LIST",
        help="names of peers, module:object or name=module:object, separated by commas; default: "
        "citrus,minirocket,bandpower",
    )
    parser.add_argument(
        "--ablation",
        action="store_true",
        help="add the network with all alignments, backbones and weights",
    )
    parser.add_argument(
        "--adapt",
        action="store_true",
        help="evaluate on a new person as well: with unlabelled windows, and with 1, 2, 5 and 10 "
        "labelled windows per class",
    )
    parser.add_argument(
        "--fractions",
        type=numbers(float),
        metavar="LIST",
        help="fractions of the training folds; default: 0.02,0.1,0.5",
    )
    parser.add_argument("--shots", type=numbers(int), metavar="LIST", help="windows per class")
    parser.add_argument(
        "--folds",
        type=integer_between(2, 1000),
        default=3,
        metavar="N",
        help="number of folds; default: 3",
    )
    parser.add_argument(
        "--repeats",
        type=repeats,
        default=1,
        metavar="N",
        help="number of draws, or auto; default: 1",
    )
    parser.add_argument(
        "--scoring",
        type=lambda text: text.split(","),
        default=["f1_macro", "accuracy", "neg_log_loss"],
        metavar="LIST",
        help="scorers of scikit-learn; default: f1_macro,accuracy,neg_log_loss",
    )
    parser.add_argument(
        "--report-oracle-epoch",
        action="store_true",
        help="add the score of the best test epoch, to compare with published tables",
    )
    parser.add_argument(
        "--jobs", type=int, default=-1, metavar="N", help="processes; default: all cores"
    )
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="compute features of frozen networks again in every fit; results are the same",
    )
    parser.add_argument(
        "--seed", type=integer_between(0, 2**31 - 1), default=0, help="random seed; default: 0"
    )
    parser.add_argument("--title", help="title of the report")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    parser.set_defaults(run=_run_evaluate)


def _run_evaluate(arguments: argparse.Namespace) -> None:
    from .evaluate import run_evaluate

    passed = ("estimators", "ablation", "adapt", "fractions", "shots", "folds", "repeats",
              "scoring", "jobs", "seed", "title")  # fmt: skip
    any_fit = run_evaluate(
        arguments.out,
        source=data_source(arguments),
        oracle=arguments.report_oracle_epoch,
        cache=not arguments.no_cache,
        progress=not arguments.quiet,
        command=arguments.command_line,
        **{name: getattr(arguments, name) for name in passed},
    )
    if not any_fit:
        raise ValueError(f"no fit could be scored; see {arguments.out / 'report.html'}.")


COMMANDS = (_add_demo, _add_evaluate, add_fit, add_inspect, _add_models, add_predict, _add_pretrain)
