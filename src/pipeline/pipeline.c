#include "pipeline/pipeline.h"

#include <string.h>
#include <time.h>

#include "base/thread.h"
#include "pipeline/join.h"
#include "pipeline/stages.h"

enum { PROGRESS_MS = 200 }; /* between two reports; also how soon a cancel is seen */

typedef void (*stage_function)(kz_line *line);

static const stage_function functions[KZ_STAGES] = {kz_stage_decode, kz_stage_upscale,
                                                    kz_stage_encode, kz_stage_check};

struct stage_thread {
    kz_line *line;
    enum kz_stage stage;
    double began;
    pthread_t thread;
};

void kz_line_fail(kz_line *line, int error)
{
    pthread_mutex_lock(&line->lock);
    if (!line->error && error != KZ_CLOSED)
        line->error = error;
    pthread_mutex_unlock(&line->lock);
    atomic_store(line->params->stop, true);
    kz_ring_stop(line->decoded);
    kz_ring_stop(line->upscaled);
    kz_ring_stop(line->encoded);
}

void kz_line_note_reuse(kz_line *line, const kz_reuse_stats *stats)
{
    pthread_mutex_lock(&line->lock);
    line->reuse = *stats;
    pthread_mutex_unlock(&line->lock);
}

void kz_line_count_kept(kz_line *line)
{
    pthread_mutex_lock(&line->lock);
    line->kept++;
    pthread_mutex_unlock(&line->lock);
}

void kz_line_count(kz_line *line, enum kz_stage stage)
{
    pthread_mutex_lock(&line->lock);
    line->frames[stage]++;
    pthread_mutex_unlock(&line->lock);
}

static void *stage_main(void *argument)
{
    struct stage_thread *t = argument;
    functions[t->stage](t->line);
    pthread_mutex_lock(&t->line->lock);
    t->line->running--;
    t->line->ended[t->stage] = kz_now() - t->began;
    pthread_cond_signal(&t->line->changed);
    pthread_mutex_unlock(&t->line->lock);
    return NULL;
}

/* ---- progress ---- */

static kz_progress snapshot(kz_line *line, double began)
{
    kz_progress p = {.seconds = kz_now() - began, .before = line->params->frames_before};
    kz_ring_stats decoded = kz_ring_get_stats(line->decoded);
    kz_ring_stats upscaled = kz_ring_get_stats(line->upscaled);
    kz_ring_stats encoded = kz_ring_get_stats(line->encoded);
    p.stage[KZ_STAGE_DECODE].waited = decoded.push_wait;
    p.stage[KZ_STAGE_UPSCALE].waited = decoded.pop_wait + upscaled.push_wait;
    p.stage[KZ_STAGE_ENCODE].waited = upscaled.pop_wait + encoded.push_wait;
    p.stage[KZ_STAGE_CHECK].waited = encoded.pop_wait;
    p.bytes = kz_output_bytes(line->params->output);
    const int64_t before = line->params->journal ? kz_journal_bytes(line->params->journal) : 0;
    p.expected = kz_decoder_expected(line->params->decoder);
    pthread_mutex_lock(&line->lock);
    for (int s = 0; s < KZ_STAGES; s++) {
        double lived = line->ended[s] > 0 ? line->ended[s] : p.seconds;
        p.stage[s].frames = line->frames[s];
        p.stage[s].busy = lived > p.stage[s].waited ? lived - p.stage[s].waited : 0;
    }
    p.packets = line->packets;
    p.media_time = line->media_time;
    p.damaged = line->damaged;
    p.kept = line->kept;
    p.reuse = line->reuse;
    /* What waits in segments will be written. */
    if (line->params->journal && p.bytes < before + line->bytes)
        p.bytes = before + line->bytes;
    pthread_mutex_unlock(&line->lock);
    if (line->params->max_frames && (!p.expected || p.expected > line->params->max_frames))
        p.expected = line->params->max_frames;
    return p;
}

/* Waits until a stage ends or it is time for the next report. Returns how many still run. */
static int wait_a_little(kz_line *line)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += PROGRESS_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&line->lock);
    if (line->running)
        pthread_cond_timedwait(&line->changed, &line->lock, &until);
    int running = line->running;
    pthread_mutex_unlock(&line->lock);
    return running;
}

static void supervise(kz_line *line, double began)
{
    const kz_pipeline_params *p = line->params;
    while (wait_a_little(line)) {
        if (atomic_load(p->stop))
            kz_line_fail(line, KZ_ERROR_CANCELLED);
        kz_progress now = snapshot(line, began);
        if (p->progress)
            p->progress(p->context, &now);
    }
}

/* ---- run ---- */

static void drop_frame(void *item)
{
    kz_frame *frame = item;
    kz_frame_close(&frame);
}

static void drop_made(void *item)
{
    kz_made *made = item;
    kz_made_close(&made);
}

static int open_line(kz_line *line)
{
    kz_ring_params ring = {
        .max_items = KZ_RING_FRAMES, .max_bytes = KZ_RING_BYTES, .drop = drop_frame};
    kz_ring_params packets = {
        .max_items = KZ_RING_PACKETS, .max_bytes = KZ_RING_PACKET_BYTES, .drop = drop_made};
    pthread_mutex_init(&line->lock, NULL);
    pthread_cond_init(&line->changed, NULL);
    if (kz_ring_open(&line->decoded, &ring) || kz_ring_open(&line->upscaled, &ring) ||
        kz_ring_open(&line->encoded, &packets))
        return kz_fail_memory(line->log, "the pipeline");
    return 0;
}

static void close_line(kz_line *line)
{
    kz_ring_close(&line->decoded);
    kz_ring_close(&line->upscaled);
    kz_ring_close(&line->encoded);
    kz_checker_close(&line->checker);
    kz_form_close(&line->form);
    kz_frame_close(&line->like);
    pthread_cond_destroy(&line->changed);
    pthread_mutex_destroy(&line->lock);
}

static int run_threads(kz_line *line, double began)
{
    struct stage_thread threads[KZ_STAGES];
    int started = 0, error = 0;
    line->running = KZ_STAGES;
    for (; started < KZ_STAGES && !error; started += !error) {
        threads[started] = (struct stage_thread){line, (enum kz_stage)started, began, 0};
        error = pthread_create(&threads[started].thread, NULL, stage_main, &threads[started]);
    }
    if (error) {
        kz_line_fail(line, kz_fail(line->log, KZ_ERROR_FAILED, "cannot start a thread: %s",
                                   strerror(error)));
        pthread_mutex_lock(&line->lock);
        line->running -= KZ_STAGES - started;
        pthread_mutex_unlock(&line->lock);
    }
    supervise(line, began);
    for (int s = 0; s < started; s++)
        pthread_join(threads[s].thread, NULL);
    return line->error;
}

/* An earlier run has seen the first frames. */
static int begin_behind(kz_line *line)
{
    const kz_pipeline_params *p = line->params;
    kz_frame_pool *pool = NULL;
    kz_frame *upscaled = NULL;
    int error = kz_output_first(p->output, p->first);
    if (!error)
        error = kz_frame_pool_open(&pool, &p->out_format, line->log);
    if (!error)
        error = kz_frame_pool_get(pool, &upscaled, p->first);
    if (!error && kz_frame_shell(&line->like, upscaled) != 0)
        error = kz_fail_memory(line->log, "a frame");
    kz_frame_close(&upscaled);
    kz_frame_pool_close(&pool);
    return error;
}

/* Where an earlier run has made all segments, none of the encoders is known yet. */
static int learn_form(kz_line *line)
{
    const kz_pipeline_params *p = line->params;
    kz_encoder *encoder = NULL;
    int error = kz_encoder_open(&encoder, &p->encoder, &p->out_format, line->like, line->log);
    if (!error && kz_form_open(&line->form, encoder) != 0)
        error = kz_fail_memory(line->log, "the output");
    kz_encoder_close(&encoder);
    return error;
}

static int finish(kz_line *line)
{
    const kz_pipeline_params *p = line->params;
    if (!p->journal)
        return kz_output_finish(p->output, line->checker);
    int error = line->form ? 0 : learn_form(line);
    if (!error)
        error = kz_join(p, line->form, line->log);
    if (!error)
        kz_journal_finish(p->journal);
    return error;
}

int kz_pipeline_run(const kz_pipeline_params *params, kz_progress *last, kz_log *log)
{
    kz_line line = {.params = params, .log = log};
    double began = kz_now();
    *last = (kz_progress){0};
    int error = open_line(&line);
    if (!error && params->first)
        error = begin_behind(&line);
    if (!error) {
        error = run_threads(&line, began);
        double ended = kz_now();
        if (!error)
            error = finish(&line);
        *last = snapshot(&line, began);
        last->finishing = kz_now() - ended;
    }
    close_line(&line);
    return error;
}
