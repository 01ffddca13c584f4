/* Which engine won for which layer, kept on disk: measuring again might choose another, whose
 * results differ in the last bits. One file for each machine (GPU, driver, libraries); it may hold
 * anything and may be lost: then it is measured again. Not thread-safe; processes that save at once
 * overwrite each other as a whole. */
#ifndef KZ_CUDA_CHOICES_H
#define KZ_CUDA_CHOICES_H

#include "base/log.h"

enum {
    KZ_CHOICE_LAYER = 400,  /* longest text of a layer, end included */
    KZ_CHOICE_ENGINE = 640, /* and of an engine */
};

typedef struct kz_choices kz_choices;

/* Reads what is known of a machine, a line of text. `folder` NULL: nothing is read nor kept. What
 * is wrong with a file is said as verbose, and the file counts as empty. 0 or KZ_ERROR_MEMORY
 * (not reported). */
int kz_choices_open(kz_choices **choices, const char *folder, const char *machine, kz_log *log);
void kz_choices_close(kz_choices **choices); /* NULL is legal */

/* The engine, until the next kz_choices_set(); NULL: unknown. */
const char *kz_choices_get(const kz_choices *choices, const char *layer);

/* Texts of printable ASCII, shorter than the limits above. Where memory or the file's room is
 * short, it is forgotten. */
void kz_choices_set(kz_choices *choices, const char *layer, const char *engine);

/* Writes the file anew where something was set since; a failure is said as verbose. */
void kz_choices_save(kz_choices *choices, kz_log *log);

#endif
