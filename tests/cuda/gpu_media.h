/* What the parts of gpu_media share: short films, and who decodes them. What can't go on ends the
 * program, as in gpu_check. */
#ifndef KZ_TESTS_GPU_MEDIA_H
#define KZ_TESTS_GPU_MEDIA_H

#include "gpu_check.h"
#include "media/codec.h"
#include "media/nvdec.h"

enum { MOST_PACKETS = 256, HASH = 33 };

struct film {
    const char *name;
    kz_input *input;
    AVPacket *packets[MOST_PACKETS];
    int n;
    char hashes[MOST_PACKETS][HASH]; /* what software makes of it: each picture's md5 as text */
};

/* STEM.mkv and STEM.md5. */
void open_film(struct film *film, const char *stem, kz_log *log);
void close_film(struct film *film);

/* One of the two. */
struct decoder {
    kz_codec *codec;
    kz_nvdec *nvdec;
};

typedef void take_fn(void *context, AVFrame *host, AVFrame *there);

/* The film so many times; take() gets each picture, of which it may move what the frames hold. 0 or
 * libav's error. */
int decode(const struct decoder *decoder, const struct film *film, int loops, take_fn *take,
           void *context);

/* Ends the program with NO_DEVICE where the driver's library isn't there. */
void want_library(const char *name);

/* What may stand in a string of JSON; in place. */
const char *plain(char *text);

/* Parts: exit codes. */
int part_nvdec(char **arguments, kz_log *log);
int part_surfaces(char **arguments, kz_log *log);
int part_decoding(char **arguments, kz_log *log);
int part_nvenc(char **arguments, kz_log *log);

#endif
