/* A graph on the CPU: convolutions by oneDNN, the loops between them our own.
 *
 * Wide values (a multiple of the CPU's block of channels) are blocked, [C/16][H][W][16] with
 * AVX-512 and [C/8][H][W][8] below: with one tile at a time a group of whole blocks is one dense
 * piece of memory, so oneDNN reads and writes slices of a wider value as if they stood alone, and
 * concatenation is free. Only AMX wants NHWC, where a slice isn't dense: concatenation copies
 * there. Thin values (the picture itself) are planar fp32; so are the layers that touch them,
 * whatever the precision of the rest, which is what keeps bf16 close to fp32. */
#ifndef KZ_BACKEND_CPU_NET_H
#define KZ_BACKEND_CPU_NET_H

#include "backend/host.h"

extern const kz_net_ops kz_cpu_net_ops;

/* oneDNN's own threads are switched off in the calling thread: a worker is one thread. Returns how
 * many there were. */
int kz_cpu_set_library_threads(int threads);

#endif
