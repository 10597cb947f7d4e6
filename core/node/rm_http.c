#include "core/node/rm_http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/heartbeat_json.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/http/client.h"

/* A slow one must not keep the next ones waiting for long: rm gives nodes up after 3 s of silence (--heartbeat-valid), of which an
 * interval has passed when this one goes out. */
#define TIMEOUT_NS (1500 * NS_PER_MS)
#define ANSWER_BYTES_MAX (64u << 10)
#define TARGET_BYTES (sizeof("/v1/nodes//heartbeat") + ADDRESS_TEXT_BYTES)
#define TEXT_BYTES 300

struct message {
    bool registers;
    uint64_t sequence;
    char *body; /* NULL: none */
};

struct rm_http {
    struct rm_http_config config;
    uint32_t rm_index;
    struct http_client *client;
    char target[TARGET_BYTES]; /* of a registration */
    char beat_target[TARGET_BYTES];
    uint64_t sequence; /* of the message on its way */
    uint64_t answers; /* stands in for the sequence of a datagram */
    struct message next; /* waits */
    char failure[TEXT_BYTES];
};

static bool message_send(struct rm_http *http, struct message *message)
{
    int r = http_client_send(http->client, message->registers ? "PUT" : "POST",
                             message->registers ? http->target : http->beat_target, message->body, strlen(message->body));
    http->sequence = message->sequence;
    free(message->body);
    message->body = NULL;
    return r == 0;
}

static bool message_take(struct rm_http *http, json_t *value, bool registers, uint64_t sequence)
{
    struct message message = {.registers = registers, .sequence = sequence};
    message.body = value != NULL ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(value);
    if (message.body == NULL)
        return false;
    if (!http_client_is_busy(http->client))
        return message_send(http, &message);
    free(http->next.body);
    http->next = message;
    return true;
}

bool rm_http_register(struct rm_http *http, const struct wire_register *registration)
{
    return message_take(http, register_to_json(registration), true, registration->trailer.sequence);
}

bool rm_http_beat(struct rm_http *http, const struct wire_heartbeat *heartbeat)
{
    return message_take(http, heartbeat_to_json(heartbeat), false, heartbeat->trailer.sequence);
}

static void refused(struct rm_http *http, int status, const char *said)
{
    char text[TEXT_BYTES];
    snprintf(text, sizeof(text), "it answered %d: %.200s", status, said);
    http->failure[0] = 0;
    http->config.on_error(http->config.ctx, http->rm_index, http->sequence, text);
}

static void acknowledged(struct rm_http *http, struct wire_heartbeat_ack *ack)
{
    ack->trailer.sequence = ++http->answers;
    http->failure[0] = 0;
    http->config.on_ack(http->config.ctx, http->rm_index, ack);
}

/* Whether somebody has looked at the message and does not want it: rm says what it minds. A proxy does not, nor does one whose trouble
 * is its own (5xx) or of the moment; the next message may fare better. */
static bool is_refusal(int status, const char *said)
{
    return said != NULL && status >= 400 && status < 500 && status != 408 && status != 429;
}

static void answer_take(struct rm_http *http, const struct http_response *response)
{
    char why[HEARTBEAT_JSON_TEXT_BYTES];
    struct wire_heartbeat_ack ack;
    json_error_t error;
    json_t *root = json_loadb((const char *)response->body, response->body_length, 0, &error);
    const char *said = json_string_value(json_object_get(root, "error"));
    const json_t *value = json_object_get(root, "ack");
    if (is_refusal(response->status, said))
        refused(http, response->status, said);
    else if (response->status != 200)
        snprintf(http->failure, sizeof(http->failure), "it answered %d%s%.200s", response->status, said != NULL ? ": " : "",
                 said != NULL ? said : "");
    else if (value == NULL)
        snprintf(http->failure, sizeof(http->failure), "it answers what is no acknowledgement");
    else if (heartbeat_ack_from_json(value, &ack, why) < 0)
        snprintf(http->failure, sizeof(http->failure), "it answers what is no acknowledgement (%.150s)", why);
    else
        acknowledged(http, &ack);
    json_decref(root);
}

static void on_response(void *ctx, const struct http_response *response)
{
    struct rm_http *http = ctx;
    if (response->error == 0)
        answer_take(http, response);
    else if (response->error == USHER_EPROTOCOL || response->error == USHER_ETOOLARGE)
        snprintf(http->failure, sizeof(http->failure), "what it answers is not HTTP as usher-rm speaks it");
    else
        http->failure[0] = 0;
    /* The answer may have asked for another message, which is the newer one. */
    if (http->next.body != NULL && !http_client_is_busy(http->client))
        (void)message_send(http, &http->next);
}

const char *rm_http_failure(const struct rm_http *http)
{
    return http->failure;
}

static int rm_http_new(const struct rm_http_config *config, const struct address *rm, uint32_t rm_index,
                       struct rm_http **ret_http)
{
    struct rm_http *http = calloc(1, sizeof(*http));
    if (http == NULL)
        return -ENOMEM;
    http->config = *config;
    http->rm_index = rm_index;
    char node[ADDRESS_TEXT_BYTES];
    address_format(&config->node, node);
    snprintf(http->target, sizeof(http->target), "/v1/nodes/%s", node);
    snprintf(http->beat_target, sizeof(http->beat_target), "/v1/nodes/%s/heartbeat", node);
    struct http_client_config client = {
        .loop = config->loop,
        .address = *rm,
        .keep_alive = true,
        .body_bytes_max = ANSWER_BYTES_MAX,
        .timeout_ns = TIMEOUT_NS,
        .on_response = on_response,
        .ctx = http,
    };
    int r = http_client_new(&client, &http->client);
    if (r < 0) {
        free(http);
        return r;
    }
    *ret_http = http;
    return 0;
}

static void rm_http_free(struct rm_http *http)
{
    if (http == NULL)
        return;
    http_client_free(http->client);
    free(http->next.body);
    free(http);
}

int rm_http_open(const struct rm_http_config *config, const struct address *rms, uint32_t rm_count, uint64_t which,
                 struct rm_http *ret_https[static HEARTBEAT_RMS_MAX])
{
    struct rm_http *https[HEARTBEAT_RMS_MAX] = {NULL};
    for (uint32_t i = 0; i < rm_count; i++) {
        int r = (which >> i & 1) != 0 ? rm_http_new(config, &rms[i], i, &https[i]) : 0;
        if (r < 0) {
            rm_http_close(https);
            return r;
        }
    }
    memcpy(ret_https, https, sizeof(https));
    return 0;
}

void rm_http_close(struct rm_http *https[static HEARTBEAT_RMS_MAX])
{
    for (uint32_t i = 0; i < HEARTBEAT_RMS_MAX; i++) {
        rm_http_free(https[i]);
        https[i] = NULL;
    }
}
