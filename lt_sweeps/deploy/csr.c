/* A linear layer of which only the nonzero weights are held, in compressed sparse rows.

   Compiled for REAL = float. Examples are taken in blocks, turned to [columns, block], so that each weight is a
   multiply-add over all examples of a block, whose sums stay in registers. Small batches take a narrower block. */

#include <stddef.h>
#include <stdint.h>

#ifdef __AVX512F__
#define BYTES 64
#else
#define BYTES 32
#endif
#define LANES ((int)(BYTES / sizeof(REAL)))
#define ROWS 16 /* outputs that are turned back at once */
#define INLINE static inline __attribute__((always_inline))

typedef REAL vector __attribute__((vector_size(BYTES)));

typedef struct {
    int rows, columns;
    const int32_t *row_at; /* [rows + 1] where the weights of a row begin */
    const int32_t *column; /* [weights] */
    const REAL *value;     /* [weights] */
    const REAL *bias;      /* [rows] */
} Layer;

/* y [count, rows] of x [count, columns], count <= n * LANES; `turned` has room for [columns, n] vectors. */
INLINE void block(const Layer *l, const REAL *x, REAL *y, int count, vector *turned, int n) {
    const int width = n * LANES;
    REAL *to = (REAL *)turned;
    for (int from = 0; from < l->columns; from += ROWS) {
        const int end = from + ROWS < l->columns ? from + ROWS : l->columns;
        for (int i = 0; i < width; i++)
            for (int j = from; j < end; j++)
                to[(ptrdiff_t)j * width + i] = i < count ? x[(ptrdiff_t)i * l->columns + j] : 0;
    }
    for (int from = 0; from < l->rows; from += ROWS) {
        const int end = from + ROWS < l->rows ? from + ROWS : l->rows;
        vector out[ROWS * n];
        for (int r = from; r < end; r++) {
            vector sum[n];
            for (int b = 0; b < n; b++) sum[b] = (vector){0} + l->bias[r];
            for (int k = l->row_at[r]; k < l->row_at[r + 1]; k++) {
                const vector *in = turned + (ptrdiff_t)l->column[k] * n;
                for (int b = 0; b < n; b++) sum[b] += l->value[k] * in[b];
            }
            for (int b = 0; b < n; b++) out[(r - from) * n + b] = sum[b];
        }
        for (int i = 0; i < count; i++)
            for (int r = from; r < end; r++) y[(ptrdiff_t)i * l->rows + r] = ((REAL *)out)[(r - from) * width + i];
    }
}

/* y [count, rows] = x [count, columns] W^T + bias; `turned` has room for columns * 256 bytes, aligned to 64. */
void csr(int rows, int columns, const int32_t *row_at, const int32_t *column, const REAL *value, const REAL *bias,
         const REAL *x, REAL *y, int count, void *turned) {
    const Layer l = {rows, columns, row_at, column, value, bias};
    for (int from = 0, taken; from < count; from += taken) {
        const int left = count - from;
        const REAL *in = x + (ptrdiff_t)from * columns;
        REAL *out = y + (ptrdiff_t)from * rows;
        if (left <= LANES) block(&l, in, out, taken = left, turned, 1);
        else if (left <= 2 * LANES) block(&l, in, out, taken = left, turned, 2);
        else block(&l, in, out, taken = left < 4 * LANES ? left : 4 * LANES, turned, 4);
    }
}
