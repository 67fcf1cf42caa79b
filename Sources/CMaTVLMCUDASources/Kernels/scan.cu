// The Mamba-2 scan in chunks (Dao and Gu 2024, arXiv:2405.21060, section 6), forward.
// Compiled for one HEAD_WIDTH and STATE_WIDTH. Letters: T rows, C chunks, Q rows of a chunk.

#define P HEAD_WIDTH
#define N STATE_WIDTH
#define PP ((P + 15) / 16 * 16)
#define NP ((N + 15) / 16 * 16)
#define LDP (PP + 8)
#define LDN (NP + 8)
#define Q (sizeof(Element) == 2 ? 64 : 32)
#define THREADS (2 * Q)  // a warp has sixteen rows of the chunk
#define STATE_PACK (P * N % 4 ? 1 : 4)  // what a thread has of a state that is passed on
#define AHEAD 8          // what a walk asks for together, because it does not depend on the way there

// steps, cumulative float32 [T, H] ← Δ = softplus(dt + bias), and the sum of −exp(aLog) Δ from the
// first row of the chunk to this one. Grid: (⌈H/128⌉, C).
extern "C" __global__ void scanSteps(
    float *steps, float *cumulative, const Element *dt, const float *bias, const float *aLog,
    const RowTile *chunks, int heads) {
  beginKernel();
  const int head = blockIdx.x * blockDim.x + threadIdx.x;
  if (head >= heads) return;
  const RowTile chunk = chunks[blockIdx.y];
  const int end = min(chunk.end, chunk.first + Q);
  const float a = -expf(aLog[head]);
  float sum = 0;
  for (int first = chunk.first; first < end; first += AHEAD) {
    float step[AHEAD];
#pragma unroll
    for (int j = 0; j < AHEAD; j++)
      step[j] = toFloat(dt[(i64)min(first + j, end - 1) * heads + head]);
#pragma unroll
    for (int j = 0; j < AHEAD; j++) {
      if (first + j >= end) break;
      const i64 i = (i64)(first + j) * heads + head;
      const float delta = softplus(step[j] + bias[head]);
      sum += a * delta;
      steps[i] = delta;
      cumulative[i] = sum;
    }
  }
}

// Δ and its cumulative decay of a chunk's rows to shared memory; rows past the end have no step.
__device__ __forceinline__ void loadSteps(
    float *step, float *decay, const float *steps, const float *cumulative, const RowTile &chunk,
    int count, int heads, int head) {
  for (int i = threadIdx.x; i < Q; i += THREADS) {
    const i64 at = (i64)(chunk.first + min(i, count - 1)) * heads + head;
    step[i] = i < count ? steps[at] : 0.0f;
    decay[i] = cumulative[at];
  }
}

// states float32 [C, H, P, N] ← Σ over the chunk's rows of factor · left ⊗ right, left [T, heads·P]
// and right [T, heads·N] with leftHeads and rightHeads heads.
// outgoing: x ⊗ B with what is left of each row's step at the end of the chunk, Δ exp(last − decay).
// otherwise: dy ⊗ C with the decay from the chunk's beginning to the row. Grid: (C, H).
extern "C" __global__ void __launch_bounds__(THREADS) chunkOuterProducts(
    float *states, const Element *left, int leftHeads, const Element *right, int rightHeads,
    const float *steps, const float *cumulative, const RowTile *chunks, int heads, int outgoing) {
  beginKernel();
  extern __shared__ __align__(16) unsigned char raw[];
  Element *sharedLeft = (Element *)raw;             // [Q, LDP]
  Element *sharedRight = sharedLeft + Q * LDP;      // [Q, LDN]
  __shared__ float step[Q], decay[Q];
  const RowTile chunk = chunks[blockIdx.x];
  const int head = blockIdx.y, count = min(Q, chunk.end - chunk.first);
  const int leftHead = head / (heads / leftHeads), rightHead = head / (heads / rightHeads);
  const i64 leftStride = (i64)leftHeads * P, rightStride = (i64)rightHeads * N;
  loadTile<Q, P, PP, THREADS>(
      sharedLeft, LDP, left + chunk.first * leftStride + leftHead * P, leftStride, count);
  loadTile<Q, N, NP, THREADS>(
      sharedRight, LDN, right + chunk.first * rightStride + rightHead * N, rightStride, count);
  commitCopies();
  loadSteps(step, decay, steps, cumulative, chunk, count, heads, head);
  waitForCopies<0>();
  __syncthreads();
  for (int i = threadIdx.x; i < Q * NP; i += THREADS) {
    const int row = i / NP, at = row * LDN + i % NP;
    const float factor = outgoing ? expf(decay[Q - 1] - decay[row]) * step[row] : expf(decay[row]);
    assign(sharedRight[at], toFloat(sharedRight[at]) * factor);
  }
  __syncthreads();

  states += ((i64)blockIdx.x * heads + head) * P * N;
  const int tilesN = NP / 16;
  for (int tile = threadIdx.x / 32; tile < PP / 16 * tilesN; tile += THREADS / 32) {
    const int row = tile / tilesN * 16, column = tile % tilesN * 16;
    Accumulator sum[2] = {};
#pragma unroll
    for (int k = 0; k < Q; k += 16) {
      FragmentA<Element> a;
      FragmentB<Element> b0, b1;
      loadATransposed(a, sharedLeft, LDP, row, k);
      loadBTransposed(b0, b1, sharedRight, LDN, column, k);
      multiplyAdd(sum[0], a, b0);
      multiplyAdd(sum[1], a, b1);
    }
    for (int n = 0; n < 2; n++)
      for (int e = 0; e < 4; e++) {
        const int p = row + QUAD_ROW + 8 * (e / 2), s = column + n * 8 + QUAD_COLUMN + e % 2;
        if (p < P && s < N) states[p * N + s] = sum[n].c[e];
      }
  }
}

struct alignas(4 * STATE_PACK) StatePack { float v[STATE_PACK]; };

// Walks each segment's chunks and replaces what each adds by the state that enters it: h ← decay h +
// added, from the first chunk on, or (`reverse`, for gradients) from the last one back. kept: null
// or the address of each segment's float32 [H, P, N], read first and replaced by what comes out.
// Grid: (⌈P·N / STATE_PACK / 128⌉, H, S).
extern "C" __global__ void passStates(
    float *states, const u64 *kept, const float *cumulative, const RowTile *chunks,
    const int *chunkStarts, int heads, int reverse) {
  beginKernel();
  const int i = (blockIdx.x * blockDim.x + threadIdx.x) * STATE_PACK, head = blockIdx.y;
  if (i >= P * N) return;
  StatePack *own =
      kept ? (StatePack *)((float *)kept[blockIdx.z] + (i64)head * P * N + i) : nullptr;
  StatePack h = {};
  if (own) h = *own;
  const int begin = chunkStarts[blockIdx.z], end = chunkStarts[blockIdx.z + 1];
  const i64 stride = (i64)heads * P * N;
  states += (i64)head * P * N + i;
  for (int first = begin; first < end; first += AHEAD) {
    StatePack added[AHEAD];
    float decay[AHEAD];
#pragma unroll
    for (int j = 0; j < AHEAD; j++) {
      if (first + j >= end) continue;
      const int c = reverse ? end - 1 - (first + j - begin) : first + j;
      const int last = min(chunks[c].end, chunks[c].first + Q) - 1;
      added[j] = *(const StatePack *)(states + c * stride);
      decay[j] = expf(cumulative[(i64)last * heads + head]);
    }
#pragma unroll
    for (int j = 0; j < AHEAD; j++) {
      if (first + j >= end) continue;
      const int c = reverse ? end - 1 - (first + j - begin) : first + j;
      *(StatePack *)(states + c * stride) = h;
#pragma unroll
      for (int k = 0; k < STATE_PACK; k++) h.v[k] = decay[j] * h.v[k] + added[j].v[k];
    }
  }
  if (own) *own = h;
}

// y [T, H·P]: within the chunk (C Bᵀ ⊙ decay ⊙ Δ) x, and from before it exp(decay) C hᵀ; plus d x.
// Grid: (C, H).
extern "C" __global__ void __launch_bounds__(THREADS) chunkOutputs(
    Element *y, const Element *x, const Element *b, const Element *c, const float *d,
    const float *steps, const float *cumulative, const float *states, const RowTile *chunks,
    int heads, int groups) {
  beginKernel();
  extern __shared__ __align__(16) unsigned char raw[];
  Element *sharedX = (Element *)raw;            // [Q, LDP]
  Element *sharedB = sharedX + Q * LDP;         // [Q, LDN]
  Element *sharedC = sharedB + Q * LDN;         // [Q, LDN]
  Element *sharedH = sharedC + Q * LDN;         // [PP, LDN]
  __shared__ float step[Q], decay[Q];
  const RowTile chunk = chunks[blockIdx.x];
  const int head = blockIdx.y, group = head / (heads / groups);
  const int count = min(Q, chunk.end - chunk.first);
  const i64 first = chunk.first;
  loadTile<Q, P, PP, THREADS>(
      sharedX, LDP, x + (first * groups + group) * P, (i64)groups * P, count);
  loadTile<Q, N, NP, THREADS>(
      sharedB, LDN, b + (first * groups + group) * N, (i64)groups * N, count);
  loadTile<Q, N, NP, THREADS>(sharedC, LDN, c + (first * heads + head) * N, (i64)heads * N, count);
  commitCopies();
  loadSteps(step, decay, steps, cumulative, chunk, count, heads, head);
  const float *entering = states + ((i64)blockIdx.x * heads + head) * P * N;
  for (int i = threadIdx.x; i < PP * NP; i += THREADS) {
    const int p = i / NP, n = i % NP;
    assign(sharedH[p * LDN + n], p < P && n < N ? entering[p * N + n] : 0.0f);
  }
  waitForCopies<0>();
  __syncthreads();

  const int warpRow = threadIdx.x / 32 * 16;
  const float rowDecay[2] = {decay[warpRow + QUAD_ROW], decay[warpRow + QUAD_ROW + 8]};
  Accumulator sum[PP / 8] = {};
  multiplyRows<NP, PP>(sum, sharedC, LDN, warpRow, sharedH, LDN);
  for (int n = 0; n < PP / 8; n++)
    for (int e = 0; e < 4; e++) sum[n].c[e] *= expf(rowDecay[e / 2]);
  Accumulator weights[Q / 8] = {};
  multiplyRows<NP, Q>(weights, sharedC, LDN, warpRow, sharedB, LDN);
#pragma unroll
  for (int n = 0; n < Q / 8; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      const int row = warpRow + QUAD_ROW + 8 * (e / 2), s = n * 8 + QUAD_COLUMN + e % 2;
      weights[n].c[e] *= s <= row ? expf(rowDecay[e / 2] - decay[s]) * step[s] : 0.0f;
    }
  multiplyWeights<Q, PP>(sum, weights, sharedX, LDP);
  for (int n = 0; n < PP / 8; n++)
    for (int e = 0; e < 4; e++) {
      const int row = warpRow + QUAD_ROW + 8 * (e / 2), p = n * 8 + QUAD_COLUMN + e % 2;
      if (row < count && p < P)
        assign(y[((first + row) * heads + head) * P + p],
               sum[n].c[e] + d[head] * toFloat(sharedX[row * LDP + p]));
    }
}

// One row of one segment: h ← exp(ΔA) h + Δ x ⊗ B in place, y = h C + d x. A warp a row of h.
// y [T, H·P]; states: the address of each row's float32 [H, P, N]. Grid: (H, T), block 256.
extern "C" __global__ void stateStep(
    Element *y, const u64 *states, const Element *x, const Element *b, const Element *c,
    const Element *dt, const float *bias, const float *aLog, const float *d, int heads,
    int groups) {
  beginKernel();
  const int head = blockIdx.x, group = head / (heads / groups);
  const i64 t = blockIdx.y;
  const float step = softplus(toFloat(dt[t * heads + head]) + bias[head]);
  const float decay = expf(-expf(aLog[head]) * step);
  float *h = (float *)states[t] + (i64)head * P * N;
  const Element *rowB = b + (t * groups + group) * N, *rowC = c + (t * heads + head) * N;
  for (int p = threadIdx.x / 32; p < P; p += blockDim.x / 32) {
    const float value = toFloat(x[(t * groups + group) * P + p]);
    float sum = 0;
    for (int n = LANE; n < N; n += 32) {
      const float next = decay * h[p * N + n] + step * value * toFloat(rowB[n]);
      h[p * N + n] = next;
      sum += next * toFloat(rowC[n]);
    }
    sum = warpSum(sum);
    if (LANE == 0) assign(y[(t * heads + head) * P + p], sum + d[head] * value);
  }
}
