"""The report: what goes into report.json, and the tables on the terminal."""

import json

from suite.measure import COSTS, Series, count_text

FORMAT = 1
VERDICTS = {True: "met", False: "MISSED", None: "-"}


def number_text(value, unit=""):
    """A figure as people read it; "-" when nothing counted."""
    if value is None:
        return "-"
    if unit == "":
        return f"{value:.3f}" if value < 10 else f"{value:.1f}"
    if unit == "/s":
        return count_text(value) + "/s"
    return f"{value:.1f} {unit}"


def spread_text(figure):
    low, high = figure["spread"] or (None, None)
    if low == high:
        return ""
    return f"{number_text(low, figure['unit'])} … {number_text(high, figure['unit'])}"


def goal_text(figure):
    if not figure["sense"]:
        return ""
    goal = number_text(figure["goal"], figure["unit"]) if figure["unit"] == "/s" else f"{figure['goal']:g} {figure['unit']}".strip()
    return f"{'≥' if figure['sense'] == '>=' else '≤'} {goal}"


def verdict_text(figure):
    """Met or not, with a remark where the goal lies within the spread; what else was found."""
    if figure["finding"]:
        return "; ".join(filter(None, [number_verdict(figure) if figure["values"] else "", figure["finding"]]))
    return number_verdict(figure)


def number_verdict(figure):
    if figure["sense"] and not figure["values"]:
        return "VOID"
    verdict = VERDICTS[figure["met"]]
    if figure["met"] is None:
        return verdict
    if not figure["met"]:
        verdict += " by " + missed_text(figure)
    low, high = figure["spread"]
    return verdict + (", narrowly" if low < figure["goal"] < high else "")


def missed_text(figure):
    away = abs(figure["median"] - figure["goal"])
    return f"{100 * away / figure['goal']:.2g} %" if figure["goal"] else number_text(away, figure["unit"])


def goals_of(report):
    return [figure for result in report["results"] for figure in result["figures"] if figure["sense"]]


def others_of(report):
    return [figure for result in report["results"] for figure in result["figures"] if not figure["sense"]]


def table(header, rows, right=()):
    """Lines of text in columns; `right`: indices of columns that are aligned to the right."""
    cells = [header, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        lines.append("  ".join(cell.rjust(width) if i in right else cell.ljust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))).rstrip())
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def figure_rows(figures):
    return [[figure["id"], figure["label"], goal_text(figure), number_text(figure["median"], figure["unit"]), spread_text(figure),
             "" if figure["rounds"] is None else str(figure["rounds"]), verdict_text(figure)] for figure in figures]


def run_summary(runs):
    """Medians of a target's runs that counted, and how many did not."""
    counted = [run for run in runs if run["valid"] or run["busy"]]
    summary = {"void": len(runs) - len(counted), "rounds": len(counted)}
    summary["lost"] = sum(run["lost"] for run in runs) / max(1, sum(run["sent"] for run in runs))  # in those that are VOID too
    for name in ("rate", "core_rate", "ns", "p50", "p99", "p999", "server_cpu", "client_cpu"):
        values = [run[name] for run in (counted if name in COSTS else runs) if run[name] is not None and (name in COSTS or run["valid"])]
        summary[name], summary[name + "_spread"] = Series(values).median(), Series(values).spread()
    return summary


def run_rows(runs):
    """A line for each target of a round."""
    rows = []
    for name, samples in runs.items():
        s = run_summary(samples)
        low, high = s["core_rate_spread"] or (None, None)
        rows.append([name, number_text(s["core_rate"], "/s"), f"{number_text(low, '/s')} … {number_text(high, '/s')}",
                     "-" if s["ns"] is None else f"{s['ns']:.0f}", *("-" if s[p] is None else f"{s[p]:.0f}" for p in ("p50", "p99", "p999")),
                     percent_text(s["server_cpu"]), percent_text(s["client_cpu"]), lost_text(s["lost"]), str(s["rounds"]), str(s["void"] or "")])
    return rows


RUN_HEADER = ["program", "per server core", "spread", "CPU ns", "p50 us", "p99 us", "p99.9 us", "server", "load", "lost", "runs", "VOID"]
RUN_RIGHT = (1, *range(3, len(RUN_HEADER)))  # the columns that are aligned to the right
POINT_RIGHT = (0, 2, *range(4, len(RUN_HEADER) + 1))


def point_rows(result):
    """A line for each target at each point of a curve."""
    return [[f"{point['x']:,.0f}", *row] for point in result["points"] for row in run_rows(point["runs"])]


def percent_text(share):
    return "-" if share is None else f"{100 * share:.0f} %"


def lost_text(share):
    return f"{100 * share:.2g} %" if share else ""


def facts_text(facts):
    machine = f"{facts['cpu']}, {facts['cpus']} CPUs{', virtual' if facts['virtual'] else ''}"
    return (f"commit {facts['commit']}, {facts['date']}, {facts['kernel']}, {machine}\n"
            f"{facts['compiler']}, {facts['flags']}; server on CPU {facts['server_cpu']}, load on CPU {facts['load_cpu']}")


def text(report):
    """What the terminal shows at the end."""
    parts = [facts_text(report["facts"]), ""]
    others = [figure for figure in others_of(report) if figure["rounds"] is not None]  # those of bench-micro are many
    if others:
        parts += [table(["figure", "what", "", "median", "spread", "rounds", ""], figure_rows(others), (3, 5)), ""]
    for result in report["results"]:
        if result["runs"] and not result["points"]:
            parts += [f"{result['id']}: {result['title']}   ({result['load']})",
                      table(RUN_HEADER, run_rows(result["runs"]), RUN_RIGHT), ""]
        elif result["points"]:
            parts += [f"{result['id']}: {result['title']}   ({result['load']})", table([result["x_name"], *RUN_HEADER], point_rows(result), POINT_RIGHT), ""]
    goals = goals_of(report)
    if goals:
        parts += [table(["goal", "what", "wanted", "reached", "spread", "rounds", "verdict"], figure_rows(goals), (2, 3, 5)), ""]
    parts += [f"{result['id']}: {note}" for result in report["results"] for note in result["notes"]]
    parts += [f"not measured: {name}" for name in report["skipped"]]
    if report["interrupted"]:
        parts.append("interrupted: this is what there was")
    return "\n".join(parts)


def save(report, path):
    path.write_text(json.dumps(report, indent=1) + "\n")
