/* Our own kernels alone, for the check on a GPU: choosing among others' engines needs libraries
 * that it does without, and gpu_cudnn.c measures them one by one. */
#include "cuda/lineup.h"

int kz_rivals_open(kz_rivals **rivals, kz_gpu *gpu, kz_log *log)
{
    (void)gpu;
    (void)log;
    *rivals = NULL;
    return 0;
}

void kz_rivals_close(kz_rivals **rivals)
{
    (void)rivals;
}

int kz_lineup_open(kz_lineup **lineup, kz_rivals *rivals, const kz_lineup_params *params,
                   kz_log *log)
{
    (void)rivals;
    (void)params;
    (void)log;
    *lineup = NULL;
    return 0;
}

void kz_lineup_close(kz_lineup **lineup)
{
    (void)lineup;
}

bool kz_lineup_run(kz_lineup *lineup, int step, const kz_conv_task *task)
{
    (void)lineup;
    (void)step;
    (void)task;
    return false;
}

const char *kz_lineup_kernel(const kz_lineup *lineup, int step)
{
    (void)lineup;
    (void)step;
    return NULL;
}

size_t kz_lineup_memory(const kz_lineup *lineup)
{
    (void)lineup;
    return 0;
}

size_t kz_lineup_need(const kz_program *program)
{
    (void)program;
    return 0;
}

char *kz_lineup_identity(const kz_rivals *rivals, const kz_lineup *head, const kz_lineup *tail)
{
    (void)rivals;
    (void)head;
    (void)tail;
    return NULL;
}
