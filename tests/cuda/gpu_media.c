/* NVDEC and NVENC as kizuna uses them through libav, on a real device: what scripts/gpu-check.sh
 * runs where it has a libav. As gpu_check, each line on stdout is a JSON object.
 *   gpu_media PART ARGUMENT…    exit code 0; 1: something is wrong; 3: it isn't there */
#include "gpu_media.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* ---- films ---- */

static void read_hashes(struct film *film, const char *path)
{
    FILE *file = fopen(path, "r");
    int n = 0;
    while (file && n < MOST_PACKETS && fscanf(file, "%32s", film->hashes[n]) == 1)
        n++;
    if (!file || n != film->n)
        stop("it doesn't have a line for each picture", path);
    fclose(file);
}

static void read_packets(struct film *film)
{
    kz_packet *packet;
    int result;
    while ((result = kz_input_read(film->input, &packet)) == 0) {
        if (film->n < MOST_PACKETS)
            film->packets[film->n++] = av_packet_clone(packet->av);
        kz_packet_close(&packet);
    }
    if (result != KZ_END)
        stop("can't read", film->name);
}

void open_film(struct film *film, const char *stem, kz_log *log)
{
    char *video = kz_asprintf("%s.mkv", stem), *hashes = kz_asprintf("%s.md5", stem);
    const kz_input_params params = {.path = video};
    *film = (struct film){.name = strrchr(stem, '/') ? strrchr(stem, '/') + 1 : stem};
    if (!video || !hashes || kz_input_open(&film->input, &params, log))
        stop("can't open", stem);
    read_packets(film);
    read_hashes(film, hashes);
    kz_free(video);
    kz_free(hashes);
}

void close_film(struct film *film)
{
    while (film->n)
        av_packet_free(&film->packets[--film->n]);
    kz_input_close(&film->input);
}

/* ---- decoding ---- */

static int send(const struct decoder *d, const AVPacket *packet)
{
    return d->nvdec ? kz_nvdec_send(d->nvdec, packet) : kz_codec_send(d->codec, packet);
}

static int receive(const struct decoder *d, AVFrame *host, AVFrame *there)
{
    return d->nvdec ? kz_nvdec_receive(d->nvdec, host, there)
                    : kz_codec_receive(d->codec, host, there);
}

int decode(const struct decoder *d, const struct film *film, int loops, take_fn *take,
           void *context)
{
    AVFrame *host = av_frame_alloc(), *there = av_frame_alloc();
    int code = host && there ? 0 : AVERROR(ENOMEM);
    for (int i = 0; i <= film->n * loops && code >= 0; i++) {
        code = send(d, i < film->n * loops ? film->packets[i % film->n] : NULL);
        while (code >= 0 && (code = receive(d, host, there)) >= 0) {
            take(context, host, there);
            av_frame_unref(host);
            av_frame_unref(there);
        }
        code = code == AVERROR(EAGAIN) ? 0 : code;
    }
    av_frame_free(&host);
    av_frame_free(&there);
    return code == AVERROR_EOF ? 0 : code;
}

/* ---- the rest ---- */

void want_library(const char *name)
{
    void *library = dlopen(name, RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(NO_DEVICE);
    }
    dlclose(library);
}

const char *plain(char *text)
{
    for (char *c = text; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
            *c = '\'';
    return text;
}

static const struct part {
    const char *name;
    int (*run)(char **arguments, kz_log *log);
    int count; /* arguments */
} parts[] = {{"nvdec", part_nvdec, 2},
             {"surfaces", part_surfaces, 2},
             {"decoding", part_decoding, 2},
             {"nvenc", part_nvenc, 2}};

int main(int argc, char **argv)
{
    kz_log *log;
    if (kz_log_open(&log, stderr, KZ_LOG_INFO))
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strcmp(parts[i].name, argv[1]) == 0 && argc - 2 == parts[i].count) {
            const int result = parts[i].run(argv + 2, log);
            kz_log_close(&log);
            return result;
        }
    fprintf(stderr, "gpu_media: see its first lines for how it is called\n");
    return 1;
}
