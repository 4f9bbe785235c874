//! Time limits as Slurm writes them.

use std::fmt;
use std::str::FromStr;

/// A time limit of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit {
    seconds: u64,
}

impl TimeLimit {
    /// Seconds before its end at which a worker is told to save and leave.
    const NOTICE_SECONDS: u64 = 120;

    /// Slurm may give notice up to a minute early, so that shorter jobs might do nothing but save and leave.
    const SHORTEST_SECONDS: u64 = 300;

    /// Seconds before the end of a job at which it is told to save and leave: at most a fifth of its time.
    pub fn notice_seconds(limit: Option<Self>) -> u64 {
        limit.map_or(Self::NOTICE_SECONDS, |limit| Self::NOTICE_SECONDS.min(limit.seconds / 5))
    }
}

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = seconds(text).ok_or_else(|| {
            "write minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes or \
             days-hours:minutes:seconds"
                .to_owned()
        })?;
        if seconds < Self::SHORTEST_SECONDS {
            return Err(
                "give at least 5 minutes: a worker is told up to 2 minutes before the end to save its work"
                    .to_owned(),
            );
        }
        Ok(Self { seconds })
    }
}

/// `days-hours:minutes:seconds`, which every version of Slurm reads.
impl fmt::Display for TimeLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let (minutes, seconds) = (self.seconds / 60, self.seconds % 60);
        let (hours, minutes) = (minutes / 60, minutes % 60);
        write!(formatter, "{}-{:02}:{minutes:02}:{seconds:02}", hours / 24, hours % 24)
    }
}

/// Largest number of days of a time limit.
const MOST_DAYS: u64 = 3650;

/// `None` if the text is not a time of Slurm, or is longer than [`MOST_DAYS`].
fn seconds(text: &str) -> Option<u64> {
    let number = |digits: &str| {
        let is_plain =
            !digits.is_empty() && digits.len() <= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_plain { digits.parse::<u64>().ok() } else { None }
    };
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(number(days)?), rest),
        None => (None, text),
    };
    let fields: Vec<u64> = rest.split(':').map(number).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = match (days, &fields[..]) {
        (Some(_), &[hours]) => [hours, 0, 0],
        (Some(_), &[hours, minutes]) => [hours, minutes, 0],
        (None, &[minutes]) => [0, minutes, 0],
        (None, &[minutes, seconds]) => [0, minutes, seconds],
        (_, &[hours, minutes, seconds]) => [hours, minutes, seconds],
        _ => return None,
    };
    let total = 86_400 * days.unwrap_or(0) + 3600 * hours + 60 * minutes + seconds;
    (total <= 86_400 * MOST_DAYS).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formats are those of the manual page of sbatch.
    #[test]
    fn times_are_read_in_all_formats_of_slurm() {
        for (text, written) in [
            ("90", "0-01:30:00"),
            ("90:30", "0-01:30:30"),
            ("36:00:00", "1-12:00:00"),
            ("2-3", "2-03:00:00"),
            ("2-3:04", "2-03:04:00"),
            ("02-03:04:05", "2-03:04:05"),
        ] {
            assert_eq!(text.parse::<TimeLimit>().unwrap().to_string(), written);
        }
        for wrong in
            ["", "x", "1h", "-5", "1-", "1:2:3:4", "1--2", "1.5", "+10", "99999999999999999999", "99999999-0"]
        {
            assert!(wrong.parse::<TimeLimit>().unwrap_err().starts_with("write minutes"), "{wrong}");
        }
    }

    #[test]
    fn a_job_is_not_told_to_leave_before_it_could_do_anything() {
        assert_eq!(TimeLimit::notice_seconds(None), 120);
        assert_eq!(TimeLimit::notice_seconds("20:00:00".parse().ok()), 120);
        assert_eq!(TimeLimit::notice_seconds("5".parse().ok()), 60);
        assert!("4:59".parse::<TimeLimit>().unwrap_err().contains("at least 5 minutes"));
        assert!("0".parse::<TimeLimit>().is_err());
    }
}
