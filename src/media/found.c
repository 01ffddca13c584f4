#include "media/found.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

bool kz_is_attached(const AVStream *stream)
{
    return stream->codecpar->codec_type == AVMEDIA_TYPE_ATTACHMENT ||
           stream->disposition & AV_DISPOSITION_ATTACHED_PIC;
}

static int open_file(kz_found *found, const char *path, kz_log *log)
{
    char *url = kz_asprintf("file:%s", path);
    if (!url)
        return kz_fail_memory(log, path);
    if (access(path, R_OK) != 0) {
        kz_free(url);
        return kz_fail(log, errno == ENOENT ? KZ_ERROR_USAGE : KZ_ERROR_FAILED, "%s: %s", path,
                       strerror(errno));
    }
    int code = avformat_open_input(&found->av, url, NULL, NULL);
    kz_free(url);
    if (code >= 0)
        code = avformat_find_stream_info(found->av, NULL);
    if (code == AVERROR(ENOMEM))
        return kz_fail_memory(log, path);
    return code < 0
               ? kz_fail(log, KZ_ERROR_FAILED, "%s: can't be read back: %s", path, av_err2str(code))
               : 0;
}

static int open_tracks(kz_found *found, bool decode, kz_log *log)
{
    found->count = (int)found->av->nb_streams;
    found->tracks = kz_alloc((size_t)found->count, sizeof(*found->tracks));
    int result = found->tracks ? 0 : KZ_ERROR_MEMORY;
    for (int i = 0; i < found->count && result == 0; i++)
        result = kz_track_open(&found->tracks[i], found->av->streams[i]->time_base);
    if (result != 0)
        return kz_fail_memory(log, "the check of the output");
    found->video = av_find_best_stream(found->av, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (found->video >= 0 && kz_is_attached(found->av->streams[found->video]))
        found->video = -1;
    if (!decode || found->video < 0)
        return 0;
    const AVStream *video = found->av->streams[found->video];
    return kz_checker_open_stream(&found->checker, video->codecpar, video->time_base, 0, log);
}

static int take_packet(kz_found *found, const AVPacket *packet)
{
    const int stream = packet->stream_index;
    if (stream >= found->count)
        return 0;
    int result =
        kz_track_packet(&found->tracks[stream], packet, found->av->streams[stream]->codecpar);
    if (result == 0 && stream == found->video && found->checker)
        result = kz_checker_av_packet(found->checker, packet);
    return result;
}

static int read_packets(kz_found *found, const char *path, const atomic_bool *cancel, kz_log *log)
{
    AVPacket *packet = av_packet_alloc();
    int code = 0, result = packet ? 0 : KZ_ERROR_MEMORY;
    while (result == 0 && (code = av_read_frame(found->av, packet)) >= 0) {
        result = cancel && atomic_load(cancel) ? KZ_ERROR_CANCELLED : take_packet(found, packet);
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    if (result == 0 && found->checker)
        result = kz_checker_av_packet(found->checker, NULL);
    if (result == KZ_ERROR_MEMORY)
        return kz_fail_memory(log, "the check of the output");
    if (result == 0 && code != AVERROR_EOF)
        return kz_fail(log, KZ_ERROR_FAILED, "%s: can't be read back: %s", path, av_err2str(code));
    return result;
}

int kz_found_read(kz_found *found, const char *path, bool decode, const atomic_bool *cancel,
                  kz_log *log)
{
    *found = (kz_found){.video = -1};
    kz_av_log_setup();
    int result = open_file(found, path, log);
    if (result == 0)
        result = open_tracks(found, decode, log);
    return result == 0 ? read_packets(found, path, cancel, log) : result;
}

void kz_found_close(kz_found *found)
{
    for (int i = 0; found->tracks && i < found->count; i++)
        kz_track_close(&found->tracks[i]);
    kz_free(found->tracks);
    kz_checker_close(&found->checker);
    avformat_close_input(&found->av);
    *found = (kz_found){.video = -1};
}
