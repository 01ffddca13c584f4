/* A libnvidia-encode.so.1 for libav, on machines without a GPU. libx265 encodes in NVENC's place,
 * without loss and with two B-frames between others, so that what comes out can be compared. Of
 * encoders it bears one at a time.
 *   PRETEND_NVENC=unsupported|none|memory|key|taken|old|narrow|shallow  opening fails: there is no
 *     NVENC (two words for it), no memory, no further session, none after the first in the log, the
 *     driver is older than libav's headers, pictures are too wide, 10 bits too many
 *   PRETEND_NVENC_FAIL=T  what is shown at T or later, in units of time, can't be encoded
 *   PRETEND_NVENC_LOG     a file that gets a line for each encoder: how it was set */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ffnvcodec/nvEncodeAPI.h>
#include <x265.h>

enum { MOST = 64, GROUP = 3 /* a picture and the B-frames before it */ };

typedef struct surface {
    NV_ENC_BUFFER_FORMAT form;
    int width, height;
    uint32_t pitch;
    uint8_t *data;
} surface;

typedef struct packet {
    uint8_t *data;
    uint32_t size;
    int64_t time;
    bool key;
} packet;

typedef struct session {
    const x265_api *x265;
    x265_param *param;
    x265_encoder *encoder;
    packet packets[MOST]; /* in the order in which they were made */
    int made, given;      /* modulo MOST */
    long pictures;
} session;

static int sessions;

static bool is_told(const char *what)
{
    const char *told = getenv("PRETEND_NVENC");
    return told && strcmp(told, what) == 0;
}

static const char *log_path(void)
{
    const char *path = getenv("PRETEND_NVENC_LOG");
    return path ? path : "/dev/null";
}

/* ---- what there is ---- */

static NVENCSTATUS open_session(NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS *params, void **made)
{
    if (is_told("unsupported"))
        return NV_ENC_ERR_UNSUPPORTED_DEVICE;
    if (is_told("none"))
        return NV_ENC_ERR_NO_ENCODE_DEVICE;
    if (is_told("key"))
        return NV_ENC_ERR_INCOMPATIBLE_CLIENT_KEY;
    if (is_told("memory") || sessions || (is_told("taken") && access(log_path(), F_OK) == 0))
        return NV_ENC_ERR_OUT_OF_MEMORY;
    if (!params->device || params->deviceType != NV_ENC_DEVICE_TYPE_CUDA)
        return NV_ENC_ERR_INVALID_DEVICE;
    *made = calloc(1, sizeof(session));
    sessions += *made != NULL;
    return *made ? NV_ENC_SUCCESS : NV_ENC_ERR_OUT_OF_MEMORY;
}

static NVENCSTATUS count_codecs(void *encoder, uint32_t *count)
{
    (void)encoder;
    *count = 1;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS list_codecs(void *encoder, GUID *list, uint32_t room, uint32_t *count)
{
    (void)encoder;
    (void)room;
    list[0] = NV_ENC_CODEC_HEVC_GUID;
    *count = 1;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS tell_cap(void *encoder, GUID codec, NV_ENC_CAPS_PARAM *which, int *value)
{
    (void)encoder;
    (void)codec;
    const NV_ENC_CAPS cap = which->capsToQuery;
    *value = cap == NV_ENC_CAPS_WIDTH_MAX || cap == NV_ENC_CAPS_HEIGHT_MAX ? 8192 : 1;
    if ((cap == NV_ENC_CAPS_WIDTH_MAX && is_told("narrow")) ||
        (cap == NV_ENC_CAPS_SUPPORT_10BIT_ENCODE && is_told("shallow")))
        *value = 0;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS tell_preset(void *encoder, GUID codec, GUID preset, NV_ENC_TUNING_INFO tuning,
                               NV_ENC_PRESET_CONFIG *config)
{
    (void)encoder;
    (void)codec;
    (void)preset;
    (void)tuning;
    config->presetCfg.frameIntervalP = GROUP;
    return NV_ENC_SUCCESS;
}

/* ---- an encoder ---- */

static void note(const NV_ENC_INITIALIZE_PARAMS *p)
{
    const GUID presets[] = {{0},
                            NV_ENC_PRESET_P1_GUID,
                            NV_ENC_PRESET_P2_GUID,
                            NV_ENC_PRESET_P3_GUID,
                            NV_ENC_PRESET_P4_GUID,
                            NV_ENC_PRESET_P5_GUID,
                            NV_ENC_PRESET_P6_GUID,
                            NV_ENC_PRESET_P7_GUID};
    const NV_ENC_RC_PARAMS *rate = &p->encodeConfig->rcParams;
    FILE *file = fopen(log_path(), "a");
    int preset = 7;
    while (preset && memcmp(&presets[preset], &p->presetGUID, sizeof(GUID)) != 0)
        preset--;
    if (!file)
        return;
    fprintf(file, "p%d mode %d quality %g rate %u\n", preset, (int)rate->rateControlMode,
            rate->targetQuality + rate->targetQualityLSB / 256.0, rate->averageBitRate);
    fclose(file);
}

/* Libav's own libx265 can't be opened while it opens another encoder. */
static NVENCSTATUS initialize(void *encoder, NV_ENC_INITIALIZE_PARAMS *p)
{
    static const char *const words[][2] = {
        {"lossless", "1"},      {"bframes", "2"},  {"b-adapt", "0"},  {"b-pyramid", "0"},
        {"scenecut", "0"},      {"keyint", "250"}, {"open-gop", "0"}, {"rc-lookahead", "3"},
        {"frame-threads", "1"}, {"pools", "none"}, {"info", "0"},     {"log-level", "none"},
        {"annexb", "1"}};
    session *s = encoder;
    const NV_ENC_CONFIG_HEVC *hevc = &p->encodeConfig->encodeCodecConfig.hevcConfig;
    const NV_ENC_CONFIG_HEVC_VUI_PARAMETERS *vui = &hevc->hevcVUIParameters;
    s->x265 = x265_api_get(10);
    x265_param *x = s->param = s->x265 ? s->x265->param_alloc() : NULL;
    if (!x || !hevc->pixelBitDepthMinus8 || s->x265->param_default_preset(x, "ultrafast", NULL))
        return NV_ENC_ERR_INVALID_PARAM;
    note(p);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        s->x265->param_parse(x, words[i][0], words[i][1]);
    x->sourceWidth = (int)p->encodeWidth;
    x->sourceHeight = (int)p->encodeHeight;
    x->fpsNum = 25;
    x->fpsDenom = 1;
    x->internalCsp = hevc->chromaFormatIDC == 3 ? X265_CSP_I444 : X265_CSP_I420;
    x->bRepeatHeaders = !hevc->disableSPSPPS;
    x->vui.bEnableVideoSignalTypePresentFlag = x->vui.bEnableColorDescriptionPresentFlag = 1;
    x->vui.bEnableVideoFullRangeFlag = (int)vui->videoFullRangeFlag;
    x->vui.colorPrimaries = (int)vui->colourPrimaries;
    x->vui.transferCharacteristics = (int)vui->transferCharacteristics;
    x->vui.matrixCoeffs = (int)vui->colourMatrix;
    s->encoder = s->x265->encoder_open(x);
    return s->encoder ? NV_ENC_SUCCESS : NV_ENC_ERR_INVALID_PARAM;
}

/* The payloads of what x265 gives at a time lie side by side. */
static uint32_t bytes_of(const x265_nal *nals, uint32_t count)
{
    uint32_t bytes = 0;
    while (count)
        bytes += nals[--count].sizeBytes;
    return bytes;
}

static NVENCSTATUS tell_headers(void *encoder, NV_ENC_SEQUENCE_PARAM_PAYLOAD *to)
{
    session *s = encoder;
    x265_nal *nals;
    uint32_t count;
    if (s->x265->encoder_headers(s->encoder, &nals, &count) < 0 ||
        bytes_of(nals, count) > to->inBufferSize)
        return NV_ENC_ERR_NOT_ENOUGH_BUFFER;
    *to->outSPSPPSPayloadSize = bytes_of(nals, count);
    memcpy(to->spsppsBuffer, nals[0].payload, *to->outSPSPPSPayloadSize);
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS set_streams(void *encoder, void *in, void *out)
{
    (void)encoder;
    return in && out ? NV_ENC_SUCCESS : NV_ENC_ERR_INVALID_PTR;
}

static NVENCSTATUS destroy(void *encoder)
{
    session *s = encoder;
    while (s->given < s->made)
        free(s->packets[s->given++ % MOST].data);
    if (s->encoder)
        s->x265->encoder_close(s->encoder);
    if (s->param)
        s->x265->param_free(s->param);
    free(s);
    sessions--;
    return NV_ENC_SUCCESS;
}

/* ---- buffers ---- */

static NVENCSTATUS create_surface(void *encoder, NV_ENC_CREATE_INPUT_BUFFER *p)
{
    surface *made = calloc(1, sizeof(*made));
    const bool flat = p->bufferFmt == NV_ENC_BUFFER_FORMAT_YUV444_10BIT;
    (void)encoder;
    if (!made || (!flat && p->bufferFmt != NV_ENC_BUFFER_FORMAT_YUV420_10BIT))
        return NV_ENC_ERR_INVALID_PARAM;
    made->form = p->bufferFmt;
    made->width = (int)p->width;
    made->height = (int)p->height;
    made->pitch = (p->width * 2 / 512 + 1) * 512;
    made->data = malloc((size_t)made->pitch * p->height * 3 / (flat ? 1 : 2));
    p->inputBuffer = made;
    return made->data ? NV_ENC_SUCCESS : NV_ENC_ERR_OUT_OF_MEMORY;
}

static NVENCSTATUS destroy_surface(void *encoder, void *old)
{
    (void)encoder;
    free(((surface *)old)->data);
    free(old);
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS lock_surface(void *encoder, NV_ENC_LOCK_INPUT_BUFFER *p)
{
    const surface *s = p->inputBuffer;
    (void)encoder;
    p->bufferDataPtr = s->data;
    p->pitch = s->pitch;
    return NV_ENC_SUCCESS;
}

/* What is written into a bitstream's buffer is kept by the session. */
static NVENCSTATUS create_bitstream(void *encoder, NV_ENC_CREATE_BITSTREAM_BUFFER *p)
{
    p->bitstreamBuffer = encoder;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS do_nothing(void *encoder, void *buffer)
{
    (void)encoder;
    (void)buffer;
    return NV_ENC_SUCCESS;
}

/* ---- pictures ---- */

/* NVENC looks at the upper ten bits alone. `to` is three planes without gaps. */
static void unpack(uint16_t *to, const surface *from)
{
    const bool flat = from->form == NV_ENC_BUFFER_FORMAT_YUV444_10BIT;
    for (int i = 0; i < 3; i++) {
        const int shift = i && !flat, step = 1 + shift;
        const uint8_t *plane =
            from->data + (size_t)from->pitch * (size_t)from->height * (size_t)(flat ? i : i > 0);
        for (int y = 0; y < from->height >> shift; y++) {
            const uint16_t *row = (const uint16_t *)(const void *)(plane + (size_t)y * from->pitch);
            for (int x = 0; x < from->width >> shift; x++)
                *to++ = row[x * step + (shift && i == 2)] >> 6;
        }
    }
}

/* NULL: nothing more comes. */
static int give(session *s, x265_picture *in)
{
    x265_picture out;
    x265_nal *nals;
    uint32_t count;
    const int got = s->x265->encoder_encode(s->encoder, &nals, &count, in, &out);
    if (got <= 0 || s->made - s->given == MOST)
        return got;
    packet *p = &s->packets[s->made++ % MOST];
    *p = (packet){.data = malloc(bytes_of(nals, count)),
                  .size = bytes_of(nals, count),
                  .time = out.pts,
                  .key = IS_X265_TYPE_I(out.sliceType)};
    memcpy(p->data, nals[0].payload, p->size);
    return got;
}

static int give_surface(session *s, const surface *from, int64_t time)
{
    const int shift = from->form == NV_ENC_BUFFER_FORMAT_YUV420_10BIT;
    const int width = from->width, height = from->height;
    uint16_t *planes = malloc((size_t)(width * height) * 6);
    x265_picture picture;
    s->x265->picture_init(s->param, &picture);
    picture.bitDepth = 10;
    picture.pts = time;
    picture.planes[0] = planes;
    picture.planes[1] = planes + width * height;
    picture.planes[2] = planes + width * height + (width >> shift) * (height >> shift);
    picture.stride[0] = width * 2;
    picture.stride[1] = picture.stride[2] = (width >> shift) * 2;
    unpack(planes, from);
    const int got = give(s, &picture);
    free(planes);
    return got;
}

static NVENCSTATUS encode(void *encoder, NV_ENC_PIC_PARAMS *p)
{
    session *s = encoder;
    const char *fail = getenv("PRETEND_NVENC_FAIL");
    if (!s->encoder)
        return NV_ENC_ERR_ENCODER_NOT_INITIALIZED;
    if (p->encodePicFlags & NV_ENC_PIC_FLAG_EOS) {
        while (give(s, NULL) > 0)
            ;
        return NV_ENC_SUCCESS;
    }
    if ((fail && (int64_t)p->inputTimeStamp >= atol(fail)) ||
        give_surface(s, p->inputBuffer, (int64_t)p->inputTimeStamp) < 0)
        return NV_ENC_ERR_GENERIC;
    /* Only with the last picture of a group all before it can be had. */
    return s->pictures++ % GROUP == 0 ? NV_ENC_SUCCESS : NV_ENC_ERR_NEED_MORE_INPUT;
}

static NVENCSTATUS lock_bitstream(void *encoder, NV_ENC_LOCK_BITSTREAM *to)
{
    const session *s = encoder;
    const packet *p = &s->packets[s->given % MOST];
    if (s->given == s->made)
        return NV_ENC_ERR_GENERIC;
    to->bitstreamBufferPtr = p->data;
    to->bitstreamSizeInBytes = p->size;
    to->outputTimeStamp = (uint64_t)p->time;
    to->pictureType = p->key ? NV_ENC_PIC_TYPE_IDR : NV_ENC_PIC_TYPE_P;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS unlock_bitstream(void *encoder, void *buffer)
{
    session *s = encoder;
    (void)buffer;
    free(s->packets[s->given++ % MOST].data);
    return NV_ENC_SUCCESS;
}

static const char *tell_error(void *encoder)
{
    (void)encoder;
    return "pretended";
}

/* ---- what libav asks for by name ---- */

NVENCSTATUS NvEncodeAPIGetMaxSupportedVersion(uint32_t *version)
{
    *version = is_told("old") ? 8 << 4 : NVENCAPI_MAJOR_VERSION << 4 | NVENCAPI_MINOR_VERSION;
    return NV_ENC_SUCCESS;
}

NVENCSTATUS NvEncodeAPICreateInstance(NV_ENCODE_API_FUNCTION_LIST *list)
{
    list->nvEncOpenEncodeSessionEx = open_session;
    list->nvEncGetEncodeGUIDCount = count_codecs;
    list->nvEncGetEncodeGUIDs = list_codecs;
    list->nvEncGetEncodeCaps = tell_cap;
    list->nvEncGetEncodePresetConfigEx = tell_preset;
    list->nvEncInitializeEncoder = initialize;
    list->nvEncGetSequenceParams = tell_headers;
    list->nvEncSetIOCudaStreams = set_streams;
    list->nvEncDestroyEncoder = destroy;
    list->nvEncCreateInputBuffer = create_surface;
    list->nvEncDestroyInputBuffer = destroy_surface;
    list->nvEncLockInputBuffer = lock_surface;
    list->nvEncUnlockInputBuffer = do_nothing;
    list->nvEncCreateBitstreamBuffer = create_bitstream;
    list->nvEncDestroyBitstreamBuffer = do_nothing;
    list->nvEncEncodePicture = encode;
    list->nvEncLockBitstream = lock_bitstream;
    list->nvEncUnlockBitstream = unlock_bitstream;
    list->nvEncGetLastErrorString = tell_error;
    return NV_ENC_SUCCESS;
}
