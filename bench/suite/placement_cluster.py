"""A region of real processes to measure placement in: usher-rm with its Redis, dispatchers that take no jobs, workers of unequal speed
whose jobs sleep; and usher-load run, which begins jobs when they are planned."""

import json
import subprocess

from suite.machine import address_free
from suite.servers import program

OWN, PUSH = "own mode", "pushed"
# In its own mode a policy has regular heartbeats and pulls, and nothing else: no idle tokens, nothing out of turn.
NODE_OPTIONS = {OWN: ["--heartbeat", "1s", "--freshness-budget", "0", "--extra-heartbeats", "0"], PUSH: ["--heartbeat", "1s"]}
DISPATCHER_OPTIONS = {OWN: ["--no-push", "--refresh", "1s"], PUSH: []}
REPLY_TIMEOUT = "60s"  # a job that waits for long is slow, not lost
IDLE_TOKENS = "usher_idle_tokens_sent_total"
OUT_OF_TURN = "usher_heartbeats_extra_total"


class Settings:
    """What is the same for all policies."""

    def __init__(self, arguments):
        quick = arguments.quick
        self.dispatchers = arguments.dispatchers or 2
        self.workers = arguments.workers or (4 if quick else 12)
        self.slots = arguments.slots
        self.factors = arguments.sleep_factor
        self.mean_ms = arguments.mean or (20 if quick else 100)
        self.load = arguments.load
        self.duration_s = arguments.duration or (2 if quick else 60)
        self.warmup_s = 1 if quick else 5
        self.rounds = arguments.rounds
        self.seed = arguments.seed

    def factor(self, worker):
        return self.factors[worker % len(self.factors)]

    def rate(self):
        """Jobs a second at the wanted load: every slot of a worker does one in mean × factor."""
        capacity = sum(self.slots / (self.mean_ms / 1000 * self.factor(worker)) for worker in range(self.workers))
        return self.load * capacity

    def as_json(self):
        return {**vars(self), "rate": self.rate()}


class Cluster:
    """rm, dispatchers, workers, all of which know each other when this returns."""

    def __init__(self, stage, binaries, settings, policy, mode):
        self.binaries = binaries
        self.everywhere = set(stage.cpus.allowed)
        self.stage = stage
        self.rm = rm = address_free()
        self.start("usher-rm", rm)
        self.dispatchers = [address_free() for _ in range(settings.dispatchers)]
        sockets = [self.start("usher-dispatcher", address, "--rm", rm, "--policy", policy, "--no-jobs", "--threads", "1",
                              *NODE_OPTIONS[mode], *DISPATCHER_OPTIONS[mode]) for address in self.dispatchers]
        self.dispatcher_sockets = [path for _, path in sockets]
        self.workers = {}  # address → admin socket
        for number in range(settings.workers):
            address = address_free()
            _, self.workers[address] = self.start("usher-worker", address, "--rm", rm, "--services", "sleep", "--slots", settings.slots,
                                                  "--queue", "100000", "--sleep-factor", settings.factor(number), *NODE_OPTIONS[mode])
        for process, path in sockets:
            process.wait_until(f"aware of {settings.workers} workers", lambda path=path: self.knows(path, settings.workers))

    def start(self, name, address, *options):
        path = self.stage.folder / f"{address.split(':')[1]}.sock"
        process = self.stage.start(name, [program(self.binaries, name), "--listen", address, "--admin", path, "--state-dir",
                                          self.stage.folder / f"{name}-{address.split(':')[1]}", "--drain-accept", "0s", *options],
                                   self.everywhere)
        return process, path

    def control(self, path, *words):
        """What a daemon answers to usherctl, or None."""
        run = subprocess.run([program(self.binaries, "usherctl"), "-s", path, *words, "--json"], capture_output=True, text=True, check=False)
        return json.loads(run.stdout) if run.returncode == 0 else None

    def knows(self, path, nodes):
        answer = self.control(path, "nodes", "sleep")
        return answer is not None and len(answer["nodes"]) == nodes

    def told(self):
        """What all workers have said beside their regular heartbeats."""
        totals = {IDLE_TOKENS: 0, OUT_OF_TURN: 0}
        for path in self.workers.values():
            for key, value in self.control(path, "stats")["stats"].items():
                name = key.split("{")[0]
                if name in totals:
                    totals[name] += int(value)
        return {"idle_tokens": totals[IDLE_TOKENS], "heartbeats_out_of_turn": totals[OUT_OF_TURN]}


def load_command(cluster, settings, duration_s, warmup_s, seed, *options, reply_timeout=REPLY_TIMEOUT):
    """The load that is the same for all: jobs of an exponential time, planned as a Poisson process."""
    return [program(cluster.binaries, "usher-load"), "run", "--dispatcher", ",".join(cluster.dispatchers), "--service", "sleep",
            "--service-time", f"exp:{settings.mean_ms:g}ms", "--rate", f"{settings.rate():.3f}", "--arrivals", "poisson", "--duration",
            f"{round(duration_s * 1000)}ms", "--warmup", f"{warmup_s}s", "--reply-timeout", reply_timeout, "--seed", seed, "--json", *options]
