// Products of few rows with weights in 8 or 4 bits, which are read once and become bfloat16 in
// registers, exactly. A panel of 16 rows of weights is the left side of a product on the tensor
// cores, the rows that it is multiplied with are the 8 columns of the right side; where these are
// float32, each takes three columns, of which it is the exact sum. Compiled for CODE_BITS, GROUP and
// ROW_TILES, eights of columns.

#define PARTS (sizeof(Element) == 2 ? 1 : 3)  // columns that a row takes
#define STEP (128 / CODE_BITS)                // columns of weights that a warp loads at once
#define QUADS (STEP / 16)                     // fours of them that a lane has
#define GROUP_STEPS (GROUP / STEP)
#define DEPTH CODE_BITS                       // steps that a warp has on their way: as measured
#define SEGMENT (GROUP_STEPS < DEPTH ? GROUP_STEPS : DEPTH)  // steps that share a scale
#define MOST_WARPS 12

// A quantised matrix, and rows to be multiplied with it.
struct Factors {
  const uint2 *codes;  // [panels, steps, 4, 8]: a word for each row, so two rows of a lane
  const u32 *scales;   // bf16 [panels, groups, 16]
  const Element *x;    // [T, columns]
  int columns;
  int groups;
};

// Some steps of a panel as they lie in memory: rows 2(lane/4) and 2(lane/4) + 1, and of each step the
// columns that a word of four or eight codes has, the word being lane%4.
struct Batch {
  uint2 codes[DEPTH];
  u32 scales[DEPTH / SEGMENT];
};

__device__ __forceinline__ uint2 loadOnce(const uint2 *p) {
  uint2 v;
  asm volatile("ld.global.L1::no_allocate.L2::256B.v2.u32 {%0,%1}, [%2];"
               : "=r"(v.x), "=r"(v.y) : "l"(p));
  return v;
}

__device__ __forceinline__ void loadBatch(
    Batch &batch, const Factors &f, int panel, int first, int steps) {
  const uint2 *codes = f.codes + ((i64)panel * steps + first) * 32 + LANE % 4 * 8 + LANE / 4;
  const u32 *scales = f.scales + (i64)panel * f.groups * 8 + LANE / 4;
#pragma unroll
  for (int s = 0; s < DEPTH / SEGMENT; s++) {
    const int step = s * SEGMENT;
    if (first + step >= steps) break;
    batch.scales[s] = scales[(first + step) / GROUP_STEPS * 8];
#pragma unroll
    for (int i = 0; i < SEGMENT; i++) batch.codes[step + i] = loadOnce(codes + (step + i) * 32);
  }
}

__device__ __forceinline__ u32 addPairs(u32 a, u32 b) {
  u32 y;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(y) : "r"(a), "r"(0x3f803f80u), "r"(b));
  return y;
}

// Codes of two columns: bytes 0 and 2 of a word, or their low halves. 128 plus seven bits is a
// bfloat16 whose last bits they are; what is too much is taken off, which is exact.
__device__ __forceinline__ u32 codePair(u32 word) {
  if (CODE_BITS == 8)
    return addPairs((word & 0x007f007fu) | 0x43004300u, (word & 0x00800080u) ^ 0xc380c380u);
  return addPairs((word & 0x000f000fu) | 0x43004300u, 0xc308c308u);
}

// Part `part` of a number that is the sum of three in bfloat16.
__device__ __forceinline__ float partOf(float x, int part) {
  for (int i = 0; i < part; i++) {
    bf16 y;
    assign(y, x);
    x -= toFloat(y);
  }
  return x;
}

// A lane's columns of a step: as many as a word has codes, in one access where they are bfloat16.
struct alignas(8 * QUADS) Halves { uint2 quads[QUADS]; };
struct Floats { float4 quads[QUADS]; };

// Those of row x, each four in the order of code pairs: 0 and 2, 1 and 3. Zeros from `columns` on, which
// is a multiple of what a lane has.
__device__ __forceinline__ void loadColumns(
    FragmentB<bf16> *b, const Element *x, int column, int columns, int part) {
  const bool isThere = column < columns;
  if (sizeof(Element) == 2) {
    Halves v = {};
    if (isThere) v = *(const Halves *)(x + column);
#pragma unroll
    for (int i = 0; i < QUADS; i++) {
      b[i].r[0] = __byte_perm(v.quads[i].x, v.quads[i].y, 0x5410);
      b[i].r[1] = __byte_perm(v.quads[i].x, v.quads[i].y, 0x7632);
    }
  } else {
    Floats v = {};
    if (isThere) v = *(const Floats *)(x + column);
#pragma unroll
    for (int i = 0; i < QUADS; i++) {
      b[i].r[0] = packPair(partOf(v.quads[i].x, part), partOf(v.quads[i].z, part));
      b[i].r[1] = packPair(partOf(v.quads[i].y, part), partOf(v.quads[i].w, part));
    }
  }
}

// total += codes · scales · xᵀ of one batch.
__device__ __forceinline__ void multiplyBatch(
    Accumulator *total, const Batch &batch, const Factors &f, int first, int steps, int rows) {
#pragma unroll
  for (int s = 0; s < DEPTH / SEGMENT; s++) {
    if (first + s * SEGMENT >= steps) break;
    Accumulator sum[ROW_TILES] = {};
#pragma unroll
    for (int i = s * SEGMENT; i < (s + 1) * SEGMENT; i++) {
      const int column = (first + i) * STEP + LANE % 4 * (STEP / 4);
      FragmentB<bf16> b[ROW_TILES][QUADS];
#pragma unroll
      for (int tile = 0; tile < ROW_TILES; tile++) {
        // Columns of the product that no row belongs to get some row; nobody reads them.
        const int n = tile * 8 + LANE / 4;
        const Element *x = f.x + (i64)min(n / PARTS, rows - 1) * f.columns;
        loadColumns(b[tile], x, column, f.columns, n % PARTS);
      }
#pragma unroll
      for (int quad = 0; quad < QUADS; quad++) {
        const uint2 w = {batch.codes[i].x >> 4 * quad, batch.codes[i].y >> 4 * quad};
        const FragmentA<bf16> a = {
            codePair(w.x), codePair(w.y), codePair(w.x >> 8), codePair(w.y >> 8)};
#pragma unroll
        for (int tile = 0; tile < ROW_TILES; tile++) multiplyAdd(sum[tile], a, b[tile][quad]);
      }
    }
    const float upper = __uint_as_float(batch.scales[s] << 16);
    const float lower = __uint_as_float(batch.scales[s] & 0xffff0000u);
#pragma unroll
    for (int tile = 0; tile < ROW_TILES; tile++) {
      total[tile].c[0] += upper * sum[tile].c[0];
      total[tile].c[1] += upper * sum[tile].c[1];
      total[tile].c[2] += lower * sum[tile].c[2];
      total[tile].c[3] += lower * sum[tile].c[3];
    }
  }
}

// What a panel's warps have of its products: batches in turn, of each of `count` pairs of factors.
// Above beginKernel(), weights only are read: see gemv.cu.
__device__ __forceinline__ void multiplyPanel(
    Accumulator *total, const Factors *factors, int count, int panel, int rows) {
  const int own = threadIdx.x / 32 * DEPTH, stride = blockDim.x / 32 * DEPTH;
  Batch next;
  loadBatch(next, factors[0], panel, own, factors[0].groups * GROUP_STEPS);
  beginKernel();
  for (int which = 0; which < count; which++) {
    const Factors &f = factors[which];
    const int steps = f.groups * GROUP_STEPS;
    if (which > 0) loadBatch(next, f, panel, own, steps);
    for (int first = own; first < steps; first += stride) {
      const Batch batch = next;
      loadBatch(next, f, panel, first + stride, steps);
      multiplyBatch(total, batch, f, first, steps, rows);
    }
  }
}

// The block's sums, added up over its warps and over the parts of rows; `finish` gets the row of x, the
// row of the panel and their product.
template <class Finish>
__device__ __forceinline__ void addUp(const Accumulator *total, int rows, Finish finish) {
  __shared__ float sums[MOST_WARPS][8 * ROW_TILES][16];
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
#pragma unroll
  for (int tile = 0; tile < ROW_TILES; tile++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int n = 8 * tile + QUAD_COLUMN + i % 2;
      if (n < rows * PARTS) sums[warp][n][2 * QUAD_ROW + i / 2] = total[tile].c[i];
    }
  __syncthreads();
  for (int i = threadIdx.x; i < 16 * rows; i += blockDim.x) {
    float sum = 0;
    for (int w = 0; w < warps; w++)
      for (int part = PARTS - 1; part >= 0; part--) sum += sums[w][i / 16 * PARTS + part][i % 16];
    finish(i / 16, i % 16, sum);
  }
}

// One of several layers that read the same rows.
struct Layer {
  Factors factors;
  const float *bias;  // [O] or null
  Element *y;         // [T, O]
  int outputs;
  int activation;     // negative: none
};
#define AT_ONCE 4
struct Layers { Layer of[AT_ONCE]; };

// y [T, O] ← activation(x weightᵀ + bias) for each layer. Grid: all panels of all layers.
extern "C" __global__ void __launch_bounds__(32 * MOST_WARPS) quantizedLinear(
    const __grid_constant__ Layers layers, int rows) {
  int panel = blockIdx.x, which = 0;
  while (panel >= (layers.of[which].outputs + 15) / 16)
    panel -= (layers.of[which++].outputs + 15) / 16;
  const Layer &layer = layers.of[which];
  Accumulator total[ROW_TILES] = {};
  multiplyPanel(total, &layer.factors, 1, panel, rows);
  addUp(total, rows, [&](int row, int lane, float sum) {
    const int output = panel * 16 + lane;
    if (output >= layer.outputs) return;
    if (layer.bias) sum += layer.bias[output];
    if (layer.activation >= 0) sum = activation(toFloat(element(sum)), layer.activation);
    assign(layer.y[(i64)row * layer.outputs + output], sum);
  });
}

// Several products that add up.
struct Terms {
  Factors factors[AT_ONCE];
  const float *bias[AT_ONCE];  // [O] or null
};

// y [T, O] ← stream [T, O] + Σ x weightᵀ + bias over the terms. Grid: panels.
extern "C" __global__ void __launch_bounds__(32 * MOST_WARPS) quantizedAddLinear(
    Element *y, const Element *stream, const __grid_constant__ Terms terms, int count, int outputs,
    int rows) {
  Accumulator total[ROW_TILES] = {};
  multiplyPanel(total, terms.factors, count, blockIdx.x, rows);
  addUp(total, rows, [&](int row, int lane, float sum) {
    const int output = blockIdx.x * 16 + lane;
    if (output >= outputs) return;
    for (int i = 0; i < count; i++)
      if (terms.bias[i]) sum += terms.bias[i][output];
    const i64 at = (i64)row * outputs + output;
    assign(y[at], toFloat(stream[at]) + sum);
  });
}
