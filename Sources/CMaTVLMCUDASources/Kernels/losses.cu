// Losses of one row over the vocabulary and the gradient of its logits.

enum { FORWARD = 0, REVERSE, JENSEN_SHANNON, JENSEN_SHANNON_AUTHORS, TEACHER_ARGMAX, DISTANCE };

struct Distribution { float most, logDenominator; };  // log p = x − most − logDenominator

// Calls body(i, row[i]) for each element that is this thread's.
template <class F>
__device__ __forceinline__ void walk(const float *row, int count, F body) {
  if (count % 4 == 0) {
    for (int i = 4 * threadIdx.x; i < count; i += 4 * blockDim.x) {
      const float4 x = *(const float4 *)(row + i);
      body(i, x.x), body(i + 1, x.y), body(i + 2, x.z), body(i + 3, x.w);
    }
  } else {
    for (int i = threadIdx.x; i < count; i += blockDim.x) body(i, row[i]);
  }
}

// The same for two rows, whose elements come together.
template <class F>
__device__ __forceinline__ void walk(const float *first, const float *second, int count, F body) {
  if (count % 4 == 0) {
    for (int i = 4 * threadIdx.x; i < count; i += 4 * blockDim.x) {
      const float4 x = *(const float4 *)(first + i), y = *(const float4 *)(second + i);
      body(i, x.x, y.x), body(i + 1, x.y, y.y), body(i + 2, x.z, y.z), body(i + 3, x.w, y.w);
    }
  } else {
    for (int i = threadIdx.x; i < count; i += blockDim.x) body(i, first[i], second[i]);
  }
}

struct alignas(4 * sizeof(Element)) Four { Element v[4]; };

// target[i] ← body(i, first[i], second[i]); without a target, body is called all the same.
template <class F>
__device__ __forceinline__ void map(
    Element *target, const float *first, const float *second, int count, F body) {
  if (count % 4 == 0) {
    for (int i = 4 * threadIdx.x; i < count; i += 4 * blockDim.x) {
      const float4 x = *(const float4 *)(first + i), y = *(const float4 *)(second + i);
      Four out;
      assign(out.v[0], body(i, x.x, y.x));
      assign(out.v[1], body(i + 1, x.y, y.y));
      assign(out.v[2], body(i + 2, x.z, y.z));
      assign(out.v[3], body(i + 3, x.w, y.w));
      if (target) *(Four *)(target + i) = out;
    }
  } else {
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
      const float out = body(i, first[i], second[i]);
      if (target) assign(target[i], out);
    }
  }
}

// Of softmax(row · sharpness), in one pass: a sum is shrunk whenever a larger maximum is met.
__device__ __forceinline__ Distribution distribution(const float *row, int count, float sharpness) {
  float most = -INFINITY_F, sum = 0;
  walk(row, count, [&](int, float x) {
    x *= sharpness;
    if (x > most) {
      sum *= expf(most - x);
      most = x;
    }
    sum += expf(x - most);
  });
  const float all = blockMax(most);
  return {all, logf(blockSum(most == -INFINITY_F ? 0.0f : sum * expf(most - all)))};
}

// The first index of the largest element.
__device__ __forceinline__ int argmax(const float *row, int count, float most) {
  __shared__ int first;
  if (threadIdx.x == 0) first = count;
  __syncthreads();
  for (int i = threadIdx.x; i < count; i += blockDim.x)
    if (row[i] == most) {
      atomicMin(&first, i);
      break;
    }
  __syncthreads();
  return first;
}

// What one logit adds to the divergence, and the part of its gradient before the mean over the
// student's distribution is taken off.
struct Term { float loss, pull; };

template <int KIND>
__device__ __forceinline__ Term term(float logS, float logT) {
  const float s = expf(logS), t = expf(logT);
  if (KIND == FORWARD) return {t > 0 ? t * (logT - logS) : 0.0f, -t};
  if (KIND == REVERSE) {
    const float both = s > 0 ? s * (logS - logT) : 0.0f;
    return {both, both};
  }
  const float logM = fmaxf(logS, logT) + log1pf(expf(-fabsf(logS - logT))) - 0.6931471805599453f;
  if (KIND == JENSEN_SHANNON) {
    const float ofS = s > 0 ? 0.5f * s * (logS - logM) : 0.0f;
    return {(t > 0 ? 0.5f * t * (logT - logM) : 0.0f) + ofS, ofS};
  }
  const float m = 0.5f * (s + t), middle = logM - 0.5f * (logT + logS);
  return {m > 0 ? m * middle : 0.0f, (s > 0 ? 0.5f * s * middle : 0.0f) - 0.5f * m};
}

// The rows of one block.
struct Rows {
  const float *student, *teacher;  // [V]; teacher may be null
  Element *dLogits;                // [V] or null
  Distribution plain;              // of the student's row
  int vocabulary, label;           // −1: none
  float labelWeight, weight;

  // The gradient of the label's loss at i.
  __device__ __forceinline__ float ofLabel(int i, float student) const {
    const float p = expf(student - plain.most - plain.logDenominator);
    return labelWeight * (p - (i == label ? 1.0f : 0.0f));
  }
};

// A divergence of distributions. Returns this thread's share of it.
template <int KIND>
__device__ __forceinline__ float divergence(const Rows &rows, float temperature) {
  const float sharpness = 1.0f / temperature;
  Distribution ofStudent = rows.plain;
  if (temperature != 1.0f) ofStudent = distribution(rows.student, rows.vocabulary, sharpness);
  const Distribution ofTeacher = distribution(rows.teacher, rows.vocabulary, sharpness);
  const float shiftS = ofStudent.most + ofStudent.logDenominator;
  const float shiftT = ofTeacher.most + ofTeacher.logDenominator;
  // What the forward divergence takes off is the teacher's whole distribution, so one pass will do.
  float loss = 0, pullSum = -1;
  if (KIND != FORWARD) {
    pullSum = 0;
    walk(rows.student, rows.teacher, rows.vocabulary, [&](int, float s, float t) {
      const Term one = term<KIND>(s * sharpness - shiftS, t * sharpness - shiftT);
      loss += one.loss;
      pullSum += one.pull;
    });
    pullSum = blockSum(pullSum);
  }
  if (KIND == FORWARD || rows.dLogits)
    map(rows.dLogits, rows.student, rows.teacher, rows.vocabulary, [&](int i, float s, float t) {
      const float logS = s * sharpness - shiftS;
      const Term one = term<KIND>(logS, t * sharpness - shiftT);
      if (KIND == FORWARD) loss += one.loss;
      return rows.ofLabel(i, s) + rows.weight * temperature * (one.pull - expf(logS) * pullSum);
    });
  return loss * temperature * temperature;
}

// Half the squared distance of logits. Returns this thread's share of it.
__device__ __forceinline__ float distance(const Rows &rows) {
  float loss = 0;
  map(rows.dLogits, rows.student, rows.teacher, rows.vocabulary, [&](int i, float s, float t) {
    loss += 0.5f * (s - t) * (s - t);
    return rows.ofLabel(i, s) + rows.weight * (s - t);
  });
  return loss;
}

// The student's loss at what the teacher finds most likely, times the share of one thread.
__device__ __forceinline__ float lossAtArgmax(const Rows &rows) {
  float most = -INFINITY_F;
  walk(rows.teacher, rows.vocabulary, [&](int, float t) { most = fmaxf(most, t); });
  const int target = argmax(rows.teacher, rows.vocabulary, blockMax(most));
  if (rows.dLogits)
    map(rows.dLogits, rows.student, rows.student, rows.vocabulary, [&](int i, float s, float) {
      const float p = expf(s - rows.plain.most - rows.plain.logDenominator);
      return rows.ofLabel(i, s) + rows.weight * (p - (i == target ? 1.0f : 0.0f));
    });
  return threadIdx.x > 0 ? 0.0f
      : rows.plain.logDenominator - (rows.student[target] - rows.plain.most);
}

__device__ __forceinline__ float divergence(const Rows &rows, int kind, float temperature) {
  switch (kind) {
    case FORWARD: return divergence<FORWARD>(rows, temperature);
    case REVERSE: return divergence<REVERSE>(rows, temperature);
    case JENSEN_SHANNON: return divergence<JENSEN_SHANNON>(rows, temperature);
    case JENSEN_SHANNON_AUTHORS: return divergence<JENSEN_SHANNON_AUTHORS>(rows, temperature);
    case TEACHER_ARGMAX: return lossAtArgmax(rows);
    default: return distance(rows);
  }
}

// loss, labelLoss float32 [R]; dLogits [R, V] or null. student, teacher float32 [R, V].
// teacher, labels and the weights may be null. Grid: R.
extern "C" __global__ void vocabularyLoss(
    float *loss, float *labelLoss, Element *dLogits, const float *student, const float *teacher,
    const float *weights, const int *labels, const float *labelWeights, int vocabulary, int kind,
    float temperature) {
  beginKernel();
  const i64 row = blockIdx.x, base = row * vocabulary;
  Rows rows = {student + base, teacher ? teacher + base : nullptr, dLogits ? dLogits + base : nullptr};
  rows.vocabulary = vocabulary;
  rows.plain = distribution(rows.student, vocabulary, 1.0f);
  rows.label = labels ? labels[row] : -1;
  rows.labelWeight = rows.label >= 0 && labelWeights ? labelWeights[row] : 0.0f;
  rows.weight = weights ? weights[row] : 0.0f;
  if (labelLoss && threadIdx.x == 0)
    labelLoss[row] = rows.label >= 0
        ? rows.plain.logDenominator - (rows.student[rows.label] - rows.plain.most) : 0.0f;
  if (teacher) {
    const float total = blockSum(divergence(rows, kind, temperature));
    if (loss && threadIdx.x == 0) loss[row] = total;
  } else if (dLogits) {
    map(
        rows.dLogits, rows.student, rows.student, vocabulary,
        [&](int i, float s, float) { return rows.ofLabel(i, s); });
  }
}
