"""What a thread without the GIL sleeps on and is woken by: timerfd, eventfd, poll; and the mutex of its lists.

All inline in C.  Times are nanoseconds of CLOCK_MONOTONIC; file descriptors are non-blocking and close-on-exec.
"""
from libc.stdint cimport int64_t

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_destroy(pthread_mutex_t* mutex)
    int pthread_mutex_lock(pthread_mutex_t* mutex)
    int pthread_mutex_trylock(pthread_mutex_t* mutex)
    int pthread_mutex_unlock(pthread_mutex_t* mutex)

cdef extern from *:
    """
    #include <errno.h>
    #include <poll.h>
    #include <pthread.h>
    #include <stdint.h>
    #include <sys/eventfd.h>
    #include <sys/timerfd.h>
    #include <time.h>
    #include <unistd.h>

    static void wakeup_arm_timer(int fd, int64_t at_ns) {
        struct itimerspec when = {{0, 0}, {at_ns / 1000000000, at_ns % 1000000000}};
        timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, 0);
    }
    static void wakeup_drain_fd(int fd) {
        uint64_t count;
        while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {}
    }
    static void wakeup_wake(int fd) {
        uint64_t one = 1;
        while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {}
    }
    static int wakeup_wait_for(int timer_fd, int wake_fd) {
        struct pollfd fds[2] = {{timer_fd, POLLIN, 0}, {wake_fd, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0) return 0;
        return (fds[0].revents ? 1 : 0) | (fds[1].revents ? 2 : 0);
    }
    static void wakeup_mutex_init(pthread_mutex_t *mutex) {
        pthread_mutexattr_t spins;
        pthread_mutexattr_init(&spins);
        pthread_mutexattr_settype(&spins, PTHREAD_MUTEX_ADAPTIVE_NP);
        pthread_mutex_init(mutex, &spins);
        pthread_mutexattr_destroy(&spins);
    }
    static int wakeup_new_timerfd(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); }
    static int wakeup_new_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }
    """
    # -1 and errno when no file descriptor is left.
    int new_timerfd "wakeup_new_timerfd"() noexcept nogil
    int new_eventfd "wakeup_new_eventfd"() noexcept nogil
    # Due once, at at_ns; what was due before is forgotten, so nobody needs to read it.  0 disarms it.
    void arm_timer "wakeup_arm_timer"(int fd, int64_t at_ns) noexcept nogil
    # Sleeps until one of them is due; 1: the timer, 2: a wake-up, 3: both, 0: a signal came.
    int wait_for "wakeup_wait_for"(int timer_fd, int wake_fd) noexcept nogil
    void drain_fd "wakeup_drain_fd"(int fd) noexcept nogil
    void wake "wakeup_wake"(int fd) noexcept nogil
    # For locks held for a few pointers: who waits spins first.  Asleep it would lose every race against a thread that comes back at once.
    void mutex_init "wakeup_mutex_init"(pthread_mutex_t* mutex) noexcept nogil

cdef extern from "<unistd.h>" nogil:
    int close_fd "close"(int fd)
