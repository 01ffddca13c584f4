/* Puts the finished segments and the input's other streams together. */
#ifndef KZ_PIPELINE_JOIN_H
#define KZ_PIPELINE_JOIN_H

#include "pipeline/pipeline.h"

/* Writes the whole output and finishes it. `form` is that of the encoders, `first` what the run's
 * first source frame is like; `last` tells whether the run ended before the input. Returns 0 or a
 * code, reported; a segment whose file isn't what the journal says is taken out of the journal, so
 * that the next run makes it again. */
int kz_join(const kz_pipeline_params *params, const kz_form *form, kz_log *log);

#endif
