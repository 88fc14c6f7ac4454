//! Case folding, for servers that ignore the case of a path.

/// Folds the case of all letters.
#[must_use]
pub fn fold_case(mut text: String) -> String {
    if text.is_ascii() {
        text.make_ascii_lowercase();
        return text;
    }
    text.chars().map(fold_letter).collect()
}

/// Folds a letter to lower case. `ſ` and `ς` share their upper case with `s` and `σ`, and servers with Turkish rules
/// read `İ` and `ı` as `i`. A letter whose lower case is several letters is kept.
fn fold_letter(letter: char) -> char {
    let mut lower = letter.to_lowercase();
    match (letter, lower.next(), lower.next()) {
        ('İ' | 'ı', ..) => 'i',
        ('ſ', ..) => 's',
        ('ς', ..) => 'σ',
        (_, Some(lower), None) => lower,
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_folded_in_all_scripts() {
        for (one, other) in [
            ("Übersicht", "übersicht"),
            ("ÀÖØÞŸ", "àöøþÿ"),
            ("ŁÓDŹ Ž", "łódź ž"),
            ("ΆΈΊΌΎΏ ΑΣΩΪ", "άέίόύώ ασωϊ"),
            ("ΟΔΟΣ", "οδος"),
            ("ЁЊЖЯ ҐӀӂ", "ёњжя ґӏӂ"),
            ("ẾỸ", "ếỹ"),
            ("ԱԲՋ", "աբջ"),
            ("ᏣᎳᎩ", "ꮳꮃꭹ"),
            ("Straẞe", "STRAßE"),
            ("\u{212A}EYS", "keys"),
            ("U\u{17F}ER\u{17F}", "users"),
            ("AD\u{130}M\u{131}", "adimi"),
        ] {
            assert_eq!(fold_case(one.to_owned()), fold_case(other.to_owned()));
        }
        assert_ne!(fold_case("ä".to_owned()), fold_case("a".to_owned()));
    }

    #[test]
    fn a_letter_and_its_lower_case_are_the_same() {
        for letter in char::MIN..=char::MAX {
            let folded = fold_letter(letter);
            assert_eq!(fold_letter(folded), folded, "{letter}");
            let lower: Vec<char> = letter.to_lowercase().collect();
            if let [lower] = lower[..] {
                assert_eq!(fold_letter(lower), folded, "{letter} {lower}");
            }
        }
    }
}
