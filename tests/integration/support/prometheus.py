"""Checks a text in Prometheus' exposition format (version 0.0.4): what a scraper or promtool would complain of."""
import re

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def complaints(text):
    """A list of complaints, empty when all is well."""
    found, helps, types, series, finished, current = [], set(), {}, set(), set(), None
    if not text.endswith("\n"):
        found.append("the last line does not end")
    for line in text.splitlines():
        words = line.split(" ", 3)
        if words[:2] in (["#", "HELP"], ["#", "TYPE"]):
            family = words[2]
            seen = helps if words[1] == "HELP" else types
            if family in seen:
                found.append(f"second {words[1]} of {family}")
            helps.add(family) if words[1] == "HELP" else types.update({family: words[3]})
            if words[1] == "TYPE" and words[3] not in ("counter", "gauge", "histogram", "summary", "untyped"):
                found.append(f"unknown type: {line}")
            if family != current:
                finished.add(current)
                current = family
            continue
        match = SAMPLE.match(line)
        if not match:
            found.append(f"not a sample: {line!r}")
            continue
        name, labels, value = match.groups()
        if name != current or name in finished or name not in helps or name not in types:
            found.append(f"not behind the HELP and TYPE of its family: {line}")
        if LABEL.sub("", labels or ""):
            found.append(f"bad labels: {line}")
        if (name, labels) in series:
            found.append(f"twice: {name}{{{labels}}}")
        series.add((name, labels))
        if types.get(name) == "counter" and not name.endswith("_total"):
            found.append(f"a counter whose name does not end in _total: {name}")
        try:
            float(value)
        except ValueError:
            found.append(f"not a number: {line}")
    return found
