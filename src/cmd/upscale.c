#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/commands.h"
#include "cmd/progress.h"
#include "cmd/signals.h"
#include "cmd/targets.h"
#include "job/resume.h"

struct run {
    const kz_job_options *options;
    const kz_dirs *dirs;
    kz_log *log;
    kz_signals *signals;
    kz_progress_view view;
    atomic_bool stop;
};

static void show(void *context, const kz_progress *progress)
{
    kz_progress_show(&((struct run *)context)->view, progress);
}

static void note_unfinished(void *context, const char *path)
{
    kz_signals_unfinished(((struct run *)context)->signals, path);
}

static int run_job(struct run *run, const char *input, const char *output)
{
    kz_job_params params = {.options = run->options,
                            .dirs = run->dirs,
                            .input = input,
                            .output = output,
                            .stop = &run->stop,
                            .progress = show,
                            .unfinished = note_unfinished,
                            .context = run};
    kz_job_result result;
    int error = kz_job_run(&params, &result, run->log);
    kz_progress_end(&run->view, &result, error);
    if (!error)
        kz_progress_summary(&result, output, run->log);
    return error;
}

static int run_input(struct run *run, const char *input, char *const *inputs, int n_inputs)
{
    char *target;
    int error = kz_target_of(&target, input, inputs, n_inputs, run->options, run->log);
    if (error)
        return error;
    bool exists = strcmp(target, "-") != 0 && access(target, F_OK) == 0;
    if (exists && !run->options->overwrite && kz_resume_was_finished(target))
        kz_log_line(run->log, KZ_LOG_INFO, "%s was finished before the interruption", target);
    else if (exists && run->options->keep_existing)
        kz_log_line(run->log, KZ_LOG_INFO, "%s exists: %s is left out", target, input);
    else if (exists && !run->options->overwrite)
        error = kz_fail(run->log, KZ_ERROR_USAGE, "%s exists: -y replaces it, -n leaves it alone",
                        target);
    else
        error = run_job(run, input, target);
    kz_free(target);
    return error;
}

/* One input that fails doesn't keep the others from their turn; the first failure's code counts. */
static int run_inputs(struct run *run, char *const *inputs, int n_inputs)
{
    int first = 0, failed = 0;
    for (int i = 0; i < n_inputs; i++) {
        /* A stage that failed has set the flag for its own job. */
        int error = run_input(run, inputs[i], inputs, n_inputs);
        if (error == KZ_ERROR_CANCELLED)
            return error;
        atomic_store(&run->stop, false);
        failed += error != 0;
        first = first ? first : error;
    }
    if (failed && n_inputs > 1)
        kz_fail(run->log, 0, "%d of %d inputs failed", failed, n_inputs);
    return first;
}

static int run_options(const kz_job_options *options, const kz_dirs *dirs, char *const *inputs,
                       int n_inputs, kz_log *log)
{
    struct run run = {.options = options, .dirs = dirs, .log = log};
    if (!n_inputs)
        return kz_fail(log, KZ_ERROR_USAGE, "no input: kizuna upscale [options] INPUT…");
    if (options->overwrite && options->keep_existing)
        return kz_fail(log, KZ_ERROR_USAGE, "-y and -n exclude each other");
    int error = kz_progress_view_open(&run.view, options->progress, options->quiet, stderr, log);
    if (!error)
        error = kz_signals_open(&run.signals, &run.stop, log);
    if (!error)
        error = run_inputs(&run, inputs, n_inputs);
    kz_signals_close(&run.signals);
    kz_progress_view_close(&run.view);
    return error;
}

static void print_help(void)
{
    printf("usage: kizuna upscale [options] INPUT… [-o FILE|DIR|-]\n"
           "\n"
           "Upscales the video of each input. Everything else is copied, and the result is read\n"
           "back and compared with its source before it gets its name.\n"
           "\n");
    kz_options_help(kz_job_option_table(), stdout);
}

int kz_cmd_upscale(int argc, char **argv, const kz_dirs *dirs)
{
    kz_job_options options = {0};
    kz_log *log = NULL, *run_log = NULL;
    int n_inputs = 0;
    char **inputs = kz_alloc((size_t)argc, sizeof(*inputs));
    int error = kz_cmd_open_log(&log);
    if (!error && !inputs)
        error = kz_fail_memory(log, "arguments");
    if (!error)
        error = kz_job_options_parse(&options, argc, argv, inputs, &n_inputs, dirs->path,
                                     dirs->count, log);
    if (!error && options.help) {
        print_help();
    } else if (!error) {
        error = kz_log_open(&run_log, stderr, kz_cmd_log_level(&options));
        if (error)
            kz_fail_memory(log, "the log");
        else
            error = run_options(&options, dirs, inputs, n_inputs, run_log);
    }
    kz_log_close(&run_log);
    kz_log_close(&log);
    kz_options_free(kz_job_option_table(), &options);
    kz_free(inputs);
    return kz_exit_code(error);
}
