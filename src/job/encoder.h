/* Which encoder a job gets, and how it is set. */
#ifndef KZ_JOB_ENCODER_H
#define KZ_JOB_ENCODER_H

#include "job/job.h"

/* What --encoder is where nothing is said. */
#define KZ_ENCODER_AUTO "auto"

enum { KZ_ENCODER_NOTE_SIZE = 320 };

/* The encoder's settings; its name may be that of the encoder that `output`'s container needs
 * (NULL: some container), and where none was asked for it is libx265. Strings are the options', or
 * static. */
kz_encoder_params kz_job_encoder(const kz_job_options *options, const char *output);

/* What the choice depends on. */
typedef struct kz_encoder_question {
    const kz_job_options *options;
    const char *output;         /* as above, and for messages */
    const kz_engine *engine;    /* with all its memory taken, so that the rest is the encoder's */
    const kz_input *input;      /* the film */
    const kz_video_format *out; /* of the frames to encode */
    const char *before;         /* what the run that goes on began with; NULL: none does */
} kz_encoder_question;

/* Where no encoder was asked for and the network runs on a GPU, NVENC encodes if it can and nothing
 * is lost by it: `params`, which are kz_job_encoder()'s, become hevc_nvenc's on that GPU. NVENC is
 * opened once for it, and closed. `note` gets which encoder it is and why, to follow a line; "":
 * there was nothing to choose. 0, or KZ_ERROR_USAGE (reported) where the run that goes on began
 * with NVENC, which can't be had now. */
int kz_job_choose_encoder(kz_encoder_params *params, char note[KZ_ENCODER_NOTE_SIZE],
                          const kz_encoder_question *question, kz_log *log);

#endif
