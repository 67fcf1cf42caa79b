// The few calls of MPI that are used. MPI's constants are macros that Swift cannot import; and without
// the trait MPI nothing of MPI is needed to build this.
#ifndef MATVLM_MPI_SHIM_H
#define MATVLM_MPI_SHIM_H

#include <stddef.h>
#include <stdint.h>

/// Where a process stands among those that were started together.
typedef struct {
  int32_t rank, size;
  /// The same among the processes on one machine.
  int32_t local_rank, local_size;
} matvlm_mpi_place;

/// Joins the others. Returns 0, or -1 where the program was built without MPI. An error in any call
/// after this one ends all processes with MPI's message.
int matvlm_mpi_join(matvlm_mpi_place *place);

/// `all` [size] becomes every rank's `own`.
void matvlm_mpi_gather_counts(uint64_t own, uint64_t *all);

/// Every rank's bytes end to end in rank order, in `all`; `counts` [size] says how many each has, and
/// `own` has as many as this rank's.
void matvlm_mpi_all_gather(const void *own, void *all, const uint64_t *counts);

/// Gives each rank its part of `sent`, in which parts lie end to end in rank order, and takes this
/// rank's part from each, in the same order. All together less than 2 GiB.
void matvlm_mpi_all_to_all(
  const void *sent, const uint64_t *sent_counts, void *received, const uint64_t *received_counts);

/// Waits so many seconds until every rank has called this. If all have, puts the largest of their exit
/// codes into `code` and returns 0; otherwise returns -1.
int matvlm_mpi_leave(double seconds, int32_t *code);

/// Waits for all ranks after they have left; the last call.
void matvlm_mpi_finish(void);

/// Ends all processes.
void matvlm_mpi_abort(int32_t code);

#endif
