"""Asks dispatchers all the time, while a test does them harm."""
import threading
import time

from support import independent as wire
from support.cluster import check


class Watch:
    """Asks the given dispatchers for all nodes all the time: lookups must not fail, and nobody may vanish."""

    def __init__(self, cluster, *names):
        self.addresses = [cluster.dispatchers_at[int(name[1])] for name in names or ("d0", "d1")]
        self.asked, self.fewest, self.failures, self.over = 0, 99, [], False
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.over:
            for address in self.addresses:
                frames = wire.datagram_exchange(address, wire.request_address("echo", count=16, pad_to=400), 1, limit_s=5)
                self.asked += 1
                if len(frames) == 1 and frames[0].kind == wire.ADDRESS:
                    self.fewest = min(self.fewest, len(frames[0].entries))
                else:
                    self.failures.append(frames)
            time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()

    def nothing_was_noticed(self, nodes=6):
        check(self.asked > 10 and not self.failures, f"{len(self.failures)} of {self.asked} lookups failed: {self.failures[:3]}")
        check(self.fewest == nodes, f"only {self.fewest} of {nodes} nodes were in the list at times")
