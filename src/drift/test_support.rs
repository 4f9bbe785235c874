//! Goodness-of-fit test shared by the tests of samplers.

/// Standardised chi-square statistic of `draws` against `probability`, over cells of at least 20 expected draws: the
/// statistic minus its degrees of freedom f, divided by √(2f). Close to standard normal if the draws are right.
pub fn chi_square_z(draws: &[u64], probability: impl Fn(u64) -> f64) -> f64 {
    let size = draws.len() as f64;
    let (least, most) = draws.iter().fold((u64::MAX, 0), |(least, most), &x| (least.min(x), most.max(x)));
    let mut seen = vec![0.0; (most - least + 1) as usize];
    for &x in draws {
        seen[(x - least) as usize] += 1.0;
    }
    // Neighbouring values are merged until a cell is large enough; the end cells include all values beyond them.
    let (mut cells, mut cell, mut mass_so_far) = (Vec::new(), (0.0, 0.0), 0.0);
    let below: f64 = (least.saturating_sub(10_000)..least).map(&probability).sum();
    cell.1 += below * size;
    mass_so_far += below;
    for (offset, &count) in seen.iter().enumerate() {
        let mass = probability(least + offset as u64);
        mass_so_far += mass;
        cell = (cell.0 + count, cell.1 + mass * size);
        if cell.1 >= 20.0 && (1.0 - mass_so_far) * size >= 20.0 {
            cells.push(cell);
            cell = (0.0, 0.0);
        }
    }
    cells.push((cell.0, cell.1 + (1.0 - mass_so_far).max(0.0) * size));
    let statistic: f64 = cells.iter().map(|(seen, expected)| (seen - expected).powi(2) / expected).sum();
    let freedom = cells.len() as f64 - 1.0;
    assert!(freedom >= 1.0, "a single cell has no degrees of freedom");
    (statistic - freedom) / (2.0 * freedom).sqrt()
}
