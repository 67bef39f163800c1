/* The chain of kernel.c with all its weights, pruned ones as 0 and without slope.

   Activations lie as [examples, units] and weights as [inputs, units], units as vectors: each product adds rows of
   vectors, each times a number, and leaves out those whose numbers are 0. Four of five pixels of MNIST are: pixels are
   taken less what a black one is, whose share of a unit is the same for all examples. */

#include "kernel.c"

#define ROWS 4 /* ROWS x SPAN vectors stay in registers, beside those that a product is made of */
#if defined(__AVX512F__) || defined(__aarch64__)
#define SPAN 5
#else
#define SPAN 3
#endif

#define CHUNK 256 /* pixels that are normalised at once */

typedef struct {
    const uint8_t *kept; /* [columns, wide], or null: all are */
    vector *turned;      /* [rows, wide of the layer before] its weights, unit by unit */
    vector *sum;         /* [wide] */
    int32_t *terms;      /* what `nonzero` writes */
    int32_t wide;        /* vectors of its units; the rest of the last ones is 0 */
} Dense; /* what a layer has beside `Layer`, whose places of weights are null */

/* Lists the terms k for which a number a[r * down + k * along] of the rows is not 0; returns how many. */
INLINE int nonzero(int32_t *terms, const REAL *a, ptrdiff_t down, ptrdiff_t along, int count, int rows) {
    int found = 0;
    for (int k = 0; k < count; k++, a += along) {
        uint64_t any = 0, one = 0; /* as bits: twice as fast as comparing numbers */
        for (int r = 0; r < rows; r++) {
            memcpy(&one, a + r * down, sizeof(REAL));
            any |= one;
        }
        terms[found] = k;
        found += any != 0;
    }
    return found;
}

/* out[r, j] += a[r * down + k * along] * b[k, j] over the listed terms k: rows x n vectors. */
INLINE void tile(vector *out, const REAL *a, ptrdiff_t down, ptrdiff_t along, const vector *b, int wide,
                 const int32_t *terms, int count, int rows, int n) {
    const ptrdiff_t bytes = (ptrdiff_t)sizeof(vector) * wide;
    vector sum[ROWS][SPAN];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < n; j++) sum[r][j] = out[(ptrdiff_t)r * wide + j];
    for (int t = 0; t < count; t++) {
        const REAL *x = a + terms[t] * along;
        const vector *from = (const vector *)((const char *)b + terms[t] * bytes);
        vector y[SPAN];
        for (int j = 0; j < n; j++) y[j] = from[j];
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < n; j++) sum[r][j] += x[r * down] * y[j];
    }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < n; j++) out[(ptrdiff_t)r * wide + j] = sum[r][j];
}

/* out[r, :] += a[r * down + k * along] * b[k, :] over the terms k, for ROWS rows or one. */
INLINE void add_rows(vector *out, const REAL *a, ptrdiff_t down, ptrdiff_t along, const vector *b, int wide,
                     int32_t *terms, int count, int rows) {
    const int found = nonzero(terms, a, down, along, count, rows);
    for (int from = 0, n; from < wide; from += n) {
        const int left = wide - from, tiles = (left + SPAN - 1) / SPAN;
        n = (left + tiles - 1) / tiles;
        switch (n) {
        case 1: tile(out + from, a, down, along, b + from, wide, terms, found, rows, 1); break;
        case 2: tile(out + from, a, down, along, b + from, wide, terms, found, rows, 2); break;
        case 3: tile(out + from, a, down, along, b + from, wide, terms, found, rows, 3); break;
#if SPAN > 3
        case 4: tile(out + from, a, down, along, b + from, wide, terms, found, rows, 4); break;
        case 5: tile(out + from, a, down, along, b + from, wide, terms, found, rows, 5); break;
#endif
        }
    }
}

static void add_product(vector *out, const REAL *a, ptrdiff_t down, ptrdiff_t along, const vector *b, int wide,
                        int32_t *terms, int count, int rows) {
    if (rows == ROWS)
        add_rows(out, a, down, along, b, wide, terms, count, ROWS);
    else
        add_rows(out, a, down, along, b, wide, terms, count, 1);
}

/* Each group of ROWS rows of `height`, and each of the last ones alone: `rows` of them from row r. */
#define GROUPS(height) for (int r = 0, rows; rows = (height)-r < ROWS ? 1 : ROWS, r < (height); r += rows)

/* Of examples x [count, down]; `shift` [columns], or null, is added to each. */
static void dense_forward(const Layer *l, const Dense *dense, const REAL *x, ptrdiff_t down, const float *shift,
                          int count, int relu) {
    const vector *weight = (const vector *)l->weight;
    const int wide = dense->wide;
    vector *start = dense->sum;
    for (int j = 0; j < wide; j++) start[j] = l->bias ? ((const vector *)l->bias)[j] : (vector){0};
    for (int k = 0; shift && k < l->columns; k++)
        for (int j = 0; j < wide; j++) start[j] += (REAL)shift[k] * weight[(ptrdiff_t)k * wide + j];
    GROUPS(count) {
        vector *out = l->out + (ptrdiff_t)r * wide;
        for (int i = 0; i < rows; i++) memcpy(out + (ptrdiff_t)i * wide, start, sizeof(vector) * wide);
        add_product(out, x + r * down, down, 1, weight, wide, dense->terms, l->columns, rows);
        for (int i = 0; relu && i < rows * wide; i++) out[i] = (vector)((truth)out[i] & ~(out[i] <= (vector){0}));
    }
}

static void dense_weight_slopes(const Layer *l, const Dense *dense, const REAL *x, ptrdiff_t down, const float *shift,
                                int count) {
    const int wide = dense->wide;
    vector *sum = dense->sum;
    memset(sum, 0, sizeof(vector) * wide);
    for (ptrdiff_t i = 0; i < count; i++)
        for (int j = 0; j < wide; j++) sum[j] += l->out_slope[i * wide + j];
    if (l->bias) memcpy(l->bias_slope, sum, sizeof(vector) * wide);
    GROUPS(l->columns) {
        const ptrdiff_t at = (ptrdiff_t)r * wide;
        vector *slope = (vector *)l->weight_slope + at;
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < wide; j++) slope[i * wide + j] = shift ? (REAL)shift[r + i] * sum[j] : (vector){0};
        add_product(slope, x + r, 1, down, l->out_slope, wide, dense->terms, count, rows);
        REAL *one = (REAL *)slope;
        const uint8_t *kept = dense->kept ? dense->kept + at * LANES : NULL;
        for (int i = 0; kept && i < rows * wide * LANES; i++) one[i] = kept[i] ? one[i] : 0;
    }
}

static void dense_input_slopes(const Layer *l, const Dense *dense, const Layer *before, int wide, int count) {
    const ptrdiff_t down = (ptrdiff_t)dense->wide * LANES, along = (ptrdiff_t)wide * LANES;
    const REAL *slope = (const REAL *)l->out_slope;
    REAL *turned = (REAL *)dense->turned;
    for (int o = 0; o < l->rows; o++)
        for (int k = 0; k < l->columns; k++) turned[o * along + k] = l->weight[k * down + o];
    GROUPS(count) {
        vector *into = before->out_slope + (ptrdiff_t)r * wide, *out = before->out + (ptrdiff_t)r * wide;
        memset(into, 0, sizeof(vector) * rows * wide);
        add_product(into, slope + r * down, down, 1, dense->turned, wide, dense->terms, l->rows, rows);
        for (int i = 0; i < rows * wide; i++) into[i] = (vector)((truth)into[i] & (out[i] > (vector){0}));
    }
}

/* Mean cross-entropy of the logits; writes its slope. */
static REAL dense_cross_entropy(const Layer *last, int wide, const int64_t *classes, int count) {
    double loss = 0;
    for (int i = 0; i < count; i++) {
        const REAL *logit = (const REAL *)(last->out + (ptrdiff_t)i * wide);
        REAL *slope = (REAL *)(last->out_slope + (ptrdiff_t)i * wide), highest = logit[0], sum = 0;
        for (int o = 1; o < last->rows; o++) highest = logit[o] > highest ? logit[o] : highest;
        for (int o = 0; o < last->rows; o++) {
            slope[o] = sizeof(REAL) == 4 ? (REAL)expf((float)(logit[o] - highest)) : (REAL)exp(logit[o] - highest);
            sum += slope[o];
        }
        loss += log((double)sum) + highest - logit[classes[i]];
        for (int o = 0; o < last->rows; o++) slope[o] *= 1 / (sum * count);
        slope[classes[i]] -= (REAL)1 / count;
    }
    return (REAL)(loss / count);
}

/* Of examples in `c->in` as [count, features]. */
static REAL dense_slopes_of(const Chain *c, const Dense *dense, const float *shift, const int64_t *classes, int count) {
    const Layer *l = c->layers;
    const int last = c->depth - 1;
    const REAL *x[c->depth];
    ptrdiff_t down[c->depth];
    for (int d = 0; d <= last; d++) {
        x[d] = (const REAL *)(d ? l[d - 1].out : c->in);
        down[d] = d ? (ptrdiff_t)dense[d - 1].wide * LANES : c->features;
        dense_forward(l + d, dense + d, x[d], down[d], d ? NULL : shift, count, d < last);
    }
    const REAL loss = dense_cross_entropy(l + last, dense[last].wide, classes, count);
    for (int d = last; d >= 0; d--) {
        dense_weight_slopes(l + d, dense + d, x[d], down[d], d ? NULL : shift, count);
        if (d) dense_input_slopes(l + d, dense + d, l + d - 1, dense[d - 1].wide, count);
    }
    return loss;
}

/* Write the slopes of weights and biases; return the mean loss. */
REAL dense_slopes(const Chain *c, const Dense *dense, const REAL *x, const int64_t *classes, int count) {
    memcpy(c->in, x, sizeof(REAL) * count * c->features);
    return dense_slopes_of(c, dense, NULL, classes, count);
}

/* The same of the pixels of the examples at these places: normalised as floats, product and sum rounded one by one. */
REAL dense_slopes_of_pixels(const Chain *c, const Dense *dense, const int64_t *places, int count) {
    int64_t classes[count];
    for (int i = 0; i < count; i++) {
        const uint8_t *pixel = (const uint8_t *)(c->pixels + (ptrdiff_t)places[i] * c->words);
        REAL *x = (REAL *)c->in + (ptrdiff_t)i * c->features;
        for (int from = 0; from < c->features; from += CHUNK) {
            const int n = c->features - from < CHUNK ? c->features - from : CHUNK;
            const float *scale = c->scale + from, *shift = c->shift + from;
            float scaled[CHUNK];
            for (int k = 0; k < n; k++) scaled[k] = (float)pixel[from + k] * scale[k];
            for (int k = 0; k < n; k++) x[from + k] = (REAL)(scaled[k] + shift[k]) - (REAL)shift[k];
        }
        classes[i] = c->classes[places[i]];
    }
    return dense_slopes_of(c, dense, c->shift, classes, count);
}
