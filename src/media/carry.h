/* In which form each of an input's streams gets into a container. */
#ifndef KZ_MEDIA_CARRY_H
#define KZ_MEDIA_CARRY_H

#include "media/internal.h"

enum kz_carry {
    KZ_CARRY_NOT,      /* the user doesn't want it, or it has no place */
    KZ_CARRY_VIDEO,    /* the upscaled one */
    KZ_CARRY_PACKETS,  /* as it is */
    KZ_CARRY_PICTURE,  /* a cover picture, as an attachment */
    KZ_CARRY_ASS,      /* timed text, as ASS */
    KZ_CARRY_TIMECODE, /* a track that the muxer makes anew from the video's tag */
    KZ_CARRY_MISSING   /* wanted, but the container can't hold it */
};

/* The output has a stream for it. */
static inline bool kz_carry_is_stream(enum kz_carry form)
{
    return form != KZ_CARRY_NOT && form != KZ_CARRY_TIMECODE && form != KZ_CARRY_MISSING;
}

/* What streams are carried into. */
typedef struct kz_vessel {
    const AVOutputFormat *format;
    const char *path;     /* the file's; MPEG-TS has another flavour in .m2ts files */
    enum AVCodecID video; /* the main stream's codec there */
} kz_vessel;

/* The form of input stream `index`. */
enum kz_carry kz_carry_of(const kz_input *input, int index, const kz_vessel *vessel);

/* Fills forms[] for all of the input's streams, without KZ_CARRY_MISSING: what the container can't
 * hold is KZ_ERROR_USAGE with a line each that says what to do, unless the user's choice drops it.
 * Chapters, tags, marks and forms that change get a line and are no error. */
int kz_carry_plan(enum kz_carry *forms, const kz_input *input, const kz_vessel *vessel,
                  kz_log *log);

/* The container that holds HEVC and all of the input, chapters too: the one `path` (the input's)
 * ends in, or else Matroska. */
const AVOutputFormat *kz_carry_container(const kz_input *input, const char *path);

/* True for a tag that tells of the stream as it was, and would be wrong from now on. `changed`: the
 * stream is encoded anew, or cut. */
bool kz_carry_is_stale(const char *key, bool encoded, bool changed);

/* True for a global tag that describes the file that was, not what is in it. */
bool kz_carry_is_of_the_file(const char *key);

#endif
