/* The benchmark circuit by hand: RX(x) on every wire; per layer H, RX(w), CNOT ring; <Z> on every wire.

   Forward and adjoint backward, float32, all input and weight gradients. It knows this one circuit and uses everything
   that can be known about it, so it stands for what the arithmetic costs:
   - W vector lanes hold T batch rows and, where there are fewer rows than lanes, W/T neighbouring amplitudes;
     real and imaginary vectors side by side; a tile of T rows runs the whole circuit before the next begins.
   - Encoding and first layer act on each wire alone: the state is an outer product of two tables, written once,
     and the gradients of x and of the first w are two contractions with the same tables.
   - RX(w) H = H RZ(w): a layer is one diagonal (shared by all rows), then Hadamards on all wires (radix-8 passes
     of additions). The n gradients of its weights need one product of two states: Im conj(lambda) phi, summed with n signs.
   - A CNOT ring relabels amplitudes by a matrix over GF(2); labels are followed, nothing moves.
   - Z words behind the last ring and the last Hadamards are X words in front of them: <phi|X..X|phi>, no transform.
   - phi of each layer is kept (or computed again when `keep` is null); only lambda is carried back.

   Legend: N rows, n wires, L layers, V = 2^n T / W vectors of a tile. Wire q is bit q of an amplitude's index.
   cc -O3 -march=native -ffast-math -fopenmp -shared -fPIC kernel.c -o kernel.so -lm */

#include "kernel_shared.h"

typedef float vec_unaligned __attribute__((vector_size(4 * W), aligned(4)));
typedef int32_t ivec __attribute__((vector_size(4 * W)));

static const cvec zero;

typedef struct {
    int n, layers, in_vector; /* in_vector: k, lowest wires that live inside a vector */
    long rows, lanes, tiles, vectors;
    row_t (*masks)[MAX_WIRES]; /* masks[l][q]: physical bits whose parity is wire q, at layer l (0 is the first) */
    row_t shifts[MAX_WIRES];   /* of <Z> on wire q: phi is compared with itself so far away */
    float *phases;             /* (layers, 2, 2^n padded): cos and sin of each layer's diagonal; the first is unused */
    long phase_size;
} plan;

/* ---- linear algebra over GF(2) ---- */

static void inverse(int n, const row_t *m, row_t *out) {
    row_t a[MAX_WIRES];
    for (int q = 0; q < n; q++) { a[q] = m[q]; out[q] = (row_t)1 << q; }
    for (int c = 0; c < n; c++) {
        int p = c;
        while (!(a[p] >> c & 1)) p++;
        row_t s = a[p], t = out[p];
        a[p] = a[c]; out[p] = out[c]; a[c] = s; out[c] = t;
        for (int q = 0; q < n; q++)
            if (q != c && (a[q] >> c & 1)) { a[q] ^= s; out[q] ^= t; }
    }
}

static void relabel(plan *p) {
    row_t r[MAX_WIRES], inv[MAX_WIRES];
    int n = p->n;
    ring(n, r);
    for (int q = 0; q < n; q++) p->masks[0][q] = (row_t)1 << q;
    for (int l = 1; l < p->layers; l++) {
        row_t before[MAX_WIRES];
        if (l == 1) memcpy(before, p->masks[0], sizeof before); /* Hadamards of the first layer are in the product */
        else {
            inverse(n, p->masks[l - 1], inv);
            for (int q = 0; q < n; q++) {
                before[q] = 0;
                for (int b = 0; b < n; b++) before[q] |= (inv[b] >> q & 1) << b;
            }
        }
        for (int q = 0; q < n; q++) {
            p->masks[l][q] = 0;
            for (int b = 0; b < n; b++) if (r[q] >> b & 1) p->masks[l][q] ^= before[b];
        }
    }
    inverse(n, p->masks[p->layers - 1], inv);
    for (int q = 0; q < n; q++) {
        p->shifts[q] = 0;
        for (int b = 0; b < n; b++) p->shifts[q] |= (row_t)__builtin_parity(inv[b] & r[q]) << b;
    }
}

/* ---- memory ---- */

static void lay_out(plan *p, int n, int layers, long rows, int threads) {
    long lanes = W;
    while (lanes > 1 && (lanes / 2 >= rows || (rows + lanes - 1) / lanes < threads) && n >= LOG_W - __builtin_ctzl(lanes / 2)) lanes /= 2;
    p->n = n; p->layers = layers; p->rows = rows; p->lanes = lanes;
    p->in_vector = LOG_W - __builtin_ctzl(lanes);
    p->tiles = (rows + lanes - 1) / lanes;
    p->vectors = ((long)1 << n) >> p->in_vector;
    p->phase_size = (((long)1 << n) + W + 15) & ~15L;
}

static size_t phase_bytes(const plan *p) { return sizeof(float) * 2 * (size_t)p->layers * (size_t)p->phase_size; }

static size_t tile_bytes(const plan *p) {
    return sizeof(cvec) * (size_t)p->vectors * (size_t)(p->layers > 2 ? p->layers - 1 : 1);
}

size_t kernel_keep_bytes(int n, int layers, long rows, int threads) {
    plan p;
    lay_out(&p, n, layers, rows, threads);
    return phase_bytes(&p) + tile_bytes(&p) * (size_t)p.tiles + 64;
}

/* ---- a layer's diagonal ---- */

static void fill_phases(plan *p, const float *w) {
    long size = (long)1 << p->n;
    uint32_t *label = (uint32_t *)scratch(sizeof(uint32_t) * (size_t)size + 2 * sizeof(float) * (size_t)size);
    float *re = (float *)(label + size), *im = re + size;
    for (int l = 1; l < p->layers; l++) {
        re[0] = l < p->layers - 1 ? powf(0.5f, 0.5f * (float)p->n) : 1; /* the Hadamards' normalisation */
        im[0] = 0;
        label[0] = 0;
        for (int q = 0; q < p->n; q++) {
            float c = cosf(w[l * p->n + q] / 2), s = sinf(w[l * p->n + q] / 2);
            long half = (long)1 << q;
            uint32_t column = 0;
            for (int b = 0; b < p->n; b++) column |= (p->masks[l][b] >> q & 1) << b;
            for (long j = 0; j < half; j++) {
                float a = re[j], d = im[j];
                re[half + j] = a * c - d * s;
                im[half + j] = a * s + d * c;
                re[j] = a * c + d * s;
                im[j] = d * c - a * s;
                label[half + j] = label[j] ^ column;
            }
        }
        float *cos_ = p->phases + 2 * l * p->phase_size, *sin_ = cos_ + p->phase_size;
        for (long j = 0; j < size; j++) { cos_[j] = re[label[j]]; sin_[j] = im[label[j]]; }
    }
}

INLINE vec spread(const float *table, long v, int k, ivec pattern) {
    if (k == 0) return table[v] - (vec){0};
    return __builtin_shuffle((vec)*(const vec_unaligned *)(table + (v << k)), pattern);
}

static ivec spread_pattern(int k) {
    ivec at;
    for (int i = 0; i < W; i++) at[i] = i >> (LOG_W - k);
    return at;
}

/* ---- Hadamards on all wires, 2^radix vectors at a time ---- */

enum { FIRST = 1, TIMES_PHASE = 2, GRADIENT = 4, NO_BUTTERFLY = 8 };

INLINE vec hadamard_inside(vec a, int k) {
    ivec lane;
    for (int i = 0; i < W; i++) lane[i] = i;
    for (int bit = 0; bit < k; bit++) {
        int step = 1 << (LOG_W - k + bit);
        ivec one = lane & step; /* 0 or step */
        vec sign = 1 - __builtin_convertvector(one, vec) * (2.0f / (float)step);
        a = a * sign + __builtin_shuffle(a, lane ^ step);
    }
    return a;
}

/* FIRST: wires inside vectors too. TIMES_PHASE: the next layer's diagonal on the way out. GRADIENT: on the way in, add the
   derivatives by this layer's weights to sums (n), and undo its diagonal. */
INLINE void pass(const plan *p, int layer, cvec *out, const cvec *in, const cvec *phi, vec *sums, int bit, int radix, int k, int what) {
    const int size = 1 << radix;
    const float *cos_ = p->phases + 2 * layer * p->phase_size, *sin_ = cos_ + p->phase_size;
    const ivec pattern = spread_pattern(k);
    row_t word[MAX_WIRES], inner[MAX_WIRES];
    if (what & GRADIENT)
        for (int q = 0; q < p->n; q++) { word[q] = p->masks[layer][q] >> k; inner[q] = word[q] >> bit & (row_t)(size - 1); }
    for (long high = 0; high < p->vectors; high += (long)size << bit)
        for (long low = 0; low < (long)1 << bit; low++) {
            long base = high + low;
            cvec a[8];
            for (int e = 0; e < size; e++) a[e] = in[base + ((long)e << bit)];
            if (what & GRADIENT) {
                vec t[8];
                for (int e = 0; e < size; e++) {
                    cvec f = phi[base + ((long)e << bit)];
                    t[e] = a[e].re * f.im - a[e].im * f.re;
                    vec c = spread(cos_, base + ((long)e << bit), k, pattern), s = spread(sin_, base + ((long)e << bit), k, pattern);
                    vec re = a[e].re * c + a[e].im * s;
                    a[e].im = a[e].im * c - a[e].re * s;
                    a[e].re = re;
                }
                for (int step = 1; step < size; step <<= 1)
                    for (int e = 0; e < size; e++)
                        if (!(e & step)) { vec x = t[e], y = t[e + step]; t[e] = x + y; t[e + step] = x - y; }
                static const float sign[2] = {1, -1};
                for (int q = 0; q < p->n; q++) sums[q] += sign[__builtin_parity(word[q] & (row_t)base)] * t[inner[q]];
            }
            if ((what & FIRST) && k)
                for (int e = 0; e < size; e++) { a[e].re = hadamard_inside(a[e].re, k); a[e].im = hadamard_inside(a[e].im, k); }
            if (!(what & NO_BUTTERFLY))
                for (int step = 1; step < size; step <<= 1)
                    for (int e = 0; e < size; e++)
                        if (!(e & step)) {
                            cvec x = a[e], y = a[e + step];
                            a[e].re = x.re + y.re; a[e].im = x.im + y.im;
                            a[e + step].re = x.re - y.re; a[e + step].im = x.im - y.im;
                        }
            for (int e = 0; e < size; e++) {
                long v = base + ((long)e << bit);
                if (what & TIMES_PHASE) {
                    vec c = spread(cos_, v, k, pattern), s = spread(sin_, v, k, pattern);
                    out[v].re = a[e].re * c - a[e].im * s;
                    out[v].im = a[e].re * s + a[e].im * c;
                } else out[v] = a[e];
            }
        }
}

#define ONE_K(R, K, F) case F: pass(p, layer, out, in, phi, sums, bit, R, K, F); break;
#define ONE(R, K) switch (what) { \
    ONE_K(R, K, 0) ONE_K(R, K, FIRST) ONE_K(R, K, TIMES_PHASE) ONE_K(R, K, FIRST | TIMES_PHASE) \
    ONE_K(R, K, FIRST | GRADIENT) ONE_K(R, K, GRADIENT | NO_BUTTERFLY) }

#define PASSES(NAME, K) static __attribute__((noinline)) void NAME(const plan *p, int layer, cvec *out, const cvec *in, \
        const cvec *phi, vec *sums, int bit, int radix, int what) { \
    switch (radix) { case 0: ONE(0, K) break; case 1: ONE(1, K) break; case 2: ONE(2, K) break; default: ONE(3, K) } }
PASSES(passes_across, 0)
PASSES(passes_inside, p->in_vector)

static void run_pass(const plan *p, int layer, cvec *out, const cvec *in, const cvec *phi, vec *sums, int bit, int radix, int what) {
    (p->in_vector ? passes_inside : passes_across)(p, layer, out, in, phi, sums, bit, radix, what);
}

/* Low bits block by block in the first-level cache, then the high bits in sweeps over everything. */
static void hadamards(const plan *p, int first_layer, int last_layer, cvec *out, const cvec *in, const cvec *phi, vec *sums, int first, int last) {
    int bits = p->n - p->in_vector, block = bits > 9 ? 8 : bits;
    plan part = *p;
    part.vectors = (long)1 << block;
    for (long start = 0; start < p->vectors; start += part.vectors)
        for (int bit = 0, radix; bit < block || bit == 0; bit += radix) {
            radix = block - bit == 4 ? 2 : block - bit < 3 ? block - bit : 3;
            int what = bit == 0 ? FIRST | first : 0, is_last = bit + radix >= bits;
            const cvec *from = bit == 0 ? in + start : out + start;
            if (bit == 0 && first & GRADIENT) {
                vec mine[MAX_WIRES];
                memset(mine, 0, sizeof(vec) * (size_t)p->n);
                part.phases = p->phases + (start << p->in_vector);
                run_pass(&part, first_layer, out + start, from, phi + start, mine, bit, radix, what);
                for (int q = 0; q < p->n; q++) {
                    int minus = __builtin_parity((p->masks[first_layer][q] >> p->in_vector) & (row_t)start);
                    sums[q] += minus ? -mine[q] : mine[q];
                }
            } else {
                part.phases = p->phases + (start << p->in_vector);
                run_pass(&part, last_layer, out + start, from, 0, 0, bit, radix, is_last ? what | last : what);
            }
            if (radix == 0) break;
        }
    for (int bit = block, radix; bit < bits; bit += radix) {
        radix = bits - bit == 4 ? 2 : bits - bit < 3 ? bits - bit : 3;
        run_pass(p, last_layer, out, out, 0, 0, bit, radix, bit + radix == bits ? last : 0);
    }
}

/* ---- the product state of encoding and first layer ---- */

/* Factors of one tile, their derivatives, and product tables: levels[b] is the product of wires k..k+b-1 of a half. */
typedef struct { cvec a[2], dx[2], dw[2]; } factor;
typedef struct { factor f[MAX_WIRES]; cvec *low, *high, *low_sum, *high_sum; int low_wires, high_wires; } product;

static void fill_factors(const plan *p, const float *x, const float *w, long tile, product *out) {
    float plus[MAX_WIRES * W], minus[MAX_WIRES * W], cp[MAX_WIRES * W], sp[MAX_WIRES * W], cm[MAX_WIRES * W], sm[MAX_WIRES * W];
    int n = p->n;
    for (int q = 0; q < n; q++)
        for (int i = 0; i < W; i++) {
            long row = tile * p->lanes + (i & (p->lanes - 1));
            float angle = row < p->rows ? x[row * n + q] : 0;
            plus[q * W + i] = p->layers > 1 ? (angle + w[q]) / 2 : angle / 2;
            minus[q * W + i] = p->layers > 1 ? (angle - w[q]) / 2 : w[q] / 2;
        }
    for (int i = 0; i < n * W; i++) cp[i] = cosf(plus[i]);
    for (int i = 0; i < n * W; i++) sp[i] = sinf(plus[i]);
    for (int i = 0; i < n * W; i++) cm[i] = cosf(minus[i]);
    for (int i = 0; i < n * W; i++) sm[i] = sinf(minus[i]);
    for (int q = 0; q < n; q++) {
        vec c = *(vec_unaligned *)(cp + q * W), s = *(vec_unaligned *)(sp + q * W);
        vec d = *(vec_unaligned *)(cm + q * W), t = *(vec_unaligned *)(sm + q * W);
        factor *f = &out->f[q];
        if (p->layers > 1) { /* RX(w) H RX(x)|0> */
            float r = sqrtf(0.5f), h = r / 2;
            f->a[0] = (cvec){r * d, -r * s};   f->a[1] = (cvec){r * c, r * t};
            f->dx[0] = (cvec){-h * t, -h * c}; f->dx[1] = (cvec){-h * s, h * d};
            f->dw[0] = (cvec){h * t, -h * c};  f->dw[1] = (cvec){-h * s, -h * d};
        } else { /* RZ(w) RX(x)|0>; c, s of x/2 and d, t of w/2 */
            f->a[0] = (cvec){c * d, -c * t};            f->a[1] = (cvec){s * t, -s * d};
            f->dx[0] = (cvec){-s * d / 2, s * t / 2};   f->dx[1] = (cvec){c * t / 2, -c * d / 2};
            f->dw[0] = (cvec){f->a[0].im / 2, -f->a[0].re / 2}; f->dw[1] = (cvec){-f->a[1].im / 2, f->a[1].re / 2};
        }
    }
}

INLINE cvec times(cvec a, cvec b) { return (cvec){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
INLINE void add_times(cvec *sum, cvec a, cvec b) {
    sum->re += a.re * b.re - a.im * b.im;
    sum->im += a.re * b.im + a.im * b.re;
}
INLINE void add_conj_times(cvec *sum, cvec a, cvec b) {
    sum->re += a.re * b.re + a.im * b.im;
    sum->im += a.re * b.im - a.im * b.re;
}

static vec choose(vec zero, vec one, int step) {
    for (int i = 0; i < W; i++) if (i & step) zero[i] = one[i];
    return zero;
}

static void grow(cvec *table, const factor *f, int wires) { /* table holds all levels, level b at 2^b */
    for (int b = 0; b < wires; b++) {
        cvec *from = table + ((long)1 << b), *to = table + ((long)2 << b);
        for (long e = 0; e < (long)1 << b; e++) { to[e] = times(from[e], f[b].a[0]); to[e + ((long)1 << b)] = times(from[e], f[b].a[1]); }
    }
}

static size_t table_vectors(const plan *p) {
    int free_wires = p->n - p->in_vector, low = free_wires / 2;
    return 2 * (((size_t)2 << low) + ((size_t)2 << (free_wires - low)));
}

static void fill_product(const plan *p, const float *x, const float *w, long tile, cvec *room, product *t) {
    int k = p->in_vector, free_wires = p->n - k;
    fill_factors(p, x, w, tile, t);
    t->low_wires = free_wires / 2;
    t->high_wires = free_wires - t->low_wires;
    t->low = room;
    t->high = t->low + ((long)2 << t->low_wires);
    t->low_sum = t->high + ((long)2 << t->high_wires);
    t->high_sum = t->low_sum + ((long)2 << t->low_wires);
    cvec inside = {1 - (vec){0}, (vec){0}};
    for (int q = 0; q < k; q++) {
        int step = (int)p->lanes << q;
        cvec f = {choose(t->f[q].a[0].re, t->f[q].a[1].re, step), choose(t->f[q].a[0].im, t->f[q].a[1].im, step)};
        inside = times(inside, f);
    }
    t->low[1] = inside;
    t->high[1] = (cvec){1 - (vec){0}, (vec){0}};
    grow(t->low, t->f + k, t->low_wires);
    grow(t->high, t->f + k + t->low_wires, t->high_wires);
}

static void write_product(const plan *p, const product *t, cvec *out) {
    const cvec *low = t->low + ((long)1 << t->low_wires), *high = t->high + ((long)1 << t->high_wires);
    const float *cos_ = p->phases + 2 * p->phase_size, *sin_ = cos_ + p->phase_size;
    const ivec pattern = spread_pattern(p->in_vector);
    for (long h = 0; h < (long)1 << t->high_wires; h++)
        for (long e = 0; e < (long)1 << t->low_wires; e++) {
            long v = (h << t->low_wires) + e;
            cvec a = times(high[h], low[e]);
            if (p->layers > 1) {
                vec c, s;
                if (p->in_vector == 0) { c = spread(cos_, v, 0, pattern); s = spread(sin_, v, 0, pattern); }
                else { c = spread(cos_, v, p->in_vector, pattern); s = spread(sin_, v, p->in_vector, pattern); }
                a = times(a, (cvec){c, s});
            }
            out[v] = a;
        }
}

/* Gradients of one half from sum (2^wires): fold it wire by wire, last first. g[b][value] = contraction without wire b. */
static void unfold(const cvec *table, cvec *sum, const factor *f, int wires, cvec (*g)[2]) {
    for (int b = wires - 1; b >= 0; b--) {
        long half = (long)1 << b;
        const cvec *before = table + half;
        cvec g0 = zero, g1 = zero;
        for (long e = 0; e < half; e++) {
            add_times(&g0, sum[e], before[e]);
            add_times(&g1, sum[e + half], before[e]);
            cvec both = times(sum[e], f[b].a[0]);
            add_times(&both, sum[e + half], f[b].a[1]);
            sum[e] = both;
        }
        g[b][0] = g0;
        g[b][1] = g1;
    }
}

static void contract(const plan *p, product *t, const cvec *lambda) {
    const cvec *low = t->low + ((long)1 << t->low_wires), *high = t->high + ((long)1 << t->high_wires);
    long n_low = (long)1 << t->low_wires, n_high = (long)1 << t->high_wires;
    (void)p;
    memset(t->low_sum, 0, sizeof(cvec) * (size_t)n_low);
    for (long h = 0; h < n_high; h++) {
        const cvec *row = lambda + h * n_low;
        cvec sum0 = zero, sum1 = zero, here = high[h];
        for (long e = 0; e < n_low; e++) {
            cvec a = row[e];
            add_conj_times(e & 1 ? &sum1 : &sum0, a, low[e]);
            add_conj_times(&t->low_sum[e], a, here);
        }
        t->high_sum[h] = (cvec){sum0.re + sum1.re, sum0.im + sum1.im};
    }
}

/* ---- values and their adjoint: <phi| X words |phi> ---- */

static ivec shuffle_by(const plan *p, row_t shift) {
    ivec at;
    int inside = (int)(shift & (((row_t)1 << p->in_vector) - 1)) * (int)p->lanes;
    for (int i = 0; i < W; i++) at[i] = i ^ inside;
    return at;
}

INLINE vec moved(vec a, ivec at, int k) { return k ? __builtin_shuffle(a, at) : a; }

INLINE void correlate(const plan *p, const cvec *phi, vec *out, int k) {
    for (int q = 0; q < p->n; q++) {
        long shift = p->shifts[q] >> k;
        ivec at = shuffle_by(p, p->shifts[q]);
        vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        long top = shift ? (long)1 << (63 - __builtin_clzl((unsigned long)shift)) : p->vectors;
        for (long high = 0; high < p->vectors; high += 2 * top) {
            long v = high, end = high + top;
            for (; v + 1 < end; v += 2) {
                cvec a = phi[v], b = phi[v ^ shift], c = phi[v + 1], d = phi[(v + 1) ^ shift];
                s0 += a.re * moved(b.re, at, k);
                s1 += a.im * moved(b.im, at, k);
                s2 += c.re * moved(d.re, at, k);
                s3 += c.im * moved(d.im, at, k);
            }
            for (; v < end; v++) {
                cvec a = phi[v], b = phi[v ^ shift];
                s0 += a.re * moved(b.re, at, k);
                s1 += a.im * moved(b.im, at, k);
            }
        }
        out[q] = (s0 + s1 + s2 + s3) * (shift ? 2.0f : 1.0f);
    }
}

INLINE void seed_block(const plan *p, const cvec *phi, const vec *cotangent, cvec *lambda, long v, int k, int size, const ivec *at) {
    cvec a[8];
    for (int e = 0; e < size; e++) a[e] = zero;
    for (int q = 0; q < p->n; q++) {
        long shift = p->shifts[q] >> k;
        vec c = cotangent[q];
        for (int e = 0; e < size; e++) {
            const cvec *b = &phi[(v + e) ^ shift];
            a[e].re += c * moved(b->re, at[q], k);
            a[e].im += c * moved(b->im, at[q], k);
        }
    }
    for (int e = 0; e < size; e++) lambda[v + e] = a[e];
}

INLINE void seed_all(const plan *p, const cvec *phi, const vec *cotangent, cvec *lambda, int k) {
    ivec at[MAX_WIRES];
    for (int q = 0; q < p->n; q++) at[q] = shuffle_by(p, p->shifts[q]);
    if (p->vectors >= 8) for (long v = 0; v < p->vectors; v += 8) seed_block(p, phi, cotangent, lambda, v, k, 8, at);
    else for (long v = 0; v < p->vectors; v++) seed_block(p, phi, cotangent, lambda, v, k, 1, at);
}

/* ---- one tile ---- */

static cvec *layer_of(const plan *p, cvec *states, int layer) { return layer > 1 ? states + (layer - 1) * p->vectors : states; }

static void forward_tile(const plan *p, const float *x, const float *w, long tile, cvec *states, product *t, cvec *room) {
    fill_product(p, x, w, tile, room, t);
    write_product(p, t, states);
    for (int l = 2; l < p->layers; l++)
        hadamards(p, 0, l, layer_of(p, states, l), layer_of(p, states, l - 1), 0, 0, 0, TIMES_PHASE);
}

static void measure_tile(const plan *p, long tile, cvec *states, float *values) {
    vec out[MAX_WIRES];
    const cvec *phi = layer_of(p, states, p->layers - 1);
    if (p->in_vector) correlate(p, phi, out, p->in_vector);
    else correlate(p, phi, out, 0);
    for (int q = 0; q < p->n; q++)
        for (int b = 0; b < p->lanes && tile * p->lanes + b < p->rows; b++) {
            float sum = 0;
            for (int i = b; i < W; i += (int)p->lanes) sum += out[q][i];
            values[(tile * p->lanes + b) * p->n + q] = sum;
        }
}

/* dE = 2 Re sum of g[value] da[value], lanes of the same row added; wires inside vectors take what the others left in `rest`. */
static void first_layer_gradients(const plan *p, const product *t, cvec (*g)[2], cvec rest, long tile, float *gx, float *gw) {
    int k = p->in_vector;
    for (int q = 0; q < p->n; q++) {
        vec dx, dw;
        if (q < k) {
            cvec others = rest, d[2];
            for (int r = 0; r < k; r++) {
                int step = (int)p->lanes << r;
                if (r != q) others = times(others, (cvec){choose(t->f[r].a[0].re, t->f[r].a[1].re, step), choose(t->f[r].a[0].im, t->f[r].a[1].im, step)});
            }
            int step = (int)p->lanes << q;
            const cvec *fx = t->f[q].dx, *fw = t->f[q].dw;
            d[0] = (cvec){choose(fx[0].re, fx[1].re, step), choose(fx[0].im, fx[1].im, step)};
            d[1] = (cvec){choose(fw[0].re, fw[1].re, step), choose(fw[0].im, fw[1].im, step)};
            dx = 2 * (others.re * d[0].re - others.im * d[0].im);
            dw = 2 * (others.re * d[1].re - others.im * d[1].im);
        } else {
            cvec g0 = g[q - k][0], g1 = g[q - k][1];
            const cvec *fx = t->f[q].dx, *fw = t->f[q].dw;
            dx = 2 * (g0.re * fx[0].re - g0.im * fx[0].im + g1.re * fx[1].re - g1.im * fx[1].im);
            dw = 2 * (g0.re * fw[0].re - g0.im * fw[0].im + g1.re * fw[1].re - g1.im * fw[1].im);
        }
        for (int b = 0; b < p->lanes && tile * p->lanes + b < p->rows; b++) {
            float sx = 0, sw = 0;
            for (int i = b; i < W; i += (int)p->lanes) { sx += dx[i]; sw += dw[i]; }
            gx[(tile * p->lanes + b) * p->n + q] = sx;
            gw[q] += sw;
        }
    }
}

static void backward_tile(const plan *p, const float *cotangent, long tile, const cvec *states, product *t, cvec *lambda, vec *sums, float *gx, float *gw) {
    int n = p->n, k = p->in_vector;
    vec c[MAX_WIRES];
    for (int q = 0; q < n; q++)
        for (int i = 0; i < W; i++) {
            long row = tile * p->lanes + (i & (p->lanes - 1));
            c[q][i] = row < p->rows ? cotangent[row * n + q] : 0;
        }
    const cvec *phi = layer_of(p, (cvec *)states, p->layers - 1);
    if (k) seed_all(p, phi, c, lambda, k);
    else seed_all(p, phi, c, lambda, 0);
    for (int l = p->layers - 1; l > 1; l--)
        hadamards(p, l, 0, lambda, lambda, layer_of(p, (cvec *)states, l), sums + l * n, GRADIENT, 0);
    if (p->layers > 1) {
        int bits = n - k;
        run_pass(p, 1, lambda, lambda, states, sums + n, 0, bits < 3 ? bits : 3, GRADIENT | NO_BUTTERFLY);
    }
    contract(p, t, lambda);
    cvec g[MAX_WIRES][2];
    unfold(t->low, t->low_sum, t->f + k, t->low_wires, g);
    unfold(t->high, t->high_sum, t->f + k + t->low_wires, t->high_wires, g + t->low_wires);
    first_layer_gradients(p, t, g, t->low_sum[0], tile, gx, gw);
}

/* ---- entry points ---- */

/* values (N, n). keep: kernel_keep_bytes bytes for kernel_backward, or null. Returns 0, or 1 where memory is short. */
int kernel_forward(int n, int layers, long rows, int threads, const float *x, const float *w, float *values, void *keep) {
    plan p;
    row_t masks[layers][MAX_WIRES];
    lay_out(&p, n, layers, rows, threads);
    p.masks = masks;
    relabel(&p);
    p.phases = keep ? (float *)aligned(keep) : aligned_alloc(64, phase_bytes(&p));
    if (!p.phases) return 1;
    fill_phases(&p, w);
    char *tiles = (char *)p.phases + phase_bytes(&p);
    int failed = 0;
#pragma omp parallel for schedule(dynamic) num_threads(threads) reduction(| : failed) if (threads > 1)
    for (long tile = 0; tile < p.tiles; tile++) {
        product t;
        size_t tables = sizeof(cvec) * table_vectors(&p);
        char *room = scratch(tables + (keep ? 0 : tile_bytes(&p)));
        if (!room) { failed = 1; continue; }
        cvec *states = (cvec *)(keep ? tiles + (size_t)tile * tile_bytes(&p) : room + tables);
        forward_tile(&p, x, w, tile, states, &t, (cvec *)room);
        measure_tile(&p, tile, states, values);
    }
    if (!keep) free(p.phases);
    return failed;
}

/* gx (N, n), gw (layers, n), both overwritten. keep as kernel_forward left it, or null to compute states again. */
int kernel_backward(int n, int layers, long rows, int threads, const float *x, const float *w, const float *cotangent, void *keep, float *gx, float *gw) {
    plan p;
    row_t masks[layers][MAX_WIRES];
    lay_out(&p, n, layers, rows, threads);
    p.masks = masks;
    relabel(&p);
    p.phases = keep ? (float *)aligned(keep) : aligned_alloc(64, phase_bytes(&p));
    if (!p.phases) return 1;
    if (!keep) fill_phases(&p, w);
    char *tiles = (char *)p.phases + phase_bytes(&p);
    int failed = 0;
    memset(gw, 0, sizeof(float) * (size_t)(layers * n));
#pragma omp parallel num_threads(threads) reduction(| : failed) if (threads > 1)
    {
        vec sums[layers * n];
        float first[MAX_WIRES] = {0};
        memset(sums, 0, sizeof sums);
#pragma omp for schedule(dynamic)
        for (long tile = 0; tile < p.tiles; tile++) {
            product t;
            size_t tables = sizeof(cvec) * table_vectors(&p), state = sizeof(cvec) * (size_t)p.vectors;
            char *room = scratch(tables + state + (keep ? 0 : tile_bytes(&p)));
            if (!room) { failed = 1; continue; }
            cvec *states = (cvec *)(keep ? tiles + (size_t)tile * tile_bytes(&p) : room + tables + state);
            if (keep) fill_product(&p, x, w, tile, (cvec *)room, &t);
            else forward_tile(&p, x, w, tile, states, &t, (cvec *)room);
            backward_tile(&p, cotangent, tile, states, &t, (cvec *)(room + tables), sums, gx, first);
        }
#pragma omp critical
        {
            for (int q = 0; q < n; q++) gw[q] += first[q];
            for (int l = 1; l < layers; l++)
                for (int q = 0; q < n; q++) {
                    row_t word = masks[l][q] & (((row_t)1 << p.in_vector) - 1);
                    for (int i = 0; i < W; i++)
                        gw[l * n + q] += __builtin_parity(word & (row_t)(i / p.lanes)) ? -sums[l * n + q][i] : sums[l * n + q][i];
                }
        }
    }
    if (!keep) free(p.phases);
    return failed;
}
