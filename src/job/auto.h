/* The network of `--model auto`: on the CPU the larger of kizuna's own for lossy sources if this
 * machine runs it in real time, else the small one; on the reference the small one; on a GPU
 * anime-6b where its weights are installed, else the larger one: what nobody asked for by name
 * mustn't end a run. */
#ifndef KZ_JOB_AUTO_H
#define KZ_JOB_AUTO_H

#include "job/job.h"

#define KZ_AUTO "auto"

/* Opens engine->model for pictures of format `in`, and writes the choice's reason into
 * engine->model_note. The engine's device is open; where it is the CPU the larger network runs on a
 * small picture for some tens of milliseconds, unless that was done before (job/pace.h). The caller
 * closes the model in any case. Errors as kz_engine_open()'s. */
int kz_auto_open(kz_engine *engine, const kz_job_options *options, const kz_video_format *in,
                 const kz_dirs *dirs, kz_log *log);

#endif
