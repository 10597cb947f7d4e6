#!/usr/bin/env python3
"""The vectors decode by docs/PROTOCOL.md alone (tests/vectors/check.py), and the fuzz targets' seeds are those of the vectors."""

import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent

COMMANDS = (
    (TESTS / "vectors" / "check.py",),
    (TESTS / "fuzz" / "seeds.py", "--check"),
)

if __name__ == "__main__":
    failed = [command for command in COMMANDS if subprocess.run([sys.executable, *command], check=False).returncode != 0]
    for command in failed:
        print("failed:", *command)
    sys.exit(1 if failed else 0)
