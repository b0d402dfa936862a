// Batch normalization with the operations around it in a residual network, fused. Forward pass: normalize, add the
// shortcut, apply the ReLU. Backward pass: add the gradients of two readers, pass the ReLU, compute all gradients.
//
// Requirements:
// - The same bits for any number of threads: pixels are divided into kBlocks blocks in any case, and the sums of the
//   blocks are added in their order, in double.
// - As few passes over an activation as possible: two in each direction.
//
// Activations are bfloat16, channels last: m rows (pixels) of c channels. Parameters and statistics are float. c is a
// multiple of 16. For CPUs with AVX512-BF16.
//
// Source of the formulas: Ioffe and Szegedy 2015, arXiv:1502.03167, section 3.

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

using bfloat16 = uint16_t;

constexpr int kLanes = 16;
constexpr int64_t kBlocks = 64;
constexpr int64_t kRows = 64;  // of a tile, so that all its channels stay in the cache

float widen(bfloat16 value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float wide;
    __builtin_memcpy(&wide, &bits, sizeof wide);
    return wide;
}

inline __m512 load(const bfloat16* from) {
    const __m256i narrow = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16));
}

inline void store(bfloat16* to, __m512 values) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(values));
}

inline __m512 load(const float* from) { return _mm512_loadu_ps(from); }
inline void store(float* to, __m512 values) { _mm512_storeu_ps(to, values); }

// Calls work(block, first row, end, first channel) for every tile of rows and T vectors of channels, in parallel.
template <int T, class Work>
void for_tiles(int64_t m, int64_t c, int threads, Work work) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t block = 0; block < kBlocks; ++block) {
        const int64_t end = m * (block + 1) / kBlocks;
        for (int64_t row = m * block / kBlocks; row < end; row += kRows)
            for (int64_t channel = 0; channel < c; channel += T * kLanes)
                work(block, row, std::min(end, row + kRows), channel);
    }
}

// Adds up two values of each channel over the blocks, and calls take(channel, first sum, second sum).
template <class Take>
void add_up(const std::vector<float>& sums, int64_t c, Take take) {
    for (int64_t channel = 0; channel < c; ++channel) {
        double first = 0, second = 0;
        for (int64_t block = 0; block < kBlocks; ++block) {
            first += sums[2 * block * c + channel];
            second += sums[(2 * block + 1) * c + channel];
        }
        take(channel, first, second);
    }
}

struct Forward {
    const bfloat16 *inputs, *shortcut;  // shortcut: null for none
    bfloat16* outputs;
    const float *weight, *bias;
    float *mean, *variance, *scale;  // per channel; scale: 1 / std
    int64_t m, c;
    float epsilon;
    bool has_relu;
    int threads;
};

// The normalization of a channel as a linear function: factor times input plus offset.
template <int T>
struct Line {
    __m512 factor[T], offset[T];

    Line(const float* weight, const float* bias, const float* mean, const float* scale, int64_t channel) {
        for (int t = 0; t < T; ++t) {
            const int64_t at = channel + t * kLanes;
            factor[t] = _mm512_mul_ps(load(weight + at), load(scale + at));
            offset[t] = _mm512_fnmadd_ps(load(mean + at), factor[t], load(bias + at));
        }
    }

    __m512 value(int t, __m512 input) const { return _mm512_fmadd_ps(input, factor[t], offset[t]); }
};

template <int T>
void measure(const Forward& f) {
    // Sums of differences from each channel's first pixel: sums of the values themselves would cancel where the std is
    // small beside the mean.
    std::vector<float> sums(2 * kBlocks * f.c, 0.0f);
    for_tiles<T>(f.m, f.c, f.threads, [&](int64_t block, int64_t row, int64_t end, int64_t channel) {
        float* to = &sums[2 * block * f.c + channel];
        __m512 first[T], sum[T], squares[T];
        for (int t = 0; t < T; ++t) {
            first[t] = load(f.inputs + channel + t * kLanes);
            sum[t] = load(to + t * kLanes);
            squares[t] = load(to + f.c + t * kLanes);
        }
        for (; row < end; ++row)
            for (int t = 0; t < T; ++t) {
                const __m512 value = _mm512_sub_ps(load(f.inputs + row * f.c + channel + t * kLanes), first[t]);
                sum[t] = _mm512_add_ps(sum[t], value);
                squares[t] = _mm512_fmadd_ps(value, value, squares[t]);
            }
        for (int t = 0; t < T; ++t) {
            store(to + t * kLanes, sum[t]);
            store(to + f.c + t * kLanes, squares[t]);
        }
    });
    add_up(sums, f.c, [&](int64_t channel, double sum, double squares) {
        const double mean = sum / f.m, variance = std::max(0.0, squares / f.m - mean * mean);
        f.mean[channel] = static_cast<float>(mean + widen(f.inputs[channel]));
        f.variance[channel] = static_cast<float>(variance);
        f.scale[channel] = static_cast<float>(1 / std::sqrt(variance + f.epsilon));
    });
}

template <int T, bool HasShortcut, bool HasRelu>
void normalize(const Forward& f) {
    for_tiles<T>(f.m, f.c, f.threads, [&](int64_t, int64_t row, int64_t end, int64_t channel) {
        const Line<T> line(f.weight, f.bias, f.mean, f.scale, channel);
        for (; row < end; ++row)
            for (int t = 0; t < T; ++t) {
                const int64_t at = row * f.c + channel + t * kLanes;
                __m512 value = line.value(t, load(f.inputs + at));
                if (HasShortcut) value = _mm512_add_ps(value, load(f.shortcut + at));
                // max returns its second operand for NaN: in this order NaN is passed on, as in torch.
                if (HasRelu) value = _mm512_max_ps(_mm512_setzero_ps(), value);
                store(f.outputs + at, value);
            }
    });
}

template <int T>
void run(const Forward& f) {
    measure<T>(f);
    if (f.shortcut)
        f.has_relu ? normalize<T, true, true>(f) : normalize<T, true, false>(f);
    else
        f.has_relu ? normalize<T, false, true>(f) : normalize<T, false, false>(f);
}

struct Backward {
    const bfloat16 *inputs, *outputs;           // outputs: null where the ReLU needs none
    const bfloat16 *gradient, *other_gradient;  // of the outputs; other_gradient: of a second reader, or null
    bfloat16 *of_inputs, *of_shortcut;          // of_shortcut: null without a shortcut
    const float *weight, *bias, *mean, *scale;
    float *of_weight, *of_bias;
    int64_t m, c;
    bool has_relu;
    int threads;
};

// The source of the ReLU's mask: kNot without a ReLU; kByInputs computes the outputs again, which reads less memory;
// kByOutputs reads the outputs, since they contain the shortcut.
enum class ReluMask { kNone, kFromInputs, kFromOutputs };

// The gradient of the ReLU's input, summed over both readers.
template <int T, ReluMask Mask, bool HasOther>
inline __m512 arriving(const Backward& b, const Line<T>& line, int t, int64_t at, __m512 input) {
    __m512 gradient = load(b.gradient + at);
    if (HasOther) gradient = _mm512_add_ps(gradient, load(b.other_gradient + at));
    if (Mask != ReluMask::kNone) {
        const __m512 output = Mask == ReluMask::kFromInputs ? line.value(t, input) : load(b.outputs + at);
        gradient = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(output, _mm512_setzero_ps(), _CMP_NLE_UQ), gradient);
    }
    return gradient;
}

template <int T, ReluMask Mask, bool HasOther, bool HasShortcut>
void backward(const Backward& b) {
    std::vector<float> sums(2 * kBlocks * b.c, 0.0f), by_gradient(b.c), by_input(b.c), offset(b.c);
    for_tiles<T>(b.m, b.c, b.threads, [&](int64_t block, int64_t row, int64_t end, int64_t channel) {
        float* to = &sums[2 * block * b.c + channel];
        const Line<T> line(b.weight, b.bias, b.mean, b.scale, channel);
        __m512 mean[T], sum[T], products[T];
        for (int t = 0; t < T; ++t) {
            mean[t] = load(b.mean + channel + t * kLanes);
            sum[t] = load(to + t * kLanes);
            products[t] = load(to + b.c + t * kLanes);
        }
        for (; row < end; ++row)
            for (int t = 0; t < T; ++t) {
                const int64_t at = row * b.c + channel + t * kLanes;
                const __m512 input = load(b.inputs + at);
                const __m512 gradient = arriving<T, Mask, HasOther>(b, line, t, at, input);
                if (HasShortcut) store(b.of_shortcut + at, gradient);
                sum[t] = _mm512_add_ps(sum[t], gradient);
                products[t] = _mm512_fmadd_ps(gradient, _mm512_sub_ps(input, mean[t]), products[t]);
            }
        for (int t = 0; t < T; ++t) {
            store(to + t * kLanes, sum[t]);
            store(to + b.c + t * kLanes, products[t]);
        }
    });
    // The gradient of an input is a sum of three terms: proportional to the gradient of its output, proportional to its
    // distance from the mean, and a constant of the channel.
    add_up(sums, b.c, [&](int64_t channel, double sum, double products) {
        const double scale = b.scale[channel], factor = b.weight[channel] * scale;
        const double slope = -factor * scale * scale * products / b.m;
        b.of_bias[channel] = static_cast<float>(sum);
        b.of_weight[channel] = static_cast<float>(products * scale);
        by_gradient[channel] = static_cast<float>(factor);
        by_input[channel] = static_cast<float>(slope);
        offset[channel] = static_cast<float>(-factor * sum / b.m);
    });
    for_tiles<T>(b.m, b.c, b.threads, [&](int64_t, int64_t row, int64_t end, int64_t channel) {
        const Line<T> line(b.weight, b.bias, b.mean, b.scale, channel);
        __m512 mean[T], gradients[T], inputs[T], rest[T];
        for (int t = 0; t < T; ++t) {
            mean[t] = load(b.mean + channel + t * kLanes);
            gradients[t] = load(&by_gradient[channel + t * kLanes]);
            inputs[t] = load(&by_input[channel + t * kLanes]);
            rest[t] = load(&offset[channel + t * kLanes]);
        }
        for (; row < end; ++row)
            for (int t = 0; t < T; ++t) {
                const int64_t at = row * b.c + channel + t * kLanes;
                const __m512 input = load(b.inputs + at);
                const __m512 gradient =
                    HasShortcut ? load(b.of_shortcut + at) : arriving<T, Mask, HasOther>(b, line, t, at, input);
                const __m512 distance = _mm512_sub_ps(input, mean[t]);
                store(b.of_inputs + at,
                      _mm512_fmadd_ps(gradients[t], gradient, _mm512_fmadd_ps(inputs[t], distance, rest[t])));
            }
    });
}

template <int T, bool HasOther>
void run_with(const Backward& b) {
    if (b.of_shortcut)
        b.has_relu ? backward<T, ReluMask::kFromOutputs, HasOther, true>(b) : backward<T, ReluMask::kNone, HasOther, true>(b);
    else
        b.has_relu ? backward<T, ReluMask::kFromInputs, HasOther, false>(b) : backward<T, ReluMask::kNone, HasOther, false>(b);
}

template <int T>
void run(const Backward& b) {
    b.other_gradient ? run_with<T, true>(b) : run_with<T, false>(b);
}

template <class Task>
void run_by_width(const Task& task) {
    if (task.c % (4 * kLanes) == 0)
        run<4>(task);
    else if (task.c % (2 * kLanes) == 0)
        run<2>(task);
    else
        run<1>(task);
}

}  // namespace

extern "C" void normalize_forward(const bfloat16* inputs, const bfloat16* shortcut, bfloat16* outputs,
                                  const float* weight, const float* bias, float* mean, float* variance, float* scale,
                                  int64_t m, int64_t c, float epsilon, int has_relu, int threads) {
    run_by_width(Forward{inputs, shortcut, outputs, weight, bias, mean, variance, scale, m, c, epsilon,
                         has_relu != 0, threads});
}

extern "C" void normalize_backward(const bfloat16* inputs, const bfloat16* outputs, const bfloat16* gradient,
                                   const bfloat16* other_gradient, bfloat16* of_inputs, bfloat16* of_shortcut,
                                   const float* weight, const float* bias, const float* mean, const float* scale,
                                   float* of_weight, float* of_bias, int64_t m, int64_t c, int has_relu, int threads) {
    run_by_width(Backward{inputs, outputs, gradient, other_gradient, of_inputs, of_shortcut, weight, bias, mean, scale,
                          of_weight, of_bias, m, c, has_relu != 0, threads});
}
