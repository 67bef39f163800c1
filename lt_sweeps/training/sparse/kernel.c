/* Loss and slopes of a chain of sparse linear layers with ReLU between them, under cross-entropy.

   Compiled for REAL = float or double. Activations lie as [units, width] vectors: each live weight is a multiply-add over
   the whole batch, whose last vector is padded with zeros, and a pruned weight costs nothing. Weights of a layer are in
   the order of rows; `place` finds them in the order of columns. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes of a vector: what the processor's registers hold. Longer ones gcc keeps in memory, five times slower. */
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define LANES ((int)(BYTES / sizeof(REAL)))
#define BLOCK 8 /* vectors that stay in registers */
#define INLINE static inline __attribute__((always_inline))

typedef REAL vector __attribute__((vector_size(BYTES)));
typedef __typeof__((vector){0} > (vector){0}) truth;

typedef struct {
    int32_t rows, columns, active;
    const int32_t *active_row; /* [active] the units that another layer reads */
    const int32_t *row_at;     /* [rows + 1] where the weights of a unit begin */
    const int32_t *column;     /* [weights] */
    const int32_t *column_at;  /* [columns + 1] */
    const int32_t *row;        /* [weights], column by column */
    const int32_t *place;      /* [weights] */
    const REAL *weight;        /* [weights] */
    const REAL *bias;          /* [rows], or null */
    REAL *weight_slope, *bias_slope;
    vector *out, *out_slope; /* [rows, width] */
} Layer;

typedef struct {
    int32_t depth, width, batch; /* layers; vectors and examples of a batch */
    int32_t inputs, features;    /* of the first layer, and of an example */
    const int32_t *feature;      /* [inputs] input j of the first layer is feature[j] of an example */
    const Layer *layers;
    vector *in;                  /* [inputs, width] */
    /* Only where batches are read from pixels, four in a word: */
    const uint32_t *pixels;      /* [examples, words] */
    int32_t words, count;        /* of an example, and those that are read */
    const int32_t *word;         /* [count] inputs 4 j to 4 j + 3 are in word[j] */
    const float *scale, *shift;  /* [inputs] */
    const int64_t *classes;      /* [examples] */
} Chain;

const int sparse_vector_bytes = BYTES;

INLINE REAL total(vector v) {
    REAL lane[LANES];
    memcpy(lane, &v, BYTES);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

INLINE void forward_block(const Layer *l, const vector *in, int width, int from, int n, int relu) {
    for (int r = 0; r < l->active; r++) {
        const int o = l->active_row[r];
        const vector start = (vector){0} + (l->bias ? l->bias[o] : 0);
        vector sum[BLOCK];
        for (int b = 0; b < n; b++) sum[b] = start;
        for (int k = l->row_at[o]; k < l->row_at[o + 1]; k++) {
            const vector *x = in + (ptrdiff_t)l->column[k] * width + from;
            const REAL w = l->weight[k];
            for (int b = 0; b < n; b++) sum[b] += w * x[b];
        }
        vector *out = l->out + (ptrdiff_t)o * width + from;
        for (int b = 0; b < n; b++) out[b] = relu ? (vector)((truth)sum[b] & ~(sum[b] <= (vector){0})) : sum[b];
    }
}

INLINE void weight_block(const Layer *l, const vector *in, int width, int from, int n) {
    for (int r = 0; r < l->active; r++) {
        const int o = l->active_row[r];
        vector slope[BLOCK], sum = {0};
        for (int b = 0; b < n; b++) {
            slope[b] = l->out_slope[(ptrdiff_t)o * width + from + b];
            sum += slope[b];
        }
        if (l->bias) l->bias_slope[o] += total(sum);
        for (int k = l->row_at[o]; k < l->row_at[o + 1]; k++) {
            const vector *x = in + (ptrdiff_t)l->column[k] * width + from;
            vector products = x[0] * slope[0];
            for (int b = 1; b < n; b++) products += x[b] * slope[b];
            l->weight_slope[k] += total(products);
        }
    }
}

INLINE void input_block(const Layer *l, const Layer *before, int width, int from, int n) {
    for (int r = 0; r < before->active; r++) {
        const int c = before->active_row[r];
        vector sum[BLOCK];
        for (int b = 0; b < n; b++) sum[b] = (vector){0};
        for (int k = l->column_at[c]; k < l->column_at[c + 1]; k++) {
            const vector *slope = l->out_slope + (ptrdiff_t)l->row[k] * width + from;
            const REAL w = l->weight[l->place[k]];
            for (int b = 0; b < n; b++) sum[b] += w * slope[b];
        }
        const ptrdiff_t at = (ptrdiff_t)c * width + from;
        for (int b = 0; b < n; b++)
            before->out_slope[at + b] = (vector)((truth)sum[b] & (before->out[at + b] > (vector){0}));
    }
}

/* Calls `work(..., from, n)` for blocks of a constant number of vectors each. */
#define BLOCKS(work, ...)                                         \
    for (int from = 0; from < width; from += BLOCK) {             \
        switch (width - from < BLOCK ? width - from : BLOCK) {    \
        case 1: work(__VA_ARGS__, width, from, 1 EXTRA); break;   \
        case 2: work(__VA_ARGS__, width, from, 2 EXTRA); break;   \
        case 3: work(__VA_ARGS__, width, from, 3 EXTRA); break;   \
        case 4: work(__VA_ARGS__, width, from, 4 EXTRA); break;   \
        default:                                                  \
            if (BLOCK > 4 && width - from < BLOCK) {              \
                work(__VA_ARGS__, width, from, 4 EXTRA);          \
                from += 4 - BLOCK;                                \
            } else                                                \
                work(__VA_ARGS__, width, from, BLOCK EXTRA);      \
        }                                                         \
    }

#define EXTRA , relu
static void forward(const Layer *l, const vector *in, int width, int relu) { BLOCKS(forward_block, l, in) }
#undef EXTRA
#define EXTRA
static void weight_slopes(const Layer *l, const vector *in, int width) {
    memset(l->weight_slope, 0, sizeof(REAL) * l->row_at[l->rows]);
    if (l->bias) memset(l->bias_slope, 0, sizeof(REAL) * l->rows);
    BLOCKS(weight_block, l, in)
}
static void input_slopes(const Layer *l, const Layer *before, int width) { BLOCKS(input_block, l, before) }
#undef EXTRA

/* Transposes examples x [count, features] into the first layer's inputs. */
static void read_examples(const Chain *c, const REAL *x, int count) {
    REAL *to = (REAL *)c->in;
    for (int j = 0; j < c->inputs; j++, to += c->width * LANES) {
        for (int i = 0; i < count; i++) to[i] = x[(ptrdiff_t)i * c->features + c->feature[j]];
        for (int i = count; i < c->width * LANES; i++) to[i] = 0;
    }
}

/* The same of the pixels of the examples at these places: normalised as floats, product and sum rounded one by one. */
static void read_pixels(const Chain *c, const int64_t *places, int count) {
    const int stride = c->width * LANES;
    int32_t at[stride], read[stride];
    float scaled[stride];
    for (int i = 0; i < stride; i++) at[i] = i < count ? (int32_t)places[i] * c->words : 0;
    for (int j = 0; j < c->count; j++) {
        for (int i = 0; i < stride; i++) read[i] = (int32_t)c->pixels[at[i] + c->word[j]];
        for (int byte = 0; byte < 4; byte++) {
            REAL *to = (REAL *)c->in + (ptrdiff_t)(4 * j + byte) * stride;
            const float scale = c->scale[4 * j + byte], shift = c->shift[4 * j + byte];
            for (int i = 0; i < stride; i++) scaled[i] = (float)((read[i] >> (8 * byte)) & 255) * scale;
            for (int i = 0; i < stride; i++) to[i] = (REAL)(scaled[i] + shift);
        }
    }
}

static void logits_of(const Chain *c) {
    const Layer *l = c->layers;
    for (int d = 0; d < c->depth; d++) forward(l + d, d ? l[d - 1].out : c->in, c->width, d < c->depth - 1);
}

/* Writes the logits [count, rows] of examples x [count, features]. */
void sparse_logits(const Chain *c, const REAL *x, int count, REAL *logits) {
    const Layer *last = c->layers + c->depth - 1;
    for (int from = 0; from < count; from += c->batch) {
        const int here = count - from < c->batch ? count - from : c->batch;
        read_examples(c, x + (ptrdiff_t)from * c->features, here);
        logits_of(c);
        for (int i = 0; i < here; i++)
            for (int o = 0; o < last->rows; o++)
                logits[(ptrdiff_t)(from + i) * last->rows + o] =
                    ((REAL *)last->out)[(ptrdiff_t)o * c->width * LANES + i];
    }
}

/* Mean cross-entropy of the logits, and its slope in the place of theirs. */
static REAL cross_entropy(const Layer *last, const int64_t *classes, int batch, int width) {
    const int stride = width * LANES, rows = last->rows;
    const REAL *logit = (const REAL *)last->out;
    REAL *slope = (REAL *)last->out_slope;
    REAL highest[stride], sums[stride];
    for (int i = 0; i < stride; i++) highest[i] = logit[i], sums[i] = 0;
    for (int o = 1; o < rows; o++)
        for (int i = 0; i < stride; i++) {
            const REAL value = logit[(ptrdiff_t)o * stride + i];
            highest[i] = value > highest[i] ? value : highest[i];
        }
    for (int o = 0; o < rows; o++)
        for (int i = 0; i < stride; i++) {
            const REAL value = sizeof(REAL) == 4 ? (REAL)expf((float)(logit[(ptrdiff_t)o * stride + i] - highest[i]))
                                                 : (REAL)exp(logit[(ptrdiff_t)o * stride + i] - highest[i]);
            slope[(ptrdiff_t)o * stride + i] = value;
            sums[i] += value;
        }
    double loss = 0;
    for (int i = 0; i < batch; i++)
        loss += log((double)sums[i]) + highest[i] - logit[(ptrdiff_t)classes[i] * stride + i];
    for (int i = 0; i < stride; i++) sums[i] = i < batch ? 1 / (sums[i] * batch) : 0;
    for (int o = 0; o < rows; o++)
        for (int i = 0; i < stride; i++) slope[(ptrdiff_t)o * stride + i] *= sums[i];
    for (int i = 0; i < batch; i++) slope[(ptrdiff_t)classes[i] * stride + i] -= (REAL)1 / batch;
    return (REAL)(loss / batch);
}

/* Writes the slopes of weights and biases; returns the mean loss. */
static REAL slopes_of(const Chain *c, const int64_t *classes, int count) {
    const Layer *l = c->layers;
    logits_of(c);
    const REAL loss = cross_entropy(l + c->depth - 1, classes, count, c->width);
    for (int d = c->depth - 1; d >= 0; d--) {
        if (d) input_slopes(l + d, l + d - 1, c->width);
        weight_slopes(l + d, d ? l[d - 1].out : c->in, c->width);
    }
    return loss;
}

REAL sparse_slopes(const Chain *c, const REAL *x, const int64_t *classes, int count) {
    read_examples(c, x, count);
    return slopes_of(c, classes, count);
}

REAL sparse_slopes_of_pixels(const Chain *c, const int64_t *places, int count) {
    int64_t classes[count];
    for (int i = 0; i < count; i++) classes[i] = c->classes[places[i]];
    read_pixels(c, places, count);
    return slopes_of(c, classes, count);
}

/* torch.optim.SGD; `moment` is null without momentum, and holds that of an earlier step. */
void sparse_sgd(REAL *w, const REAL *slope, REAL *moment, int64_t n, REAL lr, REAL decay, REAL momentum, REAL dampening,
                int nesterov) {
    for (int64_t i = 0; i < n; i++) {
        REAL g = slope[i] + decay * w[i];
        if (moment) {
            moment[i] = momentum * moment[i] + (1 - dampening) * g;
            g = nesterov ? g + momentum * moment[i] : moment[i];
        }
        w[i] -= lr * g;
    }
}

/* torch.optim.Adam, and AdamW where the weight decay is `decoupled`; `step` counts from 1. */
void sparse_adam(REAL *w, const REAL *slope, REAL *mean, REAL *square, int64_t n, double lr, double beta1, double beta2,
                 double eps, double decay, int decoupled, double step) {
    const REAL size = (REAL)(lr / (1 - pow(beta1, step))), root = (REAL)sqrt(1 - pow(beta2, step));
    const REAL shrink = decoupled ? (REAL)(1 - lr * decay) : 1, add = decoupled ? 0 : (REAL)decay;
    const REAL b1 = (REAL)beta1, c1 = (REAL)(1 - beta1), b2 = (REAL)beta2, c2 = (REAL)(1 - beta2), e = (REAL)eps;
    for (int64_t i = 0; i < n; i++) {
        const REAL held = w[i] * shrink, g = slope[i] + add * w[i];
        mean[i] = b1 * mean[i] + c1 * g;
        square[i] = b2 * square[i] + c2 * g * g;
        const REAL spread = sizeof(REAL) == 4 ? (REAL)sqrtf((float)square[i]) : (REAL)sqrt(square[i]);
        w[i] = held - size * mean[i] / (spread / root + e);
    }
}
