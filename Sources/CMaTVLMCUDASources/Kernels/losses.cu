// Losses of one row over the vocabulary and the gradient of its logits.

enum { FORWARD = 0, REVERSE, JENSEN_SHANNON, JENSEN_SHANNON_AUTHORS, TEACHER_ARGMAX, DISTANCE };

struct Distribution { float most, logDenominator; };  // log p = x − most − logDenominator

// Of softmax(row · sharpness).
__device__ __forceinline__ Distribution distribution(const float *row, int count, float sharpness) {
  float most = -INFINITY_F;
  for (int i = threadIdx.x; i < count; i += blockDim.x) most = fmaxf(most, row[i] * sharpness);
  most = blockMax(most);
  float sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += expf(row[i] * sharpness - most);
  return {most, logf(blockSum(sum))};
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
// student's distribution is taken off (see logitGradient).
struct Term { float loss, pull; };

__device__ __forceinline__ Term term(int kind, float logS, float logT) {
  const float s = expf(logS), t = expf(logT);
  const float logM = fmaxf(logS, logT) + log1pf(expf(-fabsf(logS - logT))) - 0.6931471805599453f;
  switch (kind) {
    case FORWARD: return {t > 0 ? t * (logT - logS) : 0.0f, -t};
    case REVERSE: return {s > 0 ? s * (logS - logT) : 0.0f, s > 0 ? s * (logS - logT) : 0.0f};
    case JENSEN_SHANNON:
      return {(t > 0 ? 0.5f * t * (logT - logM) : 0.0f) + (s > 0 ? 0.5f * s * (logS - logM) : 0.0f),
              s > 0 ? 0.5f * s * (logS - logM) : 0.0f};
    default: {
      const float m = 0.5f * (s + t);
      return {m > 0 ? m * (logM - 0.5f * (logT + logS)) : 0.0f,
              (s > 0 ? 0.5f * s * (logM - 0.5f * (logT + logS)) : 0.0f) - 0.5f * m};
    }
  }
}

// divergence, labelLoss float32 [R]; dLogits [R, V] or null. student, teacher float32 [R, V].
// teacher, labels and the weights may be null. Grid: R.
extern "C" __global__ void vocabularyLoss(
    float *divergence, float *labelLoss, Element *dLogits, const float *student,
    const float *teacher, const float *divergenceWeights, const int *labels,
    const float *labelWeights, int vocabulary, int kind, float temperature) {
  beginKernel();
  const i64 row = blockIdx.x, base = row * vocabulary;
  student += base;
  const Distribution plain = distribution(student, vocabulary, 1.0f);
  const int label = labels ? labels[row] : -1;
  if (labelLoss && threadIdx.x == 0)
    labelLoss[row] = label >= 0 ? plain.logDenominator - (student[label] - plain.most) : 0.0f;
  const float labelWeight = label >= 0 && labelWeights ? labelWeights[row] : 0.0f;
  const float weight = divergenceWeights ? divergenceWeights[row] : 0.0f;

  const float sharpness = 1.0f / temperature;
  Distribution ofStudent = plain, ofTeacher = {};
  int target = -1;
  float pullSum = 0;
  if (teacher) {
    teacher += base;
    float loss = 0;
    if (kind == DISTANCE) {
      for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) {
        const float difference = student[i] - teacher[i];
        loss += 0.5f * difference * difference;
      }
      loss = blockSum(loss);
    } else if (kind == TEACHER_ARGMAX) {
      float most = -INFINITY_F;
      for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) most = fmaxf(most, teacher[i]);
      target = argmax(teacher, vocabulary, blockMax(most));
      loss = plain.logDenominator - (student[target] - plain.most);
    } else {
      if (temperature != 1.0f) ofStudent = distribution(student, vocabulary, sharpness);
      ofTeacher = distribution(teacher, vocabulary, sharpness);
      float pull = 0;
      for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) {
        const Term one =
            term(kind, student[i] * sharpness - ofStudent.most - ofStudent.logDenominator,
                 teacher[i] * sharpness - ofTeacher.most - ofTeacher.logDenominator);
        loss += one.loss;
        pull += one.pull;
      }
      loss = blockSum(loss) * temperature * temperature;
      pullSum = blockSum(pull);
    }
    if (divergence && threadIdx.x == 0) divergence[row] = loss;
  }
  if (!dLogits) return;

  for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) {
    const float p = expf(student[i] - plain.most - plain.logDenominator);
    float g = labelWeight * (p - (i == label ? 1.0f : 0.0f));
    if (teacher && weight != 0) {
      if (kind == DISTANCE) {
        g += weight * (student[i] - teacher[i]);
      } else if (kind == TEACHER_ARGMAX) {
        g += weight * (p - (i == target ? 1.0f : 0.0f));
      } else {
        const float logS = student[i] * sharpness - ofStudent.most - ofStudent.logDenominator;
        const float logT = teacher[i] * sharpness - ofTeacher.most - ofTeacher.logDenominator;
        g += weight * temperature * (term(kind, logS, logT).pull - expf(logS) * pullSum);
      }
    }
    assign(dLogits[base + i], g);
  }
}
