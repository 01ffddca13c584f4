/* A libFuzzer target for the files of an unfinished run: the first byte says which of them the rest
 * is. Built by scripts/test-long.sh with clang. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "media/segment.h"
#include "media/spool.h"
#include "pipeline/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64];

static const char *write_file(const char *name, const uint8_t *data, size_t size)
{
    static char path[200];
    if (!folder[0]) {
        snprintf(folder, sizeof(folder), "/tmp/kz-fuzz-XXXXXX");
        if (!mkdtemp(folder))
            abort();
    }
    snprintf(path, sizeof(path), "%s/.out.kizuna", folder);
    mkdir(path, 0777);
    snprintf(path, sizeof(path), "%s/.out.kizuna/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
    return path;
}

static void read_segment(const char *path)
{
    kz_segment_marks marks = {0};
    kz_segment *segment = NULL;
    kz_packet *packet;
    (void)!kz_segment_marks_add(&marks, path, NULL);
    kz_segment_marks_close(&marks);
    if (kz_segment_open(&segment, path, NULL) == 0)
        while (kz_segment_read(segment, &packet) == 0)
            kz_packet_close(&packet);
    kz_segment_close(&segment);
}

static void read_spool(const char *path)
{
    kz_video_format format = {.width = 64, .height = 48, .time_base = {1, 25}};
    kz_frame_pool *pool = NULL;
    kz_frame *frame = NULL;
    kz_spool *spool = NULL;
    if (kz_format_by_name(&format, "yuv420p10le") != 0 ||
        kz_frame_pool_open(&pool, &format, NULL) != 0 ||
        kz_frame_pool_get(pool, &frame, NULL) != 0 ||
        kz_spool_open(&spool, path, &format, NULL) != 0)
        abort();
    while (kz_spool_get(spool, frame) == 0)
        ;
    kz_spool_close(&spool);
    kz_frame_close(&frame);
    kz_frame_pool_close(&pool);
}

static void read_journal(void)
{
    char output[100];
    kz_journal *journal = NULL;
    snprintf(output, sizeof(output), "%s/out", folder);
    if (kz_journal_open(&journal, output, NULL) == 0) {
        (void)!kz_journal_is_finished(journal);
        (void)!kz_journal_fact(journal, "option.crf");
    }
    kz_journal_close(&journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    switch (data[0] % 3) {
    case 0:
        read_segment(write_file("000000.segment", data + 1, size - 1));
        break;
    case 1:
        read_spool(write_file("000000.frames", data + 1, size - 1));
        break;
    default:
        write_file("journal", data + 1, size - 1);
        read_journal();
    }
    return 0;
}
