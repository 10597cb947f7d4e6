"""A node that knows docs/PROTOCOL.md alone, does its jobs honestly, and lies in everything it says of itself: nothing to do, jobs that take no
time, a huge machine, any number of jobs received, always idle; and as many slots as it is told to claim."""

import contextlib
import random
import select
import socket
import struct
import threading
import time

from support import independent

REGISTER = 0x0004
WORKER = 2
NO_TIME = 1e9  # jobs a second that it claims to do
TOKEN_EVERY_S = 0.012
HEARTBEAT_EVERY_S = 0.1


class Liar:
    def __init__(self, rm, slots=2, claimed=None, service="sleep"):
        self.rm = independent.endpoint(rm)
        self.claimed = claimed or slots
        self.service = service
        self.boot_id = random.getrandbits(63) | 1
        self.sequence = 0
        self.free = threading.Semaphore(slots)
        self.done = threading.Event()
        self.jobs = 0
        self.dispatchers = {}  # boot ID → address
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.settimeout(0.1)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.threads = [threading.Thread(target=self.tell), threading.Thread(target=self.serve)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()
        self.listener.close()
        self.udp.close()

    # ---- what it says ----

    def control(self, kind, body, pad_to=0):
        self.sequence += 1
        body += bytes(max(0, pad_to - independent.HEADER.size - len(body) - independent.TRAILER_BYTES))
        return independent.frame(kind, self.sequence, body + struct.pack("!IQQ16x", 0, self.boot_id, self.sequence))

    def register(self):
        name = self.service.encode()
        body = struct.pack("!BBHBB", WORKER, 0, self.claimed, 1, len(name)) + name
        return self.control(REGISTER, independent.fixed(self.address) + body, 512)

    def heartbeat(self):
        metadata = {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 1024.0, 6: 65536.0}
        body = struct.pack("!BBHQffII", WORKER, 0, self.claimed, int(time.time() * 1000), 0, 0, 0, 0) + struct.pack("!QQBf", 0, 0, 0, 0)
        body += struct.pack("!BBB", 1, len(self.dispatchers), len(metadata)) + struct.pack("!Qff", independent.service_id(self.service), 0, NO_TIME)
        body += b"".join(struct.pack("!QI", boot_id, random.getrandbits(32)) for boot_id in self.dispatchers)
        body += b"".join(struct.pack("!Bf", key, value) for key, value in metadata.items())
        return self.control(independent.HEARTBEAT, independent.fixed(self.address) + body, 512)

    def tell(self):
        beat = token = time.monotonic()
        self.udp.sendto(self.register(), self.rm)
        while not self.done.is_set():
            now = time.monotonic()
            if now >= beat:
                beat = now + HEARTBEAT_EVERY_S
                self.udp.sendto(self.heartbeat(), self.rm)
            if now >= token:
                token = now + TOKEN_EVERY_S
                for dispatcher in self.dispatchers.values():
                    self.udp.sendto(self.control(independent.IDLE_TOKEN, independent.fixed(self.address)), independent.endpoint(dispatcher))
            if select.select([self.udp], [], [], 0.004)[0]:
                with contextlib.suppress(OSError):
                    answer = independent.decode(self.udp.recv(2048))
                    if answer and answer.kind == independent.HEARTBEAT_ACK:
                        self.dispatchers = answer.dispatchers
                        if answer.ack_flags & 1:
                            self.udp.sendto(self.register(), self.rm)

    # ---- what it does ----

    def serve(self):
        while not self.done.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self.listener.accept()
                threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        data, lock = b"", threading.Lock()
        connection.settimeout(0.2)
        with connection:
            while not self.done.is_set():
                try:
                    got = connection.recv(65536)
                except TimeoutError:
                    continue
                except OSError:
                    return
                if not got:
                    return
                data += got
                while len(data) >= independent.HEADER.size:
                    size, request_id = struct.unpack_from("!IQ", data, 8)
                    if len(data) < size:
                        break
                    job_id, duration = struct.unpack_from("!Q", data, 28)[0], data[60:size].decode()
                    data = data[size:]
                    self.jobs += 1
                    threading.Thread(target=self.job, args=(connection, lock, request_id, job_id, duration), daemon=True).start()

    def job(self, connection, lock, request_id, job_id, duration):
        with self.free:
            time.sleep(float(duration.removesuffix("us")) / 1e6)
        with lock, contextlib.suppress(OSError):
            connection.sendall(independent.frame(independent.RESULT, request_id, struct.pack("!QII", job_id, 0, 0)))
