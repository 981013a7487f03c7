"""A sender's mailbox: commands to its thread, events from it.

Two lists under one lock that is held for a few pointers at a time, and for what is said, and never during a send.  A destination stands in each list
once, however much is said to it or about it: commands and events are bits, and of overload only the last word counts.  A wake-up in either direction
is one eventfd.
"""
from libc.errno cimport ENOBUFS, ENOMEM
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from pushcast.wakeup cimport (
    close_fd, mutex_init, new_eventfd, pthread_mutex_destroy, pthread_mutex_lock, pthread_mutex_unlock, wake,
)


cdef bint mailbox_init(mailbox_t* box) noexcept nogil:
    """False when no file descriptor is left; to be freed in any case."""
    mutex_init(&box.lock)
    box.commands = NULL
    box.events = NULL
    box.commands_end = &box.commands
    box.events_end = &box.events
    box.wake_fd = new_eventfd()
    box.event_fd = new_eventfd()
    return box.wake_fd >= 0 and box.event_fd >= 0


cdef void mailbox_free(mailbox_t* box) noexcept nogil:
    close_fd(box.wake_fd)
    close_fd(box.event_fd)
    pthread_mutex_destroy(&box.lock)


cdef void letter_init(letter_t* letter, void* owner) noexcept nogil:
    letter.owner = owner


cdef void letter_free(letter_t* letter) noexcept nogil:
    """Free control bytes that nobody took."""
    free(letter.said)
    letter.said = NULL


cdef int post(mailbox_t* box, letter_t* letter, uint32_t command, int64_t drain_ms, const uint8_t* said, size_t said_bytes) noexcept nogil:
    """Ask something of a destination; drain_ms is for COMMAND_DETACH.  A copy of the bytes said goes with it: they are taken together.

    0, or why nothing of the bytes goes with it: ENOMEM, or ENOBUFS when too many wait already.  COMMAND_CONTROL alone is not asked for without them.  A
    destination that was released is asked nothing any more.
    """
    cdef bint first = False
    cdef int code = 0
    pthread_mutex_lock(&box.lock)
    if not letter.closed:
        code = add_said(letter, said, said_bytes)
        if command & COMMAND_DETACH:
            letter.drain_ms = drain_ms
        if code == 0 or command != COMMAND_CONTROL:
            first = box.commands == NULL
            enlist(box, letter, command)
    pthread_mutex_unlock(&box.lock)
    if first:
        wake(box.wake_fd)
    return code


cdef int add_said(letter_t* letter, const uint8_t* said, size_t said_bytes) noexcept nogil:
    """Under the lock: 0, ENOMEM or ENOBUFS.  One buffer for all that waits: an allocation for each would have both threads wait for the allocator."""
    cdef size_t wanted = letter.said_bytes + said_bytes
    cdef uint8_t* made
    if said_bytes == 0:
        return 0
    if wanted > MAX_SAID_BYTES:
        return ENOBUFS
    if wanted > letter.said_space:
        wanted = max(wanted, 2 * letter.said_space)
        made = <uint8_t*>realloc(letter.said, wanted)
        if made == NULL:
            return ENOMEM
        letter.said = made
        letter.said_space = wanted
    memcpy(letter.said + letter.said_bytes, said, said_bytes)
    letter.said_bytes += said_bytes
    return 0


cdef void enlist(mailbox_t* box, letter_t* letter, uint32_t command) noexcept nogil:
    """Under the lock: note a command."""
    if letter.commands == 0:
        letter.next_command = NULL
        box.commands_end[0] = letter
        box.commands_end = &letter.next_command
    letter.commands |= command


cdef void withdraw(mailbox_t* box, letter_t* letter) noexcept nogil:
    """Under the lock: take a letter out of the list of commands."""
    cdef letter_t** link = &box.commands
    if letter.commands == 0:
        return
    while link[0] != letter:
        link = &link[0].next_command
    link[0] = letter.next_command
    if link[0] == NULL:
        box.commands_end = link
    letter.commands = 0


cdef order_t next_order(mailbox_t* box) noexcept nogil:
    """Take what was asked of one destination, its control bytes included."""
    cdef order_t order
    cdef letter_t* letter
    order.owner = NULL
    order.commands = 0
    order.drain_ms = 0
    order.said = NULL
    order.said_bytes = 0
    pthread_mutex_lock(&box.lock)
    letter = box.commands
    if letter != NULL:
        box.commands = letter.next_command
        if box.commands == NULL:
            box.commands_end = &box.commands
        order.owner = letter.owner
        order.commands = letter.commands
        order.drain_ms = letter.drain_ms
        order.said = letter.said
        order.said_bytes = letter.said_bytes
        letter.commands = 0
        letter.said = NULL
        letter.said_bytes = 0
        letter.said_space = 0
    pthread_mutex_unlock(&box.lock)
    return order


cdef void report(mailbox_t* box, letter_t* letter, uint32_t event, int code) noexcept nogil:
    """Tell of a destination; `code`, an errno, goes with LOST and RELEASED.

    RELEASED is the last that the thread has to do with it: whoever reads the event may free the letter, so it stands in no list of commands then.
    """
    cdef bint first
    pthread_mutex_lock(&box.lock)
    first = box.events == NULL
    if letter.events == 0:
        letter.next_event = NULL
        box.events_end[0] = letter
        box.events_end = &letter.next_event
    if event & (OVERLOADED | RELIEVED):
        letter.events &= ~(<uint32_t>(OVERLOADED | RELIEVED))
    letter.events |= event
    if event & (LOST | RELEASED):
        letter.event_code = code
    if event & RELEASED:
        letter.closed = True
        withdraw(box, letter)
    pthread_mutex_unlock(&box.lock)
    if first:
        wake(box.event_fd)


cdef event_t next_event(mailbox_t* box) noexcept nogil:
    """Take what was told of one destination."""
    cdef event_t told
    cdef letter_t* letter
    told.owner = NULL
    told.events = 0
    told.code = 0
    pthread_mutex_lock(&box.lock)
    letter = box.events
    if letter != NULL:
        box.events = letter.next_event
        if box.events == NULL:
            box.events_end = &box.events
        told.owner = letter.owner
        told.events = letter.events
        told.code = letter.event_code
        letter.events = 0
    pthread_mutex_unlock(&box.lock)
    return told
