//! What tests of samplers share.

/// How far the counts of `draws` are from `probability`: the chi-square statistic over cells of at least 20 expected
/// draws, less its degrees of freedom, over their standard deviation √(2·freedom).
pub fn chi_square_z(draws: &[u64], probability: impl Fn(u64) -> f64) -> f64 {
    let size = draws.len() as f64;
    let (least, most) = draws.iter().fold((u64::MAX, 0), |(least, most), &x| (least.min(x), most.max(x)));
    let mut seen = vec![0.0; (most - least + 1) as usize];
    for &x in draws {
        seen[(x - least) as usize] += 1.0;
    }
    // Neighbouring values join until a cell is large enough; both ends take the mass beyond them.
    let (mut cells, mut cell, mut mass_so_far) = (Vec::new(), (0.0, 0.0), 0.0);
    let below: f64 = (least.saturating_sub(10_000)..least).map(&probability).sum();
    cell.1 += below * size;
    mass_so_far += below;
    for (place, &count) in seen.iter().enumerate() {
        let mass = probability(least + place as u64);
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
    assert!(freedom >= 1.0, "one cell tells nothing");
    (statistic - freedom) / (2.0 * freedom).sqrt()
}
