// GPU kernels. NVRTC compiles this source once per stored number type (`-DBF16` or not); the tests compile it as C++ for the CPU and
// compare every kernel with the CPU kernels.
//
// Images are N x H x W x C, convolution kernels k x k x in/groups x out in f32, as on the CPU. One thread computes one element, or the
// sums of one column over a run of rows. Threads neither synchronise nor share memory, so the order of every sum is fixed by the
// source. Sums over many rows are computed in runs, which a later launch adds in order. Compiled without fused multiply-add; explicit
// `fmaf` is the exception.

struct Arguments {
    void *p[12];
    double d[4];
    int n[20];
    float f[12];
};

#define KERNEL(name) extern "C" __global__ void name(const Arguments a)
// Thread `i` of `count`.
#define EACH(count)                                        \
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x; \
    if (i >= (unsigned)(count)) return

#ifdef BF16
struct Real {
    unsigned short bits;
};
__device__ float get(Real value) { return __uint_as_float((unsigned)value.bits << 16); }
// Round to nearest, ties to even; NaN stays NaN.
__device__ Real put(float value) {
    const unsigned bits = __float_as_uint(value);
    Real real;
    real.bits = value != value ? (unsigned short)(bits >> 16 | 0x40) : (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    return real;
}
#else
typedef float Real;
__device__ float get(Real value) { return value; }
__device__ Real put(float value) { return value; }
#endif

// Values stored as `Real`, or as f32 if `wide` (logits and their gradients).
__device__ float at(const void *values, unsigned i, int wide) {
    return wide ? ((const float *)values)[i] : get(((const Real *)values)[i]);
}
__device__ void set(void *values, unsigned i, float value, int wide) {
    if (wide) ((float *)values)[i] = value;
    else ((Real *)values)[i] = put(value);
}
// Stores a gradient, or adds it to the present value.
__device__ void give(void *gradient, unsigned i, float value, int add) {
    Real *into = (Real *)gradient;
    into[i] = put(add ? get(into[i]) + value : value);
}

// NaN stays NaN.
__device__ float hold(float x, float low, float high) {
    if (x < low) x = low;
    return x > high ? high : x;
}
__device__ float pass(float x, float gradient, float low, float high) { return x > low && x < high ? gradient : 0.0f; }

// ---- Augmentation and normalisation of stored patches (src/engine/views.rs, src/engine/augment) ---------------------------------------

// Fields of a patch's transform: sine, cosine, shift x, shift y, flips, black outside, brightness, contrast, saturation, hue, blur
// radius, mean of R, G, B, standard deviation of R, G, B.
#define FIELDS 17
__device__ const double *change_of(const void *table, int image) { return (const double *)table + image * FIELDS; }

__device__ int floor_of(double x) {
    const int near = (int)x;
    return near - (near > x ? 1 : 0);
}
// Stored index for `at` (mirrored at the edge); -1 for black.
__device__ int stands_for(int at, int side, int black) {
    const int last = side - 1;
    if (at >= 0 && at <= last) return at;
    if (black) return -1;
    if (last == 0) return 0;
    at %= 2 * last;
    if (at < 0) at += 2 * last;
    return min(at, 2 * last - at);
}

// Flips, rotation and shift in one resampling, then brightness. p: stored bytes, transforms, pixels. n: pixels, side, size.
KERNEL(view_pixels) {
    EACH(a.n[0]);
    const int side = a.n[1], size = a.n[2], column = (int)i % size, row = (int)i / size % size, image = (int)i / size / size;
    const double *change = change_of(a.p[1], image);
    const unsigned char *stored = (const unsigned char *)a.p[0] + (unsigned)image * side * side * 3;
    float *pixel = (float *)a.p[2] + 3 * i;
    const double from = (side - 1.0) / 2.0, to = (size - 1.0) / 2.0;
    const double u = column - to - change[2], v = row - to - change[3];
    double x = change[1] * u + change[0] * v, y = change[1] * v - change[0] * u;
    const int flips = (int)change[4], black = change[5] != 0.0;
    if (flips & 4) {
        const double other = x;
        x = y;
        y = other;
    }
    if (flips & 1) x = -x;
    if (flips & 2) y = -y;
    x += from;
    y += from;
    const int left = floor_of(x), top = floor_of(y);
    const float wx = (float)(x - left), wy = (float)(y - top);
    float sums[3] = {0.0f, 0.0f, 0.0f};
    for (int corner = 0; corner < 4; corner++) {
        const int dx = corner & 1, dy = corner >> 1;
        const float weight = (dx ? wx : 1.0f - wx) * (dy ? wy : 1.0f - wy);
        if (!(weight > 0.0f)) continue;
        const int column = stands_for(left + dx, side, black), row = stands_for(top + dy, side, black);
        if (column < 0 || row < 0) continue;
        const unsigned char *bytes = stored + (row * side + column) * 3;
        for (int c = 0; c < 3; c++) sums[c] += weight * (float)bytes[c] / 255.0f;
    }
    const float brightness = (float)change[6];
    for (int c = 0; c < 3; c++) pixel[c] = brightness == 1.0f ? sums[c] : hold(sums[c] * brightness, 0.0f, 1.0f);
}

// Grey value: ITU-R 601 with torchvision's coefficients.
__device__ float grey(const float *pixel) { return 0.2989f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2]; }

// Sum of the grey values of each row. p: pixels, sums (f64). n: rows, size.
KERNEL(view_greys) {
    EACH(a.n[0]);
    const float *pixels = (const float *)a.p[0] + 3 * i * a.n[1];
    double sum = 0.0;
    for (int column = 0; column < a.n[1]; column++) sum += grey(pixels + 3 * column);
    ((double *)a.p[1])[i] = sum;
}

// Offset that contrast adds to each value of an image. p: sums, transforms, offsets. n: images, size.
KERNEL(view_rests) {
    EACH(a.n[0]);
    const int size = a.n[1];
    double sum = 0.0;
    for (int row = 0; row < size; row++) sum += ((const double *)a.p[0])[i * size + row];
    ((float *)a.p[2])[i] = (1.0f - (float)change_of(a.p[1], (int)i)[7]) * (float)(sum / (size * size));
}

// Remainder of division by 1, for numbers between -1 and 2.
__device__ float wrapped(float hue) { return hue >= 1.0f ? hue - 1.0f : hue < 0.0f ? hue + 1.0f : hue; }

// Shifts the hue of a pixel.
__device__ void turn(float *pixel, float by) {
    const float r = pixel[0], g = pixel[1], b = pixel[2];
    float high = r > g ? r : g, low = r < g ? r : g;
    high = high > b ? high : b;
    low = low < b ? low : b;
    float h = 0.0f, s = 0.0f;
    if (high != low) {
        const float range = high - low, rc = (high - r) / range, gc = (high - g) / range, bc = (high - b) / range;
        const float sixth = high == r ? bc - gc : high == g ? 2.0f + rc - bc : 4.0f + gc - rc;
        h = wrapped(sixth / 6.0f + 1.0f);
        s = range / high;
    }
    h = wrapped(h + by);
    const int sixth = (int)(h * 6.0f);
    const float f = h * 6.0f - (float)sixth, v = high;
    const float p = hold(v * (1.0f - s), 0.0f, 1.0f), q = hold(v * (1.0f - s * f), 0.0f, 1.0f);
    const float t = hold(v * (1.0f - s * (1.0f - f)), 0.0f, 1.0f);
    const int part = sixth % 6;
    pixel[0] = part == 0 ? v : part == 1 ? q : part == 2 ? p : part == 3 ? p : part == 4 ? t : v;
    pixel[1] = part == 0 ? t : part == 1 ? v : part == 2 ? v : part == 3 ? q : part == 4 ? p : p;
    pixel[2] = part == 0 ? p : part == 1 ? p : part == 2 ? t : part == 3 ? v : part == 4 ? v : q;
}

// Contrast, saturation and hue, in place. p: pixels, transforms, offsets or none. n: pixels, pixels per image.
KERNEL(view_colors) {
    EACH(a.n[0]);
    const int image = (int)i / a.n[1];
    const double *change = change_of(a.p[1], image);
    float *pixel = (float *)a.p[0] + 3 * i;
    const float contrast = (float)change[7], saturation = (float)change[8], hue = (float)change[9];
    if (a.p[2] && contrast != 1.0f) {
        const float rest = ((const float *)a.p[2])[image];
        for (int c = 0; c < 3; c++) pixel[c] = hold(pixel[c] * contrast + rest, 0.0f, 1.0f);
    }
    if (saturation != 1.0f) {
        const float rest = (1.0f - saturation) * grey(pixel);
        for (int c = 0; c < 3; c++) pixel[c] = hold(pixel[c] * saturation + rest, 0.0f, 1.0f);
    }
    if (hue != 0.0f) turn(pixel, hue);
}

// One direction of a Gaussian blur, mirrored at the edge. p: pixels, transforms, weights, blurred. n: pixels, size, weights per image,
// vertical.
KERNEL(view_blur) {
    EACH(a.n[0]);
    const int size = a.n[1], column = (int)i % size, row = (int)i / size % size, image = (int)i / size / size, down = a.n[3];
    const int at = down ? row : column, reach = (int)change_of(a.p[1], image)[10];
    const float *weights = (const float *)a.p[2] + image * a.n[2];
    const float *line = (const float *)a.p[0] + 3 * (i - (unsigned)(down ? row * size : column));
    const int step = down ? 3 * size : 3;
    float *to = (float *)a.p[3] + 3 * i;
    for (int c = 0; c < 3; c++) {
        float sum = 0.0f;
        for (int distance = 0; distance <= reach; distance++) {
            const float weight = reach ? weights[distance] : 1.0f;
            sum += weight * line[stands_for(at - distance, size, 0) * step + c];
            if (distance) sum += weight * line[stands_for(at + distance, size, 0) * step + c];
        }
        to[c] = sum;
    }
}

// Normalisation for the network, in place. p: pixels, transforms. n: pixels, pixels per image.
KERNEL(view_normals) {
    EACH(a.n[0]);
    const double *change = change_of(a.p[1], (int)i / a.n[1]);
    float *pixel = (float *)a.p[0] + 3 * i;
    for (int c = 0; c < 3; c++) pixel[c] = (pixel[c] - (float)change[11 + c]) / (float)change[14 + c];
}

// ---- Copies and casts -----------------------------------------------------------------------------------------------------------

// x (rows x n1 floats) to y (rows x n2); columns beyond n1 are zeros.
KERNEL(from_floats) {
    EACH(a.n[0]);
    const unsigned row = i / a.n[2], column = i % a.n[2];
    ((Real *)a.p[1])[i] = put(column < (unsigned)a.n[1] ? ((const float *)a.p[0])[row * a.n[1] + column] : 0.0f);
}

KERNEL(to_floats) {
    EACH(a.n[0]);
    ((float *)a.p[1])[i] = get(((const Real *)a.p[0])[i]);
}

// Convolution kernel in cuDNN's order: out x k x k x in, channels padded with zeros.
KERNEL(pack) {
    const unsigned taps = a.n[0], in = a.n[1], out = a.n[2], padded = a.n[3];
    EACH(out * taps * padded);
    const unsigned c = i % padded, tap = i / padded % taps, o = i / padded / taps;
    ((Real *)a.p[1])[i] = put(c < in ? ((const float *)a.p[0])[(tap * in + c) * out + o] : 0.0f);
}

// Inverse, for gradients.
KERNEL(unpack) {
    const unsigned taps = a.n[0], in = a.n[1], out = a.n[2], padded = a.n[3];
    EACH(out * taps * in);
    const unsigned o = i % out, c = i / out % in, tap = i / out / in;
    ((float *)a.p[1])[i] = get(((const Real *)a.p[0])[(o * taps + tap) * padded + c]);
}

// y (rows x n2), columns from n3 on, = x (rows x n1).
KERNEL(put_columns) {
    EACH(a.n[0]);
    const unsigned row = i / a.n[1], column = i % a.n[1];
    ((Real *)a.p[1])[row * a.n[2] + a.n[3] + column] = ((const Real *)a.p[0])[i];
}

// Backward: gradient of x.
KERNEL(take_columns) {
    EACH(a.n[0]);
    const unsigned row = i / a.n[1], column = i % a.n[1];
    give(a.p[1], i, get(((const Real *)a.p[0])[row * a.n[2] + a.n[3] + column]), a.n[4]);
}

// Transposes each image (n1 x n2).
KERNEL(transpose) {
    EACH(a.n[0]);
    const unsigned rows = a.n[1], columns = a.n[2], image = i / (rows * columns), place = i % (rows * columns);
    const unsigned column = place / rows, row = place % rows;
    give(a.p[1], i, get(((const Real *)a.p[0])[(image * rows + row) * columns + column]), a.n[3]);
}

// ---- Convolutions that cuDNN does not do well: linear layers with few outputs, depthwise convolutions --------------------------------

struct Shape {
    int images, height, width, channels, out, kernel, stride, padding, dilation, groups, rows, columns;
};
__device__ Shape shape(const int *n) {
    Shape s = {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11]};
    return s;
}

// p: x, kernel, bias or none, y. n12: y is wide.
KERNEL(conv_forward) {
    const Shape s = shape(a.n);
    EACH(s.images * s.rows * s.columns * s.out);
    const float *kernel = (const float *)a.p[1], *bias = (const float *)a.p[2];
    const int o = i % s.out, column = i / s.out % s.columns, row = i / s.out / s.columns % s.rows;
    const int image = i / s.out / s.columns / s.rows, in = s.channels / s.groups, first = o / (s.out / s.groups) * in;
    float sum = bias ? bias[o] : 0.0f;
    for (int tap = 0; tap < s.kernel * s.kernel; tap++) {
        const int y = row * s.stride + tap / s.kernel * s.dilation - s.padding;
        const int x = column * s.stride + tap % s.kernel * s.dilation - s.padding;
        if (y < 0 || y >= s.height || x < 0 || x >= s.width) continue;
        const Real *pixel = (const Real *)a.p[0] + ((unsigned)(image * s.height + y) * s.width + x) * s.channels + first;
        const float *weights = kernel + (unsigned)tap * in * s.out + o;
        for (int c = 0; c < in; c++) sum = fmaf(get(pixel[c]), weights[(unsigned)c * s.out], sum);
    }
    set(a.p[3], i, sum, a.n[12]);
}

// p: dy, kernel, dx. n12: dy is wide; n13: add to dx.
KERNEL(conv_input_gradient) {
    const Shape s = shape(a.n);
    EACH(s.images * s.height * s.width * s.channels);
    const float *kernel = (const float *)a.p[1];
    const int channel = i % s.channels, x = i / s.channels % s.width, y = i / s.channels / s.width % s.height;
    const int image = i / s.channels / s.width / s.height;
    const int in = s.channels / s.groups, of_group = s.out / s.groups, first = channel / in * of_group;
    float sum = 0.0f;
    for (int tap = 0; tap < s.kernel * s.kernel; tap++) {
        const int down = y + s.padding - tap / s.kernel * s.dilation, right = x + s.padding - tap % s.kernel * s.dilation;
        if (down < 0 || right < 0 || down % s.stride != 0 || right % s.stride != 0) continue;
        const int row = down / s.stride, column = right / s.stride;
        if (row >= s.rows || column >= s.columns) continue;
        const unsigned gradient = ((unsigned)(image * s.rows + row) * s.columns + column) * s.out + first;
        const float *weights = kernel + ((unsigned)tap * in + channel % in) * s.out + first;
        for (int o = 0; o < of_group; o++) sum = fmaf(at(a.p[0], gradient + o, a.n[12]), weights[o], sum);
    }
    give(a.p[2], i, sum, a.n[13]);
}

// Sums over runs of n14 output pixels; n13 runs. p: x, dy, runs (n13 x kernel). n12: dy is wide.
KERNEL(conv_kernel_gradient) {
    const Shape s = shape(a.n);
    const int in = s.channels / s.groups, length = s.kernel * s.kernel * in * s.out;
    EACH(a.n[13] * length);
    const int run = i / length, place = i % length, o = place % s.out, c = place / s.out % in, tap = place / s.out / in;
    const int channel = o / (s.out / s.groups) * in + c, pixels = s.images * s.rows * s.columns;
    const int end = min((run + 1) * a.n[14], pixels);
    float sum = 0.0f;
    for (int pixel = run * a.n[14]; pixel < end; pixel++) {
        const int column = pixel % s.columns, row = pixel / s.columns % s.rows, image = pixel / s.columns / s.rows;
        const int y = row * s.stride + tap / s.kernel * s.dilation - s.padding;
        const int x = column * s.stride + tap % s.kernel * s.dilation - s.padding;
        if (y < 0 || y >= s.height || x < 0 || x >= s.width) continue;
        const unsigned from = ((unsigned)(image * s.height + y) * s.width + x) * s.channels + channel;
        sum = fmaf(get(((const Real *)a.p[0])[from]), at(a.p[1], (unsigned)pixel * s.out + o, a.n[12]), sum);
    }
    ((float *)a.p[2])[i] = sum;
}

// Adds n1 runs of n0 sums in order.
KERNEL(add_runs) {
    EACH(a.n[0]);
    const float *runs = (const float *)a.p[0];
    double sum = 0.0;
    for (int run = 0; run < a.n[1]; run++) sum += runs[(unsigned)run * a.n[0] + i];
    ((float *)a.p[1])[i] = (float)sum;
}

KERNEL(add_bias) {
    EACH(a.n[0]);
    Real *y = (Real *)a.p[1];
    y[i] = put(get(y[i]) + ((const float *)a.p[0])[i % a.n[1]]);
}

// ---- Sums by column: batch norms and biases --------------------------------------------------------------------------------------

// Two sums of one column: blocks of 16 rows in f32, added in f64, as on the CPU.
struct Sums {
    float s, q;
    double sum, square;
    int rows;
};
__device__ void add(Sums *sums, float s, float q) {
    sums->s += s;
    sums->q += q;
    if (++sums->rows % 16 == 0) {
        sums->sum += sums->s;
        sums->square += sums->q;
        sums->s = sums->q = 0.0f;
    }
}
__device__ void leave(const Sums *sums, void *runs, unsigned i) {
    ((double *)runs)[2 * i] = sums->sum + sums->s;
    ((double *)runs)[2 * i + 1] = sums->square + sums->q;
}

// Sums of x and x² over runs of n2 rows. p: x, runs (n3 x n1 x 2). n: rows, columns, rows per run, runs, x is wide.
KERNEL(column_moments) {
    EACH(a.n[3] * a.n[1]);
    const int columns = a.n[1], run = i / columns, column = i % columns, end = min((run + 1) * a.n[2], a.n[0]);
    Sums sums = {0.0f, 0.0f, 0.0, 0.0, 0};
    for (int row = run * a.n[2]; row < end; row++) {
        const float x = at(a.p[0], (unsigned)row * columns + column, a.n[4]);
        add(&sums, x, x * x);
    }
    leave(&sums, a.p[1], i);
}

// Adds runs of pairs in order, 32 at a time. p: runs (n1 x n0 x 2), fewer runs. n: columns, runs, remaining runs.
KERNEL(add_pairs) {
    EACH(a.n[2] * a.n[0]);
    const int columns = a.n[0], first = i / columns * 32, column = i % columns, end = min(first + 32, a.n[1]);
    const double *runs = (const double *)a.p[0];
    double sum = 0.0, square = 0.0;
    for (int run = first; run < end; run++) {
        sum += runs[2 * ((unsigned)run * columns + column)];
        square += runs[2 * ((unsigned)run * columns + column) + 1];
    }
    ((double *)a.p[1])[2 * i] = sum;
    ((double *)a.p[1])[2 * i + 1] = square;
}

__device__ double total(const void *runs, int count, int columns, int column, int which) {
    double sum = 0.0;
    for (int run = 0; run < count; run++) sum += ((const double *)runs)[2 * ((unsigned)run * columns + column) + which];
    return sum;
}

// Gradient of a bias. p: runs, gradient. n: columns, runs.
KERNEL(bias_gradient) {
    EACH(a.n[0]);
    ((float *)a.p[1])[i] = (float)total(a.p[0], a.n[1], a.n[0], i, 0);
}

// Statistics of one channel. p: runs (none: running statistics), gamma, beta, running (means, variances), kept (mean, 1/std,
// scale, shift). n: channels, runs, rows; d: eps, momentum.
KERNEL(norm_statistics) {
    EACH(a.n[0]);
    const int channels = a.n[0];
    float *running = (float *)a.p[3], *kept = (float *)a.p[4];
    double mean, variance;
    if (a.p[0]) {
        const double rows = a.n[2], unbiased = rows / (max(a.n[2], 2) - 1);
        mean = total(a.p[0], a.n[1], channels, i, 0) / rows;
        variance = total(a.p[0], a.n[1], channels, i, 1) / rows - mean * mean;
        // NaN becomes 0, as on the CPU; the mean stays NaN.
        variance = variance > 0.0 ? variance : 0.0;
        running[i] = (float)((1.0 - a.d[1]) * running[i] + a.d[1] * (float)mean);
        running[channels + i] = (float)((1.0 - a.d[1]) * running[channels + i] + a.d[1] * ((float)variance * unbiased));
    } else {
        mean = running[i];
        variance = running[channels + i];
    }
    const float inverse = (float)(1.0 / sqrt(variance + a.d[0])), scale = ((const float *)a.p[1])[i] * inverse;
    kept[i] = (float)mean;
    kept[channels + i] = inverse;
    kept[2 * channels + i] = scale;
    kept[3 * channels + i] = ((const float *)a.p[2])[i] - (float)mean * scale;
}

// y = scale x + shift (+ extra), clipped to the bounds. p: x, kept, extra or none, y. n: count, channels; f: bounds.
KERNEL(norm_affine) {
    EACH(a.n[0]);
    const int channels = a.n[1], c = i % channels;
    const float *scale = (const float *)a.p[1] + 2 * channels, *shift = scale + channels;
    float y = get(((const Real *)a.p[0])[i]) * scale[c] + shift[c];
    if (a.p[2]) y = y + get(((const Real *)a.p[2])[i]);
    ((Real *)a.p[3])[i] = put(hold(y, a.f[0], a.f[1]));
}

// Gradient through the ReLU (in place, and to the residual), and the sums of g and g (x - mean) over runs of rows.
// p: x, dy, kept, y, residual's gradient or none, runs. n: rows, channels, rows per run, runs, gradients that pass (0 all, 1 those
// with scale x + shift between the bounds, 2 those with y between the bounds), add to the residual's; f: bounds.
KERNEL(norm_sums) {
    EACH(a.n[3] * a.n[1]);
    const int channels = a.n[1], run = i / channels, c = i % channels, end = min((run + 1) * a.n[2], a.n[0]);
    const float *kept = (const float *)a.p[2];
    const float mean = kept[c], scale = kept[2 * channels + c], shift = kept[3 * channels + c];
    Real *dy = (Real *)a.p[1];
    Sums sums = {0.0f, 0.0f, 0.0, 0.0, 0};
    for (int row = run * a.n[2]; row < end; row++) {
        const unsigned place = (unsigned)row * channels + c;
        const float x = get(((const Real *)a.p[0])[place]);
        float g = get(dy[place]);
        if (a.n[4] == 1) g = pass(x * scale + shift, g, a.f[0], a.f[1]);
        if (a.n[4] == 2) g = pass(get(((const Real *)a.p[3])[place]), g, a.f[0], a.f[1]);
        if (a.n[4] != 0) dy[place] = put(g);
        if (a.p[4]) give(a.p[4], place, g, a.n[5]);
        add(&sums, g, g * (x - mean));
    }
    leave(&sums, a.p[5], i);
}

// Coefficients of dx = of_g g + of_x x + fixed, and the gradients of gamma and beta. p: runs, gamma, kept, dgamma or none, dbeta or
// none, coefficients. n: channels, runs, rows, running statistics in use.
KERNEL(norm_factors) {
    EACH(a.n[0]);
    const int channels = a.n[0];
    const float *kept = (const float *)a.p[2];
    float *factors = (float *)a.p[5];
    if (a.n[3]) {
        factors[i] = kept[2 * channels + i];
        factors[channels + i] = factors[2 * channels + i] = 0.0f;
        return;
    }
    const double count = a.n[2], inverse = kept[channels + i], sum = total(a.p[0], a.n[1], channels, i, 0);
    const double product = total(a.p[0], a.n[1], channels, i, 1) * inverse;
    if (a.p[3]) ((float *)a.p[3])[i] = (float)product;
    if (a.p[4]) ((float *)a.p[4])[i] = (float)sum;
    const double of_g = (double)((const float *)a.p[1])[i] * inverse, of_x = -of_g * inverse * product / count;
    factors[i] = (float)of_g;
    factors[channels + i] = (float)of_x;
    factors[2 * channels + i] = (float)(-of_g * sum / count - of_x * (double)kept[i]);
}

// p: x, g, coefficients, dx. n: count, channels, add to dx.
KERNEL(norm_combine) {
    EACH(a.n[0]);
    const int channels = a.n[1], c = i % channels;
    const float *factors = (const float *)a.p[2], x = get(((const Real *)a.p[0])[i]), g = get(((const Real *)a.p[1])[i]);
    give(a.p[3], i, factors[c] * g + factors[channels + c] * x + factors[2 * channels + c], a.n[2]);
}

// ---- Elementwise operations ------------------------------------------------------------------------------------------------------

// p: x, other or none, y. n: count; f: bounds.
KERNEL(sum_rectified) {
    EACH(a.n[0]);
    float y = get(((const Real *)a.p[0])[i]);
    if (a.p[1]) y = y + get(((const Real *)a.p[1])[i]);
    ((Real *)a.p[2])[i] = put(hold(y, a.f[0], a.f[1]));
}

// Gradient through a ReLU, and of a second summand. p: y, dy, dx, other's gradient or none. n: count, add to dx, add to the
// other's; f: bounds.
KERNEL(sum_gradient) {
    EACH(a.n[0]);
    const float g = pass(get(((const Real *)a.p[0])[i]), get(((const Real *)a.p[1])[i]), a.f[0], a.f[1]);
    if (a.p[2]) give(a.p[2], i, g, a.n[1]);
    if (a.p[3]) give(a.p[3], i, g, a.n[2]);
}

// Copies a gradient. p: dy, dx. n: count, add.
KERNEL(copy_gradient) {
    EACH(a.n[0]);
    give(a.p[1], i, get(((const Real *)a.p[0])[i]), a.n[1]);
}

// p: x, mask (f32), y or dx. n: count, add.
KERNEL(mask) {
    EACH(a.n[0]);
    give(a.p[2], i, get(((const Real *)a.p[0])[i]) * ((const float *)a.p[1])[i], a.n[1]);
}

// exp of the CPU kernels (src/engine/kernels/smooth.rs), operation by operation.
__device__ float own_exp(float x) {
    const float round = 12582912.0f;
    if (x < -87.0f) x = -87.0f;
    if (x > 88.0f) x = 88.0f;
    const float shifted = x * 1.4426950408889634f + round, whole = shifted - round;
    const float r = x - whole * 0.6933594f - whole * -2.1219444e-4f;
    const float series =
        1.0f + r * (1.0f + r * (1.0f / 2.0f + r * (1.0f / 6.0f + r * (1.0f / 24.0f + r * (1.0f / 120.0f + r / 720.0f)))));
    return series * __uint_as_float((__float_as_uint(shifted) - __float_as_uint(round) + 127u) << 23);
}

__device__ float below(float x, float *density) {
    const float terms[10] = {0.22571148f, 0.22486451f,  0.21563728f, 0.1263649f, 0.2815612f,
                             -0.30190313f, 0.56835896f, -0.5143947f, 0.2046002f, -0.03080068f};
    const float z = fabsf(x) * 0.70710678118654752f, t = 1.0f / (1.0f + 0.4f * z), bell = own_exp(-0.5f * x * x);
    float series = terms[9];
    for (int at = 8; at >= 0; at--) series = series * t + terms[at];
    const float tail = 0.5f * t * series * bell;
    *density = 0.3989423f * bell;
    return x < 0.0f ? tail : 1.0f - tail;
}

__device__ float own_tanh(float x) {
    const float size = fabsf(x), e = own_exp(-2.0f * size), s = x * x;
    const float near = size * (1.0f + s * (-1.0f / 3.0f + s * (2.0f / 15.0f + s * (-17.0f / 315.0f + s * (62.0f / 2835.0f)))));
    const float y = s < 0.0625f ? near : (1.0f - e) / (1.0f + e);
    return x < 0.0f ? -y : y;
}

// p: x, y. n: count, function (0 gelu, 1 silu, 2 tanh, 3 sigmoid).
KERNEL(smooth) {
    EACH(a.n[0]);
    const float x = get(((const Real *)a.p[0])[i]);
    float density, y;
    switch (a.n[1]) {
        case 0: y = x * below(x, &density); break;
        case 1: y = x / (1.0f + own_exp(-x)); break;
        case 2: y = own_tanh(x); break;
        default: y = 1.0f / (1.0f + own_exp(-x));
    }
    ((Real *)a.p[1])[i] = put(y);
}

// p: x, dy, dx. n: count, function, add.
KERNEL(smooth_gradient) {
    EACH(a.n[0]);
    const float x = get(((const Real *)a.p[0])[i]), dy = get(((const Real *)a.p[1])[i]);
    float slope;
    if (a.n[1] == 0) {
        float density;
        const float share = below(x, &density);
        slope = share + x * density;
    } else if (a.n[1] == 1) {
        const float e = own_exp(-x), share = 1.0f / (1.0f + e), rest = e * share;
        slope = share * (1.0f + x * rest);
    } else {
        const float e = own_exp((a.n[1] == 2 ? -2.0f : -1.0f) * fabsf(x)), share = 1.0f / (1.0f + e);
        slope = (a.n[1] == 2 ? 4.0f : 1.0f) * e * share * share;
    }
    give(a.p[2], i, dy * slope, a.n[2]);
}

// ---- Pooling ---------------------------------------------------------------------------------------------------------------------

struct Window {
    int height, width, channels, kernel, stride, padding, rows, columns;
};
__device__ Window window(const int *n) {
    Window w = {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]};
    return w;
}
// Pixel that a tap of an output reads, or -1.
__device__ int pixel(const Window &w, int at, int tap) {
    const int y = at / w.columns * w.stride + tap / w.kernel - w.padding, x = at % w.columns * w.stride + tap % w.kernel - w.padding;
    return y < 0 || y >= w.height || x < 0 || x >= w.width ? -1 : y * w.width + x;
}
// First output along an axis whose window contains `at` (padded); the last is at / stride.
__device__ int first_holder(const Window &w, int at) { return max(at - w.kernel + w.stride, 0) / w.stride; }

// p: x, y, positions (u8). n8: count.
KERNEL(max_pool) {
    EACH(a.n[8]);
    const Window w = window(a.n);
    const int c = i % w.channels, outputs = w.rows * w.columns, place = i / w.channels % outputs, image = i / w.channels / outputs;
    const Real *x = (const Real *)a.p[0] + (unsigned)image * w.height * w.width * w.channels + c;
    float largest = -__uint_as_float(0x7f800000u);
    int where = -1;
    for (int tap = 0; tap < w.kernel * w.kernel; tap++) {
        const int from = pixel(w, place, tap);
        if (from < 0) continue;
        const float value = get(x[(unsigned)from * w.channels]);
        if (where < 0) where = tap;
        if (value > largest || value != value) {
            largest = value;
            where = tap;
        }
    }
    ((Real *)a.p[1])[i] = put(largest);
    ((unsigned char *)a.p[2])[i] = (unsigned char)(where < 0 ? 0 : where);
}

// Gradient of pooling, summed over the outputs that contain a pixel. p: dy, positions (none: means), dx. n8: count, n9: add.
KERNEL(pool_gradient) {
    EACH(a.n[8]);
    const Window w = window(a.n);
    const int c = i % w.channels, x = i / w.channels % w.width + w.padding, y = i / w.channels / w.width % w.height + w.padding;
    const int image = i / w.channels / w.width / w.height;
    const float count = (float)(w.kernel * w.kernel);
    float sum = 0.0f;
    for (int row = first_holder(w, y); row <= y / w.stride && row < w.rows; row++) {
        for (int column = first_holder(w, x); column <= x / w.stride && column < w.columns; column++) {
            const unsigned from = ((unsigned)(image * w.rows + row) * w.columns + column) * w.channels + c;
            const float dy = get(((const Real *)a.p[0])[from]);
            const int tap = (y - row * w.stride) * w.kernel + x - column * w.stride;
            if (!a.p[1]) sum += dy / count;
            else if (((const unsigned char *)a.p[1])[from] == tap) sum += dy;
        }
    }
    give(a.p[2], i, sum, a.n[9]);
}

// p: x, y. n8: count. Padding counts as zeros.
KERNEL(mean_pool) {
    EACH(a.n[8]);
    const Window w = window(a.n);
    const int c = i % w.channels, outputs = w.rows * w.columns, place = i / w.channels % outputs, image = i / w.channels / outputs;
    const Real *x = (const Real *)a.p[0] + (unsigned)image * w.height * w.width * w.channels + c;
    float sum = 0.0f;
    for (int tap = 0; tap < w.kernel * w.kernel; tap++) {
        const int from = pixel(w, place, tap);
        if (from >= 0) sum += get(x[(unsigned)from * w.channels]);
    }
    ((Real *)a.p[1])[i] = put(sum / (float)(w.kernel * w.kernel));
}

// Bounds of part `at` of `parts` along an axis (PyTorch's AdaptiveAvgPool2d).
__device__ int part_from(int at, int parts, int length) { return at * length / parts; }
__device__ int part_to(int at, int parts, int length) { return ((at + 1) * length + parts - 1) / parts; }

// Means of side x side parts. p: x, y. n: count, height, width, channels, side.
KERNEL(part_means) {
    EACH(a.n[0]);
    const int height = a.n[1], width = a.n[2], channels = a.n[3], side = a.n[4];
    const int c = i % channels, right = i / channels % side, down = i / channels / side % side, image = i / channels / side / side;
    const int top = part_from(down, side, height), bottom = part_to(down, side, height);
    const int left = part_from(right, side, width), end = part_to(right, side, width);
    float sum = 0.0f;
    for (int y = top; y < bottom; y++)
        for (int x = left; x < end; x++)
            sum += get(((const Real *)a.p[0])[((unsigned)(image * height + y) * width + x) * channels + c]);
    ((Real *)a.p[1])[i] = put(sum / (float)((bottom - top) * (end - left)));
}

// p: dy, dx. n: count (of x), height, width, channels, side, add.
KERNEL(part_means_gradient) {
    EACH(a.n[0]);
    const int height = a.n[1], width = a.n[2], channels = a.n[3], side = a.n[4];
    const int c = i % channels, x = i / channels % width, y = i / channels / width % height, image = i / channels / width / height;
    float sum = 0.0f;
    for (int down = 0; down < side; down++) {
        const int top = part_from(down, side, height), bottom = part_to(down, side, height);
        if (y < top || y >= bottom) continue;
        for (int right = 0; right < side; right++) {
            const int left = part_from(right, side, width), end = part_to(right, side, width);
            if (x < left || x >= end) continue;
            const unsigned from = ((unsigned)(image * side + down) * side + right) * channels + c;
            sum += get(((const Real *)a.p[0])[from]) / (float)((bottom - top) * (end - left));
        }
    }
    give(a.p[1], i, sum, a.n[5]);
}

// p: x, y, positions (u32). n: count, pixels, channels.
KERNEL(image_max) {
    EACH(a.n[0]);
    const int pixels = a.n[1], channels = a.n[2], c = i % channels, image = i / channels;
    float largest = -__uint_as_float(0x7f800000u);
    unsigned where = 0;
    for (int at = 0; at < pixels; at++) {
        const float value = get(((const Real *)a.p[0])[(unsigned)(image * pixels + at) * channels + c]);
        if (value > largest || value != value) {
            largest = value;
            where = at;
        }
    }
    ((Real *)a.p[1])[i] = put(largest);
    ((unsigned *)a.p[2])[i] = where;
}

// p: dy, positions, dx. n: count (of x), pixels, channels, add.
KERNEL(image_max_gradient) {
    EACH(a.n[0]);
    const int pixels = a.n[1], channels = a.n[2], c = i % channels, image = i / channels / pixels;
    const unsigned from = (unsigned)image * channels + c, at = i / channels % pixels;
    give(a.p[2], i, ((const unsigned *)a.p[1])[from] == at ? get(((const Real *)a.p[0])[from]) : 0.0f, a.n[3]);
}

// ---- Optimizers, on f32 ------------------------------------------------------------------------------------------------------------

// p: values, gradient, first, second. n: count; f: beta1, 1 - beta1, beta2, 1 - beta2, eps, size, root, shrink, l2.
KERNEL(adam) {
    EACH(a.n[0]);
    float *values = (float *)a.p[0], *first = (float *)a.p[2], *second = (float *)a.p[3];
    const float g = ((const float *)a.p[1])[i] + a.f[8] * values[i];
    const float m = a.f[0] * first[i] + a.f[1] * g, v = a.f[2] * second[i] + a.f[3] * g * g;
    first[i] = m;
    second[i] = v;
    values[i] = values[i] * a.f[7] - a.f[5] * m / (sqrtf(v) / a.f[6] + a.f[4]);
}

// p: values, gradient, momentum or none. n: count, Nesterov; f: rate, decay, momentum.
KERNEL(sgd) {
    EACH(a.n[0]);
    float *values = (float *)a.p[0], *first = (float *)a.p[2];
    const float g = ((const float *)a.p[1])[i] + a.f[1] * values[i];
    float step = g;
    if (first) {
        const float m = a.f[2] * first[i] + g;
        first[i] = m;
        step = a.n[1] ? g + a.f[2] * m : m;
    }
    values[i] -= a.f[0] * step;
}
