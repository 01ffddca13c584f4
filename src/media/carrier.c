#include "media/carrier.h"

#include "base/mem.h"

static int plan(kz_carrier *carrier, const kz_vessel *vessel, bool refuse, kz_log *log)
{
    if (refuse)
        return kz_carry_plan(carrier->forms, carrier->input, vessel, log);
    for (int i = 0; i < carrier->input->count; i++)
        carrier->forms[i] = kz_carry_of(carrier->input, i, vessel);
    return 0;
}

static int open_texts(kz_carrier *carrier, kz_log *log)
{
    int result = 0;
    for (int i = 0; i < carrier->input->count && result == 0; i++)
        if (carrier->forms[i] == KZ_CARRY_ASS)
            result = kz_text_open(&carrier->texts[i], carrier->input->av->streams[i], log);
    return result;
}

int kz_carrier_open(kz_carrier *carrier, const kz_input *input, const kz_vessel *vessel,
                    bool refuse, kz_log *log)
{
    const size_t count = (size_t)input->count;
    *carrier = (kz_carrier){.input = input};
    carrier->forms = kz_alloc(count, sizeof(*carrier->forms));
    carrier->texts = kz_alloc(count, sizeof(*carrier->texts));
    carrier->map = kz_alloc(count, sizeof(*carrier->map));
    if (!carrier->forms || !carrier->texts || !carrier->map)
        return kz_fail_memory(log, "the streams");
    const int result = plan(carrier, vessel, refuse, log);
    for (int i = 0; i < input->count; i++)
        carrier->map[i] = kz_carry_is_stream(carrier->forms[i]) ? carrier->streams++ : -1;
    return result == 0 ? open_texts(carrier, log) : result;
}

void kz_carrier_close(kz_carrier *carrier)
{
    for (int i = 0; carrier->texts && i < carrier->input->count; i++)
        kz_text_close(&carrier->texts[i]);
    kz_free(carrier->texts);
    kz_free(carrier->forms);
    kz_free(carrier->map);
    *carrier = (kz_carrier){0};
}

int kz_carrier_convert(kz_carrier *carrier, kz_packet **packet)
{
    const int stream = (*packet)->av->stream_index;
    const enum kz_carry form = carrier->forms[stream];
    if (form == KZ_CARRY_ASS)
        return kz_text_convert(carrier->texts[stream], packet);
    /* A cover that becomes an attachment is in the header already. */
    if (form != KZ_CARRY_PACKETS)
        kz_packet_close(packet);
    return 0;
}
