/* Vectors of sixteen floats and the few functions the kernels need, in the C of GCC and Clang. The widest form that
   a machine has is picked when the library is loaded, where GCC built it. */

#ifndef TUBELET_LANES_H
#define TUBELET_LANES_H

#include <stdint.h>
#include <string.h>

#define LANES 16
/* GCC compiles a function once for every kind of x86 processor. Clang refuses that together with vectors as wide as
   ours, so what it compiles is for the least of them. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EVERY_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EVERY_CPU
#endif
#define INLINE static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));

INLINE lanes load(const float *p) {
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}
INLINE void store(float *p, lanes v) { memcpy(p, &v, sizeof v); }
INLINE lanes splat(float x) { return (lanes){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE lanes choose(ints where, lanes yes, lanes no) {
    return (lanes)(((ints)yes & where) | ((ints)no & ~where));
}

/* 2^x for x <= 127: rounded to n + f, a polynomial of f (relative error 7.5e-8), and n added to its exponent.
   Below 2^-126 it is 0. */
INLINE lanes exp2_small(lanes x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it leaves the integer part in the low bits */
    lanes shifted = x + magic;
    lanes f = x - (shifted - magic);
    lanes p = 0.0013276472454890609f * f + 0.009675540961325169f;
    p = p * f + 0.05550713092088699f;
    p = p * f + 0.24022120237350464f;
    p = p * f + 0.6931469440460205f;
    p = p * f + 1.0f;
    ints scaled = (ints)p + ((ints)shifted << 23);
    return (lanes)(scaled & (x > -126.0f));
}

/* 2^x for any x; infinity from 2^128 on, NaN for NaN. */
INLINE lanes exp2_of(lanes x) {
    lanes rest = choose(x > 127.0f, x - 127.0f, splat(0.0f));
    lanes p = exp2_small(choose(x > 127.0f, splat(127.0f), x));
    p *= exp2_small(choose(rest > 1.0f, splat(1.0f), rest));
    return choose(x == x, p, x);
}

/* e^x, where it does not matter that e^88 stands for anything above it. */
INLINE lanes exp_at_most(lanes x) {
    lanes y = x * 1.44269504088896341f;
    return exp2_small(choose(y > 127.0f, splat(127.0f), y));
}

INLINE lanes sigmoid(lanes x) { return 1.0f / (1.0f + exp_at_most(-x)); }

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), and log(1 + e) = 2 atanh(e / (2 + e)); with its slope, sigmoid(x). */
INLINE lanes softplus_of(lanes x, lanes *slope) {
    lanes positive = choose(x > 0.0f, x, splat(0.0f));
    lanes e = exp_at_most(choose(x > 0.0f, -x, x));
    *slope = choose(x > 0.0f, splat(1.0f), e) / (1.0f + e);
    lanes s = e / (2.0f + e), t = s * s;
    lanes p = 0.1408916711807251f * t + 0.13980300724506378f;
    p = p * t + 0.20012454688549042f;
    p = p * t + 0.3333315849304199f;
    p = p * t + 1.0f;
    return positive + 2.0f * s * p;
}

#endif
