"""arguments: what the suite's commands let people say, checked before anything is built or measured."""

import argparse
import math
import pathlib


def within(kind, low, high, what=None):
    """A number of that range; `what` says which, with its unit."""

    def read(value):
        try:
            number = kind(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{value}: give {what or f'{low} to {high}'}")
        return number

    return read


def existing_folder(value):
    if not pathlib.Path(value).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {value}")
    return value


def out_check(parser, path, name):
    """A report that cannot be written to this folder, under this name, is known before the measuring."""
    try:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
        (pathlib.Path(path) / name).open("a").close()
    except OSError as error:
        parser.error(f"--out {path}: {error.strerror}")
