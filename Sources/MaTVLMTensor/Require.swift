/// Ends the program with `message` when a caller broke an operation's contract.
///
/// Not `precondition`: optimised builds drop its message, and without the shapes nobody can tell what
/// was wrong.
package func require(
  _ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String,
  file: StaticString = #fileID, line: UInt = #line
) {
  if !condition() { fatalError(message(), file: file, line: line) }
}
