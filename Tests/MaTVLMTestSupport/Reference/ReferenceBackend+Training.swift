import MaTVLMTensor

extension ReferenceBackend {
  package func adamW(_ updates: [AdamWUpdate], _ step: AdamWStep) {
    let (beta1, beta2) = (Double(step.beta1), Double(step.beta2))
    for update in updates {
      let shape = update.value.shape
      var value = floats(update.value, shape, "adamW: value")
      let gradient = floats(update.gradient, shape, "adamW: gradient")
      var first = floats(update.firstMoment, shape, "adamW: first moment")
      var second = floats(update.secondMoment, shape, "adamW: second moment")
      for index in 0..<shape.count {
        let g = gradient[index] * Double(step.gradientScale)
        first[index] = beta1 * first[index] + (1 - beta1) * g
        second[index] = beta2 * second[index] + (1 - beta2) * g * g
        let deviation = (second[index] / Double(step.correction2)).squareRoot()
        let direction =
          first[index] / Double(step.correction1) / (deviation + Double(step.epsilon))
        let decay = Double(update.weightDecay) * value[index]
        value[index] -= Double(step.learningRate) * (direction + decay)
      }
      replace(update.value, with: value.values)
      replace(update.firstMoment, with: first.values)
      replace(update.secondMoment, with: second.values)
    }
  }
}
