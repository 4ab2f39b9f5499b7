/* The benchmark circuit gate by gate: what a careful C programmer writes without studying the circuit.

   RX(x) on every wire; per layer H, RX(w), CNOT ring; <Z> on every wire; forward and adjoint backward, float32.
   W vector lanes hold W batch rows, real and imaginary vectors side by side, a tile of W rows runs the whole circuit while
   it is in cache. H and RX of a wire are one 2x2 matrix, one sweep a wire; a CNOT ring is one permuted copy; the reverse
   sweep carries two states per row whatever the depth. kernel.c has the same interface and does much better.

   Legend: N rows, n wires, L layers, S = 2^n amplitudes. Wire q is bit q of an amplitude's index. */

#include "kernel_shared.h"

size_t kernel_keep_bytes(int n, int layers, long rows, int threads) {
    (void)layers; (void)threads;
    return sizeof(cvec) * ((size_t)1 << n) * (size_t)((rows + W - 1) / W) + 64;
}

/* RX(angle): the same real and imaginary parts everywhere; c and s are vectors, so that rows may differ. */
static void rx(cvec *psi, long size, int q, vec c, vec s) {
    long step = (long)1 << q;
    for (long high = 0; high < size; high += 2 * step)
        for (long j = high; j < high + step; j++) {
            cvec a = psi[j], b = psi[j + step];
            psi[j] = (cvec){c * a.re + s * b.im, c * a.im - s * b.re};
            psi[j + step] = (cvec){c * b.re + s * a.im, c * b.im - s * a.re};
        }
}

/* H then RX = H RZ: amplitude 0 turns by -w/2, amplitude 1 by +w/2, then sum and difference. */
static void h_rx(cvec *psi, long size, int q, float angle) {
    long step = (long)1 << q;
    float c = cosf(angle / 2) * sqrtf(0.5f), s = sinf(angle / 2) * sqrtf(0.5f);
    for (long high = 0; high < size; high += 2 * step)
        for (long j = high; j < high + step; j++) {
            cvec a = psi[j], b = psi[j + step];
            cvec x = {c * a.re + s * a.im, c * a.im - s * a.re}, y = {c * b.re - s * b.im, c * b.im + s * b.re};
            psi[j] = (cvec){x.re + y.re, x.im + y.im};
            psi[j + step] = (cvec){x.re - y.re, x.im - y.im};
        }
}

/* Its inverse, H first. */
static void h_rx_back(cvec *psi, long size, int q, float angle) {
    long step = (long)1 << q;
    float c = cosf(angle / 2) * sqrtf(0.5f), s = sinf(angle / 2) * sqrtf(0.5f);
    for (long high = 0; high < size; high += 2 * step)
        for (long j = high; j < high + step; j++) {
            cvec a = psi[j], b = psi[j + step];
            cvec x = {a.re + b.re, a.im + b.im}, y = {a.re - b.re, a.im - b.im};
            psi[j] = (cvec){c * x.re - s * x.im, c * x.im + s * x.re};
            psi[j + step] = (cvec){c * y.re + s * y.im, c * y.im - s * y.re};
        }
}

/* Im <lambda|X_q|psi>, lane by lane: the derivative by the angle of RX on wire q. */
static vec overlap(const cvec *lambda, const cvec *psi, long size, int q) {
    long step = (long)1 << q;
    vec sum = {0}, other = {0};
    for (long high = 0; high < size; high += 2 * step)
        for (long j = high; j < high + step; j++) {
            cvec a = psi[j], b = psi[j + step], l = lambda[j], m = lambda[j + step];
            sum += l.re * b.im - l.im * b.re;
            other += m.re * a.im - m.im * a.re;
        }
    return sum + other;
}

/* Where amplitude j goes under the CNOT ring. */
static void ring_table(int n, uint32_t *to) {
    row_t wires[MAX_WIRES];
    ring(n, wires);
    for (uint32_t j = 0; j < (uint32_t)1 << n; j++) {
        to[j] = 0;
        for (int q = 0; q < n; q++) to[j] |= (uint32_t)__builtin_parity(wires[q] & j) << q;
    }
}

static vec angles(const float *x, long rows, int n, long tile, int q) {
    vec a;
    for (int b = 0; b < W; b++) a[b] = tile * W + b < rows ? x[(tile * W + b) * n + q] / 2 : 0;
    return a;
}

static vec cos_of(vec a) { float t[W]; memcpy(t, &a, sizeof t); for (int b = 0; b < W; b++) t[b] = cosf(t[b]); memcpy(&a, t, sizeof t); return a; }
static vec sin_of(vec a) { float t[W]; memcpy(t, &a, sizeof t); for (int b = 0; b < W; b++) t[b] = sinf(t[b]); memcpy(&a, t, sizeof t); return a; }

static void evolve(int n, int layers, long rows, const float *x, const float *w, long tile, const uint32_t *to, cvec *psi, cvec *spare) {
    long size = (long)1 << n;
    cvec *result = psi;
    if (layers & 1) { psi = spare; spare = result; } /* each ring changes the buffer; end in `result` */
    memset(psi, 0, sizeof(cvec) * (size_t)size);
    psi[0].re += 1;
    for (int q = 0; q < n; q++) { vec a = angles(x, rows, n, tile, q); rx(psi, size, q, cos_of(a), sin_of(a)); }
    for (int l = 0; l < layers; l++) {
        for (int q = 0; q < n; q++) h_rx(psi, size, q, w[l * n + q]);
        for (long j = 0; j < size; j++) spare[to[j]] = psi[j];
        cvec *t = psi; psi = spare; spare = t;
    }
}

/* values (N, n). keep: kernel_keep_bytes bytes for kernel_backward, or null. Returns 0, or 1 where memory is short. */
int kernel_forward(int n, int layers, long rows, int threads, const float *x, const float *w, float *values, void *keep) {
    long size = (long)1 << n, tiles = (rows + W - 1) / W;
    uint32_t *to = malloc(sizeof(uint32_t) * (size_t)size);
    int failed = !to;
    if (to) ring_table(n, to);
#pragma omp parallel for schedule(dynamic) num_threads(threads) reduction(| : failed) if (threads > 1)
    for (long tile = 0; tile < tiles; tile++) {
        cvec *spare = (cvec *)scratch(2 * sizeof(cvec) * (size_t)size);
        if (failed || !spare) { failed = 1; continue; }
        cvec *psi = keep ? (cvec *)aligned(keep) + tile * size : spare + size;
        evolve(n, layers, rows, x, w, tile, to, psi, spare);
        for (int q = 0; q < n; q++) {
            vec sum = {0};
            for (long j = 0; j < size; j++) {
                vec p = psi[j].re * psi[j].re + psi[j].im * psi[j].im;
                sum += j >> q & 1 ? -p : p;
            }
            for (int b = 0; b < W && tile * W + b < rows; b++) values[(tile * W + b) * n + q] = sum[b];
        }
    }
    free(to);
    return failed;
}

/* gx (N, n), gw (layers, n), both overwritten. keep as kernel_forward left it, or null to compute states again. */
int kernel_backward(int n, int layers, long rows, int threads, const float *x, const float *w, const float *cotangent, void *keep, float *gx, float *gw) {
    long size = (long)1 << n, tiles = (rows + W - 1) / W;
    uint32_t *to = malloc(sizeof(uint32_t) * (size_t)size);
    int failed = !to;
    if (to) ring_table(n, to);
    memset(gw, 0, sizeof(float) * (size_t)(layers * n));
#pragma omp parallel num_threads(threads) reduction(| : failed) if (threads > 1)
    {
        vec sums[layers * n];
        memset(sums, 0, sizeof sums);
#pragma omp for schedule(dynamic)
        for (long tile = 0; tile < tiles; tile++) {
            cvec *psi = (cvec *)scratch(4 * sizeof(cvec) * (size_t)size);
            if (failed || !psi) { failed = 1; continue; }
            cvec *lambda = psi + size, *spare = lambda + size;
            if (keep) memcpy(psi, (cvec *)aligned(keep) + tile * size, sizeof(cvec) * (size_t)size);
            else evolve(n, layers, rows, x, w, tile, to, psi, spare);
            vec c[MAX_WIRES];
            for (int q = 0; q < n; q++)
                for (int b = 0; b < W; b++) c[q][b] = tile * W + b < rows ? cotangent[(tile * W + b) * n + q] : 0;
            for (long j = 0; j < size; j++) {
                vec f = {0};
                for (int q = 0; q < n; q++) f += j >> q & 1 ? -c[q] : c[q];
                lambda[j] = (cvec){f * psi[j].re, f * psi[j].im};
            }
            for (int l = layers - 1; l >= 0; l--) {
                for (int state = 0; state < 2; state++) {
                    cvec **at = state ? &lambda : &psi, *old = *at;
                    for (long j = 0; j < size; j++) spare[j] = old[to[j]];
                    *at = spare;
                    spare = old;
                }
                for (int q = n - 1; q >= 0; q--) {
                    sums[l * n + q] += overlap(lambda, psi, size, q);
                    h_rx_back(psi, size, q, w[l * n + q]);
                    h_rx_back(lambda, size, q, w[l * n + q]);
                }
            }
            for (int q = n - 1; q >= 0; q--) {
                vec g = overlap(lambda, psi, size, q), a = angles(x, rows, n, tile, q), co = cos_of(a), si = -sin_of(a);
                for (int b = 0; b < W && tile * W + b < rows; b++) gx[(tile * W + b) * n + q] = g[b];
                if (q) { rx(psi, size, q, co, si); rx(lambda, size, q, co, si); }
            }
        }
#pragma omp critical
        for (int i = 0; i < layers * n; i++)
            for (int b = 0; b < W; b++) gw[i] += sums[i][b];
    }
    free(to);
    return failed;
}
