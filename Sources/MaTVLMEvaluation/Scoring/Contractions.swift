/// The normaliser's contractions: apostrophes that annotators left out. Entries of the original that
/// can never match, because they have capitals, or that change nothing are left out.
enum Contractions {
  static let table: [String: String] = {
    var table = oddities
    for form in single { table[form.pythonReplacing("'", with: "")] = form }
    for word in withHad {
      for key in ["\(word)d've", "\(word)'dve"] { table[key] = "\(word)'d've" }
    }
    for word in negated {
      for key in ["\(word)nt've", "\(word)n'tve"] { table[key] = "\(word)n't've" }
    }
    return table
  }()

  /// Each is found without its apostrophe.
  private static let single = """
    ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd \
    how'll how's isn't it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock \
    oughtn't shan't should've shouldn't somebody'll somebody's someone'd someone'll someone's \
    something'd something'll that's there'd there're there's they'd they'll they're they've 'twas \
    wasn't we've weren't what'll what're what's what've when's where'd where's where've who'd who'll \
    who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
    """.pythonWords

  private static let withHad = [
    "he", "it", "she", "somebody", "someone", "something", "there", "they", "we", "who", "you",
  ]
  private static let negated = ["could", "had", "might", "should", "would"]

  private static let oddities = [
    "yall'll": "y'all'll", "y'allll": "y'all'll",
    "yall'd've": "y'all'd've", "y'alld've": "y'all'd've", "y'all'dve": "y'all'd've",
    "somebody'd": "somebodyd",
    "ow's'at": "'ow's'at", "'ows'at": "'ow's'at", "'ow'sat": "'ow's'at",
  ]
}
