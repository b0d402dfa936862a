// From a picture's pixels to a network's inputs, as Pillow and torch compute them.

const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

function sinc(x) {
  if (x === 0) return 1;
  const angle = x * Math.PI;
  return Math.sin(angle) / angle;
}

const LANCZOS = { support: 3, weigh: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) };
const TRIANGLE = { support: 1, weigh: (x) => Math.max(0, 1 - Math.abs(x)) };

// For each of `size` outputs the first input and the weights; `from` and `to` bound the part that is resized.
function makeWeights(inputSize, from, to, size, filter) {
  const scale = Math.fround(to - from) / size;
  const filterScale = Math.max(scale, 1);
  const support = filter.support * filterScale;
  const factor = 1 / filterScale;
  return Array.from({ length: size }, (_, at) => {
    const center = from + (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(inputSize, Math.trunc(center + support + 0.5));
    const weights = new Float64Array(end - first);
    let sum = 0;
    for (let x = 0; x < weights.length; x++) {
      weights[x] = filter.weigh((x + first - center + 0.5) * factor);
      sum += weights[x];
    }
    if (sum !== 0) for (let x = 0; x < weights.length; x++) weights[x] /= sum;
    return { first, weights };
  });
}

// Pillow computes in whole numbers: weights times 2^22, each rounded away from zero.
function makeWholeWeights(inputSize, from, to, size) {
  return makeWeights(inputSize, from, to, size, LANCZOS).map(({ first, weights }) => ({
    first,
    weights: Int32Array.from(weights, (weight) => Math.trunc(weight * 2 ** PRECISION_BITS + (weight < 0 ? -0.5 : 0.5))),
  }));
}

function toByte(sum) {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

// The part of a picture that is used: its largest centred part of the right shape, as ImageOps.fit has it, or all.
function findCrop(width, height, size, isCropped) {
  const shape = size.width / size.height;
  const own = width / height;
  let [cropWidth, cropHeight] = [width, height];
  if (isCropped && own > shape) cropWidth = shape * height;
  else if (isCropped && own < shape) cropHeight = width / shape;
  const left = (width - cropWidth) * 0.5;
  const top = (height - cropHeight) * 0.5;
  return { left, top, right: left + cropWidth, bottom: top + cropHeight };
}

// Resizes a picture that comes in strips of rows, first the rows, then the columns.
class Resizer {
  constructor(width, height, size, isCropped, channels) {
    const box = findCrop(width, height, size, isCropped);
    const [left, top, right, bottom] = [box.left, box.top, box.right, box.bottom].map(Math.fround);
    Object.assign(this, { width, height, size, channels });
    const hasRows = size.width !== width || left !== 0 || right !== size.width;
    const hasColumns = size.height !== height || top !== 0 || bottom !== size.height;
    this.rowWeights = hasRows ? makeWholeWeights(width, left, right, size.width) : null;
    this.columnWeights = hasColumns ? makeWholeWeights(height, top, bottom, size.height) : null;
    const last = this.columnWeights && this.columnWeights[size.height - 1];
    this.firstRow = last ? this.columnWeights[0].first : 0;
    this.endRow = last ? last.first + last.weights.length : height;
    this.rows = new Uint8Array((this.endRow - this.firstRow) * size.width * channels);
  }

  // Takes the pixels of whole rows, red, green, blue and opaque, from row `y` on.
  addRows(pixels, y) {
    const { width, channels } = this;
    const count = pixels.length / (4 * width);
    const line = new Uint8Array(width * channels);
    for (let row = 0; row < count; row++) {
      let at = 4 * row * width;
      for (let x = 0; x < width; x++, at += 4) {
        if (channels === 1) {
          line[x] = (19595 * pixels[at] + 38470 * pixels[at + 1] + 7471 * pixels[at + 2] + 0x8000) >> 16;
        } else {
          line[3 * x] = pixels[at];
          line[3 * x + 1] = pixels[at + 1];
          line[3 * x + 2] = pixels[at + 2];
        }
      }
      this.addRow(line, y + row - this.firstRow);
    }
  }

  addRow(line, row) {
    const { size, channels, rows, rowWeights } = this;
    const start = row * size.width * channels;
    if (!rowWeights) {
      rows.set(line, start);
      return;
    }
    for (let x = 0; x < size.width; x++) {
      const { first, weights } = rowWeights[x];
      for (let channel = 0; channel < channels; channel++) {
        let sum = HALF;
        let at = first * channels + channel;
        for (let k = 0; k < weights.length; k++, at += channels) sum += line[at] * weights[k];
        rows[start + x * channels + channel] = toByte(sum);
      }
    }
  }

  // Returns the resized picture, row by row, the channels of a pixel beside each other.
  finish() {
    if (!this.columnWeights) return this.rows;
    const stride = this.size.width * this.channels;
    const pixels = new Uint8Array(this.size.height * stride);
    this.columnWeights.forEach(({ first, weights }, y) => {
      for (let x = 0; x < stride; x++) {
        let sum = HALF;
        let at = (first - this.firstRow) * stride + x;
        for (let k = 0; k < weights.length; k++, at += stride) sum += this.rows[at] * weights[k];
        pixels[y * stride + x] = toByte(sum);
      }
    });
    return pixels;
  }
}

// (pixel / 255 - mean) / std, one channel after the other.
function normalize(pixels, size, mean, std) {
  const channels = mean.length;
  const area = size.width * size.height;
  const inputs = new Float32Array(channels * area);
  mean.forEach((center, channel) => {
    const scale = Math.fround(1 / (255 * std[channel]));
    const shift = Math.fround(-center / std[channel]);
    for (let at = 0; at < area; at++) inputs[channel * area + at] = shift + pixels[at * channels + channel] * scale;
  });
  return inputs;
}

// Bilinear with antialiasing, as torch's `interpolate` with `antialias=True`.
function shrink(inputs, channels, from, to) {
  if (from.width === to.width && from.height === to.height) return inputs;
  const columns = makeWeights(from.width, 0, from.width, to.width, TRIANGLE);
  const rows = makeWeights(from.height, 0, from.height, to.height, TRIANGLE);
  const outputs = new Float32Array(channels * to.width * to.height);
  const half = new Float64Array(from.height * to.width);
  for (let channel = 0; channel < channels; channel++) {
    const base = channel * from.width * from.height;
    for (let y = 0; y < from.height; y++) {
      columns.forEach(({ first, weights }, x) => {
        half[y * to.width + x] = weights.reduce((sum, weight, k) => sum + weight * inputs[base + y * from.width + first + k], 0);
      });
    }
    rows.forEach(({ first, weights }, y) => {
      for (let x = 0; x < to.width; x++) {
        const sum = weights.reduce((so, weight, k) => so + weight * half[(first + k) * to.width + x], 0);
        outputs[(channel * to.height + y) * to.width + x] = sum;
      }
    });
  }
  return outputs;
}
