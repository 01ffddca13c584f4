#include "pipeline/made.h"

#include <string.h>

#include "base/mem.h"

int kz_made_open(kz_made **made, kz_packet *packet, bool share)
{
    kz_made *fresh = *made = kz_alloc(1, sizeof(*fresh));
    if (fresh && share && kz_packet_clone(&fresh->packet, packet) != 0)
        kz_made_close(made);
    if (!share) {
        if (fresh)
            fresh->packet = packet;
        else
            kz_packet_close(&packet);
    }
    return *made ? 0 : KZ_ERROR_MEMORY;
}

int kz_made_open_end(kz_made **made)
{
    *made = kz_alloc(1, sizeof(**made));
    return *made ? 0 : KZ_ERROR_MEMORY;
}

int kz_made_add(kz_made *end, const kz_frame_mark *mark)
{
    if (end->n_marks == end->room) {
        const size_t room = end->room ? 2 * end->room : 256;
        kz_frame_mark *grown = kz_alloc_raw(room, sizeof(*grown));
        if (!grown)
            return KZ_ERROR_MEMORY;
        if (end->n_marks)
            memcpy(grown, end->marks, end->n_marks * sizeof(*grown));
        kz_free(end->marks);
        end->marks = grown;
        end->room = room;
    }
    end->marks[end->n_marks++] = *mark;
    return 0;
}

void kz_made_close(kz_made **made)
{
    if (!*made)
        return;
    kz_packet_close(&(*made)->packet);
    kz_free((*made)->marks);
    kz_free(*made);
    *made = NULL;
}
