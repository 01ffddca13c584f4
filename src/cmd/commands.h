/* The subcommands. Each gets the arguments from its own name on and returns a process exit code:
 * 0 done, 1 failed, 2 wrong use, 255 after a signal. */
#ifndef KZ_CMD_COMMANDS_H
#define KZ_CMD_COMMANDS_H

#include "base/log.h"
#include "job/dirs.h"
#include "job/options.h"

int kz_cmd_upscale(int argc, char **argv, const kz_dirs *dirs);
int kz_cmd_plan(int argc, char **argv, const kz_dirs *dirs);
int kz_cmd_verify(int argc, char **argv, const kz_dirs *dirs);
int kz_cmd_models(int argc, char **argv, const kz_dirs *dirs);
int kz_cmd_bench(int argc, char **argv, const kz_dirs *dirs);
int kz_cmd_watch(int argc, char **argv, const kz_dirs *dirs);
int kz_cmd_jobs(int argc, char **argv);
int kz_cmd_version(void);

/* Opens the log that a command writes to stderr; says so itself where there is no memory for it. */
int kz_cmd_open_log(kz_log **log);

/* Takes a flag that isn't among upscale's options out of the arguments; true: it was there. */
bool kz_cmd_take_flag(int *argc, char **argv, const char *name);

/* What --quiet and --verbose mean. */
enum kz_log_level kz_cmd_log_level(const kz_job_options *options);

/* The exit code that an error code means. */
int kz_exit_code(int error);

#endif
