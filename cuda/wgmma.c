/* Our own kernel for Hopper behind rival.h: as anybody's, it has to compute what the one for all
 * devices does, and to be faster, where it is to run. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cuda/rival.h"

static const char engine_text[] = "one"; /* tap at a time */

struct kz_rival_library {
    char unused;
};

struct kz_rival_engine {
    char unused;
};

static int wgmma_open(kz_rival_library **library, kz_gpu *gpu)
{
    *library = NULL;
    if (!kz_cuda_conv_wgmma_there(kz_gpu_get_info(gpu)))
        return KZ_ERROR_FAILED;
    *library = kz_alloc(1, sizeof(**library));
    return *library ? 0 : KZ_ERROR_MEMORY;
}

static void wgmma_close(kz_rival_library **library)
{
    kz_free(*library);
    *library = NULL;
}

/* Of the kernel: kizuna's own says the rest. */
static size_t wgmma_version(const kz_rival_library *library)
{
    (void)library;
    return 1;
}

/* Only what is of one type can be compared. */
static bool wgmma_fits(const kz_conv_task *t)
{
    bool fits = kz_cuda_conv_wgmma_fits(t) && t->in.element == t->out.element;
    for (int i = 0; i < t->n_residuals; i++)
        fits = fits && t->residuals[i].element == t->out.element;
    return fits;
}

static int wgmma_list(kz_rival_library *library, const kz_rival_layer *layer,
                      char (*engines)[KZ_CHOICE_ENGINE], int most)
{
    (void)library;
    (void)layer;
    if (most < 1)
        return 0;
    snprintf(engines[0], KZ_CHOICE_ENGINE, "%s", engine_text);
    return 1;
}

static int wgmma_open_engine(kz_rival_engine **engine, kz_rival_library *library,
                             const kz_rival_layer *layer, const char *text, kz_log *log)
{
    (void)library;
    (void)layer;
    (void)log;
    *engine = NULL;
    if (strcmp(text, engine_text) != 0)
        return KZ_ERROR_FAILED;
    *engine = kz_alloc(1, sizeof(**engine));
    return *engine ? 0 : KZ_ERROR_MEMORY;
}

static void wgmma_close_engine(kz_rival_engine **engine)
{
    kz_free(*engine);
    *engine = NULL;
}

static int wgmma_run(kz_rival_engine *engine, kz_gpu *gpu, const kz_conv_task *task)
{
    (void)engine;
    kz_cuda_conv_wgmma(gpu, task);
    return 0;
}

const kz_rival_table kz_rival_wgmma = {
    .name = "wgmma",
    .own_weights = true,
    .open = wgmma_open,
    .close = wgmma_close,
    .version = wgmma_version,
    .fits = wgmma_fits,
    .list = wgmma_list,
    .open_engine = wgmma_open_engine,
    .close_engine = wgmma_close_engine,
    .run = wgmma_run,
};
