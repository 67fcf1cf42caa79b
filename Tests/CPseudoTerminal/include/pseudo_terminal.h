#pragma once

#include <sys/types.h>

// Starts a program in `folder` at a new pseudo-terminal, which is its controlling terminal: what is
// typed there can be a signal. Returns the terminal's other end, or -1 and errno. `arguments` begins
// with the program's path and ends with NULL. A program that cannot be started exits with 127.
int pseudo_terminal_start(const char *folder, char *const arguments[], pid_t *process);
