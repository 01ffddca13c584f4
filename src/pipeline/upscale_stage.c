#include "pipeline/stages.h"

static int upscale_frame(kz_line *line, kz_frame_pool *pool, kz_frame *in)
{
    kz_frame *out = NULL;
    int error = kz_frame_pool_get(pool, &out, in);
    if (!error) {
        kz_picture from = kz_frame_picture(in), to = kz_frame_picture(out);
        error = kz_upscaler_run(line->params->upscaler, &from, &to);
    }
    if (!error)
        error = kz_ring_push(line->upscaled, out, kz_frame_bytes(out));
    if (error)
        kz_frame_close(&out);
    else
        kz_line_count(line, KZ_STAGE_UPSCALE);
    return error;
}

void kz_stage_upscale(kz_line *line)
{
    kz_frame_pool *pool = NULL;
    int error = kz_frame_pool_open(&pool, &line->params->out_format, line->log);
    void *item;
    while (!error && !(error = kz_ring_pop(line->decoded, &item))) {
        kz_frame *in = item;
        error = upscale_frame(line, pool, in);
        kz_frame_close(&in);
    }
    kz_frame_pool_close(&pool);
    if (error != KZ_END)
        kz_line_fail(line, error);
    kz_ring_finish(line->upscaled);
}
