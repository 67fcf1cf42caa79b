#include "matvlm_workers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

// A thread that has nothing to do looks for work for a moment before it sleeps: the next operation
// follows at once as a rule, and to wake a thread takes as long as a small operation.
enum { LOOKS = 1 << 13, MOST_WORKERS = 255 };

// The number of the work, counted up, and below it how many threads may still join.
#define ONE_WORK ((uint64_t)1 << 8)
#define PLACES(state) ((int)((state) & (ONE_WORK - 1)))

static struct {
  atomic_bool busy;
  atomic_uint_fast64_t state;
  atomic_int asleep;
  int workers;  // threads that were made; the owner of `busy` changes it
  pthread_mutex_t lock;
  pthread_cond_t wake, left;

  // The present work.
  void (*body)(const void *, ptrdiff_t);
  const void *context;
  ptrdiff_t items;
  atomic_ptrdiff_t next;
  atomic_int leaving;  // threads that joined and are done
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .left = PTHREAD_COND_INITIALIZER};

static void rest(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void do_items(void) {
  for (;;) {
    const ptrdiff_t item = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed);
    if (item >= pool.items) return;
    pool.body(pool.context, item);
  }
}

// Takes one of the places of the present work. Its number is part of what is exchanged, so that a place
// of work that is over cannot be taken.
static bool join(void) {
  uint64_t state = atomic_load(&pool.state);
  while (PLACES(state) > 0)
    if (atomic_compare_exchange_weak(&pool.state, &state, state - 1)) return true;
  return false;
}

static void sleep_until_joined(void) {
  pthread_mutex_lock(&pool.lock);
  atomic_fetch_add(&pool.asleep, 1);
  while (!join()) pthread_cond_wait(&pool.wake, &pool.lock);
  atomic_fetch_sub(&pool.asleep, 1);
  pthread_mutex_unlock(&pool.lock);
}

static void *worker(void *unused) {
  (void)unused;
  for (;;) {
    int looks = 0;
    while (!join() && ++looks < LOOKS) rest();
    if (looks == LOOKS) sleep_until_joined();
    do_items();
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.leaving, 1);
    pthread_cond_signal(&pool.left);
    pthread_mutex_unlock(&pool.lock);
  }
}

// Fewer are made where the system gives no more.
static void make_workers(int count) {
  while (pool.workers < count) {
    pthread_t thread;
    if (pthread_create(&thread, 0, worker, 0) != 0) return;
    pthread_detach(thread);
    pool.workers++;
  }
}

static void wait_for(int joined) {
  for (int looks = 0; looks < LOOKS; looks++) {
    if (atomic_load(&pool.leaving) == joined) return;
    rest();
  }
  pthread_mutex_lock(&pool.lock);
  while (atomic_load(&pool.leaving) != joined) pthread_cond_wait(&pool.left, &pool.lock);
  pthread_mutex_unlock(&pool.lock);
}

bool matvlm_work_together(ptrdiff_t items, int threads, void (*body)(const void *, ptrdiff_t),
                          const void *context) {
  if (atomic_exchange(&pool.busy, true)) return false;
  const int places = (threads < MOST_WORKERS ? threads : MOST_WORKERS) - 1;
  make_workers(places);
  pool.body = body, pool.context = context, pool.items = items;
  atomic_store(&pool.next, 0);
  atomic_store(&pool.leaving, 0);
  const uint64_t before = atomic_load(&pool.state);  // without places
  atomic_store(&pool.state, before + ONE_WORK + (uint64_t)places);
  if (atomic_load(&pool.asleep) > 0) {
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
  }
  do_items();
  const uint64_t after = atomic_fetch_and(&pool.state, ~(ONE_WORK - 1));
  wait_for(places - PLACES(after));
  atomic_store(&pool.busy, false);
  return true;
}
