#include "base/mem.h"
#include "base/thread.h"
#include "media/spool.h"
#include "pipeline/stages.h"

/* Between two notes of how far the run has come. */
enum { NOTE_FRAMES = 32, NOTE_SECONDS = 1 };

struct upscale {
    kz_line *line;
    kz_frame_pool *pool;
    kz_spool *spool; /* of the segment under way; NULL: frames aren't kept */
    int segment;     /* its number */
    int64_t frames;  /* done, those of earlier runs too */
    double noted;    /* when the journal was last told of them */
    double seconds;  /* that the last frame took */
};

static int open_spool(struct upscale *u)
{
    const kz_pipeline_params *p = u->line->params;
    char *path = kz_journal_spool_path(p->journal, u->segment++);
    kz_spool_close(&u->spool);
    if (!path)
        return kz_fail_memory(u->line->log, "a path");
    int error = kz_spool_open(&u->spool, path, &p->out_format, u->line->log);
    kz_free(path);
    return error;
}

static int compute(struct upscale *u, const kz_frame *in, kz_frame *out)
{
    const double began = kz_now();
    kz_picture from = kz_frame_picture(in), to = kz_frame_picture(out);
    int error = kz_upscaler_run(u->line->params->upscaler, &from, &to);
    const kz_reuse_stats stats = kz_upscaler_get_stats(u->line->params->upscaler);
    u->seconds = kz_now() - began;
    kz_line_note_reuse(u->line, &stats);
    if (!error && u->spool && u->seconds >= u->line->params->spool_seconds)
        (void)!kz_spool_put(u->spool, out);
    return error;
}

/* So that a run that goes on can tell how much it has to do again. */
static void note_frames(struct upscale *u)
{
    kz_journal *journal = u->line->params->journal;
    u->frames++;
    if (!journal || (u->frames % NOTE_FRAMES != 0 && kz_now() - u->noted < NOTE_SECONDS))
        return;
    u->noted = kz_now();
    kz_journal_note_reached(journal, u->frames);
}

/* What the engine makes of the first frame tells whether another machine's makes the same. */
static int note_engine(struct upscale *u, const kz_frame *out)
{
    kz_journal *journal = u->line->params->journal;
    char hash[KZ_FRAME_HASH];
    if (kz_journal_fact(journal, KZ_FACT_FRAME))
        return 0;
    if (kz_frame_hash(out, hash) != 0)
        return kz_fail_memory(u->line->log, "a frame");
    return kz_journal_add_fact(journal, KZ_FACT_FRAME, hash);
}

/* A segment's frames depend on none before it. */
static int begin_segment(struct upscale *u)
{
    kz_upscaler_begin(u->line->params->upscaler);
    return open_spool(u);
}

static int take_kept(struct upscale *u, kz_frame *in, kz_frame *out)
{
    const kz_picture from = kz_frame_picture(in), to = kz_frame_picture(out);
    kz_line_count_kept(u->line);
    return kz_upscaler_adopt(u->line->params->upscaler, &from, &to);
}

static int fill_frame(struct upscale *u, kz_frame *in, kz_frame *out)
{
    int error = 0;
    if (u->line->params->journal && kz_frame_get_mark(in)->begins)
        error = begin_segment(u);
    if (!error && u->spool && kz_spool_get(u->spool, out) == 0)
        return take_kept(u, in, out);
    if (!error)
        error = compute(u, in, out);
    return error || !u->line->params->journal ? error : note_engine(u, out);
}

static int draw_map(const kz_pipeline_params *p, const kz_frame *in)
{
    kz_picture picture;
    int error = kz_sketch_begin(p->reuse_map, in, &picture);
    if (error)
        return error;
    kz_upscaler_draw(p->upscaler, &picture);
    return kz_sketch_put(p->reuse_map);
}

static int upscale_frame(struct upscale *u, kz_frame *in)
{
    kz_frame *out = NULL;
    int error = kz_frame_pool_get(u->pool, &out, in);
    if (!error)
        error = fill_frame(u, in, out);
    if (!error && u->line->params->reuse_map)
        error = draw_map(u->line->params, in);
    if (!error)
        error = kz_ring_push(u->line->upscaled, out, kz_frame_bytes(out));
    if (error) {
        kz_frame_close(&out);
        return error;
    }
    kz_line_count(u->line, KZ_STAGE_UPSCALE);
    note_frames(u);
    return 0;
}

static void pin(void *context, void *block, size_t bytes)
{
    kz_upscaler_pin(context, block, bytes);
}

static void unpin(void *context, void *block)
{
    kz_upscaler_unpin(context, block);
}

static int open_pool(struct upscale *u)
{
    kz_line *line = u->line;
    const kz_block_watch watch = {pin, unpin, line->params->upscaler};
    int error = kz_frame_pool_open(&u->pool, &line->params->out_format, line->log);
    if (!error)
        kz_frame_pool_watch(u->pool, &watch);
    return error;
}

void kz_stage_upscale(kz_line *line)
{
    const kz_journal *journal = line->params->journal;
    struct upscale u = {.line = line,
                        .segment = journal ? kz_journal_segments(journal) : 0,
                        .frames = line->params->frames_before,
                        .noted = kz_now()};
    int error = open_pool(&u);
    void *item;
    while (!error && !(error = kz_ring_pop(line->decoded, &item))) {
        kz_frame *in = item;
        error = upscale_frame(&u, in);
        kz_frame_close(&in);
    }
    kz_spool_close(&u.spool);
    kz_frame_pool_close(&u.pool);
    if (error != KZ_END)
        kz_line_fail(line, error);
    kz_ring_finish(line->upscaled);
}
