/* Each stage alone: what a run would cost if nothing overlapped. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "cmd/bench.h"
#include "model/registry.h"

struct stages {
    const kz_bench_options *options;
    kz_log *log;
    kz_job_options job;
    kz_engine engine;
    kz_input *input;
    kz_decoder *decoder;
    kz_upscaler *upscaler;
    kz_encoder *encoder;
    kz_frame_pool *pool;
    kz_video_format out_format;
    kz_frame **decoded, **upscaled;
    int count;
};

struct clock {
    double wall, cpu;
};

static struct clock clock_now(void)
{
    return (struct clock){kz_now(), kz_cpu_seconds()};
}

static void report(const struct stages *s, const char *name, struct clock began)
{
    double wall = kz_now() - began.wall, cpu = kz_cpu_seconds() - began.cpu;
    if (s->options->json)
        printf("{\"stage\":\"%s\",\"frames\":%d,\"seconds\":%.4f,\"cpu_seconds\":%.4f}\n", name,
               s->count, wall, cpu);
    else
        printf("%-8s %4d frames  %8.3f s  %8.3f CPU s  %8.2f fps\n", name, s->count, wall, cpu,
               s->count / wall);
    fflush(stdout);
}

static int decode_more(struct stages *s)
{
    int error;
    while (s->count < s->options->frames &&
           !(error = kz_decoder_receive(s->decoder, &s->decoded[s->count])))
        s->count++;
    if (s->count == s->options->frames)
        return KZ_END;
    return error;
}

static int decode(struct stages *s)
{
    int error;
    struct clock began = clock_now();
    while ((error = decode_more(s)) == KZ_AGAIN) {
        kz_packet *packet = NULL;
        error = kz_input_read(s->input, &packet);
        if (!error && !kz_packet_is_video(packet)) {
            kz_packet_close(&packet);
            continue;
        }
        if (!error || error == KZ_END)
            error = kz_decoder_send(s->decoder, packet);
        if (error)
            return error;
    }
    if (error == KZ_END && !s->count)
        return kz_fail(s->log, KZ_ERROR_FAILED, "the video stream has no frame to decode");
    report(s, "decode", began);
    return error == KZ_END ? 0 : error;
}

static int upscale(struct stages *s)
{
    struct clock began = clock_now();
    int error = 0;
    for (int i = 0; i < s->count && !error; i++) {
        error = kz_frame_pool_get(s->pool, &s->upscaled[i], s->decoded[i]);
        if (error)
            break;
        kz_picture in = kz_frame_picture(s->decoded[i]), out = kz_frame_picture(s->upscaled[i]);
        error = kz_upscaler_run(s->upscaler, &in, &out);
    }
    if (!error)
        report(s, "network", began);
    return error;
}

static int take_packets(struct stages *s)
{
    kz_packet *packet;
    int error;
    while (!(error = kz_encoder_receive(s->encoder, &packet)))
        kz_packet_close(&packet);
    return error;
}

static int encode(struct stages *s)
{
    kz_encoder_params params = kz_job_encoder(&s->job);
    struct clock began = clock_now();
    int error = kz_encoder_open(&s->encoder, &params, &s->out_format, s->upscaled[0], s->log);
    for (int i = 0; i <= s->count && !error; i++) {
        kz_frame *frame = i < s->count ? s->upscaled[i] : NULL;
        if (frame)
            s->upscaled[i] = NULL; /* the encoder's now */
        error = kz_encoder_send(s->encoder, frame);
        if (!error)
            error = take_packets(s);
        if (error == KZ_AGAIN)
            error = 0;
    }
    if (error != KZ_END)
        return error;
    report(s, "encode", began);
    return 0;
}

static int open_stages(struct stages *s, const kz_dirs *dirs)
{
    kz_input_params input = {.path = s->options->stages};
    int error = kz_input_open(&s->input, &input, s->log);
    if (!error)
        error = kz_engine_open(&s->engine, &s->job, dirs, s->log);
    if (error)
        return error;
    kz_decoder_params params = {0};
    error = kz_decoder_open(&s->decoder, s->input, &params, s->log);
    if (error)
        return error;
    const kz_video_format *in = kz_decoder_format(s->decoder);
    error = kz_job_out_format(&s->out_format, in, &s->job, s->engine.model->info.scale, s->log);
    if (!error)
        error =
            kz_engine_upscaler(&s->upscaler, &s->engine, &s->job, in, &s->out_format, NULL, s->log);
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
    kz_encoder_close(&s->encoder);
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
        error = decode(&s);
    if (!error)
        error = upscale(&s);
    if (!error)
        error = encode(&s);
    close_stages(&s);
    return error;
}
