/* The chain of kernel.c with all its weights, pruned ones as 0 and without slope: products tile by tile. */

#include "kernel.c"

#define ROWS 6 /* ROWS x SPAN vectors stay in registers, beside those that a product is made of */
#if defined(__AVX512F__) || defined(__aarch64__)
#define SPAN 4
#else
#define SPAN 2
#endif

typedef struct {
    const uint8_t *kept; /* [rows, columns], or null: all are */
    vector *turned;      /* [batch, wide] the inputs of the layer, example by example */
    int32_t wide;
} Dense; /* what a layer has beside `Layer`, which has null for the places of its weights */

/* sum[r][j] += a[r * down + k * along] * b[k * stride + j] over the terms k: rows x n vectors. */
INLINE void tile(vector sum[ROWS][SPAN], const REAL *a, ptrdiff_t down, ptrdiff_t along, const vector *b,
                 ptrdiff_t stride, int terms, int rows, int n) {
    vector held[ROWS][SPAN];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < n; j++) held[r][j] = sum[r][j];
    for (int k = 0; k < terms; k++, a += along, b += stride) {
        vector x[SPAN];
        for (int j = 0; j < n; j++) x[j] = b[j];
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < n; j++) held[r][j] += a[r * down] * x[j];
    }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < n; j++) sum[r][j] = held[r][j];
}

/* The same for rows = ROWS or 1 and n = SPAN or 1. */
static void any_tile(vector sum[ROWS][SPAN], const REAL *a, ptrdiff_t down, ptrdiff_t along, const vector *b,
                     ptrdiff_t stride, int terms, int rows, int n) {
    if (rows == ROWS && n == SPAN)
        tile(sum, a, down, along, b, stride, terms, ROWS, SPAN);
    else if (rows == ROWS)
        tile(sum, a, down, along, b, stride, terms, ROWS, 1);
    else if (n == SPAN)
        tile(sum, a, down, along, b, stride, terms, 1, SPAN);
    else
        tile(sum, a, down, along, b, stride, terms, 1, 1);
}

/* The tiles of `height` rows of `width` vectors: each of `rows` x n vectors, from row r and vector `from`. */
#define TILES(height, width)                                                             \
    for (int from = 0, n; n = (width)-from < SPAN ? 1 : SPAN, from < (width); from += n) \
        for (int r = 0, rows; rows = (height)-r < ROWS ? 1 : ROWS, r < (height); r += rows)

/* out[r, :] += a[r * down + k * along] * b[k, :] over the terms k. */
static void add_product(vector *out, const REAL *a, ptrdiff_t down, ptrdiff_t along, const vector *b, int height,
                        int terms, int width) {
    TILES(height, width) {
        vector sum[ROWS][SPAN], *at = out + (ptrdiff_t)r * width + from;
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < n; j++) sum[i][j] = at[(ptrdiff_t)i * width + j];
        any_tile(sum, a + r * down, down, along, b + from, width, terms, rows, n);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < n; j++) at[(ptrdiff_t)i * width + j] = sum[i][j];
    }
}

static void dense_forward(const Layer *l, const vector *in, int width, int relu) {
    for (int o = 0; o < l->rows; o++)
        for (int b = 0; b < width; b++) l->out[(ptrdiff_t)o * width + b] = (vector){0} + (l->bias ? l->bias[o] : 0);
    add_product(l->out, l->weight, l->columns, 1, in, l->rows, l->columns, width);
    for (ptrdiff_t i = 0; relu && i < (ptrdiff_t)l->rows * width; i++)
        l->out[i] = (vector)((truth)l->out[i] & ~(l->out[i] <= (vector){0}));
}

static void dense_input_slopes(const Layer *l, const Layer *before, int width) {
    const ptrdiff_t size = (ptrdiff_t)l->columns * width;
    memset(before->out_slope, 0, sizeof(vector) * size);
    add_product(before->out_slope, l->weight, 1, l->columns, l->out_slope, l->columns, l->rows, width);
    for (ptrdiff_t i = 0; i < size; i++)
        before->out_slope[i] = (vector)((truth)before->out_slope[i] & (before->out[i] > (vector){0}));
}

static void dense_weight_slopes(const Layer *l, const Dense *dense, const vector *in, int width, int count) {
    const ptrdiff_t stride = (ptrdiff_t)width * LANES, row = (ptrdiff_t)dense->wide * LANES;
    const REAL *slope = (const REAL *)l->out_slope, *read = (const REAL *)in;
    REAL *turned = (REAL *)dense->turned;
    for (int k = 0; k < l->columns; k++)
        for (int i = 0; i < count; i++) turned[i * row + k] = read[k * stride + i];
    const int whole = count / LANES;
    const vector last = (vector){0} + (REAL)(count - whole * LANES); /* examples; the rest is padding */
    vector lane = {0};
    for (int i = 0; i < LANES; i++) lane[i] = (REAL)i;
    for (int o = 0; l->bias && o < l->rows; o++) {
        const vector *at = l->out_slope + (ptrdiff_t)o * width;
        vector sum = {0};
        for (int b = 0; b < whole; b++) sum += at[b];
        if (whole < width) sum += (vector)((truth)at[whole] & (lane < last)); /* padding may be nan */
        l->bias_slope[o] = total(sum);
    }
    TILES(l->rows, dense->wide) {
        vector sum[ROWS][SPAN] = {0};
        any_tile(sum, slope + r * stride, stride, 1, dense->turned + from, dense->wide, count, rows, n);
        const int first = from * LANES, left = l->columns - first, used = left < n * LANES ? left : n * LANES;
        for (int i = 0; i < rows; i++) {
            const ptrdiff_t at = (ptrdiff_t)(r + i) * l->columns + first;
            REAL held[SPAN * LANES];
            memcpy(held, sum[i], sizeof held);
            for (int k = 0; k < used; k++) l->weight_slope[at + k] = !dense->kept || dense->kept[at + k] ? held[k] : 0;
        }
    }
}

static REAL dense_slopes_of(const Chain *c, const Dense *dense, const int64_t *classes, int count) {
    const Layer *l = c->layers, *last = l + c->depth - 1;
    for (int d = 0; d < c->depth; d++) dense_forward(l + d, d ? l[d - 1].out : c->in, c->width, l + d != last);
    const REAL loss = cross_entropy(last, classes, count, c->width);
    for (int d = c->depth - 1; d >= 0; d--) {
        if (d) dense_input_slopes(l + d, l + d - 1, c->width);
        dense_weight_slopes(l + d, dense + d, d ? l[d - 1].out : c->in, c->width, count);
    }
    return loss;
}

/* Write the slopes of weights and biases; return the mean loss. */
REAL dense_slopes(const Chain *c, const Dense *dense, const REAL *x, const int64_t *classes, int count) {
    read_examples(c, x, count);
    return dense_slopes_of(c, dense, classes, count);
}

REAL dense_slopes_of_pixels(const Chain *c, const Dense *dense, const int64_t *places, int count) {
    int64_t classes[count];
    for (int i = 0; i < count; i++) classes[i] = c->classes[places[i]];
    read_pixels(c, places, count);
    return dense_slopes_of(c, dense, classes, count);
}
