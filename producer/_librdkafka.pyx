# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled transport's way to librdkafka: its public C interface, out of the library in confluent-kafka's wheel.

`Records` is what a record passes through: its entry, its place in call order, its hand-over, its report. `Client` is
librdkafka's end of it: its events that are no reports, its blocking calls, its end. What decides about time, order of
callers and life is Python (`producer.compiled_transport` and what is above it).

Ownership. A Message is a record from its entry on, and what its caller is told of in the end. What librdkafka holds carries
one reference to it as its opaque, and reads key and value out of it: neither is copied. `_lend` is the one place that gives
such a reference away, `_take_back` the one that gets it back: with the report, when the record was refused, or at the
client's end. All counting is done on the loop's thread, or in the one thread that drops the client's last reference.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.exc cimport PyErr_Clear, PyErr_ExceptionMatches
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.object cimport PyObject_Call
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from cpython.unicode cimport PyUnicode_AsUTF8String
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset, strdup
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from posix.unistd cimport getpid

import ctypes
from asyncio import Future, InvalidStateError
from collections import deque

import confluent_kafka.cimpl
from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    KafkaError,
    KafkaException,
    ThrottleEvent,
)
from confluent_kafka.admin import BrokerMetadata, ClusterMetadata, PartitionMetadata, TopicMetadata

from producer import arguments, callbacks as reports
from producer.errors import never_fits as _never_fits
from producer.errors import state_refusal as _state_refusal
from producer.message_batch import create_message_batch

cdef extern from "_librdkafka.h" nogil:
    ctypedef struct rd_kafka_t
    ctypedef struct rd_kafka_conf_t
    ctypedef struct rd_kafka_topic_conf_t
    ctypedef struct rd_kafka_topic_t
    ctypedef struct rd_kafka_queue_t
    ctypedef struct rd_kafka_event_t
    ctypedef struct rd_kafka_error_t
    ctypedef struct rd_kafka_headers_t
    ctypedef struct rd_kafka_consumer_group_metadata_t
    ctypedef int rd_kafka_resp_err_t
    ctypedef struct rd_kafka_message_t:
        rd_kafka_resp_err_t err
        rd_kafka_topic_t *rkt
        int32_t partition
        void *payload
        size_t len
        void *key
        size_t key_len
        int64_t offset
        void *_private
    ctypedef struct rd_kafka_vu_memory "struct { void *ptr; size_t size; }":
        void *ptr
        size_t size
    ctypedef union rd_kafka_vu_value "union rd_kafka_vu_u":
        rd_kafka_topic_t *rkt
        int i
        int32_t i32
        int64_t i64
        rd_kafka_vu_memory mem
        rd_kafka_headers_t *headers
        void *ptr
    ctypedef enum rd_kafka_vtype_t:
        RD_KAFKA_VTYPE_RKT
        RD_KAFKA_VTYPE_PARTITION
        RD_KAFKA_VTYPE_VALUE
        RD_KAFKA_VTYPE_KEY
        RD_KAFKA_VTYPE_OPAQUE
        RD_KAFKA_VTYPE_MSGFLAGS
        RD_KAFKA_VTYPE_TIMESTAMP
        RD_KAFKA_VTYPE_HEADERS
    ctypedef struct rd_kafka_vu_t:
        rd_kafka_vtype_t vtype
        rd_kafka_vu_value u
    ctypedef struct rd_kafka_topic_partition_t:
        int64_t offset
        void *metadata
        size_t metadata_size
    ctypedef struct rd_kafka_topic_partition_list_t
    ctypedef struct rd_kafka_metadata_broker_t:
        int32_t id
        char *host
        int port
    ctypedef struct rd_kafka_metadata_partition_t:
        int32_t id
        rd_kafka_resp_err_t err
        int32_t leader
        int replica_cnt
        int32_t *replicas
        int isr_cnt
        int32_t *isrs
    ctypedef struct rd_kafka_metadata_topic_t:
        char *topic
        int partition_cnt
        rd_kafka_metadata_partition_t *partitions
        rd_kafka_resp_err_t err
    ctypedef struct rd_kafka_metadata_t:
        int broker_cnt
        rd_kafka_metadata_broker_t *brokers
        int topic_cnt
        rd_kafka_metadata_topic_t *topics
        int32_t orig_broker_id
        char *orig_broker_name
    ctypedef void rd_kafka_throttle_cb_t(rd_kafka_t *, const char *, int32_t, int, void *) noexcept with gil
    ctypedef void rd_kafka_token_refresh_cb_t(rd_kafka_t *, const char *, void *) noexcept nogil

    int RD_KAFKA_PRODUCER, RD_KAFKA_CONF_OK
    int RD_KAFKA_RESP_ERR__QUEUE_FULL, RD_KAFKA_RESP_ERR__INVALID_ARG
    int RD_KAFKA_RESP_ERR_NO_ERROR
    int RD_KAFKA_PURGE_F_QUEUE, RD_KAFKA_PURGE_F_INFLIGHT, RD_KAFKA_PURGE_F_NON_BLOCKING
    int RD_KAFKA_EVENT_DR, RD_KAFKA_EVENT_LOG, RD_KAFKA_EVENT_ERROR, RD_KAFKA_EVENT_STATS
    int RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH

    const char *bind_librdkafka(void *library)
    int rd_kafka_version()
    rd_kafka_resp_err_t rd_kafka_last_error()
    const char *rd_kafka_err2str(rd_kafka_resp_err_t err)
    rd_kafka_conf_t *rd_kafka_conf_new()
    void rd_kafka_conf_destroy(rd_kafka_conf_t *conf)
    int rd_kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, char *errstr, size_t size)
    void rd_kafka_conf_set_events(rd_kafka_conf_t *conf, int events)
    void rd_kafka_conf_set_opaque(rd_kafka_conf_t *conf, void *opaque)
    void rd_kafka_conf_set_throttle_cb(rd_kafka_conf_t *conf, rd_kafka_throttle_cb_t *throttle_cb)
    void rd_kafka_conf_set_oauthbearer_token_refresh_cb(
        rd_kafka_conf_t *conf, rd_kafka_token_refresh_cb_t *token_refresh_cb)
    rd_kafka_t *rd_kafka_new(int type, rd_kafka_conf_t *conf, char *errstr, size_t size)
    void rd_kafka_destroy(rd_kafka_t *rk)
    const char *rd_kafka_name(const rd_kafka_t *rk)
    rd_kafka_resp_err_t rd_kafka_set_log_queue(rd_kafka_t *rk, rd_kafka_queue_t *queue)
    rd_kafka_topic_t *rd_kafka_topic_new(rd_kafka_t *rk, const char *name, rd_kafka_topic_conf_t *conf)
    void rd_kafka_topic_destroy(rd_kafka_topic_t *rkt)
    int rd_kafka_produce_batch(
        rd_kafka_topic_t *rkt, int32_t partition, int flags, rd_kafka_message_t *messages, int count)
    rd_kafka_error_t *rd_kafka_produceva(rd_kafka_t *rk, const rd_kafka_vu_t *arguments, size_t count)
    rd_kafka_headers_t *rd_kafka_headers_new(size_t count)
    void rd_kafka_headers_destroy(rd_kafka_headers_t *headers)
    rd_kafka_resp_err_t rd_kafka_header_add(
        rd_kafka_headers_t *headers, const char *name, ssize_t name_size, const void *value, ssize_t value_size)
    rd_kafka_queue_t *rd_kafka_queue_get_main(rd_kafka_t *rk)
    void rd_kafka_queue_destroy(rd_kafka_queue_t *queue)
    void rd_kafka_queue_io_event_enable(rd_kafka_queue_t *queue, int fd, const void *payload, size_t size)
    rd_kafka_event_t *rd_kafka_queue_poll(rd_kafka_queue_t *queue, int timeout_ms)
    int rd_kafka_event_type(const rd_kafka_event_t *event)
    void rd_kafka_event_destroy(rd_kafka_event_t *event)
    const rd_kafka_message_t *rd_kafka_event_message_next(rd_kafka_event_t *event)
    rd_kafka_resp_err_t rd_kafka_event_error(rd_kafka_event_t *event)
    int rd_kafka_event_error_is_fatal(rd_kafka_event_t *event)
    const char *rd_kafka_event_error_string(rd_kafka_event_t *event)
    const char *rd_kafka_event_stats(rd_kafka_event_t *event)
    const char *rd_kafka_event_config_string(rd_kafka_event_t *event)
    int rd_kafka_event_log(rd_kafka_event_t *event, const char **facility, const char **text, int *level)
    int64_t rd_kafka_message_timestamp(const rd_kafka_message_t *message, int *type)
    int64_t rd_kafka_message_latency(const rd_kafka_message_t *message)
    int32_t rd_kafka_message_leader_epoch(const rd_kafka_message_t *message)
    rd_kafka_resp_err_t rd_kafka_flush(rd_kafka_t *rk, int timeout_ms)
    rd_kafka_resp_err_t rd_kafka_purge(rd_kafka_t *rk, int flags)
    rd_kafka_resp_err_t rd_kafka_metadata(
        rd_kafka_t *rk, int all_topics, rd_kafka_topic_t *only, const rd_kafka_metadata_t **metadata, int timeout_ms)
    void rd_kafka_metadata_destroy(const rd_kafka_metadata_t *metadata)
    int32_t rd_kafka_controllerid(rd_kafka_t *rk, int timeout_ms)
    char *rd_kafka_clusterid(rd_kafka_t *rk, int timeout_ms)
    void rd_kafka_mem_free(rd_kafka_t *rk, void *memory)
    rd_kafka_error_t *rd_kafka_sasl_set_credentials(rd_kafka_t *rk, const char *username, const char *password)
    rd_kafka_resp_err_t rd_kafka_oauthbearer_set_token(
        rd_kafka_t *rk, const char *token, int64_t lifetime_ms, const char *principal,
        const char **extensions, size_t count, char *errstr, size_t size)
    rd_kafka_resp_err_t rd_kafka_oauthbearer_set_token_failure(rd_kafka_t *rk, const char *errstr)
    rd_kafka_error_t *rd_kafka_init_transactions(rd_kafka_t *rk, int timeout_ms)
    rd_kafka_error_t *rd_kafka_begin_transaction(rd_kafka_t *rk)
    rd_kafka_error_t *rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms)
    rd_kafka_error_t *rd_kafka_abort_transaction(rd_kafka_t *rk, int timeout_ms)
    rd_kafka_error_t *rd_kafka_send_offsets_to_transaction(
        rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets,
        const rd_kafka_consumer_group_metadata_t *group, int timeout_ms)
    rd_kafka_error_t *rd_kafka_consumer_group_metadata_read(
        rd_kafka_consumer_group_metadata_t **group, const void *buffer, size_t size)
    void rd_kafka_consumer_group_metadata_destroy(rd_kafka_consumer_group_metadata_t *group)
    rd_kafka_topic_partition_list_t *rd_kafka_topic_partition_list_new(int size)
    void rd_kafka_topic_partition_list_destroy(rd_kafka_topic_partition_list_t *list)
    rd_kafka_topic_partition_t *rd_kafka_topic_partition_list_add(
        rd_kafka_topic_partition_list_t *list, const char *topic, int32_t partition)
    void rd_kafka_topic_partition_set_leader_epoch(rd_kafka_topic_partition_t *place, int32_t epoch)
    rd_kafka_resp_err_t rd_kafka_error_code(const rd_kafka_error_t *error)
    const char *rd_kafka_error_string(const rd_kafka_error_t *error)
    int rd_kafka_error_is_fatal(const rd_kafka_error_t *error)
    int rd_kafka_error_is_retriable(const rd_kafka_error_t *error)
    int rd_kafka_error_txn_requires_abort(const rd_kafka_error_t *error)
    void rd_kafka_error_destroy(rd_kafka_error_t *error)

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030D0000
    #define interpreter_ends() Py_IsFinalizing()
    #else
    #define interpreter_ends() _Py_IsFinalizing()
    #endif
    /* The exception that C code left; a bare `raise` looks for one that is being handled. */
    #define as_it_was_raised() (-1)
    """
    bint interpreter_ends()
    int as_it_was_raised() except -1

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    PyObject *PyObject_Vectorcall(object, PyObject **, size_t, PyObject *)

_VERSION_MIN, _VERSION_END = 0x020b0000, 0x03000000
"""librdkafka's versions whose interface is the one declared above: 2.11 and later of 2."""

cdef enum:
    ERROR_SIZE = 512
    END_POLLS_MAX = 100
    END_POLL_MS = 10

cdef object _SET_RESULT = Future.set_result
cdef tuple _NO_ARGUMENTS = ()
cdef int _CREATE_TIME = TIMESTAMP_CREATE_TIME
cdef object _LOG_LEVELS = (50, 50, 50, 40, 30, 20, 20, 10)
"""Python's log levels for syslog's, 0 to 7, as confluent-kafka maps them."""


def _bind():
    """Find librdkafka in the wheel. Raises ImportError with the reason where it is not as it must be."""
    library = ctypes.CDLL(confluent_kafka.cimpl.__file__)
    cdef const char *missing = bind_librdkafka(<void *><size_t>library._handle)
    if missing != NULL:
        raise ImportError(f"the librdkafka of confluent-kafka {confluent_kafka.__version__} has no {missing.decode()}")
    if not _VERSION_MIN <= rd_kafka_version() < _VERSION_END:
        raise ImportError(f"librdkafka {rd_kafka_version():#010x} is not one that it was written for (2.11 and later of 2)")


_bind()


# Errors


cdef object _kafka_exception(rd_kafka_error_t *error):
    """The exception for the outcome of a call, which ends with this; None for success."""
    if error == NULL:
        return None
    try:
        return KafkaException(
            KafkaError(
                rd_kafka_error_code(error),
                rd_kafka_error_string(error).decode(errors="replace"),
                fatal=bool(rd_kafka_error_is_fatal(error)),
                retriable=bool(rd_kafka_error_is_retriable(error)),
                txn_requires_abort=bool(rd_kafka_error_txn_requires_abort(error)),
            )
        )
    finally:
        rd_kafka_error_destroy(error)


cdef int _raise_for(rd_kafka_error_t *error) except -1:
    raised = _kafka_exception(error)
    if raised is not None:
        raise raised
    return 0


cdef object _error_or_none(rd_kafka_resp_err_t err):
    return KafkaError(err) if err else None


cdef int _milliseconds(double seconds) noexcept nogil:
    return -1 if seconds < 0 else <int>(seconds * 1000)


# A record, from its entry to its caller


@cython.final
cdef class Epoch:
    """The records between two flushes: those that `number` and earlier epochs hold are older than the later flush."""

    cdef Py_ssize_t number
    cdef Py_ssize_t unsettled


@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class Message:
    """A record and what became of it; see `producer.message.Message`.

    No garbage collection: until it is settled what refers to it is the buffer, or librdkafka; from then on it refers to
    bytes, strings and numbers alone.
    """

    cdef object _topic
    cdef object _key
    cdef object _value
    cdef list _headers
    cdef object _error
    cdef int64_t _offset
    cdef int64_t _timestamp_ms
    cdef int64_t _latency_us
    cdef int32_t _partition
    cdef int32_t _leader_epoch
    cdef int _timestamp_type
    # Until it is settled:
    cdef rd_kafka_topic_t *_rkt
    cdef Epoch _epoch
    cdef object _future
    cdef object _on_delivery
    cdef object _report
    cdef Py_ssize_t _index
    """Its place in the produce_batch that `_report` is of."""
    cdef rd_kafka_resp_err_t _err
    """What librdkafka said of it; of a failed record `_error` is made of it, when it is told."""
    cdef bint _is_refused
    """It is in the buffer and will have no report."""
    cdef bint _is_kept
    """Whether it goes to that place of the report's messages, of which there are as many as the batch has records:
    asked of the report once, not for each record.
    """

    def topic(self):
        return self._topic

    def partition(self):
        return self._partition

    def offset(self):
        return self._offset if self._offset >= 0 else None

    def key(self):
        self._key = _as_bytes(self._key)
        return self._key

    def value(self):
        self._value = _as_bytes(self._value)
        return self._value

    def headers(self):
        return self._headers

    def timestamp(self):
        return self._timestamp_type, self._timestamp_ms

    def error(self):
        return self._error

    def latency(self):
        return self._latency_us / 1e6 if self._latency_us >= 0 else None

    def leader_epoch(self):
        return self._leader_epoch if self._leader_epoch >= 0 else None

    def __len__(self):
        return len(self._value) if self._value is not None else 0  # as str it is ASCII

    def __repr__(self):
        return f"<Message {self._topic} [{self._partition}] offset {self.offset()}, error {self._error}>"

    def __reduce__(self):
        return _settled_message, (
            self._topic,
            _as_bytes(self._key),
            _as_bytes(self._value),
            self._headers,
            self._error,
            self._offset,
            self._timestamp_ms,
            self._latency_us,
            self._partition,
            self._leader_epoch,
            self._timestamp_type,
        )

    def __cinit__(self):
        global _free
        self._offset = self._latency_us = self._partition = self._leader_epoch = -1
        _free -= _free > 0

    def __dealloc__(self):
        global _free
        _free += _free < FREE_MAX


def _settled_message(
    topic, key, value, headers, error, offset, timestamp_ms, latency_us, partition, leader_epoch, timestamp_type
):
    """A Message out of a pickle."""
    message = <Message>Message.__new__(Message)
    message._topic, message._key, message._value, message._headers = topic, key, value, headers
    message._error, message._offset, message._timestamp_ms = error, offset, timestamp_ms
    message._latency_us, message._partition = latency_us, partition
    message._leader_epoch, message._timestamp_type = leader_epoch, timestamp_type
    return message


cdef enum:
    FREE_MAX = 1024

cdef Py_ssize_t _free = 0
"""How many Messages Cython keeps to be used again: this counts as its freelist does."""


cdef inline object _owned(PyObject *reference):
    """An object with a reference that is this side's."""
    owned = <object>reference
    Py_DECREF(owned)
    return owned


cdef inline void *_lend(Message record):
    """The opaque of a record: a reference that librdkafka holds from now on."""
    Py_INCREF(record)
    return <void *>record


cdef inline Message _take_back(void *opaque):
    """The record that librdkafka is through with; the reference is this side's again."""
    return <Message>_owned(<PyObject *>opaque)


cdef inline object _as_bytes(given):
    """A value or key as a caller sees it. Text that is ASCII stays as it was given until somebody asks."""
    return PyUnicode_AsUTF8String(given) if type(given) is str else given


cdef inline void _point_to(given, void **data, size_t *size):
    """Where librdkafka reads a value or key: bytes, str that is ASCII, or None."""
    if given is None:
        data[0] = NULL
        size[0] = 0
    elif type(given) is bytes:
        data[0] = PyBytes_AS_STRING(given)
        size[0] = PyBytes_GET_SIZE(given)
    else:
        data[0] = PyUnicode_DATA(given)
        size[0] = PyUnicode_GET_LENGTH(given)


cdef inline void _fill(rd_kafka_message_t *message, Message record):
    """What `produce_batch` reads of a message, out of a record that is lent with it."""
    _point_to(record._value, &message.payload, &message.len)
    _point_to(record._key, &message.key, &message.key_len)
    message.err = RD_KAFKA_RESP_ERR_NO_ERROR
    message._private = _lend(record)


cdef rd_kafka_headers_t *_native_headers(list pairs) except NULL:
    """Headers for librdkafka, which owns them once it has taken their record."""
    cdef const char *name_text
    cdef Py_ssize_t name_size
    cdef const void *data
    cdef Py_ssize_t size
    cdef rd_kafka_headers_t *headers = rd_kafka_headers_new(len(pairs))
    try:
        for pair in pairs:
            name, value = <tuple>pair
            name_text = PyUnicode_AsUTF8AndSize(name, &name_size)
            data = NULL if value is None else PyBytes_AS_STRING(value)
            size = 0 if value is None else PyBytes_GET_SIZE(value)
            rd_kafka_header_add(headers, name_text, name_size, data, size)
    except BaseException:
        rd_kafka_headers_destroy(headers)
        raise
    return headers


# What a caller gave: the usual types here, all others and every complaint in `producer.arguments`


cdef inline object _payload(str name, given):
    if given is None or type(given) is bytes:
        return given
    if type(given) is str:
        return given if PyUnicode_IS_COMPACT_ASCII(given) else PyUnicode_AsUTF8String(given)
    if type(given) is bytearray:
        return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(given), PyByteArray_GET_SIZE(given))
    return arguments.checked_payload(name, given)


cdef inline int32_t _partition(given) except? -2:
    cdef int overflow = 0
    cdef int64_t number
    if type(given) is int:
        number = PyLong_AsLongLongAndOverflow(given, &overflow)
        if not overflow and -1 <= number <= 0x7fffffff:
            return <int32_t>number
    return arguments.checked_partition(given)


cdef inline int64_t _timestamp(given) except? -2:
    cdef int overflow = 0
    cdef int64_t number
    if type(given) is int:
        number = PyLong_AsLongLongAndOverflow(given, &overflow)
        if not overflow and number >= 0:
            return number
    return arguments.checked_timestamp(given)


cdef list _headers(given):
    cdef list checked
    cdef Py_ssize_t size
    if type(given) is dict:
        checked = list((<dict>given).items())
    elif type(given) is list:
        checked = (<list>given)[:]
    else:
        return arguments.checked_headers(given)
    for pair in checked:
        if (
            type(pair) is not tuple
            or len(<tuple>pair) != 2
            or type((<tuple>pair)[0]) is not str
            or not ((<tuple>pair)[1] is None or type((<tuple>pair)[1]) is bytes)
            or "\0" in <str>(<tuple>pair)[0]
        ):
            return arguments.checked_headers(given)
        PyUnicode_AsUTF8AndSize((<tuple>pair)[0], &size)
    return checked or None


cdef double _monotonic_s() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec / 1e9


# The client


@cython.final
cdef class Topic:
    """A topic's handle, or why librdkafka gives none."""

    cdef str name
    cdef rd_kafka_topic_t *rkt
    cdef object error


cdef void _throttled(rd_kafka_t *rk, const char *broker, int32_t broker_id, int throttle_ms, void *opaque) noexcept with gil:
    # The handler hands over to the loop and raises nothing.
    (<object>opaque)(ThrottleEvent(broker.decode(errors="replace"), broker_id, throttle_ms / 1000))


cdef void _token_is_asked_for_by_event(rd_kafka_t *rk, const char *config, void *opaque) noexcept nogil:
    pass


@cython.no_gc_clear
cdef class Client:
    """One librdkafka client. It ends with its last reference, on whatever thread drops that; dropping may take a while.

    Parameters:
        settings: librdkafka's, as strings.
        wake_fd: becomes readable when there are events for `Records.drain`; -1 for never.
        error_cb: told of errors of the whole client, as KafkaError.
        stats_cb, throttle_cb, token_cb: None, or told of statistics as JSON, a ThrottleEvent, and that an OAuth token is
            wanted, with `sasl.oauthbearer.config`.
        logger: None, or its `log` gets librdkafka's log lines.

    The callbacks run inside `Records.drain`. The methods block without the interpreter's lock, for threads. Raises KafkaException for settings that librdkafka refuses.
    """

    cdef rd_kafka_t *_rk
    cdef rd_kafka_queue_t *_queue
    cdef rd_kafka_event_t *_event
    """Being served: a time budget may end in the middle of one."""
    cdef Py_ssize_t _lent
    cdef dict _topics
    cdef int _pid
    cdef object _error_cb
    cdef object _stats_cb
    cdef object _throttle_cb
    cdef object _token_cb
    cdef object _logger

    def __init__(
        self, settings, int wake_fd, error_cb, stats_cb=None, throttle_cb=None, token_cb=None, logger=None
    ):
        cdef char errstr[ERROR_SIZE]
        cdef uint64_t one = 1
        cdef int events = RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR
        if self._rk != NULL:
            raise RuntimeError("A Client is made once.")
        self._pid = getpid()
        self._topics = {}
        self._error_cb, self._stats_cb, self._throttle_cb = error_cb, stats_cb, throttle_cb
        self._token_cb, self._logger = token_cb, logger
        cdef rd_kafka_conf_t *conf = rd_kafka_conf_new()
        try:
            for name, value in settings.items():
                self._set(conf, name, value)
            if stats_cb is not None:
                events |= RD_KAFKA_EVENT_STATS
            if token_cb is not None:
                events |= RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH
                # Else it takes it that nobody has tokens for it, and with some settings gets its own.
                rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, &_token_is_asked_for_by_event)
            if logger is not None:
                events |= RD_KAFKA_EVENT_LOG
                self._set(conf, "log.queue", "true")
            if throttle_cb is not None:
                rd_kafka_conf_set_throttle_cb(conf, &_throttled)
                rd_kafka_conf_set_opaque(conf, <void *>throttle_cb)
            rd_kafka_conf_set_events(conf, events)
            self._rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, errstr, sizeof(errstr))
            if self._rk == NULL:
                raise KafkaException(
                    KafkaError(rd_kafka_last_error(), f"Failed to create producer: {errstr.decode(errors='replace')}")
                )
            conf = NULL  # the client's now
        finally:
            if conf != NULL:
                rd_kafka_conf_destroy(conf)
        self._queue = rd_kafka_queue_get_main(self._rk)
        if logger is not None:
            rd_kafka_set_log_queue(self._rk, self._queue)
        if wake_fd >= 0:
            rd_kafka_queue_io_event_enable(self._queue, wake_fd, &one, sizeof(one))

    cdef int _set(self, rd_kafka_conf_t *conf, str name, value) except -1:
        cdef char errstr[ERROR_SIZE]
        encoded_name = name.encode()
        encoded = None if value is None else value.encode()
        cdef const char *text = NULL
        if encoded is not None:
            text = PyBytes_AS_STRING(encoded)
        if rd_kafka_conf_set(conf, encoded_name, text, errstr, sizeof(errstr)) != RD_KAFKA_CONF_OK:
            raise KafkaException(KafkaError(RD_KAFKA_RESP_ERR__INVALID_ARG, errstr.decode(errors="replace")))
        return 0

    cdef Topic _open_topic(self, topic):
        """The handle of a topic that no record was for yet. One that librdkafka takes is kept to the end."""
        handle = <Topic>Topic.__new__(Topic)
        handle.name = arguments.checked_topic(topic)
        handle.rkt = rd_kafka_topic_new(self._rk, PyUnicode_AsUTF8AndSize(handle.name, NULL), NULL)
        if handle.rkt == NULL:
            handle.error = KafkaError(rd_kafka_last_error())
        else:
            self._topics[handle.name] = handle
        return handle

    # Events

    cdef bint _has_event(self):
        if self._event == NULL:
            self._event = rd_kafka_queue_poll(self._queue, 0)
        return self._event != NULL

    cdef bint _is_report(self):
        return rd_kafka_event_type(self._event) == RD_KAFKA_EVENT_DR

    cdef void _drop_event(self):
        rd_kafka_event_destroy(self._event)
        self._event = NULL

    cdef int _serve_event(self, callbacks) except -1:
        """Serve an event that is no report, once, whatever that raises."""
        try:
            self._tell()
        except BaseException as raised:
            callbacks.note_event_raised(raised)
        finally:
            self._drop_event()
        return 0

    cdef int _tell(self) except -1:
        cdef int kind = rd_kafka_event_type(self._event)
        cdef const char *facility
        cdef const char *text
        cdef int level
        if kind == RD_KAFKA_EVENT_ERROR:
            self._error_cb(self._event_error())
        elif kind == RD_KAFKA_EVENT_STATS and self._stats_cb is not None:
            self._stats_cb(rd_kafka_event_stats(self._event).decode(errors="replace"))
        elif kind == RD_KAFKA_EVENT_LOG and self._logger is not None:
            if not rd_kafka_event_log(self._event, &facility, &text, &level):
                self._logger.log(
                    _LOG_LEVELS[level & 7],
                    "%s [%s] %s",
                    facility.decode(errors="replace"),
                    rd_kafka_name(self._rk).decode(errors="replace"),
                    text.decode(errors="replace"),
                )
        elif kind == RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH and self._token_cb is not None:
            text = rd_kafka_event_config_string(self._event)
            self._token_cb(None if text == NULL else text.decode())
        return 0

    cdef object _event_error(self):
        cdef const char *reason = rd_kafka_event_error_string(self._event)
        return KafkaError(
            rd_kafka_event_error(self._event),
            None if reason == NULL else reason.decode(errors="replace"),
            fatal=bool(rd_kafka_event_error_is_fatal(self._event)),
        )

    def keep_silent(self):
        """Wake nobody any more: the descriptor may be closed."""
        rd_kafka_queue_io_event_enable(self._queue, -1, NULL, 0)

    # Calls that may block, by the names and parameters of confluent_kafka.Producer

    def flush(self, double timeout=-1):
        """Send what lingers now, and wait: for the reports, which whoever drains takes away, or until the time is up."""
        cdef int timeout_ms = _milliseconds(timeout)
        with nogil:
            rd_kafka_flush(self._rk, timeout_ms)

    def purge(self, bint in_queue=True, bint in_flight=True, bint blocking=True):
        cdef int flags = 0
        cdef rd_kafka_resp_err_t err
        if in_queue:
            flags |= RD_KAFKA_PURGE_F_QUEUE
        if in_flight:
            flags |= RD_KAFKA_PURGE_F_INFLIGHT
        if not blocking:
            flags |= RD_KAFKA_PURGE_F_NON_BLOCKING
        with nogil:
            err = rd_kafka_purge(self._rk, flags)
        if err:
            raise KafkaException(KafkaError(err, f"Purge failed: {rd_kafka_err2str(err).decode()}"))

    def list_topics(self, topic=None, double timeout=-1):
        cdef rd_kafka_topic_t *only = NULL
        cdef const rd_kafka_metadata_t *metadata = NULL
        cdef rd_kafka_resp_err_t err
        cdef int timeout_ms = _milliseconds(timeout)
        if topic is not None:
            only = rd_kafka_topic_new(self._rk, topic.encode(), NULL)
            if only == NULL:
                err = rd_kafka_last_error()
                raise KafkaException(KafkaError(err, f"Unable to use topic {topic!r}: {rd_kafka_err2str(err).decode()}"))
        try:
            with nogil:
                err = rd_kafka_metadata(self._rk, only == NULL, only, &metadata, timeout_ms)
            if err:
                raise KafkaException(KafkaError(err, f"Failed to get metadata: {rd_kafka_err2str(err).decode()}"))
            return self._cluster(metadata)
        finally:
            if metadata != NULL:
                rd_kafka_metadata_destroy(metadata)
            if only != NULL:
                rd_kafka_topic_destroy(only)

    cdef object _cluster(self, const rd_kafka_metadata_t *metadata):
        cdef char *cluster_id = rd_kafka_clusterid(self._rk, 0)
        cluster = ClusterMetadata()
        cluster.controller_id = rd_kafka_controllerid(self._rk, 0)
        if cluster_id != NULL:
            cluster.cluster_id = cluster_id.decode(errors="replace")
            rd_kafka_mem_free(self._rk, cluster_id)
        cluster.orig_broker_id = metadata.orig_broker_id
        if metadata.orig_broker_name != NULL:
            cluster.orig_broker_name = metadata.orig_broker_name.decode(errors="replace")
        cluster.brokers = {}
        for index in range(metadata.broker_cnt):
            broker = BrokerMetadata()
            broker.id = metadata.brokers[index].id
            broker.host = metadata.brokers[index].host.decode(errors="replace")
            broker.port = metadata.brokers[index].port
            cluster.brokers[broker.id] = broker
        topics = [_topic_metadata(&metadata.topics[index]) for index in range(metadata.topic_cnt)]
        cluster.topics = {topic.topic: topic for topic in topics}
        return cluster

    def set_sasl_credentials(self, str username not None, str password not None):
        cdef rd_kafka_error_t *error
        name, secret = username.encode(), password.encode()
        cdef const char *name_text = name
        cdef const char *secret_text = secret
        with nogil:
            error = rd_kafka_sasl_set_credentials(self._rk, name_text, secret_text)
        _raise_for(error)

    def set_token(self, str token, expiry_s, str principal, dict extensions):
        """Use this OAuth token until `expiry_s` after the epoch. ValueError if librdkafka refuses it."""
        cdef char errstr[ERROR_SIZE]
        cdef rd_kafka_resp_err_t err
        cdef Py_ssize_t index
        cdef int64_t expiry_ms = <int64_t>(float(expiry_s) * 1000)
        encoded = [str(text).encode() for pair in extensions.items() for text in pair]
        cdef Py_ssize_t count = len(encoded)
        cdef const char **native = <const char **>calloc(count + 1, sizeof(const char *))
        if native == NULL:
            raise MemoryError
        try:
            for index in range(count):
                native[index] = encoded[index]
            err = rd_kafka_oauthbearer_set_token(
                self._rk, token.encode(), expiry_ms, principal.encode(), native, count, errstr, sizeof(errstr)
            )
        finally:
            free(native)
        if err:
            raise ValueError(errstr.decode(errors="replace"))

    def set_token_failure(self, str reason):
        """No OAuth token can be had now; librdkafka asks again in a while."""
        rd_kafka_oauthbearer_set_token_failure(self._rk, reason.encode(errors="replace"))

    def init_transactions(self, double timeout=-1):
        cdef rd_kafka_error_t *error
        with nogil:
            error = rd_kafka_init_transactions(self._rk, _milliseconds(timeout))
        _raise_for(error)

    def begin_transaction(self):
        cdef rd_kafka_error_t *error
        with nogil:
            error = rd_kafka_begin_transaction(self._rk)
        _raise_for(error)

    def commit_transaction(self, double timeout=-1):
        cdef rd_kafka_error_t *error
        with nogil:
            error = rd_kafka_commit_transaction(self._rk, _milliseconds(timeout))
        _raise_for(error)

    def abort_transaction(self, double timeout=-1):
        cdef rd_kafka_error_t *error
        with nogil:
            error = rd_kafka_abort_transaction(self._rk, _milliseconds(timeout))
        _raise_for(error)

    def send_offsets_to_transaction(self, positions, bytes group_metadata, double timeout=-1):
        cdef rd_kafka_error_t *error
        cdef rd_kafka_consumer_group_metadata_t *group = NULL
        cdef rd_kafka_topic_partition_list_t *offsets
        _raise_for(
            rd_kafka_consumer_group_metadata_read(
                &group, PyBytes_AS_STRING(group_metadata), PyBytes_GET_SIZE(group_metadata)
            )
        )
        offsets = rd_kafka_topic_partition_list_new(<int>len(positions))
        try:
            for position in positions:
                _add_position(offsets, position)
            with nogil:
                error = rd_kafka_send_offsets_to_transaction(self._rk, offsets, group, _milliseconds(timeout))
            _raise_for(error)
        finally:
            rd_kafka_topic_partition_list_destroy(offsets)
            rd_kafka_consumer_group_metadata_destroy(group)

    # The end

    def __dealloc__(self):
        # In a forked child librdkafka's threads are missing, and it would wait for them for ever. At the end of the
        # interpreter nobody may have to wait for a broker; the process takes the client with it.
        if self._rk != NULL and self._pid == getpid() and not interpreter_ends():
            self._end()

    cdef void _end(self):
        """Let librdkafka go. Reports that nobody will hear of are waited for, for the references that they bring back."""
        cdef int polls
        if self._event != NULL:
            self._discard_event()
        if self._lent:
            rd_kafka_purge(self._rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING)
        for polls in range(END_POLLS_MAX):
            if not self._lent:
                break
            with nogil:
                self._event = rd_kafka_queue_poll(self._queue, END_POLL_MS)
            if self._event != NULL:
                self._discard_event()
        for handle in self._topics.values():
            rd_kafka_topic_destroy((<Topic>handle).rkt)
        with nogil:
            rd_kafka_queue_destroy(self._queue)
            rd_kafka_destroy(self._rk)

    cdef void _discard_event(self):
        cdef const rd_kafka_message_t *message
        if rd_kafka_event_type(self._event) == RD_KAFKA_EVENT_DR:
            message = rd_kafka_event_message_next(self._event)
            while message != NULL:
                self._lent -= 1
                _take_back(message._private)
                message = rd_kafka_event_message_next(self._event)
        self._drop_event()


cdef inline int _set_result(future, result) except -1:
    cdef PyObject **arguments = [<PyObject *>future, <PyObject *>result]
    cdef PyObject *none = PyObject_Vectorcall(_SET_RESULT, arguments, 2, NULL)
    if none != NULL:
        Py_DECREF(<object>none)
    elif PyErr_ExceptionMatches(InvalidStateError):
        PyErr_Clear()  # the caller gave up the wait
    else:
        as_it_was_raised()
    return 0


cdef int _add_position(rd_kafka_topic_partition_list_t *offsets, position) except -1:
    cdef rd_kafka_topic_partition_t *place
    topic = position.topic.encode()
    place = rd_kafka_topic_partition_list_add(offsets, topic, position.partition)
    place.offset = position.offset
    rd_kafka_topic_partition_set_leader_epoch(place, -1 if position.leader_epoch is None else position.leader_epoch)
    if position.metadata is not None:
        metadata = position.metadata.encode()
        place.metadata = strdup(metadata)  # freed with the list
        place.metadata_size = len(metadata) + 1
    return 0


cdef object _topic_metadata(const rd_kafka_metadata_topic_t *found):
    topic = TopicMetadata()
    topic.topic = found.topic.decode(errors="replace")
    topic.error = _error_or_none(found.err)
    topic.partitions = {}
    for index in range(found.partition_cnt):
        partition = PartitionMetadata()
        partition.id = found.partitions[index].id
        partition.leader = found.partitions[index].leader
        partition.error = _error_or_none(found.partitions[index].err)
        partition.replicas = [found.partitions[index].replicas[n] for n in range(found.partitions[index].replica_cnt)]
        partition.isrs = [found.partitions[index].isrs[n] for n in range(found.partitions[index].isr_cnt)]
        topic.partitions[partition.id] = partition
    return topic


# From the entry to the report


cdef Py_ssize_t _LOOK_MASK_MAX = reports.LOOK_MASK_MAX
cdef double _LOOK_S_MIN = reports.LOOK_S_MIN
cdef double _LOOK_S_MAX = reports.LOOK_S_MAX
cdef int _QUEUE_FULL = RD_KAFKA_RESP_ERR__QUEUE_FULL
cdef int _STATE = KafkaError._STATE


cdef class Records:
    """The compiled `producer.transport.Records`: a client's records in call order, from their entry to their outcome."""

    cdef public Py_ssize_t room
    cdef public object on_first
    cdef public object on_alone
    cdef public object on_refused
    cdef readonly Py_ssize_t accepted
    cdef readonly Py_ssize_t handed_over
    cdef readonly Py_ssize_t settled
    cdef readonly Py_ssize_t batches
    cdef readonly Py_ssize_t queue_full
    cdef readonly Py_ssize_t created
    cdef readonly Py_ssize_t reused
    cdef Client _client
    cdef object _callbacks
    cdef object _on_delivery
    cdef bint _only_failures
    cdef dict _future_arguments
    cdef unsigned long _thread
    cdef list _buffer
    cdef Py_ssize_t _head
    cdef Py_ssize_t _refusals
    """Records before the head that were refused, and are not in `_refused` yet."""
    cdef Py_ssize_t _looked_through
    """How far the buffer was looked through for them."""
    cdef object _refused
    cdef Message _telling
    """The record whose outcome is being told. Where that was interrupted, the next drain goes on with it."""
    cdef object _batch
    """The BatchReport whose records were settled last. It is told when another's come, or at the end of a drain."""
    cdef Py_ssize_t _batch_settled
    """How many of them it was not told of."""
    cdef list _epochs
    cdef Epoch _epoch
    cdef rd_kafka_message_t *_messages
    cdef Py_ssize_t _batch_size
    cdef bint _is_busy
    cdef double _until_s
    cdef double _looked_s
    cdef Py_ssize_t _look_mask

    def __init__(self, Client client, loop, callbacks, Py_ssize_t batch_size, on_delivery):
        if self._messages != NULL:
            raise RuntimeError("Records are made once.")
        self._client = client
        self._callbacks = callbacks
        self._on_delivery = on_delivery
        self._only_failures = callbacks.only_failures
        self._future_arguments = {"loop": loop}
        self._thread = PyThread_get_thread_ident()
        self._buffer = []
        self._refused = deque()
        self._epochs = []
        self._begin_epoch(1)
        self._batch_size = batch_size
        self._messages = <rd_kafka_message_t *>calloc(batch_size, sizeof(rd_kafka_message_t))
        if self._messages == NULL:
            raise MemoryError
        self.on_first = self.on_alone = self.on_refused = _nothing

    def __dealloc__(self):
        free(self._messages)

    def release(self):
        """Let go of the client, for good: no record may enter, be handed over or be reported any more."""
        self.room = 0
        self._client = None

    # Entry

    def accept(self, topic, value, key, partition, on_delivery, timestamp, headers):
        if self.room <= 0 or PyThread_get_thread_ident() != self._thread:
            return None
        return self._enter(self._make(topic, value, key, partition, on_delivery, timestamp, headers))

    def make(self, topic, value, key, partition, on_delivery, timestamp, headers):
        return self._make(topic, value, key, partition, on_delivery, timestamp, headers)

    def make_batch(self, topic, messages, partition, on_delivery, report):
        cdef Message record
        cdef Py_ssize_t index = -1
        cdef list made = []
        cdef bint is_kept = report.messages is not None
        topic, on_delivery = arguments.checked_topic(topic), arguments.checked_callback(on_delivery)
        partition = arguments.checked_partition(partition)
        for message in messages:
            index += 1
            try:
                record = self._made_of(topic, message, partition, on_delivery)
            except (TypeError, ValueError) as refused:
                report.reject(index, refused)
                continue
            record._report = report
            record._index = index
            record._is_kept = is_kept
            made.append(record)
        return made

    def enter(self, Message record):
        if record._epoch is not None:
            return record._future
        return self._enter(record)

    def enter_many(self, list made, Py_ssize_t start):
        cdef Py_ssize_t index = start
        while index < PyList_GET_SIZE(made) and self.room > 0:
            self._enter(<Message>PyList_GET_ITEM(made, index))
            index += 1
        return index

    cdef Message _make(self, topic, value, key, partition, on_delivery, timestamp, headers):
        cdef PyObject *found
        cdef Topic handle
        if self._client is None:
            raise RuntimeError("These records' client has ended.")
        self.reused += _free > 0
        self.created += _free <= 0
        record = <Message>Message.__new__(Message)
        if type(topic) is not str:
            topic = arguments.checked_topic(topic)
        found = PyDict_GetItemWithError(self._client._topics, topic)
        handle = <Topic>found if found != NULL else self._client._open_topic(topic)
        record._topic = handle.name
        record._rkt = handle.rkt
        record._error = handle.error
        record._value = _payload("value", value)
        record._key = _payload("key", key)
        record._partition = _partition(partition)
        record._timestamp_ms = _timestamp(timestamp)
        if record._timestamp_ms:
            record._timestamp_type = _CREATE_TIME
        if headers is not None:
            record._headers = _headers(headers)
        record._on_delivery = self._on_delivery if on_delivery is None else arguments.checked_callback(on_delivery)
        return record

    cdef Message _made_of(self, topic, given, partition, on_delivery):
        cdef dict message
        cdef Py_ssize_t known = 0
        message = <dict>given if type(given) is dict else arguments.checked_message(given)
        value = _known(message, "value", None, &known)
        key = _known(message, "key", None, &known)
        headers = timestamp = None
        if known < len(message):
            headers = _known(message, "headers", None, &known)
            timestamp = _known(message, "timestamp", None, &known)
            partition = _known(message, "partition", partition, &known)
            on_delivery = _known(message, "callback", on_delivery, &known)
            on_delivery = _known(message, "on_delivery", on_delivery, &known)
            if known < len(message):
                arguments.checked_message(message)
        return self._make(topic, value, key, partition, on_delivery, timestamp or 0, headers)

    cdef object _enter(self, Message record):
        cdef bint is_first = not PyList_GET_SIZE(self._buffer)
        future = None
        if is_first:
            self.on_first()
        if record._report is None:
            future = record._future = PyObject_Call(Future, _NO_ARGUMENTS, self._future_arguments)
        self._buffer.append(record)
        record._epoch = self._epoch
        self._epoch.unsettled += 1
        self.accepted += 1
        self.room -= 1
        if is_first and self.accepted - self.settled == 1:
            self.on_alone()
        return future

    # Hand-over

    def hand_over(self):
        cdef Message first
        cdef bint is_full
        if self._client is None:
            return True
        try:
            while self._head < PyList_GET_SIZE(self._buffer):
                first = <Message>PyList_GET_ITEM(self._buffer, self._head)
                if first._rkt == NULL:
                    self._refuse(first)
                    continue
                if first._headers is None and not first._timestamp_ms:
                    is_full = self._hand_over_run(first)
                else:
                    is_full = self._hand_over_one(first)
                if not is_full:
                    continue
                if self._client._lent or self._client._event != NULL:
                    self.queue_full += 1
                    return False
                first = <Message>PyList_GET_ITEM(self._buffer, self._head)
                first._error = _never_fits()
                self._refuse(first)
            return True
        finally:
            self._forget_handed_over()

    cdef bint _hand_over_run(self, Message first) except -1:
        """Hand over what may go in one call; whether the queue is full, with what it kept out at the head."""
        cdef Message record
        cdef rd_kafka_message_t *message
        cdef Py_ssize_t count = 0
        cdef Py_ssize_t index
        cdef Py_ssize_t size_max = min(self._batch_size, PyList_GET_SIZE(self._buffer) - self._head)
        cdef int accepted
        cdef bint is_full = False
        while count < size_max:
            record = <Message>PyList_GET_ITEM(self._buffer, self._head + count)
            if (
                record._rkt != first._rkt
                or record._partition != first._partition
                or record._headers is not None
                or record._timestamp_ms
            ):
                break
            _fill(&self._messages[count], record)
            count += 1
        accepted = rd_kafka_produce_batch(first._rkt, first._partition, 0, self._messages, <int>count)
        self._client._lent += accepted
        self.batches += 1
        if accepted == count:
            self._head += count
            self.handed_over += count
            return False
        for index in range(count):
            message = &self._messages[index]
            if not message.err:
                self._head += 1
                self.handed_over += 1
                continue
            record = _take_back(message._private)
            if message.err == _QUEUE_FULL:
                is_full = True  # librdkafka takes nothing after the first that found the queue full
            elif not is_full:
                record._err = message.err
                self._refuse(record)
        return is_full

    cdef bint _hand_over_one(self, Message record) except -1:
        """As `_hand_over_run`, of a record that goes by itself."""
        cdef rd_kafka_vu_t arguments[8]
        cdef Py_ssize_t count = 6
        cdef rd_kafka_headers_t *headers = NULL
        cdef rd_kafka_error_t *error
        cdef rd_kafka_message_t message
        memset(arguments, 0, sizeof(arguments))
        if record._headers is not None:
            headers = _native_headers(record._headers)
        _fill(&message, record)
        arguments[0].vtype = RD_KAFKA_VTYPE_RKT
        arguments[0].u.rkt = record._rkt
        arguments[1].vtype = RD_KAFKA_VTYPE_PARTITION
        arguments[1].u.i32 = record._partition
        arguments[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS
        arguments[2].u.i = 0
        arguments[3].vtype = RD_KAFKA_VTYPE_VALUE
        arguments[3].u.mem.ptr = message.payload
        arguments[3].u.mem.size = message.len
        arguments[4].vtype = RD_KAFKA_VTYPE_KEY
        arguments[4].u.mem.ptr = message.key
        arguments[4].u.mem.size = message.key_len
        arguments[5].vtype = RD_KAFKA_VTYPE_OPAQUE
        arguments[5].u.ptr = message._private
        if record._timestamp_ms:
            arguments[count].vtype = RD_KAFKA_VTYPE_TIMESTAMP
            arguments[count].u.i64 = record._timestamp_ms
            count += 1
        if headers != NULL:
            arguments[count].vtype = RD_KAFKA_VTYPE_HEADERS
            arguments[count].u.headers = headers
            count += 1
        error = rd_kafka_produceva(self._client._rk, arguments, count)
        self.batches += 1
        if error == NULL:
            self._client._lent += 1
            self._head += 1
            self.handed_over += 1
            return False
        _take_back(message._private)
        if headers != NULL:
            rd_kafka_headers_destroy(headers)
        reason = _kafka_exception(error).args[0]
        if reason.code() == _QUEUE_FULL:
            return True
        record._error = _state_refusal() if reason.code() == _STATE else reason
        self._refuse(record)
        return False

    cdef void _refuse(self, Message record) noexcept:
        """The record at the head will have no report. Nothing here can fail, with others in librdkafka's hands; what
        can is done by `_forget_handed_over`, and again where it was interrupted.
        """
        record._is_refused = True
        self._refusals += 1
        self._head += 1
        self.handed_over += 1

    def drop(self, error):
        cdef Message record
        try:
            while self._head < PyList_GET_SIZE(self._buffer):
                record = <Message>PyList_GET_ITEM(self._buffer, self._head)
                record._error = error
                self._refuse(record)
        finally:
            self._forget_handed_over()

    cdef int _forget_handed_over(self) except -1:
        cdef Message record
        while self._refusals:
            record = <Message>PyList_GET_ITEM(self._buffer, self._looked_through)
            if record._is_refused:
                if record._error is None:
                    record._error = _state_refusal() if record._err == _STATE else KafkaError(record._err)
                self._refused.append(record)
                record._is_refused = False
                self._refusals -= 1
            self._looked_through += 1
        del self._buffer[: self._head]
        self._head = self._looked_through = 0
        if self._refused:
            self.on_refused()
        return 0

    def preview(self, target_topic):
        cdef Message record
        found = []
        last, messages = None, []
        for record in self._buffer:
            if target_topic is not None and record._topic != target_topic:
                continue
            is_bulk = record._headers is None and not record._timestamp_ms
            run = (record._topic, record._partition, is_bulk)
            if run != last or len(messages) == self._batch_size:
                last, messages = run, []
                found.append((run, messages))
            messages.append(_mapping_of(record))
        return [create_message_batch(topic, messages, partition, bulk) for (topic, partition, bulk), messages in found]

    # Reports

    def drain(self, double budget_s):
        cdef bint is_over = False
        cdef Client client = self._client
        if self._is_busy:
            return True  # called by what a report set off: the outer call goes on
        if client is None:
            return False
        self._is_busy = True
        self._until_s = _monotonic_s() + budget_s
        try:
            if self._telling is not None:
                is_over = self._settle(self._telling)
            while self._refused and not is_over:
                is_over = self._settle(self._refused.popleft())
            while not is_over and client._has_event():
                if not client._is_report():
                    client._serve_event(self._callbacks)
                elif not (is_over := self._settle_reports(client)):
                    client._drop_event()
            return is_over
        finally:
            self._is_busy = False
            self._tell_batch()

    cdef bint _settle_reports(self, Client client) except -1:
        """Settle the records of a report event; whether the time was over before all were."""
        cdef const rd_kafka_message_t *message
        cdef Message record
        while True:
            message = rd_kafka_event_message_next(client._event)
            if message == NULL:
                return False
            client._lent -= 1
            record = _take_back(message._private)
            record._partition = message.partition
            record._offset = message.offset
            record._timestamp_ms = rd_kafka_message_timestamp(message, &record._timestamp_type)
            record._latency_us = rd_kafka_message_latency(message)
            record._leader_epoch = rd_kafka_message_leader_epoch(message)
            record._err = message.err
            if self._settle(record):
                return True

    cdef bint _settle(self, Message record) except -1:
        """Tell everybody of a record's outcome; whether the time is over.

        A record that has its epoch was not told. Whatever is raised on the way: what may be repeated comes first, and
        is; what may not (the counts) follows, all in one step of C.
        """
        cdef bint is_over = False
        self._telling = record
        if record._epoch is not None:
            if record._is_kept:
                record._report.messages[record._index] = record
            if record._err or record._error is not None:
                self._fail(record)
            elif record._report is not None:
                self._begin_batch(record._report)
            else:
                _set_result(record._future, record)
            if record._report is not None:
                self._batch_settled += 1
                record._report = None
            record._future = None
            record._epoch.unsettled -= 1
            record._epoch = None
            self.settled += 1
        on_delivery = record._on_delivery
        if on_delivery is not None:
            record._on_delivery = None
            if record._error is not None or not self._only_failures:
                self._call(on_delivery, record)
                is_over = _monotonic_s() > self._until_s
        self._telling = None
        if not self.settled & self._look_mask:  # last, since it may raise
            is_over = self._look(record) or is_over
        return is_over

    cdef inline int _begin_batch(self, report) except -1:
        """Records of one produce_batch mostly come together: they are counted here, and told at once."""
        if report is not self._batch:
            self._tell_batch()
            self._batch = report
        return 0

    cdef int _tell_batch(self) except -1:
        if self._batch is not None:
            if self._batch_settled:
                self._batch.remaining -= self._batch_settled
                self._batch_settled = 0
            self._batch.finish()
            self._batch = None
        return 0

    cdef int _fail(self, Message record) except -1:
        cdef bint is_heard = record._on_delivery is not None
        self.room = 0  # what the failure means for the next record is asked first
        if record._error is None:
            record._error = KafkaError(record._err)
        is_heard = self._callbacks.on_failure(record._error) or is_heard
        if record._report is not None:
            self._begin_batch(record._report)
            record._report.fail(record._index, record._error)
        else:
            if not record._future.done():
                record._future.set_exception(KafkaException(record._error))
            if is_heard and not record._future.cancelled():
                record._future.exception()
        self._callbacks.failures[record._error.name()] += 1
        return 0

    cdef int _call(self, on_delivery, Message record) except -1:
        try:
            outcome = on_delivery(record._error, record)
        except BaseException as raised:
            self._callbacks.note_raised(raised, record)
        else:
            if outcome is not None:
                self._callbacks.follow(outcome, record)
        return 0

    cdef bint _look(self, Message record) except -1:
        """What is not done for every record; see `producer.callbacks.LOOK_MASK_MAX`. Whether the time is over."""
        cdef double now_s = _monotonic_s()
        if now_s - self._looked_s < _LOOK_S_MIN:
            self._look_mask = min(2 * self._look_mask + 1, _LOOK_MASK_MAX)
        elif now_s - self._looked_s > _LOOK_S_MAX:
            self._look_mask >>= 1
        self._looked_s = now_s
        if record._error is None and record._latency_us >= 0:
            self._callbacks.latencies.add(record._latency_us / 1e6)
        return now_s > self._until_s

    # Counts

    def unsettled(self):
        return self.accepted - self.settled

    def buffered(self):
        return self.accepted - self.handed_over

    def new_epoch(self):
        if self._epoch.unsettled:
            self._begin_epoch(self._epoch.number + 1)
        return self._epoch.number

    def oldest_epoch(self):
        while len(self._epochs) > 1 and not (<Epoch>self._epochs[0]).unsettled:
            del self._epochs[0]
        return (<Epoch>self._epochs[0]).number

    cdef int _begin_epoch(self, Py_ssize_t number) except -1:
        epoch = <Epoch>Epoch.__new__(Epoch)
        epoch.number = number
        self._epochs.append(epoch)
        self._epoch = epoch
        return 0


cdef inline object _known(dict message, str name, otherwise, Py_ssize_t *known):
    """What a message of a batch has by this name, counted if it has one."""
    cdef PyObject *found = PyDict_GetItemWithError(message, name)
    if found == NULL:
        return otherwise
    known[0] += 1
    return otherwise if <object>found is None else <object>found


def _nothing():
    pass


cdef dict _mapping_of(Message record):
    """As confluent's produce_batch reads it; its future stands for its callback."""
    mapping = {"value": _as_bytes(record._value), "key": _as_bytes(record._key)}
    mapping["callback"] = record._on_delivery or record._future
    if record._headers is not None:
        mapping["headers"] = record._headers
    if record._timestamp_ms:
        mapping["timestamp"] = record._timestamp_ms
    return mapping
