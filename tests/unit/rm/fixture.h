/* fixture - a cluster with a clock of its own, and nodes that heartbeat to it.
 * Thread: one. Memory: fixture_new … fixture_free. */
#pragma once

#include "core/base/clock.h"
#include "rm/cluster.h"
#include "rm/subscribers.h"

#define FIXTURE_VALID_NS (3 * NS_PER_S)

struct fixture {
    struct cluster *cluster;
    struct cluster_time now;
    uint32_t events[CLUSTER_EVENTS]; /* told so far */
    uint64_t sequence; /* of all nodes together */
};

struct fixture *fixture_new(bool no_protection);
void fixture_free(struct fixture *fixture);

/* Those who follow this rm, of region 1, on a port of loopback that the kernel picks; free with subscribers_free. */
struct subscribers *fixture_subscribers(struct fixture *fixture, struct loop *loop, struct counters *counters,
                                        uint64_t patience_ns);

/* Moves the clock in the steps in which rm sweeps. */
void fixture_pass(struct fixture *fixture, uint64_t duration_ns);

/* 10.0.x.y:7500 by number. */
struct address fixture_address(uint32_t number);
uint64_t fixture_service(const char *name);

/* A worker with service "echo", boot number + 1. */
struct wire_heartbeat fixture_heartbeat(struct fixture *fixture, uint32_t number, float load);

/* Takes it and expects that it is accepted; returns the slot. */
uint32_t fixture_beat(struct fixture *fixture, uint32_t number, float load);

/* NODE_STATES: not known. */
enum node_state fixture_state(const struct fixture *fixture, uint32_t number);

/* Whether the node's first service is marked (R3). */
bool fixture_below(const struct fixture *fixture, uint32_t number);
