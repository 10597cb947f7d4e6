#include "tools/sim/scenario.h"

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
