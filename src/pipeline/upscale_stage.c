#include "base/mem.h"
#include "base/thread.h"
#include "media/spool.h"
#include "pipeline/stages.h"

/* Between two notes of how far the run has come. */
enum { NOTE_FRAMES = 32, NOTE_SECONDS = 1 };

/* A frame and what is made of it. */
struct pair {
    kz_frame *in, *out;
    double began;
};

struct upscale {
    kz_line *line;
    kz_frame_pool *pool;
    struct pair started; /* that isn't finished; blank: none */
    kz_spool *spool;     /* of the segment under way; NULL: frames aren't kept */
    int segment;         /* its number */
    int64_t frames;      /* done, those of earlier runs too */
    double noted;        /* when the journal was last told of them */
    double seconds;      /* that the last frame took, from its start or the end of the one before */
    double ended;        /* when that was */
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

static int draw_map(const kz_pipeline_params *p, const kz_frame *in)
{
    kz_picture picture;
    int error = kz_sketch_begin(p->reuse_map, in, &picture);
    if (error)
        return error;
    kz_upscaler_draw(p->upscaler, &picture);
    return kz_sketch_put(p->reuse_map);
}

static void close_pair(struct pair *pair)
{
    kz_frame_close(&pair->in);
    kz_frame_close(&pair->out);
}

/* Hands a frame on that has all its samples. */
static int hand_on(struct upscale *u, struct pair *pair)
{
    kz_line *line = u->line;
    int error = line->params->reuse_map ? draw_map(line->params, pair->in) : 0;
    if (!error)
        error = kz_ring_push(line->upscaled, pair->out, kz_frame_bytes(pair->out));
    if (error)
        return error;
    pair->out = NULL;
    kz_line_count(line, KZ_STAGE_UPSCALE);
    note_frames(u);
    return 0;
}

static void keep(struct upscale *u, const struct pair *pair)
{
    const double now = kz_now();
    u->seconds = now - (pair->began > u->ended ? pair->began : u->ended);
    u->ended = now;
    if (u->spool && u->seconds >= u->line->params->spool_seconds)
        (void)!kz_spool_put(u->spool, pair->out);
}

static int complete(struct upscale *u, struct pair *pair)
{
    const kz_upscaler *upscaler = u->line->params->upscaler;
    const kz_reuse_stats stats = kz_upscaler_get_stats(upscaler);
    kz_line_note_reuse(u->line, &stats);
    keep(u, pair);
    const int error = u->line->params->journal ? note_engine(u, pair->out) : 0;
    return error ? error : hand_on(u, pair);
}

/* Waits for the frame that was started; with `error` it isn't handed on. */
static int finish_started(struct upscale *u, int error)
{
    struct pair pair = u->started;
    u->started = (struct pair){0};
    if (!pair.in)
        return error;
    const int failed = kz_upscaler_finish(u->line->params->upscaler);
    error = error ? error : failed;
    if (!error)
        error = complete(u, &pair);
    close_pair(&pair);
    return error;
}

/* The device begins with this frame before the one that was started is waited for. */
static int start(struct upscale *u, struct pair *pair)
{
    kz_upscaler *upscaler = u->line->params->upscaler;
    const kz_picture from = kz_frame_picture(pair->in), to = kz_frame_picture(pair->out);
    pair->began = kz_now();
    const int failed = kz_upscaler_start(upscaler, &from, &to);
    const int error = finish_started(u, failed);
    u->started = *pair;
    *pair = (struct pair){0};
    return error || !kz_upscaler_overlaps(upscaler) ? finish_started(u, error) : 0;
}

/* Where a segment begins nothing of the one before may be left. */
static int begin(struct upscale *u, kz_frame *in)
{
    if (!u->line->params->journal || !kz_frame_get_mark(in)->begins)
        return 0;
    const int error = finish_started(u, 0);
    return error ? error : begin_segment(u);
}

/* KZ_AGAIN: an earlier run has left nothing of this frame. */
static int restore(struct upscale *u, struct pair *pair)
{
    if (!u->spool || kz_spool_get(u->spool, pair->out) != 0)
        return KZ_AGAIN;
    int error = finish_started(u, 0);
    if (!error)
        error = take_kept(u, pair->in, pair->out);
    return error ? error : hand_on(u, pair);
}

/* Takes the frame. */
static int upscale_frame(struct upscale *u, kz_frame *in)
{
    struct pair pair = {.in = in};
    int error = begin(u, in);
    if (!error)
        error = kz_frame_pool_get(u->pool, &pair.out, in);
    if (!error)
        error = restore(u, &pair);
    if (error == KZ_AGAIN)
        error = start(u, &pair);
    close_pair(&pair);
    return error;
}

static void pin(void *context, void *block, size_t bytes)
{
    kz_upscaler_pin(context, block, bytes);
}

static void unpin(void *context, void *block)
{
    kz_upscaler_unpin(context, block);
}

kz_block_watch kz_pipeline_watch(kz_upscaler *upscaler)
{
    return (kz_block_watch){pin, unpin, upscaler};
}

static int open_pool(struct upscale *u)
{
    kz_line *line = u->line;
    const kz_block_watch watch = kz_pipeline_watch(line->params->upscaler);
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
    while (!error && !(error = kz_ring_pop(line->decoded, &item)))
        error = upscale_frame(&u, item);
    const int last = finish_started(&u, error == KZ_END ? 0 : error);
    error = last ? last : error;
    kz_spool_close(&u.spool);
    kz_frame_pool_close(&u.pool);
    if (error != KZ_END)
        kz_line_fail(line, error);
    kz_ring_finish(line->upscaled);
}
