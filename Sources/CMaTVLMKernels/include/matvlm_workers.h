// Threads that do the items of a piece of work together.
#ifndef MATVLM_WORKERS_H
#define MATVLM_WORKERS_H

#include <stdbool.h>
#include <stddef.h>

#pragma clang assume_nonnull begin

/// Calls body(context, item) for every item of 0..<items, by the caller and up to `threads` − 1 other
/// threads, which stay for the next call; returns when all are done.
///
/// - Returns: false, with nothing done, while other work is under way: from within a body, or by
///   another thread.
bool matvlm_work_together(ptrdiff_t items, int threads,
                          void (*body)(const void *context, ptrdiff_t item), const void *context);

#pragma clang assume_nonnull end

#endif
