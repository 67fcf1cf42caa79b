// Gradients of the Mamba-2 scan within one chunk; see scan.cu for what comes before. Compiled for
// one HEAD_WIDTH and STATE_WIDTH.
//
// With decay E[l, s] = exp(cs_l − cs_s) for s ≤ l, G = C Bᵀ, D = dy xᵀ, H the state that enters the
// chunk and R the gradient of the state that leaves it:
//   dx_s = Σ_l (G E)[l, s] Δ_s dy_l + ε_s R B_s + d dy_s         ε_s = exp(cs_last − cs_s) Δ_s
//   dB_s = Σ_l (D E)[l, s] Δ_s C_l + ε_s Rᵀ x_s
//   dC_l = Σ_s (D E)[l, s] Δ_s B_s + exp(cs_l) Hᵀ dy_l
// and the gradients of Δ and of cs are sums over the same products.

#define P HEAD_WIDTH
#define N STATE_WIDTH
#define PP ((P + 15) / 16 * 16)
#define NP ((N + 15) / 16 * 16)
#define LDP (PP + 8)
#define LDN (NP + 8)
#define Q (sizeof(Element) == 2 ? 64 : 32)
#define THREADS (2 * Q)

struct Shared {
  Element *x, *dy;  // [Q, LDP]
  Element *b, *c;   // [Q, LDN]
  Element *h, *r;   // [PP, LDN]
  float *step, *decay;   // [Q]
  float *dStep, *dDecay; // [Q], gradients of Δ and of cs
};

__device__ __forceinline__ Shared layOut(unsigned char *raw) {
  Shared s;
  s.x = (Element *)raw;
  s.dy = s.x + Q * LDP;
  s.b = s.dy + Q * LDP;
  s.c = s.b + Q * LDN;
  s.h = s.c + Q * LDN;
  s.r = s.h + PP * LDN;
  s.step = (float *)(s.r + PP * LDN);
  s.decay = s.step + Q;
  s.dStep = s.decay + Q;
  s.dDecay = s.dStep + Q;
  return s;
}

__device__ __forceinline__ void loadState(Element *shared, const float *state) {
  for (int i = threadIdx.x; i < PP * NP; i += THREADS) {
    const int p = i / NP, n = i % NP;
    assign(shared[p * LDN + n], p < P && n < N ? state[p * N + n] : 0.0f);
  }
}

// Rows are s: adds this head's part to dx [16, PP] and dB [16, NP] of the warp's rows, and leaves
// dΔ and the part of dcs that rows have as sources. Returns Σ ε ⟨x, R B⟩ of the warp's rows.
__device__ __forceinline__ float sourceGradients(
    const Shared &s, Accumulator *dx, Accumulator *db, float d, int count) {
  const int warpRow = threadIdx.x / 32 * 16;
  int row[2];
  float carried[2], step[2], fromPairs[2] = {}, fromSelf[2] = {}, fromStates[2] = {};
  for (int i = 0; i < 2; i++) {
    row[i] = warpRow + QUAD_ROW + 8 * i;
    step[i] = s.step[row[i]];
    carried[i] = expf(s.decay[Q - 1] - s.decay[row[i]]);
  }
  {
    Accumulator part[NP / 8] = {};  // Rᵀ x_s
    multiplyColumns<PP, NP>(part, s.x, LDP, warpRow, s.r, LDN);
#pragma unroll
    for (int n = 0; n < NP / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const int i = e / 2;
        fromStates[i] +=
            part[n].c[e] * toFloat(s.b[row[i] * LDN + n * 8 + QUAD_COLUMN + e % 2]);
        db[n].c[e] += carried[i] * step[i] * part[n].c[e];
      }
  }
  {
    Accumulator part[PP / 8] = {};  // R B_s
    multiplyRows<NP, PP>(part, s.b, LDN, warpRow, s.r, LDN);
#pragma unroll
    for (int n = 0; n < PP / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const int i = e / 2;
        dx[n].c[e] += carried[i] * step[i] * part[n].c[e]
                      + d * toFloat(s.dy[row[i] * LDP + n * 8 + QUAD_COLUMN + e % 2]);
      }
  }
  Accumulator g[Q / 8] = {}, products[Q / 8] = {};  // [s, l]
  multiplyRows<NP, Q>(g, s.b, LDN, warpRow, s.c, LDN);
  multiplyRows<PP, Q>(products, s.x, LDP, warpRow, s.dy, LDP);
#pragma unroll
  for (int n = 0; n < Q / 8; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      const int i = e / 2, l = n * 8 + QUAD_COLUMN + e % 2;
      const float decay = row[i] <= l ? expf(s.decay[l] - s.decay[row[i]]) : 0.0f;
      const float weight = g[n].c[e] * decay;
      // A row's own pair has no decay in it: its parts in dcs would cancel, but not to the last bit.
      (row[i] == l ? fromSelf[i] : fromPairs[i]) += weight * products[n].c[e];
      g[n].c[e] = weight * step[i];
      products[n].c[e] *= decay * step[i];
    }
  multiplyWeights<Q, PP>(dx, g, s.dy, LDP);
  multiplyWeights<Q, NP>(db, products, s.c, LDN);
  float total = 0;
  for (int i = 0; i < 2; i++) {
    const float pairs = quadSum(fromPairs[i]), states = carried[i] * quadSum(fromStates[i]);
    const float self = quadSum(fromSelf[i]);
    if (LANE % 4 == 0) {
      // Likewise the last row reaches the chunk's end without decay.
      const float decayed = row[i] == count - 1 ? 0.0f : states;
      s.dStep[row[i]] = pairs + self + states;
      s.dDecay[row[i]] = -step[i] * (pairs + decayed);
      total += step[i] * decayed;
    }
  }
  return total;
}

// Rows are l: dC of the warp's rows into dc [T, H·N], and the part of dcs that rows have as targets.
__device__ __forceinline__ void targetGradients(
    const Shared &s, Element *dc, i64 stride, int count) {
  const int warpRow = threadIdx.x / 32 * 16;
  int row[2];
  float entering[2], fromPairs[2] = {}, fromState[2] = {};
  for (int i = 0; i < 2; i++) {
    row[i] = warpRow + QUAD_ROW + 8 * i;
    entering[i] = expf(s.decay[row[i]]);
  }
  Accumulator sum[NP / 8] = {};  // Hᵀ dy_l
  multiplyColumns<PP, NP>(sum, s.dy, LDP, warpRow, s.h, LDN);
#pragma unroll
  for (int n = 0; n < NP / 8; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      const int i = e / 2;
      sum[n].c[e] *= entering[i];
      fromState[i] += sum[n].c[e] * toFloat(s.c[row[i] * LDN + n * 8 + QUAD_COLUMN + e % 2]);
    }
  Accumulator g[Q / 8] = {}, products[Q / 8] = {};  // [l, s]
  multiplyRows<NP, Q>(g, s.c, LDN, warpRow, s.b, LDN);
  multiplyRows<PP, Q>(products, s.dy, LDP, warpRow, s.x, LDP);
#pragma unroll
  for (int n = 0; n < Q / 8; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      const int i = e / 2, source = n * 8 + QUAD_COLUMN + e % 2;
      products[n].c[e] *= source <= row[i]
          ? expf(s.decay[row[i]] - s.decay[source]) * s.step[source] : 0.0f;
      if (source < row[i]) fromPairs[i] += g[n].c[e] * products[n].c[e];
    }
  multiplyWeights<Q, NP>(sum, products, s.b, LDN);
  for (int i = 0; i < 2; i++) {
    const float change = quadSum(fromPairs[i]) + quadSum(fromState[i]);
    if (LANE % 4 == 0) s.dDecay[row[i]] += change;
    if (row[i] >= count) continue;
    for (int n = 0; n < NP / 8; n++)
      for (int j = 0; j < 2; j++) {
        const int column = n * 8 + QUAD_COLUMN + j;
        if (column < N) assign(dc[row[i] * stride + column], sum[n].c[2 * i + j]);
      }
  }
}

struct ScalarSums { float bias, aLog; };

// One warp: dΔt of the chunk's rows (`stride` apart) out of the gradients of Δ and of cs, and their
// sums. Every cs from t on holds a_t, so its gradient is a sum over what comes later, with `atEnd`
// for what leaves the chunk.
__device__ __forceinline__ ScalarSums scalarGradients(
    const Shared &s, Element *dDt, const Element *dt, int stride, float bias, float a,
    float atEnd, int count) {
  constexpr int EACH = Q / 32;  // rows of a lane
  float later[EACH], own = 0;
#pragma unroll
  for (int j = EACH - 1; j >= 0; j--) {
    const int row = LANE * EACH + j;
    own += row < count ? s.dDecay[row] : 0.0f;
    later[j] = own;
  }
  float fromHere = own;
#pragma unroll
  for (int d = 1; d < 32; d *= 2) {
    const float other = __shfl_down_sync(0xffffffffu, fromHere, d);
    if (LANE + d < 32) fromHere += other;
  }
  const float next = __shfl_down_sync(0xffffffffu, fromHere, 1);
  const float rest = atEnd + (LANE < 31 ? next : 0.0f);
  ScalarSums sums = {};
#pragma unroll
  for (int j = 0; j < EACH; j++) {
    const int row = LANE * EACH + j;
    if (row >= count) break;
    const float decay = rest + later[j];
    const float raw = (s.dStep[row] + a * decay) * sigmoid(toFloat(dt[(i64)row * stride]) + bias);
    assign(dDt[(i64)row * stride], raw);
    sums.bias += raw;
    sums.aLog += s.step[row] * decay;
  }
  return {warpSum(sums.bias), warpSum(sums.aLog) * a};
}

// dx [T, G·P], db [T, G·N], dc [T, H·N], dDt [T, H]; the parts of this chunk in the gradients of
// dt's bias, aLog and d, float32 [C, H] each. entering, leaving float32 [C, H, P, N]: H and R.
// A block has one group and walks over its heads. Grid: (C, G).
extern "C" __global__ void __launch_bounds__(THREADS) chunkGradients(
    Element *dx, Element *db, Element *dc, Element *dDt, float *dBias, float *dALog, float *dD,
    const Element *dy, const Element *x, const Element *b, const Element *c, const Element *dt,
    const float *bias, const float *aLog, const float *d, const float *steps,
    const float *cumulative, const float *entering, const float *leaving, const RowTile *chunks,
    int heads, int groups) {
  beginKernel();
  extern __shared__ __align__(16) unsigned char raw[];
  const Shared s = layOut(raw);
  const RowTile chunk = chunks[blockIdx.x];
  const int group = blockIdx.y, ratio = heads / groups;
  const int count = min(Q, chunk.end - chunk.first);
  const i64 first = chunk.first;
  const int warpRow = threadIdx.x / 32 * 16;
  loadTile<Q, P, PP, THREADS>(s.x, LDP, x + (first * groups + group) * P, (i64)groups * P, count);
  loadTile<Q, N, NP, THREADS>(s.b, LDN, b + (first * groups + group) * N, (i64)groups * N, count);
  Accumulator sumX[PP / 8] = {}, sumB[NP / 8] = {};

  for (int head = group * ratio; head < (group + 1) * ratio; head++) {
    const i64 state = ((i64)blockIdx.x * heads + head) * P * N;
    __syncthreads();
    loadTile<Q, P, PP, THREADS>(
        s.dy, LDP, dy + (first * heads + head) * P, (i64)heads * P, count);
    loadTile<Q, N, NP, THREADS>(s.c, LDN, c + (first * heads + head) * N, (i64)heads * N, count);
    commitCopies();
    loadState(s.h, entering + state);
    loadState(s.r, leaving + state);
    for (int i = threadIdx.x; i < Q; i += THREADS) {
      const i64 at = (first + min(i, count - 1)) * heads + head;
      s.step[i] = i < count ? steps[at] : 0.0f;
      s.decay[i] = cumulative[at];
    }
    float overlap = 0;  // ⟨H, R⟩, which the decay of the whole chunk multiplies
    for (int i = threadIdx.x; i < P * N; i += THREADS)
      overlap += entering[state + i] * leaving[state + i];
    waitForCopies<0>();
    __syncthreads();

    float carried = sourceGradients(s, sumX, sumB, d[head], count);
    __syncthreads();
    targetGradients(s, dc + (first * heads + head) * N, (i64)heads * N, count);
    float dDirect = 0;
    for (int i = threadIdx.x; i < Q * PP; i += THREADS)
      dDirect += toFloat(s.x[i / PP * LDP + i % PP]) * toFloat(s.dy[i / PP * LDP + i % PP]);
    dDirect = blockSum(dDirect);
    const float atEnd = blockSum(carried) + expf(s.decay[Q - 1]) * blockSum(overlap);
    if (threadIdx.x < 32) {
      const i64 at = first * heads + head, part = (i64)blockIdx.x * heads + head;
      const ScalarSums sums = scalarGradients(
          s, dDt + at, dt + at, heads, bias[head], -expf(aLog[head]), atEnd, count);
      if (LANE == 0) {
        dBias[part] = sums.bias;
        dALog[part] = sums.aLog;
        dD[part] = dDirect;
      }
    }
  }
  for (int e = 0; e < 4; e++) {
    const int row = warpRow + QUAD_ROW + 8 * (e / 2);
    if (row >= count) continue;
    for (int n = 0; n < PP / 8; n++) {
      const int p = n * 8 + QUAD_COLUMN + e % 2;
      if (p < P) assign(dx[((first + row) * groups + group) * P + p], sumX[n].c[e]);
    }
    for (int n = 0; n < NP / 8; n++) {
      const int p = n * 8 + QUAD_COLUMN + e % 2;
      if (p < N) assign(db[((first + row) * groups + group) * N + p], sumB[n].c[e]);
    }
  }
}
