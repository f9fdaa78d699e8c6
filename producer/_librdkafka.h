/* librdkafka's public interface, as far as the compiled transport uses it: types as in rdkafka.h, and a pointer for
 * each function, which bind_librdkafka() looks up in the library that the confluent-kafka wheel brings.
 *
 * Neither that library's headers nor the library itself are needed to build. What is written down here is part of
 * librdkafka's stable application binary interface; of structures only those that rdkafka.h lays open.
 */
#ifndef PRODUCER_LIBRDKAFKA_H
#define PRODUCER_LIBRDKAFKA_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct rd_kafka_s rd_kafka_t;
typedef struct rd_kafka_conf_s rd_kafka_conf_t;
typedef struct rd_kafka_topic_conf_s rd_kafka_topic_conf_t;
typedef struct rd_kafka_topic_s rd_kafka_topic_t;
typedef struct rd_kafka_queue_s rd_kafka_queue_t;
typedef struct rd_kafka_op_s rd_kafka_event_t;
typedef struct rd_kafka_error_s rd_kafka_error_t;
typedef struct rd_kafka_headers_s rd_kafka_headers_t;
typedef struct rd_kafka_consumer_group_metadata_s rd_kafka_consumer_group_metadata_t;
typedef int rd_kafka_resp_err_t;

enum { RD_KAFKA_PRODUCER = 0 };
enum { RD_KAFKA_CONF_OK = 0 };
enum {
    RD_KAFKA_RESP_ERR__QUEUE_FULL = -184,
    RD_KAFKA_RESP_ERR__INVALID_ARG = -186,
    RD_KAFKA_RESP_ERR_NO_ERROR = 0
};
enum { RD_KAFKA_MSG_F_COPY = 0x2 };
enum { RD_KAFKA_PURGE_F_QUEUE = 0x1, RD_KAFKA_PURGE_F_INFLIGHT = 0x2, RD_KAFKA_PURGE_F_NON_BLOCKING = 0x4 };
enum {
    RD_KAFKA_EVENT_DR = 0x1,
    RD_KAFKA_EVENT_LOG = 0x4,
    RD_KAFKA_EVENT_ERROR = 0x8,
    RD_KAFKA_EVENT_STATS = 0x40,
    RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH = 0x100
};

typedef struct rd_kafka_message_s {
    rd_kafka_resp_err_t err;
    rd_kafka_topic_t *rkt;
    int32_t partition;
    void *payload;
    size_t len;
    void *key;
    size_t key_len;
    int64_t offset;
    void *_private; /* the opaque that the record was produced with */
} rd_kafka_message_t;

typedef enum {
    RD_KAFKA_VTYPE_RKT = 2,
    RD_KAFKA_VTYPE_PARTITION = 3,
    RD_KAFKA_VTYPE_VALUE = 4,
    RD_KAFKA_VTYPE_KEY = 5,
    RD_KAFKA_VTYPE_OPAQUE = 6,
    RD_KAFKA_VTYPE_MSGFLAGS = 7,
    RD_KAFKA_VTYPE_TIMESTAMP = 8,
    RD_KAFKA_VTYPE_HEADERS = 10
} rd_kafka_vtype_t;

typedef struct rd_kafka_vu_s {
    rd_kafka_vtype_t vtype;
    union {
        rd_kafka_topic_t *rkt;
        int i;
        int32_t i32;
        int64_t i64;
        struct {
            void *ptr;
            size_t size;
        } mem;
        rd_kafka_headers_t *headers;
        void *ptr;
        char _pad[64];
    } u;
} rd_kafka_vu_t;

typedef struct rd_kafka_topic_partition_s {
    char *topic;
    int32_t partition;
    int64_t offset;
    void *metadata;
    size_t metadata_size;
    void *opaque;
    rd_kafka_resp_err_t err;
    void *_private;
} rd_kafka_topic_partition_t;

typedef struct rd_kafka_topic_partition_list_s {
    int cnt;
    int size;
    rd_kafka_topic_partition_t *elems;
} rd_kafka_topic_partition_list_t;

typedef struct rd_kafka_metadata_broker {
    int32_t id;
    char *host;
    int port;
} rd_kafka_metadata_broker_t;

typedef struct rd_kafka_metadata_partition {
    int32_t id;
    rd_kafka_resp_err_t err;
    int32_t leader;
    int replica_cnt;
    int32_t *replicas;
    int isr_cnt;
    int32_t *isrs;
} rd_kafka_metadata_partition_t;

typedef struct rd_kafka_metadata_topic {
    char *topic;
    int partition_cnt;
    struct rd_kafka_metadata_partition *partitions;
    rd_kafka_resp_err_t err;
} rd_kafka_metadata_topic_t;

typedef struct rd_kafka_metadata {
    int broker_cnt;
    struct rd_kafka_metadata_broker *brokers;
    int topic_cnt;
    struct rd_kafka_metadata_topic *topics;
    int32_t orig_broker_id;
    char *orig_broker_name;
} rd_kafka_metadata_t;

typedef void rd_kafka_throttle_cb_t(rd_kafka_t *rk, const char *broker, int32_t broker_id, int throttle_ms, void *opaque);
typedef void rd_kafka_token_refresh_cb_t(rd_kafka_t *rk, const char *config, void *opaque);

/* FUNCTION(result, name, parameters) for each. */
#define LIBRDKAFKA_FUNCTIONS(FUNCTION) \
    FUNCTION(int, rd_kafka_version, (void)) \
    FUNCTION(rd_kafka_resp_err_t, rd_kafka_last_error, (void)) \
    FUNCTION(const char *, rd_kafka_err2str, (rd_kafka_resp_err_t err)) \
    /* A client */ \
    FUNCTION(rd_kafka_conf_t *, rd_kafka_conf_new, (void)) \
    FUNCTION(void, rd_kafka_conf_destroy, (rd_kafka_conf_t *conf)) \
    FUNCTION(int, rd_kafka_conf_set, (rd_kafka_conf_t *conf, const char *name, const char *value, char *errstr, size_t size)) \
    FUNCTION(void, rd_kafka_conf_set_events, (rd_kafka_conf_t *conf, int events)) \
    FUNCTION(void, rd_kafka_conf_set_opaque, (rd_kafka_conf_t *conf, void *opaque)) \
    FUNCTION(void, rd_kafka_conf_set_throttle_cb, (rd_kafka_conf_t *conf, rd_kafka_throttle_cb_t *throttle_cb)) \
    FUNCTION(void, rd_kafka_conf_set_oauthbearer_token_refresh_cb, (rd_kafka_conf_t *conf, rd_kafka_token_refresh_cb_t *token_refresh_cb)) \
    FUNCTION(rd_kafka_t *, rd_kafka_new, (int type, rd_kafka_conf_t *conf, char *errstr, size_t size)) \
    FUNCTION(void, rd_kafka_destroy, (rd_kafka_t *rk)) \
    FUNCTION(const char *, rd_kafka_name, (const rd_kafka_t *rk)) \
    FUNCTION(rd_kafka_resp_err_t, rd_kafka_set_log_queue, (rd_kafka_t *rk, rd_kafka_queue_t *queue)) \
    /* Records */ \
    FUNCTION(rd_kafka_topic_t *, rd_kafka_topic_new, (rd_kafka_t *rk, const char *name, rd_kafka_topic_conf_t *conf)) \
    FUNCTION(void, rd_kafka_topic_destroy, (rd_kafka_topic_t *rkt)) \
    FUNCTION(int, rd_kafka_produce_batch, (rd_kafka_topic_t *rkt, int32_t partition, int flags, rd_kafka_message_t *messages, int count)) \
    FUNCTION(rd_kafka_error_t *, rd_kafka_produceva, (rd_kafka_t *rk, const rd_kafka_vu_t *arguments, size_t count)) \
    FUNCTION(rd_kafka_headers_t *, rd_kafka_headers_new, (size_t count)) \
    FUNCTION(void, rd_kafka_headers_destroy, (rd_kafka_headers_t *headers)) \
    FUNCTION(rd_kafka_resp_err_t, rd_kafka_header_add, (rd_kafka_headers_t *headers, const char *name, ssize_t name_size, const void *value, ssize_t value_size)) \
    /* Events */ \
    FUNCTION(rd_kafka_queue_t *, rd_kafka_queue_get_main, (rd_kafka_t *rk)) \
    FUNCTION(void, rd_kafka_queue_destroy, (rd_kafka_queue_t *queue)) \
    FUNCTION(void, rd_kafka_queue_io_event_enable, (rd_kafka_queue_t *queue, int fd, const void *payload, size_t size)) \
    FUNCTION(rd_kafka_event_t *, rd_kafka_queue_poll, (rd_kafka_queue_t *queue, int timeout_ms)) \
    FUNCTION(int, rd_kafka_event_type, (const rd_kafka_event_t *event)) \
    FUNCTION(void, rd_kafka_event_destroy, (rd_kafka_event_t *event)) \
    FUNCTION(const rd_kafka_message_t *, rd_kafka_event_message_next, (rd_kafka_event_t *event)) \
    FUNCTION(rd_kafka_resp_err_t, rd_kafka_event_error, (rd_kafka_event_t *event)) \
    FUNCTION(int, rd_kafka_event_error_is_fatal, (rd_kafka_event_t *event)) \
    FUNCTION(const char *, rd_kafka_event_error_string, (rd_kafka_event_t *event)) \
    FUNCTION(const char *, rd_kafka_event_stats, (rd_kafka_event_t *event)) \
    FUNCTION(const char *, rd_kafka_event_config_string, (rd_kafka_event_t *event)) \
    FUNCTION(int, rd_kafka_event_log, (rd_kafka_event_t *event, const char **facility, const char **text, int *level)) \
    FUNCTION(int64_t, rd_kafka_message_timestamp, (const rd_kafka_message_t *message, int *type)) \
    FUNCTION(int64_t, rd_kafka_message_latency, (const rd_kafka_message_t *message)) \
    FUNCTION(int32_t, rd_kafka_message_leader_epoch, (const rd_kafka_message_t *message)) \
    /* Calls that may block */ \
    FUNCTION(rd_kafka_resp_err_t, rd_kafka_flush, (rd_kafka_t *rk, int timeout_ms)) \
    FUNCTION(rd_kafka_resp_err_t, rd_kafka_purge, (rd_kafka_t *rk, int flags)) \
    FUNCTION(rd_kafka_resp_err_t, rd_kafka_metadata, (rd_kafka_t *rk, int all_topics, rd_kafka_topic_t *only, const rd_kafka_metadata_t **metadata, int timeout_ms)) \
    FUNCTION(void, rd_kafka_metadata_destroy, (const rd_kafka_metadata_t *metadata)) \
    FUNCTION(int32_t, rd_kafka_controllerid, (rd_kafka_t *rk, int timeout_ms)) \
    FUNCTION(char *, rd_kafka_clusterid, (rd_kafka_t *rk, int timeout_ms)) \
    FUNCTION(void, rd_kafka_mem_free, (rd_kafka_t *rk, void *memory)) \
    FUNCTION(rd_kafka_error_t *, rd_kafka_sasl_set_credentials, (rd_kafka_t *rk, const char *username, const char *password)) \
    FUNCTION(rd_kafka_resp_err_t, rd_kafka_oauthbearer_set_token, (rd_kafka_t *rk, const char *token, int64_t lifetime_ms, const char *principal, const char **extensions, size_t count, char *errstr, size_t size)) \
    FUNCTION(rd_kafka_resp_err_t, rd_kafka_oauthbearer_set_token_failure, (rd_kafka_t *rk, const char *errstr)) \
    FUNCTION(rd_kafka_error_t *, rd_kafka_init_transactions, (rd_kafka_t *rk, int timeout_ms)) \
    FUNCTION(rd_kafka_error_t *, rd_kafka_begin_transaction, (rd_kafka_t *rk)) \
    FUNCTION(rd_kafka_error_t *, rd_kafka_commit_transaction, (rd_kafka_t *rk, int timeout_ms)) \
    FUNCTION(rd_kafka_error_t *, rd_kafka_abort_transaction, (rd_kafka_t *rk, int timeout_ms)) \
    FUNCTION(rd_kafka_error_t *, rd_kafka_send_offsets_to_transaction, (rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets, const rd_kafka_consumer_group_metadata_t *group, int timeout_ms)) \
    FUNCTION(rd_kafka_error_t *, rd_kafka_consumer_group_metadata_read, (rd_kafka_consumer_group_metadata_t **group, const void *buffer, size_t size)) \
    FUNCTION(void, rd_kafka_consumer_group_metadata_destroy, (rd_kafka_consumer_group_metadata_t *group)) \
    FUNCTION(rd_kafka_topic_partition_list_t *, rd_kafka_topic_partition_list_new, (int size)) \
    FUNCTION(void, rd_kafka_topic_partition_list_destroy, (rd_kafka_topic_partition_list_t *list)) \
    FUNCTION(rd_kafka_topic_partition_t *, rd_kafka_topic_partition_list_add, (rd_kafka_topic_partition_list_t *list, const char *topic, int32_t partition)) \
    FUNCTION(void, rd_kafka_topic_partition_set_leader_epoch, (rd_kafka_topic_partition_t *place, int32_t epoch)) \
    /* What a call has to say */ \
    FUNCTION(rd_kafka_resp_err_t, rd_kafka_error_code, (const rd_kafka_error_t *error)) \
    FUNCTION(const char *, rd_kafka_error_string, (const rd_kafka_error_t *error)) \
    FUNCTION(int, rd_kafka_error_is_fatal, (const rd_kafka_error_t *error)) \
    FUNCTION(int, rd_kafka_error_is_retriable, (const rd_kafka_error_t *error)) \
    FUNCTION(int, rd_kafka_error_txn_requires_abort, (const rd_kafka_error_t *error)) \
    FUNCTION(void, rd_kafka_error_destroy, (rd_kafka_error_t *error))

#define LIBRDKAFKA_POINTER(result, name, parameters) static result(*name) parameters;
LIBRDKAFKA_FUNCTIONS(LIBRDKAFKA_POINTER)
#undef LIBRDKAFKA_POINTER

/* Looks every function up among the libraries that `library` was loaded with. The name of the first that is missing,
 * or NULL. */
static const char *bind_librdkafka(void *library) {
#define LIBRDKAFKA_BIND(result, name, parameters) \
    if (!(*(void **)&name = dlsym(library, #name))) return #name;
    LIBRDKAFKA_FUNCTIONS(LIBRDKAFKA_BIND)
#undef LIBRDKAFKA_BIND
    return NULL;
}

#endif
