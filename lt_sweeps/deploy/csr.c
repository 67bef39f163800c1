/* Linear layers of which only the nonzero weights are held, in compressed sparse rows, with ReLU between them.

   Compiled for REAL = float. Examples are taken in blocks, turned to [units, block], so that each weight is a
   multiply-add over all examples of a block, whose sums stay in registers. Small batches take a narrower block. */

#include <stddef.h>
#include <stdint.h>

#ifdef __AVX512F__
#define BYTES 64
#else
#define BYTES 32
#endif
#define LANES ((int)(BYTES / sizeof(REAL)))
#define WIDEST 4 /* vectors of a block */
#define TILE 16  /* units that are turned at once */
#define INLINE static inline __attribute__((always_inline))
#define LESS(a, b) ((a) < (b) ? (a) : (b))

typedef REAL vector __attribute__((vector_size(BYTES)));
typedef __typeof__((vector){0} > (vector){0}) truth;

typedef struct {
    int64_t rows, columns;
    const int32_t *row_at; /* [rows + 1] where the weights of a row begin */
    const int32_t *column; /* [weights] */
    const REAL *value;     /* [weights] */
    const REAL *bias;      /* [rows] */
} Layer;

/* Rows `from` to `end` of a layer, [rows, n] vectors, of inputs [columns, n]. */
INLINE void multiply(const Layer *l, const vector *in, vector *out, int from, int end, int n, int relu) {
    for (int r = from; r < end; r++, out += n) {
        vector sum[WIDEST];
        for (int b = 0; b < n; b++) sum[b] = (vector){0} + l->bias[r];
        for (int k = l->row_at[r]; k < l->row_at[r + 1]; k++) {
            const vector *x = in + (ptrdiff_t)l->column[k] * n;
            for (int b = 0; b < n; b++) sum[b] += l->value[k] * x[b];
        }
        for (int b = 0; b < n; b++) out[b] = relu ? (vector)((truth)sum[b] & ~(sum[b] <= (vector){0})) : sum[b];
    }
}

/* Outputs [count, rows of the last layer] of examples [count, columns of the first], at most n vectors of them. */
INLINE void block(const Layer *l, int depth, const REAL *x, REAL *y, int count, vector *in, vector *out, int n) {
    const int width = n * LANES;
    for (int from = 0; from < l->columns; from += TILE)
        for (int i = 0; i < width; i++)
            for (int j = from; j < LESS(from + TILE, l->columns); j++)
                ((REAL *)in)[(ptrdiff_t)j * width + i] = i < count ? x[i * l->columns + j] : 0;
    for (; depth > 1; depth--, l++) {
        multiply(l, in, out, 0, l->rows, n, 1);
        vector *const read = in;
        in = out, out = read;
    }
    for (int from = 0; from < l->rows; from += TILE) {
        const int end = LESS(from + TILE, l->rows);
        vector tile[TILE * WIDEST];
        multiply(l, in, tile, from, end, n, 0);
        for (int i = 0; i < count; i++)
            for (int r = from; r < end; r++) y[i * l->rows + r] = ((REAL *)tile)[(r - from) * width + i];
    }
}

/* The same for any count; `in` and `out` have room for 256 bytes for each unit of the widest layer, aligned to 64. */
void csr(const Layer *l, int depth, const REAL *x, REAL *y, int64_t count, vector *in, vector *out) {
    for (int taken; count > 0; count -= taken, x += taken * l->columns, y += taken * l[depth - 1].rows) {
        taken = LESS(count, WIDEST * LANES);
        if (taken <= LANES) block(l, depth, x, y, taken, in, out, 1);
        else if (taken <= 2 * LANES) block(l, depth, x, y, taken, in, out, 2);
        else block(l, depth, x, y, taken, in, out, WIDEST);
    }
}
