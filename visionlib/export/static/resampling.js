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

// One row of bytes with fewer or more pixels; a row that keeps its size has no weights.
function resizeRow(line, weights, channels) {
  if (!weights) return line;
  const outputs = new Uint8Array(weights.length * channels);
  weights.forEach(({ first, weights: own }, x) => {
    for (let channel = 0; channel < channels; channel++) {
      let sum = HALF;
      let at = first * channels + channel;
      for (let k = 0; k < own.length; k++, at += channels) sum += line[at] * own[k];
      outputs[x * channels + channel] = toByte(sum);
    }
  });
  return outputs;
}

function readColours(line, pixels, start, channels) {
  for (let x = 0, at = start; x < line.length; at += 4) {
    if (channels === 1) {
      line[x++] = (19595 * pixels[at] + 38470 * pixels[at + 1] + 7471 * pixels[at + 2] + 0x8000) >> 16;
    } else {
      line[x++] = pixels[at];
      line[x++] = pixels[at + 1];
      line[x++] = pixels[at + 2];
    }
  }
}

// Resizes a picture that comes row by row. Each pass ends in bytes, so that their order matters: Pillow 13 takes the
// columns first where these lose more than twice as many pixels as the rows.
class Resizer {
  constructor(width, height, size, isCropped, channels) {
    const box = findCrop(width, height, size, isCropped);
    const [left, top, right, bottom] = [box.left, box.top, box.right, box.bottom].map(Math.fround);
    Object.assign(this, { width, size, channels });
    const hasRows = size.width !== width || left !== 0 || right !== size.width;
    this.rowWeights = hasRows ? makeWholeWeights(width, left, right, size.width) : null;
    const hasColumns = size.height !== height || top !== 0 || bottom !== size.height;
    const columnWeights = hasColumns
      ? makeWholeWeights(height, top, bottom, size.height)
      : Array.from({ length: height }, (_, first) => ({ first, weights: [2 ** PRECISION_BITS] }));
    this.firstRow = columnWeights[0].first;
    const last = columnWeights[size.height - 1];
    this.endRow = last.first + last.weights.length;
    this.isColumnsFirst = height > size.height && height - size.height > 2 * (width - size.width);
    this.sums = new Int32Array(size.height * (this.isColumnsFirst ? width : size.width) * channels).fill(HALF);
    // For each row the outputs that it is part of, with its weight.
    this.parts = Array.from({ length: this.endRow - this.firstRow }, () => []);
    columnWeights.forEach(({ first, weights }, y) => {
      weights.forEach((weight, k) => { if (weight) this.parts[first + k - this.firstRow].push([y, weight]); });
    });
  }

  // Takes the pixels of whole rows, red, green, blue and opaque, from row `y` on.
  addRows(pixels, y) {
    const line = new Uint8Array(this.width * this.channels);
    for (let start = 0; start < pixels.length; start += 4 * this.width, y++) {
      readColours(line, pixels, start, this.channels);
      const row = this.isColumnsFirst ? line : resizeRow(line, this.rowWeights, this.channels);
      for (const [output, weight] of this.parts[y - this.firstRow]) {
        const base = output * row.length;
        for (let x = 0; x < row.length; x++) this.sums[base + x] += row[x] * weight;
      }
    }
  }

  // Returns the resized picture, row by row, the channels of a pixel beside each other.
  finish() {
    const bytes = Uint8Array.from(this.sums, toByte);
    if (!this.isColumnsFirst) return bytes;
    const stride = this.width * this.channels;
    const pixels = new Uint8Array(this.size.height * this.size.width * this.channels);
    for (let y = 0; y < this.size.height; y++) {
      const row = resizeRow(bytes.subarray(y * stride, (y + 1) * stride), this.rowWeights, this.channels);
      pixels.set(row, y * this.size.width * this.channels);
    }
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
