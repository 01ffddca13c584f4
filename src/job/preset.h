/* Presets: JSON files whose "options" are rows of the option table by name. */
#ifndef KZ_JOB_PRESET_H
#define KZ_JOB_PRESET_H

#include "job/options.h"

/* Applies presets/NAME.json of the first data directory that has it, else of the program itself,
 * or, where `name` ends in .json or has a slash, that file. KZ_ERROR_USAGE for an unknown preset,
 * KZ_ERROR_FAILED for a broken file, each with the file and the option. */
int kz_preset_apply(kz_job_options *options, const char *name, char *const *dirs, int n_dirs,
                    kz_log *log);

#endif
