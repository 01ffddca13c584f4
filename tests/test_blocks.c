#include <pthread.h>

#include "media/decode.h"
#include "notes.h"
#include "pixel/plane.h"
#include "scratch.h"

enum { MOST_BLOCKS = 64 };

struct watched {
    pthread_mutex_t lock;
    const char *blocks[MOST_BLOCKS];
    size_t sizes[MOST_BLOCKS];
    int n, now; /* blocks so far, and those there are */
};

static void note_made(void *context, void *block, size_t bytes)
{
    struct watched *w = context;
    pthread_mutex_lock(&w->lock);
    CHECK(w->n < MOST_BLOCKS);
    w->blocks[w->n] = block;
    w->sizes[w->n++] = bytes;
    w->now++;
    pthread_mutex_unlock(&w->lock);
}

static void note_freed(void *context, void *block)
{
    struct watched *w = context;
    pthread_mutex_lock(&w->lock);
    int i = w->n - 1;
    while (i >= 0 && w->blocks[i] != block)
        i--;
    CHECK(i >= 0);
    w->blocks[i] = NULL;
    w->now--;
    pthread_mutex_unlock(&w->lock);
}

static bool lies_in(struct watched *w, const char *first, size_t bytes)
{
    bool found = false;
    pthread_mutex_lock(&w->lock);
    for (int i = 0; i < w->n; i++)
        found = found || (w->blocks[i] && first >= w->blocks[i] &&
                          first + bytes <= w->blocks[i] + w->sizes[i]);
    pthread_mutex_unlock(&w->lock);
    return found;
}

static void check_watched(struct watched *w, const kz_frame *frame)
{
    const kz_picture p = kz_frame_picture(frame);
    for (int i = 0; i < p.planes; i++) {
        const kz_plane *plane = &p.plane[i];
        const char *last = kz_plane_row(plane, plane->height - 1);
        const size_t row = (size_t)plane->width * (size_t)plane->bytes;
        CHECK(lies_in(w, kz_plane_row(plane, 0), row) && lies_in(w, last, row));
    }
}

/* What the frames of a file are, in `hashes`; the last one is closed after the decoder. Returns
 * how many there are. */
static int decode_all(const char *name, struct watched *w, int threads,
                      char (*hashes)[KZ_FRAME_HASH], int most)
{
    const kz_input_params params = {.path = in_scratch(name)};
    const kz_decoder_params decoding = {.threads = threads,
                                        .filter = {.deinterlace = KZ_DEINTERLACE_OFF}};
    const kz_block_watch watch = {note_made, note_freed, w};
    struct notes notes;
    kz_input *input;
    kz_decoder *decoder;
    kz_packet *packet = NULL;
    kz_frame *frame = NULL, *last = NULL;
    int n = 0, result = 0;
    notes_open(&notes, KZ_LOG_WARNING);
    CHECK(kz_input_open(&input, &params, notes.log) == 0);
    CHECK(kz_decoder_open(&decoder, input, &decoding, notes.log) == 0);
    CHECK(!w || kz_decoder_watch(decoder, &watch) == 0);
    while (result != KZ_END) {
        result = kz_input_read(input, &packet);
        CHECK(result == 0 || result == KZ_END);
        CHECK(kz_decoder_send(decoder, result ? NULL : packet) == 0);
        while (kz_decoder_receive(decoder, &frame) == 0) {
            CHECK(n < most && kz_frame_hash(frame, hashes[n++]) == 0);
            if (w)
                check_watched(w, frame);
            kz_frame_close(&last);
            last = frame;
        }
    }
    kz_decoder_close(&decoder);
    CHECK(!w || w->now == 1);
    kz_frame_close(&last);
    kz_input_close(&input);
    notes_close(&notes);
    return n;
}

static void check_blocks(const char *name, int threads)
{
    static char plain[60][KZ_FRAME_HASH], watched[60][KZ_FRAME_HASH];
    struct watched w = {.lock = PTHREAD_MUTEX_INITIALIZER};
    const int n = decode_all(name, NULL, threads, plain, 60);
    CHECK(decode_all(name, &w, threads, watched, 60) == n && n >= 25);
    CHECK(memcmp(plain, watched, (size_t)n * sizeof(plain[0])) == 0);
    CHECK(w.n > 0 && w.n < n && w.now == 0);
}

#define SIZED(size, format)                                                            \
    "-f lavfi -i testsrc2=size=640x480:rate=25,scale=" size " -t 1.2 -pix_fmt " format \
    " -c:v libx264 "

/* The same pictures wherever a decoder puts them, and every block is told of and let go. */
static void test_watched_memory(void)
{
    static const char *const clips[] = {
        SIZED("130x74", "yuv420p"),     SIZED("333x77", "yuv444p"),
        SIZED("1x1", "yuv444p10"),      SIZED("64x49", "yuv422p10"),
        SIZED("64x48", "gray"),         VIDEO "-t 1.2 -c:v mpeg2video -bf 2 ",
        VIDEO "-t 1.2 -c:v libvpx-vp9 "};
    char options[300];
    for (int i = 0; i < 7; i++) {
        snprintf(options, sizeof(options), "%s blocks.mkv", clips[i]);
        make(options);
        check_blocks("blocks.mkv", 1 + i % 4);
    }
}

static const struct check_case cases[] = {
    {"memory that is watched", test_watched_memory},
};

CHECK_MAIN(cases)
