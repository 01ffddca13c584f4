#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/commands.h"
#include "cmd/progress.h"
#include "cmd/signals.h"
#include "cmd/targets.h"
#include "job/describe.h"
#include "job/estimate.h"

struct plan {
    kz_job_options options;
    bool json;
    char **inputs;
    int n_inputs;
    kz_log *log;
};

/* How many times as fast as the film runs; 0: unknown. */
static double real_time(const kz_estimate *e)
{
    return e->seconds > 0 ? e->media_seconds / e->seconds : 0;
}

static double frames_per_second(const kz_estimate *e)
{
    return e->seconds_per_frame > 0 ? 1 / e->seconds_per_frame : 0;
}

/* ---- text ---- */

static void print_time(const kz_estimate *e)
{
    char clock[32];
    if (e->frames)
        printf("time     %s for %lld frames\n", kz_clock_text(clock, sizeof(clock), e->seconds),
               (long long)e->frames);
    else
        printf("time     unknown: the input doesn't tell its length\n");
    printf("speed    %.3f s/frame, %.2f fps", e->seconds_per_frame, frames_per_second(e));
    if (real_time(e) > 0)
        printf(", %.3fx", real_time(e));
    printf("\n");
}

static void print_size(const kz_estimate *e)
{
    if (e->frames && e->media_seconds > 0)
        printf("size     %.1f MB, %.0f kb/s\n", (double)e->bytes * 1e-6,
               (double)e->bytes * 8e-3 / e->media_seconds);
    else if (e->frames)
        printf("size     %.1f MB\n", (double)e->bytes * 1e-6);
    else
        printf("size     %.1f kB a frame\n", e->bytes_per_frame * 1e-3);
}

static void print_stages(const kz_estimate *e)
{
    double all = 0;
    for (int s = 0; s < KZ_STAGES; s++)
        all += e->stage[s].cpu;
    printf("limit    %s, on %d processor%s\n", kz_stage_name(e->bottleneck), e->processors,
           e->processors == 1 ? "" : "s");
    for (int s = 0; s < KZ_STAGES; s++)
        if (s != KZ_STAGE_CHECK || e->stage[s].seconds > 0)
            printf("  %-8s %8.4f s/frame alone %9.4f CPU s/frame %5.1f %%\n",
                   kz_stage_name((enum kz_stage)s), e->stage[s].seconds, e->stage[s].cpu,
                   all > 0 ? 100 * e->stage[s].cpu / all : 0);
}

static void print_text(const kz_estimate *e, const char *output)
{
    char crf[32] = "";
    if (e->encoder.crf >= 0)
        snprintf(crf, sizeof(crf), " crf %g", e->encoder.crf);
    printf("input    %s\n", e->described);
    printf("output   %s: %s%s%s%s, %dx%d %s\n", output, e->encoder.codec,
           e->encoder.preset ? " " : "", e->encoder.preset ? e->encoder.preset : "", crf,
           e->out.width, e->out.height, e->out.pixel_name);
    if (e->encoder_note[0])
        printf("encoder  %s\n", e->encoder_note);
    printf("model    %s, %s%s\n", e->model, kz_precision_name(e->precision), e->model_note);
    printf("device   %s\n", e->device);
    print_time(e);
    print_size(e);
    printf("memory   %.0f MiB", (double)kz_memory_total(&e->memory) / (1 << 20));
    if (e->memory.device)
        printf(", on the device %.0f MiB", (double)e->memory.device / (1 << 20));
    printf("\n");
    if (e->computed < 1)
        printf("reuse    %.0f %% of the pixels are computed\n", 100 * e->computed);
    print_stages(e);
    printf("from     %d frames, %.0f %% of each picture, in %.1f s\n", e->sampled, 100 * e->share,
           e->probed);
}

/* ---- JSON ---- */

static void put_number(const char *name, double value, bool known)
{
    if (known && isfinite(value))
        printf(",\"%s\":%.6g", name, value);
    else
        printf(",\"%s\":null", name);
}

static int put_string(const char *before, const char *name, const char *value)
{
    char *text = value ? kz_json_string(value) : NULL;
    printf("%s\"%s\":%s", before, name, text ? text : "null");
    kz_free(text);
    return value && !text ? KZ_ERROR_MEMORY : 0;
}

static void put_format(const char *name, const kz_video_format *f)
{
    printf(",\"%s\":{\"width\":%d,\"height\":%d,\"pix_fmt\":\"%s\"}", name, f->width, f->height,
           f->pixel_name);
}

static void put_stages(const kz_estimate *e)
{
    printf(",\"stages\":[");
    for (int s = 0; s < KZ_STAGES; s++)
        printf("%s{\"stage\":\"%s\",\"seconds_per_frame\":%.6g,\"cpu_seconds_per_frame\":%.6g}",
               s ? "," : "", kz_stage_name((enum kz_stage)s), e->stage[s].seconds, e->stage[s].cpu);
    printf("]");
}

static int print_json(const kz_estimate *e, const char *input, const char *output)
{
    const bool counted = e->frames > 0;
    int error = put_string("{", "input", input);
    error = put_string(",", "output", output) ? KZ_ERROR_MEMORY : error;
    error = put_string(",", "model", e->model) ? KZ_ERROR_MEMORY : error;
    error = put_string(",", "encoder", e->encoder.codec) ? KZ_ERROR_MEMORY : error;
    error = put_string(",", "encoder_preset", e->encoder.preset) ? KZ_ERROR_MEMORY : error;
    put_number("crf", e->encoder.crf, e->encoder.crf >= 0);
    printf(",\"precision\":\"%s\"", kz_precision_name(e->precision));
    put_format("from", &e->in);
    put_format("to", &e->out);
    put_number("frames", (double)e->frames, counted);
    put_number("media_seconds", e->media_seconds, e->media_seconds > 0);
    put_number("seconds", e->seconds, counted);
    put_number("seconds_per_frame", e->seconds_per_frame, true);
    put_number("fps", frames_per_second(e), true);
    put_number("speed", real_time(e), real_time(e) > 0);
    if (counted)
        printf(",\"bytes\":%lld", (long long)e->bytes);
    else
        printf(",\"bytes\":null");
    put_number("bytes_per_frame", e->bytes_per_frame, true);
    printf(",\"memory\":%zu,\"device_memory\":%zu,\"bottleneck\":\"%s\",\"processors\":%d",
           kz_memory_total(&e->memory), e->memory.device, kz_stage_name(e->bottleneck),
           e->processors);
    put_stages(e);
    printf(",\"sampled_frames\":%d", e->sampled);
    put_number("sampled_share", e->share, true);
    put_number("computed", e->computed, true);
    put_number("probe_seconds", e->probed, true);
    printf("}\n");
    return error;
}

/* ---- command ---- */

static int plan_output(struct plan *p, const char *output, const kz_dirs *dirs,
                       const atomic_bool *stop)
{
    const kz_estimate_params params = {.options = &p->options,
                                       .dirs = dirs,
                                       .input = p->inputs[0],
                                       .output = output,
                                       .stop = stop};
    kz_estimate estimate;
    const bool tell = isatty(STDERR_FILENO) && !p->options.quiet;
    if (tell)
        kz_log_status(p->log, "measuring …");
    int error = kz_estimate_make(&estimate, &params, p->log);
    if (tell)
        kz_log_status(p->log, NULL);
    if (!error && p->json && print_json(&estimate, p->inputs[0], output))
        error = kz_fail_memory(p->log, "the plan");
    if (!error && !p->json)
        print_text(&estimate, output);
    kz_estimate_close(&estimate);
    return error;
}

static int plan_input(struct plan *p, const kz_dirs *dirs)
{
    kz_signals *signals = NULL;
    atomic_bool stop = false;
    char *output = NULL;
    if (p->n_inputs != 1)
        return kz_fail(p->log, KZ_ERROR_USAGE, "one input: kizuna plan [options] INPUT");
    int error = kz_estimate_check_input(p->inputs[0], p->log);
    if (!error)
        error = kz_target_of(&output, p->inputs[0], p->inputs, 1, &p->options, p->log);
    if (!error)
        error = kz_signals_open(&signals, &stop, p->log);
    if (!error)
        error = plan_output(p, output, dirs, &stop);
    kz_signals_close(&signals);
    kz_free(output);
    return error;
}

static void print_help(void)
{
    printf(
        "usage: kizuna plan [--json] [options of upscale] INPUT\n"
        "\n"
        "Tells what kizuna upscale with the same options would take: time, memory, the output's\n"
        "size, and the stage that the others wait for. It runs pieces of the film through all\n"
        "stages, for a quarter of a minute or so, and writes nothing.\n"
        "\n");
    kz_options_help(kz_job_option_table(), stdout);
    printf("      --json                   one JSON object on stdout\n");
}

int kz_cmd_plan(int argc, char **argv, const kz_dirs *dirs)
{
    struct plan p = {.inputs = kz_alloc((size_t)argc, sizeof(*p.inputs))};
    kz_log *log = NULL;
    int error = kz_cmd_open_log(&log);
    if (!error && !p.inputs)
        error = kz_fail_memory(log, "arguments");
    p.json = kz_cmd_take_flag(&argc, argv, "--json");
    if (!error)
        error = kz_job_options_parse(&p.options, argc, argv, p.inputs, &p.n_inputs, dirs->path,
                                     dirs->count, log);
    if (!error && p.options.help) {
        print_help();
    } else if (!error) {
        error = kz_log_open(&p.log, stderr, kz_cmd_log_level(&p.options));
        error = error ? kz_fail_memory(log, "the log") : plan_input(&p, dirs);
    }
    kz_log_close(&p.log);
    kz_log_close(&log);
    kz_options_free(kz_job_option_table(), &p.options);
    kz_free(p.inputs);
    return kz_exit_code(error);
}
