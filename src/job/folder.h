/* What a watched folder says of its own jobs: kizuna.json in it, for it and what lies in it, in the
 * form of a preset ("options"), with the name of another preset to begin with ("preset"). It says
 * what the result is like, never where files are or which: whoever may write there may be another
 * user than the one who watches. */
#ifndef KZ_JOB_FOLDER_H
#define KZ_JOB_FOLDER_H

#include "base/log.h"

/* `arguments`, a JSON array of strings, with those of the folder behind it; the caller kz_free()s
 * *own. KZ_ERROR_FAILED when the file isn't what it should be, KZ_ERROR_MEMORY; reported. */
int kz_folder_arguments(char **own, const char *folder, const char *arguments, kz_log *log);

#endif
