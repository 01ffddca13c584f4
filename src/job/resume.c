#include "job/resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/version.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "base/thread.h"
#include "job/auto.h"
#include "job/identity.h"
#include "model/registry.h"

/* ---- can it be? ---- */

static bool is_file(const char *path, bool if_there)
{
    struct stat st;
    if (strcmp(path, "-") == 0)
        return false;
    return stat(path, &st) == 0 ? S_ISREG(st.st_mode) : if_there;
}

/* Why the run can't be taken up again, NULL: it can. */
static const char *obstacle(const kz_job_options *o, const char *input, const char *output,
                            const char *codec, char *text, size_t size)
{
    const char *whole = kz_encoder_whole_param(o->x265_params);
    if (!is_file(output, true))
        return "the output is a pipe or a device";
    if (!is_file(input, false))
        return "the input is a pipe";
    if (kz_encoder_is_raw(codec))
        return "raw video is written at once";
    if (!whole)
        return NULL;
    snprintf(text, size, "x265's %.*s is about the whole video", (int)strcspn(whole, "=:"), whole);
    return text;
}

/* ---- what the earlier run chose ---- */

static void take_choices(kz_job_options *o, const kz_journal *journal)
{
    const char *backend = kz_journal_fact(journal, "engine.backend");
    const char *level = kz_journal_fact(journal, "engine.level");
    const char *precision = kz_journal_fact(journal, "engine.precision");
    const char *tiles = kz_journal_fact(journal, "engine.tiles");
    const char *model = kz_journal_fact(journal, "engine.model");
    if (model && strcmp(o->model, KZ_AUTO) == 0)
        o->model = (char *)(uintptr_t)model; /* the journal's, which outlives the options here */
    /* Where it chose another than the CPU, the same choice is made again, or can't be. */
    if (backend && strcmp(o->device, "auto") == 0 && strcmp(backend, kz_backend_cpu.name) == 0)
        o->device = "cpu";
    if (level && kz_cpu_level_parse(level) >= 0)
        o->cpu_level = kz_cpu_level_parse(level) + 1;
    for (int i = 0; precision && i < KZ_PRECISIONS; i++)
        if (strcmp(precision, kz_precision_name((enum kz_precision)i)) == 0)
            o->precision = i;
    if (tiles && (sscanf(tiles, "%dx%d halo %d", &o->columns, &o->rows, &o->tiles_halo) != 3 ||
                  o->tiles_halo < 0))
        o->columns = o->rows = 0;
}

const char *kz_resume_encoder(const kz_resume *resume)
{
    return resume->again ? kz_journal_fact(resume->journal, "encoder") : NULL;
}

int kz_resume_frame_threads(const kz_resume *resume, const char *codec)
{
    const char *before =
        resume->again ? kz_journal_fact(resume->journal, "encoder.frame-threads") : NULL;
    const int frames = before ? atoi(before) : 0;
    return frames > 0 && frames <= 64 ? frames : kz_encoder_frame_threads(codec, kz_cpu_count());
}

/* ---- open ---- */

static int make_key(kz_key *key, const kz_job_options *o, const char *input, kz_log *log)
{
    char digest[KZ_DIGEST_TEXT], media[512], engine[128], versions[700];
    int error = kz_identity(digest, input, log);
    if (error)
        return error;
    snprintf(versions, sizeof(versions), "kizuna %s, %s, %s", KZ_VERSION,
             kz_media_versions(media, sizeof(media)), kz_backend_versions(engine, sizeof(engine)));
    if (kz_key_add_options(key, o) || kz_key_add(key, "input", digest) ||
        kz_key_add(key, "versions", versions))
        return kz_fail_memory(log, "options");
    return 0;
}

/* A link's output is made where the file lies, on the same file system. */
static int journal_of(kz_journal **journal, const char *output, kz_log *log)
{
    char *real = realpath(output, NULL);
    int error = kz_journal_open(journal, real ? real : output, log);
    free(real);
    return error;
}

/* Whether the unfinished run is taken up `again`. Where to begin anew has been asked for, what
 * differs isn't an error. */
static int compare(kz_resume *r, bool anew, const char *output, kz_log *log)
{
    const int error = kz_key_compare(&r->key, r->journal, output, anew ? NULL : log);
    r->again = !error;
    if (!error || !anew)
        return error;
    kz_log_line(log, KZ_LOG_INFO, "resume  an unfinished run of %s differs: it begins anew",
                output);
    return 0;
}

static int open_journal(kz_resume *r, kz_job_options *o, const char *input, const char *output,
                        kz_log *log)
{
    int error = make_key(&r->key, o, input, log);
    if (!error)
        error = journal_of(&r->journal, output, log);
    if (error)
        return error;
    r->part = kz_journal_path(r->journal, "output");
    if (!r->part)
        return kz_fail_memory(log, output);
    if (o->restart || kz_journal_is_empty(r->journal) || kz_journal_is_finished(r->journal))
        return 0;
    error = compare(r, o->on_change, output, log);
    if (r->again)
        take_choices(o, r->journal);
    return error;
}

bool kz_resume_was_finished(const char *path)
{
    kz_journal *journal = NULL;
    const bool finished = journal_of(&journal, path, NULL) == 0 && kz_journal_is_finished(journal);
    if (finished)
        kz_journal_finish(journal);
    kz_journal_close(&journal);
    return finished;
}

int kz_resume_open(kz_resume *r, kz_job_options *o, const char *input, const char *output,
                   const char *codec, kz_log *log)
{
    char text[100];
    *r = (kz_resume){0};
    if (o->no_resume)
        return 0;
    const char *why = obstacle(o, input, output, codec, text, sizeof(text));
    if (!why)
        return open_journal(r, o, input, output, log);
    kz_log_line(log, KZ_LOG_INFO, "resume  off: %s", why);
    return 0;
}

void kz_resume_close(kz_resume *r)
{
    kz_journal_close(&r->journal);
    kz_key_close(&r->key);
    kz_free(r->part);
    *r = (kz_resume){0};
}

/* ---- begin ---- */

static int add_engine(kz_key *key, const kz_engine *engine, const kz_upscaler *upscaler, int halo,
                      const char *encoder, int frame_threads)
{
    const kz_upscaler_info info = kz_upscaler_get_info(upscaler);
    const kz_backend *backend = engine->backend;
    char tiles[80], frames[20];
    snprintf(tiles, sizeof(tiles), "%dx%d halo %d", info.tiling.columns, info.tiling.rows, halo);
    snprintf(frames, sizeof(frames), "%d", frame_threads);
    if (kz_key_add(key, "model", engine->model->digest) ||
        kz_key_add(key, "engine.model", engine->model->info.name) ||
        kz_key_add(key, "engine.backend", backend->name) ||
        kz_key_add(key, "engine.level", kz_cpu_level_name(backend->level(engine->device))) ||
        kz_key_add(key, "engine.precision", kz_precision_name(info.precision)) ||
        kz_key_add(key, "engine.tiles", tiles) || kz_key_add(key, "encoder.frame-threads", frames))
        return KZ_ERROR_MEMORY;
    if (encoder && kz_key_add(key, "encoder", encoder))
        return KZ_ERROR_MEMORY;
    return backend->identity ? kz_key_add(key, "engine.device", backend->identity(engine->device))
                             : 0;
}

int kz_resume_check_device(const kz_resume *r, const kz_engine *engine, const char *output,
                           kz_log *log)
{
    const char *before = r->again ? kz_journal_fact(r->journal, "engine.backend") : NULL;
    if (!before || strcmp(before, engine->backend->name) == 0)
        return 0;
    return kz_fail(log, KZ_ERROR_USAGE,
                   "%s: an unfinished run of it differs: engine.backend was %s, is %s%s; --restart "
                   "begins anew",
                   output, before, engine->backend->name, engine->note);
}

static void say_again(const kz_resume *r, kz_log *log)
{
    const long long frames = kz_journal_frames(r->journal);
    kz_log_line(log, KZ_LOG_INFO, "resume  %d segments are ready, %lld frames: on with frame %lld",
                kz_journal_segments(r->journal), frames, frames);
}

int kz_resume_begin(kz_resume *r, const kz_engine *engine, const kz_upscaler *upscaler, int halo,
                    const char *encoder, int frame_threads, bool anew, const char *output,
                    kz_log *log)
{
    char host[200];
    if (!r->journal)
        return 0;
    if (add_engine(&r->key, engine, upscaler, halo, encoder, frame_threads))
        return kz_fail_memory(log, "options");
    if (r->again) {
        const int error = compare(r, anew, output, log);
        if (r->again)
            say_again(r, log);
        if (error || r->again)
            return error;
    }
    /* No part of what must be equal: with another processor the first frame decides. */
    if (kz_key_add(&r->key, "host.cpu", kz_cpu_model(host, sizeof(host))))
        return kz_fail_memory(log, "options");
    return kz_journal_begin(r->journal, r->key.facts, r->key.count);
}

/* ---- another machine ---- */

static int compare_frame(const kz_frame *made, const char *before, kz_log *log)
{
    char hash[KZ_FRAME_HASH];
    if (kz_frame_hash(made, hash) != 0)
        return kz_fail_memory(log, "a frame");
    if (strcmp(hash, before) == 0)
        return 0;
    return kz_fail(log, KZ_ERROR_FAILED,
                   "this machine's network differs in the last bits from the one that began: go on "
                   "there, or --restart begins anew");
}

int kz_resume_check_host(const kz_resume *r, kz_upscaler *upscaler, const kz_frame *first,
                         const kz_video_format *out, kz_log *log)
{
    char host[200];
    const char *cpu = kz_journal_fact(r->journal, "host.cpu");
    const char *before = kz_journal_fact(r->journal, KZ_FACT_FRAME);
    kz_frame_pool *pool = NULL;
    kz_frame *made = NULL;
    if (!before || (cpu && strcmp(cpu, kz_cpu_model(host, sizeof(host))) == 0))
        return 0;
    kz_log_line(log, KZ_LOG_INFO, "resume  another processor began: comparing the first frame");
    int error = kz_frame_pool_open(&pool, out, log);
    if (!error)
        error = kz_frame_pool_get(pool, &made, first);
    if (!error) {
        const kz_picture from = kz_frame_picture(first), to = kz_frame_picture(made);
        error = kz_upscaler_run(upscaler, &from, &to);
    }
    if (!error)
        error = compare_frame(made, before, log);
    kz_frame_close(&made);
    kz_frame_pool_close(&pool);
    return error;
}
