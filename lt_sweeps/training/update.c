/* Steps of torch's fused SGD, Adam and AdamW in which pruned weights have no gradient: the mask takes no pass of its own.

   Compiled for REAL = float or double with -ffp-contract=off: products and sums are rounded as torch rounds them, so that
   results are equal bit for bit. A null `keep` keeps all weights. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

INLINE REAL multiply_add(REAL a, REAL b, REAL c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) /* where torch rounds a product and a sum once */
    return sizeof(REAL) == 4 ? (REAL)__builtin_fmaf((float)a, (float)b, (float)c) : (REAL)__builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

INLINE REAL root_of(REAL a) { return sizeof(REAL) == 4 ? (REAL)sqrtf((float)a) : (REAL)sqrt(a); }

/* Both orders in which a compiler may round a product and a sum of two products, for what fills no vector: the `rest`. */
INLINE REAL two_products(REAL a, REAL b, REAL c, REAL d, int rest) {
    return rest ? multiply_add(a, b, c * d) : multiply_add(c, d, a * b);
}

INLINE void sgd(REAL *restrict w, const REAL *restrict slope, const uint8_t *restrict keep, REAL *restrict moment,
                int64_t from, int64_t to, REAL lr, int fades, REAL decay, REAL momentum, REAL fresh, int nesterov,
                int rest) {
    for (int64_t i = from; i < to; i++) {
        REAL g = keep ? slope[i] * (REAL)keep[i] : slope[i];
        if (fades) g = multiply_add(w[i], decay, g);
        if (moment) {
            const REAL m = two_products(moment[i], momentum, g, fresh, rest);
            moment[i] = m;
            g = nesterov ? multiply_add(m, momentum, g) : m;
        }
        w[i] = multiply_add(g, -lr, w[i]);
    }
}

/* `moment` is null without momentum, and holds that of an earlier step; `lanes` are those of torch's vectors. */
void masked_sgd(REAL *w, const REAL *slope, const uint8_t *keep, REAL *moment, int64_t n, int64_t lanes, double lr,
                double decay, double momentum, double dampening, int nesterov) {
    const int64_t whole = n - n % lanes;
#define STEP(keep, moment, from, to, rest)                                                                          \
    sgd(w, slope, keep, moment, from, to, (REAL)lr, decay != 0, (REAL)decay, (REAL)momentum, (REAL)(1 - dampening), \
        nesterov, rest)
    /* with null for what is null each loop is compiled without branches */
    if (keep && moment) STEP(keep, moment, 0, whole, 0);
    else if (keep) STEP(keep, NULL, 0, whole, 0);
    else if (moment) STEP(NULL, moment, 0, whole, 0);
    else STEP(NULL, NULL, 0, whole, 0);
    STEP(keep, moment, whole, n, 1);
}

INLINE void adam(REAL *restrict w, const REAL *restrict slope, const uint8_t *restrict keep, REAL *restrict mean,
                 REAL *restrict square, int64_t from, int64_t to, REAL size, REAL root, REAL c1, REAL b2, REAL c2,
                 REAL eps, int adds, REAL add, REAL shrink, int near, int rest) {
    for (int64_t i = from; i < to; i++) {
        REAL g = keep ? slope[i] * (REAL)keep[i] : slope[i];
        if (adds) g = multiply_add(w[i], add, g);
        const REAL d = g - mean[i];
        const REAL m = near ? multiply_add(c1, d, mean[i]) : rest ? multiply_add(-d, 1 - c1, g) : multiply_add(c1 - 1, d, g);
        const REAL s = two_products(square[i], b2, c2 * g, g, rest);
        mean[i] = m;
        square[i] = s;
        w[i] = w[i] * shrink + -size * m / (root_of(s) / root + eps);
    }
}

/* AdamW where the weight decay is `decoupled`; `step` counts from 1. */
void masked_adam(REAL *w, const REAL *slope, const uint8_t *keep, REAL *mean, REAL *square, int64_t n, int64_t lanes,
                 double lr, double beta1, double beta2, double eps, double decay, int decoupled, double step) {
    const REAL size = (REAL)(lr / (1 - pow(beta1, step))), root = (REAL)sqrt(1 - pow(beta2, step));
    const REAL c1 = (REAL)(1 - beta1), b2 = (REAL)beta2, c2 = (REAL)(1 - beta2);
    const REAL add = (REAL)decay, shrink = decoupled ? (REAL)(1 - lr * decay) : 1;
    const int adds = !decoupled && decay != 0, near = c1 < (REAL)0.5; /* torch interpolates from the nearer end */
    const int64_t whole = n - n % lanes;
#undef STEP
#define STEP(keep, adds, from, to, near, rest)                                                               \
    adam(w, slope, keep, mean, square, from, to, size, root, c1, b2, c2, (REAL)eps, adds, add, shrink, near, \
         rest)
#define NEAR_OR_FAR(keep, adds)                     \
    do {                                            \
        if (near) STEP(keep, adds, 0, whole, 1, 0); \
        else STEP(keep, adds, 0, whole, 0, 0);      \
    } while (0)
    /* with a constant for what does not change each loop is compiled without branches, on vectors */
    if (keep && adds) NEAR_OR_FAR(keep, 1);
    else if (keep) NEAR_OR_FAR(keep, 0);
    else if (adds) NEAR_OR_FAR(NULL, 1);
    else NEAR_OR_FAR(NULL, 0);
    STEP(keep, adds, whole, n, near, 1);
}
