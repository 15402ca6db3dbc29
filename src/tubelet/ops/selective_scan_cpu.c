/* The selective scan on CPUs, forward and backward (definition: selective_scan.py).

   Sixteen neighbouring channels share a vector ("lanes"); time runs sequentially, in tiles of TILE steps. A unit
   of work is WIDTH lane vectors of one clip: both directions in the forward pass, one of them in the backward
   pass. Units are cut by the shape of the problem alone and write to places of their own, so any number of
   threads gives the same bits; Python hands out ranges of units (see compiled.py).

   The forward pass keeps the state before every tile. The backward pass recomputes a tile's states from it, so
   nothing of size length x channels x states is ever in memory.

   Channels are padded to whole lanes and states to whole blocks of STATES by the caller, in everything that does
   not run along time ("packed": [group][lane vector][state][lane]); A comes multiplied by log2(e). */

#include "lanes.h"

#define STATES 16
#define TILE 32
#define WIDTH 4
#define ROW (WIDTH * LANES)

/* Mirrored field by field in selective_scan_cpu.py. Strides count floats. */
typedef struct {
    int64_t directions, batch, length, channels, groups, states;
    int64_t softplus, reversed, masked; /* the last two: bit k is direction k */
    int64_t constant_B, constant_C, growing;
    const float *u, *delta, *z, *A, *B, *C, *D, *bias;
    int64_t u_stride[3], delta_stride[3], z_stride[2]; /* direction, clip, step; z: clip, step */
    int64_t B_stride[4], C_stride[4];                  /* direction, clip, step, group */
    float *out, *y, *kept, *last;
    const float *grad_out;
    float *grad_u, *grad_delta, *grad_z, *grad_A, *grad_B, *grad_C, *grad_D, *grad_bias, *grad_start;
} problem;

typedef struct {
    float step[TILE][ROW];  /* delta after bias and softplus */
    float slope[TILE][ROW]; /* its derivative */
    float u[TILE][ROW];
    float y[TILE][ROW];
    float g[TILE][ROW]; /* gradient of y */
    float grad_u[TILE][ROW];
    float grad_step[TILE][ROW];
    float B[TILE][STATES];
    float C[TILE][STATES];
    float decay[TILE][STATES][LANES];
    float before[TILE][STATES][LANES];
    float grad_B[TILE][STATES][LANES];
    float grad_C[TILE][STATES][LANES];
} scratch;

/* Whether a decay can be above 1, and a state grow without bounds, or is not a number. */
int64_t any_positive(const float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!(values[i] <= 0)) return 1;
    return 0;
}
int64_t scratch_bytes(void) { return (int64_t)sizeof(scratch) + 64; }

/* Up to ROW floats of one step; lanes beyond `count` are zero. */
INLINE void read_row(float *row, const float *from, int64_t count) {
    if (count == ROW) {
        memcpy(row, from, sizeof(float) * ROW);
    } else {
        memset(row, 0, sizeof(float) * ROW);
        memcpy(row, from, sizeof(float) * (size_t)count);
    }
}
INLINE void write_row(float *to, const float *row, int64_t count) {
    memcpy(to, row, sizeof(float) * (size_t)count);
}

/* Asks for a row that a later tile will read: rows lie far apart, so the processor does not foresee them. */
INLINE void fetch_row(const float *from) {
    for (int i = 0; i < ROW; i += LANES) __builtin_prefetch(from + i);
}
INLINE void fetch_row_to_write(const float *to) {
    for (int i = 0; i < ROW; i += LANES) __builtin_prefetch(to + i, 1);
}

/* Where a unit works. */
typedef struct {
    int64_t direction, clip, group, first_lanes, num_lanes; /* lane vectors, counted inside the group */
    int64_t channel, count;                                 /* its channels: first, and how many */
    int64_t group_lanes, state_blocks, num_tiles, num_blocks, block;
    int reversed, masked;
} place;

INLINE place place_of(const problem *p, int64_t unit, int64_t direction) {
    place at;
    int64_t group_channels = p->channels / p->groups;
    at.group_lanes = (group_channels + LANES - 1) / LANES;
    at.num_blocks = (at.group_lanes + WIDTH - 1) / WIDTH;
    at.state_blocks = (p->states + STATES - 1) / STATES;
    at.num_tiles = (p->length + TILE - 1) / TILE;
    at.block = unit % at.num_blocks;
    at.group = unit / at.num_blocks % p->groups;
    at.clip = unit / at.num_blocks / p->groups;
    at.direction = direction;
    at.first_lanes = at.block * WIDTH;
    at.num_lanes = at.group_lanes - at.first_lanes < WIDTH ? at.group_lanes - at.first_lanes : WIDTH;
    at.channel = at.group * group_channels + at.first_lanes * LANES;
    int64_t left = group_channels - at.first_lanes * LANES;
    at.count = left < ROW ? left : ROW;
    at.reversed = (int)(p->reversed >> direction & 1);
    at.masked = (int)(p->masked >> direction & 1);
    return at;
}

/* The place of lane vector j in packed values, in lane vectors of one state: [direction]([clip])[group][lanes]. */
INLINE int64_t shared_lanes(const problem *p, const place *at, int64_t j) {
    return (at->direction * p->groups + at->group) * at->group_lanes + at->first_lanes + j;
}
INLINE int64_t clip_lanes(const problem *p, const place *at, int64_t j) {
    return ((at->direction * p->batch + at->clip) * p->groups + at->group) * at->group_lanes + at->first_lanes + j;
}
/* Offset of one block of STATES states of a lane vector. */
INLINE int64_t block_of(const place *at, int64_t lane_vector, int64_t block) {
    return (lane_vector * at->state_blocks + block) * STATES * LANES;
}
INLINE float *kept_at(const problem *p, const place *at, int64_t j, int64_t block, int64_t tile) {
    return p->kept + block_of(at, clip_lanes(p, at, j) * at->num_tiles + tile, block);
}
INLINE int64_t position(const problem *p, const place *at, int64_t step) {
    return at->reversed ? p->length - 1 - step : step;
}

/* The position that the same step of the next tile has; the backward pass goes through tiles from the last on. */
INLINE int64_t next_tile(const problem *p, const place *at, int64_t step, int backward) {
    int64_t next = backward ? step - TILE : step + TILE;
    return position(p, at, next < 0 || next >= p->length ? step : next);
}

/* Steps and inputs of a tile; returns how many deltas are not numbers. */
INLINE int64_t stage(const problem *p, const place *at, int64_t first, int steps, scratch *s, int slope) {
    ints bad = {0};
    const float *u = p->u + at->direction * p->u_stride[0] + at->clip * p->u_stride[1] + at->channel;
    const float *delta =
        p->delta + at->direction * p->delta_stride[0] + at->clip * p->delta_stride[1] + at->channel;
    for (int t = 0; t < steps; t++) {
        int64_t l = position(p, at, first + t), next = next_tile(p, at, first + t, slope);
        fetch_row(u + next * p->u_stride[2]);
        fetch_row(delta + next * p->delta_stride[2]);
        read_row(s->u[t], u + l * p->u_stride[2], at->count);
        read_row(s->step[t], delta + l * p->delta_stride[2], at->count);
        for (int64_t j = 0; j < at->num_lanes; j++) {
            lanes d = load(&s->step[t][j * LANES]);
            if (p->bias) d += load(p->bias + shared_lanes(p, at, j) * LANES);
            bad -= d != d;
            lanes open = splat(1.0f);
            store(&s->step[t][j * LANES], p->softplus ? softplus_of(d, &open) : d);
            if (slope) store(&s->slope[t][j * LANES], open);
        }
    }
    int64_t total = 0;
    for (int i = 0; i < LANES; i++) total += bad[i];
    return total;
}

/* One block of states of B or C for a tile; states beyond the last are zero. */
INLINE void stage_states(const float *from, const int64_t *stride, const problem *p, const place *at,
                         int64_t first, int steps, int64_t block, float to[TILE][STATES]) {
    int64_t n = p->states - block * STATES;
    for (int t = 0; t < steps; t++) {
        const float *row = from + at->direction * stride[0] + at->clip * stride[1] +
                           position(p, at, first + t) * stride[2] + at->group * stride[3] + block * STATES;
        if (n < STATES) {
            memset(to[t], 0, sizeof to[t]);
            memcpy(to[t], row, sizeof(float) * (size_t)n);
        } else {
            memcpy(to[t], row, sizeof to[t]);
        }
    }
}

/* B or C of state n at step t, for all lanes: the same number, or a constant of each channel. */
INLINE lanes coefficient(int constant, const float *packed, float varying[TILE][STATES], int t, int n) {
    return constant ? load(packed + n * LANES) : splat(varying[t][n]);
}

/* A tile of steps for one lane vector and one block of states; adds to y. */
INLINE void forward_steps(const problem *p, scratch *s, int64_t j, int steps, const float *A, const float *Bc,
                          const float *Cc, float h[STATES][LANES], int masked, int blank_first, int plain) {
    int constant_B = plain ? 0 : (int)p->constant_B, constant_C = plain ? 0 : (int)p->constant_C;
    int growing = plain ? 0 : (int)p->growing;
    lanes state[STATES];
    for (int n = 0; n < STATES; n++) state[n] = load(h[n]);
    for (int t = 0; t < steps; t++) {
        lanes step = load(&s->step[t][j * LANES]);
        lanes drive = step * load(&s->u[t][j * LANES]);
        lanes sum = {0};
#pragma GCC unroll 16
        for (int n = 0; n < STATES; n++) {
            lanes x = step * load(A + n * LANES);
            lanes carried = (growing ? exp2_of(x) : exp2_small(x)) * state[n];
            state[n] = carried + drive * coefficient(constant_B, Bc, s->B, t, n);
            sum += (masked ? carried : state[n]) * coefficient(constant_C, Cc, s->C, t, n);
        }
        if (!(masked && blank_first && t == 0)) store(&s->y[t][j * LANES], load(&s->y[t][j * LANES]) + sum);
    }
    for (int n = 0; n < STATES; n++) store(h[n], state[n]);
}

/* y of a tile for one direction, into s->y; the states in `held` move on. */
INLINE void forward_tile(const problem *p, const place *at, scratch *s, int64_t first, int steps, int64_t tile) {
    memset(s->y, 0, sizeof(float) * ROW * (size_t)steps);
    int plain = !p->constant_B && !p->constant_C && !p->growing;
    for (int64_t block = 0; block < at->state_blocks; block++) {
        if (!p->constant_B) stage_states(p->B, p->B_stride, p, at, first, steps, block, s->B);
        if (!p->constant_C) stage_states(p->C, p->C_stride, p, at, first, steps, block, s->C);
        for (int64_t j = 0; j < at->num_lanes; j++) {
            int64_t own = block_of(at, shared_lanes(p, at, j), block);
            float(*h)[LANES] = (float(*)[LANES])(p->last + block_of(at, clip_lanes(p, at, j), block));
            if (p->kept) memcpy(kept_at(p, at, j, block, tile), h, sizeof(float) * STATES * LANES);
            const float *A = p->A + own, *Bc = p->B + own, *Cc = p->C + own;
            if (plain && !at->masked)
                forward_steps(p, s, j, steps, A, Bc, Cc, h, 0, 0, 1);
            else if (plain)
                forward_steps(p, s, j, steps, A, Bc, Cc, h, 1, first == 0, 1);
            else
                forward_steps(p, s, j, steps, A, Bc, Cc, h, at->masked, first == 0, 0);
        }
    }
    if (p->D)
        for (int t = 0; t < steps; t++)
            for (int64_t j = 0; j < at->num_lanes; j++) {
                float *y = &s->y[t][j * LANES];
                store(y, load(y) + load(p->D + shared_lanes(p, at, j) * LANES) * load(&s->u[t][j * LANES]));
            }
}

/* Adds the tile to what earlier directions left in `out`; the last direction gates. */
INLINE void finish_tile(const problem *p, const place *at, scratch *s, int64_t first, int steps) {
    for (int t = 0; t < steps; t++) {
        int64_t l = position(p, at, first + t);
        int64_t row = (at->clip * p->length + l) * p->channels + at->channel;
        int64_t next = next_tile(p, at, first + t, 0);
        float sum[ROW], gate[ROW];
        fetch_row_to_write(p->out + row + (next - l) * p->channels);
        if (at->direction == 0) {
            memcpy(sum, s->y[t], sizeof sum);
        } else {
            read_row(sum, p->out + row, at->count);
            for (int i = 0; i < ROW; i += LANES) store(&sum[i], load(&sum[i]) + load(&s->y[t][i]));
        }
        if (at->direction == p->directions - 1 && p->z) {
            fetch_row(p->z + at->clip * p->z_stride[0] + next * p->z_stride[1] + at->channel);
            if (p->y) write_row(p->y + row, sum, at->count);
            read_row(gate, p->z + at->clip * p->z_stride[0] + l * p->z_stride[1] + at->channel, at->count);
            for (int i = 0; i < ROW; i += LANES) {
                lanes z = load(&gate[i]);
                store(&sum[i], load(&sum[i]) * z * sigmoid(z));
            }
        }
        write_row(p->out + row, sum, at->count);
    }
}

static scratch *aligned(void *memory) { return (scratch *)(((uintptr_t)memory + 63) / 64 * 64); }

/* Units [first, last) of clips x groups x channel blocks. `last` holds the starting states and ends as the last
   ones. Returns how many deltas were NaN. */
FOR_EVERY_CPU int64_t scan_forward(const problem *p, int64_t first_unit, int64_t last_unit, void *memory) {
    scratch *s = aligned(memory);
    int64_t bad = 0;
    for (int64_t unit = first_unit; unit < last_unit; unit++)
        for (int64_t direction = 0; direction < p->directions; direction++) {
            place at = place_of(p, unit, direction);
            for (int64_t tile = 0; tile < at.num_tiles; tile++) {
                int64_t first = tile * TILE;
                int steps = (int)(p->length - first < TILE ? p->length - first : TILE);
                bad += stage(p, &at, first, steps, s, 0);
                forward_tile(p, &at, s, first, steps, tile);
                finish_tile(p, &at, s, first, steps);
            }
        }
    return bad;
}

/* The gradient of y for a tile, and that of the gate, which the first direction writes. */
INLINE void stage_gradient(const problem *p, const place *at, scratch *s, int64_t first, int steps) {
    for (int t = 0; t < steps; t++) {
        int64_t l = position(p, at, first + t);
        int64_t row = (at->clip * p->length + l) * p->channels + at->channel;
        int64_t ahead = (next_tile(p, at, first + t, 1) - l) * p->channels + row;
        fetch_row(p->grad_out + ahead);
        read_row(s->g[t], p->grad_out + row, at->count);
        if (!p->z) continue;
        fetch_row(p->y + ahead);
        fetch_row(p->z + at->clip * p->z_stride[0] + next_tile(p, at, first + t, 1) * p->z_stride[1] + at->channel);
        float gate[ROW], y[ROW];
        read_row(gate, p->z + at->clip * p->z_stride[0] + l * p->z_stride[1] + at->channel, at->count);
        read_row(y, p->y + row, at->count);
        for (int i = 0; i < ROW; i += LANES) {
            lanes z = load(&gate[i]), g = load(&s->g[t][i]), open = sigmoid(z);
            store(&y[i], g * load(&y[i]) * open * (1.0f + z * (1.0f - open)));
            store(&s->g[t][i], g * z * open);
        }
        if (at->direction == 0) write_row(p->grad_z + row, y, at->count);
    }
}

/* Decays and states of a tile, recomputed from the state before it. */
INLINE void recompute(const problem *p, scratch *s, int64_t j, int steps, const float *A, const float *Bc,
                      const float *start, int plain) {
    int constant_B = plain ? 0 : (int)p->constant_B, growing = plain ? 0 : (int)p->growing;
    lanes h[STATES];
    for (int n = 0; n < STATES; n++) h[n] = load(start + n * LANES);
    for (int t = 0; t < steps; t++) {
        lanes step = load(&s->step[t][j * LANES]);
        lanes drive = step * load(&s->u[t][j * LANES]);
#pragma GCC unroll 16
        for (int n = 0; n < STATES; n++) {
            lanes x = step * load(A + n * LANES);
            lanes decay = growing ? exp2_of(x) : exp2_small(x);
            store(s->decay[t][n], decay);
            store(s->before[t][n], h[n]);
            h[n] = decay * h[n] + drive * coefficient(constant_B, Bc, s->B, t, n);
        }
    }
}

/* A tile backwards. `later` is the gradient that reaches the state from later steps. */
INLINE void backward_steps(const problem *p, scratch *s, int64_t j, int steps, const float *A, const float *Bc,
                           const float *Cc, float later[STATES][LANES], float grad_A[STATES][LANES],
                           float *grad_Bc, float *grad_Cc, int masked, int blank_first, int plain) {
    int constant_B = plain ? 0 : (int)p->constant_B, constant_C = plain ? 0 : (int)p->constant_C;
    lanes from_later[STATES], to_A[STATES];
    for (int n = 0; n < STATES; n++) from_later[n] = load(later[n]), to_A[n] = load(grad_A[n]);
    for (int t = steps - 1; t >= 0; t--) {
        lanes step = load(&s->step[t][j * LANES]), u = load(&s->u[t][j * LANES]);
        lanes g = load(&s->g[t][j * LANES]), drive = step * u, sum_A = {0}, sum_B = {0};
        if (masked && blank_first && t == 0) g = (lanes){0};
#pragma GCC unroll 16
        for (int n = 0; n < STATES; n++) {
            lanes B = coefficient(constant_B, Bc, s->B, t, n), decay = load(s->decay[t][n]);
            lanes carried = decay * load(s->before[t][n]);
            lanes after = from_later[n];                                 /* of the state, from later steps */
            lanes through = after + g * coefficient(constant_C, Cc, s->C, t, n); /* of what was carried here */
            lanes state = masked ? after : through;                      /* of the state itself */
            lanes by_rate = through * carried;
            sum_A += by_rate * load(A + n * LANES);
            sum_B += state * B;
            to_A[n] += by_rate * step;
            lanes to_B = state * drive, to_C = g * (masked ? carried : carried + drive * B);
            if (constant_B) store(grad_Bc + n * LANES, load(grad_Bc + n * LANES) + to_B);
            if (constant_C) store(grad_Cc + n * LANES, load(grad_Cc + n * LANES) + to_C);
            if (!constant_B) store(s->grad_B[t][n], j ? load(s->grad_B[t][n]) + to_B : to_B);
            if (!constant_C) store(s->grad_C[t][n], j ? load(s->grad_C[t][n]) + to_C : to_C);
            from_later[n] = decay * through;
        }
        float *grad_u = &s->grad_u[t][j * LANES], *grad_step = &s->grad_step[t][j * LANES];
        store(grad_u, load(grad_u) + step * sum_B);
        store(grad_step, load(grad_step) + u * sum_B + 0.693147180559945309f * sum_A);
    }
    for (int n = 0; n < STATES; n++) store(later[n], from_later[n]), store(grad_A[n], to_A[n]);
}

INLINE lanes halves(lanes a, lanes b, int low) {
#ifdef __clang__
#define PICK(...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PICK(...) __builtin_shuffle(a, b, (ints){__VA_ARGS__})
#endif
    return low ? PICK(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
               : PICK(1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}
INLINE lanes pairs(lanes a, lanes b, int low) {
    return low ? PICK(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
               : PICK(2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
}
INLINE lanes quads(lanes a, lanes b, int low) {
    return low ? PICK(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
               : PICK(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
}
INLINE lanes eights(lanes a, lanes b, int low) {
    return low ? PICK(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
               : PICK(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
}

/* The sums of sixteen vectors over their lanes, as one vector: a transposition that adds on the way. */
INLINE lanes sums_of(float v[STATES][LANES]) {
    lanes a[8], b[4], c[2];
    for (int i = 0; i < 8; i++) {
        lanes x = load(v[2 * i]), y = load(v[2 * i + 1]);
        a[i] = halves(x, y, 1) + halves(x, y, 0);
    }
    for (int i = 0; i < 4; i++) b[i] = pairs(a[2 * i], a[2 * i + 1], 1) + pairs(a[2 * i], a[2 * i + 1], 0);
    for (int i = 0; i < 2; i++) c[i] = quads(b[2 * i], b[2 * i + 1], 1) + quads(b[2 * i], b[2 * i + 1], 0);
    return eights(c[0], c[1], 1) + eights(c[0], c[1], 0);
}

/* Sums over the unit's channels go to the unit's own rows: [direction][clip][group][block][step][state]. */
INLINE void write_state_sums(const problem *p, const place *at, float v[TILE][STATES][LANES], float *to,
                             int64_t first, int steps, int64_t block) {
    int64_t padded = at->state_blocks * STATES;
    int64_t own = ((at->direction * p->batch + at->clip) * p->groups + at->group) * at->num_blocks + at->block;
    for (int t = 0; t < steps; t++) {
        int64_t l = position(p, at, first + t);
        store(to + (own * p->length + l) * padded + block * STATES, sums_of(v[t]));
    }
}

INLINE void backward_tile(const problem *p, const place *at, scratch *s, int64_t first, int steps, int64_t tile) {
    int plain = !p->constant_B && !p->constant_C && !p->growing;
    memset(s->grad_u, 0, sizeof(float) * ROW * (size_t)steps);
    memset(s->grad_step, 0, sizeof(float) * ROW * (size_t)steps);
    for (int64_t block = 0; block < at->state_blocks; block++) {
        if (!p->constant_B) stage_states(p->B, p->B_stride, p, at, first, steps, block, s->B);
        if (!p->constant_C) stage_states(p->C, p->C_stride, p, at, first, steps, block, s->C);
        for (int64_t j = 0; j < at->num_lanes; j++) {
            int64_t own = block_of(at, shared_lanes(p, at, j), block);
            int64_t clip = block_of(at, clip_lanes(p, at, j), block);
            const float *A = p->A + own, *Bc = p->B + own, *Cc = p->C + own;
            float(*later)[LANES] = (float(*)[LANES])(p->grad_start + clip);
            float(*grad_A)[LANES] = (float(*)[LANES])(p->grad_A + clip);
            float *grad_Bc = p->grad_B + clip, *grad_Cc = p->grad_C + clip;
            const float *start = kept_at(p, at, j, block, tile);
            int blank = first == 0;
            if (plain)
                recompute(p, s, j, steps, A, Bc, start, 1);
            else
                recompute(p, s, j, steps, A, Bc, start, 0);
            if (plain && !at->masked)
                backward_steps(p, s, j, steps, A, Bc, Cc, later, grad_A, grad_Bc, grad_Cc, 0, 0, 1);
            else if (plain)
                backward_steps(p, s, j, steps, A, Bc, Cc, later, grad_A, grad_Bc, grad_Cc, 1, blank, 1);
            else
                backward_steps(p, s, j, steps, A, Bc, Cc, later, grad_A, grad_Bc, grad_Cc, at->masked, blank, 0);
        }
        if (!p->constant_B) write_state_sums(p, at, s->grad_B, p->grad_B, first, steps, block);
        if (!p->constant_C) write_state_sums(p, at, s->grad_C, p->grad_C, first, steps, block);
    }
}

/* The rest of a tile: the skip D, the slope of softplus, sums for D and the bias, and the rows themselves. */
INLINE void finish_gradient(const problem *p, const place *at, scratch *s, int64_t first, int steps) {
    for (int t = steps - 1; t >= 0; t--) {
        for (int64_t j = 0; j < at->num_lanes; j++) {
            int64_t shared = shared_lanes(p, at, j) * LANES, clip = clip_lanes(p, at, j) * LANES;
            float *grad_u = &s->grad_u[t][j * LANES], *grad_step = &s->grad_step[t][j * LANES];
            lanes g = load(&s->g[t][j * LANES]);
            if (p->D) {
                store(grad_u, load(grad_u) + load(p->D + shared) * g);
                store(p->grad_D + clip, load(p->grad_D + clip) + g * load(&s->u[t][j * LANES]));
            }
            lanes d = load(grad_step) * load(&s->slope[t][j * LANES]);
            store(grad_step, d);
            if (p->bias) store(p->grad_bias + clip, load(p->grad_bias + clip) + d);
        }
        int64_t l = position(p, at, first + t);
        int64_t row = ((at->direction * p->batch + at->clip) * p->length + l) * p->channels + at->channel;
        int64_t ahead = row + (next_tile(p, at, first + t, 1) - l) * p->channels;
        fetch_row_to_write(p->grad_u + ahead);
        fetch_row_to_write(p->grad_delta + ahead);
        write_row(p->grad_u + row, s->grad_u[t], at->count);
        write_row(p->grad_delta + row, s->grad_step[t], at->count);
    }
}

/* Units [first, last) of directions x clips x groups x channel blocks. `grad_start` holds the gradient of the last
   state and ends as that of the first; sums start from zero. */
FOR_EVERY_CPU int64_t scan_backward(const problem *p, int64_t first_unit, int64_t last_unit, void *memory) {
    scratch *s = aligned(memory);
    for (int64_t unit = first_unit; unit < last_unit; unit++) {
        place at = place_of(p, 0, 0);
        int64_t per_direction = p->batch * p->groups * at.num_blocks;
        at = place_of(p, unit % per_direction, unit / per_direction);
        for (int64_t tile = at.num_tiles - 1; tile >= 0; tile--) {
            int64_t first = tile * TILE;
            int steps = (int)(p->length - first < TILE ? p->length - first : TILE);
            stage(p, &at, first, steps, s, 1);
            stage_gradient(p, &at, s, first, steps);
            backward_tile(p, &at, s, first, steps, tile);
            finish_gradient(p, &at, s, first, steps);
        }
    }
    return 0;
}
