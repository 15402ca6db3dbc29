/* Causal depthwise convolution with SiLU on CPUs, for several directions in one pass over the input (definition:
   causal_conv1d.py). A unit of work is one tile of steps of one clip. */

#include "lanes.h"

#define TILE 64

#ifndef SOURCE_HASH
#define SOURCE_HASH ""
#endif
const char *tubelet_source_hash(void) { return SOURCE_HASH; }

/* Mirrored field by field in causal_conv1d_cpu.py. Weights are [direction][tap][channel]. */
typedef struct {
    int64_t directions, batch, length, channels, taps, reversed, silu;
    const float *x;
    int64_t x_stride[2]; /* clip, step */
    const float *weight, *bias;
    float *out; /* [direction][clip][step][channel] */
    const float *grad_out;
    float *grad_x;                  /* [clip][step][channel] */
    float *grad_weight, *grad_bias; /* [clip][tile][direction]([tap])[channel] */
} conv_problem;

int64_t conv_tile_steps(void) { return TILE; }
/* Floats that one thread needs: gradients before SiLU of a tile and its neighbours. */
int64_t conv_scratch_floats(const conv_problem *p) {
    return p->directions * (TILE + 2 * p->taps) * p->channels;
}

INLINE lanes load_some(const float *p, int64_t count) {
    if (count >= LANES) return load(p);
    float some[LANES] = {0};
    memcpy(some, p, sizeof(float) * (size_t)count);
    return load(some);
}
INLINE void store_some(float *p, lanes v, int64_t count) {
    memcpy(p, &v, count >= LANES ? sizeof v : sizeof(float) * (size_t)count);
}

/* The step that tap j of direction k reads for an output at step l; the last tap reads l itself. */
INLINE int64_t source(const conv_problem *p, int64_t k, int64_t l, int64_t j) {
    int64_t back = p->taps - 1 - j;
    return p->reversed >> k & 1 ? l + back : l - back;
}

INLINE lanes before_silu(const conv_problem *p, const float *x, int64_t k, int64_t l, int64_t e) {
    int64_t count = p->channels - e;
    lanes sum = p->bias ? load_some(p->bias + k * p->channels + e, count) : (lanes){0};
    for (int64_t j = 0; j < p->taps; j++) {
        int64_t from = source(p, k, l, j);
        if (from < 0 || from >= p->length) continue;
        sum += load_some(p->weight + (k * p->taps + j) * p->channels + e, count) *
               load_some(x + from * p->x_stride[1] + e, count);
    }
    return sum;
}

FOR_EVERY_CPU int64_t conv_forward(const conv_problem *p, int64_t first_unit, int64_t last_unit, void *memory) {
    (void)memory;
    int64_t tiles = (p->length + TILE - 1) / TILE;
    for (int64_t unit = first_unit; unit < last_unit; unit++) {
        int64_t clip = unit / tiles, first = unit % tiles * TILE;
        int64_t end = first + TILE < p->length ? first + TILE : p->length;
        const float *x = p->x + clip * p->x_stride[0];
        for (int64_t l = first; l < end; l++)
            for (int64_t k = 0; k < p->directions; k++) {
                float *row = p->out + ((k * p->batch + clip) * p->length + l) * p->channels;
                for (int64_t e = 0; e < p->channels; e += LANES) {
                    lanes sum = before_silu(p, x, k, l, e);
                    store_some(row + e, p->silu ? sum * sigmoid(sum) : sum, p->channels - e);
                }
            }
    }
    return 0;
}

/* Gradients before SiLU, of the tile and of the steps around it that read the same inputs. */
INLINE void gradients_before_silu(const conv_problem *p, int64_t clip, int64_t first, int64_t end, float *memory) {
    const float *x = p->x + clip * p->x_stride[0];
    for (int64_t k = 0; k < p->directions; k++)
        for (int64_t l = first; l < end; l++) {
            const float *given = p->grad_out + ((k * p->batch + clip) * p->length + l) * p->channels;
            float *row = memory + (k * (end - first) + l - first) * p->channels;
            for (int64_t e = 0; e < p->channels; e += LANES) {
                lanes g = load_some(given + e, p->channels - e);
                if (p->silu) {
                    lanes sum = before_silu(p, x, k, l, e), open = sigmoid(sum);
                    g *= open * (1.0f + sum * (1.0f - open));
                }
                store_some(row + e, g, p->channels - e);
            }
        }
}

FOR_EVERY_CPU int64_t conv_backward(const conv_problem *p, int64_t first_unit, int64_t last_unit, void *memory) {
    int64_t tiles = (p->length + TILE - 1) / TILE, reach = p->taps - 1;
    for (int64_t unit = first_unit; unit < last_unit; unit++) {
        int64_t clip = unit / tiles, first = unit % tiles * TILE;
        int64_t end = first + TILE < p->length ? first + TILE : p->length;
        int64_t around = first - reach > 0 ? first - reach : 0;
        int64_t until = end + reach < p->length ? end + reach : p->length;
        const float *x = p->x + clip * p->x_stride[0];
        gradients_before_silu(p, clip, around, until, memory);
        for (int64_t k = 0; k < p->directions; k++) {
            const float *before = (const float *)memory + k * (until - around) * p->channels;
            for (int64_t l = first; l < end; l++) {
                const float *g_row = before + (l - around) * p->channels;
                float *grad_x = p->grad_x + (clip * p->length + l) * p->channels;
                int64_t own = unit * p->directions + k;
                for (int64_t e = 0; e < p->channels; e += LANES) {
                    int64_t count = p->channels - e;
                    lanes g = load_some(g_row + e, count), to_x = {0};
                    if (k) to_x = load_some(grad_x + e, count);
                    if (p->bias) {
                        float *sum = p->grad_bias + own * p->channels + e;
                        store_some(sum, load_some(sum, count) + g, count);
                    }
                    for (int64_t j = 0; j < p->taps; j++) {
                        int64_t from = source(p, k, l, j), reader = 2 * l - from;
                        if (from >= 0 && from < p->length) {
                            float *sum = p->grad_weight + (own * p->taps + j) * p->channels + e;
                            store_some(sum, load_some(sum, count) + g * load_some(x + from * p->x_stride[1] + e, count),
                                       count);
                        }
                        if (reader >= 0 && reader < p->length)
                            to_x += load_some(p->weight + (k * p->taps + j) * p->channels + e, count) *
                                    load_some(before + (reader - around) * p->channels + e, count);
                    }
                    store_some(grad_x + e, to_x, count);
                }
            }
        }
    }
    return 0;
}
