// Two names for one step of Linux and of macOS.
#define _GNU_SOURCE
#include "matvlm_files.h"

#include <fcntl.h>
#include <stdio.h>

bool matvlm_exchange(const char *one, const char *other) {
#if defined(__APPLE__)
  return renamex_np(one, other, RENAME_SWAP) == 0;
#elif defined(RENAME_EXCHANGE)
  return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) == 0;
#else
  return false;
#endif
}
