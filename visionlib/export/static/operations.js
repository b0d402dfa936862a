// What an operation of the list computes, from flat arrays: image by channel by row by column.

const countOf = (shape) => shape.reduce((product, side) => product * side, 1);

// Chebyshev's approximation, as in Numerical Recipes; the error is below 1.2e-7.
const ERROR_TERMS = [
  -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277,
];
function erf(x) {
  const t = 1 / (1 + 0.5 * Math.abs(x));
  const rest = t * Math.exp(ERROR_TERMS.reduceRight((sum, term) => sum * t + term, 0) - x * x);
  return x >= 0 ? 1 - rest : rest - 1;
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const clamp = (x, low, high) => (low !== null && x < low ? low : high !== null && x > high ? high : x);
const GELU_FACTOR = Math.sqrt(2 / Math.PI);

// Functions of single numbers, by the settings of the operation.
const FUNCTIONS = {
  relu: () => (x) => (x > 0 ? x : 0),
  gelu: ({ approximate }) => approximate === "tanh"
    ? (x) => 0.5 * x * (1 + Math.tanh(GELU_FACTOR * (x + 0.044715 * x ** 3)))
    : (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  sigmoid: () => sigmoid,
  tanh: () => Math.tanh,
  silu: () => (x) => x * sigmoid(x),
  leaky_relu: ({ slope }) => (x) => (x > 0 ? x : slope * x),
  elu: ({ alpha, scale, input_scale: inputScale }) => (x) => scale * (x > 0 ? x : alpha * Math.expm1(x * inputScale)),
  clamp: ({ low, high }) => (x) => clamp(x, low, high),
  hardswish: () => (x) => (x * clamp(x + 3, 0, 6)) / 6,
  hardsigmoid: () => (x) => clamp(x + 3, 0, 6) / 6,
  scalar: ({ factor, shift }) => (x) => x * factor + shift,
};

const PAIRS = { add: (a, b) => a + b, sub: (a, b) => a - b, mul: (a, b) => a * b, div: (a, b) => a / b };

// The step in an array for each dimension of `shape`; 0 where the array is repeated.
function stepsWithin(own, shape) {
  let step = 1;
  const steps = shape.map(() => 0);
  for (let back = 1; back <= own.length; back++) {
    const side = own[own.length - back];
    if (side > 1) steps[shape.length - back] = step;
    step *= side;
  }
  return steps;
}

// Calls `visit` with the place in the result, and the steps' sum at its position.
function walk(shape, steps, visit) {
  const sides = [...Array(4 - shape.length).fill(1), ...shape];
  const all = steps.map((own) => [...Array(4 - own.length).fill(0), ...own]);
  let at = 0;
  for (let n = 0; n < sides[0]; n++) {
    for (let c = 0; c < sides[1]; c++) {
      for (let y = 0; y < sides[2]; y++) {
        const bases = all.map((own) => n * own[0] + c * own[1] + y * own[2]);
        for (let x = 0; x < sides[3]; x++, at++) visit(at, bases[0] + x * all[0][3], bases.length > 1 ? bases[1] + x * all[1][3] : 0);
      }
    }
  }
}

function combine(a, b, layer) {
  const outputs = new Float32Array(countOf(layer.shape));
  const pair = PAIRS[layer.name];
  const steps = layer.inputShapes.map((own) => stepsWithin(own, layer.shape));
  walk(layer.shape, steps, (at, left, right) => { outputs[at] = pair(a[left], b[right]); });
  return outputs;
}

function pool(inputs, layer, window) {
  const { inputShape: [, channels, height, width], shape: [, , outHeight, outWidth], kind } = layer;
  const outputs = new Float32Array(channels * outHeight * outWidth);
  let at = 0;
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < outHeight; row++) {
      for (let column = 0; column < outWidth; column++, at++) {
        const { y: ys, x: xs, divisor } = window(row, column);
        let sum = 0;
        let largest = -Infinity;
        for (const y of ys) {
          for (const x of xs) {
            const value = inputs[(channel * height + y) * width + x];
            sum += value;
            if (value > largest || Number.isNaN(value)) largest = value;
          }
        }
        outputs[at] = kind === "mean" ? sum / (divisor || ys.length * xs.length) : largest;
      }
    }
  }
  return outputs;
}

// The positions of each window along one side, within the picture, and the number of all with those in the padding.
function listWindows(count, side, kernel, stride, padding, dilation) {
  return Array.from({ length: count }, (_, at) => {
    const all = Array.from({ length: kernel }, (__, k) => at * stride - padding + k * dilation);
    return { within: all.filter((place) => place >= 0 && place < side), count: all.filter((place) => place < side + padding).length };
  });
}

function poolWindows(inputs, layer) {
  const { inputShape, shape, kernel, stride, padding, dilation, counts_padding: countsPadding } = layer;
  const [rows, columns] = [0, 1].map((k) =>
    listWindows(shape[2 + k], inputShape[2 + k], kernel[k], stride[k], padding[k], dilation[k]));
  return pool(inputs, layer, (row, column) => ({
    y: rows[row].within,
    x: columns[column].within,
    divisor: countsPadding ? rows[row].count * columns[column].count : 0,
  }));
}

function poolAdaptively(inputs, layer) {
  const { inputShape, shape } = layer;
  const [rows, columns] = [2, 3].map((k) => Array.from({ length: shape[k] }, (_, at) => {
    const first = Math.floor((at * inputShape[k]) / shape[k]);
    return Array.from({ length: Math.ceil(((at + 1) * inputShape[k]) / shape[k]) - first }, (__, step) => first + step);
  }));
  return pool(inputs, layer, (row, column) => ({ y: rows[row], x: columns[column], divisor: 0 }));
}

function multiplyRow(inputs, layer) {
  const [weights, bias] = layer.tensors;
  const width = inputs.length;
  return Float32Array.from(bias, (sum, row) => {
    for (let k = 0; k < width; k++) sum += weights[row * width + k] * inputs[k];
    return sum;
  });
}

function scaleChannels(inputs, layer) {
  const [scale, shift] = layer.tensors;
  const area = inputs.length / scale.length;
  return inputs.map((value, at) => value * scale[Math.floor(at / area)] + shift[Math.floor(at / area)]);
}

function takeSlice(inputs, layer) {
  const { shape, inputShape, dim, start, step } = layer;
  const strides = inputShape.map((_, at) => countOf(inputShape.slice(at + 1)));
  const steps = strides.map((stride, at) => (at === dim ? stride * step : stride));
  const outputs = new Float32Array(countOf(shape));
  walk(shape, [steps], (at, from) => { outputs[at] = inputs[from + start * strides[dim]]; });
  return outputs;
}

// Padding by a negative number cuts off.
function pad(inputs, layer) {
  const { shape, inputShape, before, value } = layer;
  const outputs = new Float32Array(countOf(shape)).fill(value);
  const strides = shape.map((_, at) => countOf(shape.slice(at + 1)));
  inputs.forEach((number, at) => {
    let rest = at;
    let to = 0;
    for (let k = shape.length - 1; k >= 0; k--) {
      const place = (rest % inputShape[k]) + before[k];
      if (place < 0 || place >= shape[k]) return;
      rest = Math.floor(rest / inputShape[k]);
      to += place * strides[k];
    }
    outputs[to] = number;
  });
  return outputs;
}

function concatenate(parts, layer) {
  const { shape, inputShapes, dim } = layer;
  const outputs = new Float32Array(countOf(shape));
  const stride = countOf(shape.slice(dim));
  let offset = 0;
  parts.forEach((part, number) => {
    const own = countOf(inputShapes[number].slice(dim));
    for (let row = 0; row * own < part.length; row++) outputs.set(part.subarray(row * own, (row + 1) * own), row * stride + offset);
    offset += own;
  });
  return outputs;
}

const OPERATIONS = {
  conv2d: ([inputs], layer) => convolve(inputs, layer),
  pool2d: ([inputs], layer) => poolWindows(inputs, layer),
  adaptive_pool2d: ([inputs], layer) => poolAdaptively(inputs, layer),
  linear: ([inputs], layer) => multiplyRow(inputs, layer),
  affine: ([inputs], layer) => scaleChannels(inputs, layer),
  slice: ([inputs], layer) => takeSlice(inputs, layer),
  pad: ([inputs], layer) => pad(inputs, layer),
  reshape: ([inputs]) => inputs,
  cat: concatenate,
  constant: (_, layer) => layer.tensors[0],
};

function compute(inputs, layer) {
  if (Object.hasOwn(OPERATIONS, layer.name)) return OPERATIONS[layer.name](inputs, layer);
  if (Object.hasOwn(PAIRS, layer.name)) return combine(...inputs, layer);
  return inputs[0].map(FUNCTIONS[layer.name](layer));
}
