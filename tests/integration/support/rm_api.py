"""Speaks to an rm over HTTP as nodes and consumers do (docs/HTTP.md)."""

import http.client
import json
import time

from support.cluster import PATIENCE_S, address_new, wait_until


class Api:
    """One connection, kept alive."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)

    def __call__(self, verb, path, body=None, raw=None):
        text = raw if raw is not None else (json.dumps(body) if body is not None else None)
        self.connection.request(verb, path, text)
        answer = self.connection.getresponse()
        content = answer.read().decode()
        return answer.status, json.loads(content) if content.startswith(("{", "[")) else content


def message(instance, **more):
    return {"instance": instance, "timestamp": int(time.time() * 1000), **more}


def rm_start(cluster, *options):
    rm, http_address = address_new(), address_new()
    cluster.rm(rm, "--http", http_address, *options)

    def is_up():
        try:
            return Api(http_address)("GET", "/healthz")[0] == 200
        except OSError:
            return False

    wait_until("rm serves HTTP", is_up)
    return rm, Api(http_address)


def lists_wait(api):
    """rm has given all nodes the time for a heartbeat, or has read from Redis who is there."""
    wait_until("rm tells its lists", lambda: api("GET", "/sd")[0] == 200)
