#include "backend/schedule.h"

#include "base/mem.h"

/* ---- slices ---- */

static bool is_aligned(const kz_graph *graph, const kz_node *concat, int align)
{
    for (int i = 0; i < concat->n_inputs; i++)
        if (graph->nodes[concat->inputs[i]].channels % align)
            return false;
    return true;
}

/* Whether the value can be slice `channel` of `buffer`: it is free, or it is just there. */
static bool fits(const kz_slot *slot, int buffer, int channel)
{
    return slot->buffer < 0 || (slot->buffer == buffer && slot->channel == channel);
}

/* Concatenations are visited from the last to the first: in a dense block the longest comes last
 * and decides; the shorter ones then are prefixes of its buffer. */
static bool place_concat(kz_schedule *s, const kz_graph *graph, int index, int align)
{
    const kz_node *node = &graph->nodes[index];
    if (!align || !is_aligned(graph, node, align))
        return false;
    const kz_slot *head = &s->slots[node->inputs[0]];
    int buffer = head->buffer, channel = head->channel;
    if (buffer < 0) {
        buffer = s->n_buffers;
        channel = 0;
    }
    for (int i = 0, at = channel; i < node->n_inputs; i++) {
        if (node->inputs[i] == 0 || !fits(&s->slots[node->inputs[i]], buffer, at))
            return false;
        for (int j = 0; j < i; j++)
            if (node->inputs[j] == node->inputs[i])
                return false;
        at += graph->nodes[node->inputs[i]].channels;
        if (buffer < s->n_buffers && at > s->buffers[buffer].channels)
            return false;
    }
    if (buffer == s->n_buffers)
        s->buffers[s->n_buffers++] = (kz_buffer){.channels = node->channels, .scale = node->scale};
    for (int i = 0, at = channel; i < node->n_inputs; i++) {
        s->slots[node->inputs[i]] = (kz_slot){buffer, at};
        at += graph->nodes[node->inputs[i]].channels;
    }
    s->slots[index] = (kz_slot){buffer, channel};
    return true;
}

static void place_values(kz_schedule *s, const kz_graph *graph, int align)
{
    for (int i = 0; i < graph->n_nodes; i++)
        s->slots[i] = (kz_slot){-1, 0};
    for (int i = graph->n_nodes - 1; i >= 0; i--)
        if (graph->nodes[i].op == KZ_OP_CONCAT && s->slots[i].buffer < 0 && i != graph->output)
            s->copies[i] = !place_concat(s, graph, i, align);
        else if (graph->nodes[i].op == KZ_OP_CONCAT)
            s->copies[i] = true;
    for (int i = 0; i < graph->n_nodes; i++) {
        if (s->slots[i].buffer >= 0)
            continue;
        s->slots[i] = (kz_slot){s->n_buffers, 0};
        s->buffers[s->n_buffers++] =
            (kz_buffer){.channels = graph->nodes[i].channels, .scale = graph->nodes[i].scale};
    }
}

/* ---- lives ---- */

static void extend(kz_buffer *buffer, int at)
{
    if (at < buffer->first)
        buffer->first = at;
    if (at > buffer->last)
        buffer->last = at;
}

static void find_lives(kz_schedule *s, const kz_graph *graph)
{
    for (int b = 0; b < s->n_buffers; b++) {
        s->buffers[b].first = graph->n_nodes;
        s->buffers[b].last = -1;
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        const kz_node *node = &graph->nodes[i];
        extend(&s->buffers[s->slots[i].buffer], i);
        for (int j = 0; j < node->n_inputs; j++)
            extend(&s->buffers[s->slots[node->inputs[j]].buffer], i);
    }
    extend(&s->buffers[s->slots[0].buffer], 0);
    extend(&s->buffers[s->slots[graph->output].buffer], graph->n_nodes);
}

int kz_schedule_open(kz_schedule *s, const kz_graph *graph, int align)
{
    size_t n = (size_t)graph->n_nodes;
    *s = (kz_schedule){.n_nodes = graph->n_nodes};
    s->slots = kz_alloc(n, sizeof(*s->slots));
    s->buffers = kz_alloc(n, sizeof(*s->buffers));
    s->copies = kz_alloc(n, sizeof(*s->copies));
    if (!s->slots || !s->buffers || !s->copies) {
        kz_schedule_close(s);
        return KZ_ERROR_MEMORY;
    }
    place_values(s, graph, align);
    find_lives(s, graph);
    return 0;
}

void kz_schedule_close(kz_schedule *s)
{
    kz_free(s->slots);
    kz_free(s->buffers);
    kz_free(s->copies);
    *s = (kz_schedule){0};
}

/* ---- arena ---- */

static bool overlap(const kz_buffer *a, const kz_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset where `buffer` meets no placed one of the same time. */
static size_t lowest_offset(const kz_schedule *s, const kz_buffer *buffer)
{
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int b = 0; b < s->n_buffers; b++) {
            const kz_buffer *other = &s->buffers[b];
            if (!other->placed || !overlap(buffer, other) ||
                offset >= other->offset + other->bytes || other->offset >= offset + buffer->bytes)
                continue;
            offset = other->offset + other->bytes;
            moved = true;
        }
    }
    return offset;
}

static kz_buffer *largest_unplaced(kz_schedule *s)
{
    kz_buffer *largest = NULL;
    for (int b = 0; b < s->n_buffers; b++)
        if (!s->buffers[b].placed && (!largest || s->buffers[b].bytes > largest->bytes))
            largest = &s->buffers[b];
    return largest;
}

size_t kz_schedule_pack(kz_schedule *s)
{
    size_t size = 0;
    for (int b = 0; b < s->n_buffers; b++) {
        s->buffers[b].placed = false;
        s->buffers[b].bytes = (s->buffers[b].bytes + KZ_ALIGNMENT - 1) & -(size_t)KZ_ALIGNMENT;
    }
    for (kz_buffer *buffer; (buffer = largest_unplaced(s));) {
        buffer->offset = lowest_offset(s, buffer);
        buffer->placed = true;
        if (buffer->offset + buffer->bytes > size)
            size = buffer->offset + buffer->bytes;
    }
    return size;
}
