"""The knee: the highest rate of an open loop at which a percentile of the latency stays below a bound.

A virtual machine loses its CPUs for milliseconds now and then, which no server can do anything about, and which fills the last percent of
any run that it meets. So a rate is judged by several short runs: it is below the knee when the percentile of the median run is below the
bound. What a run shows that usher-load calls VOID is not the server's doing: it does not count, and is repeated, so often and no oftener.
A rate of which too few runs count is not known to be below the knee, so it does not count as such. Nothing is left out of the report: how
many runs each rate had, how many of them were VOID, and that no knee was found, if so.

Pure: the runs are made by whoever searches."""

import dataclasses
import statistics

LOST_MOST = 0.001  # of a run's requests: with more it is above the knee, whatever its percentile


@dataclasses.dataclass
class Step:
    """What was found of one rate. below: None: not known, too few runs counted."""

    rate: float
    below: bool | None
    values: list  # the percentile of each run that counted
    lost: float  # share of the requests of these
    void: int

    def runs(self):
        return len(self.values) + self.void

    def median(self):
        return statistics.median(self.values) if self.values else None


@dataclasses.dataclass
class Knee:
    """rate: 0 when no rate was found to be below it."""

    rate: float
    steps: list

    def runs(self):
        return sum(step.runs() for step in self.steps)

    def void(self):
        return sum(step.void for step in self.steps)

    def lowest(self):
        """The last word on why there is none, or the end of it: of the rates above it, the lowest."""
        return min((step for step in self.steps if step.rate > self.rate), key=lambda step: step.rate, default=None)


class Search:
    """run(rate) makes a run: an object with p99, sent, lost, valid. `wanted` runs decide, of which a majority may do so early; at most
    `most` are made of a rate."""

    def __init__(self, run, bound_us, wanted, most):
        self.run = run
        self.bound_us = bound_us
        self.wanted = wanted
        self.most = most

    def step(self, rate):
        counted, void = [], 0
        while True:
            good = sum(self.is_good(one) for one in counted)
            majority = self.wanted // 2 + 1
            if good >= majority or len(counted) - good >= majority:
                below = good >= majority
                break
            if len(counted) + void == self.most:
                below = None
                break
            one = self.run(rate)
            if one.valid:
                counted.append(one)
            else:
                void += 1
        lost = sum(one.lost for one in counted) / max(1, sum(one.sent for one in counted))
        return Step(rate, below, [one.p99 for one in counted], lost, void)

    def is_good(self, one):
        return one.p99 < self.bound_us and one.lost <= LOST_MOST * one.sent

    def find(self, first, limit, steps, say=lambda step: None):
        """Bisection between nothing and `limit`, from `first` on."""
        low, high, rate, found = 0, limit, first, []
        for _ in range(steps):
            found.append(self.step(rate))
            say(found[-1])
            low, high = (rate, high) if found[-1].below else (low, rate)
            rate = (low + high) / 2
        return Knee(low, found)
