/* What both C kernels share: the vector types, scratch memory that threads keep, and the CNOT ring over GF(2). */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __AVX512F__
#define W 16
#define LOG_W 4
#else
#define W 8
#define LOG_W 3
#endif
#define MAX_WIRES 26
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * W)));
typedef struct { vec re, im; } cvec;
typedef uint32_t row_t; /* a row of a matrix over GF(2): a set of wires or of index bits */

static __thread struct { char *at; size_t size; } arena;

/* At least `size` bytes of this thread's own, the same ones each time; null where memory is short. */
static char *scratch(size_t size) {
    if (arena.size < size) {
        free(arena.at);
        arena.at = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
        arena.size = arena.at ? size : 0;
    }
    return arena.at;
}

static char *aligned(void *at) { return (char *)(((uintptr_t)at + 63) & ~(uintptr_t)63); }

/* CNOT from wire i to (i+1) mod n, i = 0..n-1: r[q] is the set of wires whose parity wire q has afterwards. */
static void ring(int n, row_t *r) {
    for (int q = 0; q < n; q++) r[q] = ((row_t)2 << q) - 1;
    if (n > 1) r[0] = ((((row_t)1 << (n - 1)) << 1) - 1) & ~(row_t)1;
}
