import MaTVLMTensor

extension JSONValue {
  /// This object with another value at the keys of `path`, or, for nil, without the last key.
  package func setting(_ path: [String], to value: JSONValue?) -> JSONValue {
    guard let key = path.first, case .object(var values) = self else { return value ?? .null }
    let rest = Array(path.dropFirst())
    values[key] = rest.isEmpty ? value : (values[key] ?? .object([:])).setting(rest, to: value)
    return .object(values)
  }

  /// The keys of every value within this object, outermost first, objects themselves included.
  package var paths: [[String]] {
    guard case .object(let values) = self else { return [] }
    return values.sorted { $0.key < $1.key }.flatMap { key, value in
      [[key]] + value.paths.map { [key] + $0 }
    }
  }
}

extension ConfigurationObject {
  /// A configuration that was not read from a file.
  /// - Precondition: `value` is an object.
  package init(_ value: JSONValue, file: String = "config.json") {
    guard case .object(let values) = value else { fatalError("\(file): \(value)") }
    self.init(file: file, values: values)
  }
}
