@main struct Matvlm { static func main() {} }
