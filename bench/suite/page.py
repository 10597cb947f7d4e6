"""report.html: one file with everything in it, for people."""

import html

from suite import plots
from suite.report import (POINT_RIGHT, RUN_HEADER, RUN_RIGHT, facts_text, figure_rows, goals_of, others_of, point_rows, run_rows, run_summary)

STYLE = """
body { font: 15px/1.5 sans-serif; color: #222; background: #fff; max-width: 62em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; margin-bottom: 0; } h2 { font-size: 1.2em; margin-top: 2.2em; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: 1em 0; font-size: 0.9em; } th { text-align: left; border-bottom: 2px solid #bbb; }
td, th { padding: 0.2em 0.7em 0.2em 0; vertical-align: top; } td { border-bottom: 1px solid #eee; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.met { color: #1d7a45; font-weight: bold; } .missed, .void { color: #b3261e; font-weight: bold; } .note { color: #666; }
svg { max-width: 100%; height: auto; } code { background: #f3f3f3; padding: 0 0.3em; }
"""

EXPLANATION = """<p>Ratios are formed between runs that were neighbours in time, round by round, and shown as median and spread: half of
the rounds lie within it. Speeds are requests per second and <em>fully used</em> server core: rate divided by the server's share of its CPU. A run
whose load generator was the bottleneck or late is VOID and counts nowhere. Absolute speeds of different days cannot be compared; use
<code>bench/compare</code>, which compares ratios.</p>"""


def cells(header, rows, right, classes=None):
    out = ["<table><tr>", *(f"<th{' class=n' if i in right else ''}>{html.escape(name)}</th>" for i, name in enumerate(header)), "</tr>"]
    for row in rows:
        out.append("<tr>")
        for i, cell in enumerate(row):
            kind = "n" if i in right else (classes(cell) if classes and i == len(row) - 1 else "")
            out.append(f"<td{f' class={kind}' if kind else ''}>{html.escape(cell)}</td>")
        out.append("</tr>")
    return "".join(out) + "</table>"


def verdict_class(cell):
    return next((kind for kind in ("met", "missed", "void") if cell.lower().startswith(kind)), "")


def speed_groups(report):
    """What the bar chart shows: each experiment whose targets were measured side by side, those for latency apart."""
    groups = []
    for result in report["results"]:
        if result["id"].startswith("P") and result["runs"] and not result["id"].startswith("P3"):
            targets = [(name, run_summary(runs)) for name, runs in result["runs"].items()]
            groups.append((result["id"], [(name, s["core_rate"], *(s["core_rate_spread"] or (0, 0))) for name, s in targets]))
    return groups


def targets_of(result):
    names = []
    for point in result["points"]:
        names += [name for name in point["runs"] if name not in names]
    return names


def latency_plot(result):
    series = {}
    shades = {"p50": "#9cc3e6", "p99": "#1f6fb4", "p999": "#0b2f52"}
    greys = {"p50": "#d5d8db", "p99": "#8a9299", "p999": "#3c4247"}
    for name in targets_of(result):
        for quantile, title in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
            rows = []
            for point in result["points"]:
                s = run_summary(point["runs"].get(name, []))
                rows.append((point["x"] / 1000, s[quantile]))
            series[f"{name} {title}"] = ((greys if name.startswith("echo") else shades)[quantile], rows)
    knee = next((figure["median"] for figure in result["figures"] if figure["id"] == "knee"), None)
    settings = "set logscale y 10\nset xlabel 'offered, thousand requests per second'\nset ylabel 'latency from the planned time, us'\nset xrange [0:*]\n"
    if knee:
        settings += (f"set arrow from {knee / 1000:.1f}, graph 0 to {knee / 1000:.1f}, graph 1 nohead dashtype 2 linecolor '#2f8f5b'\n"
                     f"set label 'knee' at {knee / 1000:.1f}, graph 0.97 right offset -0.5,0 textcolor '#2f8f5b'\n")
    return plots.lines_plot("latency", series, settings)


def cost_plot(result):
    series = {}
    for name in targets_of(result):
        if name[:1].isdigit():
            continue  # the first point again, beside each other one
        rows = []
        for point in result["points"]:
            s = run_summary(point["runs"].get(name, []))
            rows.append((point["x"], s["ns"], *(s["ns_spread"] or (None, None))))
        series[name] = (plots.colour_of(name), rows)
    settings = f"set xlabel '{result['x_name']}'\nset ylabel 'server CPU per request, ns'\n"
    settings += "set logscale y 10\n" if result["id"] == "connections" else "set yrange [0:*]\n"
    return plots.lines_plot(result["id"], series, settings, logarithmic_x=True)


def points_table(result):
    return cells([result["x_name"], *RUN_HEADER], point_rows(result), POINT_RIGHT)


def result_section(result):
    parts = [f"<h2 id='{result['id']}'>{html.escape(result['id'])}: {html.escape(result['title'])}</h2>"]
    if result["load"]:
        parts.append(f"<p><code>{html.escape(result['load'])}</code></p>")
    parts += [f"<p class=note>{html.escape(note)}</p>" for note in result["notes"]]
    if result["points"]:
        parts.append(latency_plot(result) if result["id"] == "latency" else cost_plot(result))
        parts.append(points_table(result))
    elif result["runs"]:
        parts.append(cells(RUN_HEADER, run_rows(result["runs"]), RUN_RIGHT))
    if result["figures"]:
        parts.append(cells(["figure", "what", "wanted", "reached", "spread", "rounds", "verdict"], figure_rows(result["figures"]), (2, 3, 5),
                           verdict_class))
    if result["titles"]:
        listed = ", ".join(f"<b>{html.escape(name)}</b>: {html.escape(title)}" for name, title in result["titles"].items())
        parts.append(f"<p class=note>{listed}</p>")
    return "\n".join(parts)


def page(report):
    goals = goals_of(report)
    met = sum(figure["met"] is True for figure in goals)
    parts = ["<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
             f"<title>Usher: benchmark report, {report['facts']['commit']}</title><style>{STYLE}</style>",
             "<h1>Usher: benchmark report</h1>", f"<p class=note>{html.escape(facts_text(report['facts'])).replace(chr(10), '<br>')}</p>"]
    parts += [f"<p class=missed>{html.escape(note)}</p>" for note in report["warnings"]]
    if report["interrupted"]:
        parts.append("<p class=missed>Interrupted: this is what there was.</p>")
    if report["skipped"]:
        parts.append(f"<p class=note>Not measured: {html.escape('; '.join(report['skipped']))}</p>")
    parts += [EXPLANATION, f"<h2>Goals: {met} of {len(goals)} met</h2>", plots.goals_plot("goals", goals),
              cells(["goal", "what", "wanted", "reached", "spread", "rounds", "verdict"], figure_rows(goals), (2, 3, 5), verdict_class)]
    groups = speed_groups(report)
    if groups:
        parts += ["<h2>Requests per second and server core</h2>", plots.bars_plot("speeds", groups)]
    parts += [result_section(result) for result in report["results"] if result["runs"] or result["points"] or result["figures"] or result["notes"]]
    if report["peers"]:
        listed = "".join(f"<li>{html.escape(name)}: {html.escape(version)}</li>" for name, version in report["peers"].items())
        parts.append(f"<h2>Versions</h2><ul>{listed}</ul>")
    parts.append(f"<p class=note>{len(goals) + len(others_of(report))} figures; all runs are in report.json.</p></html>")
    return "\n".join(parts)
