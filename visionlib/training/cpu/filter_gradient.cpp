// The gradient of the filters of a 3 x 3 convolution with zero padding of 1 and stride 1, on AMX, the matrix unit of
// Intel CPUs: for each of the nine taps, the sum over all pixels of the outputs' gradients times the shifted inputs.
//
// Activations are bfloat16, channels last: n images of h x w pixels of c or k channels. Sums are float. Each thread
// takes a part of the images; the threads' sums are added in their order, so that the same number of threads gives the
// same bits. w is even, c and k are multiples of 32.
//
// AMX multiplies a tile of 16 rows of 32 numbers by one of 32 rows of 16, which is stored as 16 rows of 16 pairs. The
// inner dimension is the pixels: the first tile holds the gradients of 16 channels at 32 pixels, the second the inputs
// of 32 pixels and 16 channels. Inputs are laid out three times, each shifted by a column. A tap in the row above or
// below then reads the same tiles at an offset of one row of the image.
//
// Source of the instructions: Intel Architecture Instruction Set Extensions Reference, chapter 3.

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

using bfloat16 = uint16_t;

constexpr int kSide = 16;                    // of a tile of sums
constexpr int kPixels = 2 * kSide;           // of a tile of factors
constexpr int kTile = kSide * kPixels;       // numbers in a tile of factors
constexpr int kSums = kSide * kSide;         // numbers in a tile of sums
constexpr int64_t kPixelsAtOnce = 1024;      // laid out at once, so that they stay in the cache

struct Task {
    const bfloat16 *inputs, *gradient;
    bfloat16* of_filters;  // k, 3, 3, c
    int64_t n, h, w, c, k;
    int threads;

    int64_t pairs() const { return (h + 2) * w / 2; }                            // of pixels of a padded image
    int64_t tiles() const { return (h * w + kPixels - 1) / kPixels; }            // of pixels of an image
    int64_t reach() const { return std::max(pairs(), w + tiles() * kSide); }     // pairs that the last tap's tiles touch
};

inline __m512i pair(__m256i even, __m256i odd) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
}

inline __m256i pixel(const bfloat16* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }

// Lays out one image's inputs: for each shift and each 16 channels, pairs of pixels, row by row.
void lay_out_inputs(const Task& task, const bfloat16* image, bfloat16* to, int64_t room) {
    const __m256i zero = _mm256_setzero_si256();
    const int64_t c = task.c, w = task.w, width = c / kSide;
    for (int64_t shift = 0; shift < 3; ++shift)
        for (int64_t y = 0; y < task.h; ++y)
            for (int64_t x = 0; x < w; x += 2) {
                const int64_t left = x + shift - 1, right = left + 1;
                const bfloat16* row = image + y * w * c;
                bfloat16* at = to + (shift * width * room + ((y + 1) * w + x) / 2) * kPixels;
                for (int64_t t = 0; t < width; ++t, at += room * kPixels) {
                    const __m256i even = left < 0 ? zero : pixel(row + left * c + t * kSide);
                    const __m256i odd = right >= w ? zero : pixel(row + right * c + t * kSide);
                    _mm512_storeu_si512(at, pair(even, odd));
                }
            }
}

inline void transpose(__m512i (&rows)[kSide]) {
    __m512i other[kSide];
    for (int i = 0; i < kSide; i += 2) {
        other[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        other[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < kSide; i += 4) {
        rows[i] = _mm512_unpacklo_epi64(other[i], other[i + 2]);
        rows[i + 1] = _mm512_unpackhi_epi64(other[i], other[i + 2]);
        rows[i + 2] = _mm512_unpacklo_epi64(other[i + 1], other[i + 3]);
        rows[i + 3] = _mm512_unpackhi_epi64(other[i + 1], other[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        other[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
        other[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
        other[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
        other[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; ++i) {
        rows[i] = _mm512_shuffle_i32x4(other[i], other[i + 8], 0x88);
        rows[i + 8] = _mm512_shuffle_i32x4(other[i], other[i + 8], 0xdd);
    }
}

// Lays out one image's gradients: for each 16 channels, tiles with a row per channel.
void lay_out_gradient(const Task& task, const bfloat16* image, bfloat16* to, int64_t room) {
    const int64_t pixels = task.h * task.w;
    const __m256i zero = _mm256_setzero_si256();
    for (int64_t tile = 0; tile < task.tiles(); ++tile)
        for (int64_t t = 0; t < task.k / kSide; ++t) {
            __m512i rows[kSide];
            for (int64_t i = 0; i < kSide; ++i) {
                const int64_t at = tile * kPixels + 2 * i;
                const bfloat16* from = image + at * task.k + t * kSide;
                rows[i] = at < pixels ? pair(pixel(from), pixel(from + task.k)) : pair(zero, zero);
            }
            transpose(rows);
            for (int64_t i = 0; i < kSide; ++i)
                _mm512_storeu_si512(to + (t * room + tile) * kTile + i * kPixels, rows[i]);
        }
}

// An array of zeros aligned to cache lines, so that no row of a tile spans two.
template <class Number>
class Lines {
  public:
    explicit Lines(int64_t size) : room_(size + 64 / sizeof(Number), Number{}) {}

    Number* data() {
        const auto at = reinterpret_cast<uintptr_t>(room_.data());
        return reinterpret_cast<Number*>((at + 63) / 64 * 64);
    }

  private:
    std::vector<Number> room_;
};

// Memory that is needed soon, prefetched in parts during the products.
struct Ahead {
    const char* at;
    const char* end;

    void fetch(int64_t bytes) {
        const char* until = std::min(end, at + bytes);
        for (; at < until; at += 64) _mm_prefetch(at, _MM_HINT_T1);
    }
};

// Adds the products of the images that are laid out to the sums, two by two tiles of sums at a time.
void multiply(const Task& task, const bfloat16* gradient, const bfloat16* inputs, int64_t images, int64_t room,
              float* sums, Ahead next_gradient, Ahead next_inputs) {
    const int64_t width = task.c / kSide, tiles = task.tiles(), rounds = 9 * task.k * task.c / (4 * kSums);
    const int64_t chunk = (next_gradient.end - next_gradient.at) / rounds + 64;
    const int64_t other_share = (next_inputs.end - next_inputs.at) / rounds + 64;
    for (int64_t t = 0; t < task.k / kSide; t += 2)
        for (int64_t tap = 0; tap < 9; ++tap)
            for (int64_t s = 0; s < width; s += 2) {
                next_gradient.fetch(chunk);
                next_inputs.fetch(other_share);
                float* to = sums + ((t * 9 + tap) * width + s) * kSums;
                float* below = to + 9 * width * kSums;
                const int64_t line = kSide * sizeof(float);
                _tile_loadd(0, to, line);
                _tile_loadd(1, to + kSums, line);
                _tile_loadd(2, below, line);
                _tile_loadd(3, below + kSums, line);
                for (int64_t image = 0; image < images; ++image) {
                    const bfloat16* rows = gradient + (t * room + image) * tiles * kTile;
                    const bfloat16* columns =
                        inputs + (((tap % 3 * width + s) * room + image) * task.reach() + tap / 3 * task.w / 2) * kPixels;
                    for (int64_t tile = 0; tile < tiles; ++tile, rows += kTile, columns += kTile) {
                        _tile_loadd(4, rows, 64);
                        _tile_loadd(5, rows + room * tiles * kTile, 64);
                        _tile_loadd(6, columns, 64);
                        _tile_loadd(7, columns + room * task.reach() * kPixels, 64);
                        _tile_dpbf16ps(0, 4, 6);
                        _tile_dpbf16ps(1, 4, 7);
                        _tile_dpbf16ps(2, 5, 6);
                        _tile_dpbf16ps(3, 5, 7);
                    }
                }
                _tile_stored(0, to, line);
                _tile_stored(1, to + kSums, line);
                _tile_stored(2, below, line);
                _tile_stored(3, below + kSums, line);
            }
}

struct alignas(64) TileShapes {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};
};

void learn_images(const Task& task, int64_t first, int64_t end, float* sums) {
    TileShapes shapes;
    std::fill_n(shapes.bytes, 8, uint16_t{64});
    std::fill_n(shapes.rows, 8, uint8_t{kSide});
    _tile_loadconfig(&shapes);
    const int64_t pixels = task.h * task.w, room = std::max<int64_t>(1, kPixelsAtOnce / pixels);
    // Zeros: the padding above and below is never written, and memory behind an image is multiplied by zero gradients.
    Lines<bfloat16> inputs(3 * task.c * room * task.reach() * 2), gradient(task.k * room * task.tiles() * kPixels);
    for (int64_t at = first; at < end; at += room) {
        const int64_t images = std::min(room, end - at);
        for (int64_t image = 0; image < images; ++image) {
            lay_out_inputs(task, task.inputs + (at + image) * pixels * task.c,
                           inputs.data() + image * task.reach() * kPixels, room * task.reach());
            lay_out_gradient(task, task.gradient + (at + image) * pixels * task.k,
                             gradient.data() + image * task.tiles() * kTile, room * task.tiles());
        }
        const int64_t from = at + images, to = std::min(end, from + room);
        multiply(task, gradient.data(), inputs.data(), images, room, sums,
                 {reinterpret_cast<const char*>(task.gradient + from * pixels * task.k),
                  reinterpret_cast<const char*>(task.gradient + to * pixels * task.k)},
                 {reinterpret_cast<const char*>(task.inputs + from * pixels * task.c),
                  reinterpret_cast<const char*>(task.inputs + to * pixels * task.c)});
    }
    _tile_release();
}

bfloat16 narrow(float value) {
    const __m128bh pair = _mm_cvtneps_pbh(_mm_set_ss(value));
    bfloat16 bits;
    std::memcpy(&bits, &pair, sizeof bits);
    return bits;
}

}  // namespace

// Requests AMX from the kernel, which a process must do before its first use; returns whether it was granted.
extern "C" int allow_matrix_units() {
    constexpr int kRequestPermission = 0x1023, kTileData = 18;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

extern "C" void filter_gradient(const bfloat16* inputs, const bfloat16* gradient, bfloat16* of_filters, int64_t n,
                                int64_t h, int64_t w, int64_t c, int64_t k, int threads) {
    const Task task{inputs, gradient, of_filters, n, h, w, c, k, threads};
    const int64_t size = 9 * c * k, width = c / kSide;
    Lines<float> of_threads(threads * size);
    float* sums = of_threads.data();
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int thread = 0; thread < threads; ++thread)
        learn_images(task, n * thread / threads, n * (thread + 1) / threads, sums + thread * size);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < k; ++row)
        for (int64_t tap = 0; tap < 9; ++tap)
            for (int64_t column = 0; column < c; ++column) {
                const int64_t tile = (row / kSide * 9 + tap) * width + column / kSide;
                float sum = 0;
                for (int thread = 0; thread < threads; ++thread)
                    sum += sums[thread * size + tile * kSums + row % kSide * kSide + column % kSide];
                of_filters[(row * 9 + tap) * c + column] = narrow(sum);
            }
}
