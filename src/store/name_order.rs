//! An order of names in which `tokens=12500` comes before `tokens=100000`.

/// The key of a name: its pieces of text, each with the number behind it (the bits of a float that is not negative, which
/// have the order of the floats; 0 for a piece like `1.2.3`), and last the name itself, for numbers that are written in
/// different ways.
pub(super) fn key(name: &str) -> (Vec<(String, u64)>, String) {
    let mut pieces = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (before, from_number) = rest.split_at(text);
        let digits = from_number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(from_number.len());
        let (number, after) = from_number.split_at(digits);
        pieces.push((before.to_owned(), number.trim_end_matches('.').parse().map_or(0, f64::to_bits)));
        rest = after;
    }
    (pieces, name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_ordered_by_size() {
        let ordered = [
            "a",
            "mixture=0.25,tokens=12500",
            "mixture=0.25,tokens=100000",
            "mixture=0.5,tokens=50",
            "mixture=0.50,tokens=50",
            "v1.2.3",
        ];
        let mut names = ordered;
        names.sort();
        assert_ne!(names, ordered);
        names.sort_by_key(|name| key(name));
        assert_eq!(names, ordered);
    }
}
