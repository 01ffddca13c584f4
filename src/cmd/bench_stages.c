/* Each stage alone: what a run would cost if nothing overlapped. */
#include <stdio.h>

#include "base/mem.h"
#include "cmd/bench.h"
#include "job/encoder.h"
#include "job/probe.h"
#include "model/registry.h"

struct stages {
    const kz_bench_options *options;
    kz_log *log;
    kz_job_options job;
    kz_engine engine;
    kz_input *input;
    kz_decoder *decoder;
    kz_upscaler *upscaler;
    kz_frame_pool *pool;
    kz_video_format out_format;
    kz_encoder_params encoder;
    char encoder_note[KZ_ENCODER_NOTE_SIZE];
    kz_frame **decoded, **upscaled;
    int count;
};

static void report(const struct stages *s, const char *name, kz_cost cost)
{
    if (s->options->json)
        printf("{\"stage\":\"%s\",\"frames\":%d,\"seconds\":%.4f,\"cpu_seconds\":%.4f,"
               "\"fps\":%.4f}\n",
               name, s->count, cost.seconds, cost.cpu, s->count / cost.seconds);
    else
        printf("%-8s %4d frames  %8.3f s  %8.3f CPU s  %8.2f fps\n", name, s->count, cost.seconds,
               cost.cpu, s->count / cost.seconds);
    fflush(stdout);
}

static int decode(struct stages *s)
{
    const kz_cost began = kz_cost_begin();
    int error =
        kz_probe_decode(s->input, s->decoder, s->decoded, s->options->frames, &s->count, NULL);
    if (!error && !s->count)
        error = kz_input_has_no_frame(s->input);
    if (!error)
        report(s, "decode", kz_cost_since(began));
    return error;
}

static int upscale(struct stages *s)
{
    const kz_cost began = kz_cost_begin();
    int error =
        kz_probe_upscale(s->upscaler, s->pool, NULL, NULL, s->decoded, s->upscaled, s->count);
    if (!error)
        report(s, "network", kz_cost_since(began));
    return error;
}

static int encode(struct stages *s)
{
    kz_encoded encoded;
    int error =
        kz_probe_encode(&encoded, &s->encoder, &s->out_format, s->upscaled, s->count, NULL, s->log);
    if (!error)
        report(s, "encode", encoded.cost);
    kz_encoded_close(&encoded);
    return error;
}

static int choose_encoder(struct stages *s)
{
    const kz_encoder_question question = {
        .options = &s->job, .engine = &s->engine, .input = s->input, .out = &s->out_format};
    s->encoder = kz_job_encoder(&s->job, NULL);
    return kz_job_choose_encoder(&s->encoder, s->encoder_note, &question, s->log);
}

static int open_stages(struct stages *s, const kz_dirs *dirs)
{
    kz_input_params input = {.path = s->options->stages};
    kz_decoder_params params = {0};
    int error = kz_input_open(&s->input, &input, s->log);
    if (!error)
        error = kz_decoder_open(&s->decoder, s->input, &params, s->log);
    if (error)
        return error;
    const kz_video_format *in = kz_decoder_format(s->decoder);
    error = kz_engine_open(&s->engine, &s->job, in, dirs, s->log);
    if (!error)
        error = kz_job_out_format(&s->out_format, in, &s->job, kz_model_most_scale(s->engine.model),
                                  s->log);
    if (!error)
        error =
            kz_engine_upscaler(&s->upscaler, &s->engine, &s->job, in, &s->out_format, NULL, s->log);
    if (!error)
        error = choose_encoder(s);
    if (!error)
        error = kz_frame_pool_open(&s->pool, &s->out_format, s->log);
    size_t count = (size_t)s->options->frames;
    s->decoded = kz_alloc(count, sizeof(*s->decoded));
    s->upscaled = kz_alloc(count, sizeof(*s->upscaled));
    if (!error && (!s->decoded || !s->upscaled))
        error = kz_fail_memory(s->log, "frames");
    return error;
}

static void close_stages(struct stages *s)
{
    for (int i = 0; i < s->options->frames && s->decoded && s->upscaled; i++) {
        kz_frame_close(&s->decoded[i]);
        kz_frame_close(&s->upscaled[i]);
    }
    kz_free(s->decoded);
    kz_free(s->upscaled);
    kz_frame_pool_close(&s->pool);
    kz_decoder_close(&s->decoder);
    kz_upscaler_close(&s->upscaler);
    kz_engine_close(&s->engine);
    kz_input_close(&s->input);
}

int kz_bench_stages(const kz_bench_options *options, const kz_dirs *dirs, kz_log *log)
{
    struct stages s = {.options = options, .log = log};
    kz_bench_job_options(&s.job, options);
    s.job.from_user_encoder_preset = options->encoder_preset != NULL;
    int error = open_stages(&s, dirs);
    if (!error)
        kz_bench_print_engine(options, &s.engine);
    if (!error && s.encoder_note[0] && !options->json)
        printf("encoder  %s\n", s.encoder_note);
    if (!error)
        error = decode(&s);
    if (!error)
        error = upscale(&s);
    if (!error)
        error = encode(&s);
    close_stages(&s);
    return error;
}
