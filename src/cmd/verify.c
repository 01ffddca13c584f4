#include <cJSON.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/commands.h"
#include "cmd/signals.h"
#include "job/job.h"
#include "media/verify.h"

struct verify {
    kz_job_options options;
    bool json;
    char **files;
    int n_files;
    kz_log *log;
};

static void print_text(const kz_report *report, const char *input, const char *output)
{
    for (int i = 0; i < report->count; i++)
        printf("%-5s %-20s %s\n", report->findings[i].ok ? "ok" : "FAIL", report->findings[i].what,
               report->findings[i].text);
    if (kz_report_is_good(report))
        printf("%s holds all of %s\n", output, input);
    else
        printf("%s: %d of %d checks failed\n", output, report->failures, report->count);
}

static int print_json(const kz_report *report, const char *input, const char *output)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *list = root ? cJSON_AddArrayToObject(root, "checks") : NULL;
    bool whole = list && cJSON_AddStringToObject(root, "input", input) &&
                 cJSON_AddStringToObject(root, "output", output) &&
                 cJSON_AddBoolToObject(root, "ok", kz_report_is_good(report));
    for (int i = 0; i < report->count && whole; i++) {
        cJSON *one = cJSON_CreateObject();
        whole = one && cJSON_AddItemToArray(list, one) &&
                cJSON_AddBoolToObject(one, "ok", report->findings[i].ok) &&
                cJSON_AddStringToObject(one, "what", report->findings[i].what) &&
                cJSON_AddStringToObject(one, "text", report->findings[i].text);
    }
    char *text = whole ? cJSON_Print(root) : NULL;
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
    return text ? 0 : KZ_ERROR_MEMORY;
}

static int verify(struct verify *v, const atomic_bool *stop)
{
    const char *input = v->files[0], *output = v->files[1];
    const kz_job_options *o = &v->options;
    kz_verify_params params = {.input = kz_job_input(o, input, stop),
                               .filter = kz_job_filter(o, output),
                               .max_frames = o->frames,
                               .output = output};
    kz_report report = {0};
    int error = kz_verify(&params, &report, v->log);
    if (!error && report.short_of_memory)
        error = kz_fail_memory(v->log, "the report");
    if (!error && v->json && print_json(&report, input, output))
        error = kz_fail_memory(v->log, "the report");
    if (!error && !v->json)
        print_text(&report, input, output);
    if (!error && !kz_report_is_good(&report))
        error = KZ_ERROR_FAILED;
    kz_report_close(&report);
    return error;
}

static int run(struct verify *v)
{
    kz_signals *signals = NULL;
    atomic_bool stop = false;
    if (v->n_files != 2)
        return kz_fail(v->log, KZ_ERROR_USAGE, "two files: kizuna verify INPUT OUTPUT");
    int error = kz_signals_open(&signals, &stop, v->log);
    if (!error)
        error = verify(v, &stop);
    kz_signals_close(&signals);
    return error;
}

static void print_help(void)
{
    printf(
        "usage: kizuna verify [--json] [options of upscale] INPUT OUTPUT\n"
        "\n"
        "Compares a finished file with what it was made of: every frame's time, every packet of\n"
        "the other streams, attachments, chapters, tags, colour; and decodes it. Prints what was\n"
        "checked. Exit code 0 where nothing is missing, 1 where something is.\n"
        "\n"
        "Give it the options of the run that say what is carried over: --audio, --subs, --drop,\n"
        "--start, --duration, --frames, --vf, --fps, --deinterlace, --ivtc.\n");
}

int kz_cmd_verify(int argc, char **argv, const kz_dirs *dirs)
{
    struct verify v = {.files = kz_alloc((size_t)argc, sizeof(*v.files))};
    int error = kz_cmd_open_log(&v.log);
    if (!error && !v.files)
        error = kz_fail_memory(v.log, "arguments");
    v.json = kz_cmd_take_flag(&argc, argv, "--json");
    if (!error)
        error = kz_job_options_parse(&v.options, argc, argv, v.files, &v.n_files, dirs->path,
                                     dirs->count, v.log);
    if (!error && v.options.help)
        print_help();
    else if (!error)
        error = run(&v);
    kz_log_close(&v.log);
    kz_options_free(kz_job_option_table(), &v.options);
    kz_free(v.files);
    return kz_exit_code(error);
}
