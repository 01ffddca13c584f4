#include "pipeline/stages.h"

/* What doesn't decode ends the run at once, not after the last frame. */
static int check_packet(kz_line *line, const kz_packet *packet)
{
    const int error = kz_checker_packet(line->checker, packet);
    if (error)
        return error;
    if (kz_checker_errors(line->checker))
        return kz_fail(line->log, KZ_ERROR_FAILED, "what the encoder made can't be decoded again");
    kz_line_count(line, KZ_STAGE_CHECK);
    return 0;
}

void kz_stage_check(kz_line *line)
{
    void *item;
    int error;
    while (!(error = kz_ring_pop(line->encoded, &item))) {
        kz_packet *packet = item;
        error = check_packet(line, packet);
        kz_packet_close(&packet);
        if (error)
            break;
    }
    if (error == KZ_END && line->checker)
        error = kz_checker_packet(line->checker, NULL) == 0 ? KZ_END : KZ_ERROR_MEMORY;
    if (error != KZ_END)
        kz_line_fail(line, error);
}
