#include "core/node/estimate.h"

#include <math.h>

#include "core/base/check.h"

/* The cumulative sums look for jobs that take twice or half as long: with exponential times, ln(2)/(1 - 1/2) and ln(2) expected times
 * are what each job must exceed, or fall short of, on average. */
#define SLOWER_ALLOWANCE 1.386
#define FASTER_ALLOWANCE 0.693

/* Sums that chance alone, with exponential times, reaches once in some 250,000 jobs; test_estimate counts. */
#define SLOWER_LIMIT 20.0
#define FASTER_LIMIT 10.0

/* That many short jobs are soon done: below a mean of so many seconds a job counts for less, so that chance deceives a node of short jobs
 * as rarely; for a mean of a hundredth, by this much times ln(100). */
#define RARELY_S 0.1
#define RARELY_GAIN 0.13

/* One job, however long it took, is no proof: it may be a rare kind of job, or the machine stood still. It counts as so many expected times
 * at most, and brings the sum a third of the way to its limit at most; and a change that is believed is never larger. What has changed by
 * more than that is believed in two steps. */
#define TIMES_MAX 10.0
#define SLOWER_STEP_MAX (SLOWER_LIMIT / 3)

/* Services of shorter jobs judge nobody: how long they wait for a CPU now and then is many times their own time. They need not: their
 * means are of a thousand jobs, which is soon. */
#define JUDGE_S_MIN 0.001

/* Services whose jobs take less than this part of the longest one's keep no node busy that stands idle otherwise. */
#define SLIGHT_SHARE 0.01

/* How much the variance may change these limits: very regular jobs show a change sooner, but never at once. */
#define SCV_MIN 0.3
#define SCV_MAX 30.0
#define SCV_WEIGHT_MIN 20.0 /* until so many jobs have been seen, the variance is mostly the exponential's, 1 */

/* Against a mean of few jobs, that others differ from it says little. */
#define MEAN_WEIGHT_MIN 100.0

/* A job shorter than the clock's grain took a microsecond. */
#define RAN_S_MIN 1e-6

/* Eleven days: longer than any job may run. Changes of speed must not carry a mean away that no job of its own corrects. */
#define MEAN_S_MAX 1e6

/* Of shorter jobs their way in and out, and waiting for a CPU, are longer than themselves: these say nothing about their speed. */
#define LOOK_S_MIN 0.01

/* Hope begins after so many expected times of standing idle, and so many, but at least so many seconds, halve what is expected. */
#define HOPE_AFTER_JOBS 5.0
#define HOPE_HALF_JOBS 5.0
#define HOPE_HALF_S_MIN 0.1

/* Nobody knows how quick a node can be that has done few jobs: this part of its mean, perhaps. */
#define HOPE_OF_FEW_JOBS 0.1

/* And one that was never quicker than now may have been slow all the time. So it goes on hoping below its best, slowly: a job every some
 * hundred expected times of standing idle is a small price. */
#define HOPE_BEYOND_HALF_JOBS 200.0
#define HOPE_MIN (1.0 / 16)

/* Each job that ends counts for so much of whether it was right; above so much of the means there is nothing left to hope for. */
#define HOPE_WEIGHT 0.25
#define HOPE_OVER 0.8

/* Of so many jobs a mean can be called the best; and how much of a lasting change is taken for the new best with each job. */
#define BEST_WEIGHT_MIN 100.0
#define BEST_FADING 1e-3

static double clamp(double value, double min, double max)
{
    return value < min ? min : value > max ? max : value;
}

void estimate_init(struct estimate *estimate, uint32_t slots, uint64_t now_ns)
{
    CHECK(slots > 0);
    *estimate = (struct estimate){.slots = slots, .now_ns = now_ns, .idle_ns = now_ns, .hope = 1, .hope_least = 1};
    for (uint32_t i = 0; i < NODE_SERVICES_MAX; i++)
        estimate->services[i].scv = 1;
}

uint32_t estimate_jobs(const struct estimate *estimate)
{
    uint32_t jobs = 0;
    for (uint32_t i = 0; i < NODE_SERVICES_MAX; i++)
        jobs += estimate->services[i].jobs;
    return jobs;
}

/* The least that its jobs may take, as far as that is known. */
static double service_best_s(const struct estimate_service *service)
{
    if (service->best_s <= 0)
        return HOPE_OF_FEW_JOBS * service->mean_s;
    return service->best_s < service->mean_s ? service->best_s : service->mean_s;
}

/* After span_s more: by half every half_s, but not below `least`; what of the span is left then. */
static double hope_fall(double *hope, double span_s, double half_s, double least)
{
    if (*hope <= least)
        return span_s;
    double until_s = log2(*hope / least) * half_s;
    *hope = span_s < until_s ? *hope * exp2(-span_s / half_s) : least;
    return span_s > until_s ? span_s - until_s : 0;
}

static double longest_mean_s(const struct estimate *estimate)
{
    double longest_s = 0;
    for (uint32_t i = 0; i < NODE_SERVICES_MAX; i++)
        if (estimate->services[i].weight > 0 && estimate->services[i].mean_s > longest_s)
            longest_s = estimate->services[i].mean_s;
    return longest_s;
}

/* Its jobs are nothing beside those of another service. */
static bool is_slight(const struct estimate *estimate, uint32_t service)
{
    const struct estimate_service *here = &estimate->services[service];
    return here->weight > 0 && here->mean_s < SLIGHT_SHARE * longest_mean_s(estimate);
}

/* But for slight jobs. */
static bool is_idle(const struct estimate *estimate)
{
    for (uint32_t i = 0; i < NODE_SERVICES_MAX; i++)
        if (estimate->services[i].jobs > 0 && !is_slight(estimate, i))
            return false;
    return true;
}

/* Of one idle until now_ns, for which it has been so since before estimate->now_ns. */
static void hope_grow(struct estimate *estimate, uint64_t now_ns)
{
    double longest_s = longest_mean_s(estimate), least = 1;
    for (uint32_t i = 0; i < NODE_SERVICES_MAX; i++) {
        const struct estimate_service *service = &estimate->services[i];
        if (service->weight <= 0)
            continue;
        least = service_best_s(service) < least * service->mean_s ? service_best_s(service) / service->mean_s : least;
    }
    uint64_t begin_ns = estimate->idle_ns + (uint64_t)(HOPE_AFTER_JOBS * longest_s * 1e9);
    begin_ns = begin_ns > estimate->now_ns ? begin_ns : estimate->now_ns;
    if (longest_s <= 0 || now_ns <= begin_ns)
        return;
    double half_s = HOPE_HALF_JOBS * longest_s > HOPE_HALF_S_MIN ? HOPE_HALF_JOBS * longest_s : HOPE_HALF_S_MIN;
    estimate->hope_least = least < HOPE_OVER ? least : 1;
    double left_s = hope_fall(&estimate->hope, (double)(now_ns - begin_ns) * 1e-9, half_s, estimate->hope_least);
    (void)hope_fall(&estimate->hope, left_s, half_s / HOPE_HALF_JOBS * HOPE_BEYOND_HALF_JOBS, HOPE_MIN);
}

/* Before the number of jobs changes. Which of them run is not known here, nor needed: as many as there are slots. */
static void advance(struct estimate *estimate, uint64_t now_ns)
{
    uint32_t jobs = estimate_jobs(estimate);
    uint32_t running = jobs < estimate->slots ? jobs : estimate->slots;
    if (now_ns > estimate->now_ns && is_idle(estimate))
        hope_grow(estimate, now_ns);
    if (now_ns > estimate->now_ns)
        estimate->elapsed_s += running * (double)(now_ns - estimate->now_ns) * 1e-9;
    estimate->now_ns = now_ns;
}

void estimate_job_accepted(struct estimate *estimate, uint32_t service, uint64_t now_ns)
{
    advance(estimate, now_ns);
    estimate->services[service].jobs++;
}

void estimate_job_left(struct estimate *estimate, uint32_t service, uint64_t now_ns)
{
    CHECK(estimate->services[service].jobs > 0);
    advance(estimate, now_ns);
    estimate->services[service].jobs--;
    if (estimate_jobs(estimate) == 0)
        estimate->elapsed_s = 0; /* whatever the clocks of those who ran them said */
    if (!is_slight(estimate, service) && is_idle(estimate))
        estimate->idle_ns = now_ns;
}

static void drift_add(struct estimate_drift *drift, double sum, uint32_t service, double ran_s)
{
    drift->sum += sum;
    drift->ran_s[service] += ran_s;
    drift->jobs++;
    if (drift->sum <= 0)
        *drift = (struct estimate_drift){.sum = 0};
}

/* How many expected times its jobs took: of those that are expected now, which have followed already. */
static double drift_times(const struct estimate *estimate, const struct estimate_drift *drift)
{
    double times = 0;
    for (uint32_t i = 0; i < NODE_SERVICES_MAX; i++)
        if (drift->ran_s[i] > 0)
            times += drift->ran_s[i] / estimate->services[i].mean_s;
    return times;
}

/* The speed is another one: jobs take `factor` times as long as they did, as `jobs` of them have shown. */
static void speed_changed(struct estimate *estimate, double factor, double jobs)
{
    for (uint32_t i = 0; i < NODE_SERVICES_MAX; i++) {
        struct estimate_service *service = &estimate->services[i];
        service->mean_s = clamp(service->mean_s * factor, RAN_S_MIN, MEAN_S_MAX);
        if (service->weight > jobs)
            service->weight = jobs;
    }
    estimate->slower = estimate->faster = (struct estimate_drift){.sum = 0};
    estimate->hope = 1;
    estimate->changes++;
}

/* A job has ended: its time no longer counts among that of those that run. What it spent on its way in and out was not counted as its
 * own, and would add up for ever on a busy node of short jobs: so an even share goes at least. */
static void elapsed_take(struct estimate *estimate, double ran_s)
{
    uint32_t jobs = estimate_jobs(estimate);
    uint32_t running = jobs < estimate->slots ? jobs : estimate->slots;
    double share_s = running > 0 ? estimate->elapsed_s / running : estimate->elapsed_s;
    double taken_s = ran_s > share_s ? ran_s : share_s;
    estimate->elapsed_s = estimate->elapsed_s > taken_s ? estimate->elapsed_s - taken_s : 0;
}

/* A job took so many times what its mean says. */
static void hope_test(struct estimate *estimate, double times)
{
    estimate->hope += HOPE_WEIGHT * (times - estimate->hope);
    if (estimate->hope > HOPE_OVER)
        estimate->hope = 1;
}

static void best_note(struct estimate_service *service)
{
    if (service->weight < BEST_WEIGHT_MIN)
        return;
    if (service->best_s <= 0 || service->mean_s < service->best_s)
        service->best_s = service->mean_s;
    else
        service->best_s += BEST_FADING * (service->mean_s - service->best_s);
}

/* A job counts as so many times what its mean says. */
static void drift_note(struct estimate *estimate, uint32_t service_index, double counted)
{
    const struct estimate_service *service = &estimate->services[service_index];
    double ran_s = counted * service->mean_s;
    double sure = service->weight / (service->weight + MEAN_WEIGHT_MIN) / clamp(service->scv, SCV_MIN, SCV_MAX);
    if (service->mean_s < RARELY_S)
        sure /= 1 + RARELY_GAIN * log(RARELY_S / service->mean_s);
    double slower = (counted - SLOWER_ALLOWANCE) * sure;
    drift_add(&estimate->slower, slower < SLOWER_STEP_MAX ? slower : SLOWER_STEP_MAX, service_index, ran_s);
    drift_add(&estimate->faster, (FASTER_ALLOWANCE - counted) * sure, service_index, ran_s);
}

void estimate_job_ran(struct estimate *estimate, uint32_t service_index, float ran_s, uint64_t now_ns)
{
    struct estimate_service *service = &estimate->services[service_index];
    advance(estimate, now_ns);
    double s = (double)ran_s > RAN_S_MIN ? (double)ran_s : RAN_S_MIN;
    elapsed_take(estimate, s);
    if (service->weight == 0) {
        service->mean_s = s;
        service->weight = 1;
        return;
    }
    double times = s / service->mean_s, counted = times < TIMES_MAX ? times : TIMES_MAX;
    if (service->mean_s >= JUDGE_S_MIN)
        drift_note(estimate, service_index, counted);
    if (estimate->hope < 1 && !is_slight(estimate, service_index))
        hope_test(estimate, times);

    double seen = service->weight > SCV_WEIGHT_MIN ? service->weight : SCV_WEIGHT_MIN;
    service->scv += ((counted - 1) * (counted - 1) - service->scv) / seen;
    if (service->weight < ESTIMATE_JOBS_MAX)
        service->weight++;
    service->mean_s += (s - service->mean_s) / service->weight;
    best_note(service);
    if (estimate->faster.sum > FASTER_LIMIT)
        speed_changed(estimate, drift_times(estimate, &estimate->faster) / estimate->faster.jobs, estimate->faster.jobs);
    else
        estimate_look(estimate, now_ns);
}

void estimate_look(struct estimate *estimate, uint64_t now_ns)
{
    advance(estimate, now_ns);
    /* Measured by the longest jobs that may be running; a time of each slot's is the usual thing. */
    double longest_s = 0, scale = SCV_MIN;
    for (uint32_t i = 0; i < NODE_SERVICES_MAX; i++) {
        const struct estimate_service *service = &estimate->services[i];
        if (service->jobs == 0)
            continue;
        if (service->weight == 0)
            return; /* what runs may be a service that nobody knows yet */
        longest_s = service->mean_s > longest_s ? service->mean_s : longest_s;
        scale = service->scv > scale ? service->scv : scale;
    }
    if (longest_s < LOOK_S_MIN)
        longest_s = LOOK_S_MIN;
    double running = estimate->elapsed_s / longest_s - estimate->slots;
    if (running < 0)
        running = 0;
    scale = scale < SCV_MAX ? scale : SCV_MAX;
    const struct estimate_drift *drift = &estimate->slower;
    if (drift->sum + running / scale <= SLOWER_LIMIT)
        return;
    double jobs = drift->jobs > 1 ? drift->jobs : 1, factor = (drift_times(estimate, drift) + running) / jobs;
    speed_changed(estimate, factor < TIMES_MAX ? factor : TIMES_MAX, jobs);
    /* What runs has been counted, and is an ordinary job now. */
    estimate->elapsed_s = 0;
}

bool estimate_is_guess(const struct estimate *estimate, uint32_t service)
{
    return estimate->services[service].weight == 0;
}

float estimate_job_s(const struct estimate *estimate, uint32_t service)
{
    const struct estimate_service *here = &estimate->services[service];
    if (estimate_is_guess(estimate, service))
        return ESTIMATE_NOMINAL_S;
    if (is_slight(estimate, service))
        return (float)here->mean_s;
    double hoped_s = estimate->hope * here->mean_s;
    double beyond = estimate->hope < estimate->hope_least ? estimate->hope / estimate->hope_least : 1;
    double best_s = beyond * service_best_s(here);
    return (float)(hoped_s > best_s ? hoped_s : best_s);
}

float estimate_work_s(const struct estimate *estimate, uint32_t service)
{
    return (float)estimate->services[service].jobs * estimate_job_s(estimate, service);
}

float estimate_rate(const struct estimate *estimate, uint32_t service)
{
    return (float)estimate->slots / estimate_job_s(estimate, service);
}

uint32_t estimate_retry_ms(const struct estimate *estimate)
{
    float work_s = 0;
    for (uint32_t i = 0; i < NODE_SERVICES_MAX; i++)
        work_s += estimate_work_s(estimate, i);
    float ms = work_s * 1000 / (float)estimate->slots;
    if (ms < (float)ESTIMATE_RETRY_MS_MIN)
        return ESTIMATE_RETRY_MS_MIN;
    return ms > (float)ESTIMATE_RETRY_MS_MAX ? ESTIMATE_RETRY_MS_MAX : (uint32_t)ms;
}
