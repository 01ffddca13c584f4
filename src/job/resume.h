/* Going on where an interrupted run of the same output ended. */
#ifndef KZ_JOB_RESUME_H
#define KZ_JOB_RESUME_H

#include "job/key.h"

typedef struct kz_resume {
    kz_journal *journal; /* NULL: this run can't be taken up again */
    bool again;          /* an unfinished run goes on */
    kz_key key;
    char *part; /* where the output is put together */
} kz_resume;

/* An interrupted run had finished the output at `path` and only couldn't clean up, which is done
 * now. */
bool kz_resume_was_finished(const char *path);

/* Decides whether the run is one of segments, says if not why, and reads what an earlier one has
 * left. Where that goes on, `options` get the choices that it made for itself. Returns 0,
 * KZ_ERROR_USAGE (asked for otherwise than the earlier run), KZ_ERROR_FAILED or KZ_ERROR_MEMORY;
 * reported, as below. kz_resume_close() in any case. */
int kz_resume_open(kz_resume *resume, kz_job_options *options, const char *input,
                   const char *output, const char *codec, kz_log *log);
void kz_resume_close(kz_resume *resume);

/* The encoder that an earlier run chose for itself; NULL: there is none, or it was told which. The
 * journal's. */
const char *kz_resume_encoder(const kz_resume *resume);

/* Frames that the encoder works on at a time: the earlier run's choice, or this machine's. */
int kz_resume_frame_threads(const kz_resume *resume, const char *codec);

/* The device is open: an earlier run's must be of the same back end, or what else that one chose
 * can't be had. 0 or KZ_ERROR_USAGE (reported). */
int kz_resume_check_device(const kz_resume *resume, const kz_engine *engine, const char *output,
                           kz_log *log);

/* The engine is open: an earlier run's must give the same bytes, or with `anew` the run isn't
 * `again` any more, and what the options had of it is gone; a new one is noted. `encoder` is the
 * one that was chosen; NULL: it was told which. */
int kz_resume_begin(kz_resume *resume, const kz_engine *engine, const kz_upscaler *upscaler,
                    int halo, const char *encoder, int frame_threads, bool anew, const char *output,
                    kz_log *log);

/* The engine of another machine than the one that began: makes the first frame (as the decoder gave
 * it) again and compares. */
int kz_resume_check_host(const kz_resume *resume, kz_upscaler *upscaler, const kz_frame *first,
                         const kz_video_format *out, kz_log *log);

#endif
