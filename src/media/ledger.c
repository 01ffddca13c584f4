#include "media/ledger.h"

#include "base/mem.h"
#include "media/fingerprint.h"

int kz_ledger_open(kz_ledger *ledger, const kz_carrier *carrier)
{
    const kz_input *input = carrier->input;
    *ledger = (kz_ledger){.carrier = carrier};
    ledger->tracks = kz_alloc((size_t)carrier->streams, sizeof(*ledger->tracks));
    ledger->like = av_frame_alloc();
    int result = ledger->tracks && ledger->like ? 0 : KZ_ERROR_MEMORY;
    for (int i = 0; i < input->count && result == 0; i++)
        if (carrier->map[i] >= 0)
            result =
                kz_track_open(&ledger->tracks[carrier->map[i]], input->av->streams[i]->time_base);
    if (result == 0 && carrier->map[input->video] >= 0)
        ledger->video = &ledger->tracks[carrier->map[input->video]];
    return result;
}

void kz_ledger_close(kz_ledger *ledger)
{
    for (int i = 0; ledger->tracks && i < ledger->carrier->streams; i++)
        kz_track_close(&ledger->tracks[i]);
    kz_free(ledger->tracks);
    av_frame_free(&ledger->like);
    *ledger = (kz_ledger){0};
}

int kz_ledger_packet(kz_ledger *ledger, const kz_packet *packet)
{
    const int stream = packet->av->stream_index;
    return kz_track_packet(&ledger->tracks[ledger->carrier->map[stream]], packet->av,
                           ledger->carrier->input->av->streams[stream]->codecpar);
}

int kz_ledger_first(kz_ledger *ledger, const kz_frame *first)
{
    /* A filter may have its own units. */
    ledger->video->base = first->av->time_base;
    ledger->like->width = first->av->width;
    ledger->like->height = first->av->height;
    ledger->like->format = first->av->format;
    return av_frame_copy_props(ledger->like, first->av) < 0 ? KZ_ERROR_MEMORY : 0;
}

int kz_ledger_mark(kz_ledger *ledger, const kz_frame_mark *mark)
{
    return kz_track_frame(ledger->video, mark->time, mark->fingerprint);
}

int kz_ledger_frame(kz_ledger *ledger, const kz_frame *frame)
{
    int result = ledger->video->count == 0 ? kz_ledger_first(ledger, frame) : 0;
    const kz_frame_mark mark = {.time = frame->av->pts, .fingerprint = kz_fingerprint(frame->av)};
    return result == 0 ? kz_ledger_mark(ledger, &mark) : result;
}
