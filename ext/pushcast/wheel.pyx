"""Wheels: the destinations of one class of transports, spread evenly over the slots of their interval.

A wheel turns one slot further every 4 ms (that of paced destinations every 1 ms); whoever sits there has its turn.  Every slot in use is a wake-up of the
thread, which costs as much as eight sends, so a wheel uses LEAST_USED of its slots, that N sends never leave as one burst, and more only when each has
MEMBERS_PER_SLOT: a burst of 1.6 MB at 2.5 Mbit/s and 40 ms.

Between its two bounds the interval follows the load: `judge` is asked once
for each window of time and makes the wheel that costs most a quarter slower when the thread is busy for more than BUSY_PERMILLE of the window.  It makes one faster
again, down to what was configured, only after CALM_WINDOWS windows in which the thread would have stayed below CALM_PERMILLE at the faster pace, so that it does
not swing.  Time is wall-clock time: a thread that has to wait for a core falls behind like one that has too much to do.
"""
cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from pushcast.atomics cimport load_acquire, store_release

cdef enum:
    BUSY_PERMILLE = 800
    CALM_PERMILLE = 600
    CALM_WINDOWS = 5
    LEAST_ROOM = 16
    LEAST_USED = 5
    MEMBERS_PER_SLOT = 128
    MAX_WHEELS = 8


cdef uint32_t slots_of(uint32_t ms, uint32_t slot_ms) noexcept nogil:
    return min(max((ms + slot_ms // 2) // slot_ms, 1), MAX_SLOTS)


cdef void wheel_init(wheel_t* wheel, uint32_t least_ms, uint32_t most_ms, uint32_t slot_ms) noexcept nogil:
    memset(wheel, 0, sizeof(wheel_t))
    wheel.slot_ns = <int64_t>slot_ms * 1000000
    wheel.least_slots = slots_of(least_ms, slot_ms)
    wheel.most_slots = max(slots_of(most_ms, slot_ms), wheel.least_slots)
    set_slots(wheel, wheel.least_slots)


cdef void set_slots(wheel_t* wheel, uint32_t slots) noexcept nogil:
    store_release(&wheel.slots, slots)
    wheel.interval_ns = <int64_t>slots * wheel.slot_ns


cdef void wheel_free(wheel_t* wheel) noexcept nogil:
    cdef uint32_t slot
    for slot in range(MAX_SLOTS):
        free(wheel.members[slot])
        wheel.members[slot] = NULL


cdef bint ensure_room(wheel_t* wheel, uint32_t slot, uint32_t wanted) noexcept nogil:
    cdef uint32_t room
    cdef seat_t** grown
    if wanted <= wheel.room[slot]:
        return True
    room = max(max(wanted, 2 * wheel.room[slot]), LEAST_ROOM)
    grown = <seat_t**>realloc(wheel.members[slot], room * sizeof(seat_t*))
    if grown == NULL:
        return False
    wheel.members[slot] = grown
    wheel.room[slot] = room
    return True


cdef void sit(wheel_t* wheel, seat_t* seat, uint32_t slot) noexcept nogil:
    seat.slot = slot
    seat.place = wheel.count[slot]
    wheel.members[slot][seat.place] = seat
    wheel.count[slot] += 1


cdef uint32_t used_slots(uint64_t slots, uint64_t population) noexcept nogil:
    """How many are in use.  Doubled for a larger population, so that those of the smaller one stay among them."""
    cdef uint64_t used = min(slots, <uint64_t>LEAST_USED)
    while 2 * used <= slots and population > used * MEMBERS_PER_SLOT:
        used *= 2
    return <uint32_t>used


cdef uint32_t used_slot(uint64_t slots, uint64_t used, uint64_t number) noexcept nogil:
    """The number-th of them: evenly apart."""
    return <uint32_t>(number * slots // used)


cdef bint wheel_enter(wheel_t* wheel, seat_t* seat) noexcept nogil:
    """Sit down at the emptiest slot in use; False when there is no memory."""
    cdef uint32_t best = 0
    cdef uint32_t slot
    cdef uint32_t number
    cdef uint32_t used = used_slots(wheel.slots, wheel.population + 1)
    for number in range(1, used):
        slot = used_slot(wheel.slots, used, number)
        if wheel.count[slot] < wheel.count[best]:
            best = slot
    if not ensure_room(wheel, best, wheel.count[best] + 1):
        return False
    sit(wheel, seat, best)
    store_release(&wheel.population, wheel.population + 1)
    return True


cdef void wheel_leave(wheel_t* wheel, seat_t* seat) noexcept nogil:
    """Get up; the last one of the slot takes the place."""
    cdef seat_t* last
    wheel.count[seat.slot] -= 1
    last = wheel.members[seat.slot][wheel.count[seat.slot]]
    wheel.members[seat.slot][seat.place] = last
    last.place = seat.place
    store_release(&wheel.population, wheel.population - 1)


cdef bint wheel_resize(wheel_t* wheel, uint32_t slots) noexcept nogil:
    """Spread everybody evenly over another number of slots, in the order of their turns.  False, and nothing changed, when there is no memory."""
    cdef uint64_t population = wheel.population
    cdef uint32_t used = used_slots(slots, population)
    cdef uint32_t share = <uint32_t>(population // used) + 1
    cdef uint32_t slot
    cdef uint32_t place
    cdef uint32_t index = 0
    cdef seat_t** everybody = <seat_t**>malloc((population + 1) * sizeof(seat_t*))
    if everybody == NULL:
        return False
    for slot in range(used):
        if not ensure_room(wheel, used_slot(slots, used, slot), share):
            free(everybody)
            return False
    for slot in range(wheel.slots):
        for place in range(wheel.count[slot]):
            everybody[index] = wheel.members[slot][place]
            index += 1
        wheel.count[slot] = 0
    set_slots(wheel, slots)
    for index in range(population):
        sit(wheel, everybody[index], used_slot(slots, used, index * <uint64_t>used // population))
    free(everybody)
    return True


cdef int64_t next_turn_ns(const wheel_t* wheel) noexcept nogil:
    """When the first slot after the last one comes in which anybody has a turn; somebody has."""
    cdef int64_t slot = wheel.last_slot + 1
    while wheel.count[slot % <int64_t>wheel.slots] == 0:
        slot += 1
    return slot * wheel.slot_ns


cdef uint32_t longer(const wheel_t* wheel) noexcept nogil:
    """The next slower pace, in slots."""
    return min(<uint32_t>wheel.slots + max(<uint32_t>wheel.slots // 4, 1), wheel.most_slots)


cdef uint32_t shorter(const wheel_t* wheel) noexcept nogil:
    """The next faster pace, in slots."""
    return max(<uint32_t>wheel.slots - max(<uint32_t>wheel.slots // 5, 1), wheel.least_slots)


cdef int judge(wheel_t** wheels, int count, int64_t window_ns, uint32_t* calm_windows) noexcept nogil:
    """Follow the load of the window that ends now; returns how busy the thread was, in permille, and begins the next window."""
    cdef int64_t busy_ns = 0
    cdef int64_t hoped_ns
    cdef int index
    cdef int slow = -1
    cdef int fast = -1
    cdef int permille
    for index in range(count):
        busy_ns += <int64_t>wheels[index].busy_ns
        if wheels[index].slots < wheels[index].most_slots and (slow < 0 or wheels[index].busy_ns > wheels[slow].busy_ns):
            slow = index
        if wheels[index].slots > wheels[index].least_slots and (fast < 0 or wheels[index].busy_ns < wheels[fast].busy_ns):
            fast = index
    permille = <int>min(busy_ns * 1000 // max(window_ns, 1), 1000)
    if permille > BUSY_PERMILLE:
        calm_windows[0] = 0
        if slow >= 0 and wheels[slow].busy_ns:
            wheel_resize(wheels[slow], longer(wheels[slow]))
    elif fast >= 0:
        hoped_ns = busy_ns + <int64_t>wheels[fast].busy_ns * (wheels[fast].slots - shorter(wheels[fast])) // shorter(wheels[fast])
        calm_windows[0] = calm_windows[0] + 1 if hoped_ns * 1000 < CALM_PERMILLE * window_ns else 0
        if calm_windows[0] >= CALM_WINDOWS:
            calm_windows[0] = 0
            wheel_resize(wheels[fast], shorter(wheels[fast]))
    for index in range(count):
        wheels[index].busy_ns = 0
    return permille


@cython.final
cdef class Wheel:
    """Wheel(least_ms, most_ms, slot_ms=4): the interval is least_ms at first and never longer than most_ms; both in steps of slot_ms, up to 64 of them.

    Turned by one thread alone; what Python asks of it is a snapshot.
    """

    def __cinit__(self, uint32_t least_ms, uint32_t most_ms, uint32_t slot_ms=SLOT_MS):
        if slot_ms == 0:
            raise ValueError("slot_ms: found 0, expected 1 or more")
        wheel_init(&self.c, least_ms, most_ms, slot_ms)

    def __dealloc__(self):
        wheel_free(&self.c)

    @property
    def interval_ms(self):
        return load_acquire(&self.c.slots) * <uint64_t>self.c.slot_ns // 1000000

    @property
    def population(self):
        """Those who have turns."""
        return load_acquire(&self.c.population)

    def turns(self):
        """How many have their turn in each slot."""
        return [self.c.count[slot] for slot in range(self.c.slots)]


@cython.final
cdef class Seat:
    """Seat(wheel): sits down on a wheel that no thread turns; leave() gets up."""

    cdef seat_t c
    cdef Wheel wheel

    def __cinit__(self, Wheel wheel not None):
        if not wheel_enter(&wheel.c, &self.c):
            raise MemoryError("a seat")
        self.wheel = wheel

    def leave(self):
        if self.wheel is not None:
            wheel_leave(&self.wheel.c, &self.c)
            self.wheel = None

    @property
    def slot(self):
        return self.c.slot


def judge_loads(wheels, busy_ns, int64_t window_ns, uint32_t calm_windows):
    """`judge` for wheels that no thread turns, which were busy for so many ns of the window each: (permille, calm windows)."""
    cdef wheel_t* pointers[MAX_WHEELS]
    cdef int index
    if not 0 < len(wheels) <= MAX_WHEELS or len(busy_ns) != len(wheels):
        raise ValueError(f"judge_loads: 1 to {MAX_WHEELS} wheels and as many loads")
    for index in range(<int>len(wheels)):
        pointers[index] = &(<Wheel?>wheels[index]).c
        pointers[index].busy_ns = busy_ns[index]
    return judge(pointers, <int>len(wheels), window_ns, &calm_windows), calm_windows
