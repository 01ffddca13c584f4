/* Two layers in one kernel behind rival.h: as anybody's, it has to be faster than the two, by
 * whomever they are computed, where it is to run. */
#include "cuda/rival.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* There is one way. */
#define TEXT "both"

struct kz_rival_library {
    char unused;
};

struct kz_rival_engine {
    char unused;
};

static int tail_open(kz_rival_library **library, kz_gpu *gpu)
{
    (void)gpu;
    *library = kz_alloc(1, sizeof(**library));
    return *library ? 0 : KZ_ERROR_MEMORY;
}

static void tail_close(kz_rival_library **library)
{
    kz_free(*library);
    *library = NULL;
}

/* Of the kernel: kizuna's own says the rest. */
static size_t tail_version(const kz_rival_library *library)
{
    (void)library;
    return 1;
}

/* The program has asked kz_cuda_conv_tail_fits(). */
static bool tail_fits(const kz_conv_task *t)
{
    return t->first != NULL;
}

static int tail_list(kz_rival_library *library, const kz_rival_layer *layer,
                     char (*engines)[KZ_CHOICE_ENGINE], int most)
{
    (void)library;
    (void)layer;
    if (most)
        snprintf(engines[0], KZ_CHOICE_ENGINE, TEXT);
    return most > 0;
}

static int tail_open_engine(kz_rival_engine **engine, kz_rival_library *library,
                            const kz_rival_layer *layer, const char *text, kz_log *log)
{
    (void)library;
    (void)layer;
    (void)log;
    *engine = NULL;
    if (strcmp(text, TEXT) != 0)
        return KZ_ERROR_FAILED;
    *engine = kz_alloc(1, sizeof(**engine));
    return *engine ? 0 : KZ_ERROR_MEMORY;
}

static void tail_close_engine(kz_rival_engine **engine)
{
    kz_free(*engine);
    *engine = NULL;
}

static int tail_run(kz_rival_engine *engine, kz_gpu *gpu, const kz_conv_task *task)
{
    (void)engine;
    kz_cuda_conv_tail(gpu, task);
    return 0;
}

const kz_rival_table kz_rival_tail = {
    .name = "tail",
    .own_weights = true,
    .same_bits = true,
    .open = tail_open,
    .close = tail_close,
    .version = tail_version,
    .fits = tail_fits,
    .list = tail_list,
    .open_engine = tail_open_engine,
    .close_engine = tail_close_engine,
    .run = tail_run,
};
