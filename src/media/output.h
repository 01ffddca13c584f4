/* The output file: written under a temporary name in the target's folder, renamed when whole. */
#ifndef KZ_MEDIA_OUTPUT_H
#define KZ_MEDIA_OUTPUT_H

#include "media/check.h"
#include "media/form.h"
#include "media/input.h"

typedef struct kz_output kz_output;

typedef struct kz_output_params {
    const char *path;   /* "-" is standard output */
    const char *format; /* libav's short name or an ending, NULL: by the path's ending */
    bool overwrite;     /* else an existing file is KZ_ERROR_USAGE */
    size_t spill_bytes; /* of copied packets held back at most; beyond it they go out early */
    const char *part;   /* the temporary file's path, which is replaced; NULL: a name of its own
                         * beside the target */
} kz_output_params;

/* The ending that an output for `input` gets by default: that of `format` when it isn't NULL, else
 * of the input's own container if it holds HEVC and every stream, else ".mkv". `input` may be NULL.
 * Written to `buffer` or static. */
const char *kz_output_ending(const kz_input *input, const char *path, const char *format,
                             char *buffer, size_t size);

/* `wanted`, or the encoder that alone suits the container (`format`, or by the ending of `path`):
 * y4m and raw files hold raw video. Static, or `wanted`. */
const char *kz_output_encoder(const char *path, const char *format, const char *wanted);

/* The container that they name keeps a display matrix. */
bool kz_output_keeps_rotation(const char *path, const char *format);

/* The process must ignore SIGPIPE: a closed pipe is KZ_ERROR_CANCELLED from whatever writes, not
 * reported. A device or a named pipe at `path` is written directly, without a temporary name.
 * Checks that the container can hold HEVC or whatever `codec` makes and each copied stream (a line
 * each for what it can't), opens the temporary file. Nothing is under the final name until
 * kz_output_finish(). `input` must outlive the output. */
int kz_output_open(kz_output **output, const kz_output_params *params, const kz_input *input,
                   const char *codec, kz_log *log);

/* Closes; an output that isn't finished leaves no file. NULL is legal. */
void kz_output_close(kz_output **output);

/* Path of the unfinished file, NULL for standard output. Owned by the output. */
const char *kz_output_temporary(const kz_output *output);

bool kz_output_needs_global_header(const kz_output *output);

/* Writes the header that kz_output_start() would write, to nowhere: what the container refuses then
 * it refuses now. KZ_ERROR_FAILED or KZ_ERROR_MEMORY; reported. */
int kz_output_rehearse(kz_output *output, const kz_form *form);

/* Writes the header: the video of that form, the copied ones in the input's order, attachments,
 * chapters, metadata, dispositions. Then the video packets may come. */
int kz_output_start(kz_output *output, const kz_form *form);

/* Queues a packet of a carried stream; callable from another thread than the rest, before start
 * too. Takes ownership in every case. Never waits. Returns 0, KZ_ERROR_FAILED (a subtitle that
 * can't be converted) or KZ_ERROR_MEMORY; reported. */
int kz_output_copy(kz_output *output, kz_packet *packet);

/* Writes copied packets, the earliest first, until those that wait take no more memory than they
 * may. For a run in which one thread reads and writes; after start. Returns 0 or KZ_ERROR_FAILED
 * (reported). */
int kz_output_spill(kz_output *output);

/* No more copied packets come. Thread-safe. */
void kz_output_copy_end(kz_output *output);

/* Writes a video packet (ownership in every case), preceded by the copied packets due before it.
 * KZ_ERROR_FAILED on a write error (reported with the path and reason). */
int kz_output_video(kz_output *output, kz_packet *packet);

/* Notes a frame that the decoder gave, for the check at the end. On the same thread as
 * kz_output_copy(). 0 or KZ_ERROR_MEMORY (reported). */
int kz_output_frame(kz_output *output, const kz_frame *frame);

/* The same for a run whose frames are known from elsewhere: what the first is like (its samples
 * aren't needed), and all marks. Either once. */
int kz_output_first(kz_output *output, const kz_frame *first);
int kz_output_marks(kz_output *output, const kz_frame_mark *marks, size_t count);

/* The input hasn't been read as far as the video packet: packets that belong before it may still
 * come. For a run in which one thread reads and writes. */
bool kz_output_is_ahead(const kz_output *output, const kz_packet *packet);

/* The rest of the copied packets, for whose end (kz_output_copy_end()) it waits; trailer, flush.
 * Then the file is read back and compared with what went in: frames, packets, times, attachments,
 * chapters, tags, and what `checker` (may be NULL) decoded; each difference is an error line and
 * the file stays under its temporary name. Then fsync, rename, fsync of the folder. When the name
 * can't be given (without `overwrite` another file has taken it meanwhile) the finished file stays
 * under its temporary name, which the message tells. Pipes and devices aren't read back. */
int kz_output_finish(kz_output *output, const kz_checker *checker);

/* Bytes written so far. Thread-safe. */
int64_t kz_output_bytes(const kz_output *output);

#endif
