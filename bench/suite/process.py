"""Processes that are pinned to CPUs, and that never outlive the suite: not after an error, not after Ctrl-C, not after kill -9."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from suite.machine import Trouble

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
START_LIMIT_S = 30
STOP_LIMIT_S = 3


def pinned(cpus):
    """For preexec_fn. SIGTERM when the suite dies, so that a server that has children can take them along."""

    def prepare():
        os.sched_setaffinity(0, cpus)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return prepare


def children_of(pid):
    """The process and all that it started, and these."""
    pids = [pid]
    for parent in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{parent}/task"):
                pids += [int(child) for child in pathlib.Path(f"/proc/{parent}/task/{task}/children").read_text().split()]
    return pids


def cpu_ns(pid):
    """What all threads of a process have used."""
    total = 0
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                total += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total


class Stage:
    """Where servers stand: a folder, and everything that was started. Used as `with Stage(cpus) as stage`."""

    def __init__(self, cpus):
        self.cpus = cpus
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="usher-bench-"))
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A second Ctrl-C, or the end of the time, must not leave half of them running.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        signal.signal(signal.SIGINT, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)

    def start(self, name, command, cpus=None, environment=None):
        process = Process(self, name, [str(word) for word in command], cpus or {self.cpus.server}, environment)
        self.processes.append(process)
        return process


class Process:
    def __init__(self, stage, name, command, cpus, environment):
        self.name = name
        self.log_path = stage.folder / f"{name}-{len(stage.processes)}.log"
        self.command = command
        with open(self.log_path, "wb") as log:
            try:
                self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                              preexec_fn=pinned(cpus), env={**os.environ, **(environment or {})})
            except OSError as error:
                raise Trouble(f"cannot start {command[0]} ({error.strerror}): run tools/deps bench, or build it") from None
        self.pid = self.popen.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_until(self, what, condition):
        """Polls: starting up is not measured."""
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            if self.popen.poll() is not None:
                raise Trouble(f"{self.name} ended at once with {self.popen.returncode}: {self.log()[-600:].strip() or 'it said nothing'}")
            result = condition()
            if result:
                return result
            if time.monotonic() > deadline:
                raise Trouble(f"{self.name}: not {what} within {START_LIMIT_S} s: {self.log()[-600:].strip()}")
            time.sleep(0.02)

    def signal_all(self, number):
        for pid in children_of(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self):
        """SIGTERM twice: the second one cuts a daemon's drain short. What is left after that is killed."""
        if self.popen.poll() is not None:
            return
        family = children_of(self.pid)
        self.signal_all(signal.SIGCONT)
        for _ in range(2):
            self.popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(STOP_LIMIT_S)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                if pid == self.pid and self.popen.returncode is None or os.path.exists(f"/proc/{pid}") and pid != self.pid:
                    os.kill(pid, signal.SIGKILL)
        self.popen.wait()
