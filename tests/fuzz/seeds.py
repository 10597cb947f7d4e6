#!/usr/bin/env python3
"""tests/fuzz/seeds.py - makes the seeds of the wire's fuzz targets from tests/vectors.

Usage: tests/fuzz/seeds.py [--check]

Writes tests/fuzz/corpus/fuzz_frame/ and fuzz_stream/: one file for each vector, and for streams all valid ones together, cut
at several lengths. --check writes nothing and exits with 1 when a file is missing or differs. What a fuzzer found is added
under another name and stays. Python's standard library only.
"""

import pathlib
import sys

FUZZ = pathlib.Path(__file__).resolve().parent
VECTORS = FUZZ.parent / "vectors"


def vector_bytes(path):
    lines = path.read_text().splitlines()
    return bytes.fromhex("".join(line.split("#")[0] for line in lines))


def seeds():
    stream = b""
    for path in sorted(VECTORS.glob("*.hex")):
        content = vector_bytes(path)
        yield "fuzz_frame/vector_" + path.stem, content
        if not path.stem.startswith("invalid_"):
            stream += content if "transport=tcp" in path.with_suffix(".fields").read_text() else b""
    for seed in (1, 2, 3, 8):
        yield f"fuzz_stream/vectors_{seed}", bytes([seed]) + stream
    yield "fuzz_stream/cut", b"\x02" + stream[:-1]
    yield "fuzz_stream/stranger", b"\x01" + vector_bytes(VECTORS / "invalid_http.hex")
    yield "fuzz_stream/refused_in_the_middle", b"\x01" + stream[:200] + b"\xff" + stream[201:]


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit("usage: tests/fuzz/seeds.py [--check]")
    stale = 0
    for name, content in seeds():
        path = FUZZ / "corpus" / name
        if path.exists() and path.read_bytes() == content:
            continue
        if check:
            print(f"tests/fuzz/corpus/{name} is not what tests/vectors give: run tests/fuzz/seeds.py")
            stale += 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
