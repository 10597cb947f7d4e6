"""bench/micro: builds the release and runs bench-micro on the CPUs that bench/run gives it, so that both print the same figures."""

import argparse
import os
import subprocess
import sys

from suite import machine, servers
from suite.arguments import existing_folder
from suite.machine import Trouble, alone
from suite.run import binaries_prepare


def arguments_read():
    parser = argparse.ArgumentParser(
        prog="bench/micro", allow_abbrev=False, usage="%(prog)s [-h] [--bin DIR] [--only GROUP,…] [--quick] [--rounds N] [--json]",
        description="Builds the release and measures the parts of the address path, each by itself: queues next to ck_ring, picks, codec, all of "
        "them in a row, histogram, snapshots. Every option but these two is bench-micro's, whose --help tells more.")
    parser.add_argument("--bin", type=existing_folder, metavar="DIR", help="run the bench-micro of this folder; build nothing")
    return parser.parse_known_args()


def main():
    arguments, options = arguments_read()
    try:
        cpus = machine.Cpus()
        binaries = binaries_prepare(arguments, ["bench-micro"])
        if cpus.note:
            print(f"bench/micro: {cpus.note}", file=sys.stderr)
        with alone():
            return subprocess.run([servers.program(binaries, "bench-micro"), *options], check=False,
                                  preexec_fn=lambda: os.sched_setaffinity(0, {cpus.server, cpus.load})).returncode
    except Trouble as trouble:
        print(f"bench/micro: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
