/* What a file is, by its content and not by its name or times. */
#ifndef KZ_JOB_IDENTITY_H
#define KZ_JOB_IDENTITY_H

#include "base/digest.h"
#include "base/log.h"

/* A digest of the file's size and of pieces all over it (of all of it when it is small): films that
 * differ differ in these, and a disc needn't be read from end to end. 0 or KZ_ERROR_FAILED,
 * KZ_ERROR_MEMORY; reported. */
int kz_identity(char digest[KZ_DIGEST_TEXT], const char *path, kz_log *log);

#endif
