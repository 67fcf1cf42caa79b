#include "mpi_shim.h"

#include <stdlib.h>

#ifdef MATVLM_MPI

#include <limits.h>
#include <mpi.h>
#include <string.h>
#include <time.h>

static int size;
/// For leaving: others may be in the middle of something on the world's communicator.
static MPI_Comm leaving;

int matvlm_mpi_join(matvlm_mpi_place *place) {
  int provided;
  MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm_dup(MPI_COMM_WORLD, &leaving);
  MPI_Comm local;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local);
  int rank, local_rank, local_size;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_rank(local, &local_rank);
  MPI_Comm_size(local, &local_size);
  MPI_Comm_free(&local);
  *place = (matvlm_mpi_place){rank, size, local_rank, local_size};
  return 0;
}

void matvlm_mpi_gather_counts(uint64_t own, uint64_t *all) {
  MPI_Allgather(&own, 1, MPI_UINT64_T, all, 1, MPI_UINT64_T, MPI_COMM_WORLD);
}

/// MPI counts in int: more goes rank by rank, in pieces.
static void broadcast_each(const char *own, char *all, const uint64_t *counts) {
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  for (int root = 0; root < size; all += counts[root], root++) {
    for (uint64_t start = 0; start < counts[root];) {
      const uint64_t left = counts[root] - start;
      const int piece = left < 1 << 30 ? (int)left : 1 << 30;
      if (rank == root) memcpy(all + start, own + start, piece);
      MPI_Bcast(all + start, piece, MPI_BYTE, root, MPI_COMM_WORLD);
      start += piece;
    }
  }
}

/// Counts and places of parts that lie end to end, as MPI takes them; NULL where they do not fit.
/// To be freed.
static int *layout(const uint64_t *counts) {
  int *table = malloc(2 * sizeof(int) * size);
  uint64_t start = 0;
  for (int rank = 0; table != NULL && rank < size; rank++) {
    if (start + counts[rank] > INT_MAX) {
      free(table);
      return NULL;
    }
    table[rank] = (int)counts[rank];
    table[size + rank] = (int)start;
    start += counts[rank];
  }
  return table;
}

void matvlm_mpi_all_gather(const void *own, void *all, const uint64_t *counts) {
  int *table = layout(counts);
  if (table == NULL) {
    broadcast_each(own, all, counts);
    return;
  }
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Allgatherv(
    own, table[rank], MPI_BYTE, all, table, table + size, MPI_BYTE, MPI_COMM_WORLD);
  free(table);
}

void matvlm_mpi_all_to_all(
  const void *sent, const uint64_t *sent_counts, void *received, const uint64_t *received_counts) {
  int *from = layout(sent_counts);
  int *to = layout(received_counts);
  if (from == NULL || to == NULL) MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
  MPI_Alltoallv(
    sent, from, from + size, MPI_BYTE, received, to, to + size, MPI_BYTE, MPI_COMM_WORLD);
  free(from);
  free(to);
}

int matvlm_mpi_leave(double seconds, int32_t *code) {
  MPI_Request request;
  int32_t largest = *code;
  MPI_Iallreduce(code, &largest, 1, MPI_INT32_T, MPI_MAX, leaving, &request);
  const double end = MPI_Wtime() + seconds;
  for (int done = 0; !done;) {
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (!done && MPI_Wtime() > end) return -1;
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  }
  *code = largest;
  return 0;
}

void matvlm_mpi_finish(void) {
  MPI_Barrier(leaving);
  MPI_Finalize();
}

void matvlm_mpi_abort(int32_t code) { MPI_Abort(MPI_COMM_WORLD, code); }

#else

int matvlm_mpi_join(matvlm_mpi_place *place) {
  (void)place;
  return -1;
}

// Nobody gets here: joining failed.
void matvlm_mpi_gather_counts(uint64_t own, uint64_t *all) { abort(); }
void matvlm_mpi_all_gather(const void *own, void *all, const uint64_t *counts) { abort(); }
void matvlm_mpi_all_to_all(
  const void *sent, const uint64_t *sent_counts, void *received, const uint64_t *received_counts) {
  abort();
}
int matvlm_mpi_leave(double seconds, int32_t *code) { abort(); }
void matvlm_mpi_finish(void) { abort(); }
void matvlm_mpi_abort(int32_t code) { abort(); }

#endif
