/* Causal depthwise convolution with SiLU on CPUs, for several directions in one pass over the input (definition:
   causal_conv1d.py). A unit of work is one tile of steps of one clip. */

#include "lanes.h"

#define TILE 64
#define MAX_TAPS 64

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
INLINE int64_t source(const conv_problem *p, int64_t k, int64_t l, int64_t j, int64_t taps) {
    int64_t back = taps - 1 - j;
    return p->reversed >> k & 1 ? l + back : l - back;
}

/* Sixteen channels before SiLU. `inside` says that every tap reads a step that exists. */
INLINE lanes weighted(const conv_problem *p, const float *x, int64_t k, int64_t l, int64_t e, int64_t count,
                      int64_t taps, int inside) {
    lanes sum = p->bias ? load_some(p->bias + k * p->channels + e, count) : (lanes){0};
    const float *weight = p->weight + k * taps * p->channels + e;
#pragma GCC unroll 4
    for (int64_t j = 0; j < taps; j++) {
        int64_t from = source(p, k, l, j, taps);
        if (!inside && (from < 0 || from >= p->length)) continue;
        sum += load_some(weight + j * p->channels, count) * load_some(x + from * p->x_stride[1] + e, count);
    }
    return sum;
}

INLINE lanes before_silu(const conv_problem *p, const float *x, int64_t k, int64_t l, int64_t e) {
    int64_t count = p->channels - e, reach = p->taps - 1;
    int inside = l >= reach && l + reach < p->length;
    if (p->taps == 4 && inside && count >= LANES) return weighted(p, x, k, l, e, LANES, 4, 1);
    return weighted(p, x, k, l, e, count, p->taps, inside);
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
INLINE void gradients_before_silu(const conv_problem *p, int64_t clip, int64_t first, int64_t end,
                                  float *memory) {
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

/* Up to sixteen channels of one direction of a tile; `before` holds gradients before SiLU from step `around` on.
   Sums over the tile stay in registers where the number of taps is known. */
INLINE void backward_lanes(const conv_problem *p, const float *before, const float *x, float *grad_x, int64_t unit,
                           int64_t k, int64_t e, int64_t count, int64_t around, int64_t first, int64_t end, int64_t taps,
                           int inside) {
    int64_t own = unit * p->directions + k;
    lanes to_bias = {0}, to_weight[MAX_TAPS];
    for (int64_t j = 0; j < taps; j++) to_weight[j] = (lanes){0};
    for (int64_t l = first; l < end; l++) {
        lanes g = load_some(before + (l - around) * p->channels + e, count);
        lanes to_x = k ? load_some(grad_x + l * p->channels + e, count) : (lanes){0};
        to_bias += g;
#pragma GCC unroll 4
        for (int64_t j = 0; j < taps; j++) {
            int64_t from = source(p, k, l, j, taps), reader = 2 * l - from;
            if (inside || (from >= 0 && from < p->length)) to_weight[j] += g * load_some(x + from * p->x_stride[1] + e, count);
            if (inside || (reader >= 0 && reader < p->length))
                to_x += load_some(p->weight + (k * taps + j) * p->channels + e, count) *
                        load_some(before + (reader - around) * p->channels + e, count);
        }
        store_some(grad_x + l * p->channels + e, to_x, count);
    }
    if (p->bias) store_some(p->grad_bias + own * p->channels + e, to_bias, count);
    for (int64_t j = 0; j < taps; j++) store_some(p->grad_weight + (own * taps + j) * p->channels + e, to_weight[j], count);
}

FOR_EVERY_CPU int64_t conv_backward(const conv_problem *p, int64_t first_unit, int64_t last_unit, void *memory) {
    int64_t tiles = (p->length + TILE - 1) / TILE, reach = p->taps - 1;
    for (int64_t unit = first_unit; unit < last_unit; unit++) {
        int64_t clip = unit / tiles, first = unit % tiles * TILE;
        int64_t end = first + TILE < p->length ? first + TILE : p->length;
        int64_t around = first - reach > 0 ? first - reach : 0;
        int64_t until = end + reach < p->length ? end + reach : p->length;
        const float *x = p->x + clip * p->x_stride[0];
        float *grad_x = p->grad_x + clip * p->length * p->channels;
        gradients_before_silu(p, clip, around, until, memory);
        for (int64_t k = 0; k < p->directions; k++) {
            const float *before = (const float *)memory + k * (until - around) * p->channels;
            for (int64_t e = 0; e < p->channels; e += LANES) {
                int inside = first >= reach && end + reach <= p->length;
                if (p->taps == 4 && inside && p->channels - e >= LANES)
                    backward_lanes(p, before, x, grad_x, unit, k, e, LANES, around, first, end, 4, 1);
                else
                    backward_lanes(p, before, x, grad_x, unit, k, e, p->channels - e, around, first, end, p->taps, 0);
            }
        }
    }
    return 0;
}
