/* Which of a net's convolutions other engines compute (rival.h) than the program's kernels, and
 * these engines. On tiles of the plan's size only, but for the kernel that computes two layers: on
 * smaller ones the program's kernels run. */
#ifndef KZ_CUDA_LINEUP_H
#define KZ_CUDA_LINEUP_H

#include "cuda/program.h"
#include "cuda/rival.h"

/* A device's libraries of engines, and what is known of them. */
typedef struct kz_rivals kz_rivals;

/* Loads the libraries that there are for the device. Where there is none *rivals is NULL, which is
 * no failure; that the one linked in is missing is said as verbose. 0 or KZ_ERROR_MEMORY (not
 * reported). */
int kz_rivals_open(kz_rivals **rivals, kz_gpu *gpu, kz_log *log);
void kz_rivals_close(kz_rivals **rivals); /* after its lineups; NULL is legal */

typedef struct kz_lineup kz_lineup;

typedef struct kz_lineup_params {
    kz_gpu *gpu;
    const kz_program *program; /* stays, as the two below do */
    char *arena, *constants;
    const kz_graph *graph; /* that the program was made of; only for now */
    kz_view input;         /* the net's, of the plan's size, where it will be or elsewhere; what it
                            * holds is overwritten, as what the arena holds */
} kz_lineup_params;

/* Takes the engines that are kept for the net's layers, else those that win now, after comparing
 * either with our own kernels. *lineup is NULL where our kernels do it all. `log` stays until it is
 * closed. 0, or KZ_ERROR_FAILED (reported: the device has failed); where memory is short, our
 * kernels do it all. */
int kz_lineup_open(kz_lineup **lineup, kz_rivals *rivals, const kz_lineup_params *params,
                   kz_log *log);
void kz_lineup_close(kz_lineup **lineup); /* NULL is legal */

/* Puts a step on the stream where it has an engine: false, where our kernel is to do it. `task` is
 * kz_step_task()'s, and `first` that of the step before, where kz_lineup_joins(); `whole`: on a
 * tile of the plan's size. An engine that fails is not asked again, and that is reported; one that
 * fails while the stream is captured spoils the capture, and stays. */
bool kz_lineup_run(kz_lineup *lineup, int step, const kz_conv_task *task, bool whole);

/* Whether a step's engine computes the step before, too. */
bool kz_lineup_joins(const kz_lineup *lineup, int step);

/* How many engines have failed so far: while it is the same number, the same ones compute. */
int kz_lineup_left(const kz_lineup *lineup);

/* Who computes a step, for people; NULL: our kernel. */
const char *kz_lineup_kernel(const kz_lineup *lineup, int step, bool whole);

/* Bytes of device memory; and at most so many for a program, where a library is linked in. */
size_t kz_lineup_memory(const kz_lineup *lineup);
size_t kz_lineup_need(const kz_program *program);

/* Whether any step has other bits than our kernels give it; NULL is legal. */
bool kz_lineup_differs(const kz_lineup *lineup);

/* "cuDNN 91900, engines 0123456789abcdef" of a plan's two nets, of which one or both may be NULL:
 * equal where the same engines compute the same steps, but for those with our kernels' bits. To be
 * freed; NULL: memory is short. */
char *kz_lineup_identity(const kz_rivals *rivals, const kz_lineup *head, const kz_lineup *tail);

#endif
