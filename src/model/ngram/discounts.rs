//! Discounts: the amounts that are subtracted from counts, so that their mass can go to shorter contexts.
//! [`Ngram::discounts`](super::Ngram::discounts) has the formulas.

/// The discounts of one order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Discounts([f64; 4]);

impl Discounts {
    /// Estimates the discounts of an order from the counts of all its n-grams; zeros are ignored.
    pub fn estimate(counts: impl Iterator<Item = u32>) -> Self {
        let mut numbers = [0_u64; 5];
        for count in counts.filter(|&count| count <= 4) {
            numbers[count as usize] += 1;
        }
        let [_, n1, n2, n3, n4] = numbers.map(|number| number as f64);
        let y = n1 / (n1 + 2.0 * n2);
        let three = [1.0 - 2.0 * y * n2 / n1, 2.0 - 3.0 * y * n3 / n2, 3.0 - 4.0 * y * n4 / n3];
        // With too few counts, a discount can be infinite, NaN, 0, negative, or at least as large as the count itself.
        let is_valid =
            three.iter().zip([1.0, 2.0, 3.0]).all(|(&discount, count)| discount > 0.0 && discount < count);
        if is_valid {
            Self([0.0, three[0], three[1], three[2]])
        } else if y > 0.0 && y < 1.0 {
            Self([0.0, y, y, y])
        } else {
            Self([0.0, 0.5, 0.5, 0.5])
        }
    }

    /// The discount of a count.
    pub fn of(self, count: u32) -> f64 {
        self.0[count.min(3) as usize]
    }

    pub fn of_1_2_3(self) -> [f64; 3] {
        let [_, one, two, three] = self.0;
        [one, two, three]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(numbers: [usize; 4]) -> impl Iterator<Item = u32> {
        (0..4).flat_map(move |r| std::iter::repeat_n(r as u32 + 1, numbers[r]))
    }

    /// By hand: if n₁ … n₄ are 40, 10, 4 and 2, then Y = 40/60 = 2/3, and the discounts are 1 − 2·⅔·¼ = ⅔,
    /// 2 − 3·⅔·0.4 = 1.2 and 3 − 4·⅔·½ = 5/3.
    #[test]
    fn the_discounts_are_those_of_chen_and_goodman() {
        let [one, two, three] = Discounts::estimate(counts([40, 10, 4, 2]).chain([0, 9, 0])).of_1_2_3();
        assert!((one - 2.0 / 3.0).abs() < 1e-12);
        assert!((two - 1.2).abs() < 1e-12);
        assert!((three - 5.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_small_text_falls_back_to_one_discount_and_then_to_a_half() {
        // n1 = 3, n2 = 1: Y = 3/5, but no n-gram is counted three times.
        assert_eq!(Discounts::estimate(counts([3, 1, 0, 0])).of_1_2_3(), [0.6; 3]);
        // n3/n2 is so large that the second discount would be negative, so all three are Y = 4/(4 + 2).
        assert_eq!(Discounts::estimate(counts([4, 1, 5, 1])).of_1_2_3(), [4.0 / 6.0; 3]);
        assert_eq!(Discounts::estimate(counts([5, 0, 0, 0])).of_1_2_3(), [0.5; 3]);
        assert_eq!(Discounts::estimate(counts([0, 2, 0, 0])).of_1_2_3(), [0.5; 3]);
        assert_eq!(Discounts::estimate(std::iter::empty()).of_1_2_3(), [0.5; 3]);
    }

    #[test]
    fn a_count_of_zero_has_no_discount() {
        assert_eq!(Discounts::estimate(counts([40, 10, 4, 2])).of(0), 0.0);
    }
}
