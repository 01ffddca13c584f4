/* What tests of media share: a scratch folder, shell commands in it and clips made by the ffmpeg
 * command. */
#ifndef KZ_TESTS_SCRATCH_H
#define KZ_TESTS_SCRATCH_H

#include <ftw.h>
#include <unistd.h>

#include "check.h"

/* What x265 itself loses on closing is no leak of ours. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}

const char *__lsan_default_suppressions(void)
{
    return "leak:libx265\n";
}

#define PATH_SIZE 600

static char scratch[200];

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static void scratch_close(void)
{
    nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void scratch_open(void)
{
    const char *root = getenv("TMPDIR");
    if (scratch[0])
        return;
    snprintf(scratch, sizeof(scratch), "%.150s/kz-media-XXXXXX", root ? root : "/tmp");
    CHECK(mkdtemp(scratch) != NULL);
    atexit(scratch_close);
}

/* The path of `name` in the scratch folder; a few results stay valid at once. */
static const char *in_scratch(const char *name)
{
    static char paths[8][PATH_SIZE];
    static int next;
    char *path = paths[next++ % 8];
    scratch_open();
    snprintf(path, PATH_SIZE, "%s/%s", scratch, name);
    return path;
}

/* What a shell command prints, run in the scratch folder; it must succeed. */
__attribute__((format(printf, 3, 4))) static void shell(char *result, size_t size,
                                                        const char *format, ...)
{
    char command[3000], inner[2500];
    va_list args;
    va_start(args, format);
    vsnprintf(inner, sizeof(inner), format, args);
    va_end(args);
    scratch_open();
    snprintf(command, sizeof(command), "cd '%s' && { %s; } </dev/null", scratch, inner);
    FILE *stream = popen(command, "r");
    CHECK(stream != NULL);
    const size_t got = fread(result, 1, size - 1, stream);
    result[got] = '\0';
    if (pclose(stream) != 0)
        check_failed("command failed: %s", inner);
}

// The same bytes in every run: among other ones libav now and then finds an MP3's first frames.
#define NOISE(bytes)                                                                            \
    "python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(1).randbytes(" bytes \
    "))'"
#define VIDEO "-f lavfi -i testsrc2=size=64x48:rate=25 "
#define SOUND "-f lavfi -i sine=frequency=500:sample_rate=48000 "
#define X264 "-pix_fmt yuv420p -c:v libx264 -preset fast -bf 3 -g 10 -sc_threshold 0 "

static void make(const char *options)
{
    char text[1000];
    shell(text, sizeof(text), "ffmpeg -v error -y %s", options);
}

#endif
