/* Which file each input becomes. */
#ifndef KZ_CMD_TARGETS_H
#define KZ_CMD_TARGETS_H

#include <stdbool.h>

#include "job/options.h"

/* The output's path for one of `n_inputs` inputs, in *target (kz_free() it). Without --output it is
 * STEM.4k and the container's ending beside the input; a folder takes that name. A file that is
 * also one of the inputs is refused. Returns 0, KZ_ERROR_USAGE or KZ_ERROR_MEMORY; reported. */
int kz_target_of(char **target, const char *input, char *const *inputs, int n_inputs,
                 const kz_job_options *options, kz_log *log);

/* Whether both names are of one file, be it there or not yet. */
bool kz_target_is_same(const char *a, const char *b);

/* Refuses the file `path`, which `option` has written beside the output, where it is an input or
 * the output (NULL: not known). KZ_ERROR_USAGE; reported. */
int kz_target_check_beside(const char *option, const char *path, const char *output,
                           char *const *inputs, int n_inputs, kz_log *log);

#endif
