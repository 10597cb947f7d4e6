#!/usr/bin/env python3
"""tests/vectors/check.py - decodes the test vectors by docs/PROTOCOL.md alone, sharing nothing with core/wire.

Usage: tests/vectors/check.py [FOLDER]

Reads every NAME.hex of the folder (default: where this script lies), decodes it, and compares what comes out with NAME.fields.
Prints one line per difference; exits with 1 when there is any. It is also an example of a decoder in another language: copy
from it what you need. Python's standard library only.
"""

import ipaddress
import math
import pathlib
import struct
import sys

MAGIC, MAJOR, MINOR = 0x5553, 1, 0
HEADER_BYTES, TRAILER_BYTES, DATAGRAM_BYTES_MAX = 20, 36, 1232
FRAME_BYTES_MAX = (1 << 20) + (64 << 10)
FLAGS = (("MORE", 1), ("FIRST", 2), ("TRUNCATED", 4), ("FEEDBACK", 8), ("PUSH", 16))
MORE, FIRST, TRUNCATED, FEEDBACK, PUSH = (value for _, value in FLAGS)


class Refused(Exception):
    """The reason is the name that PROTOCOL.md's readers find in usher_malformed_total."""


class Body:
    """The rest of a message, read from its beginning; what is read with a key becomes a field."""

    def __init__(self, data, newer):
        self.data = data
        self.newer = newer
        self.section = "short_fields"  # what running out of bytes means
        self.prefix = ""
        self.fields = []

    def field(self, key, value):
        if key:
            self.fields.append((self.prefix + key, str(value)))

    def take(self, length):
        if len(self.data) < length:
            raise Refused(self.section)
        taken, self.data = self.data[:length], self.data[length:]
        return taken

    def number(self, length, key=None):
        value = int.from_bytes(self.take(length), "big")
        self.field(key, value)
        return value

    def identity(self, key):
        value = int.from_bytes(self.take(8), "big")
        self.field(key, f"0x{value:016x}")
        return value

    def boot_id(self, key="boot_id"):
        self.identity(key)
        if int(self.fields[-1][1], 16) == 0:
            raise Refused("bad_value")

    def f32(self, key):
        bits = self.take(4)
        value = struct.unpack(">f", bits)[0]
        if bits[0] & 0x80 or not math.isfinite(value):
            raise Refused("bad_float")
        self.field(key, f"{value:.9g}")

    def reserved(self, length):
        if any(self.take(length)) and not self.newer:
            raise Refused("reserved")

    def bits(self, length, known, key, refusal="bad_bits"):
        value = int.from_bytes(self.take(length), "big")
        if value & ~known and not self.newer:
            raise Refused(refusal)
        self.field(key, value & known)

    def count(self, length, limit, key, least=0):
        value = self.number(length, key)
        if not least <= value <= limit:
            raise Refused("bad_count")
        return value

    def fixed(self, key):
        family, = self.take(1)
        self.reserved(1)
        port, ip = self.number(2), self.take(16)
        if family not in (4, 6):
            raise Refused("bad_family")
        if family == 4 and any(ip[4:]):
            raise Refused("bad_address")
        self.address(key, family, port, ip[:4] if family == 4 else ip)

    def compact(self, key, state_key=None, states=0):
        family, state = self.take(2)
        port = self.number(2)
        if family not in (4, 6):
            raise Refused("bad_family")
        self.address(key, family, port, self.take(4 if family == 4 else 16))
        if state & ~states and not self.newer:
            raise Refused("bad_state")
        if state_key:
            self.field(state_key, state & states)

    def address(self, key, family, port, ip):
        if port == 0 or not any(ip):
            raise Refused("bad_address")
        text = str(ipaddress.ip_address(ip))
        self.field(key, f"{text}:{port}" if family == 4 else f"[{text}]:{port}")

    def end(self, padding=False):
        if self.data and not self.newer:
            if not padding:
                raise Refused("trailing")
            if any(self.data):
                raise Refused("padding")


def version(body, prefix):
    body.prefix = prefix
    body.identity("rm_id")
    body.number(8, "epoch")
    body.number(8, "sequence")
    body.prefix = ""


def admin(body):
    body.number(8, "admin.version_ms")
    body.identity("admin.writer_rm_id")
    body.bits(1, 3, "admin.flags")
    body.f32("admin.weight")


def kind(body):
    if body.number(1, "kind") not in (1, 2):
        raise Refused("bad_kind")


def request_address(body, flags):
    body.identity("service_id")
    body.number(4, "wait_ms")
    count, excludes = body.number(1, "count"), body.number(1, "exclude_count")
    if not 1 <= count <= 16 or excludes > 16:
        raise Refused("bad_count")
    body.section = "short_excludes"
    for i in range(excludes):
        body.compact(f"excludes.{i}")
    if flags & FEEDBACK:
        body.section = "short_feedback"
        body.compact("feedback.node", "feedback.outcome", 3)
        if body.fields[-1][1] == "3":
            raise Refused("bad_state")
        body.number(4, "feedback.latency_us")
    body.end(padding=True)


def address(body, flags):
    body.boot_id()
    body.number(2, "region")
    count = body.number(1, "count")
    body.reserved(1)
    body.number(4, "regions_version")
    if count > 16 or (count == 0 and not flags & TRUNCATED):
        raise Refused("bad_count")
    body.section = "short_addresses"
    for i in range(count):
        body.compact(f"entries.{i}.address", f"entries.{i}.state", 7)
    body.end()


def location_request(body, _flags):
    body.number(4, "regions_version")
    body.reserved(4)
    body.end(padding=True)


def region_dispatchers(body, count):
    body.section = "short_dispatchers"
    for i in range(count):
        body.number(2, f"dispatchers.{i}.region")
        body.compact(f"dispatchers.{i}.address")


def location(body, flags):
    body.number(2, "region")
    body.number(2, "own_region")
    body.number(4, "regions_version")
    total = body.number(2, "dispatcher_total")
    count = body.number(2, "dispatcher_count")
    if total > 1024 or count > total or (count < total) != bool(flags & TRUNCATED):
        raise Refused("bad_count")
    region_dispatchers(body, count)
    body.end()


def job(body, _flags):
    body.identity("client_id")
    body.identity("job_id")
    body.identity("service_id")
    service_time_ms = body.number(4, "service_time_ms")
    body.number(4, "wait_ms")
    body.identity("dispatcher_boot_id")
    body.field("data", body.take(len(body.data)).hex())
    if service_time_ms == 0:
        raise Refused("bad_value")


def result(body, _flags):
    body.identity("job_id")
    body.number(4, "waited_us")
    body.number(4, "ran_us")
    body.field("data", body.take(len(body.data)).hex())


def busy(body, _flags):
    body.identity("job_id")
    body.number(4, "retry_after_ms")
    body.number(4, "queued")
    body.end()


def error(body, _flags):
    code = body.number(2, "code")
    started = body.number(1, "started")
    length = body.number(1, "text_length")
    body.section = "short_text"
    text = body.take(length)
    if code == 0 or started > 1:
        raise Refused("bad_value")
    if any(not 0x20 <= byte <= 0x7e for byte in text):
        raise Refused("bad_text")
    body.field("text", text.decode("ascii"))
    body.end()


def register(body, _flags):
    body.fixed("node")
    kind(body)
    body.bits(1, 7, "node_flags")
    body.number(2, "slots")
    count = body.count(1, 16, "service_count")
    body.section = "short_names"
    for i in range(count):
        name = body.take(body.number(1))
        if not 1 <= len(name) <= 63 or any(not (chr(c).isalnum() and c < 128) and c not in b"._-" for c in name):
            raise Refused("bad_name")
        body.field(f"services.{i}", name.decode("ascii"))
    body.end(padding=True)


def heartbeat(body, _flags):
    body.fixed("node")
    kind(body)
    body.bits(1, 7, "node_flags")
    body.number(2, "slots")
    body.number(8, "timestamp_ms")
    body.f32("load_index")
    body.f32("load_per_job")
    body.number(4, "jobs_queued")
    body.number(4, "jobs_running")
    admin(body)
    services = body.count(1, 16, "service_count")
    echoes = body.count(1, 63, "echo_count")
    metadata = body.count(1, 17, "metadata_count")
    body.section = "short_services"
    for i in range(services):
        body.identity(f"services.{i}.service_id")
        body.f32(f"services.{i}.work_s")
        body.f32(f"services.{i}.rate")
    body.section = "short_echoes"
    for i in range(echoes):
        body.identity(f"echoes.{i}.dispatcher_boot_id")
        body.number(4, f"echoes.{i}.jobs")
    body.section = "short_metadata"
    for i in range(metadata):
        body.number(1, f"metadata.{i}.key")
        body.f32(f"metadata.{i}.value")
    body.end(padding=True)


def heartbeat_ack(body, _flags):
    body.identity("rm_id")
    body.identity("nonce")
    body.number(2, "region")
    body.bits(2, 1, "flags")
    body.number(8, "acked_sequence")
    admin(body)
    total = body.number(2, "dispatcher_total")
    count = body.count(1, min(69, total), "dispatcher_count")
    body.reserved(1)
    body.number(4, "node_total")
    body.section = "short_dispatchers"
    for i in range(count):
        body.prefix = f"dispatchers.{i}."
        body.boot_id()
        body.compact("address")
    body.prefix = ""
    body.end()


def idle_token(body, _flags):
    body.fixed("node")
    body.end()


def subscribe(body, _flags):
    body.fixed("subscriber")
    body.boot_id()
    body.number(2, "region")
    body.reserved(2)
    version(body, "have.")
    body.number(4, "regions_version")
    body.end()


def nodes(body, count):
    body.section = "short_nodes"
    for i in range(count):
        body.prefix = f"nodes.{i}."
        body.fixed("address")
        kind(body)
        body.bits(1, 31, "flags")
        body.number(2, "slots")
        body.identity("boot_id")
        body.number(4, "age_ms")
        body.f32("load_index")
        body.f32("load_per_job")
        body.number(4, "jobs_queued")
        body.number(4, "jobs_running")
        body.number(4, "echo_jobs")
        for j in range(body.count(1, 16, "service_count")):
            body.prefix = f"nodes.{i}.services.{j}."
            body.identity("service_id")
            body.bits(1, 1, "flags")
            body.f32("work_s")
            body.f32("rate")
            body.f32("weight")
    body.end()


def directory(body, _flags):
    version(body, "version.")
    total = body.number(4, "node_total")
    nodes(body, body.count(4, total, "node_count"))


def delta(body, _flags):
    body.identity("rm_id")
    body.number(8, "epoch")
    base = body.number(8, "base_sequence")
    sequence = body.number(8, "sequence")
    removed = body.number(4, "removed_count")
    count = body.number(4, "node_count")
    if sequence < base or (sequence == base and removed + count > 0):
        raise Refused("bad_sequence")
    body.section = "short_removed"
    for i in range(removed):
        body.fixed(f"removed.{i}")
    nodes(body, count)


def region_table(body, _flags):
    body.number(4, "version")
    dispatchers = body.count(2, 1024, "dispatcher_count")
    ranges = body.count(2, 32768, "range_count")
    region_dispatchers(body, dispatchers)
    body.section = "short_ranges"
    for i in range(ranges):
        body.number(2, f"ranges.{i}.region")
        prefix_bits = body.number(1)
        body.reserved(1)
        family, = body.take(1)
        body.reserved(1)
        port, ip = body.number(2), body.take(16)
        if family not in (4, 6):
            raise Refused("bad_family")
        if family == 4 and any(ip[4:]):
            raise Refused("bad_address")
        try:
            network = ipaddress.ip_network((ip[:4] if family == 4 else ip, prefix_bits))
        except ValueError:
            raise Refused("bad_range") from None
        if port != 0:
            raise Refused("bad_range")
        body.field(f"ranges.{i}.range", network)
    body.end()


# Number: name, transports, flags, longest frame, whether it ends in the trailer, decoder.
BOTH, UDP, TCP = ("udp", "tcp"), ("udp",), ("tcp",)
TYPES = {
    0x0001: ("REQUEST_ADDRESS", BOTH, FEEDBACK, 1232, False, request_address),
    0x0002: ("LOCATION_REQUEST", BOTH, 0, 1232, False, location_request),
    0x0003: ("JOB", TCP, 0, 60 + (1 << 20), False, job),
    0x0004: ("REGISTER", UDP, 0, 1232, True, register),
    0x0005: ("HEARTBEAT", UDP, 0, 1232, True, heartbeat),
    0x0006: ("SUBSCRIBE", TCP, PUSH, 1232, False, subscribe),
    0x0007: ("IDLE_TOKEN", UDP, 0, 1232, True, idle_token),
    0x8001: ("ADDRESS", BOTH, TRUNCATED, 1232, False, address),
    0x8002: ("LOCATION", BOTH, TRUNCATED, 65536, False, location),
    0x8003: ("RESULT", TCP, MORE, 36 + 65536, False, result),
    0x8004: ("BUSY", TCP, 0, 1232, False, busy),
    0x8005: ("HEARTBEAT_ACK", UDP, 0, 1232, True, heartbeat_ack),
    0x8006: ("DIRECTORY", TCP, FIRST | MORE, 65536, False, directory),
    0x8007: ("DELTA", TCP, 0, 65536, False, delta),
    0x8008: ("REGION_TABLE", TCP, 0, FRAME_BYTES_MAX, False, region_table),
    0x80ff: ("ERROR", BOTH, TRUNCATED, 1232, False, error),
}


def trailer_fields(trailer):
    key_id, boot_id, sequence = struct.unpack(">IQQ", trailer[:20])
    if key_id != 0 or any(trailer[20:]):
        raise Refused("unexpected_key")
    if boot_id == 0:
        raise Refused("bad_value")
    return [("trailer.boot_id", f"0x{boot_id:016x}"), ("trailer.sequence", str(sequence))]


def frame(data, transport):
    """Decodes the frame at the beginning of `data`; returns its length and its fields."""
    if len(data) >= 3 and data[:2] != MAGIC.to_bytes(2, "big"):
        raise Refused("bad_magic")
    if len(data) < HEADER_BYTES:
        raise Refused("short_header")
    _, major, minor, number, flags, length, request_id = struct.unpack(">HBBHHIQ", data[:HEADER_BYTES])
    if major != MAJOR:
        raise Refused("version")
    if length < HEADER_BYTES:
        raise Refused("bad_length")
    if number not in TYPES:
        raise Refused("unknown_type")
    name, transports, known_flags, longest, has_trailer, decode = TYPES[number]
    if transport not in transports:
        raise Refused("wrong_transport")
    if length > (min(longest, DATAGRAM_BYTES_MAX) if transport == "udp" else longest):
        raise Refused("too_large")
    if length > len(data):
        raise Refused("bad_length")
    newer = minor > MINOR
    if flags & ~known_flags and not newer:
        raise Refused("bad_flags")
    flags &= known_flags
    content, trailer = data[HEADER_BYTES:length], []
    if has_trailer:
        if len(content) < TRAILER_BYTES:
            raise Refused("short_trailer")
        trailer = trailer_fields(content[-TRAILER_BYTES:])
        content = content[:-TRAILER_BYTES]
    body = Body(content, newer)
    decode(body, flags)
    names = ",".join(text for text, value in FLAGS if flags & value) or "-"
    head = [("type", name), ("flags", names), ("minor", str(minor)), ("request_id", f"0x{request_id:016x}")]
    return length, head + body.fields + trailer


def decoded(data, transport):
    """The lines that NAME.fields should have."""
    lines = [f"transport={transport}"]
    try:
        while data:
            length, fields = frame(data, transport)
            lines += [f"{key}={value}" for key, value in fields]
            data = data[length:]
    except Refused as refused:
        return [lines[0], f"refusal={refused}"]
    return lines


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    folder = folder if folder.is_dir() else folder.parent
    paths = sorted(folder.glob("*.hex"))
    differences = 0 if paths else 1
    for path in paths:
        data = bytes.fromhex("".join(line.split("#")[0] for line in path.read_text().splitlines()))
        expected = path.with_suffix(".fields").read_text().splitlines()
        got = decoded(data, expected[0].partition("=")[2])
        for i in range(max(len(expected), len(got))):
            want, have = (lines[i] if i < len(lines) else "nothing" for lines in (expected, got))
            if want != have:
                print(f"{path.name}: {want} expected, {have} decoded")
                differences += 1
                break
    print(f"{len(paths)} vectors, {differences} differences")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
