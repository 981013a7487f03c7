"""What a sender thread and the rest of the process tell each other.  Theory in mailbox.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from pushcast.wakeup cimport pthread_mutex_t

cdef enum:
    COMMAND_ATTACH = 1
    COMMAND_DETACH = 2
    COMMAND_CONTROL = 4
    MAX_SAID_BYTES = 65536       # a peer that asks for more replies than it reads is lost, not buffered for

cdef enum:                       # in the order in which they are told
    STARTED = 1
    OVERLOADED = 2
    RELIEVED = 4
    LOST = 8
    RELEASED = 16

ctypedef struct letter_t:        # one for each destination; everything under the lock
    void* owner
    uint32_t commands            # COMMAND_* not yet taken
    uint32_t events              # events not yet read
    int event_code
    bint closed                  # RELEASED was reported: commands come too late
    int64_t drain_ms
    uint8_t* said                # control bytes not yet taken
    size_t said_bytes
    size_t said_space
    letter_t* next_command
    letter_t* next_event

ctypedef struct order_t:         # what was asked of one destination
    void* owner                  # NULL: nothing more
    uint32_t commands
    int64_t drain_ms
    uint8_t* said                # to be freed
    size_t said_bytes

ctypedef struct event_t:
    void* owner                  # NULL: nothing more
    uint32_t events
    int code

ctypedef struct mailbox_t:
    pthread_mutex_t lock
    letter_t* commands
    letter_t** commands_end
    letter_t* events
    letter_t** events_end
    int wake_fd                  # readable while the thread has commands to take
    int event_fd                 # readable while there are events to read

cdef bint mailbox_init(mailbox_t* box) noexcept nogil
cdef void mailbox_free(mailbox_t* box) noexcept nogil
cdef void letter_init(letter_t* letter, void* owner) noexcept nogil
cdef void letter_free(letter_t* letter) noexcept nogil
cdef int post(mailbox_t* box, letter_t* letter, uint32_t command, int64_t drain_ms, const uint8_t* said, size_t said_bytes) noexcept nogil
cdef order_t next_order(mailbox_t* box) noexcept nogil
cdef void report(mailbox_t* box, letter_t* letter, uint32_t event, int code) noexcept nogil
cdef event_t next_event(mailbox_t* box) noexcept nogil
