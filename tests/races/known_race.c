/* A word that two threads count up, as it should be done and as it should not. */
#include <sched.h>
#include <stdint.h>

static uint64_t word;
static uint64_t inside;

/* Relaxed, so that the meeting itself brings no order. */
static void wait_for_the_other(void) {
    __atomic_fetch_add(&inside, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&inside, __ATOMIC_RELAXED) % 2) sched_yield();
}

void count_in_order(int times) {
    wait_for_the_other();
    while (times--) __atomic_fetch_add(&word, 1, __ATOMIC_RELAXED);
}

void count_anyhow(int times) {
    wait_for_the_other();
    while (times--) word++;
}
