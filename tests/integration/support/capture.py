"""A packet capture on lo, with nothing of the product's: how many frames went to and from a port."""
import contextlib
import socket
import struct
import threading
import time

from support.cluster import check

MAGIC, FRAME_BYTES_MIN, IDLE_TOKEN = 0x5553, 20, 7
SOL_PACKET, PACKET_STATISTICS = 263, 6  # of linux/if_packet.h
SO_RCVBUFFORCE, BUFFER_BYTES = 33, 64 << 20


class Capture(threading.Thread):
    """The frames to and from a port on lo, counted from the packets themselves, with nothing of the product's."""

    def __init__(self, port):
        super().__init__()
        self.port = port
        self.datagrams = {"to": [], "from": []}
        self.streams = {}  # (direction, other port) → {sequence number: bytes}
        self.done = threading.Event()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        with contextlib.suppress(PermissionError):
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self.socket.bind(("lo", 0))
        self.socket.settimeout(0.1)

    def run(self):
        until = None  # others may use lo too, so that it never falls silent
        while until is None or time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                packet, address = self.socket.recvfrom(1 << 17)
                if address[2] != socket.PACKET_OUTGOING:  # lo shows each packet twice
                    self.take(packet)
            if until is None and self.done.is_set():
                until = time.monotonic() + 0.5

    def take(self, packet):
        head = (packet[0] & 15) * 4
        source, target = struct.unpack_from("!HH", packet, head)
        if self.port not in (source, target):
            return
        direction = "to" if target == self.port else "from"
        if packet[9] == socket.IPPROTO_UDP:
            self.datagrams[direction].append(packet[head + 8:])
        elif packet[9] == socket.IPPROTO_TCP:
            data = packet[head + (packet[head + 12] >> 4) * 4:]
            stream = self.streams.setdefault((direction, source if direction == "to" else target), {})
            if data:
                stream[struct.unpack_from("!I", packet, head + 4)[0]] = data

    def end(self):
        """{direction: frames}"""
        self.done.set()
        self.join()
        _, dropped = struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.socket.close()
        check(dropped == 0, f"the capture lost {dropped} packets")
        seen = {direction: sum(map(frames_in, payloads)) for direction, payloads in self.datagrams.items()}
        for (direction, _), parts in self.streams.items():
            first = min(parts, key=lambda at: sum((at - other) % 2**32 < 2**31 for other in parts), default=0)  # it may wrap
            seen[direction] += frames_in(b"".join(parts[at] for at in sorted(parts, key=lambda at: (at - first) % 2**32)))
        return seen


def frames_in(data):
    """Whole frames, one behind the other: a datagram, a super-datagram that the kernel has not cut up yet, or a stream. Nodes' idle tokens
    are nobody's requests."""
    count = at = 0
    while at < len(data):
        magic, kind, length = struct.unpack_from("!H2xH2xI", data, at)
        check(magic == MAGIC and length >= FRAME_BYTES_MIN, f"no frame at {at} of {data[at:at + 20]}")
        count, at = count + (kind != IDLE_TOKEN), at + length
    return count
