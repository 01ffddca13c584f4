/* In the place of cuda/lineup.c for the check on a GPU: our own kernels alone, with $KIZUNA_WGMMA
 * that engine of those for Hopper wherever it fits, with $KIZUNA_TAIL the one for two layers. So
 * what is measured doesn't depend on what was chosen; gpu_choice.c has the real one. */
#include "cuda/lineup.h"

#include <stdlib.h>

#include "base/mem.h"

struct kz_lineup {
    kz_gpu *gpu;
    const kz_program *program;
    const char *text; /* of the engine for Hopper; NULL: none */
    bool tail;
};

/* NULL: it doesn't fit. One for each layer and run, since opening takes next to nothing. */
static kz_rival_engine *engine_of(const kz_lineup *l, const kz_conv_task *task)
{
    const kz_rival_layer layer = {.task = *task};
    kz_rival_engine *engine = NULL;
    if (l->text && kz_rival_wgmma.fits(task))
        kz_rival_wgmma.open_engine(&engine, NULL, &layer, l->text, NULL);
    return engine;
}

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
    (void)log;
    const char *text = getenv("KIZUNA_WGMMA");
    const bool tail = getenv("KIZUNA_TAIL");
    if (text && !kz_cuda_conv_wgmma_there(kz_gpu_get_info(params->gpu)))
        text = NULL;
    *lineup = NULL;
    if (!text && !tail)
        return 0;
    kz_lineup *l = *lineup = kz_alloc(1, sizeof(*l));
    if (!l)
        return KZ_ERROR_MEMORY;
    *l = (kz_lineup){.gpu = params->gpu, .program = params->program, .text = text, .tail = tail};
    return 0;
}

void kz_lineup_close(kz_lineup **lineup)
{
    kz_free(*lineup);
    *lineup = NULL;
}

bool kz_lineup_joins(const kz_lineup *lineup, int step)
{
    return lineup && lineup->tail && lineup->program->steps[step].conv.first;
}

bool kz_lineup_run(kz_lineup *lineup, int step, const kz_conv_task *task, bool whole)
{
    if (kz_lineup_joins(lineup, step)) {
        kz_cuda_conv_tail(lineup->gpu, task);
        return true;
    }
    kz_rival_engine *engine = lineup && whole ? engine_of(lineup, task) : NULL;
    const bool done = engine && kz_rival_wgmma.run(engine, lineup->gpu, task) == 0;
    kz_rival_wgmma.close_engine(&engine);
    return done;
}

int kz_lineup_left(const kz_lineup *lineup)
{
    (void)lineup;
    return 0;
}

const char *kz_lineup_kernel(const kz_lineup *lineup, int step, bool whole)
{
    const kz_step *s = lineup && whole ? &lineup->program->steps[step] : NULL;
    if (kz_lineup_joins(lineup, step))
        return kz_rival_tail.name;
    kz_rival_engine *engine = s && s->kind == KZ_STEP_CONV ? engine_of(lineup, &s->conv) : NULL;
    const char *name = engine ? "wgmma" : NULL;
    kz_rival_wgmma.close_engine(&engine);
    return name;
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

bool kz_lineup_differs(const kz_lineup *lineup)
{
    return lineup && lineup->text;
}

char *kz_lineup_identity(const kz_rivals *rivals, const kz_lineup *head, const kz_lineup *tail)
{
    (void)rivals;
    (void)head;
    (void)tail;
    return kz_asprintf("wgmma");
}
