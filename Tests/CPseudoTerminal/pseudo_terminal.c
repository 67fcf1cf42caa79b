#include "pseudo_terminal.h"

#include <stddef.h>
#include <unistd.h>
#ifdef __APPLE__
#include <util.h>
#else
#include <pty.h>
#endif

int pseudo_terminal_start(const char *folder, char *const arguments[], pid_t *process) {
  int terminal = -1;
  *process = forkpty(&terminal, NULL, NULL, NULL);
  if (*process != 0) return *process < 0 ? -1 : terminal;
  // Between fork and exec nothing that could wait for another thread.
  if (chdir(folder) == 0) execv(arguments[0], arguments);
  _exit(127);
}
