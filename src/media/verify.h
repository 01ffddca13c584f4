/* Two files compared: nothing of the first may be lost in the second. */
#ifndef KZ_MEDIA_VERIFY_H
#define KZ_MEDIA_VERIFY_H

#include "media/decode.h"
#include "media/report.h"

typedef struct kz_verify_params {
    kz_input_params input; /* the input, and what of it was wanted */
    kz_filter_params filter;
    int64_t max_frames; /* 0: all */
    const char *output; /* the file to check; its ending tells what it can hold */
} kz_verify_params;

/* Decodes both files' video and reads all packets. The report is complete where 0 is returned, good
 * or not. KZ_ERROR_USAGE, KZ_ERROR_FAILED (a file can't be read), KZ_ERROR_CANCELLED or
 * KZ_ERROR_MEMORY; reported in the log. kz_report_close() in any case. */
int kz_verify(const kz_verify_params *params, kz_report *report, kz_log *log);

#endif
