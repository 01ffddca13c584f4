#include "job/job.h"

#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "job/encoder.h"
#include "job/resume.h"
#include "job/size.h"
#include "model/registry.h"
#include "pipeline/position.h"

enum { SPILL_BYTES = 256 << 20 };

/* A frame that takes longer is worth the disk until its segment is finished. */
#define SPOOL_SECONDS 1.0

struct job {
    const kz_job_params *params;
    kz_job_options options; /* the caller's, with what a run that goes on had chosen */
    kz_resume resume;
    kz_log *log;
    kz_engine engine;
    kz_input *input;
    kz_input *source; /* the same, for the streams that are copied; NULL: not of segments */
    kz_frame *first;  /* of a run that goes on */
    kz_decoder *decoder;
    kz_upscaler *upscaler;
    kz_output *output;
    kz_sketch *reuse_map;
    kz_encoder_params encoder;
    char encoder_note[KZ_ENCODER_NOTE_SIZE];
    kz_video_format out_format;
    size_t memory;
};

/* ---- what to make ---- */

/* 10 bit with the input's chroma: gradients survive, and encoders lose nothing by it. */
static const char *default_pixels(const kz_video_format *in)
{
    static const char *const ten[2][2] = {{"yuv444p10le", "yuv440p10le"},
                                          {"yuv422p10le", "yuv420p10le"}};
    static const char *const twelve[2][2] = {{"yuv444p12le", "yuv440p12le"},
                                             {"yuv422p12le", "yuv420p12le"}};
    if (in->planes == 1)
        return in->depth > 10 ? "gray12le" : "gray10le";
    int x = in->shift_x > 0, y = in->shift_y > 0;
    return in->depth > 10 ? twelve[x][y] : ten[x][y];
}

int kz_job_out_format(kz_video_format *out, const kz_video_format *in, const kz_job_options *o,
                      int most_scale, kz_log *log)
{
    const char *pixels = o->pix_fmt && !o->size ? o->pix_fmt : default_pixels(in);
    kz_size size;
    *out = *in;
    int error = kz_format_by_name(out, pixels);
    if (error)
        return kz_fail(log, error,
                       "--pix-fmt: '%s' is not a planar YUV or grey format that kizuna writes",
                       pixels);
    error = kz_job_size(&size, o->scale, (kz_size){in->width, in->height}, most_scale, log);
    out->width = size.width;
    out->height = size.height;
    return error;
}

/* ---- what will happen, in lines ---- */

static const char *gib(char *text, size_t size, size_t bytes)
{
    if (bytes < (size_t)1 << 30)
        snprintf(text, size, "%.0f MiB", (double)bytes / (1 << 20));
    else
        snprintf(text, size, "%.2f GiB", (double)bytes / (1 << 30));
    return text;
}

static void say_output(const struct job *j)
{
    const kz_video_format *f = &j->out_format;
    char crf[32] = "";
    if (j->encoder.crf >= 0)
        snprintf(crf, sizeof(crf), " crf %g", j->encoder.crf);
    kz_log_line(j->log, KZ_LOG_INFO, "output  %s: %s%s%s%s, %dx%d %s", j->params->output,
                j->encoder.codec, j->encoder.preset ? " " : "",
                j->encoder.preset ? j->encoder.preset : "", crf, f->width, f->height,
                f->pixel_name);
}

static void say_encoder(const struct job *j)
{
    if (j->encoder_note[0])
        kz_log_line(j->log, KZ_LOG_INFO, "encoder %s", j->encoder_note);
}

static void say_engine(const struct job *j)
{
    const kz_model_info *m = &j->engine.model->info;
    kz_upscaler_info u = kz_upscaler_get_info(j->upscaler);
    kz_log_line(j->log, KZ_LOG_INFO, "model   %s: %s ×%d%s, %s%s", m->name, m->architecture,
                m->scale, u.scale > m->scale ? " twice" : "", m->licence, j->engine.model_note);
    kz_log_line(j->log, KZ_LOG_INFO, "device  %s, %s, %d tile%s of %dx%d%s",
                j->engine.backend->describe(j->engine.device), kz_precision_name(u.precision),
                kz_tiling_count(&u.tiling), kz_tiling_count(&u.tiling) == 1 ? "" : "s",
                u.tiling.tile_width, u.tiling.tile_height, j->engine.note);
}

kz_memory kz_job_memory(const kz_job_options *o, const kz_upscaler *upscaler,
                        const kz_video_format *in, const kz_video_format *out,
                        const kz_encoder_params *encoder)
{
    const kz_upscaler_info u = kz_upscaler_get_info(upscaler);
    kz_memory m = kz_memory_estimate(u.memory, in, out, encoder->codec, encoder->preset,
                                     !o->no_verify, kz_cpu_count());
    m.device = u.device_memory;
    if (kz_upscaler_overlaps(upscaler))
        m.frames += kz_memory_frame(in) + kz_memory_frame(out);
    return m;
}

static void say_memory(struct job *j)
{
    char total[32], engine[32], encoder[32], frames[32], device[32];
    kz_memory m = kz_job_memory(&j->options, j->upscaler, kz_decoder_format(j->decoder),
                                &j->out_format, &j->encoder);
    m.device += kz_decoder_device_memory(j->decoder);
    j->memory = kz_memory_total(&m);
    kz_log_line(j->log, KZ_LOG_INFO, "memory  %s expected: engine %s, encoder %s, frames %s%s%s",
                gib(total, sizeof(total), j->memory), gib(engine, sizeof(engine), m.engine),
                gib(encoder, sizeof(encoder), m.encoder), gib(frames, sizeof(frames), m.frames),
                m.device ? "; on the device " : "",
                m.device ? gib(device, sizeof(device), m.device) : "");
}

/* ---- life ---- */

kz_input_params kz_job_input(const kz_job_options *o, const char *path, const atomic_bool *stop)
{
    return (kz_input_params){.path = path,
                             .start = o->start,
                             .duration = o->duration,
                             .cancel = stop,
                             .choice = {.audio = o->audio, .subs = o->subs, .drop = o->drop},
                             .raw_size = o->size,
                             .raw_pixels = o->size ? o->pix_fmt : NULL,
                             .raw_rate = o->size ? o->fps : NULL};
}

kz_filter_params kz_job_filter(const kz_job_options *o, const char *path)
{
    return (kz_filter_params){.deinterlace = (enum kz_deinterlace)o->deinterlace,
                              .ivtc = o->ivtc,
                              .turn = !kz_output_keeps_rotation(path, o->format),
                              .vf = o->vf,
                              .fps = o->size ? NULL : o->fps};
}

static int open_decoder(struct job *j)
{
    const kz_job_options *o = &j->options;
    kz_input_params input = kz_job_input(o, j->params->input, j->params->stop);
    kz_decoder_params params = {.filter = kz_job_filter(o, j->params->output), .input = &input};
    return kz_decoder_open(&j->decoder, j->input, &params, j->log);
}

/* A GPU that the network runs on copies from what software decodes, and may decode itself. What is
 * damaged within a picture it doesn't tell: who wants to know has it decoded in software. */
static int use_device(struct job *j)
{
    const kz_engine *e = &j->engine;
    const kz_block_watch watch = kz_pipeline_watch(j->upscaler);
    void *context = e->backend->context ? e->backend->context(e->device) : NULL;
    const int error = e->backend->pin ? kz_decoder_watch(j->decoder, &watch) : 0;
    if (!error && context && !j->options.strict)
        kz_decoder_accelerate(j->decoder, context, KZ_DECODED_FRAMES);
    return error;
}

static int open_input(struct job *j)
{
    kz_input_params params = kz_job_input(&j->options, j->params->input, j->params->stop);
    params.to_pipe = strcmp(j->params->output, "-") == 0;
    int error = kz_input_open(&j->input, &params, j->log);
    if (!error)
        kz_log_line(j->log, KZ_LOG_INFO, "input   %s", kz_input_describe(j->input));
    return error;
}

/* The file a second time. */
static int open_again(struct job *j, kz_input **input)
{
    kz_input_params params = kz_job_input(&j->options, j->params->input, j->params->stop);
    params.again = true;
    return kz_input_open(input, &params, j->log);
}

static int open_output(struct job *j)
{
    const kz_job_options *o = &j->options;
    kz_output_params params = {.path = j->params->output,
                               .format = o->format,
                               .overwrite = o->overwrite,
                               .spill_bytes = SPILL_BYTES,
                               .part = j->resume.part};
    int error = j->resume.journal ? open_again(j, &j->source) : 0;
    if (!error)
        error = kz_output_open(&j->output, &params, j->source ? j->source : j->input,
                               j->encoder.codec, j->log);
    if (error)
        return error;
    if (j->params->unfinished)
        j->params->unfinished(j->params->context, kz_output_temporary(j->output));
    j->encoder.global_header = kz_output_needs_global_header(j->output);
    return 0;
}

static int open_map(struct job *j)
{
    const char *path = j->options.reuse_map;
    const int error =
        path ? kz_sketch_open(&j->reuse_map, path, kz_decoder_format(j->decoder), j->log) : 0;
    if (j->reuse_map && j->params->unfinished)
        j->params->unfinished(j->params->context, kz_sketch_temporary(j->reuse_map));
    return error;
}

/* Whatever the network takes on the GPU it has by now. */
static int choose_encoder(struct job *j)
{
    const kz_encoder_question question = {.options = &j->options,
                                          .output = j->params->output,
                                          .engine = &j->engine,
                                          .input = j->input,
                                          .out = &j->out_format,
                                          .before = kz_resume_encoder(&j->resume)};
    const int error = kz_job_choose_encoder(&j->encoder, j->encoder_note, &question, j->log);
    if (!error && j->resume.journal)
        j->encoder.frame_threads = kz_resume_frame_threads(&j->resume, j->encoder.codec);
    return error;
}

static int open_engine(struct job *j)
{
    const kz_job_options *o = &j->options;
    int error =
        kz_engine_open(&j->engine, o, kz_decoder_format(j->decoder), j->params->dirs, j->log);
    if (!error)
        error = kz_resume_check_device(&j->resume, &j->engine, j->params->output, j->log);
    if (!error)
        error = kz_job_out_format(&j->out_format, kz_decoder_format(j->decoder), o,
                                  kz_model_most_scale(j->engine.model), j->log);
    if (!error)
        error = kz_encoder_check(&j->encoder, &j->out_format, j->log);
    if (!error)
        error = kz_engine_upscaler(&j->upscaler, &j->engine, o, kz_decoder_format(j->decoder),
                                   &j->out_format, j->params->stop, j->log);
    return error;
}

static int open_resume(struct job *j)
{
    return kz_resume_open(&j->resume, &j->options, j->params->input, j->params->output,
                          j->encoder.codec, j->log);
}

static int begin_resume(struct job *j)
{
    const int halo =
        kz_engine_halo(&j->engine, &j->options, kz_decoder_format(j->decoder), &j->out_format);
    const char *chosen = j->encoder_note[0] ? j->encoder.codec : NULL;
    const int error =
        kz_resume_begin(&j->resume, &j->engine, j->upscaler, halo, chosen, j->encoder.frame_threads,
                        j->options.on_change, j->params->output, j->log);
    if (!j->resume.again)
        j->options.model = j->params->options->model; /* the earlier run's name is gone with it */
    return error;
}

/* To the frame with which an unfinished run goes on; from the beginning where the container can't
 * be entered in the middle. */
static int go_on(struct job *j)
{
    kz_position position = {.journal = j->resume.journal};
    int error = KZ_AGAIN;
    for (int seek = 1; seek >= 0 && error == KZ_AGAIN; seek--) {
        if (!seek) {
            kz_decoder_close(&j->decoder);
            kz_input_close(&j->input);
            error = open_again(j, &j->input);
            if (!error)
                error = open_decoder(j);
            if (!error)
                error = use_device(j);
            if (error)
                return error;
        }
        position.input = j->input;
        position.decoder = j->decoder;
        error = kz_position_go(&position, seek, j->log);
    }
    j->first = position.first;
    if (!error && j->first)
        error = kz_resume_check_host(&j->resume, j->upscaler, j->first, &j->out_format, j->log);
    return error;
}

/* The cheap refusals first, the file last: nothing is created for a job that can't be done. */
static int open_job(struct job *j)
{
    j->encoder = kz_job_encoder(&j->options, j->params->output);
    int error = open_input(j);
    if (!error)
        error = open_resume(j);
    if (!error)
        error = open_decoder(j);
    if (!error)
        error = open_engine(j);
    if (!error)
        error = choose_encoder(j);
    if (!error)
        error = begin_resume(j);
    if (!error)
        error = open_output(j);
    if (!error)
        error = open_map(j);
    return error;
}

static void close_job(struct job *j)
{
    if (j->params->unfinished)
        j->params->unfinished(j->params->context, NULL);
    kz_output_close(&j->output);
    kz_sketch_close(&j->reuse_map);
    kz_frame_close(&j->first);
    kz_decoder_close(&j->decoder);
    kz_upscaler_close(&j->upscaler);
    kz_engine_close(&j->engine);
    kz_input_close(&j->input);
    kz_input_close(&j->source);
    kz_resume_close(&j->resume);
}

/* What an earlier run had computed beyond its segments, less what it had kept. */
static int64_t computed_again(int64_t reached, const kz_progress *progress)
{
    const int64_t end = progress->before + progress->stage[KZ_STAGE_UPSCALE].frames;
    const int64_t again = (reached < end ? reached : end) - progress->before - progress->kept;
    return again > 0 ? again : 0;
}

static int run_pipeline(struct job *j, kz_job_result *result)
{
    const int64_t reached = j->resume.again ? kz_journal_reached(j->resume.journal) : 0;
    kz_pipeline_params params = {.input = j->input,
                                 .decoder = j->decoder,
                                 .upscaler = j->upscaler,
                                 .output = j->output,
                                 .encoder = j->encoder,
                                 .out_format = j->out_format,
                                 .max_frames = j->options.frames,
                                 .journal = j->resume.journal,
                                 .source = j->source,
                                 .frames_before =
                                     j->resume.again ? kz_journal_frames(j->resume.journal) : 0,
                                 .first = j->first,
                                 .reuse_map = j->reuse_map,
                                 .spool_seconds = SPOOL_SECONDS,
                                 .strict = j->options.strict,
                                 .check = !j->options.no_verify,
                                 .stop = j->params->stop,
                                 .progress = j->params->progress,
                                 .context = j->params->context};
    int error = kz_pipeline_run(&params, &result->progress, j->log);
    if (!error && j->reuse_map)
        error = kz_sketch_finish(j->reuse_map);
    result->computed_again = computed_again(reached, &result->progress);
    return error;
}

static void say_unfinished(const struct job *j)
{
    const kz_journal *journal = j->resume.journal;
    if (journal && !kz_journal_is_empty(journal))
        kz_log_line(j->log, KZ_LOG_INFO,
                    "resume  %s isn't finished: the same command goes on after %lld frames",
                    j->params->output, (long long)kz_journal_frames(journal));
}

int kz_job_run(const kz_job_params *params, kz_job_result *result, kz_log *log)
{
    struct job j = {.params = params, .options = *params->options, .log = log};
    *result = (kz_job_result){0};
    int error = open_job(&j);
    if (!error) {
        say_output(&j);
        say_encoder(&j);
        say_engine(&j);
        error = use_device(&j);
        say_memory(&j);
        if (!error && j.resume.again)
            error = go_on(&j);
        if (!error)
            error = run_pipeline(&j, result);
        if (error)
            say_unfinished(&j);
        result->expected_memory = j.memory;
        result->out_width = j.out_format.width;
        result->out_height = j.out_format.height;
    }
    close_job(&j);
    return error;
}
