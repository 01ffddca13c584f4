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
    char *const *inputs;
    int n_inputs;
    char **targets; /* of the inputs that have had their turn */
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

/* What an earlier input has become isn't there to be replaced. */
static int check_target(const struct run *run, int index, const char *target)
{
    for (int i = 0; i < index; i++)
        if (run->targets[i] && kz_target_is_same(target, run->targets[i]))
            return kz_fail(run->log, KZ_ERROR_USAGE,
                           "%s would become %s, as %s: they need folders of their own",
                           run->inputs[index], target, run->inputs[i]);
    return 0;
}

static int check_map(const struct run *run, const char *target)
{
    const char *map = run->options->reuse_map;
    if (!map)
        return 0;
    const int error = kz_target_check_beside("--reuse-map", map, target, run->inputs, 1, run->log);
    if (!error && !run->options->overwrite && access(map, F_OK) == 0)
        return kz_fail(run->log, KZ_ERROR_USAGE, "--reuse-map: %s exists: -y replaces it", map);
    return error;
}

static int run_new(struct run *run, int index, const char *target)
{
    int error = check_target(run, index, target);
    if (!error)
        error = check_map(run, target);
    return error ? error : run_job(run, run->inputs[index], target);
}

static int run_input(struct run *run, int index)
{
    const char *input = run->inputs[index];
    char **target = &run->targets[index];
    int error = kz_target_of(target, input, run->inputs, run->n_inputs, run->options, run->log);
    if (error)
        return error;
    bool exists = strcmp(*target, "-") != 0 && access(*target, F_OK) == 0;
    if (exists && !run->options->overwrite && kz_resume_was_finished(*target))
        kz_log_line(run->log, KZ_LOG_INFO, "%s was finished before the interruption", *target);
    else if (exists && run->options->keep_existing)
        kz_log_line(run->log, KZ_LOG_INFO, "%s exists: %s is left out", *target, input);
    else if (exists && !run->options->overwrite)
        error = kz_fail(run->log, KZ_ERROR_USAGE, "%s exists: -y replaces it, -n leaves it alone",
                        *target);
    else
        error = run_new(run, index, *target);
    return error;
}

/* One input that fails doesn't keep the others from their turn; the first failure's code counts. */
static int run_inputs(struct run *run)
{
    int first = 0, failed = 0;
    for (int i = 0; i < run->n_inputs; i++) {
        /* A stage that failed has set the flag for its own job. */
        int error = run_input(run, i);
        if (error == KZ_ERROR_CANCELLED)
            return error;
        atomic_store(&run->stop, false);
        failed += error != 0;
        first = first ? first : error;
    }
    if (failed && run->n_inputs > 1)
        kz_fail(run->log, 0, "%d of %d inputs failed", failed, run->n_inputs);
    return first;
}

/* Before anything is opened, for it would be emptied. */
static int check_progress(const struct run *run)
{
    const kz_job_options *o = run->options;
    const char *path = strncmp(o->progress, "file:", 5) == 0 ? o->progress + 5 : o->progress;
    const char *output = o->output && strcmp(o->output, "-") != 0 ? o->output : NULL;
    if (!strpbrk(path, ":/."))
        return 0; /* a style or a descriptor */
    return kz_target_check_beside("--progress", path, output, run->inputs, run->n_inputs, run->log);
}

static int run_options(struct run *run)
{
    const kz_job_options *o = run->options;
    if (!run->n_inputs)
        return kz_fail(run->log, KZ_ERROR_USAGE, "no input: kizuna upscale [options] INPUT…");
    if (o->overwrite && o->keep_existing)
        return kz_fail(run->log, KZ_ERROR_USAGE, "-y and -n exclude each other");
    if (o->reuse_map && run->n_inputs > 1)
        return kz_fail(run->log, KZ_ERROR_USAGE, "--reuse-map: one file can't be of %d inputs",
                       run->n_inputs);
    run->targets = kz_alloc((size_t)run->n_inputs, sizeof(*run->targets));
    int error = run->targets ? check_progress(run) : kz_fail_memory(run->log, "file names");
    if (!error)
        error = kz_progress_view_open(&run->view, o->progress, o->quiet, stderr, run->log);
    if (!error)
        error = kz_signals_open(&run->signals, &run->stop, run->log);
    if (!error)
        error = run_inputs(run);
    kz_signals_close(&run->signals);
    kz_progress_view_close(&run->view);
    for (int i = 0; run->targets && i < run->n_inputs; i++)
        kz_free(run->targets[i]);
    kz_free(run->targets);
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
            error = run_options(&(struct run){.options = &options,
                                              .dirs = dirs,
                                              .log = run_log,
                                              .inputs = inputs,
                                              .n_inputs = n_inputs});
    }
    kz_log_close(&run_log);
    kz_log_close(&log);
    kz_options_free(kz_job_option_table(), &options);
    kz_free(inputs);
    return kz_exit_code(error);
}
