// What Swift's view of the system's library lacks.
#ifndef MATVLM_FILES_H
#define MATVLM_FILES_H

#include <stdbool.h>

#pragma clang assume_nonnull begin

/// Two paths of one file system change places in one step; whether they did. Not every file system can.
bool matvlm_exchange(const char *one, const char *other);

#pragma clang assume_nonnull end

#endif
