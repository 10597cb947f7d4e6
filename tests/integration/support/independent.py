"""A client of Usher, and a node that takes no jobs, that know docs/PROTOCOL.md and nothing else: frames out, frames in, over UDP and TCP.

They share no code with the product or with the test vectors: where the document and the programs disagree, a test on top of this
fails.
"""
import dataclasses
import random
import socket
import struct
import time

REQUEST_ADDRESS, LOCATION_REQUEST, JOB = 0x0001, 0x0002, 0x0003
HEARTBEAT, IDLE_TOKEN = 0x0005, 0x0007
ADDRESS, LOCATION, RESULT, BUSY, HEARTBEAT_ACK, ERROR = 0x8001, 0x8002, 0x8003, 0x8004, 0x8005, 0x80FF
TRAILER_BYTES = 36
DISPATCHER, NO_JOBS = 1, 4
MORE, TRUNCATED, FEEDBACK = 1, 4, 8
HEADER = struct.Struct("!HBBHHIQ")
CODES = {1: "UNSUPPORTED_VERSION", 2: "MALFORMED", 3: "NOT_DISPATCHER", 4: "NO_SERVICE", 5: "NO_NODE", 6: "QUEUE_FULL",
         7: "SERVICE_TIME_EXCEEDED", 8: "WAIT_EXCEEDED", 9: "JOB_FAILED", 10: "SHUTTING_DOWN", 11: "CANCELLED", 12: "DUPLICATE_JOB",
         13: "TOO_LARGE", 16: "NOT_ACCEPTED_HERE"}


def service_id(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def request_id_new():
    return random.getrandbits(64)


def frame(kind, request_id, body=b"", flags=0, major=1, minor=0, magic=0x5553, length=None):
    size = HEADER.size + len(body) if length is None else length
    return HEADER.pack(magic, major, minor, kind, flags, size, request_id) + body


def padded(kind, request_id, body, pad_to, flags=0):
    return frame(kind, request_id, body + bytes(max(0, pad_to - HEADER.size - len(body))), flags)


def compact(address, state=0):
    """"ip:port" as a compact address."""
    ip, port = address.rsplit(":", 1)
    family = socket.AF_INET6 if ip.startswith("[") else socket.AF_INET
    return struct.pack("!BBH", 6 if family == socket.AF_INET6 else 4, state, int(port)) + socket.inet_pton(family, ip.strip("[]"))


def fixed(address):
    ip, port = address.rsplit(":", 1)
    family = socket.AF_INET6 if ip.startswith("[") else socket.AF_INET
    packed = socket.inet_pton(family, ip.strip("[]"))
    return struct.pack("!BBH16s", 6 if family == socket.AF_INET6 else 4, 0, int(port), packed)


def fixed_read(body):
    family, _, port, ip = struct.unpack_from("!BBH16s", body)
    text = socket.inet_ntop(socket.AF_INET if family == 4 else socket.AF_INET6, ip[:4] if family == 4 else ip)
    return f"{text}:{port}" if family == 4 else f"[{text}]:{port}"


def heartbeat(address, boot_id, sequence, kind=DISPATCHER, node_flags=NO_JOBS, pad_to=512):
    """Of a node without services, load and metadata."""
    body = fixed(address) + struct.pack("!BBHQffIIQQBfBBB", kind, node_flags, 1, int(time.time() * 1000), 0, 0, 0, 0, 0, 0, 0, 0,
                                        0, 0, 0)
    body += bytes(max(0, pad_to - HEADER.size - len(body) - TRAILER_BYTES))
    return frame(HEARTBEAT, sequence, body + struct.pack("!IQQ16x", 0, boot_id, sequence))


def compact_read(body, at):
    """(address, state, offset behind it)"""
    family, state, port = struct.unpack_from("!BBH", body, at)
    size = {4: 4, 6: 16}[family]
    ip = socket.inet_ntop(socket.AF_INET if family == 4 else socket.AF_INET6, body[at + 4:at + 4 + size])
    return (f"{ip}:{port}" if family == 4 else f"[{ip}]:{port}"), state, at + 4 + size


def request_address(service, count=1, request_id=None, wait_ms=0, excludes=(), feedback=None, pad_to=44):
    """feedback: (address, outcome, latency_us)"""
    body = struct.pack("!QIBB", service_id(service), wait_ms, count, len(excludes)) + b"".join(map(compact, excludes))
    if feedback:
        body += compact(feedback[0], feedback[1]) + struct.pack("!I", feedback[2])
    return padded(REQUEST_ADDRESS, request_id or request_id_new(), body, pad_to, FEEDBACK if feedback else 0)


def location_request(version=0, request_id=None, pad_to=1232):
    return padded(LOCATION_REQUEST, request_id or request_id_new(), struct.pack("!II", version, 0), pad_to)


def job(service, data=b"", service_time_ms=5000, wait_ms=5000, client_id=None, job_id=None, boot_id=0, request_id=None):
    body = struct.pack("!QQQIIQ", client_id or random.getrandbits(64), job_id or random.getrandbits(64), service_id(service),
                       service_time_ms, wait_ms, boot_id)
    return frame(JOB, request_id or request_id_new(), body + data)


@dataclasses.dataclass
class Frame:
    kind: int
    flags: int
    request_id: int
    size: int
    fields: dict

    def __getattr__(self, name):
        try:
            return self.__dict__["fields"][name]
        except KeyError:
            raise AttributeError(f"{name} in a frame of type {self.kind:#x}: {self.__dict__}") from None


def body_decode(kind, body):
    if kind == ADDRESS:
        boot_id, region, count, _, version = struct.unpack_from("!QHBBI", body)
        entries, at = [], 16
        for _ in range(count):
            address, state, at = compact_read(body, at)
            entries.append((address, state))
        return {"boot_id": boot_id, "region": region, "version": version, "entries": entries, "rest": body[at:]}
    if kind == LOCATION:
        region, own, version, total, count = struct.unpack_from("!HHIHH", body)
        dispatchers, at = [], 12
        for _ in range(count):
            of = struct.unpack_from("!H", body, at)[0]
            address, _, at = compact_read(body, at + 2)
            dispatchers.append((of, address))
        return {"region": region, "own_region": own, "version": version, "total": total, "dispatchers": dispatchers}
    if kind == RESULT:
        job_id, waited_us, ran_us = struct.unpack_from("!QII", body)
        return {"job_id": job_id, "waited_us": waited_us, "ran_us": ran_us, "data": body[16:]}
    if kind == BUSY:
        job_id, retry_after_ms, queued = struct.unpack("!QII", body)
        return {"job_id": job_id, "retry_after_ms": retry_after_ms, "queued": queued}
    if kind == HEARTBEAT_ACK:
        rm_id, _, region, flags, acked = struct.unpack_from("!QQHHQ", body)
        total, count, _, nodes = struct.unpack_from("!HBBI", body, 49)
        dispatchers, at = {}, 57
        for _ in range(count):
            address, _, behind = compact_read(body, at + 8)
            dispatchers[struct.unpack_from("!Q", body, at)[0]] = address
            at = behind
        return {"rm_id": rm_id, "region": region, "ack_flags": flags, "acked": acked, "total": total, "nodes": nodes,
                "dispatchers": dispatchers, "rest": body[at:-TRAILER_BYTES]}
    if kind == IDLE_TOKEN:
        boot_id, sequence = struct.unpack_from("!QQ", body, 24)
        return {"node": fixed_read(body), "boot_id": boot_id, "sequence": sequence}
    if kind == ERROR:
        code, started, length = struct.unpack_from("!HBB", body)
        return {"code": CODES.get(code, code), "started": started, "text": body[4:4 + length].decode("ascii")}
    return {}


def decode(data):
    """One frame at the beginning of data, or None when it is not all there."""
    if len(data) < HEADER.size:
        return None
    magic, major, _, kind, flags, size, request_id = HEADER.unpack_from(data)
    assert magic == 0x5553 and major == 1, f"not a frame of ours: {data[:32].hex()}"
    if len(data) < size:
        return None
    return Frame(kind, flags, request_id, size, body_decode(kind, data[HEADER.size:size]))


def endpoint(address):
    ip, port = address.rsplit(":", 1)
    return ip.strip("[]"), int(port)


def datagram_exchange(address, datagram, answers, limit_s=10):
    """Sends a datagram and returns the frames that come back, until there are `answers` of them or the limit has passed."""
    ip, port = endpoint(address)
    frames = []
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect((ip, port))
        udp.send(datagram)
        end = time.monotonic() + limit_s
        while len(frames) < answers and (left := end - time.monotonic()) > 0:
            udp.settimeout(left)
            try:
                data = udp.recv(65536)
            except TimeoutError:
                break
            assert len(data) <= 1232, f"a datagram of {len(data)} bytes"
            while data:
                got = decode(data)
                assert got, f"a datagram ends within a frame: {data.hex()}"
                frames.append(got)
                data = data[got.size:]
    return frames


class Stream:
    """A TCP connection that sends bytes and receives frames."""

    def __init__(self, address, limit_s=30):
        self.socket = socket.create_connection(endpoint(address), timeout=limit_s)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next frame, or None at the end of the stream."""
        while (got := decode(self.buffer)) is None:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.buffer += data
        self.buffer = self.buffer[got.size:]
        return got

    def ask(self, request):
        self.send(request)
        return self.receive()

    def run(self, request):
        """Sends a JOB; (last frame, all data of its parts)."""
        got, data = self.ask(request), b""
        while got and got.kind == RESULT:
            data += got.data
            if not got.flags & MORE:
                break
            got = self.receive()
        return got, data
