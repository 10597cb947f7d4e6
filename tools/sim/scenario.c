#include "tools/sim/scenario.h"

/* Before measuring begins: a tenth of the jobs, and long enough for everything to have been reported a few times and for queues to
 * find their length. */
#define WARM_SHARE 0.1
#define WARM_PERIODS 5
#define WARM_SERVICES 200

void scenario_done(struct scenario *scenario)
{
    service_draw_done(&scenario->service);
}

double scenario_capacity(const struct scenario *scenario)
{
    double speed = 0;
    for (uint32_t i = 0; i < scenario->nodes; i++)
        speed += scenario->speeds[i % scenario->speed_count];
    return speed * scenario->slots / scenario->service.mean_ns;
}

void scenario_set_load(struct scenario *scenario, double load)
{
    scenario->load = load;
    scenario->arrivals.rate = load * scenario_capacity(scenario);
}

double scenario_warm_arrivals(const struct scenario *scenario)
{
    double periods_ns = WARM_PERIODS * (double)(scenario->heartbeat_ns + scenario->refresh_ns);
    double warm_ns = periods_ns + WARM_SERVICES * scenario->service.mean_ns;
    double least = WARM_SHARE * (double)scenario->jobs;
    double warm = warm_ns * scenario->arrivals.rate;
    return 1 + (warm > least ? warm : least);
}
