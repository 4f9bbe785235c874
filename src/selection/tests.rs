//! Selection of small groups, with results worked out by hand.

use super::*;

fn key() -> StreamKey {
    StreamKey::new(1, "test", 1, "synthesis")
}

fn selection(toml: &str) -> Selection {
    SelectionRules::builtin().read(toml.parse().unwrap()).unwrap()
}

fn dropped(by_rule: &[(&str, u64)]) -> BTreeMap<String, u64> {
    by_rule.iter().map(|&(rule, documents)| (rule.to_owned(), documents)).collect()
}

fn candidates<'a>(documents: &'a [(&'a [TokenId], f64)]) -> Vec<Candidate<'a>> {
    let numbered = documents.iter().zip(0..);
    numbered
        .map(|(&(document, loss_nats), item)| Candidate { item, document, loss_nats: Some(loss_nats) })
        .collect()
}

#[test]
fn a_document_is_dropped_by_the_first_rule_that_it_fails() {
    let rules = selection("loss_band = [1.0, 4.0]\nmax_repetition = 0.5\nnear_duplicates = 0.8");
    let mut selector = Selector::new(&rules, None, &key());
    let repetitive = [1, 1, 1, 1, 1, 1, 1, 1];
    let documents: [(&[TokenId], f64); 6] = [
        (&[1, 2, 3, 4, 5, 6], 2.0),
        (&repetitive, 0.5),
        (&repetitive, 2.0),
        (&[1, 2, 3, 4, 5, 6], 3.0),
        (&[6, 5, 4, 3, 2, 1], 4.0),
        (&[7, 8], 4.1),
    ];
    let candidates = candidates(&documents);
    let kept: Vec<bool> = candidates.iter().map(|one| selector.choose(&[*one]).is_some()).collect();
    assert_eq!(kept, [true, false, false, false, true, false]);
    let dropped = dropped(&[("loss_band", 2), ("max_repetition", 1), ("near_duplicates", 1)]);
    assert_eq!(*selector.tally(), Tally { kept: 2, dropped });
}

/// The first group keeps its best passing candidate. The second has no passing candidate. In the third the best
/// candidate is a duplicate, so none is kept.
#[test]
fn the_best_passing_candidate_of_each_group_is_kept() {
    let rules = selection("loss_band = [1.0, 4.0]\nbest_of = 3\nnear_duplicates = 0.8");
    let mut selector = Selector::new(&rules, None, &key());
    let groups: [[(&[TokenId], f64); 3]; 3] = [
        [(&[1, 2], 3.0), (&[3, 4], 0.5), (&[5, 6], 2.0)],
        [(&[1, 2], 0.1), (&[3, 4], 5.0), (&[5, 6], 9.0)],
        [(&[7, 8], 3.0), (&[5, 6], 1.5), (&[9], 2.0)],
    ];
    let chosen: Vec<Option<usize>> = groups.iter().map(|group| selector.choose(&candidates(group))).collect();
    assert_eq!(chosen, [Some(2), None, None]);
    let dropped = dropped(&[("loss_band", 4), ("best_of", 3), ("near_duplicates", 1)]);
    assert_eq!(*selector.tally(), Tally { kept: 1, dropped });
}

#[test]
fn without_rules_everything_is_kept() {
    let rules = Selection::default();
    let mut selector = Selector::new(&rules, None, &key());
    let candidate = Candidate { item: 0, document: &[], loss_nats: None };
    assert_eq!([selector.choose(&[candidate]), selector.choose(&[candidate])], [Some(0), Some(0)]);
    assert_eq!(*selector.tally(), Tally { kept: 2, dropped: BTreeMap::new() });
}
