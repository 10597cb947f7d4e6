"""bench/compare: two reports of bench/run, of two commits or two machines, figure by figure."""

import argparse
import json
import math
import sys

from suite import report

FACTS_COMPARED = ("kernel", "cpu", "cpus", "compiler", "flags", "governor")


class BadReport(Exception):
    """A line that says what is wrong with a file."""


def read(path):
    try:
        with open(path, encoding="utf-8") as stream:
            loaded = json.load(stream)
    except OSError as error:
        raise BadReport(f"{path}: {error.strerror}: give a report.json of bench/run") from None
    except (ValueError, RecursionError) as error:
        raise BadReport(f"{path} is no JSON ({error}): give a report.json of bench/run") from None
    if not isinstance(loaded, dict) or loaded.get("format") != report.FORMAT:
        raise BadReport(f"{path} is no report of bench/run, or of another version of it (format {report.FORMAT} is understood)")
    lacking = next(lacking_in(loaded), None)
    if lacking:
        raise BadReport(f"{path} is no report of bench/run: {lacking}")
    return loaded


def is_text(value):
    return isinstance(value, str) and value.isprintable()


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < sys.float_info.max and not math.isnan(value)


def is_spread(value):
    return value is None or isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


# What is read of a report here, and how it must be.
REPORT = {"mode": is_text, "interrupted": lambda value: isinstance(value, bool), "facts": lambda value: isinstance(value, dict),
          "results": lambda value: isinstance(value, list)}
FACTS = {"commit": is_text, "date": is_text}
FIGURE = {"id": is_text, "label": is_text, "unit": is_text, "sense": lambda value: value in ("", ">=", "<="),
          "median": lambda value: value is None or is_number(value), "spread": is_spread}


def lacking_of(where, record, wanted):
    """A line for each part that is not as it must be."""
    if not isinstance(record, dict):
        yield f"{where} is no object"
        return
    for name, is_sound in wanted.items():
        if name not in record:
            yield f"{where} has no {name}"
        elif not is_sound(record[name]):
            yield f"the {name} of {where} is not what bench/run writes"


def lacking_in(loaded):
    yield from lacking_of("the report", loaded, REPORT)
    yield from lacking_of("facts", loaded["facts"], FACTS)
    for name in FACTS_COMPARED:
        value = loaded["facts"].get(name)
        if not (value is None or is_text(value) or is_number(value)):
            yield f"the {name} of facts is not what bench/run writes"
    for result in loaded["results"]:
        yield from lacking_of("a result", result, {"figures": lambda value: isinstance(value, list)})
        for figure in result["figures"]:
            yield from lacking_of("a figure", figure, FIGURE)


def figures_of(loaded):
    return {figure["id"] + "|" + figure["label"]: figure for result in loaded["results"] for figure in result["figures"]}


def change_text(a, b):
    """By how much B differs from A, and whether that is beyond the spread of both."""
    if not a["median"] or not b["median"]:
        return "-", ""
    change = f"{100 * (b['median'] / a['median'] - 1):+.1f} %"
    if not a["spread"] or not b["spread"]:
        return change, ""
    low, high = (a, b) if a["median"] <= b["median"] else (b, a)
    if low["spread"][1] >= high["spread"][0]:
        return change, "within the spread"
    if not a["sense"]:
        return change, "differs"
    return change, "better" if (b["median"] > a["median"]) == (a["sense"] == ">=") else "WORSE"


def rows_of(a, b, wanted):
    mine, theirs = figures_of(a), figures_of(b)
    rows = []
    for key in [key for key in mine if key in theirs and wanted(mine[key])]:
        change, remark = change_text(mine[key], theirs[key])
        unit = mine[key]["unit"]
        rows.append([mine[key]["id"], mine[key]["label"], report.number_text(mine[key]["median"], unit),
                     report.number_text(theirs[key]["median"], unit), change, remark])
    return rows


def differing_facts(a, b):
    return [f"{name}: {a['facts'].get(name)} / {b['facts'].get(name)}" for name in FACTS_COMPARED if a["facts"].get(name) != b["facts"].get(name)]


def show(a, b, absolute):
    for name, loaded in (("A", a), ("B", b)):
        print(f"{name}: commit {loaded['facts']['commit']}, {loaded['facts']['date']}, mode {loaded['mode']}"
              + (", interrupted" if loaded["interrupted"] else ""))
    for line in differing_facts(a, b):
        print(f"differs in {line}")
    print("\nRatios to what was measured in the same rounds. Runs of different days differ by drift; these survive it, absolute speeds do not.\n")
    header = ["figure", "what", "A", "B", "B to A", ""]
    print(report.table(header, rows_of(a, b, lambda figure: figure["unit"] == ""), (2, 3, 4)))
    rest = rows_of(a, b, lambda figure: figure["unit"] != "")
    if absolute and rest:
        print("\nAbsolute figures, drift included:\n")
        print(report.table(header, rest, (2, 3, 4)))
    only = sorted(key.partition("|")[0] for key in set(figures_of(a)) ^ set(figures_of(b)))
    if only:
        print(f"\nin one of them only: {', '.join(only)}")
    if "tiny" in (a["mode"], b["mode"]):
        print("\nmade with --tiny: these figures mean nothing")


def main():
    parser = argparse.ArgumentParser(prog="bench/compare", description="Compares two reports of bench/run: their ratios to the bare echoes "
                                     "and peers that were measured in the same rounds. To compare two builds more sharply, let them run in "
                                     "the same rounds: bench/run --against DIR.", epilog="Exit codes: 0, or 2 when a file is no report.")
    parser.add_argument("a", metavar="A.json")
    parser.add_argument("b", metavar="B.json")
    parser.add_argument("--absolute", action="store_true", help="absolute figures too")
    arguments = parser.parse_args()
    try:
        a, b = read(arguments.a), read(arguments.b)
    except BadReport as problem:
        print(f"bench/compare: {problem}", file=sys.stderr)
        return 2
    show(a, b, arguments.absolute)
    return 0
