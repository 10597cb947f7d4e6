#include "bench/fleet/player.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "core/base/clock.h"

#define TICK_NS NS_PER_MS

struct play {
    struct swarm *swarm;
    struct player_line *line;
    const struct player_config *config;
    uint64_t started_ns;
    uint64_t counting_ns; /* since when; 0: warming up */
    uint64_t turns; /* taken since the start */
    uint64_t turns_before; /* counting began */
    uint64_t changes;
    uint64_t late_max_ns;
};

static uint64_t turns_due(const struct play *play, uint64_t now_ns)
{
    unsigned __int128 passed_ns = now_ns - play->started_ns;
    return (uint64_t)(passed_ns * play->swarm->config.node_count / play->config->heartbeat_ns);
}

static void lateness_note(struct play *play, uint64_t now_ns)
{
    unsigned __int128 turns = play->turns;
    uint64_t due_ns = play->started_ns + (uint64_t)(turns * play->config->heartbeat_ns / play->swarm->config.node_count);
    if (now_ns > due_ns && now_ns - due_ns > play->late_max_ns)
        play->late_max_ns = now_ns - due_ns;
}

static int turns_take(struct play *play)
{
    uint64_t now_ns = clock_monotonic_ns();
    lateness_note(play, now_ns);
    for (uint64_t left = turns_due(play, now_ns) - play->turns; left > 0;) {
        uint32_t speakers[PLAYER_BATCH];
        uint32_t count = left < PLAYER_BATCH ? (uint32_t)left : PLAYER_BATCH;
        for (uint32_t i = 0; i < count; i++)
            speakers[i] = swarm_speaker(play->swarm, (uint32_t)(play->turns++ % play->swarm->config.node_count));
        now_ns = clock_monotonic_ns();
        int error = play->line->speak(play->line, play->swarm, speakers, count, now_ns);
        if (error == 0)
            error = play->line->hear(play->line, play->swarm, now_ns);
        if (error < 0)
            return error;
        left -= count;
    }
    return 0;
}

static void changes_make(struct play *play, uint64_t now_ns)
{
    double due = (double)(now_ns - play->started_ns) / (double)NS_PER_S * play->config->changes_per_s;
    for (; (double)play->changes < due; play->changes++)
        swarm_replace(play->swarm);
}

static void counting_begin(struct play *play, uint64_t now_ns)
{
    swarm_count_anew(play->swarm);
    play->counting_ns = now_ns;
    play->turns_before = play->turns;
    play->late_max_ns = 0;
    play->line->errors = 0;
    play->line->dropped_before = line_dropped(play->line);
    fprintf(stderr, "counting\n");
}

static void sleep_until(uint64_t at_ns)
{
    struct timespec at = {.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL); /* a signal ends it early: so it shall */
}

/* 1: the end. */
static int play_tick(struct play *play)
{
    const struct player_config *config = play->config;
    int error = turns_take(play);
    uint64_t now_ns = clock_monotonic_ns();
    if (error == 0)
        error = play->line->hear(play->line, play->swarm, now_ns);
    if (error < 0)
        return error;
    changes_make(play, now_ns);
    if (play->counting_ns == 0 && now_ns - play->started_ns >= config->warmup_ns)
        counting_begin(play, now_ns);
    return *config->stopped || (play->counting_ns != 0 && now_ns - play->counting_ns >= config->duration_ns);
}

int player_run(struct swarm *swarm, struct player_line *line, const struct player_config *config,
               struct player_result *ret_result)
{
    struct play play = {.swarm = swarm, .line = line, .config = config, .started_ns = clock_monotonic_ns()};
    int end = 0;
    for (uint64_t at_ns = play.started_ns; end == 0; at_ns += TICK_NS) {
        uint64_t now_ns = clock_monotonic_ns();
        if (at_ns < now_ns)
            at_ns = now_ns;
        sleep_until(at_ns);
        end = play_tick(&play);
    }
    if (end < 0)
        return end;
    uint64_t now_ns = clock_monotonic_ns();
    if (play.counting_ns == 0)
        counting_begin(&play, now_ns);
    *ret_result = (struct player_result){
        .counted_ns = now_ns - play.counting_ns,
        .planned = turns_due(&play, now_ns) - play.turns_before,
        .taken = play.turns - play.turns_before,
        .late_max_ns = play.late_max_ns,
        .dropped = line_dropped(line) - line->dropped_before,
    };
    return 0;
}
