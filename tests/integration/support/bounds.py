"""Times that the product promises, measured on a machine whose host may take its CPUs away.

A thread per CPU sleeps a little again and again and notes by how much it comes too late: for so long nothing ran there. A bound is kept
when it is kept without these times, whichever CPU they were on: a chain of messages can be held up by each.
"""
import contextlib
import os
import threading
import time

from support.cluster import SANITIZED, check

SLEEP_S = 0.005
LATE_S = 0.02  # less than that is the scheduler's business, and the product's
MEASURING_S = 0.1  # what looking costs: programs are started for it

STALLS = []  # when one ended, how long it was


def watch(cpu):
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {cpu})  # of this thread alone
    while True:
        begin = time.monotonic()
        time.sleep(SLEEP_S)
        late_s = time.monotonic() - begin - SLEEP_S
        if late_s > LATE_S:
            STALLS.append((time.monotonic(), late_s))


for number in os.sched_getaffinity(0):
    threading.Thread(target=watch, args=(number,), daemon=True).start()


def stalled_s(since):
    """For how long the machine, or one of its CPUs, stood still since then, a time of time.monotonic()."""
    total, until = 0, since
    for ended, late_s in sorted(list(STALLS), key=lambda stall: stall[0] - stall[1]):
        total += max(0, ended - max(until, ended - late_s))
        until = max(until, ended)
    return total


def bounded(took_s, bound_s, what, since=None):
    """Checks what has just ended, or began at `since`. Builds with sanitizers are too slow to be measured."""
    stalls_s = stalled_s(time.monotonic() - took_s if since is None else since)
    print(f"     {what}: {took_s:.2f} s, the machine stood still for {stalls_s:.2f} s of that", flush=True)
    check(SANITIZED or took_s <= bound_s + MEASURING_S + stalls_s, f"{what} took {took_s:.2f} s, promised are {bound_s} s")
