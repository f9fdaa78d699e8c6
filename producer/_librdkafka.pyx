# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled transport's way to librdkafka: its public C interface, out of the library in confluent-kafka's wheel.

Only what a record passes through on its way is here, and what needs C to be called: a plain record's way into the
buffer (FastLane), its hand-over (Client.submit), its report (Client.drain), and librdkafka's blocking calls. What decides
about time, order and life is Python (`producer.compiled_transport` and what is above it).

Ownership. What librdkafka holds carries one reference to a Record as its opaque, which has the callback, the key and the
value. librdkafka reads the value out of that: it is never copied, and the acknowledged Message has the very object that was
given. `_lend` is the one place that gives such a reference away, `_take_back` the one that gets it back: with the report,
when the record was refused, or at the client's end. All of a Client's counting is done on the loop's thread, or in the one
thread that drops its last reference.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.exc cimport PyErr_Clear, PyErr_ExceptionMatches, PyErr_WarnEx
from cpython.list cimport PyList_Append
from cpython.object cimport PyObject_Call
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset, strdup
from posix.unistd cimport getpid

import ctypes
from asyncio import Future, InvalidStateError
from collections.abc import Coroutine

import confluent_kafka.cimpl
from confluent_kafka import (
    KafkaError,
    KafkaException,
    ThrottleEvent,
)
from confluent_kafka.admin import BrokerMetadata, ClusterMetadata, PartitionMetadata, TopicMetadata

from producer.callbacks import BatchSlot, StopServing

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
    const char *rd_kafka_topic_name(const rd_kafka_topic_t *rkt)
    int rd_kafka_produce_batch(
        rd_kafka_topic_t *rkt, int32_t partition, int flags, rd_kafka_message_t *messages, int count)
    rd_kafka_error_t *rd_kafka_produceva(rd_kafka_t *rk, const rd_kafka_vu_t *arguments, size_t count)
    rd_kafka_headers_t *rd_kafka_headers_new(size_t count)
    void rd_kafka_headers_destroy(rd_kafka_headers_t *headers)
    rd_kafka_resp_err_t rd_kafka_header_add(
        rd_kafka_headers_t *headers, const char *name, ssize_t name_size, const void *value, ssize_t value_size)
    rd_kafka_resp_err_t rd_kafka_header_get_all(
        const rd_kafka_headers_t *headers, size_t index, const char **name, const void **value, size_t *size)
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
    rd_kafka_resp_err_t rd_kafka_message_headers(const rd_kafka_message_t *message, rd_kafka_headers_t **headers)
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
    """
    bint interpreter_ends()

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_NEXT
    ctypedef PySendResult (*sendfunc)(PyObject *, PyObject *, PyObject **)
    ctypedef struct PyAsyncMethods:
        sendfunc am_send
    ctypedef struct PyTypeObject:
        PyAsyncMethods *tp_as_async
    int PyIter_Send(object, object, PyObject **) except -1
    PyObject *PyObject_Vectorcall(object, PyObject **, size_t, PyObject *)

_VERSION_MIN, _VERSION_END = 0x020b0000, 0x03000000
"""librdkafka's versions whose interface is the one declared above: 2.11 and later of 2."""

cdef enum:
    ERROR_SIZE = 512
    END_POLLS_MAX = 100
    END_POLL_MS = 10

cdef type _FUTURE = Future
cdef object _SET_RESULT = Future.set_result
cdef object _MINUS_ONE = -1
cdef object _ZERO = 0
cdef tuple _NO_ARGUMENTS = ()
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


# What goes in and what comes out


@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class Record:
    """A record of bytes from produce() to its report. In the buffer it is what the mapping of `producer.message_batch` is
    elsewhere, for a third of its cost.

    No garbage collection: what refers to it is a list in the buffer, or librdkafka.
    """

    cdef object value
    cdef object key
    cdef object callback

    def __getitem__(self, name):
        if name == "value":
            return self.value
        if name == "key":
            return self.key
        if name == "callback":
            return self.callback
        raise KeyError(name)

    def get(self, name, default=None):
        try:
            return self[name]
        except KeyError:
            return default


cdef inline Record _record(object value, object key, object callback):
    record = <Record>Record.__new__(Record)
    record.value = value
    record.key = key
    record.callback = callback
    return record


# References that librdkafka holds


cdef inline object _owned(PyObject *reference):
    """An object with a reference that is this side's."""
    owned = <object>reference
    Py_DECREF(owned)
    return owned


cdef inline void *_lend(Record record):
    """The opaque of a record: a reference that librdkafka holds from now on."""
    Py_INCREF(record)
    return <void *>record


cdef inline Record _take_back(void *opaque):
    """The record that librdkafka is through with; the reference is this side's again."""
    return <Record>_owned(<PyObject *>opaque)


@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class Message:
    """A record and what became of it; see `producer.message.Message`.

    No garbage collection: it refers to bytes, strings and numbers alone.
    """

    cdef object _topic
    cdef object _key
    cdef object _value
    cdef object _headers
    cdef object _error
    cdef int64_t _offset
    cdef int64_t _timestamp_ms
    cdef int64_t _latency_us
    cdef int32_t _partition
    cdef int32_t _leader_epoch
    cdef int _timestamp_type

    def topic(self):
        return self._topic

    def partition(self):
        return self._partition

    def offset(self):
        return self._offset if self._offset >= 0 else None

    def key(self):
        return self._key

    def value(self):
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
        return len(self._value) if self._value is not None else 0

    def __repr__(self):
        return f"<Message {self._topic} [{self._partition}] offset {self.offset()}, error {self._error}>"


cdef object _headers(const rd_kafka_message_t *message):
    cdef rd_kafka_headers_t *headers
    cdef const char *name
    cdef const void *value
    cdef size_t size
    cdef size_t index = 0
    if rd_kafka_message_headers(message, &headers):
        return None
    found = []
    while not rd_kafka_header_get_all(headers, index, &name, &value, &size):
        found.append((name.decode(), None if value == NULL else PyBytes_FromStringAndSize(<const char *>value, size)))
        index += 1
    return found


# The way in


cdef class FastLane:
    """The compiled `producer.fast_lane.FastLane`."""

    cdef public Py_ssize_t room
    cdef public dict lists
    cdef public object open_list
    cdef public object at_once
    cdef public object otherwise
    cdef object _future_type
    cdef dict _future_arguments
    cdef unsigned long _thread

    def __init__(self, loop, future_type):
        self.room = 0
        self.lists = {}
        self._future_type = future_type
        self._future_arguments = {"loop": loop}
        self._thread = PyThread_get_thread_ident()

    def produce(
        self, topic, value=None, key=None, partition=-1, on_delivery=None, timestamp=0, headers=None, *, callback=None
    ):
        call = <Producing>Producing.__new__(Producing)
        call.lane = self
        call.topic = topic
        call.value = value
        call.key = key
        if not (
            partition is _MINUS_ONE
            and on_delivery is None
            and headers is None
            and timestamp is _ZERO
            and callback is None
        ):
            call.extras = (partition, on_delivery or callback, timestamp, headers)
        return call

    cdef object enter(self, topic, value, key):
        """The future of a record that has entered; None where it must go the long way."""
        cdef PyObject *found
        if (
            type(value) is not bytes
            or not (key is None or type(key) is bytes)
            or PyThread_get_thread_ident() != self._thread
        ):
            return None
        if self.room <= 0:
            return self.at_once(topic, value, key)
        found = PyDict_GetItemWithError(self.lists, topic)
        records = <object>found if found != NULL else self.open_list(topic)
        if records is None:
            return None
        future = PyObject_Call(self._future_type, _NO_ARGUMENTS, self._future_arguments)
        PyList_Append(records, _record(value, key, future))
        self.room -= 1
        return future

    def enter_batch(self, list records, messages, list slots, Py_ssize_t start):
        cdef Py_ssize_t index
        cdef Py_ssize_t count = len(messages)
        cdef PyObject *value
        cdef PyObject *key
        for index in range(start, count):
            message = messages[index]
            if self.room <= 0 or type(message) is not dict:
                return index
            value = PyDict_GetItemWithError(message, "value")
            key = PyDict_GetItemWithError(message, "key")
            if (
                value == NULL
                or type(<object>value) is not bytes
                or not (key == NULL or key == <PyObject *>None or type(<object>key) is bytes)
                or len(<dict>message) != 1 + (key != NULL)
            ):
                return index
            self.room -= 1
            records.append(_record(<object>value, <object>key if key != NULL else None, slots[index]))
        return count


@cython.final
@cython.freelist(256)
cdef class Producing:
    """The coroutine of one produce(): it does nothing until it is awaited, and a plain record is done at once then.

    Written out, because the one that Cython makes of `async def` costs twice as much. Behaves as that does: it warns if
    it is never awaited, and can be awaited once.
    """

    cdef FastLane lane
    cdef object topic
    cdef object value
    cdef object key
    cdef tuple extras
    cdef object long_way
    cdef bint is_begun

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        cdef PyObject *result = NULL
        if _advance(<PyObject *>self, <PyObject *>value, &result) == PYGEN_NEXT:
            return _owned(result)
        raise StopIteration(_owned(result))

    def throw(self, kind, value=None, traceback=None):
        if self.long_way is not None:
            return self.long_way.throw(kind if value is None else value)
        self.is_begun = True
        raise kind if value is None else value

    def close(self):
        if self.long_way is not None:
            self.long_way.close()
            self.long_way = None
        self.is_begun = True

    def __dealloc__(self):
        if not self.is_begun:
            PyErr_WarnEx(RuntimeWarning, b"coroutine 'AIOProducer.produce' was never awaited", 1)


cdef int _advance(PyObject *coroutine, PyObject *sent, PyObject **result) except -1:
    """`Producing.send` as the interpreter and asyncio call it: without an exception for the result."""
    cdef int outcome
    self = <Producing>coroutine
    if self.long_way is None:
        if self.is_begun:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self.is_begun = True
        if self.extras is None:
            future = self.lane.enter(self.topic, self.value, self.key)
            if future is not None:
                Py_INCREF(future)
                result[0] = <PyObject *>future
                return PYGEN_RETURN
            self.extras = (_MINUS_ONE, None, _ZERO, None)
        self.long_way = self.lane.otherwise(self.topic, self.value, self.key, *self.extras)
    try:
        outcome = PyIter_Send(self.long_way, <object>sent, result)
    except BaseException:
        self.long_way = None
        raise
    if outcome == PYGEN_RETURN:
        self.long_way = None
    return outcome


(<PyTypeObject *>Producing).tp_as_async.am_send = <sendfunc>_advance
Coroutine.register(Producing)


# The client


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
        wake_fd: becomes readable when there are events for `drain`; -1 for never.
        error_cb: told of errors of the whole client, as KafkaError.
        stats_cb, throttle_cb, token_cb: None, or told of statistics as JSON, a ThrottleEvent, and that an OAuth token is
            wanted, with `sasl.oauthbearer.config`.
        logger: None, or its `log` gets librdkafka's log lines.

    The callbacks run inside `drain` and must not raise. `submit` and `drain` belong to the loop's thread; the other methods
    block without the interpreter's lock, for threads. Raises KafkaException for settings that librdkafka refuses.
    """

    cdef rd_kafka_t *_rk
    cdef rd_kafka_queue_t *_queue
    cdef rd_kafka_event_t *_event
    """Being served: a time budget may end in the middle of one."""
    cdef bint _is_draining
    cdef rd_kafka_message_t *_messages
    cdef Py_ssize_t _room
    cdef Py_ssize_t _lent
    cdef dict _topics
    cdef const rd_kafka_topic_t *_last_rkt
    cdef object _last_topic
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

    # Hand-over

    def submit(self, topic, int partition, tuple records, bint bulk, refuse):
        """Hand records over; how many were taken. Fewer than all: the queue is full.

        `refuse(record, error)` is called for each that counts as taken and will have no report.
        """
        cdef rd_kafka_topic_t *rkt
        try:
            rkt = self._topic(topic)
        except KafkaException as refused:
            for record in records:
                refuse(record, refused.args[0])
            return len(records)
        if bulk:
            return self._submit_bulk(rkt, partition, records, refuse)
        for index, record in enumerate(records):
            error = self._submit_one(rkt, partition, record)
            if error is None:
                continue
            if error.code() == RD_KAFKA_RESP_ERR__QUEUE_FULL:
                return index
            refuse(record, error)
        return len(records)

    def submit_alone(self, topic, value, key, callback):
        """Hand over one plain record of a topic that records have gone to before; False if nothing was taken."""
        cdef rd_kafka_message_t message
        cdef PyObject *found = PyDict_GetItemWithError(self._topics, topic) if type(topic) is str else NULL
        if found == NULL:
            return False
        _fill(&message, _record(value, key, callback))
        if rd_kafka_produce_batch(<rd_kafka_topic_t *><size_t><object>found, -1, 0, &message, 1) == 1:
            self._lent += 1
            return True
        _take_back(message._private)
        return False

    cdef rd_kafka_topic_t *_topic(self, topic) except NULL:
        """The handle of a topic; the first record for it makes one, which is kept to the end."""
        cdef PyObject *found = PyDict_GetItemWithError(self._topics, topic)
        if found != NULL:
            return <rd_kafka_topic_t *><size_t><object>found
        cdef rd_kafka_topic_t *rkt = rd_kafka_topic_new(self._rk, topic.encode(), NULL)
        if rkt == NULL:
            raise KafkaException(KafkaError(rd_kafka_last_error()))
        self._topics[topic] = <size_t>rkt
        return rkt

    cdef Py_ssize_t _submit_bulk(self, rd_kafka_topic_t *rkt, int partition, tuple records, refuse) except -1:
        cdef Py_ssize_t count = len(records)
        cdef Py_ssize_t index
        cdef Py_ssize_t taken
        cdef int accepted
        cdef rd_kafka_message_t *messages = self._messages_for(count)
        for index in range(count):
            _fill(&messages[index], _record_of(records[index]))
        accepted = rd_kafka_produce_batch(rkt, partition, 0, messages, <int>count)
        self._lent += accepted
        if accepted == count:
            return count
        taken = count
        refused = []
        for index in range(count):
            if not messages[index].err:
                continue
            _take_back(messages[index]._private)
            if messages[index].err != RD_KAFKA_RESP_ERR__QUEUE_FULL:
                refused.append((records[index], KafkaError(messages[index].err)))
            elif taken == count:
                taken = index  # librdkafka takes nothing after the first that found the queue full
        for record_and_error in refused:
            refuse(*record_and_error)
        return taken

    cdef rd_kafka_message_t *_messages_for(self, Py_ssize_t count) except NULL:
        """Room for the records of one hand-over, used again by the next."""
        cdef void *grown
        if count > self._room:
            grown = realloc(self._messages, count * sizeof(rd_kafka_message_t))
            if grown == NULL:
                raise MemoryError
            self._messages = <rd_kafka_message_t *>grown
            self._room = count
        return self._messages

    cdef object _submit_one(self, rd_kafka_topic_t *rkt, int partition, record):
        """Hand over a record that may have headers or a timestamp; None, or the error."""
        cdef rd_kafka_vu_t arguments[8]
        cdef Py_ssize_t count = 6
        cdef rd_kafka_headers_t *headers = NULL
        cdef rd_kafka_error_t *error
        cdef rd_kafka_message_t message
        memset(arguments, 0, sizeof(arguments))
        _fill(&message, _record_of(record))
        arguments[0].vtype = RD_KAFKA_VTYPE_RKT
        arguments[0].u.rkt = rkt
        arguments[1].vtype = RD_KAFKA_VTYPE_PARTITION
        arguments[1].u.i32 = partition
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
        try:
            timestamp = record.get("timestamp")
            if timestamp:
                arguments[count].vtype = RD_KAFKA_VTYPE_TIMESTAMP
                arguments[count].u.i64 = timestamp
                count += 1
            pairs = record.get("headers")
            if pairs is not None:
                headers = _native_headers(pairs)
                arguments[count].vtype = RD_KAFKA_VTYPE_HEADERS
                arguments[count].u.headers = headers
                count += 1
        except BaseException:
            _take_back(message._private)
            raise
        error = rd_kafka_produceva(self._rk, arguments, count)
        if error == NULL:
            self._lent += 1
            return None
        _take_back(message._private)
        if headers != NULL:
            rd_kafka_headers_destroy(headers)
        return _kafka_exception(error).args[0]

    # Reports and other events

    def drain(self, callbacks):
        """Serve what is there; False if that was all of it, True if `callbacks` ended it by StopServing."""
        if self._is_draining:
            return True  # called by what an event set off: the outer call goes on
        self._is_draining = True
        try:
            while self._event != NULL or self._next_event():
                if rd_kafka_event_type(self._event) == RD_KAFKA_EVENT_DR:
                    self._settle(callbacks)
                else:
                    self._tell()
                self._drop_event()
            return False
        except StopServing:
            return True
        finally:
            self._is_draining = False

    cdef bint _next_event(self):
        self._event = rd_kafka_queue_poll(self._queue, 0)
        return self._event != NULL

    cdef void _drop_event(self):
        rd_kafka_event_destroy(self._event)
        self._event = NULL

    cdef int _settle(self, callbacks) except -1:
        """Settle the records of a report event. What raises has settled its record.

        Acknowledged records of one produce_batch mostly come together: they are counted here, and told at once.
        """
        cdef const rd_kafka_message_t *message
        cdef Record record
        cdef Py_ssize_t settled = callbacks.settled
        cdef Py_ssize_t mask = callbacks.look_mask
        cdef Py_ssize_t acknowledged = 0
        report = None
        try:
            while True:
                message = rd_kafka_event_message_next(self._event)
                if message == NULL:
                    return 0
                self._lent -= 1
                record = _take_back(message._private)
                callback = record.callback
                if message.err == RD_KAFKA_RESP_ERR_NO_ERROR:
                    if type(callback) is _FUTURE:
                        result = self._message(message, record)
                        settled += 1
                        _set_result(callback, result)
                        if not settled & mask:
                            callbacks.settled = settled
                            callbacks.look(result)
                            mask = callbacks.look_mask
                        continue
                    if type(callback) is BatchSlot:
                        if callback.report is not report:
                            if acknowledged:
                                report.acknowledge(acknowledged)
                                acknowledged = 0
                            report = callback.report
                        if not report.needs_more:
                            settled += 1
                            acknowledged += 1
                            if not settled & mask:
                                callbacks.settled = settled
                                callbacks.look(self._message(message, record))
                                mask = callbacks.look_mask
                            continue
                callbacks.settled = settled
                try:
                    callbacks.tell(callback, _error_or_none(message.err), self._message(message, record))
                finally:
                    settled = callbacks.settled
        finally:
            callbacks.settled = settled
            if acknowledged:
                report.acknowledge(acknowledged)

    cdef object _message(self, const rd_kafka_message_t *message, Record record):
        result = <Message>Message.__new__(Message)
        if message.rkt != self._last_rkt:
            self._last_topic = rd_kafka_topic_name(message.rkt).decode()
            self._last_rkt = message.rkt
        result._topic = self._last_topic
        result._partition = message.partition
        result._offset = message.offset
        result._key = record.key
        result._value = record.value
        result._timestamp_ms = rd_kafka_message_timestamp(message, &result._timestamp_type)
        result._latency_us = rd_kafka_message_latency(message)
        result._leader_epoch = rd_kafka_message_leader_epoch(message)
        result._headers = _headers(message)
        if message.err:
            result._error = KafkaError(message.err)
        return result

    cdef int _tell(self) except -1:
        """Tell of an event that is no report."""
        cdef int kind = rd_kafka_event_type(self._event)
        cdef const char *facility
        cdef const char *text
        cdef int level
        if kind == RD_KAFKA_EVENT_ERROR:
            self._error_cb(self._event_error())
        elif kind == RD_KAFKA_EVENT_STATS:
            self._stats_cb(rd_kafka_event_stats(self._event).decode(errors="replace"))
        elif kind == RD_KAFKA_EVENT_LOG:
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
            self._token_cb("" if text == NULL else text.decode())
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

    def set_sasl_credentials(self, str username, str password):
        cdef rd_kafka_error_t *error
        name, secret = username.encode(), password.encode()
        cdef const char *name_text = name
        cdef const char *secret_text = secret
        with nogil:
            error = rd_kafka_sasl_set_credentials(self._rk, name_text, secret_text)
        _raise_for(error)

    def set_token(self, str token, int64_t lifetime_ms, str principal, extensions):
        """Use this OAuth token until `lifetime_ms` after the epoch. ValueError if librdkafka refuses it."""
        cdef char errstr[ERROR_SIZE]
        cdef rd_kafka_resp_err_t err
        cdef Py_ssize_t index
        encoded = [str(text).encode() for pair in extensions.items() for text in pair]
        cdef Py_ssize_t count = len(encoded)
        cdef const char **native = <const char **>calloc(count + 1, sizeof(const char *))
        if native == NULL:
            raise MemoryError
        try:
            for index in range(count):
                native[index] = encoded[index]
            err = rd_kafka_oauthbearer_set_token(
                self._rk, token.encode(), lifetime_ms, principal.encode(), native, count, errstr, sizeof(errstr)
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
        free(self._messages)

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
            rd_kafka_topic_destroy(<rd_kafka_topic_t *><size_t>handle)
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


cdef inline Record _record_of(given):
    """A record of the buffer, or one made of a mapping there."""
    if type(given) is Record:
        return <Record>given
    return _record(given["value"], given["key"], given["callback"])


cdef inline void _fill(rd_kafka_message_t *message, Record record):
    """What `produce_batch` reads of a message, out of a record that is lent with it. Value and key are bytes or None."""
    message.payload = NULL
    message.key = NULL
    message.len = message.key_len = 0
    if record.value is not None:
        message.payload = PyBytes_AS_STRING(record.value)
        message.len = PyBytes_GET_SIZE(record.value)
    if record.key is not None:
        message.key = PyBytes_AS_STRING(record.key)
        message.key_len = PyBytes_GET_SIZE(record.key)
    message.err = RD_KAFKA_RESP_ERR_NO_ERROR
    message._private = _lend(record)


cdef inline int _set_result(future, result) except -1:
    cdef PyObject **arguments = [<PyObject *>future, <PyObject *>result]
    cdef PyObject *none = PyObject_Vectorcall(_SET_RESULT, arguments, 2, NULL)
    if none != NULL:
        Py_DECREF(<object>none)
    elif PyErr_ExceptionMatches(InvalidStateError):
        PyErr_Clear()  # the caller gave up the wait
    else:
        raise
    return 0


cdef rd_kafka_headers_t *_native_headers(pairs) except NULL:
    """Headers for librdkafka, which owns them once it has taken their record."""
    cdef rd_kafka_headers_t *headers = rd_kafka_headers_new(len(pairs))
    cdef const void *data
    cdef Py_ssize_t size
    for name, value in pairs:
        encoded = name.encode()
        data = NULL if value is None else PyBytes_AS_STRING(value)
        size = 0 if value is None else PyBytes_GET_SIZE(value)
        rd_kafka_header_add(headers, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded), data, size)
    return headers


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
