"""Parsers of the commands that go from recordings to answers: inspect, fit and predict."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import DATA, add_data, data_source, integer_between, names

STRATEGIES = ("auto", "linear-probe", "finetune", "probe-then-finetune")


def add_inspect(commands: Any) -> None:
    """Add the parser of ``citrus-sk inspect``."""
    parser = commands.add_parser(
        "inspect",
        help="show what is in your data",
        description=(
            "Show what is in recordings or windows before anything is trained: people, "
            "lengths, channels and their rates, flat, clipped and missing parts, mains hum, "
            "copies, and with labels the windows of each person and class. "
            f"{DATA} No labels are needed."
        ),
    )
    add_data(parser)
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="page to write as well, with pictures"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    parser.set_defaults(run=_run_inspect)


def _run_inspect(arguments: argparse.Namespace) -> None:
    from .inspect import run_inspect

    run_inspect(
        data_source(arguments),
        html=arguments.html,
        overwrite=arguments.overwrite,
        progress=not arguments.quiet,
        command=arguments.command_line,
    )


def add_fit(commands: Any) -> None:
    """Add the parser of ``citrus-sk fit``."""
    parser = commands.add_parser(
        "fit",
        help="train a model on your labels, and save it",
        description=(
            "Train a classifier on labelled windows, and save it with what citrus-sk predict needs "
            f"to apply it to recordings. {DATA} The command does not score the model: citrus-sk "
            "evaluate does, with the same arguments."
        ),
    )
    add_data(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="model to write, such as my.joblib"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    parser.add_argument(
        "--pretrained",
        metavar="NAME",
        help="checkpoint: a name that citrus-sk models lists, a path, or none for random weights; "
        "default: the one of CitrusClassifier",
    )
    parser.add_argument(
        "--strategy", choices=STRATEGIES, default="auto", help="use of the labels; default: auto"
    )
    parser.add_argument(
        "--seed", type=integer_between(0, 2**31 - 1), default=0, help="random seed; default: 0"
    )
    parser.set_defaults(run=_run_fit)


def _run_fit(arguments: argparse.Namespace) -> None:
    from .fit import run_fit

    run_fit(
        data_source(arguments),
        arguments.out,
        overwrite=arguments.overwrite,
        pretrained=arguments.pretrained,
        strategy=arguments.strategy,
        seed=arguments.seed,
    )


def add_predict(commands: Any) -> None:
    """Add the parser of ``citrus-sk predict``."""
    parser = commands.add_parser(
        "predict",
        help="apply a saved model to recordings",
        description=(
            "Cut recordings into windows like those of the training, and write the probability of "
            "each class (CSV), and optionally events (annotations). Windows in .npz and CSV files "
            "are predicted as they are. MODEL is a file of citrus-sk "
            "fit. It is a pickle, and loading it runs code in it: load only files from people "
            "whom you trust."
        ),
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="file of citrus-sk fit")
    parser.add_argument(
        "recordings",
        type=Path,
        nargs="+",
        metavar="RECORDING",
        help="recordings and folders, or .npz and CSV files of windows",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="CSV",
        help="table to write: recording, start, end (s), label, and a probability of each class; "
        "for files of windows, window instead of start and end",
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="FOLDER",
        help="write events as well: a file for each recording that MNE and EDFbrowser read",
    )
    parser.add_argument(
        "--annotations-format",
        choices=("txt", "edf"),
        default="txt",
        help="format of these files: text, or EDF+ without signals, from which MNE reads labels of "
        "any letters (needs edfio); default: txt",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--step",
        type=float,
        metavar="S",
        help="time between the starts of successive windows in seconds; default: the length of a "
        "window, for windows without overlap",
    )
    parser.add_argument(
        "--missing-channels",
        choices=("raise", "interpolate", "ignore"),
        default="raise",
        help="if a recording lacks a channel of the training, or marks it as bad: raise an error, "
        "interpolate it from the other EEG channels, or ignore it; default: raise",
    )
    parser.add_argument(
        "--adapt",
        action="store_true",
        help="adapt to each recording, each subject of BIDS, or each group of windows, as a new "
        "person",
    )
    parser.add_argument(
        "--people",
        type=Path,
        metavar="CSV",
        help="for --adapt: table with the columns file and group, the person of each recording",
    )
    parser.add_argument(
        "--sfreq", type=float, metavar="HZ", help="rate of windows, if not in their file"
    )
    parser.add_argument(
        "--high",
        type=float,
        default=0.6,
        metavar="P",
        help="probability at which an event begins; default: 0.6",
    )
    parser.add_argument(
        "--low",
        type=float,
        default=0.5,
        metavar="P",
        help="probability below which an event ends; default: 0.5",
    )
    parser.add_argument(
        "--min-duration",
        type=float,
        default=0.0,
        metavar="S",
        help="length of the shortest event in seconds; default: 0",
    )
    parser.add_argument(
        "--classes", type=names, metavar="LIST", help="classes of the events; default: all"
    )
    parser.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="if a recording cannot be predicted; default: raise",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    parser.set_defaults(run=_run_predict)


def _run_predict(arguments: argparse.Namespace) -> None:
    from .predict import EventSettings, run_predict

    run_predict(
        arguments.model,
        arguments.recordings,
        arguments.out,
        annotations=arguments.annotations,
        overwrite=arguments.overwrite,
        step=arguments.step,
        missing_channels=arguments.missing_channels,
        adapt=arguments.adapt,
        people=arguments.people,
        events=EventSettings(
            arguments.high,
            arguments.low,
            arguments.min_duration,
            arguments.classes,
            arguments.annotations_format,
        ),
        skip=arguments.on_error == "skip",
        sfreq=arguments.sfreq,
        progress=not arguments.quiet,
    )
