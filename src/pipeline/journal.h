/* What is known of an output that isn't finished: a folder beside it, hidden, named after it, with
 *
 *   journal        facts that the run stands on, then a line for each finished segment
 *   000000.segment finished pieces of the video (media/segment.h)
 *   000001.frames  frames of a segment that isn't finished (media/spool.h)
 *   output         the file while it is put together
 *
 * A line begins with a hash of the rest; the first that isn't whole ends the journal. Every segment
 * is on disk before its line is. One run at a time holds the folder's lock, which goes with the
 * process. */
#ifndef KZ_PIPELINE_JOURNAL_H
#define KZ_PIPELINE_JOURNAL_H

#include <stdbool.h>

#include "media/segment.h"

typedef struct kz_journal kz_journal;

/* The fact that a run notes itself: kz_frame_hash() of the first frame it upscaled. */
#define KZ_FACT_FRAME "host.frame"

typedef struct kz_fact {
    char *name;
    char *value;
} kz_fact;

/* Opens what an earlier run has left for the output at `path`; without such nothing is made.
 * Damaged lines, and segments that aren't there as the journal says, end it early. Returns 0,
 * KZ_ERROR_FAILED (another run holds it, unreadable) or KZ_ERROR_MEMORY; reported. */
int kz_journal_open(kz_journal **journal, const char *path, kz_log *log);

/* Lets go of the lock. What isn't worth keeping (no segment, no frame) is removed. */
void kz_journal_close(kz_journal **journal);

/* What the earlier run noted, NULL: nothing of that name. */
const char *kz_journal_fact(const kz_journal *journal, const char *name);

/* Finished segments, and the frames of all of them. */
int kz_journal_segments(const kz_journal *journal);
int64_t kz_journal_frames(const kz_journal *journal);
int64_t kz_journal_bytes(const kz_journal *journal); /* that an earlier run had left in them */

/* Nothing of an earlier run would be lost by beginning anew. */
bool kz_journal_is_empty(const kz_journal *journal);

/* How far the earlier run had come beyond its segments, as far as it was noted. */
int64_t kz_journal_reached(const kz_journal *journal);

/* Begins anew: removes what was there, makes the folder, notes the facts. As kz_journal_open(). */
int kz_journal_begin(kz_journal *journal, const kz_fact *facts, int n_facts);

/* Removes everything: the output is finished. */
void kz_journal_finish(kz_journal *journal);

/* The rest is thread-safe. Paths are the caller's to kz_free(), NULL when memory is short. */
char *kz_journal_path(const kz_journal *journal, const char *name);
char *kz_journal_segment_path(const kz_journal *journal, int segment);
char *kz_journal_spool_path(const kz_journal *journal, int segment);

/* The digest that the file of a finished segment must have. */
const char *kz_journal_digest(const kz_journal *journal, int segment);

/* Notes another fact; where there is one of that name it stays. 0 or KZ_ERROR_FAILED, reported. */
int kz_journal_add_fact(kz_journal *journal, const char *name, const char *value);

/* Notes that the next segment's file is whole; its frames' spool is removed. 0, KZ_ERROR_FAILED or
 * KZ_ERROR_MEMORY; reported. */
int kz_journal_add_segment(kz_journal *journal, const kz_segment_info *info);

/* Notes that so many frames have been computed; not at once on disk, and no failure if it can't. */
void kz_journal_note_reached(kz_journal *journal, int64_t frames);

/* Notes that the file at `part` is whole and gets the output's name next. As adding a fact. */
int kz_journal_note_output(kz_journal *journal, const char *part);

/* The output has got its name, and only what is in the folder wasn't removed any more. */
bool kz_journal_is_finished(const kz_journal *journal);

/* Forgets the finished segments from this one on: its file isn't what it was. */
int kz_journal_cut(kz_journal *journal, int segments);

#endif
