// Convolution: patches of the inputs in panels of two pixels, weights in panels of four channels, and their product.

const BLOCK = 64;

// Weights channel by channel become panels of four output channels of one group, with zeros for absent ones.
function packWeights(weights, channels, length, groups) {
  const perGroup = channels / groups;
  const panels = Math.ceil(perGroup / 4);
  const packed = new Float32Array(groups * panels * 4 * length);
  for (let channel = 0; channel < channels; channel++) {
    const group = Math.floor(channel / perGroup);
    const own = channel % perGroup;
    const start = (group * panels + Math.floor(own / 4)) * 4 * length + (own % 4);
    for (let k = 0; k < length; k++) packed[start + 4 * k] = weights[channel * length + k];
  }
  return packed;
}

// The patches of the output pixels from `start` to `end`, as panels of two pixels.
function packPatches(patches, inputs, layer, group, start, end) {
  const { inputShape: [, , height, width], kernel: [kh, kw], stride, padding, dilation, length, shape } = layer;
  const depth = length / (kh * kw);
  for (let pixel = start; pixel < end; pixel++) {
    const top = Math.floor(pixel / shape[3]) * stride[0] - padding[0];
    const left = (pixel % shape[3]) * stride[1] - padding[1];
    const place = pixel - start;
    let to = (place >> 1) * 2 * length + (place & 1);
    for (let channel = group * depth; channel < (group + 1) * depth; channel++) {
      for (let i = 0; i < kh; i++) {
        const y = top + i * dilation[0];
        const isRow = y >= 0 && y < height;
        const line = (channel * height + y) * width;
        for (let j = 0; j < kw; j++, to += 2) {
          const x = left + j * dilation[1];
          patches[to] = isRow && x >= 0 && x < width ? inputs[line + x] : 0;
        }
      }
    }
  }
}

// Four channels times two pixels: eight sums in registers.
function multiplyPanels(weights, a, patches, b, length, sums) {
  let s00 = 0, s01 = 0, s10 = 0, s11 = 0, s20 = 0, s21 = 0, s30 = 0, s31 = 0;
  for (let k = 0; k < length; k++, a += 4, b += 2) {
    const left = patches[b], right = patches[b + 1];
    const w0 = weights[a], w1 = weights[a + 1], w2 = weights[a + 2], w3 = weights[a + 3];
    s00 += w0 * left; s01 += w0 * right;
    s10 += w1 * left; s11 += w1 * right;
    s20 += w2 * left; s21 += w2 * right;
    s30 += w3 * left; s31 += w3 * right;
  }
  sums[0] = s00; sums[1] = s01; sums[2] = s10; sums[3] = s11;
  sums[4] = s20; sums[5] = s21; sums[6] = s30; sums[7] = s31;
}

function convolve(inputs, layer) {
  const { shape: [, channels, outHeight, outWidth], groups, length, packed, bias } = layer;
  const area = outHeight * outWidth;
  const perGroup = channels / groups;
  const panels = Math.ceil(perGroup / 4);
  const outputs = new Float32Array(channels * area);
  const patches = new Float32Array(BLOCK * length);
  const sums = new Float64Array(8);
  for (let group = 0; group < groups; group++) {
    for (let start = 0; start < area; start += BLOCK) {
      const end = Math.min(start + BLOCK, area);
      packPatches(patches, inputs, layer, group, start, end);
      for (let panel = 0; panel < panels; panel++) {
        const from = (group * panels + panel) * 4 * length;
        const count = Math.min(4, perGroup - 4 * panel);
        for (let pixel = start; pixel < end; pixel += 2) {
          multiplyPanels(packed, from, patches, (pixel - start) * length, length, sums);
          for (let own = 0; own < count; own++) {
            const channel = group * perGroup + 4 * panel + own;
            outputs[channel * area + pixel] = sums[2 * own] + bias[channel];
            if (pixel + 1 < end) outputs[channel * area + pixel + 1] = sums[2 * own + 1] + bias[channel];
          }
        }
      }
    }
  }
  return outputs;
}
