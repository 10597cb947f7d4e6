"""Plots by gnuplot, as SVG to be put into a page."""

import re
import shutil
import subprocess

from suite.measure import count_text

COLOURS = {"dispatcher": "#1f6fb4", "other build": "#7f3fbf", "gdnsd": "#d1731e", "NSD": "#b8a01c", "Redis": "#c23b3b"}
ECHO_COLOURS = {"udp-uring": "#707880", "udp-recvmmsg": "#a0a8b0", "udp-gso": "#505860", "tcp-uring": "#707880", "tcp-epoll": "#a0a8b0"}
HEADER = """set terminal svg size {width},{height} dynamic font 'sans-serif,13' background '#ffffff'
set border 3 linecolor '#888888'
set tics nomirror textcolor '#333333'
set grid ytics linecolor '#dddddd'
set key outside top left horizontal Left reverse samplen 2
"""


def colour_of(name):
    return COLOURS.get(name) or ECHO_COLOURS.get(name.removeprefix("echo "), "#2f8f5b")


def quoted(text):
    return '"' + re.sub(r'["\\]', "", text) + '"'


def render(script, name, width=860, height=360):
    """The <svg> element, its ids prefixed so that several fit into one page; a reason in words when gnuplot fails."""
    if not shutil.which("gnuplot"):
        return "<p>No plot: gnuplot is missing (tools/deps bench installs it).</p>"
    run = subprocess.run(["gnuplot"], input=HEADER.format(width=width, height=height) + script, capture_output=True, text=True, check=False)
    start = run.stdout.find("<svg")
    if run.returncode != 0 or start < 0:
        return f"<p>No plot: gnuplot says: {run.stderr.strip()[-300:]}</p>"
    svg = run.stdout[start:]
    svg = re.sub(r"""\bid=(["'])""", rf"id=\1{name}-", svg)
    svg = re.sub(r"""(href=["'])#""", rf"\1#{name}-", svg)
    return re.sub(r"url\(#", f"url(#{name}-", svg)


def block(rows):
    return "\n".join(" ".join("NaN" if value is None else str(value) for value in row) for row in rows)


def lines_plot(name, series, settings, logarithmic_x=False):
    """series: {title: (colour, [(x, y, low, high)])}; low and high draw bars."""
    data, parts = [], []
    for i, (title, (colour, rows)) in enumerate(series.items()):
        rows = [row for row in rows if row[1] is not None]
        if not rows:
            continue
        data.append(f"$d{i} << EOD\n{block(rows)}\nEOD")
        parts.append(f"$d{i} using 1:2 with linespoints linewidth 2 pointtype 7 pointsize 0.5 linecolor '{colour}' title {quoted(title)}")
        if len(rows[0]) == 4:
            parts.append(f"$d{i} using 1:3:(0):($4-$3) with vectors nohead linewidth 5 linecolor '{colour}' notitle")
    if not parts:
        return "<p>No plot: no run counted.</p>"
    if logarithmic_x:
        xs = [row[0] for _, rows in series.values() for row in rows]
        settings += f"set logscale x 10\nset xrange [{min(xs) / 1.5}:{max(xs) * 1.5}]\n"
    return render("\n".join([*data, settings, "plot " + ", ".join(parts)]), name)


def goal_shares(figure):
    """Each round as a share of what is wanted. None where that cannot be said: nothing is wanted, or nothing was used."""
    if not figure["goal"]:
        return []
    return [v / figure["goal"] if figure["sense"] == ">=" else figure["goal"] / v for v in figure["values"] if v]


def goals_plot(name, figures):
    """A row for each goal that is a ratio: its rounds as points, as a share of what is wanted, so that 1 is the goal."""
    figures = [figure for figure in figures if goal_shares(figure)][::-1]
    if not figures:
        return "<p>No plot: no run counted.</p>"
    rows, medians = [], []
    for y, figure in enumerate(figures):
        share = goal_shares(figure)
        rows += [(value, y) for value in share]
        medians.append((sorted(share)[len(share) // 2], y))
    tics = ", ".join(f"{quoted(figure['id'])} {y}" for y, figure in enumerate(figures))
    script = f"""$rounds << EOD
{block(rows)}
EOD
$medians << EOD
{block(medians)}
EOD
set ytics ({tics})
set yrange [-0.6:{len(figures) - 0.4}]
set logscale x 2
set xrange [{min(0.5, min(row[0] for row in rows) / 1.1):.3f}:{max(2.0, 1.1 * max(row[0] for row in rows)):.3f}]
set grid noytics xtics linecolor '#dddddd'
set arrow from 1, graph 0 to 1, graph 1 nohead linewidth 2 linecolor '#2f8f5b'
set xlabel "reached / wanted, logarithmic (right of the line: met)"
set key off
plot $rounds using 1:2 with points pointtype 6 pointsize 0.6 linecolor '#8fb7da', \
     $medians using 1:2 with points pointtype 7 pointsize 0.9 linecolor '#1f6fb4'
"""
    return render(script, name, height=90 + 30 * len(figures))


def bars_plot(name, groups):
    """groups: [(group's title, [(target, median, low, high)])] of requests per second and core, on a logarithmic axis."""
    rows, tics, y = [], [], 0
    for title, targets in groups:
        for target, median, low, high in targets:
            if median:
                number = quoted(count_text(median).replace(" ", ""))
                rows.append((median / 1000, y, low / 1000, high / 1000, int(colour_of(target)[1:], 16), number))
                tics.append(f"{quoted(f'{title}  {target}')} {y}")
                y += 1
        y += 0.6
    if not rows:
        return "<p>No plot: no run counted.</p>"
    script = f"""$bars << EOD
{block(rows)}
EOD
set logscale x 10
set xrange [{min(row[2] for row in rows) / 2:.4g}:{max(row[3] for row in rows) * 2:.4g}]
set yrange [{y}:-1]
set ytics ({", ".join(tics)})
set grid noytics xtics linecolor '#dddddd'
set xlabel "thousand requests per second and server core (logarithmic; the line is the spread)"
set key off
plot $bars using 1:2:(0.001):1:($2-0.35):($2+0.35):5 with boxxyerror fillstyle solid 0.8 linecolor rgb variable, \
     $bars using 1:2:3:4 with xerrorbars pointtype 0 linecolor '#222222',      $bars using 4:2:6 with labels left offset 0.7,0 textcolor '#333333'
"""
    return render(script, name, height=110 + round(24 * y))
