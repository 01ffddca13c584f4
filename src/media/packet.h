/* One packet of a file on its way from input to output. */
#ifndef KZ_MEDIA_PACKET_H
#define KZ_MEDIA_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kz_packet kz_packet;

void kz_packet_close(kz_packet **packet);

/* A second reference to the same data; 0 or KZ_ERROR_MEMORY (not reported). */
int kz_packet_clone(kz_packet **clone, const kz_packet *packet);

/* It belongs to the stream that is upscaled (else it is copied). */
bool kz_packet_is_video(const kz_packet *packet);

/* In the units of its presentation time. */
void kz_packet_set_decode(kz_packet *packet, int64_t time);

size_t kz_packet_bytes(const kz_packet *packet);

#endif
