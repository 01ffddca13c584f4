/* What the files of this folder share and nobody else sees: libav's objects behind the handles. */
#ifndef KZ_MEDIA_INTERNAL_H
#define KZ_MEDIA_INTERNAL_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/frame.h>

#include "media/encode.h"
#include "media/form.h"
#include "media/frame.h"
#include "media/input.h"
#include "media/packet.h"

struct kz_packet {
    AVPacket *av;
    AVRational time_base;
    bool video;
    int64_t mark;           /* copied packets: the latest video timestamp read before this one, in
                             * the video stream's units; INT64_MIN before the first */
    struct kz_packet *next; /* in a queue */
};

/* Wraps what `av` holds, which is left blank; 0 or KZ_ERROR_MEMORY (not reported). */
int kz_packet_wrap(kz_packet **packet, AVPacket *av, AVRational time_base);

struct kz_frame {
    AVFrame *av;    /* its time_base is set */
    AVFrame *there; /* the samples on a device (nvdec.h); NULL: they are on the host alone */
    kz_frame_mark mark;
};

/* Wraps what `av` holds, which is left blank; 0 or KZ_ERROR_MEMORY (not reported). */
int kz_frame_wrap(kz_frame **frame, AVFrame *av);

/* Where its samples lie, too: takes what `there` holds. 0 or KZ_ERROR_MEMORY (not reported). */
int kz_frame_place(kz_frame *frame, AVFrame *there);

int64_t kz_frame_duration(const AVFrame *av);
void kz_frame_set_duration(AVFrame *av, int64_t duration);
bool kz_frame_is_interlaced(const AVFrame *av);
void kz_frame_set_progressive(AVFrame *av);

/* Full range by its tag or by one of the old yuvj formats; grey also where nothing is said, as
 * everything else that uses libav takes it. */
bool kz_format_is_full(int pixel_format, enum AVColorRange range);
enum kz_chroma_site kz_format_site(enum AVChromaLocation location);
kz_luma_weights kz_format_luma(enum AVColorSpace matrix, int height);

/* Frames by which a codec's decoding order may run ahead (H.264 and HEVC: 16). */
#define KZ_MAX_DELAY 16

typedef struct kz_input_stream {
    bool used;       /* upscaled or carried over */
    int64_t shift;   /* subtracted from its timestamps, in its units */
    int64_t end;     /* shifted timestamps from here on aren't wanted; INT64_MAX: no end */
    bool strip_adts; /* its configuration has been learnt, so that packets needn't tell it */
    int64_t reordered[KZ_MAX_DELAY + 1]; /* a copied video's last presentation times, sorted */
    int n_reordered;
} kz_input_stream;

struct kz_input {
    AVFormatContext *av;
    AVIOContext *io; /* standard input */
    kz_log *log;
    kz_log *remarks; /* for what isn't an error; NULL: another input has made them */
    const atomic_bool *cancel;
    char *name; /* the path, for messages */
    kz_choice choice;
    kz_input_stream *streams; /* as many as the container had when it was opened */
    int count;
    int video;
    double start;     /* seconds to skip */
    int64_t shift;    /* in AV_TIME_BASE units, as the two below */
    int64_t length;   /* INT64_MAX: all */
    int64_t reached;  /* the latest end of a packet read, wanted or not, not shifted */
    bool wait_key;    /* after a seek: nothing can be decoded before the first key frame */
    bool cut;         /* see kz_input_is_cut() */
    int late_stream;  /* see kz_input_late_stream() */
    int64_t mark;     /* see kz_packet */
    AVPacket *packet; /* the one being read */
    kz_packet *ahead; /* read already; the first to give */
    kz_video_format format;
    char *describe; /* av_free() */
};

static inline AVStream *kz_input_video_stream(const kz_input *input)
{
    return input->av->streams[input->video];
}

static inline bool kz_input_cancelled(const kz_input *input)
{
    return input->cancel && atomic_load(input->cancel);
}

/* The stream is among those that were asked for. */
bool kz_input_wants(const kz_input *input, const AVStream *stream);

/* Reads ahead until the configuration of every AAC stream is known that doesn't tell it beforehand.
 * 0 or KZ_ERROR_MEMORY (reported). */
int kz_input_learn_aac(kz_input *input);

/* Moves to a key frame from which every frame from `time` on (the video's, counted from
 * input->start) can be decoded; where that isn't possible, reading goes on from the beginning. */
int kz_input_seek(kz_input *input, int64_t time);

/* A reader of file descriptor 0 that notices `cancel`. */
int kz_stdin_open(AVIOContext **io, const atomic_bool *cancel, kz_log *log);
void kz_stdin_close(AVIOContext **io);

/* Side data of a stream, wherever this version of libav keeps it: NULL or the data. */
const uint8_t *kz_stream_side_get(const AVStream *stream, enum AVPacketSideDataType type,
                                  size_t *size);
/* Copies `data` onto the stream; 0 or KZ_ERROR_MEMORY (not reported). */
int kz_stream_side_add(AVStream *stream, enum AVPacketSideDataType type, const void *data,
                       size_t size);
/* Copies everything of `from` that avcodec_parameters_copy() doesn't. */
int kz_stream_side_copy(AVStream *stream, const AVStream *from);

/* What is under an encoder. */
const AVCodecContext *kz_encoder_context(const kz_encoder *encoder);
/* The tags and side data of the frame it was opened for, no samples. */
const AVFrame *kz_encoder_like(const kz_encoder *encoder);

struct kz_form {
    AVCodecParameters *par;
    AVRational time_base, frame_rate;
    AVFrame *like; /* tags and side data of the first frame */
};

/* What libav complains of about a codec or container context whose `opaque` points here. */
typedef struct kz_av_note {
    int level;
    char text[200];
} kz_av_note;

/* Takes libav's own lines off standard error and into notes. */
void kz_av_log_setup(void);

/* Libav's words for an error code, with the complaint when there is one. */
typedef struct kz_av_reason {
    char text[256];
} kz_av_reason;
kz_av_reason kz_av_reason_of(int code, const kz_av_note *note);

#endif
